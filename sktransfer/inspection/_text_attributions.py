"""Attributions of what is said of texts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from sktransfer.features import SAMPLE_OF_WINDOW
from sktransfer.inputs import Text
from sktransfer.inspection._captum import integrated_gradients
from sktransfer.inspection._explanations import TextExplanation
from sktransfer.inspection._subject import Span, Subject, to_numpy
from sktransfer.inspection._targets import Outputs, outputs_of

#: Largest difference allowed between what a network makes of ids and of their word
#: embeddings, relative to the largest output.
_TOLERANCE = 1e-3


def explain_texts(
    subject: Subject, X: Any, *, target: Any, baseline: Any, n_steps: int
) -> TextExplanation:
    """Explain what is said of texts; see `explain`."""
    wanted, target = outputs_of(subject.estimator, target)
    samples = subject.samples(X)
    texts = [samples[index] for index in range(len(samples))]
    blank_id = _blank_id(subject, baseline)
    outputs = subject.outputs(texts, subject.outputs_of_texts)
    chosen = torch.from_numpy(wanted.choose(target, outputs))
    _check_reads_embeddings(_Reading.of(subject, texts[0], blank_id), outputs[:1])
    attributions, tokens, spans, baseline_scores = [], [], [], []
    for text, position in zip(texts, chosen, strict=True):
        reading = _Reading.of(subject, text, blank_id)
        scores = partial(reading.scores, wanted, position)
        found = integrated_gradients(
            scores,
            reading.embeddings,
            reading.baseline,
            n_steps=n_steps,
            batch_size=max(1, subject.estimator.batch_size // reading.n_windows),
        )
        by_span = _by_span(reading.spans, to_numpy(found.sum(dim=-1)[0]))
        attributions.append(np.array(list(by_span.values()), dtype=np.float32))
        spans.append(np.array(list(by_span), dtype=np.intp).reshape(-1, 3))
        tokens.append([_piece(text, span) for span in by_span])
        with torch.no_grad():
            baseline_scores.append(float(scores(reading.baseline)[0]))
    scores_of_texts = to_numpy(wanted.scores(outputs, chosen))
    return TextExplanation(
        method="integrated_gradients",
        targets=wanted.names[chosen.numpy()],
        column=wanted.column,
        scores=scores_of_texts,
        probabilities=wanted.probabilities(scores_of_texts),
        baseline_scores=np.array(baseline_scores, dtype=np.float32),
        attributions=attributions,
        tokens=tokens,
        spans=spans,
        texts=texts,
    )


@dataclass(frozen=True)
class _Reading:
    """What a network reads of a text, as word embeddings.

    Parameters
    ----------
    subject : Subject
        Whose network.
    spans : list of list of Span
        Where the tokens of each window are in the text.
    embeddings, baseline : Tensor of shape (1, n_windows, n_tokens, width)
        Of the text, and of the same one with blanks.
    side : dict of str to Tensor
        What else the network takes, a row a window.
    """

    subject: Subject
    spans: list[list[Span]]
    embeddings: torch.Tensor
    baseline: torch.Tensor
    side: dict[str, torch.Tensor]

    @classmethod
    def of(cls, subject: Subject, text: Text, blank_id: int) -> _Reading:
        """Read a text."""
        batch = subject.batch([text])
        ids = batch.pop("input_ids")
        batch.pop(SAMPLE_OF_WINDOW, None)
        spans = subject.spans(text)
        blanked = ids.clone()
        for window, places in enumerate(spans):
            inside = [index for index, (part, *_) in enumerate(places) if part >= 0]
            blanked[window, inside] = blank_id
        embed: Any = subject.network.tail.word_embeddings
        return cls(subject, spans, embed(ids)[None], embed(blanked)[None], batch)

    @property
    def n_windows(self) -> int:
        """How many windows of the text are read."""
        return len(self.spans)

    def outputs(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return outputs of points on the way, (n, n_windows, n_tokens, width)."""
        n = len(embeddings)
        batch = {
            name: tensor.repeat(n, *[1] * (tensor.ndim - 1))
            for name, tensor in self.side.items()
        }
        if self.n_windows > 1:
            batch[SAMPLE_OF_WINDOW] = torch.arange(n).repeat_interleave(self.n_windows)
        return self.subject.network(state=embeddings.flatten(0, 1), **batch).float()

    def scores(
        self, wanted: Outputs, position: torch.Tensor, embeddings: torch.Tensor
    ) -> torch.Tensor:
        """Return scores of one target, (n,)."""
        outputs = self.outputs(embeddings)
        return wanted.scores(outputs, position.to(outputs.device).expand(len(outputs)))


def _blank_id(subject: Subject, baseline: Any) -> int:
    """Return the token that stands for nothing."""
    tokenizer = subject.backbone.preprocessing.tokenizer
    known = {"mask": tokenizer.mask_token_id, "pad": tokenizer.pad_token_id}
    known = {name: token_id for name, token_id in known.items() if token_id is not None}
    if baseline == "auto" and known:
        return next(iter(known.values()))
    if not isinstance(baseline, str) or baseline not in known:
        raise ValueError(
            f"The 'baseline' parameter must be 'auto' or one of {list(known)}, the "
            f"tokens that this tokenizer has for it. Got {baseline!r} instead."
        )
    return known[baseline]


@torch.no_grad()
def _check_reads_embeddings(reading: _Reading, expected: torch.Tensor) -> None:
    """Raise an error if a network makes something else of embeddings than of ids."""
    found = reading.outputs(reading.embeddings).cpu()
    difference = (found - expected).abs().max() / expected.abs().max().clamp_min(1e-6)
    if not difference <= _TOLERANCE:
        raise ValueError(
            f"The network {reading.subject.backbone.name!r} can't be explained: run on "
            "the word embeddings of a text, it gives something else than on its token "
            f"ids (relative difference {difference:.1e})."
        )


def _by_span(spans: list[list[Span]], values: np.ndarray) -> dict[Span, float]:
    """Add up what is attributed to the tokens at one place, in the order of places."""
    total: dict[Span, float] = {}
    for places, row in zip(spans, values, strict=True):
        for span, value in zip(places, row.tolist(), strict=False):
            if span[0] >= 0:
                total[span] = total.get(span, 0.0) + value
    return dict(sorted(total.items()))


def _piece(text: Text, span: Span) -> str:
    part, start, stop = span
    return (text if isinstance(text, str) else text[part])[start:stop]
