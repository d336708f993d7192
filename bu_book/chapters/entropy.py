"""Entropy: how unsure is a model, and of what? Figure 7 and claim 13 (section 5.7)."""

import itertools
import math
import statistics
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics
from bu_core.measures import entropy_bins

from ..claims import Bounds, CannotTest, Check, Effect, Evidence, above, claim, needs, not_run
from ..replicates import over, seen
from ..style import INK, as_table, colour, number, set_title, title

measure = metrics  # the entropies are computed for every model of every run


# Baselines whose curves would hide the others; their numbers stand in the table.
NOT_DRAWN = ("finetune", "negative_gradient", "fisher", "amnesiac", "delete", "spotter")


def curves(found: Metrics) -> Figure:
    """Figure 7 as cumulative curves: the share of the images whose entropy is no larger than a value, by model.

    Of the original, those of the test images as well: it is surer of what it was trained on.
    """
    results = {name: result for name, result in found.methods.items() if name not in NOT_DRAWN}
    edges = entropy_bins(len(found.dataset.classes))
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.6), sharey=True, layout="constrained")
    named = {"forget": "forgotten class", "remain": "remaining classes"}
    for axes, (side, titled) in zip(panels, named.items(), strict=True):
        for name, result in results.items():
            shares = result.entropy.histogram
            axes.plot(edges, _up_to(shares[f"{side}_train"]), color=colour(name), label=title(name), linewidth=1.8)
            if name == "original":
                dashed = _up_to(shares[f"{side}_test"])
                axes.plot(edges, dashed, "--", color=INK, linewidth=1.2, label="Original, test images")
        axes.set(title=titled, xlim=(0, edges[-1]), ylim=(0, 103), xlabel="entropy of the output, nats")
        axes.title.set_fontsize(11)
        axes.xaxis.label.set_fontsize(10)
        axes.tick_params(labelsize=10)
    panels[0].set_ylabel("images up to this entropy, %", fontsize=10)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=10, frameon=False
    )
    return figure


def _up_to(shares: Sequence[float]) -> list[float]:
    """The cumulative shares at the edges of the bins, in percent, from 0."""
    return [0.0, *itertools.accumulate(shares)]


def table(found: Metrics) -> Styler:
    """Mean entropy on each set in nats, and how far each model's distribution on D_f lies from Retrain's."""
    rows = {}
    for name, result in found.methods.items():
        measured, distance = result.entropy, result.entropy.distance_to_retrain
        rows[title(name)] = {
            **{f"mean on {set_title(part)}, nats": f"{measured.mean[part]:.2f}" for part in SPLITS},
            "Jensen-Shannon from Retrain, bits": number(distance.jensen_shannon if distance else None, ".2f"),
            "Wasserstein from Retrain, nats": number(distance.wasserstein if distance else None, ".2f"),
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
    "Random Labels raises the entropy of D_f further beyond Retrain's than Shrink does",
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
        "how much further the mean entropy of D_f lies above Retrain's after Random Labels than it lies off Retrain's, "
        "on either side, after Boundary Shrink",
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
            raise CannotTest(not_run("retrain"))
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
