"""Seeds and classes: how far does a number move with another seed, and with another class to forget?"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from pandas.io.formats.style import Styler

from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import evaluation
from bu_core.experiment.record import NotRecorded
from bu_core.measures import interval

from ..claims import CannotTest
from ..gaps import Gaps, Gathering
from ..replicates import replicates, seen
from ..style import INK, as_table, colour, in_figure, set_title, title, with_half
from ..variations import BOUNDARY_METHODS

Unit = Literal["seeds", "classes"]
UNITS: tuple[Unit, Unit] = ("seeds", "classes")
MOST_SEEDS = 1000  # where more would be needed, nobody trains them


@dataclass(frozen=True)
class Point:
    """A model of one seed and class. `accuracy`: by set in percent. `asr`: of the attack by own outputs, in percent."""

    accuracy: dict[str, float]
    asr: float | None


@dataclass(frozen=True)
class Repeats:
    """What was repeated: `points[unit][model][which]`, the seeds with one class, and the classes with one seed.

    `forgotten`: what all seeds forget, in words. `gaps`: what is not recorded.
    """

    points: dict[Unit, dict[str, dict[str, Point]]]
    forgotten: str
    gaps: Gaps

    def values(self, unit: Unit, model: str, part: str) -> list[float]:
        """The accuracies of a model on a set, in percent; those that there are."""
        return [point.accuracy[part] for point in self.points[unit].get(model, {}).values() if part in point.accuracy]

    def spread(self, unit: Unit, model: str, part: str) -> float | None:
        """The standard deviation of these accuracies, in points; None of fewer than two."""
        values = self.values(unit, model, part)
        return statistics.stdev(values) if len(values) > 1 else None

    def lower(self, unit: Unit, one: str, other: str) -> tuple[int, int]:
        """In how many of the repeats with both models the first recognises less of D_f, and how many those are."""
        first, second = (self.points[unit].get(name, {}) for name in (one, other))
        both = [(first[which], second[which]) for which in first if which in second]
        return sum(a.accuracy["forget_train"] < b.accuracy["forget_train"] for a, b in both), len(both)


def measure(experiment: Experiment) -> Repeats:
    """The seeds over which claims are judged, and the classes of the run that has them, as far as they are recorded."""
    gathering = Gathering()
    gaps, runs = gathering.gaps, replicates(experiment)
    base = next(iter(runs.values()))
    points: dict[Unit, dict[str, dict[str, Point]]] = {"seeds": {}, "classes": {}}
    for which, run in runs.items():
        for model in run.names:
            try:
                found = seen(run, model)
            except NotRecorded:
                gaps.not_recorded.append(f"{title(model)}, {which}")
            except CannotTest:
                gaps.diverged.append(f"{title(model)}, {which}")
            else:
                points["seeds"].setdefault(model, {})[which] = Point(found.accuracy, found.asr.get("own_outputs"))
    of_classes = base if _classes(base) else experiment
    if classes := _classes(of_classes):
        # Of a run that is there for its repeats alone, Retrains of other classes may be recorded as well.
        methods = [*(["retrain"] if of_classes is not experiment else []), *BOUNDARY_METHODS]
        methods = [name for name in methods if name in of_classes.config.methods]
        for change in ({}, *classes):
            there = of_classes.variation(methods, **change)
            name = there.forgotten
            for model in there.names:
                if (kept := gathering.ask(f"{title(model)}, {name}", evaluation, there, model)) is not None:
                    points["classes"].setdefault(model, {})[name] = Point(kept.accuracy, kept.attack.asr.value)
    gathering.needs_some(any(points.values()))
    return Repeats(points, experiment.forgotten, gaps)


def _classes(experiment: Experiment) -> list[Mapping[str, int]]:
    """The other classes that a run is asked for; none where it forgets anything else than one class."""
    alone = not experiment.config.forget
    return [change for change in experiment.config.elsewhere if alone and set(change) == {"forget_class"}]


def seeds_needed(values: Sequence[float], within: float) -> int | None:
    """How many seeds bring half a 95 % interval of the mean down to `within`, where they vary as these do.

    At least 2; None for a single value, and where MOST_SEEDS are not enough.
    """
    if len(values) < 2:
        return None
    from scipy.stats import t as student_t

    counts, spread = np.arange(2, MOST_SEEDS + 1), statistics.stdev(values)
    enough = counts[student_t.ppf(0.975, counts - 1) * spread / np.sqrt(counts) <= within]
    return int(enough[0]) if len(enough) else None


def table(found: Repeats) -> Styler:
    """Mean and half a 95 % interval of each model over seeds, and over classes."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for unit in UNITS:
        for name, repeats in found.points[unit].items():
            row = {
                f"{set_title(part)}, %": with_half(interval(values))
                for part in SPLITS
                if (values := found.values(unit, name, part))
            }
            asr = [point.asr for point in repeats.values() if point.asr is not None]
            row |= {"ASR, %": with_half(interval(asr))} if asr else {}
            rows[f"over {unit}", title(name)] = {"n": f"{len(repeats)}"} | row
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["", "model"])
    return as_table(frame, found.gaps.shown())


def dots(found: Repeats) -> Figure | None:
    """The accuracy on D_f of every repeat: one dot a seed on the left, one a class on the right; a line at the mean.

    The original, which recognises nearly all, is left out. None where nothing was repeated.
    """
    several = [unit for unit in UNITS if any(len(repeats) > 1 for repeats in found.points[unit].values())]
    if not several:
        return None
    names = list(dict.fromkeys(name for unit in several for name in found.points[unit] if name != "original"))
    size = (8, 0.38 * len(names) + 1.4)
    apart = ConstrainedLayoutEngine(wspace=0.08)  # so that the scales of two panels do not read as one
    figure, panels = plt.subplots(1, len(several), figsize=size, sharex=True, sharey=True, squeeze=False, layout=apart)
    for axes, unit in zip(panels[0], several, strict=True):
        for row, name in enumerate(names):
            if values := found.values(unit, name, "forget_train"):
                axes.plot(values, [row] * len(values), "o", color=colour(name), alpha=0.5, markersize=6)
                axes.plot([statistics.fmean(values)] * 2, [row - 0.35, row + 0.35], color=INK, linewidth=1.2)
        count = max(len(repeats) for repeats in found.points[unit].values())
        one = f", forgetting {in_figure(found.forgotten)}" if unit == "seeds" else ", one seed"
        axes.set_title(f"{count} {unit}{one}", fontsize=11)
    figure.supxlabel("accuracy on the forgetting images, %", fontsize=11)
    panels[0][0].set(yticks=range(len(names)), yticklabels=[title(name) for name in names])
    panels[0][0].invert_yaxis()
    return figure


def over_seeds(found: Repeats) -> dict[str, str]:
    """By model, mean and half an interval of its accuracy on D_f over seeds: a column of the comparison of runs."""
    every = {name: found.values("seeds", name, "forget_train") for name in found.points["seeds"]}
    return {title(name): with_half(interval(values)) for name, values in every.items()}
