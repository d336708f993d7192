"""Utility: what is forgotten, and what is kept? Tables 1 and 2, and claims 4 to 6 (sections 5.2 and 5.3)."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics

from .. import paper
from ..claims import NEAR, Check, above, at_least, at_most, claim, needs
from ..style import as_table, in_figure, number, set_title, title
from .attack_success import above_retrain, attacked, by, success_rate

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
        shown = {"paper" if printed.same else f"paper, {printed.dataset}": (theirs, ".2f"), "here": (ours, ".2f")}
        if printed.same:
            shown["difference"] = ({name: ours[name] - theirs[name] for name in theirs}, "+.2f")
        for row, (values, form) in shown.items():
            rows[set_title(part), row] = {title(name): number(values.get(name), form) for name in names}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["set", "accuracy, %"])
    return as_table(frame).map_index(
        lambda level: "font-weight: 600" if level == "here" else "font-weight: 400", axis="index", level=1
    )


def forgotten(found: Metrics) -> dict[str, str]:
    """By model, the accuracy on D_f in percent: a column of the comparison of runs."""
    return {title(name): number(result.accuracy["forget_train"], ".2f") for name, result in found.methods.items()}


def kept(found: Metrics) -> dict[str, str]:
    """By model, the accuracy on D_rt in percent: a column of the comparison of runs."""
    return {title(name): number(result.accuracy["remain_test"], ".2f") for name, result in found.methods.items()}


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
    axes.get_xticklabels()[found.config["forget_class"]].set_fontweight("bold")
    return figure


# --- claims -------------------------------------------------------------------------------------------------------


@claim(4, "Table 1", "Negative Gradient and Random Labels leave a part of D_f and cost more on D_rt than Shrink.")
def weak_baselines(experiment: Experiment) -> list[Check]:
    """The two baselines' accuracy on D_f and what they cost on D_rt, beside Boundary Shrink."""
    needs(experiment, "negative_gradient", "random_labels", "boundary_shrink")
    return baseline_checks(metrics(experiment))


def baseline_checks(found: Metrics) -> list[Check]:
    """The checks of claim 4 on the metrics of a run; on faces the paper's baselines come nearer to 0."""
    limit = 2 if found.dataset.name == "faces" else 5
    made = []
    for name in ("negative_gradient", "random_labels"):
        made += [
            at_least(f"{title(name)}'s accuracy on D_f", found.methods[name].accuracy["forget_train"], limit),
            above(
                f"what {title(name)} costs on D_rt", _lost(found, name, "remain_test"),
                "what Boundary Shrink costs", _lost(found, "boundary_shrink", "remain_test"), "points",
            ),
        ]  # fmt: skip
    return made


@claim(5, "Table 2, section 5.3", "Fisher erases D_f, ruins D_r, and has an ASR of 0.")
def fisher_ruins(experiment: Experiment) -> list[Check]:
    """Fisher's accuracy on D_f, what it costs on D_r, and what it shows to the attack."""
    needs(experiment, "fisher")
    return fisher_checks(metrics(experiment))


def fisher_checks(found: Metrics) -> list[Check]:
    """The checks of claim 5 on the metrics of a run."""
    return [
        at_most("Fisher's accuracy on D_f", found.methods["fisher"].accuracy["forget_train"], 5),
        at_least("what it costs on D_r", _lost(found, "fisher", "remain_train"), 20, "points"),
        *(at_most(f"{by(kind)}its ASR", success_rate(found, kind, "fisher"), 5) for kind in attacked(found)),
    ]


@claim(6, "Table 2, section 5.3", "Amnesiac erases D_f, costs something on D_r, and has an ASR near Retrain's.")
def amnesiac_costs(experiment: Experiment) -> list[Check]:
    """Amnesiac's accuracy on D_f, what it costs on D_r, and what it shows to the attack beside Retrain."""
    needs(experiment, "amnesiac", "retrain")
    return amnesiac_checks(metrics(experiment))


def amnesiac_checks(found: Metrics) -> list[Check]:
    """The checks of claim 6 on the metrics of a run."""
    return [
        at_most("Amnesiac's accuracy on D_f", found.methods["amnesiac"].accuracy["forget_train"], 1),
        at_least("what it costs on D_r", _lost(found, "amnesiac", "remain_train"), 1, "points"),
        *(
            at_most(
                f"{by(kind)}its ASR's distance from Retrain's",
                abs(above_retrain(found, kind, "amnesiac")),
                NEAR,
                "points",
            )
            for kind in attacked(found)
        ),
    ]


def _lost(found: Metrics, name: str, part: str) -> float:
    """Points of accuracy that a method costs on a set, against the original."""
    return found.methods["original"].accuracy[part] - found.methods[name].accuracy[part]
