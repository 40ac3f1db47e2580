"""Drawing what a classifier is most wrong about."""

from __future__ import annotations

import numpy as np
import pytest
from _composition import column, news, text_classifier, textures, tfidf
from _explained import onlooker, pasted, reader
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.linear_model import Perceptron

from sktransfer.inspection import TopErrorsDisplay

PROBA = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.55, 0.45], [0.05, 0.95]])
TRUE = ["b", "b", "b", "a", "a"]


def shown(axes) -> str:
    return "".join(text.get_text() for text in axes.texts)


def test_texts_with_the_least_probable_class_come_first():
    X, y = news().X_held_out, news().y_held_out
    display = TopErrorsDisplay.from_estimator(reader(), X, y, n=4)
    proba, classes = reader().predict_proba(X), reader().classes_
    own = proba[np.arange(len(y)), np.searchsorted(classes, y)]
    wrong = np.flatnonzero(reader().predict(X) != y)
    assert len(wrong) > 4
    assert set(display.indices) == set(wrong[np.argsort(own[wrong])[:4]])
    assert_allclose(display.true_probability, own[display.indices])
    assert (np.diff(display.true_probability) >= 0).all()
    assert_array_equal(display.true, y[display.indices])
    assert_array_equal(display.predicted, reader().predict(X)[display.indices])
    assert_allclose(display.predicted_probability, proba[display.indices].max(axis=1))
    for index, axes in zip(display.indices, display.axes_, strict=True):
        start = " ".join(X[index].split())[:20]
        assert shown(axes).replace("\n", " ").startswith(start)
        assert f"not {y[index]} ({own[index]:.2f})" in axes.get_title()


@pytest.mark.parametrize("form", ["arrays", "files", "rows"])
def test_images_are_shown_as_they_are(form, tmp_path):
    X, y, _ = pasted(9, half=1)
    # Labels that are wrong for sure.
    y = np.where(y == "brick", "gravel", "brick")
    options = {}
    given = X
    if form == "rows":
        given, options = X.reshape(len(X), -1), {"image_shape": X.shape[1:]}
    elif form == "files":
        given = [str(tmp_path / f"{index}.png") for index in range(len(X))]
        for path, image in zip(given, X, strict=True):
            Image.fromarray(image).save(path)
    clf = onlooker()
    display = TopErrorsDisplay.from_predictions(
        *(given, y, clf.predict_proba(X), clf.classes_),
        n=3,
        kind="image",
        **options,
    )
    for index, axes in zip(display.indices, display.axes_, strict=True):
        (picture,) = axes.images
        assert_array_equal(picture.get_array()[..., 0], X[index])
        assert axes.get_xticks().size == 0
    if form == "arrays":
        again = TopErrorsDisplay.from_estimator(clf, X, y, n=3)
        assert_array_equal(again.indices, display.indices)


def test_only_errors_are_shown():
    display = TopErrorsDisplay.from_predictions(["x"] * 5, TRUE, PROBA, ["a", "b"])
    assert display.indices.tolist() == [4, 0, 2]
    assert [axes.get_title() for axes in display.axes_] == [
        "b (0.95), not a (0.05)",
        "a (0.90), not b (0.10)",
        "a (0.60), not b (0.40)",
    ]
    none = TopErrorsDisplay.from_predictions(["x"], ["a"], [[0.9, 0.1]], ["a", "b"])
    assert [axes.get_title() for axes in none.axes_] == ["no errors"]


def test_any_classifier_will_do():
    data = news()
    model = tfidf().fit(data.X, data.y)
    display = TopErrorsDisplay.from_estimator(model, data.X_held_out, data.y_held_out)
    assert len(display.indices) == 9
    assert isinstance(display.samples[0], str)


def test_texts_may_be_pairs_columns_or_full_of_signs():
    signs = "<b>$x_1$ & \\frac{1}{2}"
    for given, expected in (
        ([(signs, "two")], f"{signs} / two"),
        (column([signs]), signs),
    ):
        display = TopErrorsDisplay.from_predictions(given, ["a"], [[0, 1]], ["a", "b"])
        assert shown(display.axes_[0]) == expected
        display.figure_.canvas.draw()


def test_axes_may_be_given():
    _, axes = pyplot.subplots(1, 3)
    options = {"classes": ["a", "b"], "ax": axes}
    display = TopErrorsDisplay.from_predictions(["x"] * 5, TRUE, PROBA, **options)
    assert_array_equal(display.axes_, axes)


def test_what_cannot_be_shown_is_refused():
    make = TopErrorsDisplay.from_predictions
    texts = ["x"] * 5
    with pytest.raises(TypeError, match="predict_proba. Got Perceptron instead"):
        TopErrorsDisplay.from_estimator(Perceptron(), textures().X, textures().y)
    with pytest.raises(ValueError, match=r"unseen labels: \['c'\]"):
        make(texts, ["c", *TRUE[1:]], PROBA, ["a", "b"])
    with pytest.raises(ValueError, match=r"shape \(5, 3\).*Got \(5, 2\)"):
        make(texts, TRUE, PROBA, ["a", "b", "c"])
    with pytest.raises(ValueError, match="'auto', 'image' or 'text'"):
        make(texts, TRUE, PROBA, ["a", "b"], kind="words")
    with pytest.raises(ValueError, match="n == -1, must be >= 1"):
        make(texts, TRUE, PROBA, ["a", "b"], n=-1)
    table = np.array([[0, 1], [1, 0], [1, 1], [0, 0]])
    several = text_classifier().fit(news().X[:4], table)
    with pytest.raises(ValueError, match=r"one class a sample.*\(4, 2\)"):
        TopErrorsDisplay.from_estimator(several, news().X[:4], table)
