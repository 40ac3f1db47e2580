"""
Self-training: labels from the classifier itself
================================================

scikit-learn's ``SelfTrainingClassifier`` fits a classifier to the labelled samples,
takes its surest predictions on the others for labels, and repeats. It insists on a
table of numbers, so the images go in as rows, and ``image_shape`` says how to fold them
back.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.semi_supervised import SelfTrainingClassifier

from sktransfer import PretrainedImageClassifier

rows, digits = load_digits(return_X_y=True)
rows = rows / 16  # Images are floats in [0, 1].
X_new, y_new = rows[:300], digits[:300]
X, y = rows[300:700], digits[300:700]
clf = PretrainedImageClassifier(freeze_depth="all", image_size=32, image_shape=(8, 8))

# %%
# Forty of four hundred digits are labelled, four of each, in four different draws; -1
# marks those that are not.

scores, added, right = [], [], []
for draw in range(4):
    rng = np.random.default_rng(draw)
    known = np.concatenate(
        [
            rng.choice(np.flatnonzero(y == digit), 4, replace=False)
            for digit in range(10)
        ]
    )
    partly = np.full_like(y, -1)
    partly[known] = y[known]
    alone = clf.fit(X[known], y[known]).score(X_new, y_new)
    trained = SelfTrainingClassifier(clf, threshold=0.9, max_iter=4).fit(X, partly)
    scores.append((alone, trained.score(X_new, y_new)))
    taken = trained.labeled_iter_ > 0
    added.append(taken.sum())
    right.append((trained.transduction_[taken] == y[taken]).mean())

# %%

fig, ax = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
ax.plot([0, 1], np.array(scores).T, color="0.6", marker=".")
ax.plot(
    [0, 1], np.mean(scores, axis=0), color="C0", marker="o", label="mean of 4 draws"
)
ax.set_xticks([0, 1], labels=["40 labels", "and 360 digits\nwithout labels"])
ax.set(ylabel="accuracy on 300 held-out digits", xlim=(-0.3, 1.3))
ax.legend()
plt.show()

# %%
# How many labels it has given itself in each draw, and the share of them that are
# right:

print(added, np.round(right, 3))
