"""What the documentation shows: its examples run, and its commands exist."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import shlex
import tempfile
from pathlib import Path
from typing import Any

import pytest

import sktransfer
from sktransfer.__main__ import build_parser

REPOSITORY = Path(__file__).parents[1]
PAGES = [
    REPOSITORY / "README.md",
    *sorted(REPOSITORY.glob("docs/*.md")),
    *sorted(REPOSITORY.glob("docs/howto/*.md")),
]
PUBLIC = [
    f"sktransfer.{module.name}"
    for module in pkgutil.iter_modules(sktransfer.__path__)
    if not module.name.startswith("_")
]
#: What docs/api.md lists, beside data of the demonstration.
REFERENCE = [
    "sktransfer",
    "sktransfer.cache",
    "sktransfer.exceptions",
    "sktransfer.inspection",
    "sktransfer.model_selection",
    "sktransfer.testing",
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
#: Every estimator and function of these has an example.
WITH_EXAMPLES = {
    "sktransfer.inputs": ["load_image_folder"],
    "sktransfer.text": [
        "PretrainedTextClassifier",
        "PretrainedTextEmbedder",
        "PretrainedTextRegressor",
    ],
    "sktransfer.image": [
        "PretrainedImageClassifier",
        "PretrainedImageEmbedder",
        "PretrainedImageRegressor",
    ],
    "sktransfer.cache": ["info"],
    "sktransfer.model_selection": [
        "compare_backbones",
        "freeze_depths",
        "lr_range_test",
        "transferability",
    ],
    "sktransfer.inspection": [
        "AttributionDisplay",
        "BackboneComparisonDisplay",
        "EmbeddingDisplay",
        "FreezeDepthDisplay",
        "HistoryDisplay",
        "TopErrorsDisplay",
        "deletion_curve",
        "explain",
        "insertion_curve",
    ],
    "sktransfer.testing": ["render_tabular", "rows_as_images", "rows_as_texts"],
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"python -m (sktransfer|benchmarks)\b([\w.]*)([^`\n#&|]*)")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path, language: str) -> list[tuple[str, int]]:
    """Return each fenced block in a language, and the number of its first line."""
    text = page.read_text(encoding="utf-8")
    return [
        (found[2], text.count("\n", 0, found.start(2)))
        for found in BLOCK.finditer(text)
        if found[1] == language
    ]


def run_examples(test: doctest.DocTest) -> str:
    """Run a doctest in its own namespace, which it changes; return what is wrong."""
    assert "SKIP" not in (test.docstring or "")
    complaints: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test, out=complaints.append, clear_globs=False)
    return "".join(complaints)


def run_block(source: str, line: int, page: str, namespace: dict[str, Any]) -> str:
    """Run a block, with prompts or without, in a namespace; return what is wrong."""
    parsed = doctest.DocTestParser().get_doctest(source, {}, page, page, line)
    if parsed.examples:
        # A test copies the namespace that it is made with.
        parsed.globs = namespace
        return run_examples(parsed)
    exec(compile("\n" * line + source, page, "exec"), namespace)
    return ""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    """Run examples where they can leave nothing behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("module", PUBLIC)
def test_examples_of_a_module_are_true(module):
    imported = importlib.import_module(module)
    found = doctest.DocTestFinder().find(imported, module)
    for name in WITH_EXAMPLES.get(module, []):
        found += doctest.DocTestFinder().find(getattr(imported, name), name)
    tests = {test.name.removeprefix(f"{module}."): test for test in found}
    for name in WITH_EXAMPLES.get(module, []):
        assert tests[name].examples, name
    assert "".join(map(run_examples, tests.values())) == ""


def parameters_of(estimator: type) -> dict[str, str]:
    """Return what a class says of each of its parameters, beneath its type."""
    text = inspect.getdoc(estimator).partition("Parameters\n----------\n")[2]
    entries = re.split(
        r"^(\w+) : .*(?:\\\n.*)?\n", text.partition("\n\n")[0], flags=re.M
    )
    return dict(zip(entries[1::2], entries[2::2], strict=True))


def test_parameters_of_one_name_are_described_alike():
    """Only the kind of sample or the kind of target may make a difference."""
    kinds, roles = ("Text", "Image"), ("Classifier", "Regressor")
    said = {
        (kind, role): parameters_of(getattr(sktransfer, f"Pretrained{kind}{role}"))
        for kind in kinds
        for role in roles
    }
    shared = set.intersection(*map(set, said.values()))
    assert len(shared) > 30
    for name in shared:
        one = {place: parameters[name] for place, parameters in said.items()}
        by_role = all(one["Text", role] == one["Image", role] for role in roles)
        by_kind = all(len({one[kind, role] for role in roles}) == 1 for kind in kinds)
        assert by_role or by_kind, name
    for kind in kinds:
        assert set(said[kind, "Classifier"]) - set(said[kind, "Regressor"]) == {
            *("label_smoothing", "class_weight", "threshold")
        }
        assert set(said[kind, "Regressor"]) - set(said[kind, "Classifier"]) == {"loss"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_examples_of_a_page_are_true(page):
    namespace: dict[str, Any] = {"__name__": "__main__"}
    complaints = [
        run_block(source, line, name_of(page), namespace)
        for source, line in blocks(page, "python")
    ]
    assert "".join(complaints) == ""


def test_a_wrong_example_is_found():
    namespace: dict[str, Any] = {}
    assert run_block(">>> one = 1\n", 0, "page", namespace) == ""
    assert run_block("two = one + 1\n", 3, "page", namespace) == ""
    assert run_block(">>> two\n2\n", 6, "page", namespace) == ""
    assert "Expected:\n    3" in run_block(">>> two\n3\n", 9, "page", namespace)
    assert "NameError" in run_block(">>> three\n3\n", 12, "page", namespace)
    with pytest.raises(NameError):
        run_block("three\n", 15, "page", namespace)


def test_every_block_is_of_a_language_that_is_looked_at():
    languages = {
        (name_of(page), found[1])
        for page in PAGES
        for found in BLOCK.finditer(page.read_text(encoding="utf-8"))
    }
    assert {language for _, language in languages} <= {"python", "bash", "text"}
    assert {name for name, language in languages if language == "python"} >= {
        "README.md",
        "docs/cache.md",
        "docs/guide.md",
        "docs/howto/comparison.md",
        "docs/howto/existing_pipeline.md",
        "docs/howto/search.md",
        "docs/index.md",
        "docs/inspection.md",
        "docs/meta_estimators.md",
        "docs/mixed_columns.md",
        "docs/progress.md",
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_exist(page):
    for package, module, arguments in COMMAND.findall(page.read_text("utf-8")):
        if package == "sktransfer":
            assert module == "", module
            # Leaves with an error if it does not know them.
            build_parser().parse_args(shlex.split(arguments))
        else:
            path = REPOSITORY / package / f"{module.removeprefix('.')}.py"
            assert path.is_file(), path.name
            assert "__main__" in path.read_text(encoding="utf-8"), path.name


def test_commands_are_found():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    cache = (REPOSITORY / "docs" / "cache.md").read_text(encoding="utf-8")
    assert ("sktransfer", "", "") in COMMAND.findall(readme)
    assert ("sktransfer", "", " cache clear --folder FOLDER  ") in COMMAND.findall(
        cache
    )


@pytest.mark.parametrize("module", REFERENCE)
def test_the_reference_lists_each_public_name(module):
    public = set(importlib.import_module(module).__all__) - {"__version__", "cache"}
    page = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    (block,) = re.findall(
        rf"^\.\. currentmodule:: {module}\n(.*?)^~~~$", page, re.MULTILINE | re.DOTALL
    )
    assert set(re.findall(r"^   (\w+)$", block, re.MULTILINE)) == public


def test_there_are_examples():
    """The build of the documentation runs them."""
    examples = set(REPOSITORY.glob("docs/examples/*/plot_*.py"))
    assert len(examples) >= 12
    script = re.compile(r"\]\(([\w./]*plot_\w+\.py)\)")
    linked = {
        (page.parent / path).resolve()
        for page in PAGES
        for path in script.findall(page.read_text(encoding="utf-8"))
    }
    assert linked and linked <= examples
