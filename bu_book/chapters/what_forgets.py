"""What does the forgetting, the weights or BatchNorm's running statistics? Claims 1 and 2 (Table 1).

The released code fine-tunes in training mode on batches of one class, so the running statistics of BatchNorm drift to
that class while the weights change. Three fits tell the two apart (COMPONENTS). A fourth model has the original's
weights, and each channel shifted as the fine-tuned weights shift it (`bu_core.audits.channel_shift`).
"""

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas.io.formats.style import Styler
from torch import Tensor

from bu_core import attacks, measures, training
from bu_core.audits.channel_shift import shifted
from bu_core.audits.reestimation import reestimated
from bu_core.data import SPLITS, LabelledImages
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.experiment.metrics import Evaluation, evaluated, evaluation
from bu_core.measures import Outputs, interval
from bu_core.models import Classifier
from bu_core.unlearning import METHODS

from ..claims import Check, above, at_most, claim, mean_at_most, needs
from ..gaps import Gaps, Gathering
from ..paper import RELEASED_LOG
from ..style import as_table, number, set_title, title, with_ends, with_half
from ..variations import (
    BOUNDARY_METHODS,
    STATISTICS_ALONE,
    TAKEN_APART,
    Variation,
    Variations,
    When,
    by_model,
    expanding_less_shrink,
    forgotten,
    most_images,
    repeated,
    share_explained,
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

SHIFTED_ON = 1000  # images of D_r, at the most, on which the shift of a channel is measured
REESTIMATED_ON_IN_A_CURVE = 1000  # images of D_r, at the most
CURVE_EPOCHS = 10  # at the most: that many epochs the paper's methods have
LEARNING_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
EPSILONS = (0.03, 0.1, 0.25)  # 0.1 is what the released code states, 0.25 what its images are really moved by

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


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RecoveredAccuracy:
    """`accuracy`: on forget_train and forget_test, by set, after re-estimation, in percent."""

    accuracy: dict[str, float]


@measurement(of=())
def recovered(experiment: Experiment, model: str, images: int) -> RecoveredAccuracy:
    """How much of the class a model recognises once BatchNorm's statistics were estimated anew on `images` of D_r."""
    again = reestimated(experiment.model(model), experiment.remaining(images), experiment.precision)
    sets = {part: getattr(experiment.split, part) for part in ("forget_train", "forget_test")}
    return RecoveredAccuracy({part: _accuracy(again, data, experiment) for part, data in sets.items()})


@measurement(
    of=("original",), constants=lambda: attacks.constants() | {"draws": attacks.DRAWS, "shifted_on": SHIFTED_ON}
)
def channel_shift(experiment: Experiment, model: str) -> Evaluation:
    """The original with each channel shifted as a method's model shifts it on average over SHIFTED_ON images of D_r."""
    original, unlearned = (experiment.model(name) for name in ("original", model))
    images = experiment.remaining(SHIFTED_ON)
    return evaluated(experiment, experiment.answers(shifted(original, unlearned, images, experiment.precision)))


@dataclass(frozen=True)
class CurvePoint:
    """A model after some epochs: accuracy on the four sets in percent, `before` and `after` re-estimation.

    NaN where an output is not finite, since the fit diverged.
    """

    before: dict[str, float]
    after: dict[str, float]


@dataclass(frozen=True)
class ForgettingCurve:
    """A method epoch by epoch: the original, then the model after each epoch."""

    points: list[CurvePoint]


@measurement(of=("original",), sampled=True, constants=lambda: {"reestimated_on": REESTIMATED_ON_IN_A_CURVE})
def forgetting_curve(experiment: Experiment, model: str) -> ForgettingCurve:
    """What a method forgets and what it costs after each epoch, on `sample_size` images of each set."""
    sets = {part: experiment.sampled(part) for part in SPLITS}
    remaining = experiment.remaining(REESTIMATED_ON_IN_A_CURVE)

    def look(seen: Classifier) -> CurvePoint:
        again = reestimated(seen, remaining, experiment.precision)
        before, after = (
            {part: _accuracy(looked_at, data, experiment) for part, data in sets.items()} for looked_at in (seen, again)
        )
        return CurvePoint(before, after)

    original = experiment.model("original")
    watcher = Watcher(original, look)
    last = METHODS[model](experiment.task(watcher), **experiment.config.unlearning[model])
    return ForgettingCurve([look(original), *watcher.seen, look(last)])


class Watcher:
    """Looks at a model after each epoch of a fit: give it as the fit's checkpoint (`training.Checkpoint`).

    `look(model)` is called with a copy in evaluation mode, of the original's shape: the output neuron that Boundary
    Expanding adds is pruned. The last epoch is not seen, since a fit keeps no state of it; its model is the result.
    """

    def __init__(self, original: Classifier, look: Callable[[Classifier], Any]):
        self._model, self._look = copy.deepcopy(original).eval(), look
        self.seen: list[Any] = []

    def load(self, label: str) -> None:
        """There is never a state to go on from."""
        return None

    def save(self, label: str, state: Mapping[str, Tensor]) -> None:
        """Look at the model whose state a fit would keep."""
        weights = {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")}
        for name, tensor in self._model.classifier.state_dict(prefix="classifier.").items():
            weights[name] = weights[name][: len(tensor)]
        self._model.load_state_dict(weights)
        self.seen.append(self._look(self._model))


def _accuracy(model: Classifier, data: LabelledImages, experiment: Experiment) -> float:
    logits = training.predict(model, data.images, experiment.precision)
    return measures.accuracy(Outputs(logits, data.labels)) if logits.isfinite().all() else float("nan")


# --- the components of each method --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Component:
    """What one component of a method does alone, or what all do together.

    `explained`: its share of what both together take from D_f, in percent; None where nothing falls, or where both
    together are not recorded. `after_reestimation`: the accuracy on D_f in percent, once the statistics were estimated
    anew on the most images; None where no weight moved, since that gives back the original, or where not recorded.
    """

    evaluation: Evaluation
    explained: float | None
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

    def offset_share(self, method: str) -> float | None:
        """How much of the weights' forgetting their shift alone brings about, in percent: see `share_explained`."""
        taken = self.methods[method]
        return share_explained(
            self.original.accuracy["forget_train"], taken["shift"].recognised, taken["weights"].recognised
        )


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
    if both := evaluations["both"]:
        after = gathering.ask(f"{called('both')}, after re-estimation", evaluation, fits["both"], method, images)
        again["both"] = after.accuracy["forget_train"] if after else None

    def explained(made: Evaluation) -> float | None:
        steps = [each.accuracy["forget_train"] for each in (original, made, both) if each is not None]
        return share_explained(*steps) if both else None

    return {
        name: Component(made, explained(made), again.get(name))
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
    """Boundary Shrink taken apart again, for each class and seed in `config.elsewhere` with which nothing else changes.

    Empty without Boundary Shrink, and where there is no other class or seed. A run that lacks a component is left out,
    so that all means are over the same runs.
    """
    method, config, gathering = "boundary_shrink", experiment.config, Gathering()
    others = [change for change in config.elsewhere if set(change) in ({"forget_class"}, {"seed"})]
    runs = []
    for change in ({}, *others) if method in config.methods and others else ():
        there = experiment.variation([method], **change)
        which = f" of {forgotten(there)}, seed {there.config.seed}"
        if (original := gathering.ask(f"{title('original')}{which}", evaluation, there, "original")) is None:
            continue
        taken = _taken_apart(there, method, original, most_images(experiment, there), gathering, of=which)
        whole = set(taken) == set(COMPONENT_TITLES)
        if whole and all(taken[name].after_reestimation is not None for name in ("weights", "both")):
            runs.append(OfOneRun(forgotten(there), there.config.seed, original, taken))
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
    """The methods with the settings of CODE_VARIANTS, by method and by title."""

    methods: dict[str, dict[str, Evaluation]]
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
    return CodeVariants(methods, gathering.gaps)


def varied(own: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    """A method's own settings, changed to a variant; a variant's learning rate is a share of the method's own."""
    return {**own, **variant, "lr": own["lr"] * variant.get("lr", 1)}


# --- all of it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WhatForgets:
    """All that the chapter shows of a run."""

    components: Components
    repeated: RepeatedComponents
    curves: Curves
    variants: CodeVariants
    variations: Variations


def measure(experiment: Experiment) -> WhatForgets:
    """Everything of the chapter at once; a page asks for one after the other, so that a record may lack some."""
    return WhatForgets(
        components(experiment),
        repeated_components(experiment),
        curves(experiment),
        code_variants(experiment),
        variations(experiment),
    )


# --- figures and tables -------------------------------------------------------------------------------------------


def components_table(made: Components) -> Styler:
    """Accuracies, attack and entropy of each component of each method, between the original and Retrain."""
    known = {"original": made.original} | ({"retrain": made.retrain} if made.retrain else {})
    rows = {(title(name), "–"): _evaluation_row(each) for name, each in known.items()}
    for name, taken in made.methods.items():
        for component, found in taken.items():
            explained = {"forgetting explained, %": number(found.explained, ".0f")}
            rows[title(name), COMPONENT_TITLES[component]] = _evaluation_row(found.evaluation) | explained
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
                "lowest to highest": f"{min(recognised):.2f} to {max(recognised):.2f}",
                f"points lost on {set_title('remain_test')}": _mean(lost),
                "forgetting explained, %": _mean([each.explained for each in taken]),
                f"{set_title('forget_train')} after re-estimation, %": (
                    f"<b>{_mean([each.after_reestimation for each in taken])}</b>"
                ),
            }
    return _as_table(rows, ["mean over", "Boundary Shrink"], made.gaps.shown()) if rows else None


def _mean(values: list[float | None] | list[float]) -> str:
    """The mean with its 95 % interval; – where a value is missing."""
    known = [value for value in values if value is not None]
    return with_half(interval(known), ".2f") if len(known) == len(values) else "–"


def _evaluation_row(made: Evaluation) -> dict[str, str]:
    accuracies = {f"{set_title(part)}, %": number(made.accuracy[part], ".2f") for part in SPLITS}
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
            **{f"{set_title(part)}, %": number(curve.points[-1].before[part], ".2f") for part in SPLITS},
            f"{set_title('forget_train')} after re-estimation, %": (
                f"<b>{number(curve.points[-1].after['forget_train'], '.2f')}</b>"
            ),
        }
        for curve in sorted(made.curves, key=lambda curve: (curve.batchnorm, curve.epsilon or 0))
        if curve.method == "boundary_shrink" and curve.lr == made.own_lr[curve.method]
    }
    return _as_table(rows, ["batchnorm", "epsilon"], made.gaps.shown()) if rows else None


def variants_table(made: CodeVariants) -> Styler | None:
    """The variants of the released code, with what a log beside that code says of them; None without any."""
    rows = {}
    for name, variants in made.methods.items():
        for called, found in variants.items():
            logged = RELEASED_LOG.get(called) if name == "boundary_shrink" else None
            rows[title(name), called] = {
                **{f"{set_title(part)}, %": number(found.accuracy[part], ".2f") for part in SPLITS},
                "logged " + set_title("forget_test"): number(logged and logged.forget_test, ".2f"),
                "logged " + set_title("remain_test"): number(logged and logged.remain_test, ".2f"),
            }
    return _as_table(rows, ["method", "variant"], made.gaps.shown()) if rows else None


# --- claims -------------------------------------------------------------------------------------------------------


@claim(1, "Table 1", "Boundary Shrink leaves little of D_f and costs little on D_r.")
def shrink_forgets(experiment: Experiment) -> list[Check]:
    """Boundary Shrink's accuracy on D_f and its cost on D_r: of this run, and over classes, seeds and trainings."""
    needs(experiment, "boundary_shrink")
    recognised = accuracy_of(experiment, "boundary_shrink", "forget_train")
    kept = [accuracy_of(experiment, name, "remain_train") for name in ("original", "boundary_shrink")]
    return shrink_checks(recognised, kept[0] - kept[1], variations(experiment))


def shrink_checks(recognised: float, lost: float, made: Variations) -> list[Check]:
    """The checks of claim 1, from accuracy on D_f and points lost on D_r, and from the variations of the run."""
    checks = [
        at_most("Boundary Shrink's accuracy on D_f", recognised, 10),
        at_most("what it costs on D_r", lost, 2, "points"),
    ]
    for where, runs in repetitions(made, "boundary_shrink"):
        accuracies = interval([run.methods["boundary_shrink"].before.accuracy["forget_train"] for run in runs])
        costs = interval([run.cost("boundary_shrink", "remain_train") for run in runs])
        checks += [
            mean_at_most(f"{where}: its accuracy on D_f", accuracies, 10, "%"),
            mean_at_most(f"{where}: what it costs on D_r", costs, 2, "points"),
        ]
    return checks


@claim(2, "Table 1", "Boundary Expanding leaves more of D_f than Boundary Shrink, less than Random Labels.")
def expanding_between(experiment: Experiment) -> list[Check]:
    """Whether Boundary Expanding's accuracy on D_f lies between Boundary Shrink's and Random Labels'."""
    needs(experiment, *TAKEN_APART)
    recognised = {name: accuracy_of(experiment, name, "forget_train") for name in TAKEN_APART}
    return expanding_checks(recognised, variations(experiment))


def expanding_checks(recognised: Mapping[str, float], made: Variations) -> list[Check]:
    """The checks of claim 2, from the accuracy on D_f by method, and from the variations of the run."""
    shrink, expanding, random = (recognised[name] for name in TAKEN_APART)
    checks = [
        above("Boundary Expanding's accuracy on D_f", expanding, "Boundary Shrink's", shrink),
        above("Random Labels' accuracy on D_f", random, "Boundary Expanding's", expanding),
    ]
    for where, runs in repetitions(made, *BOUNDARY_METHODS):
        more = expanding_less_shrink(runs)
        whole = "" if more.half_width is None else ", the whole 95 % interval above 0"
        checks.append(
            Check(
                f"{where}: Boundary Expanding's accuracy on D_f exceeds Boundary Shrink's{whole}",
                f"{more.shown('+.2f')} points",
                more.mean > (more.half_width or 0),
            )
        )
    return checks


def accuracy_of(experiment: Experiment, name: str, part: Literal["remain_train", "forget_train"]) -> float:
    """The accuracy of a model of this run on a set, in percent."""
    return measures.accuracy(experiment.outputs(name)[part])


def repetitions(made: Variations, *methods: str) -> list[tuple[str, list[Variation]]]:
    """This model on several classes and several seeds, and trained otherwise: which that is, in words, and its runs.

    Runs that lack one of `methods` are left out.
    """
    found = []
    for runs in by_model([run for run in made.runs if set(methods) <= set(run.methods)]):
        if set(runs[0].changed) <= {"epochs", "lr", "forget_class"}:
            trained = [f"as {runs[0].model}"] if {"epochs", "lr"} & set(runs[0].changed) else []
            several = repeated(runs)
            found += [(", ".join([*trained, f"over {len(alike)} {unit}"]), alike) for unit, alike in several.items()]
            if trained and not several:
                found.append((trained[0], runs))
    return found
