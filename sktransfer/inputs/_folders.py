"""Folders of images, one subfolder a label."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

_LAYOUT = (
    "expected one subfolder for each label with the label's images in it, such as "
    "cats/1.jpg and dogs/1.jpg"
)
#: Labels that a message names before it only counts the others.
_NAMED = 5


def load_image_folder(folder: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """List the images in a folder that has one subfolder for each label.

    Nothing is decoded here: the estimators take paths, and read an image when they need
    its pixels. With the paths as `X`, searches and cross-validation index a folder of
    any size.

    Parameters
    ----------
    folder : str or path
        A subfolder's name is the label of all images in it, at any depth below it.
        Images are the files whose names end in .jpg, .jpeg, .png, .ppm, .bmp, .pgm,
        .tif, .tiff or .webp (large or small letters). Other files, and images beside
        the subfolders, are left out.

    Returns
    -------
    paths : ndarray of shape (n_samples,)
        The images' paths, each a `str` that begins with `folder`; sorted by label, then
        by name.
    labels : ndarray of shape (n_samples,)
        The subfolders' names.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    NotADirectoryError
        If it is a file.
    ValueError
        If it has no subfolders, or there is no image in one of them.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktransfer import PretrainedImageClassifier, load_image_folder
    >>> folder = Path(tempfile.mkdtemp())
    >>> for label, tone in ("bright", 200), ("dark", 30):
    ...     (folder / label).mkdir()
    ...     for i in range(4):
    ...         picture = Image.new("L", (32, 32), tone + 10 * i)
    ...         picture.save(folder / label / f"{i}.png")
    >>> paths, labels = load_image_folder(folder)
    >>> labels
    array(['bright', 'bright', 'bright', 'bright', 'dark', 'dark', 'dark',
           'dark'], dtype='<U6')
    >>> clf = PretrainedImageClassifier(freeze_depth="all", image_size=64)
    >>> clf.fit(paths, labels).predict(paths[[0, -1]])
    array(['bright', 'dark'], dtype='<U6')
    """
    root = Path(folder).expanduser()
    if not root.exists():
        raise FileNotFoundError(
            f"There is no folder {str(root)!r} (looked for in {os.getcwd()!r}); "
            f"{_LAYOUT}."
        )
    if not root.is_dir():
        raise NotADirectoryError(
            f"{str(root)!r} is a file; expected a folder. To classify single images, "
            "pass a list of their paths as X."
        )
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    if not names:
        raise ValueError(_without_subfolders(root))
    found = make_dataset(
        str(root),
        {name: index for index, name in enumerate(names)},
        IMG_EXTENSIONS,
        allow_empty=True,
    )
    counts = np.bincount([index for _, index in found], minlength=len(names))
    if not counts.all():
        raise ValueError(_without_images(root, names, counts))
    paths = np.array([path for path, _ in found], dtype=object)
    return paths, np.repeat(np.array(names), counts)


def _without_subfolders(root: Path) -> str:
    files = [entry for entry in root.iterdir() if entry.is_file()]
    n_images = sum(entry.suffix.lower() in IMG_EXTENSIONS for entry in files)
    return (
        f"The folder {str(root)!r} has no subfolders, and {n_images} images among "
        f"{len(files)} files; {_LAYOUT}. Move the images into a subfolder for each "
        "label; or pass a list of their paths as X, and the labels as y."
    )


def _without_images(root: Path, names: list[str], counts: np.ndarray) -> str:
    empty = [name for name, count in zip(names, counts, strict=True) if not count]
    listed = ", ".join(map(repr, empty[:_NAMED]))
    if len(empty) > _NAMED:
        listed += f" and {len(empty) - _NAMED} more"
    which = "any of its" if len(empty) == len(names) else "some"
    return (
        f"In the folder {str(root)!r} there are no images in {which} subfolders: "
        f"{listed} ({len(empty)} of {len(names)}). Files are taken for images if their "
        f"names end in {', '.join(IMG_EXTENSIONS)}. Put images there, or move folders "
        "that are no labels elsewhere."
    )
