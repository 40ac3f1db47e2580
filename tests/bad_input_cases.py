"""What a user may get wrong, and the error that each mistake must give."""

from __future__ import annotations

import dataclasses
import inspect
import io
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image
from scipy.sparse import csr_array

from sktransfer import (
    PretrainedImageClassifier,
    PretrainedImageEmbedder,
    PretrainedTextClassifier,
    PretrainedTextEmbedder,
)

SENTENCES = [
    "the match ended in a draw",
    "shares fell sharply",
    "a late goal won the cup",
    "profits are up again",
]
TOPICS = ["sport", "business", "sport", "business"]
PATCHES = np.stack(
    [
        photograph[row : row + 32, :32]
        for row in (0, 64)
        for photograph in (skimage.data.brick(), skimage.data.grass())
    ]
)  # (4, 32, 32), uint8
SURFACES = ["brick", "grass", "brick", "grass"]

_TEXT: dict[str, Any] = {"max_length": 16}
_IMAGE: dict[str, Any] = {"image_size": 64}
_FROZEN = {"freeze_depth": "all"}
#: Estimator, parameters, X and y by kind.
DEFAULTS: dict[str, tuple[type, dict[str, Any], Any, Any]] = {
    "text": (PretrainedTextClassifier, _TEXT | _FROZEN, SENTENCES, TOPICS),
    "image": (PretrainedImageClassifier, _IMAGE | _FROZEN, PATCHES, SURFACES),
    "text embedder": (PretrainedTextEmbedder, _TEXT, SENTENCES, None),
    "image embedder": (PretrainedImageEmbedder, _IMAGE, PATCHES, None),
}
CLASSIFIERS = ("text", "image")
EMBEDDERS = ("text embedder", "image embedder")


@dataclass(frozen=True)
class InFolder:
    """A value that needs files: `make(folder)` gives it."""

    make: Callable[[Path], Any]


#: What is right in a case.
GOOD: Any = object()


@dataclass(frozen=True)
class Case:
    """One mistake, and what its error must be and say.

    `late` says that it can't be known before samples are read, or before the width of
    the embedding is known.
    """

    kind: str
    mistake: str
    error: type[Exception]
    words: tuple[str, ...]
    parameters: dict[str, Any]
    X: Any = GOOD
    y: Any = GOOD
    sample_weight: Any = None
    late: bool = False

    def estimator(self, folder: Path) -> Any:
        estimator, defaults, _, _ = DEFAULTS[self.kind]
        parameters = defaults | self.parameters
        return estimator(**{n: in_folder(v, folder) for n, v in parameters.items()})

    def inputs(self, folder: Path) -> tuple[Any, Any]:
        _, _, X, y = DEFAULTS[self.kind]
        X = X if self.X is GOOD else in_folder(self.X, folder)
        return X, y if self.y is GOOD else self.y

    def fit(self, estimator: Any, folder: Path) -> Any:
        X, y = self.inputs(folder)
        if self.sample_weight is None:
            return estimator.fit(X, y)
        return estimator.fit(X, y, sample_weight=self.sample_weight)

    def __str__(self) -> str:
        return f"{self.kind}: {self.mistake}"


def in_folder(value: Any, folder: Path) -> Any:
    return value.make(folder) if isinstance(value, InFolder) else value


def encoded() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PATCHES[0]).save(buffer, format="PNG")
    return buffer.getvalue()


def bomb() -> bytes:
    """Give a small file that says it is a picture of 30,000 x 30,000 pixels."""
    content = bytearray(encoded())
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def with_file(name: str, content: bytes | None) -> InFolder:
    """Put a bad file at position 2 among good ones; None is a missing one."""

    def make(folder: Path) -> list[Path]:
        paths = [folder / f"{i}.png" for i in range(4)]
        for path in paths:
            path.write_bytes(encoded())
        paths[2] = folder / name
        if content is not None:
            paths[2].write_bytes(content)
        return paths

    return InFolder(make)


def text(mistake: str, error: type[Exception], *words: str, **rest: Any) -> Case:
    return _case("text", mistake, error, words, **rest)


def image(mistake: str, error: type[Exception], *words: str, **rest: Any) -> Case:
    return _case("image", mistake, error, words, **rest)


def both(mistake: str, error: type[Exception], *words: str, **rest: Any) -> list[Case]:
    return [_case(kind, mistake, error, words, **rest) for kind in CLASSIFIERS]


def _case(
    kind: str, mistake: str, error: type[Exception], words: Any, **rest: Any
) -> Case:
    inputs = {n: rest.pop(n) for n in ("X", "y", "sample_weight", "late") if n in rest}
    return Case(kind, mistake, error, words, rest, **inputs)


def wrong(kind: str, *words: str, **parameter: Any) -> Case:
    """Make the case of a parameter whose value is wrong whatever the data are."""
    ((name, value),) = parameter.items()
    estimator = DEFAULTS[kind][0].__name__
    said = (f"The {name!r} parameter of {estimator} must be ", f"Got {value!r} instead")
    return Case(kind, f"{name}={value!r}", ValueError, (*said, *words), parameter)


def with_embedders(cases: Iterable[Case]) -> list[Case]:
    """Add the same mistakes with the embedders, where these can be made."""
    cases = list(cases)
    added = []
    for case in cases:
        classifier, embedder = (
            DEFAULTS[kind][0] for kind in (case.kind, f"{case.kind} embedder")
        )
        if not set(case.parameters) <= set(inspect.signature(embedder).parameters):
            continue
        said = f"parameter of {classifier.__name__}"
        words = (
            word.replace(said, f"parameter of {embedder.__name__}")
            for word in case.words
        )
        kind = f"{case.kind} embedder"
        added.append(dataclasses.replace(case, kind=kind, words=tuple(words)))
    return cases + added


def placed(good: Any, item: Any) -> list[Any]:
    """Put an item at position 2 among good ones."""
    return [*good[:2], item, *good[3:]]


def spoilt(value: float) -> np.ndarray:
    """Put a wrong value into the third image."""
    pixels = PATCHES / 255
    pixels[2, 5, 5] = value
    return pixels


TEXTS = [
    text("None", TypeError, "X must be a list", "got None", X=None),
    text("a number", TypeError, "X must be a list", "3 (int)", X=3),
    text("a dict", TypeError, "Samples need an order", X={"a": 1}),
    text("a generator", TypeError, "pass list(X)", X=iter(SENTENCES)),
    text("a str", ValueError, "Iterable over raw text documents expected", X="a goal"),
    text("bytes", TypeError, "X must be a list", "[X]", X=b"a goal"),
    text("no sample", ValueError, "0 sample(s)", "minimum of 1 is required", X=[]),
    text("empty array", ValueError, "0 sample(s)", X=np.array([], dtype=object)),
    text("three columns", ValueError, "X has shape (4, 3)", X=np.full((4, 3), "a")),
    text("None among texts", ValueError, "X[2] is None", X=placed(SENTENCES, None)),
    text("NaN among texts", ValueError, "X[2] is nan", X=placed(SENTENCES, np.nan)),
    text("a number among texts", ValueError, "X[2] is 7", X=placed(SENTENCES, 7)),
    text(
        "bytes among texts", ValueError, "X[2] is", "decode", X=placed(SENTENCES, b"")
    ),
    text("tokens", ValueError, "X[0] is", "Join the tokens", X=[["a", "goal"]] * 4),
    text("a pair", ValueError, "X[2] is a text pair", X=placed(SENTENCES, ("a", "b"))),
    text("half a pair", ValueError, "X[0][1] is None", X=[("a", None)] * 4),
    text(
        "a surrogate", ValueError, "X[2] cannot", "UTF-8", X=placed(SENTENCES, "\ud800")
    ),
    text("numbers", ValueError, "X[0] is 0.0", X=np.zeros(4)),
    text("sparse", TypeError, "Sparse data was passed", X=csr_array(np.eye(4))),
]

IMAGES = [
    image("None", TypeError, "X must be a list", "of images; got None", X=None),
    image("one path", TypeError, "Put a single sample into a list", X="a.png"),
    image("one picture", TypeError, "[X]", X=Image.fromarray(PATCHES[0])),
    image("no sample", ValueError, "0 sample(s)", X=[]),
    image("empty array", ValueError, "0 sample(s)", X=np.empty((0, 32, 32))),
    image("a row of numbers", ValueError, "Expected 2D array, got 1D", X=np.zeros(4)),
    image("five axes", ValueError, "dim 5", X=np.zeros((4, 1, 8, 8, 3))),
    image("two channels", ValueError, "1, 3 or 4 channels", X=np.zeros((4, 8, 8, 2))),
    image("no pixels", ValueError, "images without pixels", X=np.zeros((4, 0, 8))),
    image("NaN pixel", ValueError, "contains NaN", X=spoilt(np.nan)),
    image("infinite pixel", ValueError, "contains infinity", X=spoilt(np.inf)),
    image("float above 1", ValueError, "X[2]", "divide by 255", X=spoilt(200.0)),
    image("float below 0", ValueError, "X[2]", "must be in [0, 1]", X=spoilt(-0.5)),
    image("16 bits", ValueError, "X[0]", "65535", X=PATCHES.astype(np.int32) * 257),
    image("strings", ValueError, "X holds strings", X=np.full((4, 2), "a.png")),
    image("ragged rows", ValueError, "differing lengths", X=[[1], [1, 2], [1], [2]]),
    image("None among images", ValueError, "X[2] is None", X=placed(PATCHES, None)),
    image("a number among images", ValueError, "X[2] is 3.5", X=placed(PATCHES, 3.5)),
    image("rows", ValueError, "image_shape=(H, W)", X=PATCHES.reshape(4, -1)),
    image(
        "other columns than image_shape",
        ValueError,
        "X has 1024 features, but image_shape=(31, 32) needs 992",
        X=PATCHES.reshape(4, -1),
        image_shape=(31, 32),
    ),
    image(
        "truncated file", ValueError, "X[2]", "cannot be decoded", "truncated.png",
        X=with_file("truncated.png", encoded()[:300]), late=True,
    ),
    image(
        "empty file", ValueError, "X[2]", "is empty (0 bytes)",
        X=with_file("empty.png", b""), late=True,
    ),
    image(
        "missing file", ValueError, "X[2]", "there is no file", "gone.png",
        X=with_file("gone.png", None), late=True,
    ),
    image(
        "text as an image", ValueError, "X[2]", "not in an image format",
        X=with_file("notes.png", b"These are notes."), late=True,
    ),
    image(
        "decompression bomb", ValueError, "X[2]", "too large", "bomb.png",
        X=with_file("bomb.png", bomb()), late=True,
    ),
    image(
        "a folder", ValueError, "X[2]", "is a directory",
        X=with_file(".", None), late=True,
    ),
]  # fmt: skip

TARGETS = [
    *both("no y", ValueError, "requires y to be passed", y=None),
    *both(
        "short y", ValueError, "inconsistent numbers of samples: [4, 3]", y=[0, 1, 0]
    ),
    *both("one class", ValueError, "at least 2 classes", "one class", y=["a"] * 4),
    *both(
        "continuous y", ValueError, "Unknown label type: continuous", y=[0.5, 1, 2, 3]
    ),
    *both("NaN in y", ValueError, "Input y contains NaN", y=[0, np.nan, 1, 1]),
    *both("None in y", ValueError, "Input y contains NaN", y=["a", None, "b", "b"]),
    *both("mixed y", TypeError, "uniformly strings or numbers", y=["a", 1, "b", 2]),
    text("three dimensions of y", ValueError, "(4, 2, 2)", y=np.zeros((4, 2, 2))),
    text(
        "lists of labels",
        ValueError,
        "MultiLabelBinarizer",
        y=[["a"], ["a", "b"], [], ["b"]],
    ),
    text(
        "a column without labels",
        ValueError,
        "no label in column 1",
        y=[["a", None], ["b", None], ["a", None], ["c", None]],
    ),
    text(
        "a column of two types",
        TypeError,
        "Column 0 of y",
        "uniformly",
        y=[["a", 1], [2, 2], ["a", 3], ["b", 1]],
    ),
    text("short weights", ValueError, "(3,), expected (4,)", sample_weight=[1, 1, 1]),
    text("negative weight", ValueError, "Negative", sample_weight=[1, 1, -1, 1]),
    text("NaN weight", ValueError, "contains NaN", sample_weight=[1, 1, np.nan, 1]),
    text("weights of 0", ValueError, "one non-zero number", sample_weight=[0] * 4),
    text("two-column weights", ValueError, "1D array", sample_weight=np.ones((4, 1))),
    text("one class left", ValueError, "only one class", sample_weight=[1, 0, 1, 0]),
    image("weights that are words", ValueError, "could not", sample_weight=["a"] * 4),
]
