"""
Photographs with a handful of labels
====================================

Brick, grass or gravel? Patches of 64 pixels are cut from three photographs, the
labelled ones from other rows than those held out. The classic way is a histogram of
oriented gradients (HOG) and a support vector machine; beside it stands a pretrained
network that stays frozen, with a linear head.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.feature import hog
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from sktransfer import PretrainedImageClassifier
from sktransfer.demonstration import texture_patches

drawn = texture_patches(n_labelled=4, n_held_out=1)
fig, axes = plt.subplots(3, 4, figsize=(5, 4), layout="constrained")
for ax, patch, label in zip(axes.flat, drawn.X, drawn.y, strict=True):
    ax.imshow(patch, cmap="gray")
    ax.set_title(label, fontsize="small")
    ax.set_axis_off()

# %%
# Both learn from one to five patches a class, three times with other patches. The
# network sees a patch once: what it makes of it is stored, and found again in the next
# draw.


def gradients(images):
    """Return one row of HOG features an image."""
    return np.array([hog(image, pixels_per_cell=(16, 16)) for image in images])


models = {
    "HOG + SVM": make_pipeline(FunctionTransformer(gradients), SVC()),
    "network": PretrainedImageClassifier(freeze_depth="all", image_size=96),
}
sizes = [1, 2, 3, 5]
scores = {name: np.zeros((len(sizes), 3)) for name in models}
for row, size in enumerate(sizes):
    for draw in range(3):
        data = texture_patches(size, 20, random_state=draw)
        for name, model in models.items():
            model.fit(data.X, data.y)
            scores[name][row, draw] = model.score(data.X_held_out, data.y_held_out)

# %%
# The lines are means of the three draws, the bars reach from the worst to the best.

fig, ax = plt.subplots(layout="constrained")
for name, found in scores.items():
    mean = found.mean(axis=1)
    reach = np.abs(np.array([found.min(axis=1), found.max(axis=1)]) - mean)
    ax.errorbar(sizes, mean, yerr=reach, marker="o", capsize=3, label=name)
    print(name, mean.round(3))
ax.axhline(1 / 3, color="0.6", linestyle=":", label="chance")
ax.set(
    xlabel="labelled patches a class",
    ylabel="accuracy on 60 held-out patches",
    xticks=sizes,
    ylim=(0, 1.05),
)
ax.legend()
# sphinx_gallery_thumbnail_number = 2
plt.show()
