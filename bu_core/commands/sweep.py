"""`sweep`: a profile over classes and seeds, on this machine or on a cluster."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import joblib
import torch

from ..checks import SettingError, checked, from_yaml, listed, shown
from ..command_line import add_overrides, overrides, said, table
from ..config import Config
from ..data import DATASETS
from ..data.request import class_index
from ..experiment.experiment import Experiment
from . import command


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = command(commands, sweep)
    parser.add_argument("profile", help="the name of a profile, or the path of a YAML file")
    add_overrides(parser)
    several = "classes to forget, one after the other: names or indices, with commas (default: all)"
    parser.add_argument("--classes", help=several)
    parser.add_argument("--seeds", type=_positive, default=5, help="how many seeds, counted from 0 (default 5)")
    who = parser.add_mutually_exclusive_group()
    told = "processes on this machine (unless told, one for each core; with a GPU, one)"
    who.add_argument("--jobs", type=_positive, help=told)
    who.add_argument("--scheduler", help="a Dask cluster: an address such as tcp://host:8786, or local:N")


def sweep(arguments: argparse.Namespace) -> None:
    """Run a profile over classes and seeds; print means with 95 % intervals. Goes on where it was stopped."""
    from ..experiment.sweep import sweep as over

    given = overrides(arguments)
    asked = Config.from_profile(arguments.profile, **given)
    known = DATASETS[asked.dataset].classes or Experiment(asked).dataset.classes
    if asked.forget and arguments.classes is not None:
        raise SettingError(
            f"--classes={shown(arguments.classes)}: is for one class at a time, and forget is set as well"
        )
    named = "all" if arguments.classes is None else arguments.classes
    chosen = [None] if asked.forget else _classes(named, known, asked.dataset)
    on_gpu = asked.device == "cuda" or (asked.device == "auto" and torch.cuda.is_available())
    jobs = arguments.jobs or (1 if on_gpu else joblib.cpu_count())
    found = over(arguments.profile, given, chosen, range(arguments.seeds), said, jobs, arguments.scheduler)
    rows = found.summary.items()
    said(table({name: {measure: value.shown() for measure, value in summary.items()} for name, summary in rows}))
    said(f"means of {len(found.runs)} runs ± half a 95 % interval; accuracy and attack success (asr) in percent")
    said(f"every run: {Path(asked.results_dir) / 'sweep.csv'}, and sweep.json beside it")
    if found.lost:
        raise SettingError(f"not measured, since their workers were lost: {'; '.join(found.lost)}; run it again")


def _classes(text: str, known: Sequence[str], dataset: str) -> list[int]:
    """The indices of the classes that `--classes` names, each once."""
    if text == "all":
        return list(range(len(known)))
    setting = f"--classes={shown(text)}"
    given = [checked("--classes", value, int | str) for value in from_yaml(setting, f"[{text}]")]
    found = [class_index(value, known, dataset, "--classes") for value in given]
    if not found:
        raise SettingError(f"{setting}: must name a class; allowed: all, {listed(known)}")
    if repeated := [known[index] for index in sorted(set(found)) if found.count(index) > 1]:
        raise SettingError(f"{setting}: {listed(repeated)} is named twice")
    return found


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 10_000:
        raise argparse.ArgumentTypeError(f"{shown(text)}: must be a whole number from 1 to 10000")
    return int(text)
