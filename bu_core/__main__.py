"""The command line of what computes: `python -m bu_core --help`. The book has its own: `python -m bu_book --help`."""

import argparse
import sys
from collections.abc import Sequence

from . import config
from .checks import SettingError, checked, from_yaml, listed, shown
from .command_line import add_overrides, overrides, run_command, said, table
from .data import DATASETS, SPLITS
from .experiment.experiment import Experiment
from .experiment.metrics import write_metrics
from .experiment.record import NotRecorded
from .precision import decisions


def profiles(arguments: argparse.Namespace) -> None:
    """List the profiles, and which arithmetic `precision: auto` takes on this machine, where that was timed."""
    for name, purpose in config.profiles().items():
        said(f"{name:<12} {purpose}")
    for known in decisions():
        work, size = known.workload, "x".join(map(str, known.workload.shape))
        told = ", ".join(f"{name} {1000 * taken:.1f} ms a step" for name, taken in (known.seconds or {}).items())
        said(f"precision auto: {work.model}, width {work.width:g}, {size}: {known.precision} ({told or 'not timed'})")


def run(arguments: argparse.Namespace) -> None:
    """Compute a profile and print its utility table (accuracy in percent)."""
    experiment = Experiment(config.Config.from_profile(arguments.profile, **overrides(arguments)), said)
    metrics = write_metrics(experiment)
    rows = metrics.methods.items()
    said(table({name: {part: f"{found.accuracy[part]:.2f}" for part in SPLITS} for name, found in rows}))
    for name in metrics.diverged:
        said(f"{name} diverged: its outputs are not finite, so there is no number of it")
    said(f"everything: {experiment.folder / 'metrics.json'}")


def sweep(arguments: argparse.Namespace) -> None:
    """Run a profile over classes and seeds; print means with 95 % intervals. Goes on where it was stopped."""
    from .experiment.sweep import sweep as over

    given = overrides(arguments)
    asked = config.Config.from_profile(arguments.profile, **given)
    known = DATASETS[asked.dataset].classes or Experiment(asked).dataset.classes
    chosen = _classes(arguments.classes, known, asked.dataset)
    content = over(arguments.profile, given, chosen, range(arguments.seeds), said)
    for method, summary in content.summary.items():
        cells = [f"{measure} {value.shown()}" for measure, value in summary.items()]
        said(f"{method:<20} " + ", ".join(cells))


def _classes(text: str, known: Sequence[str], dataset: str) -> list[int]:
    """The indices of the classes that `--classes` names, each once."""
    if text == "all":
        return list(range(len(known)))
    setting = f"--classes={shown(text)}"
    given = [checked("--classes", value, int | str) for value in from_yaml(setting, f"[{text}]")]
    found = [config.class_index(value, known, dataset, "--classes") for value in given]
    if not found:
        raise SettingError(f"{setting}: must name a class; allowed: all, {listed(known)}")
    if repeated := [known[index] for index in sorted(set(found)) if found.count(index) > 1]:
        raise SettingError(f"{setting}: {listed(repeated)} is named twice")
    return found


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 10_000:
        raise argparse.ArgumentTypeError(f"{shown(text)}: must be a whole number from 1 to 10000")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    about = "Boundary Unlearning, reproduced: compute experiments."
    parser, made = argparse.ArgumentParser("python -m bu_core", description=about), {}
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (profiles, run, sweep):
        name, about = command.__name__, command.__doc__ or ""
        made[name] = commands.add_parser(name, help=about, description=about)
        made[name].set_defaults(command=command)
    for name in ("run", "sweep"):
        made[name].add_argument("profile", help="the name of a profile, or the path of a YAML file")
        add_overrides(made[name])
    made["sweep"].add_argument("--classes", default="all", help="classes to forget: names or indices, with commas")
    made["sweep"].add_argument("--seeds", type=_positive, default=5, help="how many seeds, counted from 0 (default 5)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    return run_command(_parser(), arguments, (NotRecorded,))


if __name__ == "__main__":
    sys.exit(main())
