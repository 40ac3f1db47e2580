"""`python -m sktransfer`: its options, what it shows, and the store."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys

import pytest
from PIL import Image
from rich.console import Console
from sklearn.metrics import accuracy_score

import sktransfer.__main__ as command
from sktransfer import PretrainedTextEmbedder, cache
from sktransfer.demonstration import (
    MissingPackageError,
    image_task,
    print_report,
    run,
    save_figures,
    text_task,
)
from sktransfer.exceptions import CacheWarning

#: Two of the demonstration's nine candidates: all nine take minutes on one core.
GRID = {"freeze_depth": ["all", -1], "lr": [3e-4]}


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
    ("make", "n_labelled", "n_held_out", "at_least"),
    [(text_task, 60, 500, 0.83), (image_task, 9, 120, 0.95)],
)
def test_what_the_readme_claims(make, n_labelled, n_held_out, at_least, tmp_path):
    """The real thing, with its data, folds and epochs; only the grid is smaller."""
    task = make()
    assert set(GRID["freeze_depth"]) <= set(task.param_grid["freeze_depth"])
    assert set(GRID["lr"]) <= set(task.param_grid["lr"])
    task = dataclasses.replace(task, param_grid=GRID)
    assert (len(task.data.y), len(task.data.y_held_out)) == (n_labelled, n_held_out)
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
    accuracy = result.pretrained.held_out["accuracy"]
    assert accuracy >= at_least
    for row in result.classic:
        assert accuracy > row.held_out["accuracy"] + 0.05, row.model
        assert result.pretrained.cv["f1_macro"] > row.cv["f1_macro"], row.model

    printed = console.file.getvalue()
    assert type(task.pretrained).__name__ in printed
    assert f"freeze_depth={result.best_params['freeze_depth']!r}" in printed
    assert f"{result.pretrained.held_out['accuracy']:.3f}" in printed
    # Every candidate on every fold was counted, and the refit.
    assert "7/7" in printed
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
    ("given", "named"),
    [
        (["--text", "cache"], ["--text"]),
        (["--image", "cache", "clear"], ["--image"]),
        (["--output", "sktransfer-demo", "cache", "info"], ["--output"]),
        (["--text", "--image", "cache"], ["--text", "--image"]),
    ],
)
def test_the_store_takes_no_options_of_the_comparison(given, named, store, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(given)
    said = capsys.readouterr()
    assert f"{' and '.join(named)} can't be given with 'cache'" in said.err
    assert said.out == ""
    assert cache.info().n_records == 3


def test_what_was_set_aside_is_printed_and_deleted(store, capsys):
    (main,) = (store / "activations").glob("*.sqlite")
    main.write_bytes(b"not a database" * 100)
    with pytest.warns(CacheWarning, match="set aside"):
        assert command.main(["cache"]) == 0
    # It has been met only now, and is found in its new place.
    assert "set aside as damaged: 1 files, 1.367 KiB" in capsys.readouterr().out
    assert command.main(["cache", "clear"]) == 0
    printed = capsys.readouterr().out
    assert "which clear deletes" in printed
    assert printed.endswith("All of this is forgotten, and its space is given back.\n")
    assert not (store / "damaged").exists()
    assert command.main(["cache"]) == 0
    assert "damaged" not in capsys.readouterr().out


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
