"""Drawing what pixels and tokens contribute."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any

import numpy as np
import pytest
from _composition import text_classifier
from _explained import FED, PHOTOGRAPH, onlooker, pasted, reader
from matplotlib import pyplot
from matplotlib.patches import Rectangle
from numpy.testing import assert_allclose

from sktransfer.inspection import AttributionDisplay, explain
from sktransfer.inspection._html import AGAINST, FOR
from sktransfer.inspection._lines import Lines

TEXTS = ["<script>a goal</script> & a draw", "Shares\nfell."]


@functools.cache
def of_texts() -> Any:
    return explain(reader(), TEXTS, target=["sports", "business"], n_steps=2)


def boxes(axes: Any) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_images_have_an_overlay():
    X, y, _ = pasted(6, half=1)
    display = AttributionDisplay.from_estimator(onlooker(), X[:3], target=y[:3])
    found = display.explanation
    for index, axes in enumerate(display.axes_):
        picture, overlay = axes.images
        assert_allclose(picture.get_array(), found.images[index])
        colors, values = overlay.get_array(), found.attributions[index]
        assert colors.shape == (FED, FED, 4)
        positive = values > 0
        assert_allclose(
            colors[positive][:, :3] * 255, np.tile(FOR, (positive.sum(), 1))
        )
        assert_allclose(
            colors[~positive][:, :3] * 255, np.tile(AGAINST, ((~positive).sum(), 1))
        )
        strongest = np.abs(values).argmax()
        assert colors[..., 3].ravel()[strongest] == colors[..., 3].max() == 0.75
        weak = np.abs(values).argmin()
        assert colors[..., 3].ravel()[weak] < 0.05
        title = f"{y[index]} ({found.probabilities[index]:.2f})"
        assert axes.get_title() == title
    assert display._repr_html_() is None


def test_pictures_keep_their_shape():
    wide = np.zeros((PHOTOGRAPH // 2, PHOTOGRAPH), dtype=np.uint8)
    display = AttributionDisplay.from_estimator(onlooker(), [wide])
    display.figure_.canvas.draw()
    extent = display.axes_[0].get_window_extent()
    assert extent.height / extent.width == pytest.approx(0.5, rel=0.02)


def test_tokens_have_boxes_behind_them():
    display = AttributionDisplay.from_explanation(of_texts())
    for index, axes in enumerate(display.axes_):
        values = of_texts().attributions[index]
        drawn = boxes(axes)
        assert len(drawn) == len(values)
        for box, value, token in zip(
            drawn, values, of_texts().tokens[index], strict=True
        ):
            expected = np.array(FOR if value > 0 else AGAINST) / 255
            assert_allclose(box.get_facecolor()[:3], expected)
            opacity = 0.75 * abs(value) / np.abs(values).max()
            assert box.get_alpha() == pytest.approx(opacity)
            assert box.get_width() == len(token)
            line = axes.texts[int(box.get_y())].get_text()
            assert line[int(box.get_x()) :].startswith(token)
    assert display.axes_[0].texts[0].get_text() == TEXTS[0]
    assert display.axes_[1].texts[0].get_text() == "Shares fell."
    assert display.axes_[1].get_title().startswith("business (0.")


@pytest.mark.parametrize("n_texts", [1, 3])
def test_characters_are_as_wide_as_their_boxes(n_texts):
    texts = [" ".join(["striker"] * 20)] * n_texts
    display = AttributionDisplay.from_estimator(reader(), texts, n_steps=1)
    display.figure_.canvas.draw()
    for axes in display.axes_:
        line = axes.texts[0]
        limits = line.get_window_extent().transformed(axes.transData.inverted())
        assert limits.width == pytest.approx(len(line.get_text()), rel=0.03)


def test_html_is_escaped_and_coloured():
    html = AttributionDisplay(of_texts())._repr_html_()
    assert "<script" not in html
    assert "&lt;" in html and "&amp;" in html
    plain = re.sub(r"<[^>]*>", "", html.partition("</strong>")[2].partition("</p>")[0])
    assert plain == TEXTS[0].replace("&", "&amp;").replace("<", "&lt;").replace(
        ">", "&gt;"
    )
    strongest = int(np.abs(of_texts().attributions[1]).argmax())
    token = of_texts().tokens[1][strongest]
    value = of_texts().attributions[1][strongest]
    red, green, blue = FOR if value > 0 else AGAINST
    wanted = (
        f'<span style="background-color: rgba({red}, {green}, {blue}, 0.75)" '
        f'title="{value:+.3g}">{token}</span>'
    )
    assert wanted in html
    assert html.count("<span") == sum(map(len, of_texts().tokens))


def test_labels_and_pairs_are_shown_too():
    pairs = [("a goal", "shares fell"), ("a draw", "profits")]
    clf = text_classifier().fit(pairs, ["<b>", "c"])
    display = AttributionDisplay.from_estimator(clf, pairs[:1], target="<b>", n_steps=1)
    html = display._repr_html_()
    assert "<b>" not in html and "&lt;b&gt; (0." in html
    assert html.count("<hr>") == 1
    assert [t.get_text() for t in display.axes_[0].texts] == list(pairs[0])


def test_an_empty_text_and_one_of_signs_are_drawn():
    display = AttributionDisplay.from_estimator(
        reader(), ["", "$x^2 \\frac{1}$ {%"], n_steps=1
    )
    display.figure_.canvas.draw()
    assert boxes(display.axes_[0]) == []
    assert "<span" in display._repr_html_()


def test_numbers_have_no_probability():
    explanation = dataclasses.replace(
        of_texts(),
        targets=np.array([0, 0]),
        scores=np.array([12.3456, 2.0]),
        probabilities=np.array([np.nan, np.nan]),
    )
    display = AttributionDisplay.from_explanation(explanation)
    assert display.axes_[0].get_title() == "output 0: 12.3"


def test_axes_may_be_given():
    _, axes = pyplot.subplots(2)
    display = AttributionDisplay.from_explanation(of_texts(), ax=axes)
    assert list(display.axes_) == list(axes)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two ", "three"]),
        ("a\nb  c", ["a b  c"]),
        ("abcdefghijkl m", ["abcdefgh", "ijkl m"]),
        ("", [""]),
        (("one", "two"), ["one", "two"]),
    ],
)
def test_texts_are_broken_into_lines(text, lines):
    found = Lines.of(text, 8)
    assert found.lines == lines
    for part, places in zip(
        [text] if isinstance(text, str) else text, found.places, strict=True
    ):
        for character, (row, column) in zip(part, places.tolist(), strict=True):
            if column >= 0 and not character.isspace():
                assert found.lines[row][column] == character


def test_a_piece_over_two_lines_has_two_boxes():
    found = Lines.of("abcdefghijkl", 8)
    assert list(found.boxes(0, 6, 10)) == [(0, 6, 8), (1, 0, 2)]
