"""Utility: what is forgotten, and what is kept? Tables 1 and 2, and claims 4 to 6 (sections 5.2 and 5.3)."""

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.attacks.register import ATTACKS
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics
from bu_core.experiment.record import NotRecorded

from .. import paper
from ..claims import (
    Bounds,
    CannotTest,
    Check,
    Effect,
    Evidence,
    above,
    at_least,
    at_most,
    claim,
    needs,
)
from ..measured.last_batch import LastBatch, last_batch
from ..replicates import attacks_made, over, seen
from ..style import as_table, in_figure, number, set_title, title
from .attack_success import asr, beyond_retrain

ONE_STEP_MORE = ("cifar10", "cifar10-text", "digits")  # the records that keep what a single step does

measure = metrics  # the accuracies are computed for every model of every run


# --- figures and tables -------------------------------------------------------------------------------------------


def table_1(found: Metrics) -> Styler:
    """Table 1: for each set a row with the paper's accuracy and one with ours, in percent.

    Their difference stands in a third row where the data are the paper's. A method that is in neither of the paper's
    tables has a column here, without the paper's numbers.
    """
    names = [name for name in found.methods if name not in paper.TABLE_2_METHODS]
    return _beside_the_paper(found, paper.table_1(found.dataset.name), names)


def table_2(found: Metrics) -> Styler | None:
    """Table 2, in the same form: Fisher Forgetting and Amnesiac Unlearning; None where a run has neither."""
    names = [name for name in paper.TABLE_2_METHODS if name in found.methods]
    return _beside_the_paper(found, paper.table_2(found.dataset.name), names) if names else None


def _beside_the_paper(found: Metrics, printed: paper.PaperAccuracy, names: Sequence[str]) -> Styler:
    rows = {}
    for part in SPLITS:
        ours = {name: found.methods[name].accuracy[part] for name in names}
        theirs = {name: printed.accuracy[name][part] for name in names if name in printed.accuracy}
        shown = {"paper" if printed.same else f"paper, {printed.dataset}": (theirs, ".1f"), "here": (ours, ".1f")}
        if printed.same:
            shown["difference"] = ({name: ours[name] - theirs[name] for name in theirs}, "+.1f")
        for row, (values, form) in shown.items():
            rows[set_title(part), row] = {title(name): number(values.get(name), form) for name in names}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index)
    return as_table(frame).map_index(
        lambda level: "font-weight: 600" if level == "here" else "font-weight: 400", axis="index", level=1
    )


def forgotten(found: Metrics) -> dict[str, str]:
    """By model, the accuracy on D_f in percent: a column of the comparison of runs."""
    return {title(name): number(result.accuracy["forget_train"]) for name, result in found.methods.items()}


def kept(found: Metrics) -> dict[str, str]:
    """By model, the accuracy on D_rt in percent: a column of the comparison of runs."""
    return {title(name): number(result.accuracy["remain_test"]) for name, result in found.methods.items()}


def destinations(found: Metrics) -> Figure:
    """Where the forgetting samples went: the share of D_f that each model assigns to each class."""
    classes = [in_figure(name) for name in found.dataset.classes]
    shares = {title(name): result.forget_train_shares for name, result in found.methods.items()}
    frame = pd.DataFrame.from_dict(shares, orient="index", columns=classes)
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(frame) + 1.4), layout="constrained")
    sns.heatmap(
        frame, annot=True, fmt=".0f", cmap="cividis", vmin=0, vmax=100, linewidths=1, ax=axes,
        cbar_kws={"label": "share of the forgetting samples, %"},
    )  # fmt: skip
    axes.set(xlabel=f"predicted class (forgotten: {in_figure(found.forgotten)})", ylabel="")
    axes.tick_params(axis="x", rotation=45 if max(map(len, classes)) > 2 else 0)
    for label in found.forget_classes:
        axes.get_xticklabels()[label].set_fontweight("bold")
    return figure


# --- the last batch of a fit --------------------------------------------------------------------------------------


def one_step_more(experiment: Experiment, everything: bool = False) -> LastBatch:
    """What a single step changes of Retrain, on the runs whose record keeps it, or with `everything` on any.

    Raises CannotTest for another run: some two hundred steps are no part of what a chapter is for.
    """
    needs(experiment, "retrain")
    if not everything and (experiment.record is None or experiment.record.folder.name not in ONE_STEP_MORE):
        raise CannotTest("this was measured on the recorded runs of CIFAR-10 and the digits alone")
    return last_batch(experiment)


def last_batch_table(found: LastBatch) -> Styler:
    """What a single step more changes on D_rt, by the size of the batch that it is taken on."""
    rows = {}
    for images in sorted({step.images for step in found.steps}, reverse=True):
        steps = [step for step in found.steps if step.images == images]
        changes, losses = [step.changes for step in steps], [step.loss for step in steps]
        rows[f"{images} images"] = {
            "draws": str(len(steps)),
            "their mean loss before it": f"{min(losses):.3f} to {max(losses):.3f}",
            f"changes {set_title('remain_test')} by, points": f"{min(changes):+.2f} to {max(changes):+.2f}",
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


# --- claims -------------------------------------------------------------------------------------------------------

WEAK = ("negative_gradient", "random_labels")  # the baselines that the paper calls weaker than Boundary Shrink


@claim(
    4, "Table 1", "Negative Gradient and Random Labels leave a part of D_f and cost more on D_rt than Shrink.",
    "Negative Gradient and Random Labels cost more on D_rt than Shrink",
)  # fmt: skip
def weak_baselines(experiment: Experiment) -> Evidence:
    """How much more the cheaper one of the two baselines costs on D_rt than Boundary Shrink."""
    needs(experiment, *WEAK, "boundary_shrink")

    def kept_less(accuracy: Callable[[str], float]) -> float:
        return accuracy("boundary_shrink") - max(accuracy(name) for name in WEAK)

    theirs = paper.table_1(experiment.dataset.name).accuracy
    values = over(experiment, lambda run: kept_less(lambda name: seen(run, name).accuracy["remain_test"]))
    effect = Effect(
        "what the cheaper of Negative Gradient and Random Labels costs on D_rt more than Boundary Shrink",
        "points",
        values.found,
        Bounds(0, math.inf, "the claim is an order; each replicate compares methods on one original"),
        f"{kept_less(lambda name: theirs[name]['remain_test']):+.2f} points",
        spread=_of_retrain(experiment, "remain_test"),
        missing=values.missing,
    )
    return Evidence([effect], lambda: baseline_checks(metrics(experiment)))


def _of_retrain(experiment: Experiment, part: str) -> float | None:
    """The standard deviation over seeds of Retrain's accuracy on a set, in points; None where it is not known."""
    with suppress(NotRecorded, CannotTest):
        return over(experiment, lambda run: seen(run, "retrain").accuracy[part]).spread
    return None


def baseline_checks(found: Metrics) -> list[Check]:
    """The secondary checks of claim 4 on the metrics of a run: what each baseline leaves, and what it costs."""
    theirs = paper.table_1(found.dataset.name).accuracy
    made = []
    for name in WEAK:
        made += [
            at_least(
                f"{title(name)}'s accuracy on D_f (half of the paper's)",
                found.methods[name].accuracy["forget_train"], theirs[name]["forget_train"] / 2,
            ),
            above(
                f"what {title(name)} costs on D_rt", _lost(found, name, "remain_test"),
                "what Boundary Shrink costs", _lost(found, "boundary_shrink", "remain_test"), "points",
            ),
        ]  # fmt: skip
    return made


READS_AS_ZERO = 5.0  # percent: a bar of Figure 3 below it cannot be told from none


@claim(
    5, "Table 2, section 5.3", "Fisher erases D_f, ruins D_r, and has an ASR of 0.", "Fisher has an ASR of 0"
)  # fmt: skip
def fisher_ruins(experiment: Experiment) -> Evidence:
    """What Fisher shows to each attack; an attack that finds as little after Retrain cannot tell the two apart."""
    needs(experiment, "fisher", "retrain")
    effects = []
    for kind in attacks_made(experiment):
        values = over(experiment, lambda run, kind=kind: asr(run, "fisher", kind))  # type: ignore[misc]
        retrained = over(experiment, lambda run, kind=kind: asr(run, "retrain", kind))  # type: ignore[misc]
        mean = statistics.fmean(retrained.found.values())
        effects.append(
            Effect(
                "ASR after Fisher", "%", values.found,
                Bounds(-math.inf, READS_AS_ZERO, "a bar of Figure 3 below it cannot be told from none"), "0 %",
                ATTACKS[kind].title,
                f"Retrain, with an ASR of {mean:.1f} %, passes as well" if mean < READS_AS_ZERO else "",
                retrained.spread, missing=values.missing,
            )
        )  # fmt: skip
    return Evidence(
        effects,
        lambda: fisher_checks(metrics(experiment)),
        "the attack",
        "Fisher's noise, which the paper does not give, is ours.",
    )


def fisher_checks(found: Metrics) -> list[Check]:
    """The secondary checks of claim 5 on the metrics of a run."""
    lost = paper.table_1("cifar10").accuracy["original"]["remain_train"]
    lost -= paper.table_2("cifar10").accuracy["fisher"]["remain_train"]
    return [
        at_most("Fisher's accuracy on D_f", found.methods["fisher"].accuracy["forget_train"], 5),
        at_least("what it costs on D_r (half of the paper's)", _lost(found, "fisher", "remain_train"), lost / 2,
                 "points"),
    ]  # fmt: skip


@claim(
    6, "Table 2, section 5.3", "Amnesiac erases D_f, costs something on D_r, and has an ASR near Retrain's.",
    "Amnesiac's ASR is Retrain's",
)  # fmt: skip
def amnesiac_costs(experiment: Experiment) -> Evidence:
    """What Amnesiac shows to each attack beside Retrain."""
    needs(experiment, "amnesiac", "retrain")
    return Evidence(
        beyond_retrain(experiment, "amnesiac", near=True, paper="close"),
        lambda: amnesiac_checks(metrics(experiment)),
        "the attack",
    )


def amnesiac_checks(found: Metrics) -> list[Check]:
    """The secondary checks of claim 6 on the metrics of a run."""
    return [
        at_most("Amnesiac's accuracy on D_f", found.methods["amnesiac"].accuracy["forget_train"], 1),
        at_least("what it costs on D_r", _lost(found, "amnesiac", "remain_train"), 1, "points"),
    ]


def _lost(found: Metrics, name: str, part: str) -> float:
    """Points of accuracy that a method costs on a set, against the original."""
    return found.methods["original"].accuracy[part] - found.methods[name].accuracy[part]
