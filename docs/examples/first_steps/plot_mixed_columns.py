"""
Pictures, texts and numbers in one pipeline
===========================================

A table with a column of pictures, one of texts and one of numbers: a
``ColumnTransformer`` turns the pictures and texts into embeddings and scales the
numbers, and a logistic regression learns from all of them.

The photographs and articles are real. The target is made, so that each column tells a
part of it and none tells all: an offer is sold if two of three hold, that the picture
shows brick, that the article is on business, and that the number is large.
"""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import PretrainedImageEmbedder, PretrainedTextEmbedder
from sktransfer.demonstration import bbc_news, texture_patches

rng = np.random.default_rng(0)
n_rows = 100


def as_png(patch):
    """Return a picture as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(patch).save(file, "PNG")
    return file.getvalue()


def drawn(samples, kinds, wanted):
    """Draw a sample of the wanted kind for each row, none of them twice."""
    of_kind = [iter(rng.permutation(np.flatnonzero(kinds == k))) for k in (0, 1)]
    return [samples[next(of_kind[int(kind)])] for kind in wanted]


textures = texture_patches(30, 30, n_training_rows=4)
patches = np.concatenate([textures.X, textures.X_held_out])
names = np.concatenate([textures.y, textures.y_held_out])
news = bbc_news(n_labelled=400, n_held_out=1)
brick, business, large = rng.permuted(np.tile([[0, 1]] * 3, n_rows // 2), axis=1)
table = pd.DataFrame(
    {
        "picture": [as_png(p) for p in drawn(patches, names == "brick", brick)],
        "article": drawn(news.X, news.y == "business", business),
        "size": large + rng.normal(0, 0.2, n_rows),
    }
)
sold = brick + business + large >= 2
table.assign(picture="PNG, " + table["picture"].map(len).astype(str) + " bytes").head()

# %%
# The pipeline
# ------------
# A picture becomes 1,280 columns and a text 384, among which a single number would
# have little say: eight principal components of each leave it room.


def components(embedder):
    """Return an embedder with a few principal components of what it gives."""
    return make_pipeline(embedder, PCA(8, whiten=True, random_state=0))


columns = ColumnTransformer(
    [
        ("picture", components(PretrainedImageEmbedder(image_size=64)), "picture"),
        ("article", components(PretrainedTextEmbedder(max_length=64)), "article"),
        ("number", StandardScaler(), ["size"]),
    ]
)
pipeline = Pipeline([("columns", columns), ("model", LogisticRegression())])
pipeline

# %%
# Does each column help?
# ----------------------
# ``"drop"`` leaves a column out. No picture and no text goes through its network a
# second time, whatever is dropped.

blocks = ["picture", "article", "number"]
scores = {}
for kept in blocks:
    dropped = {f"columns__{name}": "drop" for name in blocks if name != kept}
    alone = clone(pipeline).set_params(**dropped)
    scores[f"{kept} only"] = cross_val_score(alone, table, sold, cv=5)
scores["all three"] = cross_val_score(pipeline, table, sold, cv=5)

fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
ax.boxplot(list(scores.values()), tick_labels=list(scores), orientation="horizontal")
for height, found in enumerate(scores.values(), start=1):
    ax.plot(found, np.full(len(found), height), "o", alpha=0.5)
ax.invert_yaxis()
ax.set_xlabel("accuracy in five folds")
for name, found in scores.items():
    print(f"{name}: {found.mean():.3f}")
