"""The command line of what computes: `python -m bu_core --help`. The book has its own: `python -m bu_book --help`."""

import argparse
import sys
from collections.abc import Sequence

from . import config
from .command_line import add_overrides, overrides, run_command, said, table
from .commands import audit, command, export, sweep, unlearn
from .data import SPLITS
from .experiment.experiment import Experiment
from .experiment.metrics import write_metrics
from .experiment.record import NotRecorded
from .precision import decisions


def profiles(arguments: argparse.Namespace) -> None:
    """List the profiles, and which arithmetic `precision: auto` takes on this machine, where that was timed."""
    for name, purpose in config.profiles().items():
        said(f"{name:<12} {purpose}")
    for known in decisions():
        work, size = known["workload"], "x".join(map(str, known["workload"]["shape"]))
        told = ", ".join(f"{name} {1000 * taken:.1f} ms a step" for name, taken in (known["seconds"] or {}).items())
        taken = f"{known['precision']} ({told or 'not timed'})"
        said(f"precision auto: {work['model']}, width {work['width']:g}, {size}: {taken}")


def run(arguments: argparse.Namespace) -> None:
    """Compute a profile and print its utility table (accuracy in percent)."""
    experiment = Experiment(config.Config.from_profile(arguments.profile, **overrides(arguments)), said)
    metrics = write_metrics(experiment)
    rows = metrics.methods.items()
    said(table({name: {part: f"{found.accuracy[part]:.2f}" for part in SPLITS} for name, found in rows}))
    for name in metrics.diverged:
        said(f"{name} diverged: its outputs are not finite, so there is no number of it")
    said(f"everything: {experiment.folder / 'metrics.json'}")


def _parser() -> argparse.ArgumentParser:
    about = "Boundary Unlearning, reproduced: compute experiments."
    parser = argparse.ArgumentParser("python -m bu_core", description=about)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command(commands, profiles)
    of_run = command(commands, run)
    of_run.add_argument("profile", help="the name of a profile, or the path of a YAML file")
    add_overrides(of_run)
    for each in (sweep, export, unlearn, audit):
        each.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    return run_command(_parser(), arguments, (NotRecorded,))


if __name__ == "__main__":
    sys.exit(main())
