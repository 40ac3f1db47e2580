"""
How many labels are enough?
===========================

scikit-learn's learning curve repeats a fit with growing numbers of samples. A
pretrained network that stays frozen needs one pass for it: each article goes through
the network once, and all fits after that solve a linear head on what is stored.
"""

import time

import matplotlib.pyplot as plt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LearningCurveDisplay, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline

from sktransfer import PretrainedTextClassifier
from sktransfer.demonstration import bbc_news

news = bbc_news(n_labelled=400, n_held_out=1)
models = {
    "TF-IDF + logistic regression": make_pipeline(
        TfidfVectorizer(), LogisticRegression()
    ),
    "frozen network + linear head": PretrainedTextClassifier(
        freeze_depth="all", max_length=64
    ),
}
splits = StratifiedShuffleSplit(n_splits=4, test_size=100, random_state=0)
fig, ax = plt.subplots(layout="constrained")
for name, model in models.items():
    start = time.perf_counter()
    display = LearningCurveDisplay.from_estimator(
        model,
        news.X,
        news.y,
        train_sizes=[15, 30, 60, 120, 240],
        cv=splits,
        shuffle=True,
        random_state=0,
        score_type="test",
        score_name="accuracy on 100 held-out articles",
        ax=ax,
    )
    display.lines_[0].set(label=name, marker="o")
    print(f"{name}: {time.perf_counter() - start:.1f} s for 20 fits")
ax.set(xscale="log", xlabel="labelled articles")
ax.set_xticks([15, 30, 60, 120, 240], labels=["15", "30", "60", "120", "240"])
ax.minorticks_off()
ax.legend()
plt.show()
