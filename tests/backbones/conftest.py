"""A folder with a model; the table of architectures, printed after its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _small_models import save_text

from sktransfer.backbones import Backbone


@pytest.fixture(scope="module")
def table() -> Iterator[Callable[[Backbone, str, float | None], None]]:
    """Give a function that adds a backbone's largest difference in a column."""
    rows: dict[tuple[str, int, int], dict[str, float | None]] = {}

    def add(backbone: Backbone, column: str, difference: float | None) -> None:
        row = (backbone.name, backbone.n_stages, backbone.n_features)
        rows.setdefault(row, {})[column] = difference

    yield add
    columns = sorted({column for found in rows.values() for column in found})
    heads = "".join(f"{column:>12}" for column in columns)
    print(f"\n{'network':38}{'stages':>7}{'features':>9}{heads}")
    for (name, n_stages, n_features), found in rows.items():
        values = (found.get(column) for column in columns)
        shown = ("not cut" if value is None else f"{value:.1e}" for value in values)
        cells = "".join(f"{value:>12}" for value in shown)
        print(f"{name:38}{n_stages:7}{n_features:9}{cells}")


@pytest.fixture(scope="module")
def texts_folder(tmp_path_factory) -> Path:
    """Hold a small text encoder and its tokenizer; not to be written to."""
    return save_text(tmp_path_factory.mktemp("text") / "bert")
