"""What both command lines share: the profile, `-p NAME VALUE`, and errors as one line with exit status 1."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .checks import SettingError, checked, from_yaml, shown


class _Overrides(argparse.Action):
    """Collects `-p NAME VALUE` in the order given; a value stays text until `overrides` reads it."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), values[0]: values[1]})


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Give a command the option `-p NAME VALUE`."""
    parser.add_argument(
        "-p",
        dest="given",
        nargs=2,
        metavar=("NAME", "VALUE"),
        action=_Overrides,
        default={},
        help="replace a parameter of the profile, as in -p forget_class 3; may be given more than once",
    )


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """The parameters that `-p` replaces, their values read as YAML."""
    return {
        checked("-p", name, str): from_yaml(f"{name}={shown(text)}", text) for name, text in arguments.given.items()
    }


def run_command(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, errors: tuple[type[Exception], ...]
) -> int:
    """Parse the arguments and run the command that they name; returns the exit status.

    An error that the user can mend, a SettingError or one of `errors`, is reported by its message alone.
    """
    parsed = parser.parse_args(arguments)
    try:
        parsed.command(parsed)
    except (SettingError, *errors) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def said(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def table(rows: Mapping[str, Mapping[str, str]]) -> str:
    """Rows of text under their column titles, in columns of equal width."""
    titles = ["", *next(iter(rows.values()))]
    lines = [titles, *([name, *row.values()] for name, row in rows.items())]
    widths = [max(len(line[place]) for line in lines) for place in range(len(titles))]
    return "\n".join(
        "  ".join(
            [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]
        ).rstrip()
        for cells in lines
    )
