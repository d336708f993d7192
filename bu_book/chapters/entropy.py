"""Entropy: how unsure is a model, and of what? Figure 7 and claim 13 (section 5.7)."""

import math
import statistics

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from pandas.io.formats.style import Styler

from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics
from bu_core.measures import entropy_bins

from ..claims import Bounds, CannotTest, Check, Effect, Evidence, above, claim, needs
from ..replicates import over, seen
from ..style import GREY, INK, as_table, colour, number, set_title, title

measure = metrics  # the entropies are computed for every model of every run


def histograms(found: Metrics) -> Figure:
    """Figure 7: how unsure each model is of each set, one row a model: training data filled, unseen data outlined."""
    results = found.methods
    edges = entropy_bins(len(found.dataset.classes))
    size = (8, 0.85 * len(results) + 1.3)
    figure, rows = plt.subplots(
        len(results), 2, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for row, (name, result) in zip(rows, results.items(), strict=True):
        shares = result.entropy.histogram
        for axes, side in zip(row, ("remain", "forget"), strict=True):
            axes.stairs(shares[f"{side}_train"], edges, fill=True, color=colour(name), alpha=0.75)
            axes.stairs(shares[f"{side}_test"], edges, color=INK, linewidth=1.2)
        if "retrain" in results and name != "retrain":
            oracle = results["retrain"].entropy.histogram["forget_train"]
            row[1].stairs(oracle, edges, color=colour("retrain"), linestyle="--", linewidth=1.5)
        row[0].set_ylabel(title(name).replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=10)
    # Sure answers fill one bin, unsure ones spread over many: a root scale shows both.
    rows[0][0].set_yscale("function", functions=(np.sqrt, np.square))
    rows[0][0].set(title="remaining classes", xlim=(0, edges[-1]), ylim=(0, 100), yticks=(0, 10, 50, 100))
    rows[0][1].set(title="forgotten class")
    figure.supxlabel(f"entropy of the output, nats (an even answer: log {len(found.dataset.classes)})", size=11)
    figure.supylabel("share of the images, %, on a root scale", size=11)
    handles = [Patch(color=GREY, label="training images"), Line2D([], [], color=INK, label="test images")]
    if "retrain" in results:
        handles.append(Line2D([], [], color=colour("retrain"), linestyle="--", label="Retrain on the forgetting data"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def table(found: Metrics) -> Styler:
    """Mean entropy on each set in nats, and how far each model's distribution on D_f lies from Retrain's."""
    rows = {}
    for name, result in found.methods.items():
        measured, distance = result.entropy, result.entropy.distance_to_retrain
        rows[title(name)] = {
            **{f"mean on {set_title(part)}, nats": f"{measured.mean[part]:.3f}" for part in SPLITS},
            "Jensen-Shannon from Retrain, bits": number(distance.jensen_shannon if distance else None, ".3f"),
            "Wasserstein from Retrain, nats": number(distance.wasserstein if distance else None, ".3f"),
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


def distances(found: Metrics) -> dict[str, str]:
    """By model, how far its entropies on D_f lie from Retrain's, in nats: a column of the comparison of runs."""
    measured = {name: result.entropy.distance_to_retrain for name, result in found.methods.items()}
    return {title(name): number(far.wasserstein if far else None, ".2f") for name, far in measured.items()}


@claim(
    13, "Figure 7",
    "On the original, D_r and D_f have a lower entropy than test data. Retrain raises D_f's, Shrink and Expanding come "
    "to resemble it, Random Labels goes far beyond.",
    "Random Labels raises the entropy of D_f far beyond Retrain's",
)  # fmt: skip
def entropy_like_retrain(experiment: Experiment) -> Evidence:
    """How much further Random Labels lies above Retrain, in the mean entropy of D_f, than Boundary Shrink lies off.

    Far is what two Retrains cannot differ by.
    """
    needs(experiment, "retrain", "boundary_shrink", "random_labels")

    def entropy(run: Experiment, name: str) -> float:
        return seen(run, name).entropy["forget_train"]

    def beyond(run: Experiment) -> float:
        retrain = entropy(run, "retrain")
        return entropy(run, "random_labels") - retrain - abs(entropy(run, "boundary_shrink") - retrain)

    values = over(experiment, beyond)
    retrained = over(experiment, lambda run: entropy(run, "retrain"))
    region, void = None, ""
    if (limit := retrained.between_two) is not None:
        region = Bounds(limit, math.inf, "further than two Retrains of different seeds lie apart with 95 %")
        if statistics.fmean(retrained.found.values()) + limit >= math.log(len(experiment.dataset.classes)):
            void = "two Retrains may lie further apart than an even answer lies from one of them"
    effect = Effect(
        "how far Random Labels' entropy of D_f lies above Retrain's, less Boundary Shrink's distance from it",
        "nats", values.found, region, "far beyond", "", void, retrained.spread, missing=values.missing,
    )  # fmt: skip

    def others() -> list[Check]:
        needs(experiment, "boundary_expanding")
        return checks(metrics(experiment))

    return Evidence([effect], others)


def checks(found: Metrics) -> list[Check]:
    """The secondary checks of claim 13 on the metrics of a run."""

    def mean(name: str, part: str) -> float:
        return found.methods[name].entropy.mean[part]

    def distance(name: str) -> float:
        if (measured := found.methods[name].entropy.distance_to_retrain) is None:
            raise CannotTest("the profile does not run retrain")
        return measured.wasserstein

    boundary = {"boundary_shrink": "Boundary Shrink", "boundary_expanding": "Boundary Expanding"}
    made = [
        above(f"on the original, the entropy of {unseen}", mean("original", f"{side}_test"), f"that of {seen_}",
              mean("original", f"{side}_train"), "nats")
        for side, unseen, seen_ in (("remain", "D_rt", "D_r"), ("forget", "D_ft", "D_f"))
    ]  # fmt: skip
    made.append(
        above("Retrain's entropy of D_f", mean("retrain", "forget_train"), "the original's",
              mean("original", "forget_train"), "nats")
    )  # fmt: skip
    for name, called in boundary.items():
        made.append(
            above("the original's distance from Retrain's D_f entropies", distance("original"), f"{called}'s",
                  distance(name), "nats")
        )  # fmt: skip
    made += [
        above("Random Labels' distance from Retrain's D_f entropies", distance("random_labels"), f"{called}'s",
              distance(name), "nats")
        for name, called in boundary.items()
    ]  # fmt: skip
    return made
