"""The paper's two methods without BatchNorm and with it, over learning rates, seeds and classes.

A network without BatchNorm keeps no statistics, so that the boundary is all that can forget. Its methods need other
rates for it, so no single rate would compare the two; `bu_book.measured.over_rates` measures a grid of them.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.experiment.experiment import Experiment

from .claims import CannotTest, about_one_class
from .gaps import Gaps, Gathering
from .measured.over_rates import LITTLE, AtRate, OverRates, Recalled, Yardsticks, over_rates, yardsticks
from .style import as_table, set_title, title
from .variations import BOUNDARY_METHODS, keeps_statistics, model_called

# The records that keep it, of how many classes and how many seeds: the run's own and those after it. A fit of a method
# takes a second on the digits.
ASKED_ON = {"digits": (10, 3), "cifar10": (1, 1)}
CHEAP = 1.0  # points of D_rt, up to which a rate costs little


@dataclass(frozen=True)
class OfOneRun:
    """The methods over their learning rates on one network; `yardsticks`: None for one that keeps statistics."""

    model: str
    keeps_statistics: bool
    forget_class: str
    seed: int
    rates: OverRates
    yardsticks: Yardsticks | None

    def cost(self, point: AtRate, after: bool = False) -> float:
        """How many points on D_rt a method costs at a rate, or what its model costs `after` re-estimation."""
        accuracy = point.after if after and point.after is not None else point.before
        return self.rates.original["remain_test"] - accuracy["remain_test"]

    def forgotten(self, method: str) -> list[AtRate]:
        """The rates, lowest first, at which a method leaves at most LITTLE percent of D_f."""
        points = self.rates.methods[method]
        return [point for point in points if point.before and point.before["forget_train"] <= LITTLE]

    def first(self, method: str) -> AtRate | None:
        """The lowest rate that forgets; D_rt has no part in its choice. None where none does."""
        return next(iter(self.forgotten(method)), None)

    def lasting(self, method: str) -> AtRate | None:
        """The lowest rate that forgets so that re-estimation brings no more than LITTLE back; None where none does."""
        points = self.forgotten(method)
        return next((each for each in points if (each.after or each.before)["forget_train"] <= LITTLE), None)

    def strongest(self, method: str) -> AtRate | None:
        """The highest rate that forgets and costs at most CHEAP points; None where none does."""
        return next((point for point in reversed(self.forgotten(method)) if self.cost(point) <= CHEAP), None)


@dataclass(frozen=True)
class Spread:
    """The mean of some numbers, how many they are, and their ends; a single number is shown without ends."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + (f" ({self.low:.1f} to {self.high:.1f})" if self.count > 1 else "")


def spread(values: Sequence[float]) -> Spread | None:
    """The mean and the ends; None of no numbers."""
    return Spread(statistics.fmean(values), min(values), max(values), len(values)) if values else None


@dataclass(frozen=True)
class Compared:
    """The runs of a network without BatchNorm and of one with it, by seed and class."""

    runs: list[OfOneRun]
    gaps: Gaps

    @property
    def methods(self) -> list[str]:
        """The paper's methods that were measured, in the paper's order."""
        return [name for name in BOUNDARY_METHODS if any(name in run.rates.methods for run in self.runs)]

    @property
    def factors(self) -> list[float]:
        """The multiples of a method's own learning rate at which it was measured."""
        return [point.factor for points in self.runs[0].rates.methods.values() for point in points]

    def of(self, keeps_statistics: bool) -> list[OfOneRun]:
        """The runs of the network that keeps statistics, or of the one that does not."""
        return [run for run in self.runs if run.keeps_statistics == keeps_statistics]

    def at(
        self,
        which: Callable[[OfOneRun, str], AtRate | None],
        method: str,
        keeps_statistics: bool,
        ask: Callable[[OfOneRun, AtRate], float | None],
    ) -> Spread | None:
        """A number of one rate of each run, such as `OfOneRun.first`; runs that have no such rate are left out."""
        runs = self.of(keeps_statistics)
        asked = [ask(run, point) for run in runs if (point := which(run, method)) is not None]
        return spread([value for value in asked if value is not None])

    def affordable(self, method: str) -> Spread | None:
        """The accuracy on D_f in percent at the best rate without BatchNorm, over the runs where one is cheap enough.

        It may cost as much as the method does with BatchNorm at its own rate in the run of that class and seed, and
        CHEAP points in any case.
        """
        left = []
        for run in self.of(False):
            allowed = max(CHEAP, self._cost_with_batchnorm(run, method))
            points = [point for point in run.rates.methods[method] if point.before]
            cheap = [point.before["forget_train"] for point in points if run.cost(point) <= allowed]
            left += [min(cheap)] if cheap else []
        return spread(left)

    def _cost_with_batchnorm(self, run: OfOneRun, method: str) -> float:
        """What a method costs at its own rate with BatchNorm, in points of D_rt; 0 where that is not known."""
        for other in self.of(True):
            if (other.forget_class, other.seed) == (run.forget_class, run.seed):
                own = [point for point in other.rates.methods[method] if point.factor == 1 and point.before]
                return other.cost(own[0]) if own else 0.0
        return 0.0

    def above_retrain(
        self, which: Callable[[OfOneRun, str], AtRate | None], method: str, ask: Callable[[Recalled], float]
    ) -> tuple[int, int]:
        """In how many runs without BatchNorm an auditor recalls more than of that run's Retrain, and of how many."""
        pairs = [
            (ask(point.recalled), ask(run.yardsticks.retrain))
            for run in self.of(False)
            if (point := which(run, method)) is not None and point.recalled is not None and run.yardsticks is not None
        ]
        return sum(found > retrain for found, retrain in pairs), len(pairs)

    def yardstick(self, ask: Callable[[Yardsticks], float]) -> Spread | None:
        """A number of what Retrain or the masked original shows, without BatchNorm."""
        return spread([ask(run.yardsticks) for run in self.runs if run.yardsticks is not None])


def compared(experiment: Experiment, everything: bool = False) -> Compared:
    """Both networks over seeds and classes, as far as it is recorded; it is computed with `everything` alone.

    Raises CannotTest for a run that forgets anything else than one class, or where there is nothing of two networks.
    """
    about_one_class(experiment)
    config, models = experiment.config, dict[bool, str]()
    methods = [name for name in BOUNDARY_METHODS if name in config.methods]
    for change in ({}, *config.elsewhere):
        if set(change) <= {"model"}:
            there = experiment.variation(methods, **change)
            models.setdefault(keeps_statistics(there), there.config.model)
    if not methods or len(models) < 2:
        raise CannotTest("this run has no network without BatchNorm beside one with it, and the run of the digits has")
    gathering, runs = Gathering(), []
    for label, seed in _grid(experiment) if experiment.record or everything else ():
        for keeps, model in models.items():
            change = {"model": model, "seed": seed, "forget_class": label}
            there = experiment.variation(methods, **change)
            called = f"{model_called(there, change)}, {there.forgotten}, seed {seed}"
            found, beside = gathering.ask(called, over_rates, there), None
            if not keeps:
                beside = gathering.ask(f"{called}, Retrain", yardsticks, experiment.variation(["retrain"], **change))
            if found is not None:
                runs.append(OfOneRun(model, keeps, there.forgotten, seed, found, beside))
    if len({run.keeps_statistics for run in runs}) < 2:
        raise CannotTest("no network without BatchNorm is recorded of this run over several learning rates")
    return Compared(runs, gathering.gaps)


def _grid(experiment: Experiment) -> list[tuple[int, int]]:
    """The classes and seeds that are asked for."""
    count, first = len(experiment.dataset.classes), experiment.forget_classes[0]
    classes, seeds = ASKED_ON.get(experiment.dataset.name, (1, 1))
    labels = [(first + place) % count for place in range(min(classes, count))]
    return [(label, experiment.config.seed + number) for label in labels for number in range(seeds)]


# --- figure and table ---------------------------------------------------------------------------------------------

# How each line is drawn: of which network, and whether after re-estimation.
_LINES: dict[str, tuple[bool, bool, dict[str, str]]] = {
    "without BatchNorm": (False, False, {"color": "#D55E00", "marker": "o"}),
    "with BatchNorm": (True, False, {"color": "#0072B2", "marker": "s"}),
    "with BatchNorm, after re-estimation": (True, True, {"color": "#0072B2", "marker": "^", "linestyle": "--"}),
}


def line(run: OfOneRun, method: str, after: bool = False) -> list[tuple[float, float]]:
    """Points lost on D_rt and percent of D_f left: of the original, then of each rate; NaN where it diverged."""
    found = [(0.0, run.rates.original["forget_train"])]
    for point in run.rates.methods[method]:
        accuracy = point.after if after else point.before
        found.append((run.cost(point, after), accuracy["forget_train"]) if accuracy else (math.nan, math.nan))
    return found


def cost_curves(made: Compared) -> Figure:
    """D_f left against points lost on D_rt, a column a method and a dot a rate: means, and each run faintly."""
    figure, panels = plt.subplots(
        1, len(made.methods), figsize=(8, 3.8), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axes, method in zip(panels[0], made.methods, strict=True):
        for called, (keeps, after, look) in _LINES.items():
            lines = np.array([line(run, method, after) for run in made.of(keeps)])
            for each in lines:
                axes.plot(*each.T, color=look["color"], linestyle=look.get("linestyle", "-"), linewidth=0.6, alpha=0.25)
            if len(lines):
                axes.plot(*lines.mean(0).T, label=called, markersize=5, linewidth=1.6, **look)
        axes.set_title(title(method), fontsize=10)
        # What happens within the first points is the question, and high rates lose all: linear, then logarithmic.
        axes.set_xscale("symlog", linthresh=5)
        axes.set(ylim=(-3, 103), xlim=(-2, 100))
        axes.set_xticks([0, 2, 5, 10, 20, 50], ["0", "2", "5", "10", "20", "50"])
        axes.grid(visible=True)
    panels[0][0].set_ylabel("accuracy on $D_f$, %")
    figure.supxlabel("points lost on $D_{rt}$, logarithmic beyond 5", fontsize=11)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


# The auditors who train no network, in words.
AUDITORS: dict[str, Callable[[Recalled], float]] = {
    "a threshold": lambda found: found.threshold,
    "five labelled images": lambda found: found.five,
    "a linear probe": lambda found: found.probe,
}
_STRONGEST = f"highest rate that forgets for at most {CHEAP:g} point"
_NETWORKS = {False: "without BatchNorm", True: "with BatchNorm"}


def every_rate(made: Compared) -> Styler:
    """Each method at each rate on both networks: means, and the ends over seeds and classes."""
    rows = {}
    for method, (keeps, network) in itertools.product(made.methods, _NETWORKS.items()):
        runs = made.of(keeps)
        for at in zip(*(run.rates.methods[method] for run in runs), strict=True):
            pairs = [(run, point) for run, point in zip(runs, at, strict=True) if point.before]
            after = [point.after["forget_train"] for _, point in pairs if point.after]
            recalled = [point.recalled for _, point in pairs if point.recalled is not None]
            rows[title(method), network, f"{at[0].factor:g}"] = {
                f"{set_title('forget_train')}, %": _cell([point.before["forget_train"] for _, point in pairs], runs),
                f"points lost on {set_title('remain_test')}": _cell([run.cost(point) for run, point in pairs], runs),
                f"{set_title('forget_train')} after re-estimation, %": _cell(after, runs),
                **_recalls(recalled, runs),
            }
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["model", "network", "times the rate"])
    return as_table(frame, made.gaps.shown())


def depth(made: Compared) -> Styler:
    """What auditors recall without BatchNorm, of each method at two rates, and beside it of the yardsticks."""
    runs, chosen = made.of(False), {"lowest rate that forgets": OfOneRun.first, _STRONGEST: OfOneRun.strongest}
    rows = {}
    for method, (called, which) in itertools.product(made.methods, chosen.items()):
        pairs = [(run, point) for run in runs if (point := which(run, method)) is not None]
        recalled = [point.recalled for _, point in pairs if point.recalled is not None]
        costs = {f"points lost on {set_title('remain_test')}": _cell([run.cost(point) for run, point in pairs], runs)}
        rows[title(method), called] = costs | _recalls(recalled, runs)
    known = [run.yardsticks for run in runs if run.yardsticks is not None]
    rows[title("retrain"), ""] = _recalls([each.retrain for each in known], known)
    rows["Original, its answer masked", ""] = _recalls([each.masked for each in known], known)
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["without BatchNorm", "at the"])
    return as_table(frame)


def _recalls(found: Sequence[Recalled], of: Sequence[object]) -> dict[str, str]:
    return {_recall(auditor): _cell(list(map(ask, found)), of) for auditor, ask in AUDITORS.items()}


def _recall(auditor: str) -> str:
    return f"{set_title('forget_test')} by {auditor}, %"


def _cell(values: Sequence[float], of: Sequence[object]) -> str:
    """Mean and ends, and for how many of the runs they stand where not for all, as HTML."""
    if (found := spread(values)) is None:
        return "–"
    return f"{found}" if found.count == len(of) else f"{found}<br><small>{found.count} of {len(of)} runs</small>"
