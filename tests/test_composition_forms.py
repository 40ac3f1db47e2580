"""The table in docs/meta_estimators.md: which meta-estimators take which form of X."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _composition import column, image_classifier, text_classifier
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    OutputCodeClassifier,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.semi_supervised import SelfTrainingClassifier

META: dict[str, Callable[[Any], Any]] = {
    "GridSearchCV": lambda net: GridSearchCV(net, {"dropout": [0.1]}, cv=2),
    "VotingClassifier": lambda net: VotingClassifier([("net", net)], voting="soft"),
    "StackingClassifier": lambda net: StackingClassifier([("net", net)], cv=2),
    "CalibratedClassifierCV": lambda net: CalibratedClassifierCV(net, cv=2),
    "TunedThresholdClassifierCV": lambda net: TunedThresholdClassifierCV(net, cv=2),
    "OneVsRestClassifier": OneVsRestClassifier,
    "OutputCodeClassifier": lambda net: OutputCodeClassifier(
        net, code_size=1, random_state=16
    ),
    "MultiOutputClassifier": MultiOutputClassifier,
    "BaggingClassifier": lambda net: BaggingClassifier(
        net, n_estimators=2, bootstrap=False
    ),
    "AdaBoostClassifier": lambda net: AdaBoostClassifier(net, n_estimators=1),
    "SelfTrainingClassifier": SelfTrainingClassifier,
    "OneVsOneClassifier": OneVsOneClassifier,
}
FORMS = ["raw texts", "column of texts", "raw images", "column of images", "rows"]
Y = np.array(["dark", "bright"] * 6)
PAGE = Path(__file__).parents[1] / "docs" / "meta_estimators.md"


def inputs(form: str) -> tuple[Any, Any]:
    """Return a classifier, and twelve dark and bright samples in one form."""
    if "texts" in form:
        texts = [f"a {label} day, the number {i}" for i, label in enumerate(Y)]
        X = column(texts) if "column" in form else texts
        return text_classifier(), X
    images = np.random.default_rng(0).random((12, 32, 32)) / 3
    images[Y == "bright"] += 0.6
    net = image_classifier(image_size=32, image_shape=(32, 32))
    if form == "rows":
        return net, images.reshape(12, -1)
    if form == "raw images":
        return net, images
    return net, column([Image.fromarray((255 * i).astype(np.uint8)) for i in images])


def promised(name: str, form: str) -> bool:
    """Read in the page whether a meta-estimator takes a form."""
    if (name, form) == ("AdaBoostClassifier", "raw images"):
        return True  # said below the table
    (row,) = [
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and f"`{name}`" in line
    ]
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert set(cells) <= {"yes", "no"}
    return cells[["raw", "column", "rows"].index(form.split()[0])] == "yes"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", META)
def test_the_page_says_what_a_meta_estimator_takes(name: str, form: str) -> None:
    net, X = inputs(form)
    meta = META[name](net)
    y = np.column_stack([Y, Y[::-1]]) if name == "MultiOutputClassifier" else Y
    if name == "SelfTrainingClassifier":
        y = np.where(np.arange(len(Y)) < 6, Y.astype(object), -1)
    if not promised(name, form):
        with pytest.raises((TypeError, ValueError)):
            meta.fit(X, y)
        return
    predicted = meta.fit(X, y).predict(X)
    assert predicted.shape == y.shape
    first = predicted[:, 0] if predicted.ndim == 2 else predicted
    assert np.mean(first == Y) > 0.8
