"""The command line of the book: `python -m bu_book --help`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bu_core import config
from bu_core.checks import one_of
from bu_core.command_line import add_overrides, overrides, run_command, said
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import WHERE_MADE

from .build import BuildError


def notebooks(arguments: argparse.Namespace) -> None:
    """Compute a profile and execute every notebook on it with papermill."""
    from . import build as book

    for path in book.execute(arguments.profile, overrides(arguments), arguments.output, list(book.TEMPLATES), said):
        said(str(path))


def build(arguments: argparse.Namespace) -> None:
    """Execute the notebooks on profiles and build the book."""
    from . import build as book

    book.build(arguments.profiles or book.SHOWN, overrides(arguments), arguments.output, said)


def pdf(arguments: argparse.Namespace) -> None:
    """Build the book as `build` does, and print it to one PDF with Chromium."""
    from . import build as book
    from .pdf import chromium
    from .pdf import pdf as print_pdf

    chromium()  # where there is none, that is said before any work
    page = book.build(arguments.profiles or book.SHOWN, overrides(arguments), arguments.output, said)
    print_pdf(page.parent, arguments.output / "_build" / "book.pdf", said)


def record(arguments: argparse.Namespace) -> None:
    """Compute all that the chapters show and keep it under book/results. Goes on where it was stopped.

    A record is that of its profile, so -p takes nothing but data_dir, device, precision and results_dir.
    """
    from .publish import publish

    one_of("profile", arguments.profile, config.profiles())
    given = overrides(arguments)
    for name in given:
        one_of("-p", name, WHERE_MADE)
    experiment = Experiment(config.Config.from_profile(arguments.profile, **given), said, record=None)
    said(f"recorded: {publish(experiment, arguments.profile, f'make reference PROFILE={arguments.profile}')}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bu_book", description="Boundary Unlearning, reproduced: execute the notebooks, build the book."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    made = {}
    for command in (notebooks, build, pdf, record):
        made[command.__name__] = commands.add_parser(
            command.__name__, help=command.__doc__, description=command.__doc__
        )
        made[command.__name__].set_defaults(command=command)
        add_overrides(made[command.__name__])
    for name in ("notebooks", "record"):
        made[name].add_argument("profile", help="the name of a profile, or the path of a YAML file")
    for name in ("build", "pdf"):
        made[name].add_argument("profiles", nargs="*", help="unless told: the recorded runs, and digits")
    for name, folder in (("notebooks", "executed"), ("build", "book"), ("pdf", "book")):
        made[name].add_argument("--output", type=Path, default=Path(folder), help=f"default: {folder}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    return run_command(_parser(), arguments, (BuildError,))


if __name__ == "__main__":
    sys.exit(main())
