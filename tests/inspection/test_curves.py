"""Whether explanations mean something."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
from _composition import news, text_classifier
from _explained import FED, onlooker, pasted, reader
from matplotlib import pyplot
from numpy.testing import assert_allclose
from scipy.stats import wilcoxon

from sktransfer import PretrainedTextRegressor
from sktransfer.inspection import deletion_curve, explain, insertion_curve

N_TEXTS = 32


def random_twin(explanation: Any) -> Any:
    rng = np.random.default_rng(0)
    drawn = [rng.random(np.shape(a)) for a in explanation.attributions]
    if isinstance(explanation.attributions, np.ndarray):
        drawn = np.stack(drawn)
    return dataclasses.replace(explanation, attributions=drawn)


@functools.cache
def of_texts() -> Any:
    return explain(reader(), news().X_held_out[:N_TEXTS], n_steps=4)


@functools.cache
def of_images() -> Any:
    X, y, _ = pasted(12, half=1)
    return explain(onlooker(), X[y != "nothing"], target=y[y != "nothing"])


def test_texts_lose_their_topic_sooner_than_by_chance():
    areas = {
        curve: [
            curve(reader(), each, n_steps=8).areas
            for each in (of_texts(), random_twin(of_texts()))
        ]
        for curve in (deletion_curve, insertion_curve)
    }
    for curve, (found, by_chance) in areas.items():
        print(curve.__name__, f"{found.mean():.3f}, by chance {by_chance.mean():.3f}")
    assert wilcoxon(*areas[deletion_curve], alternative="less").pvalue < 0.01
    assert wilcoxon(*areas[insertion_curve], alternative="greater").pvalue < 0.05


def test_images_lose_their_class_sooner_than_by_chance():
    found, by_chance = (
        deletion_curve(onlooker(), each, n_steps=6).areas
        for each in (of_images(), random_twin(of_images()))
    )
    print(f"deletion {found.mean():.3f}, by chance {by_chance.mean():.3f}")
    assert len(found) == 8
    assert wilcoxon(found, by_chance, alternative="less").pvalue < 0.01


def test_the_ends_are_the_whole_sample_and_nothing():
    texts = news().X_held_out[:3]
    explanation = explain(reader(), texts, n_steps=2)
    deleted = deletion_curve(reader(), explanation, n_steps=4)
    inserted = insertion_curve(reader(), explanation, n_steps=4)
    assert deleted.fractions.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert_allclose(deleted.probabilities[:, 0], explanation.probabilities, atol=1e-4)
    assert_allclose(inserted.probabilities[:, -1], explanation.probabilities, atol=1e-4)
    places = np.searchsorted(reader().classes_, explanation.targets)
    empty = reader().predict_proba([""])[0, places]
    assert_allclose(deleted.probabilities[:, -1], empty, atol=1e-4)
    assert_allclose(inserted.probabilities[:, 0], empty, atol=1e-4)
    expected = np.trapezoid(deleted.probabilities, dx=0.25, axis=1)
    assert_allclose(deleted.areas, expected)


def test_tokens_go_in_the_order_of_what_they_say():
    text = "a late goal by the bank"
    explanation = explain(reader(), [text], target="sports", n_steps=2)
    values = np.array([0.1, 0.2, 0.9, 0.3, 0.0, -0.5], dtype=np.float32)
    explanation = dataclasses.replace(explanation, attributions=[values])
    steps = [text, "a late by the bank", "a late the bank", "a the bank"]
    found = deletion_curve(reader(), explanation, n_steps=6).probabilities[0, :4]
    place = reader().classes_.tolist().index("sports")
    assert_allclose(found, reader().predict_proba(steps)[:, place], atol=1e-4)
    steps = ["", "goal", "goal by", "late goal by"]
    found = insertion_curve(reader(), explanation, n_steps=6).probabilities[0, :4]
    assert_allclose(found, reader().predict_proba(steps)[:, place], atol=1e-4)


def test_what_was_not_read_does_not_move_up():
    """The text goes on after the 24 tokens that the network takes."""
    long = " ".join(["word"] * 22 + ["goal striker penalty"])
    explanation = explain(reader(), [long], target="sports", n_steps=2)
    found = deletion_curve(reader(), explanation, n_steps=22)
    shorter = [" ".join(["word"] * n) for n in range(22, -1, -1)]
    place = reader().classes_.tolist().index("sports")
    expected = reader().predict_proba(shorter)[:, place]
    assert_allclose(found.probabilities[0], expected, atol=1e-4)


def test_patches_go_in_the_order_of_what_they_say():
    X, _, _ = pasted(6, half=1)
    explanation = explain(onlooker(), X[:1])
    values = np.zeros((1, FED, FED), dtype=np.float32)
    half = FED // 2
    values[0, :half, half:], values[0, half:, :half], values[0, :half, :half] = 3, 2, 1
    explanation = dataclasses.replace(explanation, attributions=values)
    options = {"n_steps": 4, "patch_size": half, "baseline": 0.0}
    found = deletion_curve(onlooker(), explanation, **options)
    pictures = np.repeat(explanation.images, 5, axis=0)
    for step, (row, column) in enumerate([(0, 1), (1, 0), (0, 0), (1, 1)], start=1):
        rows = slice(row * half, (row + 1) * half)
        columns = slice(column * half, (column + 1) * half)
        pictures[step:, rows, columns] = 0
    place = onlooker().classes_.tolist().index(explanation.targets[0])
    expected = onlooker().predict_proba(pictures)[:, place]
    assert_allclose(found.probabilities[0], expected, atol=1e-3)
    back = insertion_curve(onlooker(), explanation, **options)
    assert_allclose(back.probabilities[0, [0, -1]], expected[[-1, 0]], atol=1e-3)


@pytest.mark.parametrize("patch_size", [None, 1, 7, 10**6])
def test_patches_of_any_size_cover_the_image(patch_size):
    explanation = dataclasses.replace(
        of_images(),
        **{
            name: getattr(of_images(), name)[:1]
            for name in ("attributions", "images", "targets", "scores")
        },
    )
    options = {"patch_size": patch_size, "n_steps": 2, "baseline": 0.5}
    found = deletion_curve(onlooker(), explanation, **options)
    grey = np.full((1, FED, FED, 3), 0.5)
    place = onlooker().classes_.tolist().index(explanation.targets[0])
    expected = onlooker().predict_proba(grey)[:, place]
    assert_allclose(found.probabilities[:, -1], expected, atol=1e-3)
    assert_allclose(found.probabilities[:, 0], of_images().probabilities[:1], atol=1e-3)


def test_numbers_and_columns_have_curves_too():
    texts = ["a late goal", "shares fell", "a draw", "profits rose"]
    regressor = PretrainedTextRegressor(freeze_depth="all", max_length=24)
    regressor.fit(texts, [100.0, 300.0, 120.0, 290.0])
    curve = deletion_curve(regressor, explain(regressor, texts, n_steps=2), n_steps=2)
    assert_allclose(curve.probabilities[:, 0], regressor.predict(texts), rtol=1e-4)
    columns = np.array([["sport", "x"], ["money", "y"], ["sport", "y"], ["money", "x"]])
    clf = text_classifier().fit(texts, columns)
    explanation = explain(clf, texts, target=(1, None), n_steps=2)
    curve = deletion_curve(clf, explanation, n_steps=2)
    expected = clf.predict_proba(texts)[1].max(axis=1)
    assert_allclose(curve.probabilities[:, 0], expected, atol=1e-4)


def test_the_mean_curve_is_drawn():
    curve = deletion_curve(reader(), of_texts(), n_steps=2)
    ax = curve.plot()
    (line,) = ax.lines
    assert_allclose(line.get_ydata(), curve.probabilities.mean(axis=0))
    assert_allclose(line.get_xdata(), [0, 0.5, 1])
    assert len(ax.collections) == 1  # The band.
    assert ax.get_xlabel() == "share deleted"
    assert line.get_label().startswith("deletion (mean area 0.")
    assert curve.plot(ax=ax, name="random") is ax
    _, named = ax.lines
    assert named.get_label().startswith("random (mean area 0.")
    assert len(pyplot.get_fignums()) == 1


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="is a TextExplanation, and the .* images"):
        deletion_curve(onlooker(), of_texts())
    for name in ("n_steps", "patch_size"):
        with pytest.raises(ValueError, match=f"{name} == 0, must be >= 1"):
            deletion_curve(onlooker(), of_images(), **{name: 0})
    with pytest.raises(TypeError, match="fitted classifier or regressor"):
        insertion_curve(None, of_texts())
