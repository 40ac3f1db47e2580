"""
When to stop: the history of a fit
==================================

With ``early_stopping=True`` a part of the samples is held out of training, and training
ends when the loss on them no longer falls.
:class:`~sktransfer.inspection.HistoryDisplay` draws what ``history_`` holds, a row an
epoch, and marks the epoch that was kept.

To have a reason to stop, every fifth article gets a topic at random here: labels that a
network can only learn by heart.
"""

import matplotlib.pyplot as plt
import numpy as np

from sktransfer import PretrainedTextClassifier
from sktransfer.demonstration import bbc_news
from sktransfer.inspection import HistoryDisplay

news = bbc_news(n_labelled=100, n_held_out=200)
y = news.y.copy()
y[::5] = np.random.default_rng(0).choice(np.unique(y), len(y[::5]))
print(f"{np.mean(y != news.y):.0%} of the labels are wrong")

# %%

clf = PretrainedTextClassifier(
    freeze_depth=-1,
    max_length=32,
    lr=1e-4,
    lr_schedule="constant",
    max_epochs=12,
    early_stopping=True,
    validation_fraction=0.3,
    n_iter_no_change=4,
    refit=False,
    random_state=0,
)
clf.fit(news.X, y)
clf.history_.round(3)

# %%

HistoryDisplay.from_estimator(clf)
plt.show()

# %%
# ``refit=False`` keeps the network that did not see the samples held out. By default
# the fit is repeated on all samples, for as many epochs as were best.

print(f"{clf.n_iter_} epochs, the weights of epoch {clf.best_epoch_}")
score = clf.score(news.X_held_out, news.y_held_out)
print(f"accuracy on 200 other articles, rightly labelled: {score:.3f}")
