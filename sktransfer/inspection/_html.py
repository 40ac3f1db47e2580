"""Texts with coloured tokens, as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np

from sktransfer.inspection._explanations import TextExplanation

#: For and against, as red, green and blue: readable on a dark page as on a light one.
FOR, AGAINST = (214, 69, 65), (58, 118, 196)


def texts_as_html(explanation: TextExplanation, headings: list[str]) -> str:
    """Return all texts, each under a heading; whatever is in them is escaped."""
    blocks = []
    for index, heading in enumerate(headings):
        text = explanation.texts[index]
        parts = [text] if isinstance(text, str) else text
        values = explanation.attributions[index]
        largest = max(float(np.abs(values).max(initial=0.0)), 1e-12)
        shown = []
        for number, part in enumerate(parts):
            spans = explanation.spans[index]
            own = spans[:, 0] == number
            shown.append("".join(_colored(part, spans[own], values[own], largest)))
        body = "<hr>".join(shown)
        blocks.append(
            f"<div><strong>{escape(heading)}</strong>"
            f'<p style="white-space: pre-wrap; line-height: 1.6">{body}</p></div>'
        )
    return '<div class="sktransfer-attributions">' + "".join(blocks) + "</div>"


def _colored(
    text: str, spans: np.ndarray, values: np.ndarray, largest: float
) -> Iterator[str]:
    """Yield a text piece by piece, tokens with a background."""
    done = 0
    for (_, start, stop), value in zip(spans.tolist(), values.tolist(), strict=True):
        if start < done or start == stop:
            continue  # A part of what is coloured already, or of nothing.
        yield escape(text[done:start])
        red, green, blue = FOR if value > 0 else AGAINST
        opacity = round(0.75 * abs(value) / largest, 3)
        style = f"background-color: rgba({red}, {green}, {blue}, {opacity})"
        yield (
            f'<span style="{style}" title="{value:+.3g}">'
            f"{escape(text[start:stop])}</span>"
        )
        done = stop
    yield escape(text[done:])


def heading_of(explanation: Any, index: int) -> str:
    """Return what was explained of a sample, and how probable it is."""
    target = explanation.targets[index]
    score, probability = explanation.scores[index], explanation.probabilities[index]
    if np.isnan(probability):  # What a regressor predicts has none.
        return f"output {target}: {score:.3g}"
    return f"{target} ({probability:.2f})"
