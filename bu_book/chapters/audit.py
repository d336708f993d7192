"""Does the class come back? The ladder of audits; re-estimation at length; the settings whose forgetting stays.

The ladder (`bu_core.audits.ladder`) asks what an auditor with more and more in hand finds of the class, and compares
with Retrains. Re-estimation is one of its rungs (`bu_core.audits.reestimation`): it gives BatchNorm the statistics of
remaining images, without a label and without touching a weight. It restores what only the statistics hide. Where it
restores nothing, that is no proof of forgetting: a single audit looks in one place.
"""

import re
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from textwrap import fill
from typing import Any, Literal

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from pandas.io.formats.style import Styler

from bu_core.audits.ladder import RUNGS, STEPS, Audited, Climb, Reading, Rung, reading
from bu_core.audits.summaries import Summaries
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.ladder import ladder, masked_ladder
from bu_core.experiment.metrics import Evaluation, evaluation
from bu_core.experiment.record import NotRecorded
from bu_core.unlearning import METHODS

from ..claims import CannotTest, about_one_class
from ..gaps import Gaps, Gathering
from ..measured.lasting import trace
from ..measured.per_sample import PerSample, SampleScores, per_sample
from ..measured.row_exchanged import row_exchanged
from ..replicates import CLIMBED_HERE, replicates, seen
from ..style import (
    GREY,
    INK,
    NARROW,
    PAPER,
    as_table,
    colour,
    in_figure,
    in_html,
    number,
    set_title,
    sets_named,
    title,
    with_ends,
)
from ..variations import (
    BOUNDARY_METHODS,
    REESTIMATED_ON,
    STATISTICS_ALONE,
    TAKEN_APART,
    Variation,
    Variations,
    by_model,
    keeps_statistics,
    mean,
    most_images,
    repeated,
    variations,
)
from . import lasting
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

# Rows that no method of the register makes: two controls, and settings of the chapter on lasting.
MASKED, DRIFTED = "masked", "drifted"
CONTROLS = {MASKED: "Masked original", DRIFTED: "Drifted original"}
LASTING = {
    "lasting": "Lasting method",
    "lasting_longer": "Lasting, 5 epochs",
    "lasting_deep": "Lasting, deep",
    "lasting_alone": "Lasting, no images",
}


@dataclass(frozen=True)
class Climbed:
    """What every rung finds: `readings[row][rung]`, one of each replicate that has it; the original comes first.

    A row is a model's name, or one of CONTROLS or LASTING. `summaries`: of each row that climbed the whole ladder.
    `seeds`: the replicates with which the original climbed, in words. `repeats`: whether they are those of the run that
    the config names for that. `not_climbed`: models of this run that were left out, since nothing of them is recorded
    and it takes long. `apart`: where the models were trained once more for the ladder, since no record keeps all
    weights, that which differs most from the one of the other chapters, and by how many percent of D_f with one seed.
    """

    readings: dict[str, dict[str, list[Reading]]]
    summaries: dict[str, list[Summaries]]
    seeds: list[str]
    repeats: bool
    not_climbed: list[str]
    gaps: Gaps
    apart: tuple[str, float] | None = None

    def values(self, row: str, rung: str) -> list[float]:
        """What a rung found, of every replicate that climbed it."""
        return [found.value for found in self.readings[row][rung] if found.value is not None]

    def value(self, row: str, rung: str) -> float | None:
        """The mean of `values`; None where there are none."""
        values = self.values(row, rung)
        return statistics.fmean(values) if values else None

    def anamnesis_index(self, row: str) -> float | None:
        """Steps to relearn on few, divided by Retrain's, of the means: 1 like Retrain, 0 never forgotten.

        The measure of Chundawat et al. (2023). None where either is not known, or Retrain takes no step.
        """
        found, retrain = (
            self.value(each, "relearn_few") if each in self.readings else None for each in (row, "retrain")
        )
        return found / retrain if found is not None and retrain else None

    def looked_too_short(self, row: str, rung: str) -> bool:
        """Whether a rung counts steps, and looking ended in a replicate before half of the class was back."""
        return RUNGS[rung].unit == STEPS and lasting.looked_too_short(self.values(row, rung))

    def outside(self, row: str, rung: str) -> float | None:
        """How far a model lies outside Retrain's range, as a share of what the original does, the mean over replicates.

        Above 0 there is more of the class than in Retrain, below it is hidden further; -1 and 1 are the ends. None
        where there is no Retrain to compare with.
        """
        original = [abs(away) for away in map(_away, self.readings["original"][rung]) if away is not None]
        own = [away for away in map(_away, self.readings[row][rung]) if away is not None]
        if not own or not original:
            return None
        known, slack = RUNGS[rung].known == "above", RUNGS[rung].slack
        shares = [away / max(slack, sum(original) / len(original)) * (1 if known else -1) for away in own]
        return max(-1.0, min(1.0, sum(shares) / len(shares)))

    def told_by(self, row: str, rung: str) -> bool:
        """Whether a rung tells a model from Retrain in more than half of the replicates that climbed it."""
        verdicts = [each.verdict for each in self.readings[row][rung] if each.side is not None]
        return 2 * verdicts.count("still known") > len(verdicts)

    def by_slack(self, row: str, rung: str) -> bool:
        """Whether a model is not told from Retrain by the slack alone: its mean lies beyond what the Retrains show."""
        ends, value = self.measured(rung), self.value(row, rung)
        if ends is None or value is None or self.told_by(row, rung):
            return False
        return not _lowest(rung, ends[0]) <= value <= ends[1]

    def beside_retrains(self, row: str) -> bool:
        """Whether a row climbed, and Retrains to compare it with."""
        return row in self.readings and self.retrains > 0

    def told_apart(self, row: str) -> list[str]:
        """The rungs that tell a model from Retrain."""
        return [rung for rung in RUNGS if self.told_by(row, rung)]

    def fewer(self, row: str) -> str:
        """Of how many replicates a row is, in words to stand behind its name; "" where it is of all."""
        count, most = len(self.readings[row]["output"]), len(self.seeds)
        return f" ({count} of {most} seeds)" if count < most else ""

    @property
    def retrains(self) -> int:
        """How many Retrains the range is of."""
        return len(self.readings["retrain"]["output"]) if "retrain" in self.readings else 0

    @property
    def unlearned(self) -> list[str]:
        """The models that a published method made, Retrain apart."""
        return [row for row in self.readings if row in METHODS and row != "retrain"]

    def measured(self, rung: str) -> tuple[float, float] | None:
        """What the Retrains show, from the least to the largest; None without a Retrain."""
        found = self.readings["original"][rung][0].retrains
        return (min(found), max(found)) if found else None

    def range(self, rung: str) -> tuple[float, float] | None:
        """The same with the slack of the rung: what a verdict compares with."""
        found = self.readings["original"][rung][0]
        return None if found.low is None or found.high is None else (found.low, found.high)

    @property
    def control(self) -> "Control | None":
        """Each Retrain beside the others; None for fewer than three, which are no range and a third."""
        if self.retrains < 3:
            return None
        each = [(rung, found) for rung in RUNGS for found in self.readings["retrain"][rung]]
        told = sum(found.verdict == "still known" for _, found in each)
        by_model = zip(*(self.readings["retrain"][rung] for rung in RUNGS), strict=True)
        caught = sum(any(found.verdict == "still known" for found in one) for one in by_model)
        return Control(len(each), told, sum(_beyond(rung, found) for rung, found in each), caught)


@dataclass(frozen=True)
class Control:
    """Of the `readings` of Retrains, how many are `told` from the others, and how many would be `without_slack`.

    `caught`: how many of the Retrains are told by an audit at least.
    """

    readings: int
    told: int
    without_slack: int
    caught: int


def _beyond(rung: str, found: Reading) -> bool:
    """Whether a value lies outside the range of the Retrains as they were measured."""
    low = _lowest(rung, min(found.retrains))
    return found.value is not None and not low <= found.value <= max(found.retrains)


def _lowest(rung: str, least: float) -> float:
    """The lower end of the range of the Retrains; of a distance 0, which is nearest to them."""
    return 0.0 if RUNGS[rung].distance else least


def _away(found: Reading) -> float | None:
    if found.value is None or found.low is None or found.high is None:
        return None
    return min(0.0, found.value - found.low) + max(0.0, found.value - found.high)


def climbed(experiment: Experiment, everything: bool = False) -> Climbed:
    """The ladder of every model that is recorded, over the replicates of a run; see `replicates`.

    Where there is no record, the models of CLIMBED_HERE are climbed with, and with `everything` all rows. Raises
    CannotTest for a run that forgets anything else than one class.
    """
    about_one_class(experiment)
    runs = replicates(experiment)
    base, alone = next(iter(runs.values())), {f"seed {experiment.config.seed}": experiment}
    if base is not experiment:
        try:
            ladder(base, "original")
        except NotRecorded:  # it repeats the training, and nobody climbed with its models
            base, runs = experiment, alone
    elif not experiment.record and not everything:
        runs = alone
    whole = base.record is not None or everything
    gathering, lacking = Gathering(), list[str]()
    runs = {seed: run for seed, run in runs.items() if gathering.ask(seed, ladder, run, "original") is not None}
    gathering.needs_some(runs)
    found: dict[str, list[Audited]] = {}
    for row, ask in _ladder_rows(experiment, base, whole):
        asked = [gathering.ask(row, ask, run) for run in runs.values() if row not in base.names or row in run.names]
        if there := [each for each in asked if each is not None]:
            found[row] = there
        else:
            lacking.append(row_title(row))
    retrains, images = found.get("retrain", []), _unseen(experiment)
    readings = {
        row: {name: [reading(rung, each, retrains, images) for each in every] for name, rung in RUNGS.items()}
        for row, every in found.items()
    }
    summaries = {row: [each.summaries for each in every if isinstance(each, Climb)] for row, every in found.items()}
    left = [name for name in base.names if not whole and name not in CLIMBED_HERE]
    apart = _apart(runs.values(), readings) if base.record is not None else None
    return Climbed(readings, summaries, list(runs), base is not experiment, left, Gaps(lacking), apart)


TRAINED_AGAIN = 1.0  # percent of D_f; a model that differs by more from that of other chapters is another network


def _apart(
    runs: Collection[Experiment], readings: Mapping[str, Mapping[str, Sequence[Reading]]]
) -> tuple[str, float] | None:
    """The model whose share of D_f on the ladder is furthest from what the claims rest on; None where all are near."""
    furthest = ("", 0.0)
    for row, of_rungs in readings.items():
        values = of_rungs["output"]
        for run, found in zip(runs, values, strict=True) if len(values) == len(runs) else ():
            with suppress(NotRecorded, CannotTest):
                if found.value is not None and row in run.names:
                    away = abs(found.value - seen(run, row).accuracy["forget_train"])
                    furthest = max(furthest, (row, away), key=lambda each: each[1])
    return furthest if furthest[1] > TRAINED_AGAIN else None


def _ladder_rows(
    experiment: Experiment, base: Experiment, whole: bool
) -> Iterator[tuple[str, Callable[[Experiment], Audited]]]:
    """The rows of the ladder in their order, Retrain last, and how each is asked of a replicate."""
    methods = [name for name in base.config.methods if whole or name in CLIMBED_HERE]
    yield "original", partial(_climb, "original")
    yield MASKED, masked_ladder
    if whole and keeps_statistics(base):
        yield DRIFTED, partial(_traced, lasting.SHRINK, STATISTICS_ALONE)
    for name in (*methods, *_beside(experiment, base)):
        if name != "retrain":
            yield name, partial(_climb, name)
    if whole and keeps_statistics(base):
        for row, setting in _lasting(base).items():
            yield row, partial(_traced, setting.method, setting.settings)
    if "retrain" in methods:
        yield "retrain", partial(_climb, "retrain")


def _climb(model: str, run: Experiment) -> Audited:
    return ladder(run, model)


def _traced(method: str, settings: Mapping[str, Any], run: Experiment) -> Audited:
    return trace(run.with_settings(method, **settings), method)


def _beside(experiment: Experiment, base: Experiment) -> list[str]:
    """Methods of a run that the recorded one which repeats it has not for every seed, and may have for one."""
    own, other = experiment.config, base.config
    if not base.record:
        return []
    return [name for name in own.methods if name not in base.names and own.unlearning[name] == other.unlearning[name]]


def _lasting(base: Experiment) -> dict[str, lasting.Setting]:
    """The settings of LASTING for a run, as the chapter on lasting has them.

    The longer and the deep one were tried on runs alone that are there to be repeated, whose seed alone is varied.
    """
    changes, data = base.config.elsewhere, base.config.dataset
    repeated = bool(changes) and all(set(change) == {"seed"} for change in changes)
    tried = (*lasting.tuned(data), *lasting.LASTING) if repeated else lasting.without_replicates(data)
    named = {setting.called: setting for setting in tried}
    best = named.get(lasting.TUNED_TITLE, lasting.RECOMMENDED)
    chosen: dict[str, lasting.Setting | None] = {"lasting": best}
    chosen["lasting_longer"], chosen["lasting_deep"] = (
        named.get(each.called) for each in (lasting.LONGER, lasting.DEEP)
    )
    chosen["lasting_alone"] = named[lasting.NO_IMAGE.called]
    return {row: setting for row, setting in chosen.items() if setting is not None}


def _unseen(experiment: Experiment) -> int:
    """How many images D_ft has; it is asked of the network that a record has the answers of."""
    config = experiment.record.content["config"] if experiment.record else experiment.config.as_dict()
    answered = experiment.variation((), model=config["model"])
    return len(answered.outputs("original")["forget_test"].labels)


def row_title(row: str) -> str:
    """How a row of the ladder is called."""
    return (CONTROLS | LASTING).get(row) or title(row)


def row_colour(row: str) -> str:
    """The colour of a row, in every figure."""
    return GREY if row in CONTROLS else lasting.COLOUR if row in LASTING else colour(row)


def without_statistics(experiment: Experiment, everything: bool = False) -> list[Experiment]:
    """The variations of a recorded run that have another network, and nothing else changed, such as GroupNorm.

    They climb with Retrain and with TAKEN_APART, the methods of which every variation is evaluated. Without a record
    there are none, but with `everything`.
    """
    if not experiment.record and not everything:
        return []
    methods = [name for name in experiment.config.methods if name in (*TAKEN_APART, "retrain")]
    changes = [change for change in experiment.config.elsewhere if set(change) == {"model"}]
    return [experiment.variation(methods, **change) for change in changes]


# --- single images ------------------------------------------------------------------------------------------------

ASKED_SINGLY = ("original", *BOUNDARY_METHODS, "retrain")
ASKED_ON = "digits"  # the record of the audit of single images: 32 models of a kind take minutes there


@dataclass(frozen=True)
class SingleImages:
    """What tells many models of a kind from as many Retrains image by image, by the kind; the original first."""

    kinds: dict[str, PerSample]
    gaps: Gaps


def single_images(experiment: Experiment, everything: bool = False) -> SingleImages:
    """The audit of single images, as far as it is recorded; it is computed with `everything` alone.

    Raises CannotTest for a run that forgets anything else than one class, and for a record that is not to have it.
    """
    about_one_class(experiment)
    if not experiment.record and not everything:
        raise NotRecorded("the audit of single images, which trains dozens of models")
    gathering = Gathering()
    asked = {name: gathering.ask(title(name), per_sample, experiment, name) for name in ASKED_SINGLY}
    found = {name: made for name, made in asked.items() if made is not None}
    if not found and experiment.record and experiment.record.folder.name != ASKED_ON:
        raise CannotTest(f"only on the {ASKED_ON} did we train so many models")
    gathering.needs_some(found)
    return SingleImages(found, gathering.gaps)


@dataclass(frozen=True)
class Exchanged:
    """Steps to relearn the class on few images, by replicate.

    Of the `original` with Retrain's output row of the class, and of `retrain` with that row at zero.
    """

    original: list[int]
    retrain: list[int]


def exchanged(experiment: Experiment, everything: bool = False) -> Exchanged | None:
    """The output row exchanged, over the replicates, as far as it is recorded; computed with `everything` alone."""
    found = []
    for run in replicates(experiment).values() if experiment.record or everything else ():
        with suppress(NotRecorded):
            found.append(row_exchanged(run))
    return Exchanged([each.original for each in found], [each.retrain for each in found]) if found else None


def record(experiment: Experiment, *, singly: bool) -> None:
    """All of the ladder that the page shows of a run, computed where it is not there; `singly`: single images too."""
    for run in (experiment, *without_statistics(experiment, everything=True)):
        climbed(run, everything=True)
    if singly:
        single_images(experiment, everything=True)


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
    """A row a model, a column a rung; in each cell the value, its colour how far that lies outside Retrain's range.

    Bold is what the rung tells from Retrain. The last rows are the ends of the range, as measured and with the slack.
    A phone shows all of it.
    """
    rows = [row for row in made.readings if row != "retrain"]
    names = [in_figure(row_title(row) + made.fewer(row).replace(" (", "\n(")) for row in rows]
    names += ["Retrain from", "to", "with slack from", "to"] if made.retrains else []
    figure, axes = plt.subplots(figsize=(NARROW - 0.4, 0.24 * len(names) + 1.6), layout="constrained")
    for place, row in enumerate(rows):
        if place and _group(row) != _group(rows[place - 1]):
            axes.axhline(place - 0.5, color=GREY, linewidth=0.8)
        for column, (rung, asked) in enumerate(RUNGS.items()):
            if outside := made.outside(row, rung):
                shade, strength = MORE if outside > 0 else HIDDEN, 0.06 + 0.56 * abs(outside)
                axes.add_patch(Rectangle((column - 0.5, place - 0.5), 1, 1, color=shade, alpha=strength, linewidth=0))
            weight = "bold" if made.told_by(row, rung) else "normal"
            shown = "≥" * made.looked_too_short(row, rung) + _short(made.value(row, rung), asked)
            axes.text(column, place, shown, **_CENTRED, fontweight=weight)
    if made.retrains:
        axes.axhline(len(rows) - 0.5, color=GREY, linewidth=0.8)
        for column, (rung, asked) in enumerate(RUNGS.items()):
            ends = [*(made.measured(rung) or (None, None)), *(made.range(rung) or (None, None))]
            for place, end in enumerate(ends, len(rows)):
                axes.text(column, place, _short(end, asked), **_CENTRED)
    axes.set(xlim=(-0.5, len(RUNGS) - 0.5), ylim=(len(names) - 0.5, -0.5))
    axes.set_yticks(range(len(names)), names, fontsize=7.5, linespacing=1)
    heads = [f"{place} {fill(rung.title, 17)}" for place, rung in enumerate(RUNGS.values(), 1)]
    axes.set_xticks(range(len(RUNGS)), heads, fontsize=7.5, rotation=90, linespacing=0.9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=2)
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    kinds = {MORE: "more of the class than in Retrain", HIDDEN: "hidden further than in Retrain"}
    handles = [Rectangle((0, 0), 1, 1, color=shade, alpha=0.62, label=label) for shade, label in kinds.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=1, fontsize=7.5, frameon=False)
    return figure


_CENTRED: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5}


def _short(value: float | None, rung: Rung) -> str:
    """A number that is read beside others: whole, or a fraction without its zero."""
    return number(value, ".0f") if value == 0 or rung.unit != "bits" else number(value, ".3f").removeprefix("0")


def _group(row: str) -> int:
    """Rows of one kind stand together: the original, the controls, the published methods, ours."""
    return [row == "original", row in CONTROLS, row in METHODS, row in LASTING].index(True)


def _unit(rung: Rung) -> str:
    return re.sub(r"D_(\w+)", r"$D_{\1}$", rung.unit)


def rung_figure(made: Climbed, rung: str) -> Figure:
    """One rung: a dot for each model and replicate; the band is Retrain's range, its paler part the slack."""
    rows, asked = list(made.readings), RUNGS[rung]
    figure, axes = plt.subplots(figsize=(NARROW - 0.4, 0.2 * len(rows) + 0.7), layout="constrained")
    for ends in (made.range(rung), made.measured(rung)):
        if ends is not None:
            axes.axvspan(*ends, color=colour("retrain"), alpha=0.2, linewidth=0)
    for place, row in enumerate(rows):
        values = made.values(row, rung)
        axes.plot(values, [place] * len(values), "o", color=row_colour(row), alpha=0.7, markersize=4.5)
    axes.set_xlabel(f"{asked.title}, {_unit(asked)}", fontsize=7.5)
    axes.set_yticks(range(len(rows)), [in_figure(row_title(row)) for row in rows])
    axes.tick_params(labelsize=7.5)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return figure


def every_number(made: Climbed) -> Styler:
    """The mean of each row on each rung, and its least and largest replicate; bold what is told from Retrain."""
    rows = {}
    for row in made.readings:
        cells = {}
        for rung, asked in RUNGS.items():
            cell = "≥" * made.looked_too_short(row, rung) + _spread(made.values(row, rung), asked.form)
            told = row != "retrain" and made.told_by(row, rung)
            cells[f"{asked.title}, {sets_named(asked.unit)}"] = f"<b>{cell}</b>" if told else cell
        rows[in_html(row_title(row) + made.fewer(row))] = cells
    note = f"The mean and, where there are several seeds, the least and the largest. {made.gaps.shown()}"
    return as_table(pd.DataFrame.from_dict(rows, orient="index"), note).set_properties(None, **_ON_ONE_LINE)


_ON_ONE_LINE = {"white-space": "nowrap"}


def _spread(values: Sequence[float], form: str) -> str:
    """The mean of some numbers and its ends, as HTML on one line; – where there are none."""
    if not values:
        return "–"
    ends = f" ({min(values):{form}}–{max(values):{form}})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{form}}{ends}"


def summaries_table(made: Climbed, note: str = "") -> Styler | None:
    """What a climb comes to in one number, by three definitions, which `note` tells; None where no row has it."""
    rows = {}
    for row, found in made.summaries.items():
        if found:
            agreed = {part: [each.agreement[part] for each in found if each.agreement] for part in SPLITS}
            rows[in_html(row_title(row) + made.fewer(row))] = {
                "ToW": _spread([each.tug_of_war for each in found if each.tug_of_war is not None], ".2f"),
                f"agreement on {set_title('forget_test')}, %": _spread(agreed["forget_test"], ".1f"),
                f"agreement on {set_title('remain_test')}, %": _spread(agreed["remain_test"], ".1f"),
                "OU@ε, nats": _spread([each.over_unlearning for each in found], ".3f"),
            }
    if not rows:
        return None
    return as_table(pd.DataFrame.from_dict(rows, orient="index"), note).set_properties(None, **_ON_ONE_LINE)


def single_images_figure(made: SingleImages) -> Figure:
    """A dot an image: how well it tells the models of a kind from Retrains; filled of D_f, hollow of D_ft."""
    kinds = list(made.kinds)
    figure, axes = plt.subplots(figsize=(NARROW - 0.4, 0.55 * len(kinds) + 1.0), layout="constrained")
    axes.axvline(0.5, color=GREY, linewidth=1)
    for place, (kind, found) in enumerate(made.kinds.items()):
        for beside, scores, face in ((-0.18, found.forget_train, colour(kind)), (0.18, found.forget_test, "none")):
            values = scores.u_lira.sort().values
            spread = [place + beside + 0.12 * (2 * (each * 0.618 % 1) - 1) for each in range(len(values))]
            axes.plot(values, spread, "o", color=colour(kind), markerfacecolor=face, markersize=3, alpha=0.6)
            middle = float(values.quantile(0.5))
            axes.plot([middle, middle], [place + beside - 0.16, place + beside + 0.16], color=INK, linewidth=2)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("AUC of U-LiRA, an image a dot", fontsize=7.5)
    axes.set_yticks(range(len(kinds)), [in_figure(title(kind)) for kind in kinds])
    axes.tick_params(labelsize=7.5)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    faces = {"$D_f$, unlearned": GREY, "$D_{ft}$, never seen": "none"}
    handles = [
        Line2D([], [], color=GREY, marker="o", linestyle="", markerfacecolor=face, label=label)
        for label, face in faces.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=7.5, frameon=False)
    return figure


def single_images_table(made: SingleImages, note: str = "") -> Styler:
    """The median over images of each audit of single images, a row a kind of model and set; `note` explains them."""
    rows = {}
    for kind, found in made.kinds.items():
        for part in ("forget_train", "forget_test"):
            scores: SampleScores = getattr(found, part)
            rows[title(kind), set_title(part)] = {
                "U-LiRA, AUC": f"{scores.u_lira.quantile(0.5):.2f}",
                "images above 0.9, %": f"{100 * (scores.u_lira > 0.9).double().mean():.0f}",
                "RMIA, AUC": f"{scores.rmia.quantile(0.5):.2f}",
                "KLoM, nats": f"{scores.klom.quantile(0.5):.2f}",
                "KLoM of Retrains": f"{scores.klom_of_retrains.quantile(0.5):.2f}",
            }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["models", "images"])
    return as_table(frame, f"{note} {made.gaps.shown()}".strip())


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
