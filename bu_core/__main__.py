"""The command line of what computes: `python -m bu_core --help`. The book has its own: `python -m bu_book --help`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import config
from .command_line import add_overrides, overrides, run_command, said, setting_value, table
from .data import SPLITS
from .experiment.experiment import Experiment


def profiles(arguments: argparse.Namespace) -> None:
    """List the profiles."""
    for name, purpose in config.profiles().items():
        said(f"{name:<12} {purpose}")


def run(arguments: argparse.Namespace) -> None:
    """Compute a profile and print its utility table (accuracy in percent)."""
    experiment = Experiment(config.Config.from_profile(arguments.profile, **overrides(arguments)), said)
    metrics = experiment.metrics()
    said(
        table(
            {
                name: {part: f"{found['accuracy'][part]:.2f}" for part in SPLITS}
                for name, found in metrics["methods"].items()
            }
        )
    )
    said(f"everything: {experiment.folder / 'metrics.json'}")


def sweep(arguments: argparse.Namespace) -> None:
    """Run a profile over classes and seeds; print means with 95 % intervals. Goes on where it was stopped."""
    from .experiment.sweep import sweep as over

    given = overrides(arguments)
    if arguments.classes == "all":
        chosen = list(range(len(Experiment(config.Config.from_profile(arguments.profile, **given)).dataset.classes)))
    else:
        chosen = [setting_value("--classes", name) for name in arguments.classes.split(",")]
    content = over(arguments.profile, given, chosen, range(arguments.seeds), said)
    for method, summary in content["summary"].items():
        cells = [
            f"{measure} {value['mean']:.2f}" + (f" ± {value['half_width']:.2f}" if value["half_width"] else "")
            for measure, value in summary.items()
        ]
        said(f"{method:<20} " + ", ".join(cells))


def bench(arguments: argparse.Namespace) -> None:
    """Measure speed against plain code written from the paper's text; print ratios and leave bench.json."""
    from .bench import bench as measure

    results = measure(arguments.output, said)
    for name, both in results["medians"].items():
        ratio = results["times faster than plain"][name]
        said(f"{name:<20} ours {both['ours']:.3f} s, plain {both['plain']:.3f} s: {ratio:.1f} times faster")
    ratio = results["shrink over expanding"]
    said(f"boundary_shrink costs {ratio['ours']:.2f} times boundary_expanding (plain: {ratio['plain']:.2f})")
    said(f"everything: {arguments.output / 'bench.json'}")


def _positive(text: str) -> int:
    if not text.isdecimal() or not (number := int(text[:9])) >= 1:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: must be a whole number from 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bu_core", description="Boundary Unlearning, reproduced: compute experiments."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    made = {}
    for command in (profiles, run, sweep, bench):
        made[command.__name__] = commands.add_parser(
            command.__name__, help=command.__doc__, description=command.__doc__
        )
        made[command.__name__].set_defaults(command=command)
    for name in ("run", "sweep"):
        made[name].add_argument("profile", help="the name of a profile, or the path of a YAML file")
        add_overrides(made[name])
    made["sweep"].add_argument("--classes", default="all", help="classes to forget: names or indices, with commas")
    made["sweep"].add_argument("--seeds", type=_positive, default=5, help="how many seeds, counted from 0 (default 5)")
    made["bench"].add_argument("--output", type=Path, default=Path("results"), help="the folder of bench.json")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    return run_command(_parser(), arguments, ())


if __name__ == "__main__":
    sys.exit(main())
