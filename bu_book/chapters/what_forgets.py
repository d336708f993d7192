"""What does the forgetting, the weights or BatchNorm's running statistics? Claims 1 and 2 (Table 1).

The released code fine-tunes in training mode on batches of one class, so the running statistics of BatchNorm drift to
that class while the weights change. What each of the two does is measured by swapping them between a model and its
original (`bu_book.measured.mechanism.swap`), and how the statistics do it by small experiments there. COMPONENTS are
trainings of another kind: what a method would do if the statistics, or the weights, had never moved.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from pandas.io.formats.style import Styler

from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Evaluation, evaluation
from bu_core.measures import interval
from bu_core.unlearning import METHODS

from ..claims import Bounds, Check, Effect, Evidence, above, at_most, claim, needs
from ..gaps import Gaps, Gathering
from ..measured.mechanism import (
    LOOKED_AT,
    Accuracy,
    ClassStatistics,
    CurvePoint,
    Returned,
    Source,
    Swap,
    SwappedInPart,
    channel_shift,
    class_statistics,
    forgetting_curve,
    recovered,
    returned,
    swap,
    swapped_in_part,
)
from ..paper import RELEASED_LOG, LogEntry, ranking_step, table_1
from ..replicates import by_class, over, seen
from ..style import (
    GREY,
    INK,
    PAPER,
    as_table,
    in_figure,
    in_html,
    number,
    set_title,
    sets_named,
    title,
    with_ends,
    with_half,
)
from ..variations import (
    BOUNDARY_METHODS,
    STATISTICS_ALONE,
    TAKEN_APART,
    Variation,
    Variations,
    When,
    changes,
    keeps_statistics,
    model_called,
    most_images,
    repeated,
    variations,
)

# What each component changes of a method's settings; with the statistics alone no weight moves and no label matters.
COMPONENTS: dict[str, dict[str, Any]] = {
    "statistics": STATISTICS_ALONE,
    "weights": {"batchnorm": "frozen"},
    "both": {"batchnorm": "train"},
}
COMPONENT_TITLES = {
    "statistics": "statistics alone",
    "weights": "weights alone",
    "shift": "their shift alone",
    "both": "both, as in the released code",
}

BUDGET = 1.0  # point on D_rt that a method may cost, at the least, where no statistics are kept
CURVE_EPOCHS = 10  # at the most: that many epochs the paper's methods have
# What stands under a table of many models: other images than all give other numbers.
SAMPLED = "On a sample: at most {forget_train} images of D_f and {remain_test} of D_rt.".format_map(LOOKED_AT)
LEARNING_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
EPSILONS = (0.03, 0.1, 0.25)  # 0.1 is what the released code states, 0.25 what its images are really moved by

LOGGED_ON = "cifar10"  # the data of the log that came with the released code

# Where the code that the paper's authors released differs from the paper's text, setting by setting. The titles are
# those of that code's log (`paper.RELEASED_LOG`), where the log has the variant; a rate is a share of the method's own.
_MOVED: dict[str, Any] = {"epsilon": 0.25}
CODE_VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "boundary_shrink": {
        "as the text has it": {},
        "images moved by 0.25": _MOVED,
        "FGSM, reweighting": _MOVED | {"reweighting": True},
        "PGD, reweighting": _MOVED | {"search": "pgd", "reweighting": True},
    },
    "boundary_expanding": {"as the text has it": {}, "a tenth of the learning rate": {"lr": 0.1}},
}


# --- weights of one model, statistics of another ------------------------------------------------------------------


@dataclass(frozen=True)
class OfOneMethod:
    """The swap of one method in one run.

    `model`: the run's network and training. `own`: whether it is the page's own run. `recorded`: the accuracy on D_f in
    percent of the method's model as the run has it, which is another where the model was fitted again for the
    swap. `after_reestimation`: the same once the statistics were estimated anew on the most images. Both are None where
    not recorded.
    """

    method: str
    model: str
    forget_class: str
    seed: int
    own: bool
    swap: Swap
    recorded: float | None
    after_reestimation: float | None


@dataclass(frozen=True)
class Swaps:
    """The swaps of the page's own run, and of its variations that keep statistics."""

    runs: list[OfOneMethod]
    gaps: Gaps

    @property
    def own(self) -> list[OfOneMethod]:
        """Those of the page's own run, a method each."""
        return [run for run in self.runs if run.own]

    @property
    def over_several(self) -> dict[tuple[str, str], list[OfOneMethod]]:
        """Those of one method and model that differ in class alone or in seed alone, by method and by what they are."""
        found = {}
        for method, model in dict.fromkeys((run.method, run.model) for run in self.runs):
            alike = [run for run in self.runs if (run.method, run.model) == (method, model)]
            for unit, several in repeated(alike).items():
                found[method, f"{model}, {len(several)} {unit}"] = several
        return found


def swaps(experiment: Experiment) -> Swaps:
    """The swap of every method that goes through D_f, and in variations of the paper's own two, as far as recorded."""
    gathering, runs = Gathering(), []
    tuned = [name for name in experiment.config.methods if METHODS[name].goes_through == "forget"]
    for change in changes(experiment):
        methods = [name for name in tuned if name in BOUNDARY_METHODS] if change else tuned
        there = experiment.variation(methods, **change) if change else experiment
        if not keeps_statistics(there):
            continue
        which = model_called(there, change), there.forgotten, there.config.seed
        for name in methods:
            called = "{}, {}, seed {}".format(*which) if change else title(name)
            if (found := gathering.ask(called, swap, there, name)) is None:
                continue
            if not all(math.isfinite(value) for value in found.both.values()):
                gathering.gaps.diverged.append(called)
                continue
            images = most_images(experiment, there)
            before = gathering.ask(called, evaluation, there, name)
            after = gathering.ask(f"{called}, after re-estimation", evaluation, there, name, images)
            recognised = (made.accuracy["forget_train"] if made else None for made in (before, after))
            runs.append(OfOneMethod(name, *which, not change, found, *recognised))
    gathering.needs_some(runs)
    return Swaps(runs, gathering.gaps)


@dataclass(frozen=True)
class Mechanism:
    """How Boundary Shrink's statistics forget; None for what is not recorded, and for a model that keeps none."""

    classes: tuple[str, ...]
    forgotten: str
    parts: SwappedInPart | None
    by_class: ClassStatistics | None
    returned: Returned | None
    gaps: Gaps


def mechanism(experiment: Experiment) -> Mechanism:
    """The small experiments on Boundary Shrink's statistics, as far as they are recorded."""
    gathering, found = Gathering(), dict[str, Any]()
    if "boundary_shrink" in experiment.config.methods and keeps_statistics(experiment):
        found["parts"] = gathering.ask("some of the statistics", swapped_in_part, experiment, "boundary_shrink")
        found["by_class"] = gathering.ask("statistics of each class", class_statistics, experiment)
        found["returned"] = gathering.ask("other images", returned, experiment, "boundary_shrink")
    some = {name: each for name, each in found.items() if each is not None}
    gathering.needs_some(some)
    nothing = dict.fromkeys(("parts", "by_class", "returned"))
    return Mechanism(experiment.dataset.classes, experiment.forgotten, **nothing | some, gaps=gathering.gaps)


# --- without running statistics -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deepest:
    """The point of some curves with the lowest accuracy on D_f: `recognised` in percent, `lost` in points on D_rt."""

    lr: float
    epoch: int
    recognised: float
    lost: float


@dataclass(frozen=True)
class BoundaryAlone:
    """A method on a network that keeps no statistics: by learning rate and by epoch, the accuracy on each set.

    Epoch 0 is the original; of a run that kept no curve there is the last epoch beside it. `budget`: how many points on
    D_rt the method costs in the page's own run, BUDGET at the least.
    """

    model: str
    forget_class: str
    seed: int
    method: str
    budget: float
    curves: dict[float, dict[int, Accuracy]]

    @property
    def deepest(self) -> Deepest | None:
        """The lowest accuracy on D_f that costs no more than the budget; None where every epoch costs more."""
        cheap = (point for point in self._points if point.lost <= self.budget)
        return min(cheap, key=lambda point: point.recognised, default=None)

    @property
    def deepest_at_any_cost(self) -> Deepest:
        """The lowest accuracy on D_f, whatever it costs."""
        return min(self._points, key=lambda point: point.recognised)

    @property
    def _points(self) -> list[Deepest]:
        """Every epoch of every rate; the original is none of them, since the method has done nothing to it."""
        return [
            Deepest(lr, epoch, made["forget_train"], curve[0]["remain_test"] - made["remain_test"])
            for lr, curve in self.curves.items()
            for epoch, made in curve.items()
            if epoch
        ]


@dataclass(frozen=True)
class BoundariesAlone:
    """The paper's two methods on every variation that keeps no statistics."""

    runs: list[BoundaryAlone]
    gaps: Gaps


def boundary_alone(experiment: Experiment) -> BoundariesAlone:
    """The curves of the paper's two methods without running statistics, as far as they are recorded."""
    gathering, runs = Gathering(), []
    methods = [name for name in BOUNDARY_METHODS if name in experiment.config.methods]
    for change in changes(experiment):
        there = experiment.variation(methods, **change)
        if keeps_statistics(there):
            continue
        which = model_called(there, change), there.forgotten, there.config.seed
        for name in methods:
            own, curves = there.config.unlearning[name], dict[float, dict[int, Accuracy]]()
            called = "{}, {}, seed {}, ".format(*which) + title(name)
            for lr in sorted({*LEARNING_RATES, own["lr"]}):
                curve = gathering.ask(called, forgetting_curve, there.with_settings(name, lr=lr), name)
                if curve is not None:
                    curves[lr] = {epoch: point.before for epoch, point in enumerate(curve.points)}
                elif lr == own["lr"]:
                    ends = {0: "original", own["epochs"]: name}
                    made = {epoch: gathering.ask(called, evaluation, there, end) for epoch, end in ends.items()}
                    known = {epoch: found.accuracy for epoch, found in made.items() if found}
                    curves |= {lr: known} if len(known) == len(ends) else {}
            if curves:
                runs.append(BoundaryAlone(*which, name, max(BUDGET, _cost(experiment, name, gathering)), curves))
    gathering.needs_some(runs)
    return BoundariesAlone(runs, gathering.gaps)


def _cost(experiment: Experiment, method: str, gathering: Gathering) -> float:
    """How many points on D_rt a method costs; 0 where that is not recorded."""
    before, after = (gathering.ask(title(name), evaluation, experiment, name) for name in ("original", method))
    return before.accuracy["remain_test"] - after.accuracy["remain_test"] if before and after else 0.0


# --- trained otherwise: the components of each method ------------------------------------------------------------


@dataclass(frozen=True)
class Component:
    """What a method leads to where one component alone moves, or both.

    `after_reestimation`: the accuracy on D_f in percent, once the statistics were estimated anew on the most images;
    None where no weight moved, since that gives back the original, or where not recorded.
    """

    evaluation: Evaluation
    after_reestimation: float | None

    @property
    def recognised(self) -> float:
        """The accuracy on D_f, in percent."""
        return self.evaluation.accuracy["forget_train"]


@dataclass(frozen=True)
class Components:
    """The components of the methods in TAKEN_APART, by method and by the names of COMPONENT_TITLES.

    What the statistics do alone does not depend on the method. `retrain`: None where it was not run.
    """

    original: Evaluation
    retrain: Evaluation | None
    methods: dict[str, dict[str, Component]]
    gaps: Gaps

    @property
    def whole(self) -> dict[str, dict[str, Component]]:
        """The methods of which every component is there."""
        return {name: taken for name, taken in self.methods.items() if set(taken) == set(COMPONENT_TITLES)}

    def cost(self, method: str, component: str, part: str = "remain_train") -> float:
        """How many points of accuracy a component costs on a set, against the original."""
        return self.original.accuracy[part] - self.methods[method][component].evaluation.accuracy[part]


def components(experiment: Experiment) -> Components:
    """What the statistics, the weights and the weights' shift each do, as far as it is recorded."""
    gathering = Gathering()
    original = evaluation(experiment, "original")
    retrain = None
    if "retrain" in experiment.names:
        retrain = gathering.ask(title("retrain"), evaluation, experiment, "retrain")
    images = most_images(experiment)
    methods: dict[str, dict[str, Component]] = {}
    alone: Evaluation | None = None
    for name in (name for name in TAKEN_APART if name in experiment.config.methods):
        if taken := _taken_apart(experiment, name, original, images, gathering, statistics=alone):
            methods[name] = taken
            alone = taken["statistics"].evaluation if "statistics" in taken else None
    gathering.needs_some(methods)
    return Components(original, retrain, methods, gathering.gaps)


def _taken_apart(
    experiment: Experiment,
    method: str,
    original: Evaluation,
    images: int,
    gathering: Gathering,
    *,
    of: str = "",
    statistics: Evaluation | None = None,
) -> dict[str, Component]:
    """The components of one method; `statistics`: what they do alone, where that is known already."""

    def called(component: str) -> str:
        return f"{title(method)}{of}, {COMPONENT_TITLES[component]}"

    fits = {name: experiment.with_settings(method, **settings) for name, settings in COMPONENTS.items()}
    evaluations = {
        name: statistics
        if statistics and name == "statistics"
        else gathering.ask(called(name), evaluation, fit, method)
        for name, fit in fits.items()
    }
    again: dict[str, float | None] = {}
    if evaluations["weights"]:
        evaluations["shift"] = gathering.ask(called("shift"), channel_shift, fits["weights"], method)
        label = f"{called('weights')}, after re-estimation"
        back = gathering.ask(label, recovered, fits["weights"], method, images)
        again["weights"] = back.accuracy["forget_train"] if back else None
    if evaluations["both"]:
        after = gathering.ask(f"{called('both')}, after re-estimation", evaluation, fits["both"], method, images)
        again["both"] = after.accuracy["forget_train"] if after else None

    return {
        name: Component(made, again.get(name))
        for name in COMPONENT_TITLES
        if (made := evaluations.get(name)) is not None
    }


@dataclass(frozen=True)
class OfOneRun:
    """The components of Boundary Shrink for one class and one seed; all of them, with re-estimation."""

    forget_class: str
    seed: int
    original: Evaluation
    components: dict[str, Component]


@dataclass(frozen=True)
class RepeatedComponents:
    """The components of Boundary Shrink for the page's own run, and for each other class and each other seed."""

    runs: list[OfOneRun]
    gaps: Gaps


def repeated_components(experiment: Experiment) -> RepeatedComponents:
    """Each component of Boundary Shrink, for each class and seed in `config.elsewhere` with which nothing else changes.

    Empty without Boundary Shrink, and where there is no other class or seed. A run that lacks a component is left out,
    so that all means are over the same runs.
    """
    method, config, gathering = "boundary_shrink", experiment.config, Gathering()
    others = [change for change in changes(experiment) if set(change) in ({"forget_class"}, {"seed"})]
    runs = []
    for change in ({}, *others) if method in config.methods and others else ():
        there = experiment.variation([method], **change)
        which = f" of {there.forgotten}, seed {there.config.seed}"
        if (original := gathering.ask(f"{title('original')}{which}", evaluation, there, "original")) is None:
            continue
        taken = _taken_apart(there, method, original, most_images(experiment, there), gathering, of=which)
        whole = set(taken) == set(COMPONENT_TITLES)
        if whole and all(taken[name].after_reestimation is not None for name in ("weights", "both")):
            runs.append(OfOneRun(there.forgotten, there.config.seed, original, taken))
    gathering.needs_some(runs)
    return RepeatedComponents(runs, gathering.gaps)


# --- the curves ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """A method with some settings, epoch by epoch. `epsilon`: None where the method has none."""

    method: str
    batchnorm: str
    lr: float
    epsilon: float | None
    points: list[CurvePoint]


@dataclass(frozen=True)
class Curves:
    """The curves of the paper's two methods. `own_lr`: the learning rate that each method has in this run."""

    curves: list[Curve]
    own_lr: dict[str, float]
    gaps: Gaps

    @property
    def usual_epsilon(self) -> dict[str, float | None]:
        """By method, the epsilon with which the learning rates were varied: that of most curves."""
        by_method: dict[str, list[float | None]] = {}
        for curve in self.curves:
            by_method.setdefault(curve.method, []).append(curve.epsilon)
        return {method: max(epsilons, key=epsilons.count) for method, epsilons in by_method.items()}

    @property
    def frozen_at_own_rate(self) -> list[Curve]:
        """The curves in which nothing but weights can forget, at the learning rates that the methods have here."""
        return [each for each in self.curves if each.batchnorm == "frozen" and each.lr == self.own_lr[each.method]]


def curves(experiment: Experiment) -> Curves:
    """Accuracy on D_f against what is lost, epoch by epoch: over learning rates, and with frozen statistics over

    epsilons, which decide labels: where the statistics follow the batches, those matter little.
    """
    asked: dict[tuple[str, str, float, float | None], dict[str, Any]] = {}
    methods = [name for name in BOUNDARY_METHODS if name in experiment.config.methods]
    for name in methods:
        own = dict(experiment.config.unlearning[name])
        own["epochs"] = min(own["epochs"], CURVE_EPOCHS)
        rates = [{"lr": lr} for lr in LEARNING_RATES]
        epsilons = [{"epsilon": epsilon} for epsilon in EPSILONS if "epsilon" in own]
        changes = [rate | {"batchnorm": "train"} for rate in rates]
        changes += [change | {"batchnorm": "frozen"} for change in (*rates, *epsilons)]
        for settings in (own | change for change in changes):
            asked.setdefault((name, settings["batchnorm"], settings["lr"], settings.get("epsilon")), settings)
    gathering, measured = Gathering(), []
    for (name, batchnorm, lr, epsilon), settings in asked.items():
        called = f"{title(name)}, statistics {_MODES[batchnorm]}, learning rate {lr:g}"
        called += "" if epsilon is None else f", epsilon {epsilon:g}"
        curve = gathering.ask(called, forgetting_curve, experiment.with_settings(name, **settings), name)
        if curve is not None:
            measured.append(Curve(name, batchnorm, lr, epsilon, curve.points))
    gathering.needs_some(measured)
    own_lr = {name: experiment.config.unlearning[name]["lr"] for name in methods}
    return Curves(measured, own_lr, gathering.gaps)


_MODES = {"train": "following", "frozen": "frozen"}  # what the statistics do, by the setting `batchnorm`


# --- where the released code differs from the text ----------------------------------------------------------------


@dataclass(frozen=True)
class CodeVariants:
    """The methods with the settings of CODE_VARIANTS, by method and by title.

    `logged`: what the released code's log says of a variant, by title; empty on other data than the log's.
    """

    methods: dict[str, dict[str, Evaluation]]
    logged: Mapping[str, LogEntry]
    gaps: Gaps


def code_variants(experiment: Experiment) -> CodeVariants:
    """Each method as the paper's text has it, and with what the released code does otherwise."""
    gathering = Gathering()
    methods: dict[str, dict[str, Evaluation]] = {}
    for name, variants in CODE_VARIANTS.items():
        for called, variant in variants.items() if name in experiment.config.methods else ():
            changed = experiment.with_settings(name, **varied(experiment.config.unlearning[name], variant))
            made = gathering.ask(f"{title(name)}, {called}", evaluation, changed, name)
            if made is not None:
                methods.setdefault(name, {})[called] = made
    gathering.needs_some(methods)
    logged = RELEASED_LOG if experiment.dataset.name == LOGGED_ON else {}
    return CodeVariants(methods, logged, gathering.gaps)


def varied(own: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    """A method's own settings, changed to a variant; a variant's learning rate is a share of the method's own."""
    return {**own, **variant, "lr": own["lr"] * variant.get("lr", 1)}


# --- all of it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WhatForgets:
    """All that the chapter shows of a run."""

    swaps: Swaps
    mechanism: Mechanism
    components: Components
    repeated: RepeatedComponents
    curves: Curves
    alone: BoundariesAlone
    variants: CodeVariants
    variations: Variations


def measure(experiment: Experiment) -> WhatForgets:
    """Everything of the chapter at once; a page asks for one after the other, so that a record may lack some."""
    return WhatForgets(
        swaps(experiment),
        mechanism(experiment),
        components(experiment),
        repeated_components(experiment),
        curves(experiment),
        boundary_alone(experiment),
        code_variants(experiment),
        variations(experiment),
    )


# --- figures and tables -------------------------------------------------------------------------------------------

# The five models of a swap, how each is drawn, and its accuracy on D_f.
SWAP_TITLES = {
    "neither": "original",
    "statistics": "original weights, the method's statistics",
    "weights": "the method's weights, original statistics",
    "both": "the method's model",
    "after": "the same after re-estimation",
}
_SWAP_COLOURS = {"neither": INK, "statistics": "#0072B2", "weights": "#E69F00", "both": GREY, "after": PAPER}


def _recognised(run: OfOneMethod) -> dict[str, float | None]:
    """The accuracy on D_f of the five models of a swap, in percent."""
    four = {name: getattr(run.swap, name)["forget_train"] for name in ("neither", "statistics", "weights", "both")}
    return four | {"after": run.after_reestimation}


def swap_bars(made: Swaps) -> Figure | None:
    """Accuracy on D_f of the five models of each swap of the page's own run; None without one."""
    if not made.own:
        return None
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    width = 0.8 / len(SWAP_TITLES)
    for place, name in enumerate(SWAP_TITLES):
        values = [_recognised(run)[name] or 0.0 for run in made.own]
        at = [method + (place - 2) * width for method in range(len(values))]
        bars = axes.bar(at, values, width * 0.9, color=_SWAP_COLOURS[name], edgecolor=INK, linewidth=0.6)
        axes.bar_label(bars, [number(_recognised(run)[name], ".0f") for run in made.own], padding=2, fontsize=8)
    axes.set(xticks=range(len(made.own)), ylabel="accuracy on $D_f$, %", ylim=(0, 112), yticks=range(0, 101, 25))
    axes.set_xticklabels([title(run.method) for run in made.own])
    axes.grid(axis="x", visible=False)
    handles = [
        Patch(facecolor=_SWAP_COLOURS[name], edgecolor=INK, linewidth=0.6, label=called)
        for name, called in SWAP_TITLES.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def swap_table(made: Swaps) -> Styler | None:
    """The swaps of the page's own run, and means over classes and seeds with their ranges; None without a swap."""
    rows = {(title(run.method), "this run"): _swap_row([run]) for run in made.own}
    for (method, which), several in made.over_several.items():
        rows[title(method), in_html(which)] = _swap_row(several)
    return _as_table(rows, ["method", "run"], made.gaps.shown()) if rows else None


def _swap_row(runs: Sequence[OfOneMethod]) -> dict[str, str]:
    row = {
        f"{set_title('forget_train')}, {called}, %": _with_range([_recognised(run)[name] for run in runs])
        for name, called in SWAP_TITLES.items()
    }
    row["share of the statistics, %"] = f"<b>{_with_range([run.swap.statistics_share for run in runs])}</b>"
    for name in ("statistics", "weights", "both"):
        lost = [run.swap.lost(getattr(run.swap, name)) for run in runs]
        row[f"points lost on {set_title('remain_test')}, {SWAP_TITLES[name]}"] = _with_range(lost)
    return row


def _with_range(values: Sequence[float | None]) -> str:
    """The mean, and for several values the lowest and the highest below it, as HTML; – where one is missing."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "–"
    mean = f"{sum(known) / len(known):.1f}"
    return mean if len(known) == 1 else f"{mean}<br><small>{min(known):.1f}&nbsp;to&nbsp;{max(known):.1f}</small>"


def parts_table(made: Mechanism) -> Styler | None:
    """The original with some of Boundary Shrink's statistics: which of them forget; None where there is nothing."""
    if (parts := made.parts) is None:
        return None
    rows = {
        "none of them (the original)": parts.nothing,
        "means alone": parts.means,
        "variances alone": parts.variances,
        "first half of the layers": parts.first_half,
        "last half of the layers": parts.last_half,
    }
    for part in parts.by_depth:
        which = f"layer {part.first}" if part.first == part.last else f"layers {part.first} to {part.last}"
        rows[f"{which} alone"] = part.accuracy
    return _of_accuracies(rows | {"all of them": parts.everything}, "Boundary Shrink's statistics", made.gaps.shown())


def _of_accuracies(rows: Mapping[str, Accuracy | list[Accuracy]], name: str, note: str) -> Styler:
    """Accuracy on D_f and D_rt, on LOOKED_AT images; for several models of a row the mean and the range."""
    several = {called: found if isinstance(found, list) else [found] for called, found in rows.items()}
    columns = {
        f"{set_title(part)}, %": {
            called: _with_range([each[part] for each in found]) for called, found in several.items()
        }
        for part in ("forget_train", "remain_test")
    }
    return as_table(pd.DataFrame(columns).rename_axis(name), f"{SAMPLED} {note}".rstrip())


def class_map(made: Mechanism) -> Figure | None:
    """Accuracy of the original on each class with the statistics of each class; None where there is nothing."""
    if (found := made.by_class) is None:
        return None
    size = len(made.classes)
    values = pd.DataFrame([found.own, *found.of_class], ["its own", *made.classes], list(made.classes))
    values = values.rename(in_figure, axis=0).rename(in_figure, axis=1)
    figure, axes = plt.subplots(figsize=(8, 0.36 * size + 1.6), layout="constrained")
    sns.heatmap(
        values, ax=axes, annot=size <= 12, fmt=".0f", cmap="cividis", vmin=0, vmax=100, cbar=False, linewidths=1,
        annot_kws={"fontsize": 9},
    )  # fmt: skip
    axes.set(xlabel="class that is tested: accuracy, %", ylabel="class that gave the statistics")
    axes.tick_params(axis="x", rotation=45)
    axes.tick_params(axis="y", rotation=0)
    return figure


def source_title(source: Source, forgotten: str) -> str:
    """What a re-estimation saw, in words; `forgotten`: the name of the class to forget."""
    named = {
        "remaining": f"{source.images:,} images of D_r",
        "unseen": f"{source.images:,} unseen images of the remaining classes",
        "mixed": f"{100 * source.share:.0f} % {forgotten}, the rest of D_r",
        "classes": "one other class" if source.classes == 1 else f"{source.classes} other classes",
        "digits": "handwritten digits",
        "noise": "noise",
    }
    return f"{forgotten} alone" if source.share == 1 else named[source.name]


def returned_table(made: Mechanism) -> Styler | None:
    """Boundary Shrink's model re-estimated on images of each source; None where there is nothing."""
    if made.returned is None:
        return None
    rows: dict[str, list[Accuracy]] = {"nothing (Boundary Shrink's model)": [made.returned.before]}
    for source in made.returned.sources:
        rows.setdefault(sets_named(source_title(source, made.forgotten)), []).append(source.accuracy)
    return _of_accuracies(rows, "re-estimated on", made.gaps.shown())


def boundary_alone_table(made: BoundariesAlone) -> Styler | None:
    """The paper's two methods without running statistics, by learning rate; None without such a network.

    Each entry is the accuracy on D_f, and how many points the method costs on D_rt.
    """
    rows, rates = {}, sorted({lr for run in made.runs for lr in run.curves})
    for run in made.runs:
        which = f"{in_html(run.model)}, {in_html(run.forget_class)}, seed {run.seed}"
        row = {f"lr {lr:g}": _at_the_end(run.curves[lr]) if lr in run.curves else "–" for lr in rates}
        deepest, most = run.deepest, f"lowest {set_title('forget_train')} for at most so many points, %"
        row["points that it may cost"] = f"{run.budget:.1f}"
        found = deepest and f"<b>{deepest.recognised:.1f}</b> (lr {deepest.lr:g}, epoch {deepest.epoch})"
        row[most] = found or "–"
        rows[which, title(run.method)] = row
    return _as_table(rows, ["network", "method"], made.gaps.shown()) if rows else None


def _at_the_end(curve: Mapping[int, Accuracy]) -> str:
    first, last = curve[0], curve[max(curve)]
    return f"{last['forget_train']:.1f}&nbsp;/&nbsp;{first['remain_test'] - last['remain_test']:.1f}"


def components_table(made: Components) -> Styler:
    """Accuracies, attack and entropy of each component of each method, between the original and Retrain."""
    known = {"original": made.original} | ({"retrain": made.retrain} if made.retrain else {})
    rows = {(title(name), "–"): _evaluation_row(each) for name, each in known.items()}
    for name, taken in made.methods.items():
        for component, found in taken.items():
            after = {f"{set_title('forget_train')} after re-estimation, %": number(found.after_reestimation, ".1f")}
            rows[title(name), COMPONENT_TITLES[component]] = _evaluation_row(found.evaluation) | after
    return _as_table(rows, ["model", "what may move"], made.gaps.shown())


def components_in_short(made: Components) -> dict[str, str]:
    """Accuracy on D_f after each component of each method: a column of the comparison of runs."""
    column = {"Original": number(made.original.accuracy["forget_train"])}
    for name, taken in made.methods.items():
        for component, found in taken.items():
            column[f"{title(name)}, {COMPONENT_TITLES[component]}"] = number(found.recognised)
            if component in ("weights", "both"):
                called = f"{title(name)}, {COMPONENT_TITLES[component]}, after re-estimation"
                column[called] = f"<b>{number(found.after_reestimation)}</b>"
    return column


def repeated_table(made: RepeatedComponents) -> Styler | None:
    """Each component of Boundary Shrink as means over classes and over seeds with 95 % intervals; None for one run."""
    rows = {}
    for unit, runs in repeated(made.runs).items():
        for component, called in COMPONENT_TITLES.items():
            taken = [run.components[component] for run in runs]
            recognised = [each.recognised for each in taken]
            lost = [
                run.original.accuracy["remain_test"] - each.evaluation.accuracy["remain_test"]
                for run, each in zip(runs, taken, strict=True)
            ]
            rows[f"{len(runs)} {unit}", called] = {
                f"{set_title('forget_train')}, %": _mean(recognised),
                "lowest to highest": f"{min(recognised):.1f} to {max(recognised):.1f}",
                f"points lost on {set_title('remain_test')}": _mean(lost),
                f"{set_title('forget_train')} after re-estimation, %": (
                    f"<b>{_mean([each.after_reestimation for each in taken])}</b>"
                ),
            }
    return _as_table(rows, ["mean over", "Boundary Shrink"], made.gaps.shown()) if rows else None


def _mean(values: list[float | None] | list[float]) -> str:
    """The mean with its 95 % interval; – where a value is missing."""
    known = [value for value in values if value is not None]
    return with_half(interval(known), ".1f") if len(known) == len(values) else "–"


def _evaluation_row(made: Evaluation) -> dict[str, str]:
    accuracies = {f"{set_title(part)}, %": number(made.accuracy[part], ".1f") for part in SPLITS}
    return accuracies | {
        "ASR, %": with_ends(made.attack.asr),
        f"entropy of {set_title('forget_train')}, nats": number(made.entropy, ".2f"),
    }


def _as_table(rows: Mapping[tuple[str, str], Mapping[str, str]], names: list[str], note: str) -> Styler:
    frame = pd.DataFrame.from_dict(dict(rows), orient="index").fillna("–")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=names)
    return as_table(frame, note)


def forgetting_curves(made: Curves, when: When = "before") -> Figure | None:
    """Accuracy on D_f against what is lost on D_rt, epoch by epoch, one line a learning rate; None without a curve.

    `when`: `before` or `after` re-estimation. Rows: statistics following or frozen.
    """
    methods = list(dict.fromkeys(curve.method for curve in made.curves))
    if not methods:
        return None
    rates = sorted({curve.lr for curve in made.curves})
    # From blue to orange, so that a larger rate looks warmer, and every shade stands out from light and dark ground.
    shades = dict(zip(rates, sns.blend_palette(["#2f8fe0", "#a259d9", "#e5622e"], len(rates)), strict=True))
    marks = dict(zip(rates, itertools.cycle("os^Dv")))  # noqa: B905 (a cycle has no length)
    figure, panels = plt.subplots(
        2, len(methods), figsize=(8, 5.4), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for row, (mode, called) in zip(panels, _MODES.items(), strict=True):
        for axes, method in zip(row, methods, strict=True):
            for curve in made.curves:
                if (curve.method, curve.batchnorm) == (method, mode) and curve.epsilon == made.usual_epsilon[method]:
                    points = [point.before if when == "before" else point.after for point in curve.points]
                    lost = [points[0]["remain_test"] - point["remain_test"] for point in points]
                    recognised = [point["forget_train"] for point in points]
                    style = {"marker": marks[curve.lr], "color": shades[curve.lr], "markersize": 4, "linewidth": 1.2}
                    axes.plot(lost, recognised, "-", **style)
            # What happens within the first points is the question, and some curves lose all: linear, then logarithmic.
            axes.set_xscale("symlog", linthresh=5)
            axes.set_ylim(-3, 103)
            axes.set_xticks([0, 2, 5, 10, 20, 50], ["0", "2", "5", "10", "20", "50"])
            axes.grid(visible=True)
        row[0].set_ylabel(f"statistics {called}\naccuracy on $D_f$, %", fontsize=10)
    for axes, method in zip(panels[0], methods, strict=True):
        axes.set_title(title(method), fontsize=10)
    figure.supxlabel("points lost on $D_{rt}$, logarithmic beyond 5", fontsize=11)
    handles = [Line2D([], [], color=shades[rate], marker=marks[rate], label=f"{rate:g}") for rate in rates]
    figure.legend(
        handles=handles, title="learning rate", loc="outside upper center", ncols=len(rates), fontsize=9, frameon=False
    )
    return figure


def epsilon_table(made: Curves) -> Styler | None:
    """Boundary Shrink at its own learning rate, by the epsilon of its search; None where no such curve is there."""
    rows = {
        (curve.batchnorm, number(curve.epsilon, "g")): {
            "epochs": f"{len(curve.points) - 1}",
            **{f"{set_title(part)}, %": number(curve.points[-1].before[part], ".1f") for part in SPLITS},
            f"{set_title('forget_train')} after re-estimation, %": (
                f"<b>{number(curve.points[-1].after['forget_train'], '.1f')}</b>"
            ),
        }
        for curve in sorted(made.curves, key=lambda curve: (curve.batchnorm, curve.epsilon or 0))
        if curve.method == "boundary_shrink" and curve.lr == made.own_lr[curve.method]
    }
    return _as_table(rows, ["batchnorm", "epsilon"], made.gaps.shown()) if rows else None


def variants_table(made: CodeVariants) -> Styler | None:
    """The variants of the released code, and what a log beside that code says of them; None without any."""
    rows = {}
    for name, variants in made.methods.items():
        for called, found in variants.items():
            row = {f"{set_title(part)}, %": number(found.accuracy[part], ".1f") for part in SPLITS}
            if name == "boundary_shrink" and (logged := made.logged.get(called)):
                row[f"{set_title('forget_test')} in the authors' log, %"] = number(logged.forget_test, ".1f")
                row[f"{set_title('remain_test')} in the authors' log, %"] = number(logged.remain_test, ".1f")
            rows[title(name), called] = row
    return _as_table(rows, ["method", "variant"], made.gaps.shown()) if rows else None


# --- claims -------------------------------------------------------------------------------------------------------


@claim(
    1, "Table 1", "Boundary Shrink leaves little of D_f and costs little on D_r.",
    "Shrink leaves as little of D_f as the paper says",
)  # fmt: skip
def shrink_forgets(experiment: Experiment) -> Evidence:
    """What Boundary Shrink leaves of D_f, beside the paper's number."""
    needs(experiment, "boundary_shrink")
    dataset = experiment.dataset.name
    theirs, step = table_1(dataset).accuracy["boundary_shrink"]["forget_train"], ranking_step(dataset)
    values = over(experiment, lambda run: seen(run, "boundary_shrink").accuracy["forget_train"])
    effect = Effect(
        "what Boundary Shrink leaves of D_f",
        "%",
        values.found,
        Bounds(theirs - step, theirs + step, "as near to the paper's number as the next method of its Table 1 lies"),
        f"{theirs:g} %",
        classes=by_class(experiment, BOUNDARY_METHODS, lambda run: _left(run, "boundary_shrink")),
        missing=values.missing,
    )
    return Evidence([effect], lambda: shrink_checks(variations(experiment)))


def _left(run: Experiment, name: str) -> float:
    """The accuracy of a model on D_f in percent, by its recorded evaluation."""
    return evaluation(run, name).accuracy["forget_train"]


def shrink_checks(made: Variations) -> list[Check]:
    """The secondary checks of claim 1: the points lost on D_r, of this run and of each that is trained otherwise."""
    return [
        check
        for where, run in _trainings(made)
        if "boundary_shrink" in run.methods
        for check in (
            at_most(f"{where}Boundary Shrink's accuracy on D_f", _before(run, "boundary_shrink"), 10),
            at_most(f"{where}what it costs on D_r", run.cost("boundary_shrink", "remain_train"), 2, "points"),
        )
    ]


@claim(
    2, "Table 1", "Boundary Expanding leaves more of D_f than Boundary Shrink, less than Random Labels.",
    "Expanding leaves more of D_f than Shrink",
)  # fmt: skip
def expanding_between(experiment: Experiment) -> Evidence:
    """How much more of D_f Boundary Expanding leaves than Boundary Shrink."""
    needs(experiment, *BOUNDARY_METHODS)
    theirs = table_1(experiment.dataset.name).accuracy
    more = theirs["boundary_expanding"]["forget_train"] - theirs["boundary_shrink"]["forget_train"]

    def left(run: Experiment, name: str) -> float:
        return seen(run, name).accuracy["forget_train"]

    values = over(experiment, lambda run: left(run, "boundary_expanding") - left(run, "boundary_shrink"))
    effect = Effect(
        "what Boundary Expanding leaves of D_f minus what Boundary Shrink leaves",
        "points",
        values.found,
        Bounds(0, math.inf, "the claim is an order; each replicate compares methods on one original"),
        f"{more:+.2f} points",
        classes=by_class(
            experiment,
            BOUNDARY_METHODS,
            lambda run: _left(run, "boundary_expanding") - _left(run, "boundary_shrink"),
        ),
        missing=values.missing,
    )
    return Evidence([effect], lambda: expanding_checks(variations(experiment)))


def expanding_checks(made: Variations) -> list[Check]:
    """The secondary checks of claim 2: the order of the three methods, here and where the run is trained otherwise."""
    return [
        above(
            f"{where}the accuracy on D_f of {title(more)}",
            _before(run, more),
            f"that of {title(less)}",
            _before(run, less),
        )  # fmt: skip
        for where, run in _trainings(made)
        for less, more in (("boundary_shrink", "boundary_expanding"), ("boundary_expanding", "random_labels"))
        if {less, more} <= set(run.methods)
    ]


def _before(run: Variation, name: str) -> float:
    return run.methods[name].before.accuracy["forget_train"]


def _trainings(made: Variations) -> list[tuple[str, Variation]]:
    """This run and each that is trained otherwise, and how a check begins that is about it."""
    return [("", made.runs[0]), *((f"as {run.model}: ", run) for run in made.trained_otherwise)]
