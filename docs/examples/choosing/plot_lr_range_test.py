"""
Which learning rate?
====================

:func:`~sktransfer.model_selection.lr_range_test` trains once, at a rate that grows with
each step (Smith 2017, section 3.3), and records the loss. Where the rate is too low
nothing is learnt, where it is too high the loss explodes; the suggestion is where it
falls most steeply.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from sktransfer import PretrainedImageClassifier
from sktransfer.model_selection import lr_range_test

images, digits = load_digits().images / 16, load_digits().target
clf = PretrainedImageClassifier(
    freeze_depth=-1, image_size=32, max_epochs=3, batch_size=32, random_state=0
)
found = lr_range_test(clf, images[:120], digits[:120], n_steps=60)
found.table.iloc[::10].round(6)

# %%

fig, ax = plt.subplots(layout="constrained")
found.plot(ax=ax)
plt.show()

# %%
# The same fit at the suggested rate, at a fiftieth of it, and at fifty times as much:
# accuracy on 300 other digits.

for factor in (1 / 50, 1, 50):
    clf.set_params(lr=factor * found.suggestion).fit(images[:120], digits[:120])
    score = clf.score(images[120:420], digits[120:420])
    print(f"lr={clf.lr:.1e}: {score:.3f}")
