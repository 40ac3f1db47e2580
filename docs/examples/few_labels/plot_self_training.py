"""
Self-training: labels from the classifier itself
================================================

scikit-learn's ``SelfTrainingClassifier`` fits a classifier to the labelled samples,
takes its surest predictions on the others for labels, and repeats. It insists on a
table of numbers, so the images go in as rows, and ``image_shape`` says how to fold them
back.

The question is whether a picture of 25 pixels a side shows a face; a hundred do, and a
hundred don't.
"""

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
from sklearn.semi_supervised import SelfTrainingClassifier

from sktransfer import PretrainedImageClassifier

order = np.random.default_rng(0).permutation(200)
rows = skimage.data.lfw_subset().reshape(200, -1)[order]
kinds = np.repeat([1, 0], 100)[order]
X, y, X_new, y_new = rows[:120], kinds[:120], rows[120:], kinds[120:]

fig, axes = plt.subplots(1, 8, figsize=(8, 1.4), layout="constrained")
for ax, row, kind in zip(axes, X, y, strict=False):
    ax.imshow(row.reshape(25, 25), cmap="gray")
    ax.set_title("face" if kind else "other", fontsize="small")
    ax.set_axis_off()

# %%
# One, two or four pictures of each kind are labelled, in four draws each; -1 marks the
# others. Each round takes the twenty surest predictions for labels.

clf = PretrainedImageClassifier(freeze_depth="all", image_size=64, image_shape=(25, 25))
fig, axes = plt.subplots(1, 3, figsize=(9, 3.6), sharey=True, layout="constrained")
for ax, n_labelled in zip(axes, (1, 2, 4), strict=True):
    for draw in range(4):
        rng = np.random.default_rng(draw)
        known = np.concatenate(
            [
                rng.choice(np.flatnonzero(y == kind), n_labelled, False)
                for kind in (0, 1)
            ]
        )
        partly = np.full(len(y), -1)
        partly[known] = y[known]
        alone = clf.fit(X[known], y[known]).score(X_new, y_new)
        trained = SelfTrainingClassifier(
            clf, criterion="k_best", k_best=20, max_iter=5
        ).fit(X, partly)
        ax.plot([0, 1], [alone, trained.score(X_new, y_new)], marker="o")
        taken = trained.labeled_iter_ > 0
        right = (trained.transduction_[taken] == y[taken]).mean()
        print(
            f"{n_labelled} labels each, draw {draw}: {right:.0%} of its own are right"
        )
    ax.set_xticks([0, 1], labels=["labelled\nonly", "self-\ntrained"])
    ax.set(title=f"{n_labelled} of each kind labelled", xlim=(-0.3, 1.3))
axes[0].set_ylabel("accuracy on 80 others")
# sphinx_gallery_thumbnail_number = 2
plt.show()

# %%
# Where most of the labels that it gives itself are right, little is lost or won, as
# there is little to win. Where it goes wrong at the start, it learns its own errors.
