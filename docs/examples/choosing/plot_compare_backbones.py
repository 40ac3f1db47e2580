"""
Which backbone is worth its cost?
=================================

A small and a larger network of one family, and a classic model, on the same folds: what
they score, whether the differences may be chance, and what each prediction takes. The
task is to say which of eight photographs a small grey patch was cut from.
"""

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer import PretrainedImageClassifier
from sktransfer.inspection import BackboneComparisonDisplay
from sktransfer.model_selection import compare_backbones, transferability

photographs = ["brick", "coffee", "coins", "chelsea", "grass", "gravel", "moon", "page"]
rng = np.random.default_rng(0)
X, y = [], []
for name in photographs:
    photograph = np.asarray(getattr(skimage.data, name)())
    if photograph.ndim == 3:
        photograph = photograph.mean(axis=-1).astype(np.uint8)
    rows, columns = (length // 32 for length in photograph.shape)
    whole = photograph[: 32 * rows, : 32 * columns]
    patches = whole.reshape(rows, 32, columns, 32).swapaxes(1, 2).reshape(-1, 32, 32)
    X.extend(patches[rng.choice(len(patches), 12, replace=False)])
    y.extend([name] * 12)
X, y = np.array(X), np.array(y)

fig, axes = plt.subplots(1, 8, figsize=(8, 1.4), layout="constrained")
for ax, patch, name in zip(axes, X[::12], photographs, strict=True):
    ax.imshow(patch, cmap="gray", vmin=0, vmax=255)
    ax.set_title(name, fontsize="small")
    ax.set_axis_off()

# %%
# A guess first
# -------------
# ``transferability`` scores the features as they are, without training anything. All
# scores are better when higher.

backbones = {f"Lite{size}": f"timm/tf_efficientnet_lite{size}.in1k" for size in (0, 2)}
small = PretrainedImageClassifier(freeze_depth="all", image_size=64)
transferability(X, y, backbones, estimator=small, random_state=0).round(3)

# %%
# The measurement
# ---------------
# Each model is fitted in every fold. Then it is fitted and timed in a process of its
# own, without anything stored.


def pixels(images):
    """Return a row of pixels an image."""
    return images.reshape(len(images), -1)


forest = RandomForestClassifier(random_state=0)
found = compare_backbones(
    X,
    y,
    backbones=backbones,
    baselines={"random forest": make_pipeline(FunctionTransformer(pixels), forest)},
    estimator=small,
    scoring=["accuracy", "f1_macro"],
    cv=5,
    random_state=0,
)
found

# %%
# Those on the grey steps are the Pareto front: no other model is both faster, or as
# fast, and better.

display = BackboneComparisonDisplay.from_comparison(found, cost="latency_batched_ms")
# sphinx_gallery_thumbnail_number = 2
plt.show()
