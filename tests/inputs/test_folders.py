"""Folders of images as paths and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from sktransfer import PretrainedImageClassifier, load_image_folder
from sktransfer.demonstration import texture_patches


def written(folder: Path, *names: str) -> Path:
    """Put small pictures into a folder, and text where the name is of no picture."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("not a picture")
        else:
            Image.new("L", (4, 4)).save(path)
    return folder


@pytest.fixture(scope="module")
def textures(tmp_path_factory):
    """Patches of brick, grass and gravel as PNG, and the arrays in the same order."""
    data = texture_patches(8, 1, side=64)
    folder = tmp_path_factory.mktemp("textures")
    for index, (patch, label) in enumerate(zip(data.X, data.y, strict=True)):
        (folder / label).mkdir(exist_ok=True)
        Image.fromarray(patch).save(folder / label / f"{index:02}.png")
    return folder, data


def test_a_search_over_a_folder_gives_the_scores_of_one_over_arrays(textures):
    folder, data = textures
    paths, labels = load_image_folder(folder)
    assert_array_equal(labels, data.y)
    search = GridSearchCV(
        PretrainedImageClassifier(
            freeze_depth="all", image_size=64, max_epochs=1, random_state=0
        ),
        {"freeze_depth": ["all", -1]},
        cv=StratifiedKFold(4, shuffle=True, random_state=0),
    )
    scores = [
        search.fit(X, labels).cv_results_["mean_test_score"] for X in (paths, data.X)
    ]
    assert_array_equal(*scores)
    assert scores[0].min() > 0.6  # chance is at 1/3
    assert search.best_estimator_.classes_.tolist() == ["brick", "grass", "gravel"]


def test_paths_are_sorted_whatever_the_order_on_disk(tmp_path):
    names = ["b/2.png", "a/z.JPG", "b/1.jpeg", "a/in/it.webp", "a/10.tif"]
    written(tmp_path, *names)
    paths, labels = load_image_folder(tmp_path)
    found = [Path(path).relative_to(tmp_path).as_posix() for path in paths]
    assert found == ["a/10.tif", "a/z.JPG", "a/in/it.webp", "b/1.jpeg", "b/2.png"]
    assert labels.tolist() == ["a", "a", "a", "b", "b"]
    assert paths.shape == labels.shape == (5,)
    assert {type(path) for path in paths} == {str}


def test_other_files_are_left_out(tmp_path):
    written(tmp_path, "cat/1.png", "cat/notes.txt", "readme.txt", "logo.png")
    paths, labels = load_image_folder(str(tmp_path))
    assert paths.tolist() == [str(tmp_path / "cat" / "1.png")]
    assert labels.tolist() == ["cat"]


def test_nothing_is_decoded(tmp_path):
    written(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat" / "1.png").write_bytes(b"broken")
    paths, labels = load_image_folder(tmp_path)
    assert len(paths) == 2
    with pytest.raises(ValueError, match=r"X\[0\]"):
        PretrainedImageClassifier(freeze_depth="all").fit(paths, labels)


def test_a_folder_of_the_user(tmp_path, monkeypatch):
    written(tmp_path, "pictures/cat/1.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    paths, _ = load_image_folder("~/pictures")
    assert Path(paths[0]).is_file()


@pytest.mark.parametrize(
    ("files", "folder", "error", "words"),
    [
        ([], "none", FileNotFoundError, ["There is no folder", "none", "cats/1.jpg"]),
        (["a.png"], "a.png", NotADirectoryError, ["is a file", "as X"]),
        (
            ["1.png", "2.jpg", "c.txt"],
            ".",
            ValueError,
            ["no subfolders", "2 images among 3 files", "cats/1.jpg"],
        ),
        (
            ["a/1.png", "b/note.txt"],
            ".",
            ValueError,
            ["no images in some subfolders: 'b' (1 of 2)", ".webp", "no labels"],
        ),
        (
            [f"{letter}/x.txt" for letter in "abcdefg"],
            ".",
            ValueError,
            ["any of its subfolders: 'a', 'b', 'c', 'd', 'e' and 2 more (7 of 7)"],
        ),
    ],
    ids=["none", "file", "flat", "one empty", "all empty"],
)
def test_a_folder_of_another_kind_is_an_error(tmp_path, files, folder, error, words):
    written(tmp_path, *files)
    with pytest.raises(error) as caught:
        load_image_folder(tmp_path / folder)
    assert [word for word in words if word not in str(caught.value)] == []


def test_labels_are_strings_that_numpy_sorts_alike(tmp_path):
    written(tmp_path, "10/1.png", "9/1.png", "Ä/1.png", "Z/1.png")
    _, labels = load_image_folder(tmp_path)
    assert_array_equal(labels, np.sort(labels))
