"""
How much of the picture is grass?
=================================

A :class:`~sktransfer.PretrainedImageRegressor` predicts numbers, here a share: pictures
are put together from a piece of a photograph of grass and a piece of one of gravel, and
it is to say how wide the grass is. The pieces to learn from are of the upper halves of
the photographs, the others of the lower halves.

The yardstick is a random forest on histograms of the grey levels of the picture.
"""

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import PredictionErrorDisplay, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer import PretrainedImageRegressor

side = 96
rng = np.random.default_rng(0)
photographs = [skimage.data.grass(), skimage.data.gravel()]


def mixtures(rows, n_pictures):
    """Return pictures with grass and gravel side by side, and the share of grass."""
    pictures, shares = [], rng.uniform(0, 1, n_pictures)
    for share in shares:
        widths = round(side * share), side - round(side * share)
        pieces = []
        for photograph, width in zip(photographs, widths, strict=True):
            top = rng.integers(rows.start, rows.stop - side)
            left = rng.integers(photograph.shape[1] - width)
            pieces.append(photograph[top : top + side, left : left + width])
        pictures.append(np.concatenate(pieces[:: rng.choice([1, -1])], axis=1))
    return np.array(pictures), shares


X, y = mixtures(range(0, 256), 80)
X_new, y_new = mixtures(range(256, 512), 80)

fig, axes = plt.subplots(1, 5, figsize=(8, 2.1), layout="constrained")
for ax, picture, share in zip(axes, X_new, y_new, strict=False):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
    ax.set_title(f"{share:.0%} grass")
    ax.set_axis_off()

# %%
# Two models
# ----------


def grey_levels(images):
    """Return a histogram of each picture's grey levels."""
    return np.array(
        [np.histogram(image, bins=32, range=(0, 256))[0] for image in images]
    )


models = {
    "grey levels + random forest": make_pipeline(
        FunctionTransformer(grey_levels), RandomForestRegressor(random_state=0)
    ),
    "network": PretrainedImageRegressor(freeze_depth="all", image_size=side),
}
fig, axes = plt.subplots(1, 2, figsize=(8.6, 4.2), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    predicted = model.fit(X, y).predict(X_new)
    PredictionErrorDisplay.from_predictions(
        y_new, predicted, kind="actual_vs_predicted", ax=ax
    )
    ax.set_title(f"{name}: R² {r2_score(y_new, predicted):.2f}")
# sphinx_gallery_thumbnail_number = 2
plt.show()
