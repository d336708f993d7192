"""A profile over several forgotten classes and seeds: means with 95 % intervals.

Each run is an experiment of its own in the same store, so an interrupted sweep goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..config import Config
from ..data import SPLITS
from ..measures import Interval, interval
from ..results import as_json
from ..store import write_json
from .experiment import Experiment
from .metrics import Metrics, write_metrics


@dataclass(frozen=True)
class Sweep:
    """The `runs`, and `summary.<method>.<measure>`: of the four accuracies, the ASR and the seconds.

    Half the width of an interval is Student's t over the runs, None for a single run; a method that diverged in some
    has the others. The runs of one seed share their original, so they are not independent of each other: with several
    classes and one seed the interval speaks of classes, not of seeds.
    """

    runs: list[Metrics]
    summary: dict[str, dict[str, Interval]]


def sweep(
    profile: str,
    overrides: dict[str, Any],
    classes: Sequence[int | str],
    seeds: Sequence[int],
    say: Callable[[str], None],
) -> Sweep:
    """Run a profile for each class and seed; the result is also left in `sweep.json` in the results folder."""
    changes = [{"forget_class": name, "seed": seed} for seed in seeds for name in classes]
    configs, runs = [Config.from_profile(profile, **overrides | change) for change in changes], []
    for number, config in enumerate(configs, start=1):
        say(f"run {number} of {len(configs)}: forget_class={config.forget_class}, seed={config.seed}")
        experiment = Experiment(config, say)
        runs.append(write_metrics(experiment))
    summary = {}
    for method in dict.fromkeys(name for run in runs for name in run.methods):
        results = [run.methods[method] for run in runs if method in run.methods]
        summary[method] = {part: interval([found.accuracy[part] for found in results]) for part in SPLITS}
        summary[method]["asr"] = interval([found.attacks["own_outputs"].asr.value or 0.0 for found in results])
        summary[method]["seconds"] = interval([found.seconds.median for found in results])
    content = {"runs": [run.as_json() for run in runs], "summary": as_json(summary)}
    write_json(experiment.folder / "sweep.json", content)
    return Sweep(runs, summary)
