"""The command line of the book: `python -m bu_book --help`.

The imports stand inside the functions, so that Ctrl-C is answered with one line from the start.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def notebooks(arguments: argparse.Namespace) -> None:
    """Compute runs and execute every notebook on them with papermill."""
    from bu_core.checks import path_of
    from bu_core.command_line import overrides, said

    from .build import execute_templates

    folder = path_of("--output", arguments.output)
    for path in execute_templates(arguments.profiles, overrides(arguments), folder, said):
        said(str(path))


def build(arguments: argparse.Namespace) -> None:
    """Execute the notebooks once, with the first profile and the others beside it, and build the book."""
    from bu_core.command_line import overrides, said

    from .build import build as build_book

    build_book(arguments.profiles, overrides(arguments), arguments.output, said)


def pdf(arguments: argparse.Namespace) -> None:
    """Build the book as `build` does, and print it to one PDF with Chromium."""
    from bu_core.command_line import overrides, said

    from .build import build as build_book
    from .pdf import chromium
    from .pdf import pdf as print_pdf

    chromium()  # where there is none, that is said before any work
    page = build_book(arguments.profiles, overrides(arguments), arguments.output, said)
    print_pdf(page.parent, page.parent.parent / "book.pdf", said)


def report(arguments: argparse.Namespace) -> None:
    """Write a replication report of a run, of at most eight pages, as HTML and, with Chromium, as PDF."""
    from bu_core.command_line import overrides, said
    from bu_core.config import Config

    from .build import writable
    from .report import report as write_report

    folder = arguments.output / "_build"
    writable(folder)
    config = Config.from_profile(arguments.profile, **overrides(arguments))
    write_report(config, arguments.profile, folder, said)


def record(arguments: argparse.Namespace) -> None:
    """Compute all that the chapters show and keep it under book/results. Goes on where it was stopped.

    A record is that of its profile, so -p takes nothing but data_dir, device, precision and results_dir.
    """
    from dataclasses import replace

    from bu_core.checks import one_of
    from bu_core.command_line import overrides, said
    from bu_core.config import Config, profiles
    from bu_core.experiment.experiment import Experiment
    from bu_core.experiment.record import WHERE_MADE, Record

    from .publish import publish

    one_of("profile", arguments.profile, profiles())
    given = overrides(arguments)
    for name in given:
        one_of("-p", name, WHERE_MADE)
    config = Config.from_profile(arguments.profile, **given)
    there = Record.find(replace(config, data_dir=None))  # what it holds need not be computed again
    experiment = Experiment(config, said, extend=there)
    said(f"recorded: {publish(experiment, arguments.profile, f'make reference PROFILE={arguments.profile}')}")


def migrate(arguments: argparse.Namespace) -> None:
    """Bring earlier stores and records to the keys and names of today; nothing is computed or lost."""
    from bu_core.checks import path_of
    from bu_core.command_line import said

    from .migrate import migrate as migrate_folder

    for folder in arguments.folders:
        migrate_folder(path_of("folder", folder), said)


def bench(arguments: argparse.Namespace) -> None:
    """Measure speed against plain code written from the paper's text; print ratios and leave bench.json."""
    from bu_core.checks import SettingError, path_of, shown
    from bu_core.command_line import said

    from .bench import bench as measure

    output = path_of("--output", arguments.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"--output={shown(arguments.output)}: cannot be written ({error.strerror})") from error
    results = measure(output, said)
    for name, both in results["medians"].items():
        ratio = results["times faster than plain"].get(name)
        plain = "" if ratio is None else f", plain {both['plain']:.3f} s: {ratio:.1f} times faster"
        said(f"{name:<20} ours {both['ours']:.3f} s{plain}")
    ratio = results["shrink over expanding"]
    said(f"boundary_shrink costs {ratio['ours']:.2f} times boundary_expanding (plain: {ratio['plain']:.2f})")
    said(f"everything: {output / 'bench.json'}")


def _parser() -> argparse.ArgumentParser:
    from bu_core.command_line import add_overrides

    parser = argparse.ArgumentParser(
        "python -m bu_book", description="Boundary Unlearning, reproduced: execute the notebooks, build the book."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    made = {}
    for command in (notebooks, build, pdf, report, record):
        made[command.__name__] = commands.add_parser(
            command.__name__, help=command.__doc__, description=command.__doc__
        )
        made[command.__name__].set_defaults(command=command)
        add_overrides(made[command.__name__])
    made["bench"] = commands.add_parser("bench", help=bench.__doc__, description=bench.__doc__)
    made["bench"].set_defaults(command=bench)
    made["bench"].add_argument("--output", default="results", help="the folder of bench.json")
    made["migrate"] = commands.add_parser("migrate", help=migrate.__doc__, description=migrate.__doc__)
    made["migrate"].set_defaults(command=migrate)
    made["migrate"].add_argument("folders", nargs="+", type=Path, help="the folder of a store, or of a record")
    made["record"].add_argument("profile", help="the name of a profile")
    made["report"].add_argument(
        "profile", nargs="?", default="cifar10", help="by name or as a path; unless told: cifar10"
    )
    for name, folder in (("notebooks", "executed"), ("build", "book"), ("pdf", "book"), ("report", "book")):
        told = (
            "the profile to execute, by name or as a path, and those beside it; unless told: cifar10, and what it names"
        )
        if name != "report":
            made[name].add_argument("profiles", nargs="*", metavar="profile", help=told)
        made[name].add_argument("--output", type=Path, default=Path(folder), help=f"default: {folder}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    from bu_core.command_line import run_command

    from . import BuildError

    return run_command(_parser(), arguments, (BuildError,))


def _stop(number: int, frame: Any) -> None:
    """End at once with one line. Kernels end with their parent, and what is stored is written beside and renamed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(2, b"\nstopped; run the same command again to go on\n")
    os._exit(130)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _stop)
    sys.exit(main())
