"""A profile over several forgotten classes and seeds: means with 95 % intervals.

Each run is an experiment of its own in the same store, so an interrupted sweep goes on where it was.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ..config import Config
from ..data import SPLITS
from ..measures import interval
from ..store import write_json
from .experiment import Experiment


def sweep(
    profile: str,
    overrides: dict[str, Any],
    classes: Sequence[int | str],
    seeds: Sequence[int],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run a profile for each class and seed; the result is also left in `sweep.json` in the results folder.

    `summary.<method>.<measure>`, of the four accuracies, the ASR and the seconds, holds the mean, and half the width
    of its 95 % interval (Student's t over the runs; None for a single run). The runs of one seed share their original
    model, so they are not independent of each other: with several classes and one seed the interval speaks of classes,
    not of seeds.
    """
    configs = [
        Config.from_profile(profile, **overrides | {"forget_class": name, "seed": seed})
        for seed in seeds
        for name in classes
    ]
    runs = []
    for number, config in enumerate(configs, start=1):
        say(f"run {number} of {len(configs)}: forget_class={config.forget_class}, seed={config.seed}")
        experiment = Experiment(config, say)
        runs.append(experiment.metrics())
    summary = {}
    for method in runs[0]["methods"]:
        results = [run["methods"][method] for run in runs]
        summary[method] = {part: interval([r["accuracy"][part] for r in results]) for part in SPLITS}
        summary[method]["asr"] = interval([result["attack"]["asr"] for result in results])
        summary[method]["seconds"] = interval([result["seconds"]["median"] for result in results])
    content = {"runs": runs, "summary": summary}
    write_json(experiment.folder / "sweep.json", content)
    return content
