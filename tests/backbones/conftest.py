"""A folder with a model; the table of architectures, printed after its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _small_models import save_text

from sktransfer.backbones import Backbone


@pytest.fixture(scope="module")
def table() -> Iterator[Callable[[Backbone, float | None], None]]:
    """Give a function that adds a backbone and the largest difference of its cuts."""
    rows: list[str] = []

    def add(backbone: Backbone, difference: float | None) -> None:
        shown = "not cut" if difference is None else f"{difference:.1e}"
        rows.append(
            f"{backbone.name:38}{backbone.n_stages:7}{backbone.n_features:9}{shown:>12}"
        )

    yield add
    print(f"\n{'network':38}{'stages':>7}{'features':>9}{'difference':>12}")
    print("\n".join(rows))


@pytest.fixture(scope="module")
def texts_folder(tmp_path_factory) -> Path:
    """Hold a small text encoder and its tokenizer; not to be written to."""
    return save_text(tmp_path_factory.mktemp("text") / "bert")
