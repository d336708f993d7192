"""Settings: how much of a result is the method, and how much the number that it was run with?

The paper gives neither Finetune's learning rate nor the strength of Fisher's noise, so each baseline is shown over the
setting that decides it: Fisher Forgetting over `alpha`, three others over the learning rate.
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.attacks.register import ATTACKS
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics
from bu_core.experiment.over_settings import (
    RATE_FACTORS,
    FisherPoint,
    FisherSweep,
    Point,
    at_setting,
    fisher_sweep,
    rates,
)

from ..claims import NEAR
from ..gaps import Gaps, Gathering
from ..style import GREY, as_table, colour, number, set_title, title

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
        return [
            lr
            for lr, found in curve.points.items()
            if found.accuracy and found.accuracy["forget_train"] <= EMPTY and self.above_retrain(found, kind) >= NEAR
        ]


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
class Fisher:
    """Fisher Forgetting over the strength of its noise; `alpha`: that of the run."""

    alpha: float
    sweep: FisherSweep

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

_ROWS = {"kept": "output neuron of the class kept", "erased": "output neuron of the class erased"}
_SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "forget_train": ("forgetting data $D_f$", {"color": "#D55E00", "marker": "o", "zorder": 5}),
    "remain_train": ("remaining data $D_r$", {"color": "#0072B2", "marker": "s"}),
    "remain_test": ("unseen images $D_{rt}$", {"color": "#0072B2", "marker": "^", "linestyle": "--"}),
}


def fisher_curves(found: Fisher | None) -> Figure | None:
    """Accuracy over the strength of the noise, with the output neuron of the class kept (left) and erased (right).

    None without Fisher Forgetting.
    """
    if found is None:
        return None
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), sharex=True, sharey=True, layout="constrained")
    for axes, (output_row, called) in zip(panels, _ROWS.items(), strict=True):
        points = [each for each in found.sweep.points if each.output_row == output_row]
        for part, (label, look) in _SETS.items():
            values = [each.found.accuracy.get(part, float("nan")) for each in points]
            axes.plot(range(len(points)), values, label=label, markersize=5, **look)
        if (own := found.at(found.alpha, output_row)) is not None:
            axes.axvline(points.index(own), color=GREY, linewidth=1)
        axes.set(title=called, xlabel=r"strength of the noise $\alpha$", ylim=(-3, 103))
        axes.set_xticks(range(len(points)), [f"{each.alpha:g}" for each in points], rotation=45)
        axes.title.set_fontsize(10)
    panels[0].set_ylabel("accuracy, %")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9, frameon=False
    )
    return figure


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
    """D_f left against ASR minus Retrain's, a point a learning rate: a column a method, a row an attack; None without.

    The dotted corner is where claim 3 puts Finetune.
    """
    if not found.curves:
        return None
    kinds, size = list(found.retrain), (2.7 * len(found.curves) + 0.4, 2.2 * len(found.retrain) + 0.6)
    figure, rows = plt.subplots(
        len(kinds), len(found.curves), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for row, kind in zip(rows, kinds, strict=True):
        for axes, curve in zip(row, found.curves, strict=True):
            _rate_curve(axes, found, curve, kind)
        row[0].set_ylabel(f"{ATTACKS[kind].title}:\nASR minus Retrain's, points", fontsize=9)
    for axes, curve in zip(rows[0], found.curves, strict=True):
        axes.set_title(title(curve.method), fontsize=10)
    figure.supxlabel("accuracy on $D_f$, %", fontsize=11)
    return figure


def _rate_curve(axes: Axes, found: Rates, curve: RateCurve, kind: str) -> None:
    there = {lr: each for lr, each in curve.points.items() if each.accuracy}
    left = [each.accuracy["forget_train"] for each in there.values()]
    above = [found.above_retrain(each, kind) for each in there.values()]
    axes.plot(left, above, color=colour(curve.method), linewidth=1)
    for lr, at, height in zip(there, left, above, strict=True):
        axes.plot(at, height, "o", color=colour(curve.method), markersize=8 if lr == curve.own else 4)
        if lr in (min(there), max(there)):  # between them the line says the order
            axes.annotate(f"{lr:g}", (at, height), (5, 5), textcoords="offset points", fontsize=9)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.plot([EMPTY, EMPTY, -5], [105, NEAR, NEAR], color=GREY, linestyle=":")
    axes.set(xlim=(-5, 118), ylim=(-105, 105), xticks=range(0, 101, 25))
    axes.tick_params(labelsize=9)
    axes.grid(visible=True)


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
