"""What a fitted estimator says of itself."""

from __future__ import annotations

import html
import re

import numpy as np
import pytest
from _composition import image_classifier, news, text_classifier, textures
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer import PretrainedTextEmbedder, PretrainedTextRegressor
from sktransfer.exceptions import WeightsUnavailableError


def facts(estimator):
    title, *lines = estimator.summary().splitlines()
    assert title == type(estimator).__name__
    return dict(re.split(r"  +", line.strip(), maxsplit=1) for line in lines)


def texts():
    data = news()
    return data.X[:30], data.y[:30]


def test_a_classifier():
    X, y = texts()
    found = facts(text_classifier(freeze_depth=-2, max_epochs=2).fit(X, y))
    assert found["backbone"].startswith("sentence-transformers/all-MiniLM-L6-v2 (384")
    assert found["frozen"] == "5 stages: embeddings, layer.0, layer.1, layer.2, layer.3"
    assert found["trained"] == "2 stages: layer.4, layer.5"
    n_head = 384 * 5 + 5
    assert (
        found["parameters"] == f"3.55 M of 22.57 M trained, and {n_head:,} of the head"
    )
    assert found["head"] == "linear, 5 outputs"
    assert found["classes"].startswith("5 classes: business, entertainment, politics")
    assert found["epochs"] == "2"
    assert re.fullmatch(r"train_loss [\d.e-]+", found["last epoch"])


def test_what_was_watched_and_kept():
    X, y = texts()
    made = text_classifier(
        freeze_depth=-1, max_epochs=4, lr=3e-2, select_best=True, early_stopping=True
    ).fit(X, y)
    found = facts(made)
    assert made.best_epoch_ < made.n_iter_
    assert found["epochs"] == f"{made.n_iter_}, weights of epoch {made.best_epoch_}"
    assert "valid_loss" in found["last epoch"]
    assert "valid_score" in found["last epoch"]


def test_everything_frozen():
    data = textures()
    found = facts(image_classifier().fit(data.X, data.y))
    assert found["frozen"] == "8 stages: stem, blocks.0, ..., blocks.5, blocks.6"
    assert found["trained"] == "none"
    assert found["parameters"].startswith("0.00 M of 3.37 M trained")
    assert "epochs" not in found


def test_other_targets_and_heads():
    X, y = texts()
    several = np.column_stack([y, np.where(y == y[0], "yes", "no")])
    found = facts(text_classifier(head="mlp").fit(X, several))
    assert found["classes"] == "5 x 2, one of each of 2 columns"
    assert found["head"] == "Sequential, 7 outputs"
    numbers = PretrainedTextRegressor(freeze_depth="all").fit(X, np.arange(30.0))
    assert "classes" not in facts(numbers)
    found = facts(PretrainedTextEmbedder().fit(X))
    assert list(found) == ["backbone", "frozen", "trained", "parameters"]
    assert found["parameters"] == "22.57 M"


def test_an_estimator_that_is_not_fitted():
    with pytest.raises(NotFittedError):
        text_classifier().summary()
    shown = text_classifier()._repr_mimebundle_()["text/html"]
    assert "sk-top-container" in shown
    assert "stages" not in shown


def test_a_notebook_shows_the_facts_below_the_picture():
    X, y = texts()
    made = text_classifier(freeze_depth=-1).fit(X, np.where(y == y[0], "<b>", y))
    shown = made._repr_mimebundle_()["text/html"]
    picture, _, table = shown.rpartition("<table")
    assert "sk-top-container" in picture
    cells = [
        html.unescape(c) for c in re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", table)
    ]
    assert dict(zip(cells[::2], cells[1::2], strict=True)) == facts(made)
    assert "&lt;b&gt;" in table
    assert "<b>" not in table
    assert table in made._repr_html_()
    with config_context(display="text"):
        assert list(made._repr_mimebundle_()) == ["text/plain"]
    assert "sk-top" in make_pipeline(FunctionTransformer(), made)._repr_html_()


def test_it_is_told_where_the_weights_are_not():
    made = PretrainedTextEmbedder().fit(["a text"])
    whole = made.backbone_

    class Gone:
        name, n_features, n_stages = whole.name, whole.n_features, whole.n_stages
        stage_names = whole.stage_names

        @property
        def network(self):
            raise WeightsUnavailableError("The folder is gone.")

    made.backbone_ = Gone()
    assert facts(made)["parameters"] == "an unknown number"
