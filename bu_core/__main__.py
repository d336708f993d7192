"""The command line: `python -m bu_core --help`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

from . import config, record, settings
from .book import BuildError
from .experiment import Experiment
from .settings import SettingError


class _Commands(click.Group):
    """Reports an error that the user can mend by its message alone, with exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (SettingError, BuildError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Boundary Unlearning, reproduced: compute experiments, execute the notebooks, build the book."""


_profile = click.argument("profile")


def _parameters(command: Callable) -> Callable:
    """The option `-p NAME VALUE`, which replaces a parameter of the profile; the value is read as YAML."""
    return click.option(
        "-p",
        "overrides",
        nargs=2,
        multiple=True,
        metavar="NAME VALUE",
        callback=lambda context, option, pairs: {name: yaml.safe_load(value) for name, value in pairs},
        help="Replace a parameter of the profile, as in -p forget_class 3.",
    )(command)


@main.command()
def profiles() -> None:
    """List the profiles."""
    for name, purpose in config.profiles().items():
        click.echo(f"{name:<12} {purpose}")


@main.command()
@_profile
@_parameters
def run(profile: str, overrides: dict[str, Any]) -> None:
    """Compute a profile and print its utility table (accuracy in percent)."""
    from .figures import accuracy_frame

    experiment = Experiment(config.Config.from_profile(profile, **overrides), click.echo)
    metrics = experiment.metrics()
    click.echo(accuracy_frame(metrics).T.to_string(float_format="{:.2f}".format))
    click.echo(f"everything: {experiment.folder / 'metrics.json'}")


@main.command()
@_profile
@_parameters
def reference(profile: str, overrides: dict[str, Any]) -> None:
    """Compute all that the chapters show and keep it under book/results. Goes on where it was stopped.

    A record is that of its profile, so -p takes nothing but data_dir, device, precision and results_dir.
    """
    settings.one_of("profile", profile, config.profiles())
    for name in overrides:
        settings.one_of("-p", name, record.WHERE_MADE)
    experiment = Experiment(config.Config.from_profile(profile, **overrides), click.echo, record=None)
    click.echo(f"recorded: {record.publish(experiment, profile, f'make reference PROFILE={profile}')}")


@main.command()
@_profile
@_parameters
@click.option("--output", type=click.Path(path_type=Path), default=Path("executed"), show_default=True)
def notebooks(profile: str, overrides: dict[str, Any], output: Path) -> None:
    """Compute a profile and execute every notebook on it with papermill."""
    from . import book

    for path in book.execute(profile, overrides, output, list(book.TEMPLATES), click.echo):
        click.echo(path)


@main.command()
@click.argument("profiles", nargs=-1)
@_parameters
@click.option("--output", type=click.Path(path_type=Path), default=Path("book"), show_default=True)
def book(profiles: tuple[str, ...], overrides: dict[str, Any], output: Path) -> None:
    """Execute the notebooks on profiles and build the book.

    Without a profile: cifar10, cifar10-released and lfw as they were recorded, and digits.
    """
    from . import book as rooms

    rooms.build(profiles or rooms.SHOWN, overrides, output, click.echo)


@main.command()
@click.argument("profiles", nargs=-1)
@_parameters
@click.option("--output", type=click.Path(path_type=Path), default=Path("book"), show_default=True)
def pdf(profiles: tuple[str, ...], overrides: dict[str, Any], output: Path) -> None:
    """Build the book as `book` does, and print it to one PDF with Chromium."""
    from . import book as rooms
    from .pdf import chromium
    from .pdf import pdf as print_pdf

    chromium()  # where there is none, that is said before any work
    page = rooms.build(profiles or rooms.SHOWN, overrides, output, click.echo)
    print_pdf(page.parent, output / "_build" / "book.pdf", click.echo)


@main.command()
@_profile
@_parameters
@click.option("--classes", default="all", show_default=True, help="Classes to forget: names or indices, with commas.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="How many seeds, counted from 0.")
def sweep(profile: str, overrides: dict[str, Any], classes: str, seeds: int) -> None:
    """Run a profile over classes and seeds; print means with 95 % intervals. Goes on where it was stopped."""
    from . import sweep as rooms

    if classes == "all":
        chosen = list(range(len(Experiment(config.Config.from_profile(profile, **overrides)).dataset.classes)))
    else:
        chosen = [yaml.safe_load(name) for name in classes.split(",")]
    content = rooms.sweep(profile, overrides, chosen, range(seeds), click.echo)
    for method, summary in content["summary"].items():
        cells = [
            f"{measure} {value['mean']:.2f}" + (f" ± {value['half_width']:.2f}" if value["half_width"] else "")
            for measure, value in summary.items()
        ]
        click.echo(f"{method:<20} " + ", ".join(cells))


@main.command()
@click.option("--output", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
def bench(output: Path) -> None:
    """Measure speed against plain code written from the paper's text; prints ratios and leaves bench.json."""
    from . import bench as rooms

    results = rooms.bench(output, click.echo)
    for name, both in results["medians"].items():
        ratio = results["times faster than plain"][name]
        click.echo(f"{name:<20} ours {both['ours']:.3f} s, plain {both['plain']:.3f} s: {ratio:.1f} times faster")
    ratio = results["shrink over expanding"]
    click.echo(f"boundary_shrink costs {ratio['ours']:.2f} times boundary_expanding (plain: {ratio['plain']:.2f})")
    click.echo(f"everything: {output / 'bench.json'}")


if __name__ == "__main__":
    main(prog_name="python -m bu_core")
