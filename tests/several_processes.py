"""Jobs that `test_several_processes.py` launches in two processes at a time."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from _composition import image_classifier, text_classifier, textures
from bad_input_cases import SENTENCES, TOPICS
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from sktransfer.model_selection import lr_range_test

X, Y = SENTENCES * 3, TOPICS * 3


class Stop(Callback):
    """Interrupts training after some epochs."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) > self.after:
            raise KeyboardInterrupt


class Rows(Callback):
    """Notes how many samples this process was given in each step."""

    noted: list[int] = []

    def on_batch_end(self, net, batch, training, **kwargs):
        self.noted.append(len(batch[1][0]))


def text(**parameters):
    settings = {
        "device": "accelerate",
        "dropout": 0.0,
        "precision": "float32",
        "freeze_depth": -1,
        "max_epochs": 2,
        "batch_size": 5,
        "max_length": 16,
        "random_state": 0,
    }
    return text_classifier(**{**settings, **parameters})


def plain() -> np.ndarray:
    # Weighted, of different lengths, and with a batch that can't be halved.
    weights = np.linspace(0.5, 2.0, len(X))
    made = text(callbacks=[Rows()])
    return made.fit(X, Y, sample_weight=weights).predict_proba(X)


def penalised() -> np.ndarray:
    made = text(l2_sp=1.0, gradient_accumulation_steps=2)
    return made.fit(X, Y).predict_proba(X)


def random() -> np.ndarray:
    # With a seed that each process draws for itself.
    np.random.seed(os.getpid() % 2**31)
    return text(random_state=None, dropout=0.5).fit(X, Y).predict_proba(X)


def watched() -> np.ndarray:
    made = text(early_stopping=True, select_best=True, validation_fraction=0.3)
    return made.fit(X, Y).predict_proba(X)


def augmented() -> np.ndarray:
    data = textures()
    made = image_classifier(
        device="accelerate", freeze_depth=-1, augment="light", mixup=0.2, num_workers=1
    )
    return made.fit(data.X[:9], data.y[:9]).predict_proba(data.X[:9])


def searched() -> np.ndarray:
    search = GridSearchCV(text(), {"lr": [1e-4, 1e-3]}, cv=2).fit(X, Y)
    return search.predict_proba(X)


def rates() -> np.ndarray:
    return lr_range_test(text(), X, Y, n_steps=20).table.to_numpy()


def resumed() -> np.ndarray:
    folder = Path(os.environ["CHECKPOINTS"])
    made = text(checkpoint=folder, max_epochs=3, dropout=0.5)
    try:
        made.set_params(callbacks=[Stop(after=2)]).fit(X, Y)
    except KeyboardInterrupt:
        pass
    assert any(folder.iterdir())
    return made.set_params(callbacks=None).fit(X, Y).predict_proba(X)


def uninterrupted() -> np.ndarray:
    return text(max_epochs=3, dropout=0.5).fit(X, Y).predict_proba(X)


def error(make, *args) -> str:
    try:
        make(*args)
    except ValueError as raised:
        return str(raised)
    return ""


def errors() -> list[str]:
    few = text(batch_size=1)
    fit = delayed(error)
    in_workers = Parallel(n_jobs=2, backend="loky")(fit(text().fit, X, Y) for _ in "ab")
    in_threads = Parallel(n_jobs=2, backend="threading")(
        fit(text().fit, X, Y) for _ in "ab"
    )
    return [error(few.fit, X, Y), *in_workers, *in_threads]


def main(folder: str, *jobs: str) -> None:
    results = {}
    for job in jobs:
        found = globals()[job]()
        results[job] = found if isinstance(found, list) else np.asarray(found).tolist()
    results["rows"] = Rows.noted
    rank = os.environ.get("RANK", "0")
    Path(folder, f"{rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
