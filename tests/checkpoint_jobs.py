"""A fit that writes checkpoints; `test_checkpoints.py` kills it and calls it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from _composition import news, text_classifier

#: Long enough to be killed in, with everything that has a state.
PLAIN = {"freeze_depth": -1, "max_epochs": 8, "batch_size": 4, "dropout": 0.2}
KINDS = {
    "watched": PLAIN | {"early_stopping": True, "tol": 0.0, "token_dropout": 0.1},
    "averaged": PLAIN | {"weight_averaging": True, "gradual_unfreezing": True},
}


def fit(kind: str, **parameters):
    data = news()
    estimator = text_classifier(**KINDS[kind] | parameters)
    return estimator.fit(data.X[:40], data.y[:40])


def fit_and_save(kind: str, folder: Path, result: Path, ready: Any) -> None:
    # The parent kills this process some time after it has heard this.
    ready.set()
    estimator = fit(kind, checkpoint=folder, cache=folder / "store")
    probabilities = estimator.predict_proba(news().X_held_out)
    history = estimator.history_.drop(columns="dur").to_numpy()
    np.savez(result, probabilities=probabilities, history=history)
