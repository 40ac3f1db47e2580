"""
A map of what a network reads
=============================

Before its head, a network turns each text into a list of numbers, an embedding.
:class:`~sktransfer.inspection.EmbeddingDisplay` lays embeddings out in two dimensions,
here by t-SNE, in which neighbours are near and distances between groups mean little.
What the classifier gets wrong is ringed.
"""

import matplotlib.pyplot as plt

from sktransfer import PretrainedTextClassifier
from sktransfer.demonstration import bbc_news
from sktransfer.inspection import EmbeddingDisplay

news = bbc_news(n_labelled=60, n_held_out=300)
clf = PretrainedTextClassifier(freeze_depth="all", max_length=64).fit(news.X, news.y)
fig, ax = plt.subplots(figsize=(7, 5.6), layout="constrained")
display = EmbeddingDisplay.from_estimator(clf, news.X_held_out, news.y_held_out, ax=ax)
ax.set_title("300 held-out articles of BBC News, 60 others labelled")
plt.show()

# %%
# The titles of some that are ringed. Where a ring lies among points of another colour,
# the article is near to that topic for the network, too.

predicted = clf.predict(news.X_held_out)
wrong = predicted != news.y_held_out
for article, told, topic in zip(
    news.X_held_out[wrong][:6], predicted[wrong], news.y_held_out[wrong], strict=False
):
    print(f"{article.splitlines()[0]!r}: {told}, not {topic}")
