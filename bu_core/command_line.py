"""What both command lines share: the profile, `-p NAME VALUE`, and errors as one line with exit status 1."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .checks import SettingError, checked, from_yaml, shown


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Give a command the option `-p NAME VALUE`."""
    told = "replace a parameter of the profile, as in -p forget_class 3; may be given more than once"
    parser.add_argument("-p", dest="given", nargs=2, metavar=("NAME", "VALUE"), action="append", default=[], help=told)


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """The parameters that `-p` replaces, their values read as YAML."""
    given = dict(arguments.given)
    return {checked("-p", name, str): from_yaml(f"{name}={shown(text)}", text) for name, text in given.items()}


def run_command(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, errors: tuple[type[Exception], ...]
) -> int:
    """Parse the arguments and run the command that they name; returns the exit status.

    An error that the user can mend, a SettingError or one of `errors`, is reported by its message alone.
    """
    parsed = parser.parse_args(arguments)
    errors = (SettingError, *errors)
    try:
        parsed.command(parsed)
    except errors as error:
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
    lines = [["", *next(iter(rows.values()))], *([name, *row.values()] for name, row in rows.items())]
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    padded = ([name.ljust(first), *map(str.rjust, cells, widths)] for name, *cells in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)
