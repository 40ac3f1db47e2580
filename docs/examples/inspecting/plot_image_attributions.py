"""
Where does it look? Explaining images
=====================================

A classifier learns from crops of three photographs. Then it is shown scenes that are
half of one and half of another, so that it is known where the evidence for each class
is, and :func:`~sktransfer.inspection.explain` is asked for it: by integrated gradients
(Sundararajan et al. 2017), which say what each place of the network's feature maps
contributes to the log-odds of a class.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import skimage.data

from sktransfer import PretrainedImageClassifier
from sktransfer.inspection import AttributionDisplay, deletion_curve, explain

photographs = {
    "astronaut": skimage.data.astronaut(),
    "cat": skimage.data.chelsea(),
    "coffee": skimage.data.coffee(),
}
size = 160
rng = np.random.default_rng(0)


def crop(name, width):
    """Cut a random piece out of a photograph."""
    photograph = photographs[name]
    top = rng.integers(photograph.shape[0] - size)
    left = rng.integers(photograph.shape[1] - width)
    return photograph[top : top + size, left : left + width]


y = np.repeat(list(photographs), 15)
X = np.array([crop(name, size) for name in y])
clf = PretrainedImageClassifier(freeze_depth="all", image_size=size).fit(X, y)

# %%
# Cat on the left, coffee on the right
# ------------------------------------
# Red speaks for the class above the picture, blue against it.

scenes = np.array(
    [
        np.concatenate([crop("cat", size // 2), crop("coffee", size // 2)], axis=1)
        for _ in range(8)
    ]
)
fig, axes = plt.subplots(2, 4, figsize=(9, 5), layout="constrained")
shares = {}
for row, target in zip(axes, ("cat", "coffee"), strict=True):
    explanation = explain(clf, scenes, target=target)
    shown = explain(clf, scenes[:4], target=target)
    AttributionDisplay.from_explanation(shown, ax=row)
    speaks_for = explanation.attributions.clip(min=0)
    left = speaks_for[:, :, : size // 2].sum(axis=(1, 2))
    shares[target] = left / speaks_for.sum(axis=(1, 2))
plt.show()

# %%
# Of all that speaks for a class, the share that lies in the left half, in the mean of
# the eight scenes:

for target, share in shares.items():
    print(f"{target}: {share.mean():.2f}")

# %%
# Does the explanation mean something?
# ------------------------------------
# If it points at what counts, the probability of the cat falls soon when that is
# deleted, sooner than when patches go in a random order.

explanation = explain(clf, scenes, target="cat")
noise = rng.random(explanation.attributions.shape).astype(np.float32)
fig, ax = plt.subplots(layout="constrained")
for name, each in {
    "integrated gradients": explanation,
    "random": replace(explanation, attributions=noise),
}.items():
    deletion_curve(clf, each, n_steps=8).plot(ax, name=name)
plt.show()
