"""Settings: how much of a result is the method, and how much the number that it was run with?

The paper gives neither Finetune's learning rate nor the strength of Fisher's noise, so each baseline is shown over the
setting that decides it: Fisher Forgetting over `alpha`, three others over the learning rate.
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.attacks.register import ATTACKS
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics

from ..claims import NEAR, Effect
from ..gaps import Gaps, Gathering
from ..measured.over_settings import (
    RATE_FACTORS,
    FisherPoint,
    FisherSweep,
    Point,
    at_setting,
    fisher_sweep,
    rates,
)
from ..style import GREY, INK, NARROW, as_table, number, set_title, title
from .attack_success import above_retrain, finetune_not_private

EMPTY = 1  # percent of D_f at the most that claim 3 calls empty


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RateCurve:
    """A method at several learning rates, by rate; `own`: that of the run."""

    method: str
    own: float
    points: dict[float, Point]


@dataclass(frozen=True)
class Rates:
    """The methods over their learning rates, and the ASR of Retrain in percent, by attack."""

    curves: list[RateCurve]
    retrain: dict[str, float]
    gaps: Gaps

    def above_retrain(self, found: Point, kind: str) -> float:
        """The ASR of a point minus Retrain's, in points."""
        return found.asr[kind] - self.retrain[kind]

    def like_the_claim(self, curve: RateCurve, kind: str) -> list[float]:
        """The rates at which D_f is empty, and an attack finds more than after Retrain, by NEAR points at the least."""
        return [lr for lr, found in curve.points.items() if empties(found) and self.above_retrain(found, kind) >= NEAR]

    def nearest(self, curve: RateCurve) -> tuple[float, str, float] | None:
        """The most that an attack finds above Retrain where D_f is empty: points, attack, rate; None if it never is."""
        there = [
            (self.above_retrain(found, kind), kind, lr)
            for lr, found in curve.points.items()
            if empties(found)
            for kind in self.retrain
        ]
        return max(there, default=None)


def empties(found: Point) -> bool:
    """Whether claim 3 would call D_f empty; not where the fit diverged."""
    return bool(found.accuracy) and found.accuracy["forget_train"] <= EMPTY


def over_rates(experiment: Experiment) -> Rates:
    """The methods of a run over their learning rates, as far as it is recorded; none without Retrain."""
    gathering, config = Gathering(), experiment.config
    if "retrain" not in experiment.sound:
        return Rates([], {}, gathering.gaps)
    known, curves = metrics(experiment), []
    for method in (name for name in RATE_FACTORS if name in config.methods):
        own, points = config.unlearning[method]["lr"], {}
        for lr in rates(method, own):
            if lr == own and method in known.methods:
                points[lr] = _known(known, method)
                continue
            changed = experiment.with_settings(method, lr=lr)
            found = gathering.ask(f"{title(method)} at learning rate {lr:g}", at_setting, changed, method)
            if found is not None:
                points[lr] = found
        if points:
            curves.append(RateCurve(method, own, points))
    return Rates(curves, _known(known, "retrain").asr, gathering.gaps)


def _known(found: Metrics, name: str) -> Point:
    """What the metrics of a run say of a model already."""
    made = found.methods[name]
    asr = {kind: each.asr.value for kind, each in made.attacks.items() if not ATTACKS[kind].shadows}
    return Point(made.accuracy, {kind: value for kind, value in asr.items() if value is not None})


@dataclass(frozen=True)
class Repeated:
    """Finetune at the run's own rate, trained with several seeds, as the ledger judges it.

    `effects`: by attack, the ASR minus Retrain's by seed, and the ledger's limit. `here`: the same of the run itself,
    which may be another network than the one that was trained again with its seed, `seed`.
    """

    seed: str
    effects: dict[str, Effect]
    here: dict[str, float]


def over_seeds(experiment: Experiment) -> Repeated:
    """What claim 3 of the ledger is judged by, for the attacks that have several seeds."""
    effects = {each.choice: each for each in finetune_not_private(experiment).primary if len(each.values) > 1}
    kinds = [kind for kind, made in ATTACKS.items() if made.title in effects]
    known = metrics(experiment)
    return Repeated(
        f"seed {experiment.config.seed}",
        {kind: effects[ATTACKS[kind].title] for kind in kinds},
        {kind: above_retrain(known, kind, "finetune") for kind in kinds},
    )


@dataclass(frozen=True)
class Fisher:
    """Fisher Forgetting over the strength of its noise; `alpha`: that of the run."""

    alpha: float
    sweep: FisherSweep

    def nearest(self, remain_train: float) -> FisherPoint:
        """The point with the neuron erased, as in the released code, that keeps about so much of D_r, in percent."""
        erased = (each for each in self.sweep.points if each.output_row == "erased" and each.found.accuracy)
        return min(erased, key=lambda each: abs(each.found.accuracy["remain_train"] - remain_train))

    def at(self, alpha: float, output_row: str) -> FisherPoint | None:
        """The point of the sweep at this strength; None where the sweep has none."""
        there = (each for each in self.sweep.points if (each.alpha, each.output_row) == (alpha, output_row))
        return next(there, None)


def over_alpha(experiment: Experiment) -> Fisher | None:
    """Fisher Forgetting with the settings of a run, over `alpha`; None where it is none of the run's methods."""
    if "fisher" not in experiment.config.methods:
        return None
    given = experiment.config.unlearning["fisher"]
    return Fisher(given["alpha"], fisher_sweep(experiment, given["samples"], given["labels"]))


@dataclass(frozen=True)
class Settings:
    """All that the chapter shows of a run."""

    fisher: Fisher | None
    rates: Rates


def measure(experiment: Experiment) -> Settings:
    """Everything of the chapter at once; a page asks for one after the other, so that a record may lack some."""
    return Settings(over_alpha(experiment), over_rates(experiment))


# --- figures and tables -------------------------------------------------------------------------------------------

_ROWS = {"kept": "output neuron kept", "erased": "output neuron erased"}
_SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "forget_train": ("$D_f$", {"color": "#D55E00", "marker": "o", "zorder": 5}),
    "remain_train": ("$D_r$", {"color": "#0072B2", "marker": "s"}),
    "remain_test": ("$D_{rt}$", {"color": "#0072B2", "marker": "^", "linestyle": "--"}),
}
# An attack has no colour of its own in the book, so that nobody takes it for a method.
_ATTACKS: dict[str, dict[str, Any]] = {
    "own_outputs": {"color": INK, "marker": "o"},
    "confidence": {"color": INK, "marker": "s", "linestyle": "--"},
    "modified_entropy": {"color": GREY, "marker": "^", "linestyle": ":"},
}


def fisher_curves(found: Fisher | None) -> Figure | None:
    """Accuracy over the strength of the noise, with the output neuron of the class kept (left) and erased (right).

    None without Fisher Forgetting.
    """
    if found is None:
        return None
    size = (NARROW - 0.4, 2.5)
    figure, panels = plt.subplots(1, 2, figsize=size, sharex=True, sharey=True, layout="constrained")
    for axes, (output_row, called) in zip(panels, _ROWS.items(), strict=True):
        points = [each for each in found.sweep.points if each.output_row == output_row]
        for part, (label, look) in _SETS.items():
            values = [each.found.accuracy.get(part, float("nan")) for each in points]
            axes.plot(range(len(points)), values, label=label, markersize=3.5, linewidth=1, **look)
        if (own := found.at(found.alpha, output_row)) is not None:
            axes.axvline(points.index(own), color=GREY, linewidth=1)
        axes.set(ylim=(-3, 103))
        axes.set_title(called, fontsize=8)
        _ticks(axes, [each.alpha for each in points])
    figure.supxlabel(r"strength of the noise $\alpha$", fontsize=7.5)
    panels[0].set_ylabel("accuracy, %", fontsize=7.5)
    _legend(figure, *panels[0].get_legend_handles_labels())
    return figure


def _ticks(axes: Axes, values: list[float]) -> None:
    """A tick a value, at even distances, small enough for a phone."""
    short = [
        np.format_float_scientific(each, trim="-", exp_digits=1) if 0 < each < 0.001 else f"{each:g}" for each in values
    ]
    axes.set_xticks(range(len(values)), short, rotation=60)
    axes.tick_params(labelsize=7, pad=0)


def _legend(figure: Figure, handles: list[Any], labels: list[str]) -> None:
    size = {"fontsize": 7, "frameon": False, "columnspacing": 1, "handlelength": 2}
    figure.legend(handles, labels, loc="outside upper center", ncols=3, **size)


def fisher_table(found: Fisher | None) -> Styler | None:
    """Every point of the sweep over `alpha`; None without Fisher Forgetting."""
    if found is None:
        return None
    rows = {}
    for each in found.sweep.points:
        made = each.found
        rows[each.output_row, f"{each.alpha:g}"] = {
            **{f"{set_title(part)}, %": number(made.accuracy.get(part)) for part in SPLITS},
            **{f"ASR, {ATTACKS[kind].title.lower()}, %": number(value) for kind, value in made.asr.items()},
            **{
                f"answers as with that logit at 0, {set_title(part)}, %": number(each.like_masked[part])
                for part in ("forget_train", "remain_test")
            },
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["output neuron", "alpha"])
    return as_table(frame)


def rate_curves(found: Rates) -> Figure | None:
    """A row a method over its learning rates: accuracy at the left, ASR minus Retrain's by attack at the right.

    A mark is filled where D_f is empty; the dotted line is NEAR points above Retrain. A method with a single rate is
    left out; None where that holds for all.
    """
    curves = [each for each in found.curves if len(each.points) > 1]
    if not curves:
        return None
    size = (NARROW - 0.4, 1.5 * len(curves) + 0.7)
    figure, rows = plt.subplots(
        len(curves), 2, figsize=size, sharey="col", sharex="row", squeeze=False, layout="constrained"
    )
    for (left, right), curve in zip(rows, curves, strict=True):
        for part in ("forget_train", "remain_test"):
            label, look = _SETS[part]
            _over_rates(left, curve, [each.accuracy.get(part) for each in curve.points.values()], label, look)
        for kind in found.retrain:
            above = [found.above_retrain(each, kind) if each.asr else None for each in curve.points.values()]
            _over_rates(right, curve, above, ATTACKS[kind].title, _ATTACKS[kind])
        for axes in (left, right):
            axes.axvline(list(curve.points).index(curve.own), color=GREY, linewidth=1)
            _ticks(axes, list(curve.points))
        right.axhline(0, color=GREY, linewidth=1)
        right.axhline(NEAR, color=GREY, linestyle=":")
        left.set(ylim=(-5, 105), yticks=(0, 50, 100))
        left.set_title(title(curve.method), fontsize=8, loc="left")
        left.set_ylabel("accuracy, %", fontsize=7.5)
    rows[0][1].set_title("ASR minus Retrain's, points", fontsize=7.5, fontweight="normal")
    figure.supxlabel("learning rate", fontsize=7.5)
    (handles, labels), (others, names) = (each.get_legend_handles_labels() for each in rows[0])
    _legend(figure, handles + others, labels + names)
    return figure


def _over_rates(axes: Axes, curve: RateCurve, values: list[float | None], label: str, look: dict[str, Any]) -> None:
    """A line over the rates of a curve; the marks of those that leave something of D_f are hollow."""
    line = {name: value for name, value in look.items() if name != "marker"}
    axes.plot(range(len(values)), [float("nan") if each is None else each for each in values], linewidth=1, **line)
    for place, (value, found) in enumerate(zip(values, curve.points.values(), strict=True)):
        if value is not None:
            fill = "full" if empties(found) else "none"
            axes.plot(place, value, color=look["color"], marker=look["marker"], fillstyle=fill, markersize=4.5)
    axes.plot([], [], label=label, markersize=3.5, linewidth=1, **look)


def rate_table(found: Rates) -> Styler | None:
    """Every point of the curves; None without one."""
    rows = {}
    for curve in found.curves:
        for lr, made in curve.points.items():
            row = {f"{set_title(part)}, %": number(made.accuracy.get(part)) for part in SPLITS}
            for kind in found.retrain:
                above = found.above_retrain(made, kind) if made.asr else None
                row[f"{ATTACKS[kind].title}: ASR minus Retrain's, points"] = number(above, "+.1f")
            rows[title(curve.method), f"<b>{lr:g}</b>" if lr == curve.own else f"{lr:g}"] = row
    if not rows:
        return None
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["method", "learning rate"])
    return as_table(frame, found.gaps.shown())
