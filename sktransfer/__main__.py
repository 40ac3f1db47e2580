"""The main job on real data, and the store: `python -m sktransfer [cache]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sktransfer import cache
from sktransfer.demonstration import (
    MissingPackageError,
    image_task,
    print_report,
    run,
    save_figures,
    text_task,
)

#: Where figures are saved unless `--output` says otherwise.
OUTPUT = Path("sktransfer-demo")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sktransfer",
        description=(
            "Compare classic models with a grid search over the freeze depth and the "
            "learning rate of a pretrained network, on the same folds of real texts "
            "and real images. Nothing is downloaded. Takes under three minutes on two "
            "cores, for both parts."
        ),
    )
    parser.add_argument(
        "--text", action="store_true", help="run the text part: topics of BBC News"
    )
    parser.add_argument(
        "--image", action="store_true", help="run the image part: photographed textures"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help=f"where to save the figures (default: {OUTPUT})",
    )
    parser.set_defaults(command=demonstrate)
    # Without `prog` the usage of a command would show the options that are not its own.
    commands = parser.add_subparsers(
        title="instead of the comparison", prog="python -m sktransfer"
    )
    _add_cache(commands)
    return parser


def _add_cache(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    # Each level takes the option; one that isn't given must not hide another level's.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument(
        "--folder",
        metavar="FOLDER",
        help="the store that an estimator was given as 'cache' (default: the user's, "
        "which SKTRANSFER_CACHE may name)",
    )
    parser = commands.add_parser(
        "cache",
        parents=[where],
        help="say what the store of activations holds ('cache'), or empty it "
        "('cache clear')",
        description=(
            "The store of activations, which saves computing the frozen part of a "
            "network twice. Deleting it costs time and nothing else."
        ),
    )
    parser.set_defaults(command=manage_cache, clear=False)
    actions = parser.add_subparsers(title="actions")
    for name, does in (
        ("info", "say where the store is and what it holds (the default)"),
        ("clear", "empty the store, and give its space on the disk back"),
    ):
        action = actions.add_parser(name, parents=[where], help=does, description=does)
        action.set_defaults(clear=name == "clear")


def demonstrate(options: argparse.Namespace) -> int:
    """Run the comparison on real data; return the exit status."""
    both = not (options.text or options.image)
    tasks = [
        make
        for make, wanted in ((text_task, options.text), (image_task, options.image))
        if wanted or both
    ]
    console = Console()
    start = time.perf_counter()
    try:
        for make in tasks:
            result = run(make(), console)
            figures = save_figures(result, options.output or OUTPUT)
            print_report(result, figures, console)
    except MissingPackageError as error:
        print(error, file=sys.stderr)
        return 1
    console.print(f"Done in {time.perf_counter() - start:.0f} s.")
    return 0


def manage_cache(options: argparse.Namespace) -> int:
    """Print what the store holds, and empty it if asked to; return the exit status."""
    folder = getattr(options, "folder", None)
    try:
        before = cache.info(folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    _print(str(before))
    if not options.clear:
        return 0
    cache.clear(folder)
    after = cache.info(folder)
    # Others may have begun to fill it again.
    if (
        after.n_records >= before.n_records > 0
        or after.n_damaged_files >= before.n_damaged_files > 0
    ):
        print("It could not be emptied.", file=sys.stderr)
        return 1
    forgotten = "All of this is forgotten, and its space is given back."
    held = before.n_records or before.n_damaged_files
    _print(forgotten if held else "There is nothing to forget.")
    return 0


def _refuse_options_of_the_comparison(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> None:
    names = ("text", "image", "output")
    given = [f"--{name}" for name in names if getattr(options, name)]
    if given:
        parser.error(
            f"{' and '.join(given)} can't be given with 'cache': the comparison, which "
            "'cache' takes the place of, has these options"
        )


def _print(text: str) -> None:
    """Print text as it is, with numbers and paths in colour on a terminal."""
    Console().print(text, markup=False, emoji=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is manage_cache:
        _refuse_options_of_the_comparison(parser, options)
    return options.command(options)


if __name__ == "__main__":
    sys.exit(main())
