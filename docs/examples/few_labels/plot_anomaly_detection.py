"""
What does not belong: anomaly detection
=======================================

An ``IsolationForest`` sees sixty articles on sport and no label. Then it is to say
which of other articles are unlike them. What it sees of an article is a row of TF-IDF,
or the embedding by a :class:`~sktransfer.PretrainedTextEmbedder`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import RocCurveDisplay
from sklearn.pipeline import make_pipeline

from sktransfer import PretrainedTextEmbedder
from sktransfer.demonstration import bbc_news

news = bbc_news(n_labelled=400, n_held_out=1)
sport = np.flatnonzero(news.y == "sports")
seen = news.X[sport[:60]]
others = np.setdiff1d(np.arange(len(news.X)), sport[:60])
strange = news.y[others] != "sports"
print(f"{len(others)} new articles, {strange.sum()} of them on other topics")

# %%

models = {
    "TF-IDF": make_pipeline(TfidfVectorizer(), IsolationForest(random_state=0)),
    "embedding": make_pipeline(
        PretrainedTextEmbedder(max_length=64), IsolationForest(random_state=0)
    ),
}
fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.4), layout="constrained")
for name, model in models.items():
    strangeness = -model.fit(seen).score_samples(news.X[others])
    RocCurveDisplay.from_predictions(strange, strangeness, name=name, ax=axes[0])
axes[0].set_title("articles that are not on sport, found")
bins = np.linspace(strangeness.min(), strangeness.max(), 30)
axes[1].hist(strangeness[~strange], bins, alpha=0.6, density=True, label="sport")
axes[1].hist(strangeness[strange], bins, alpha=0.6, density=True, label="other topics")
axes[1].set(xlabel="anomaly score on embeddings", ylabel="density")
axes[1].legend()
plt.show()

# %%
# The strangest of all, by their embeddings:

for index in others[np.argsort(strangeness)[::-1][:5]]:
    print(f"{news.y[index]}: {news.X[index].splitlines()[0]}")
