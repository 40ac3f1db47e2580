"""
How blurred is a photograph?
============================

A :class:`~sktransfer.PretrainedImageRegressor` predicts numbers. Here it is the width
of the Gaussian blur that was applied to a patch of a photograph: the patches to learn
from are of six photographs, those to be judged of four others. The yardstick is a
random forest on a classic measure of focus, the variance of the Laplacian in each
quarter of the patch.
"""

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
from scipy.ndimage import gaussian_filter, laplace
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import PredictionErrorDisplay, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer import PretrainedImageRegressor

side = 96
rng = np.random.default_rng(0)


def blurred_patches(names, n_each=25):
    """Cut patches of photographs, each blurred by a random width in pixels."""
    patches, widths = [], rng.uniform(0, 4, n_each * len(names))
    for index, width in enumerate(widths):
        photograph = np.asarray(getattr(skimage.data, names[index % len(names)])())
        if photograph.ndim == 3:
            photograph = photograph[..., :3].mean(axis=-1)
        top = rng.integers(photograph.shape[0] - side)
        left = rng.integers(photograph.shape[1] - side)
        patch = photograph[top : top + side, left : left + side]
        patches.append(gaussian_filter(patch.astype(np.float32), width))
    return np.array(patches).round().astype(np.uint8), widths


X, y = blurred_patches(["astronaut", "brick", "camera", "chelsea", "grass", "page"])
X_new, y_new = blurred_patches(["coffee", "coins", "gravel", "rocket"])

fig, axes = plt.subplots(1, 5, figsize=(8, 2.1), layout="constrained")
for ax, patch, width in zip(axes, X_new, y_new, strict=False):
    ax.imshow(patch, cmap="gray", vmin=0, vmax=255)
    ax.set_title(f"{width:.1f} pixels")
    ax.set_axis_off()

# %%


def focus(images):
    """Return the logarithm of the variance of the Laplacian in each quarter."""
    edges = np.array([laplace(image.astype(float)) for image in images])
    quarters = edges.reshape(-1, 2, side // 2, 2, side // 2)
    return np.log1p(quarters.var(axis=(2, 4))).reshape(-1, 4)


models = {
    "variance of the Laplacian": make_pipeline(
        FunctionTransformer(focus), RandomForestRegressor(random_state=0)
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
plt.show()
