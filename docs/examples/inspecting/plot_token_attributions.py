"""
Which words count? Explaining texts
===================================

:func:`~sktransfer.inspection.explain` attributes what a classifier says of a text to
its tokens, by integrated gradients (Sundararajan et al. 2017): what each contributes on
the way from a text of nothing but masks to the text itself.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from sktransfer import PretrainedTextClassifier
from sktransfer.demonstration import bbc_news
from sktransfer.inspection import AttributionDisplay, deletion_curve, explain

news = bbc_news(n_labelled=60, n_held_out=300)
clf = PretrainedTextClassifier(freeze_depth="all", max_length=64).fit(news.X, news.y)

# %%
# Made up sentences with words of two topics each, explained for one of them: red speaks
# for it and blue against it. In a notebook, texts are shown as they are here.

sentences = [
    "The striker of the club was sued by his bank.",
    "The minister resigned after the cup final.",
    "The film about a computer virus opens on Friday.",
]
targets = ["sports", "politics", "tech"]
display = AttributionDisplay.from_estimator(clf, sentences, target=targets, n_steps=30)
plt.close(display.figure_)  # This is the same as HTML.
display

# %%
# Held-out articles
# -----------------
# The openings of articles, with the class that is predicted; three of ten are drawn.

openings = [article[:220] for article in news.X_held_out[:10]]
AttributionDisplay.from_estimator(clf, openings[:3], n_steps=15)
plt.show()

# %%
# The tokens that speak most for it, in five of them:

explanation = explain(clf, openings, n_steps=15)
for index, topic in enumerate(explanation.targets[:5]):
    strongest = explanation.attributions[index].argsort()[::-1][:4]
    tokens = [explanation.tokens[index][position] for position in strongest]
    print(f"{topic}: {', '.join(tokens)}")

# %%
# Does it mean something?
# -----------------------
# Leave out the tokens with the highest attributions first, and see how fast the
# probability of the predicted class falls; then leave tokens out in a random order.

rng = np.random.default_rng(0)
noise = [rng.random(len(tokens)) for tokens in explanation.tokens]
fig, ax = plt.subplots(layout="constrained")
for name, each in {
    "integrated gradients": explanation,
    "random": replace(explanation, attributions=noise),
}.items():
    deletion_curve(clf, each, n_steps=10).plot(ax, name=name)
plt.show()
