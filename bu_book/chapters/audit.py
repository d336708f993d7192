"""Does the class come back? The ladder of audits; re-estimation at length; the settings whose forgetting stays.

The ladder (`bu_core.audits.ladder`) asks what an auditor with more and more in hand finds of the class, and compares
with Retrains. Re-estimation is one of its rungs (`bu_core.audits.reestimation`): it gives BatchNorm the statistics of
remaining images, without a label and without touching a weight. It restores what only the statistics hide. Where it
restores nothing, that is no proof of forgetting: a single audit looks in one place.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from textwrap import fill
from typing import Literal

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from pandas.io.formats.style import Styler

from bu_core.audits.ladder import RUNGS, Climb, Reading, Rung, reading
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.ladder import ladder, masked_ladder
from bu_core.experiment.metrics import Evaluation, evaluation
from bu_core.experiment.record import NotRecorded

from ..gaps import Gaps, Gathering
from ..replicates import replicates
from ..style import GREY, PAPER, as_table, colour, in_figure, in_html, number, set_title, title, with_ends
from ..variations import (
    BOUNDARY_METHODS,
    REESTIMATED_ON,
    Variation,
    Variations,
    by_model,
    mean,
    most_images,
    repeated,
    variations,
)
from .what_forgets import Curves, forgetting_curves, recovered

RESTORED_ABOVE = 10  # percent of D_f: above it, and by as much above what it was before, the class is restored
FORGOTTEN_AT_MOST = 10  # percent of D_f after re-estimation, for a setting whose forgetting stays
COST_AT_MOST = 5  # points on D_rt that such a setting may cost

Outcome = Literal["restored", "not restored", "never gone"]


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelAudit:
    """One model `before` re-estimation and `after` it on the most images; None where not recorded.

    `recovered`: the accuracy on D_f in percent, by the number of images of D_r that re-estimation saw.
    """

    before: Evaluation
    after: Evaluation | None
    recovered: dict[int, float]

    @property
    def outcome(self) -> Outcome | None:
        """What re-estimation on the most images makes of the class; None where that is not recorded."""
        if self.after is None:
            return None
        before, after = (made.accuracy["forget_train"] for made in (self.before, self.after))
        if after <= RESTORED_ABOVE:
            return "not restored"
        return "restored" if after > before + RESTORED_ABOVE else "never gone"


@dataclass(frozen=True)
class Audit:
    """Every model that did not diverge, by name. `images`: on how many of D_r the statistics were estimated anew."""

    images: list[int]
    models: dict[str, ModelAudit]
    gaps: Gaps

    def with_outcome(self, outcome: Outcome) -> dict[str, ModelAudit]:
        """The unlearned models that re-estimation leads to this."""
        return {name: each for name, each in self.models.items() if name != "original" and each.outcome == outcome}


def measure(experiment: Experiment) -> Audit:
    """Every model before and after re-estimation, as far as it is recorded."""
    gathering, models = Gathering(), {}
    most = most_images(experiment)
    fewer = sorted({count for count in REESTIMATED_ON if count < most})
    for name in gathering.models(experiment, title):
        if (before := gathering.ask(title(name), evaluation, experiment, name)) is None:
            continue
        accuracies = {}
        for count in fewer:
            again = gathering.ask(f"{title(name)} after {count:,} images", recovered, experiment, name, count)
            if again is not None:
                accuracies[count] = again.accuracy["forget_train"]
        after = gathering.ask(f"{title(name)} after {most:,} images", evaluation, experiment, name, most)
        if after is not None:
            accuracies[most] = after.accuracy["forget_train"]
        models[name] = ModelAudit(before, after, accuracies)
    gathering.needs_some(models)
    return Audit([*fewer, most], models, gathering.gaps)


# --- the ladder ---------------------------------------------------------------------------------------------------

MASKED = "masked"  # the original with its output row at zero
CLIMBED_HERE = ("original", "retrain", "boundary_shrink", "file")  # where nothing is recorded: 6 s each for the digits


@dataclass(frozen=True)
class Climbed:
    """What every rung finds: `readings[model][rung]`, one of each replicate that has it; the original comes first.

    `seeds`: the replicates, in words. `repeats`: whether they are those of the run that the config names for that.
    `not_climbed`: models of this run that were left out, since nothing of them is recorded and it takes long.
    """

    readings: dict[str, dict[str, list[Reading]]]
    seeds: list[str]
    repeats: bool
    not_climbed: list[str]
    gaps: Gaps

    def value(self, model: str, rung: str) -> float | None:
        """The mean over the replicates; None where the rung needs Retrains and there are none."""
        return mean([found.value for found in self.readings[model][rung]])

    def outside(self, model: str, rung: str) -> float | None:
        """How far a model lies outside Retrain's range, as a share of what the original does, the mean over replicates.

        Above 0 there is more of the class than in Retrain, below it is hidden further; -1 and 1 are the ends. None
        where there is no Retrain to compare with.
        """
        original = [abs(away) for away in map(_away, self.readings["original"][rung]) if away is not None]
        own = [away for away in map(_away, self.readings[model][rung]) if away is not None]
        if not own or not original:
            return None
        known, slack = RUNGS[rung].known == "above", RUNGS[rung].slack
        shares = [away / max(slack, sum(original) / len(original)) * (1 if known else -1) for away in own]
        return max(-1.0, min(1.0, sum(shares) / len(shares)))

    def told_by(self, model: str, rung: str) -> bool:
        """Whether a rung tells a model from Retrain in more than half of its replicates."""
        found = self.readings[model][rung]
        return 2 * sum(each.verdict == "still known" for each in found) > len(found)

    def told_apart(self, model: str) -> list[str]:
        """The rungs that tell a model from Retrain."""
        return [rung for rung in RUNGS if self.told_by(model, rung)]

    @property
    def retrains(self) -> int:
        """How many Retrains the range is of."""
        return len(self.readings["retrain"]["output"]) if "retrain" in self.readings else 0

    @property
    def unlearned(self) -> list[str]:
        """The models that a method made, Retrain apart."""
        return [name for name in self.readings if name not in ("original", MASKED, "retrain")]

    def range(self, rung: str) -> tuple[float, float] | None:
        """Retrain's range with the slack of the rung; None without a Retrain."""
        found = self.readings["original"][rung][0]
        return None if found.low is None or found.high is None else (found.low, found.high)


def _away(found: Reading) -> float | None:
    if found.value is None or found.low is None or found.high is None:
        return None
    return min(0.0, found.value - found.low) + max(0.0, found.value - found.high)


def climbed(experiment: Experiment, everything: bool = False) -> Climbed:
    """The ladder of every model that is recorded, over the replicates of a run; see `replicates`.

    Where there is no record, the models of CLIMBED_HERE are climbed with, and with `everything` all of them.
    """
    gathering, runs = Gathering(), replicates(experiment)
    base, alone = next(iter(runs.values())), {f"seed {experiment.config.seed}": experiment}
    if base is not experiment:
        try:
            ladder(base, "original")
        except NotRecorded:  # it repeats the training, and nobody climbed with its models
            base, runs = experiment, alone
    elif not experiment.record and not everything:
        runs = alone
    climbs: dict[str, dict[str, Climb]] = {"original": {}, MASKED: {}}
    here = [name for name in base.names if base.record or everything or name in CLIMBED_HERE]
    for seed, run in runs.items():
        for name in (*here[:1], MASKED, *here[1:]):
            what = f"{model_title(name)}, {seed}" if len(runs) > 1 else model_title(name)
            if name not in (MASKED, *run.names):
                continue
            made = gathering.ask(what, masked_ladder, run) if name == MASKED else gathering.ask(what, ladder, run, name)
            if made is not None:
                climbs.setdefault(name, {})[seed] = made
        for name in _beside(experiment, base):
            with suppress(NotRecorded):
                climbs.setdefault(name, {})[seed] = ladder(run, name)
    gathering.needs_some(climbs["original"])
    retrains = list(climbs.get("retrain", {}).values())
    images = len(experiment.outputs("original")["forget_test"].labels)

    def read(made: Climb) -> dict[str, Reading]:
        return {rung: reading(asked, made, retrains, images) for rung, asked in RUNGS.items()}

    climbs |= {"retrain": climbs.pop("retrain", {})}  # the measure comes last
    readings = {name: [read(made) for made in every.values()] for name, every in climbs.items() if every}
    by_rung = {name: {rung: [each[rung] for each in every] for rung in RUNGS} for name, every in readings.items()}
    left = [name for name in base.names if name not in here]
    return Climbed(by_rung, list(runs), base is not experiment, left, gathering.gaps)


def _beside(experiment: Experiment, base: Experiment) -> list[str]:
    """Methods of a run that the recorded one which repeats it has not for every seed, and may have for one."""
    own, other = experiment.config, base.config
    if not base.record:
        return []
    return [name for name in own.methods if name not in base.names and own.unlearning[name] == other.unlearning[name]]


def model_title(name: str) -> str:
    """How a model of the ladder is called."""
    return "Masked original" if name == MASKED else title(name)


# --- settings whose forgetting stays ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Survivor:
    """A point of a curve that re-estimation does not restore: `accuracy` on the four sets after it, in percent.

    It was chosen on one half of the images, and `accuracy` is that on the other; `stays`: whether it is within the
    limits there as well. Of a curve that was recorded without halves both are of the images that it was chosen on, and
    `stays` is None.
    """

    method: str
    batchnorm: str
    lr: float
    epsilon: float | None
    epoch: int
    accuracy: dict[str, float]
    stays: bool | None


def survivors(made: Curves, recognised: float = FORGOTTEN_AT_MOST, cost: float = COST_AT_MOST) -> list[Survivor]:
    """The points of all curves at which the class stays forgotten, the cheapest first, by the images of the choice.

    There, after re-estimation, the accuracy on D_f is at most `recognised` percent, and that on D_rt at most `cost`
    points below the original's, re-estimated in the same way.
    """

    def within(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
        return after["forget_train"] <= recognised and before["remain_test"] - after["remain_test"] <= cost

    chosen = []
    for curve in made.curves:
        first = curve.points[0]
        for epoch, point in enumerate(curve.points):
            (before, *_), (after, *others) = (each.halves or [each.after] for each in (first, point))
            if within(before, after):
                stays = within(first.halves[1], others[0]) if others else None
                accuracy = others[0] if others else point.after
                found = Survivor(curve.method, curve.batchnorm, curve.lr, curve.epsilon, epoch, accuracy, stays)
                chosen.append((after["remain_test"], found))
    return [found for _, found in sorted(chosen, key=lambda each: -each[0])]


# --- other models, trainings, classes and seeds -------------------------------------------------------------------


@dataclass(frozen=True)
class Recognised:
    """The accuracy on D_f in percent, `before` and `after` re-estimation; None where it was not measured."""

    before: float | None
    after: float | None


@dataclass(frozen=True)
class RecognisedBy:
    """Accuracy on D_f of one model of the variations, or the mean over its classes or its seeds.

    `called`: the model, and over what the mean is. `statistics`: what they do alone; None for a model that keeps none.
    """

    called: str
    original: float | None
    statistics: float | None
    methods: dict[str, Recognised]


@dataclass(frozen=True)
class Compared:
    """The accuracy on D_f of each model of a run and its variations, the run's own first."""

    rows: list[RecognisedBy]
    gaps: Gaps


def compared(experiment: Experiment) -> Compared:
    """The accuracy on D_f before and after re-estimation, of a run and its variations, as far as it is recorded."""
    made, own = variations(experiment), measure(experiment)
    gaps = Gaps(made.gaps.not_recorded + own.gaps.not_recorded, made.gaps.diverged + own.gaps.diverged)
    return Compared(_rows(made, own), gaps)


def _rows(made: Variations, own: Audit) -> list[RecognisedBy]:
    rows = []
    for runs in by_model(made.runs):
        rows.append(_mean_of(runs[0].called, runs[:1]))
        for unit, alike in repeated(runs).items():
            rows.append(_mean_of(f"{runs[0].called}, mean of {len(alike)} {unit}", alike))
    if made.runs and not made.runs[0].changed:
        for name, model in own.models.items():
            if name != "original":
                after = model.after.accuracy["forget_train"] if model.after else None
                rows[0].methods[name] = Recognised(model.before.accuracy["forget_train"], after)
    return rows


def _mean_of(called: str, runs: Sequence[Variation]) -> RecognisedBy:
    """The mean over runs, of the methods that all of them have."""
    names = [name for name in runs[0].methods if all(name in run.methods for run in runs)]
    return RecognisedBy(
        called,
        mean([run.original.accuracy["forget_train"] for run in runs]),
        mean([run.statistics.accuracy["forget_train"] if run.statistics else None for run in runs]),
        {
            name: Recognised(
                mean([run.recognised(name) for run in runs]), mean([run.recognised(name, "after") for run in runs])
            )
            for name in names
        },
    )


# --- figures and tables -------------------------------------------------------------------------------------------

MORE, HIDDEN = "#D55E00", "#0072B2"  # more of the class than in Retrain, and hidden further


def heat_map(made: Climbed) -> Figure:
    """A row a model, a column a rung; in each cell the value, its colour how far that lies outside Retrain's range."""
    names = list(made.readings)
    figure, axes = plt.subplots(figsize=(9, 0.4 * len(names) + 1.5), layout="constrained")
    for row, name in enumerate(names):
        for column, (rung, asked) in enumerate(RUNGS.items()):
            outside, value = made.outside(name, rung), made.value(name, rung)
            if outside and name != "retrain":  # the measure; one of several may lie outside the others
                shade = MORE if outside > 0 else HIDDEN
                strength = 0.06 + 0.56 * abs(outside)
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=shade, alpha=strength, linewidth=0))
            axes.text(column, row, number(value, asked.form), ha="center", va="center", fontsize=9)
    axes.set(xlim=(-0.5, len(RUNGS) - 0.5), ylim=(len(names) - 0.5, -0.5), yticks=range(len(names)))
    counts, most = {name: len(made.readings[name]["output"]) for name in names}, len(made.seeds)
    fewer = {name: f" ({count} of {most} seeds)" for name, count in counts.items() if count < most}
    axes.set_yticklabels([in_figure(model_title(name)) + fewer.get(name, "") for name in names])
    heads = [f"{fill(rung.title, 12)}\n{_unit(rung)}" for rung in RUNGS.values()]
    axes.set_xticks(range(len(RUNGS)), heads, fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    kinds = {MORE: "more of the class than in Retrain", HIDDEN: "hidden further than in Retrain"}
    handles = [Rectangle((0, 0), 1, 1, color=shade, alpha=0.62, label=label) for shade, label in kinds.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure


def _unit(rung: Rung) -> str:
    return re.sub(r"D_(\w+)", r"$D_{\1}$", rung.unit)


def rung_figure(made: Climbed, rung: str) -> Figure:
    """One rung: a dot for each model and replicate; the band is Retrain's range."""
    names, asked = list(made.readings), RUNGS[rung]
    figure, axes = plt.subplots(figsize=(8, 0.28 * len(names) + 1.0), layout="constrained")
    if (ends := made.range(rung)) is not None:
        axes.axvspan(*ends, color=colour("retrain"), alpha=0.25, linewidth=0)
    for row, name in enumerate(names):
        values = [found.value for found in made.readings[name][rung] if found.value is not None]
        shade = GREY if name == MASKED else colour(name)
        axes.plot(values, [row] * len(values), "o", color=shade, alpha=0.7, markersize=7)
    axes.set(xlabel=f"{asked.title}, {_unit(asked)}")
    axes.set_yticks(range(len(names)), [in_figure(model_title(name)) for name in names])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return figure


def chart(made: Audit) -> Figure:
    """Each model's accuracy on D_f, before re-estimation (hollow) and after it (filled)."""
    names, markers = list(made.models), dict(zip(reversed(made.images), ("o", "s", "^"), strict=False))
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(names) + 1.6), layout="constrained")
    for row, name in enumerate(names):
        model, shade = made.models[name], colour(name)
        before = model.before.accuracy["forget_train"]
        if model.after:
            axes.plot([before, model.after.accuracy["forget_train"]], [row, row], color=shade, linewidth=2, alpha=0.5)
        axes.plot(before, row, "o", color=shade, markerfacecolor=PAPER, markersize=9)
        for count, value in model.recovered.items():
            axes.plot(value, row, markers[count], color=shade, markersize=6)
    axes.set(xlabel="accuracy on $D_f$, %", xlim=(-3, 103), yticks=range(len(names)))
    axes.set_yticklabels([title(name) for name in names])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    handles = [Line2D([], [], color=GREY, marker="o", linestyle="", markerfacecolor=PAPER, label="before")]
    handles += [
        Line2D([], [], color=GREY, marker=markers[count], linestyle="", label=f"{count:,} images")
        for count in made.images
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    return figure


def table(made: Audit) -> Styler:
    """Table 1 and the attack, before re-estimation and after it on the most images."""
    rows = {}
    for name, model in made.models.items():
        row = {}
        for part in SPLITS:
            after = model.after.accuracy[part] if model.after else None
            row[f"{set_title(part)}, %"] = number(model.before.accuracy[part], ".2f")
            row[f"{set_title(part)} after"] = f"<b>{number(after, '.2f')}</b>"
        row["ASR, %"] = with_ends(model.before.attack.asr)
        row["ASR after"] = with_ends(model.after.attack.asr) if model.after else "–"
        rows[title(name)] = row
    return as_table(pd.DataFrame.from_dict(rows, orient="index"), made.gaps.shown())


def in_short(made: Audit) -> dict[str, str]:
    """Each model's accuracy on D_f before and after re-estimation: a column of the comparison of runs."""
    return {
        title(name): f"{number(model.before.accuracy['forget_train'])} → "
        f"<b>{number(model.after.accuracy['forget_train'] if model.after else None)}</b>"
        for name, model in made.models.items()
    }


def curves_after(made: Curves) -> Figure | None:
    """The curves of `what_forgets`, re-estimated at every epoch."""
    return forgetting_curves(made, "after")


def survivors_table(made: Curves) -> Styler | None:
    """The settings whose forgetting stays: of each method and way with the statistics the cheapest; None for none."""
    cheapest: dict[tuple[str, str], Survivor] = {}
    for point in survivors(made):
        cheapest.setdefault((point.method, point.batchnorm), point)
    if not cheapest:
        return None
    rows = {
        (title(method), batchnorm): {
            "learning rate": f"{point.lr:g}",
            "epsilon": number(point.epsilon, "g"),
            "epochs": str(point.epoch),
            **{f"{set_title(part)} after, %": number(point.accuracy[part], ".2f") for part in SPLITS},
            "on images that it was not chosen on": _STAYS[point.stays],
        }
        for (method, batchnorm), point in cheapest.items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["method", "batchnorm"])
    return as_table(frame, made.gaps.shown())


_STAYS = {True: "within the limits", False: "beyond the limits", None: "not recorded"}


def compared_table(made: Compared) -> Styler:
    """The accuracy on D_f of a run and its variations, before and after re-estimation (bold), a row a model."""
    rows = {}
    for model in made.rows:
        row = {"original": number(model.original, ".2f"), "statistics alone": number(model.statistics, ".2f")}
        for name in (*BOUNDARY_METHODS, "retrain"):
            measured = model.methods.get(name, Recognised(None, None))
            row[title(name)] = number(measured.before, ".2f")
            row[f"{title(name)} after"] = f"<b>{number(measured.after, '.2f')}</b>"
        rows[in_html(model.called)] = row
    return as_table(pd.DataFrame.from_dict(rows, orient="index"), made.gaps.shown())
