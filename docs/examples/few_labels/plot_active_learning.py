"""
Active learning: which article to label next?
=============================================

Labels cost time, so it may pay to ask for those that help. Uncertainty sampling asks
for the articles between whose two most probable topics the classifier hesitates most.
The classifier is fitted anew after every ten labels; each article goes through the
network once in the whole experiment.
"""

import matplotlib.pyplot as plt
import numpy as np

from sktransfer import PretrainedTextClassifier
from sktransfer.demonstration import bbc_news

news = bbc_news(n_labelled=300, n_held_out=100)
clf = PretrainedTextClassifier(freeze_depth="all", max_length=64)
n_rounds, n_asked, n_repeats = 7, 10, 3


def ask_uncertain(fitted, pool, rng):
    """Return the articles with the smallest margin between two topics."""
    proba = np.sort(fitted.predict_proba(news.X[pool]), axis=1)
    return pool[np.argsort(proba[:, -1] - proba[:, -2])[:n_asked]]


def ask_any(fitted, pool, rng):
    """Return articles at random."""
    return rng.choice(pool, n_asked, replace=False)


strategies = {"smallest margin": ask_uncertain, "at random": ask_any}
scores = {name: np.zeros((n_repeats, n_rounds)) for name in strategies}
for name, ask in strategies.items():
    for repeat in range(n_repeats):
        rng = np.random.default_rng(repeat)
        pool = rng.permutation(len(news.X))
        labelled, pool = pool[:n_asked], pool[n_asked:]
        for number in range(n_rounds):
            clf.fit(news.X[labelled], news.y[labelled])
            scores[name][repeat, number] = clf.score(news.X_held_out, news.y_held_out)
            asked = ask(clf, pool, rng)
            labelled = np.append(labelled, asked)
            pool = np.setdiff1d(pool, asked)

# %%

fig, ax = plt.subplots(layout="constrained")
n_labels = n_asked * np.arange(1, n_rounds + 1)
for color, (name, found) in zip(("C0", "C1"), scores.items(), strict=True):
    ax.plot(n_labels, found.T, color=color, alpha=0.3, linewidth=1)
    ax.plot(n_labels, found.mean(axis=0), color=color, marker="o", label=name)
    print(name, found.mean(axis=0).round(3))
ax.set(xlabel="labelled articles", ylabel="accuracy on 100 held-out articles")
ax.legend()
plt.show()

# %%
# Thin lines are the three repeats, thick ones their mean. Both ways start from the same
# ten articles in each repeat.
