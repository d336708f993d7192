"""The larger commands of `python -m bu_core`, one file each; `add` says what a command takes."""

import argparse
from collections.abc import Callable


def command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    """The parser of a command with the name of the function that runs it, and its docstring as help."""
    about = run.__doc__ or ""
    parser = commands.add_parser(run.__name__, help=about, description=about)
    parser.set_defaults(command=run)
    return parser
