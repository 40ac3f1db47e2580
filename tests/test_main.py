"""`python -m sktransfer`: its options, a small run of each part, and the store."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from sklearn.metrics import accuracy_score

import sktransfer.__main__ as command
from sktransfer import PretrainedTextEmbedder, cache
from sktransfer.demonstration import (
    Dataset,
    MissingPackageError,
    image_task,
    print_report,
    run,
    save_figures,
    text_task,
)
from sktransfer.exceptions import CacheWarning


def small(task, n_held_out):
    """Return a task with fewer held-out samples and a grid of two candidates."""
    data = task.data
    keep = np.linspace(0, len(data.y_held_out) - 1, n_held_out).astype(int)
    data = Dataset(data.X, data.y, data.X_held_out[keep], data.y_held_out[keep])
    grid = {"freeze_depth": ["all", -1], "lr": [3e-4]}
    pretrained = task.pretrained.set_params(max_epochs=1)
    return dataclasses.replace(
        task, data=data, param_grid=grid, pretrained=pretrained, n_folds=2
    )


def test_help_names_the_options():
    shown = subprocess.run(
        [sys.executable, "-m", "sktransfer", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for option in ("--text", "--image", "--output", "cache", "cache clear"):
        assert option in shown.stdout


@pytest.mark.parametrize(
    ("make", "beaten"),
    [
        (text_task, ["TF-IDF + logistic regression"]),
        (image_task, ["pixels + random forest", "HOG + SVM"]),
    ],
)
def test_a_small_run(make, beaten, tmp_path):
    task = small(make(), n_held_out=60)
    console = Console(file=io.StringIO(), width=100)
    result = run(task, console)
    figures = save_figures(result, tmp_path / "new" / "folder")
    print_report(result, figures, console)

    assert [row.model for row in result.classic] == list(task.classic)
    assert len(result.cv_results["params"]) == 2
    for row in (*result.classic, result.pretrained):
        truth = task.data.y_held_out
        assert row.held_out["accuracy"] == accuracy_score(truth, row.predicted)
        assert set(row.predicted) <= set(task.data.y)
    accuracy = {row.model: row.held_out["accuracy"] for row in result.classic}
    for model in beaten:
        assert result.pretrained.held_out["accuracy"] > accuracy[model] + 0.1

    printed = console.file.getvalue()
    assert type(task.pretrained).__name__ in printed
    assert f"freeze_depth={result.best_params['freeze_depth']!r}" in printed
    assert f"{result.pretrained.held_out['accuracy']:.3f}" in printed
    # Every candidate on every fold was counted, and the refit.
    assert "5/5" in printed
    assert len(figures) == 2
    for path in figures:
        assert str(path) in printed.replace("\n", "")
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 600


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["text", "image"]),
        (["--text"], ["text"]),
        (["--image"], ["image"]),
        (["--text", "--image"], ["text", "image"]),
    ],
)
def test_the_options_choose_the_parts(arguments, expected, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(command, "text_task", lambda: "text")
    monkeypatch.setattr(command, "image_task", lambda: "image")
    monkeypatch.setattr(command, "run", lambda task, console: ran.append(task) or task)
    monkeypatch.setattr(command, "save_figures", lambda result, folder: [folder])
    monkeypatch.setattr(command, "print_report", lambda result, figures, console: None)
    assert command.main([*arguments, "--output", str(tmp_path)]) == 0
    assert ran == expected


def test_a_missing_package_ends_with_the_cure_and_no_traceback(monkeypatch, capsys):
    def missing():
        raise MissingPackageError('pip install "sktransfer[offline]"')

    monkeypatch.setattr(command, "text_task", missing)
    assert command.main(["--text"]) == 1
    assert 'pip install "sktransfer[offline]"' in capsys.readouterr().err


def test_an_option_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["--txet"])
    assert "--txet" in capsys.readouterr().err


# The store.


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Give the folder of a user's store with three records."""
    folder = tmp_path / "the [bold]user[/bold]'s :smile: store"
    monkeypatch.setenv("SKTRANSFER_CACHE", str(folder))
    PretrainedTextEmbedder(max_length=16).fit_transform(["a", "late", "goal"])
    return folder


def test_the_commands_on_the_store_explain_themselves(capsys):
    for arguments, words in (
        (["cache", "--help"], ("info", "clear", "--folder", "SKTRANSFER_CACHE")),
        (["cache", "clear", "--help"], ("empty the store", "--folder")),
    ):
        with pytest.raises(SystemExit, match="0"):
            command.main(arguments)
        shown = capsys.readouterr().out
        assert all(word in shown for word in words)


@pytest.mark.parametrize("arguments", [["cache"], ["cache", "info"]])
def test_what_the_store_holds_is_printed(arguments, store, capsys):
    assert command.main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed == f"{cache.info()}\n"
    assert str(store) in printed
    assert "3 records" in printed


def test_the_store_is_emptied(store, capsys):
    held = str(cache.info())
    assert command.main(["cache", "clear"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(held)
    assert printed.endswith("All of this is forgotten, and its space is given back.\n")
    assert cache.info().n_records == 0
    assert command.main(["cache", "clear"]) == 0
    assert "There is nothing to forget." in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["cache", "--folder", "FOLDER", "clear"],
        ["cache", "clear", "--folder", "FOLDER"],
    ],
)
def test_another_store_is_named(arguments, store, tmp_path, capsys):
    other = tmp_path / "other"
    PretrainedTextEmbedder(max_length=16, cache=other).fit_transform(["a goal"])
    arguments = [str(other) if word == "FOLDER" else word for word in arguments]
    assert command.main(arguments) == 0
    assert str(other) in capsys.readouterr().out
    assert cache.info(other).n_records == 0
    assert cache.info().n_records == 3


def test_a_store_that_cannot_be_emptied(store, capsys):
    # Where it would be put aside there is something that isn't ours to delete.
    (store / "damaged").mkdir()
    (store / "damaged" / "thesis.txt").touch()
    with pytest.warns(CacheWarning, match="can't be cleared"):
        assert command.main(["cache", "clear"]) == 1
    said = capsys.readouterr()
    assert "It could not be emptied." in said.err
    assert "forgotten" not in said.out
    assert cache.info().n_records == 3


@pytest.mark.parametrize("arguments", [["cache"], ["cache", "clear"]])
def test_a_wrong_folder_or_bound_ends_without_a_traceback(
    arguments, tmp_path, monkeypatch, capsys
):
    (tmp_path / "notes").touch()
    assert command.main([*arguments, "--folder", str(tmp_path / "notes")]) == 1
    assert "There is a file of that name" in capsys.readouterr().err
    monkeypatch.setenv("SKTRANSFER_CACHE_SIZE", "much")
    assert command.main(arguments) == 1
    said = capsys.readouterr()
    assert "SKTRANSFER_CACHE_SIZE must be" in said.err
    assert said.out == ""


def test_an_action_that_does_not_exist_is_refused(store, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["cache", "claer"])
    assert "claer" in capsys.readouterr().err
    assert cache.info().n_records == 3
