"""
When to stop: the history of a fit
==================================

With ``early_stopping=True`` a part of the samples is held out of training, and training
ends when the loss on them no longer falls.
:class:`~sktransfer.inspection.HistoryDisplay` draws what ``history_`` holds, a row an
epoch, and marks the epoch that was kept.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from sktransfer import PretrainedImageClassifier
from sktransfer.inspection import HistoryDisplay

images, digits = load_digits().images / 16, load_digits().target
clf = PretrainedImageClassifier(
    freeze_depth=-1,
    image_size=32,
    lr=3e-3,
    max_epochs=20,
    batch_size=32,
    early_stopping=True,
    refit=False,
    random_state=0,
)
clf.fit(images[:150], digits[:150])
clf.history_.round(3)

# %%

HistoryDisplay.from_estimator(clf)
plt.show()

# %%
# ``refit=False`` keeps the network that did not see the samples held out. By default
# the fit is repeated on all samples, for as many epochs as were best.

print(f"{clf.n_iter_} epochs, the weights of epoch {clf.best_epoch_}")
print(
    f"accuracy on 300 other digits: {clf.score(images[150:450], digits[150:450]):.3f}"
)
