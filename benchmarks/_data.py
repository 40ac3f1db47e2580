"""Real texts and photographs for measurements."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sktransfer.demonstration._data import bbc_news

#: Side of the square that photographs are resized to, in pixels.
IMAGE_SIZE = 160

#: Rated sentences of Hutto and Gilbert (2014), MIT licence. They are part of a source
#: package only, which is therefore downloaded, compared with this digest, and read.
_RATINGS = "vaderSentiment==0.5"
_RATINGS_SHA256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
_RATINGS_ARCHIVE = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"


def bbc() -> tuple[np.ndarray, np.ndarray]:
    """The openings of articles of BBC News, 600 characters, on five topics."""
    drawn = bbc_news(n_labelled=1200, n_held_out=800, random_state=0)
    articles = np.concatenate([drawn.X, drawn.X_held_out])
    X = np.array([article[:600] for article in articles], dtype=object)
    return X, np.concatenate([drawn.y, drawn.y_held_out])


def bbc_articles() -> tuple[np.ndarray, np.ndarray]:
    """Whole articles of BBC News on five topics."""
    drawn = bbc_news(n_labelled=1200, n_held_out=800, random_state=0)
    X = np.array([*drawn.X, *drawn.X_held_out], dtype=object)
    return X, np.concatenate([drawn.y, drawn.y_held_out])


def rare_class() -> tuple[np.ndarray, np.ndarray]:
    """Sentences of film reviews, of which one in ten is negative."""
    X, y = movie_sentences()
    negative = np.flatnonzero(y == "negative")
    positive = np.flatnonzero(y == "positive")
    kept = np.sort(np.concatenate([positive, negative[: len(positive) // 9]]))
    return _shuffled(X[kept], y[kept])


def movie_sentences() -> tuple[np.ndarray, np.ndarray]:
    """Sentences of film reviews, rated positive or negative."""
    texts, ratings = rated("movieReviewSnippets")
    kept = np.abs(ratings) > 0.5
    return texts[kept], np.where(ratings[kept] > 0, "positive", "negative")


def tweets() -> tuple[np.ndarray, np.ndarray]:
    """Tweets, rated positive, neutral or negative."""
    return _rated_classes("tweets")


def product_reviews() -> tuple[np.ndarray, np.ndarray]:
    """Sentences of reviews of products, rated positive, neutral or negative."""
    return _rated_classes("amazonReviewSnippets")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits, 8x8."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images * (255 / 16)).astype(np.uint8)
    return _shuffled(images, data.target.astype(str))


def textures() -> tuple[np.ndarray, np.ndarray]:
    """Patches of 32 pixels of scikit-image's brick, grass and gravel.

    Row by row, so that an early and a late sample are from different places.
    """
    import skimage.data

    names = ("brick", "grass", "gravel")
    photographs = np.stack([getattr(skimage.data, name)() for name in names])
    patches = photographs.reshape(3, 16, 32, 16, 32).transpose(1, 3, 0, 2, 4)
    X = patches.reshape(-1, 32, 32)
    return X, np.tile(names, len(X) // 3)


def solar_cells() -> tuple[np.ndarray, np.ndarray]:
    """Photographs of solar cells, sound or defect (the package is non-commercial)."""
    if find_spec("elpv_dataset") is None:
        raise SystemExit("This benchmark needs: pip install elpv-dataset")
    from elpv_dataset.utils import load_dataset

    images, defect, _ = load_dataset()
    return _shuffled(images, np.where(defect > 0.5, "defect", "sound"))


def photographs(folder: Path, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Write solar cells as PNG files, 300 pixels a side; return their paths, labels."""
    images, labels = solar_cells()
    paths = [str(folder / f"{index:05d}.png") for index in range(n_samples)]
    for path, image in zip(paths, images[:n_samples], strict=True):
        Image.fromarray(image).save(path)
    return np.array(paths, dtype=object), labels[:n_samples]


def samples(kind: str, n_samples: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return sentences of about 30 tokens, or paths of photographs, and labels.

    Parameters
    ----------
    kind : {"text", "image"}
        Which.
    n_samples : int
        How many; there are about 10,000 texts and 2,600 photographs.
    folder : Path
        Where the photographs are written.
    """
    if kind == "image":
        return photographs(folder, n_samples)
    X, y = movie_sentences()
    if n_samples > len(y):
        raise ValueError(f"There are {len(y)} sentences; {n_samples} were asked for.")
    return X[:n_samples], y[:n_samples]


def forms(kind: str, n_samples: int, folder: Path) -> Iterator[tuple[str, Any, Any]]:
    """Yield the forms in which samples of a kind may be given, with their labels.

    Photographs come as paths, and as arrays of the backbone's size as well: reading
    files takes about as long as an image network does.

    Parameters
    ----------
    kind, n_samples, folder
        As in `samples`.

    Yields
    ------
    name : str
        What a table calls it.
    X, y : array
        Samples and labels.
    """
    X, y = samples(kind, n_samples, folder)
    if kind == "text":
        yield kind, X, y
        return
    yield "image, files", X, y
    size = (IMAGE_SIZE, IMAGE_SIZE)
    yield "image, arrays", np.stack([_pixels(path, size) for path in X]), y


def _pixels(path: str, size: tuple[int, int]) -> np.ndarray:
    with Image.open(path) as picture:
        resized = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        return np.asarray(resized)


def rated(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the sentences of one collection and their mean ratings, from -4 to 4."""
    archive = zipfile.ZipFile(io.BytesIO(_ratings_package()))
    inner = io.BytesIO(archive.read(_RATINGS_ARCHIVE))
    with tarfile.open(fileobj=inner) as collections:
        file = collections.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
        assert file is not None
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    rows = [line.split("\t", 2) for line in lines if line.count("\t") >= 2]
    texts = np.array([row[2].strip() for row in rows], dtype=object)
    return _shuffled(texts, np.array([float(row[1]) for row in rows]))


def _rated_classes(name: str) -> tuple[np.ndarray, np.ndarray]:
    texts, ratings = rated(name)
    labels = np.array(["negative", "neutral", "positive"])
    return texts, labels[np.digitize(ratings, [-0.5, 0.5])]


def _shuffled(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mix what is sorted: films by rating, digits by writer, cells by panel."""
    order = np.random.default_rng(0).permutation(len(y))
    return X[order], y[order]


def _ratings_package() -> bytes:
    folder = Path(tempfile.gettempdir()) / "sktransfer-benchmarks"
    path = folder / "vaderSentiment-0.5.zip"
    if not path.is_file():
        folder.mkdir(exist_ok=True)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        options = ["--no-binary", ":all:", "--no-build-isolation", "--dest"]
        subprocess.run([*download, *options, str(folder), _RATINGS], check=True)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _RATINGS_SHA256:
        raise SystemExit(f"{path} is not the published {_RATINGS}. Delete it.")
    return content
