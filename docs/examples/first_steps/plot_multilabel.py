"""
Several labels for one picture
==============================

With an indicator matrix as ``y`` a sample may have any number of labels: the head has
an output for each, and all are learnt together. The pictures are collages of four
patches of photographs, and the labels say which of brick, grass and gravel occur in
them. Those to learn from and those held out are made of different rows of the
photographs.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import PrecisionRecallDisplay, f1_score

from sktransfer import PretrainedImageClassifier
from sktransfer.demonstration import texture_patches

textures = np.array(["brick", "grass", "gravel"])
rng = np.random.default_rng(0)
patches = texture_patches(32, 32, side=24, n_training_rows=10)


def collages(X, y, n_collages):
    """Lay four patches of one to three textures together; return the labels, too."""
    pictures, labels = [], []
    for _ in range(n_collages):
        among = rng.permutation(textures)[: rng.integers(1, 4)]
        names = rng.choice(among, 4)
        a, b, c, d = (rng.choice(X[y == name]) for name in names)
        pictures.append(np.block([[a, b], [c, d]]))
        labels.append(np.isin(textures, names))
    return np.array(pictures), np.array(labels).astype(int)


X, y = collages(patches.X, patches.y, 60)
X_new, y_new = collages(patches.X_held_out, patches.y_held_out, 60)
print(y[:3])

# %%
# ``threshold`` says how probable a label must be to be predicted, 0.5 if nothing else
# is said.

clf = PretrainedImageClassifier(freeze_depth="all", image_size=96).fit(X, y)
predicted = clf.predict(X_new)
for name, score in zip(textures, f1_score(y_new, predicted, average=None), strict=True):
    print(f"{name}: F1 {score:.3f}")

# %%
# Eight held-out pictures; what is wrong is red.

fig, axes = plt.subplots(2, 4, figsize=(8, 4.6), layout="constrained")
for ax, picture, labels, truth in zip(axes.flat, X_new, predicted, y_new, strict=False):
    ax.imshow(picture, cmap="gray")
    told = ", ".join(textures[labels == 1]) or "nothing"
    ax.set_title(told, fontsize="small", color="k" if (labels == truth).all() else "r")
    ax.set_axis_off()

# %%
# Precision and recall of each label, at all thresholds:

fig, ax = plt.subplots(figsize=(5, 4.2), layout="constrained")
for name, truth, proba in zip(
    textures, y_new.T, clf.predict_proba(X_new).T, strict=True
):
    PrecisionRecallDisplay.from_predictions(truth, proba, name=name, ax=ax)
plt.show()
