"""
Topics of news articles
=======================

A pipeline of TF-IDF and logistic regression is the usual start with texts. Here a
:class:`~sktransfer.PretrainedTextClassifier` takes its place: the same calls, the same
labels, sixty labelled articles of BBC News to learn from.
"""

import matplotlib.pyplot as plt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.pipeline import make_pipeline

from sktransfer import PretrainedTextClassifier
from sktransfer.demonstration import bbc_news

news = bbc_news(n_labelled=60, n_held_out=300)
print(news.X[0][:200])
print(news.y[:5])

# %%
# Two models
# ----------
# TF-IDF reads whole articles. The network reads the first 64 tokens, which is faster,
# and with ``freeze_depth="all"`` it stays as it was pretrained: only the linear head
# on top of it is fitted.

models = {
    "TF-IDF": make_pipeline(TfidfVectorizer(), LogisticRegression()),
    "network": PretrainedTextClassifier(freeze_depth="all", max_length=64),
}
scores = {}
for name, model in models.items():
    model.fit(news.X, news.y)
    scores[name] = model.score(news.X_held_out, news.y_held_out)
    print(f"{name}: held-out accuracy {scores[name]:.3f}")

# %%
# What they confuse
# -----------------

fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.6), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    ConfusionMatrixDisplay.from_estimator(
        model,
        news.X_held_out,
        news.y_held_out,
        ax=ax,
        cmap="Blues",
        colorbar=False,
        xticks_rotation=45,
    )
    ax.set_title(f"{name}: accuracy {scores[name]:.2f}")

# %%
# What was fitted
# ---------------
# In a notebook the estimator shows itself; ``print(network.summary())`` is the same as
# text.

network = models["network"]
network
