"""Neighbours: is one large step enough to find the nearest class? Claim 14 (section 4.1, appendix).

Equation 2 takes one step (FGSM) of size epsilon; the alternative takes several smaller ones (PGD) within the same
distance. The paper holds that one large step is enough, and refers to an appendix for the evidence. What decides is the
outcome: what Boundary Shrink leaves of D_f with the labels of each search. Two searches may disagree on many labels,
and the model forget as much with either. The labels explain it: both search at every epsilon of a grid, and it is
counted how many images cross a boundary and which labels are found.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from torch import Tensor

from bu_core import measures
from bu_core.data import SPLITS, LabelledImages
from bu_core.experiment.environment import Environment
from bu_core.experiment.experiment import Experiment, outputs
from bu_core.experiment.measurement import measurement
from bu_core.experiment.record import NotRecorded
from bu_core.models import Classifier
from bu_core.training import Precision, Stopwatch
from bu_core.unlearning.boundary_shrink import crossed_logits, nearest_incorrect

from ..claims import Bounds, CannotTest, Check, Effect, Evidence, about_one_class, at_least, claim, needs
from ..measured.released import STEP, Differences, differences
from ..paper import ranking_step
from ..replicates import over, seen
from ..style import GREY, PAPER, as_table, in_figure, number, set_title

EPSILON_GRID = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)  # in pixel units


@dataclass(frozen=True)
class Look:
    """How a search is called and drawn."""

    title: str
    colour: str
    dash: str


SEARCHES = {"fgsm": Look("one step (FGSM)", "#0072B2", "-"), "pgd": Look("several steps (PGD)", "#D55E00", "--")}


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SearchResult:
    """What a search finds for each of N images at each of E epsilons, from none upwards; int64, (E, N), on the CPU.

    `named`: the class that the model gives the cross sample; `label`: y_nbi, the nearest but incorrect one.
    """

    named: Tensor
    label: Tensor


@dataclass(frozen=True)
class NeighbourSearch:
    """What both searches find, and the `seconds` that each took at each epsilon, which belong to the `environment`."""

    fgsm: SearchResult
    pgd: SearchResult
    seconds: dict[str, list[float]]
    environment: Environment


@dataclass(frozen=True)
class SearchSummary:
    """Of one search, at each epsilon, in percent of the images that the model names rightly.

    `crossed`: on how many it names another class at the cross sample. `labels`: how many are given each class, (E, K).
    `met_first`: how many are given the class that `first_met` found for them, of those that it found one for.
    """

    crossed: list[float]
    labels: list[list[float]]
    met_first: list[float]


@dataclass(frozen=True)
class Comparison:
    """Both searches on the images that the model names rightly as they are; the others need no search.

    `images`: how many these are; where there are none, percentages are NaN. `searches`: of each by its name.
    `agreement`: how many images get the same label from both, in percent, at each epsilon. `any_met`: how many meet
    another class at all, in percent; `met`: how many of those meet each class first, (K,).
    """

    images: int
    searches: dict[str, SearchSummary]
    agreement: list[float]
    any_met: float
    met: list[float]


@dataclass(frozen=True)
class Outcome:
    """Boundary Shrink with the labels of one search: its `accuracy` on each set in percent.

    `like_retrain`: the share of D_f, in percent, that gets the class that Retrain gives it; None without Retrain.
    """

    accuracy: dict[str, float]
    like_retrain: float | None


@dataclass(frozen=True)
class Neighbours:
    """All that this chapter shows of a run.

    `images`: how many forgetting images were searched. `epsilons`: the grid; `epsilon`: that of Boundary Shrink in this
    run, which is on it. By search: `steps`; `seconds`, the median of a search of those images, on the machine in
    `environment`; `outcomes`, None for a Boundary Shrink that diverged.
    """

    classes: list[str]
    images: int
    epsilons: list[float]
    epsilon: float
    comparison: Comparison
    steps: dict[str, int]
    seconds: dict[str, float]
    outcomes: dict[str, Outcome | None]
    environment: Environment

    @property
    def own(self) -> int:
        """Which of `epsilons` is the run's own."""
        return self.epsilons.index(self.epsilon)

    @property
    def times_as_long(self) -> float:
        """The seconds of the search in several steps, in those of the search in one."""
        return self.seconds["pgd"] / self.seconds["fgsm"]


def measure(experiment: Experiment) -> Neighbours:
    """Both searches of a run, and what Boundary Shrink makes of their labels."""
    settings, classes = experiment.config.unlearning["boundary_shrink"], experiment.dataset.classes
    walks, epsilons = walks_of(settings), grid(settings["epsilon"])
    found = neighbour_search(experiment, walks, epsilons)
    labels = experiment.outputs("original")["forget_train"].labels[experiment.sample("forget_train")]
    return Neighbours(
        classes=list(classes),
        images=len(labels),
        epsilons=epsilons,
        epsilon=settings["epsilon"],
        comparison=compared({"fgsm": found.fgsm, "pgd": found.pgd}, labels, len(classes)),
        steps={name: int(steps) for name, (steps, _) in walks.items()},
        seconds={name: statistics.median(runs) for name, runs in found.seconds.items()},
        outcomes={name: _outcome(experiment, name) for name in walks},
        environment=found.environment,
    )


def walks_of(settings: Mapping[str, Any]) -> dict[str, list[float]]:
    """Of each search, the number of steps and the size of one as a share of epsilon, by Boundary Shrink's settings."""
    return {"fgsm": [1, 1.0], "pgd": [settings["steps"], settings["step_size"]]}


def grid(epsilon: float) -> list[float]:
    """EPSILON_GRID, with the epsilon of Boundary Shrink on it."""
    return sorted({*EPSILON_GRID, epsilon})


@measurement(of=("original",), sampled=True, timed=True)
def neighbour_search(experiment: Experiment, walks: dict[str, list[float]], epsilons: list[float]) -> NeighbourSearch:
    """What the searches with these `walks` (`walks_of`) find for forgetting images on the original."""
    model, data = experiment.model("original"), experiment.sampled("forget_train")
    found, seconds = searched(model, data, experiment.precision, walks, epsilons)
    return NeighbourSearch(found["fgsm"], found["pgd"], seconds, experiment.environment)


def searched(
    model: Classifier,
    data: LabelledImages,
    precision: Precision,
    walks: Mapping[str, Sequence[float]],
    epsilons: Sequence[float],
) -> tuple[dict[str, SearchResult], dict[str, list[float]]]:
    """What each search finds at each of `epsilons`, and the seconds that it took each time."""
    device = data.images.device
    crossed_logits(model, data, 0.0, precision)  # a throw-away search, so that the first one does not pay for all
    named: dict[str, list[Tensor]] = {name: [] for name in walks}
    labels: dict[str, list[Tensor]] = {name: [] for name in walks}
    seconds: dict[str, list[float]] = {name: [] for name in walks}
    for epsilon in epsilons:
        for name, (steps, step_size) in walks.items():
            with Stopwatch(device) as watch:
                logits = crossed_logits(model, data, epsilon, precision, int(steps), step_size)
                label = nearest_incorrect(logits, data.labels)
            seconds[name].append(watch.seconds)
            named[name].append(logits.argmax(1).cpu())
            labels[name].append(label.cpu())
    return {name: SearchResult(torch.stack(named[name]), torch.stack(labels[name])) for name in walks}, seconds


def compared(found: Mapping[str, SearchResult], labels: Tensor, classes: int) -> Comparison:
    """What the searches `fgsm` and `pgd` found; `labels`: the true classes, int64, (N,); `classes`: how many there are.

    The class met first is that of PGD, the finer search.
    """
    right = found["fgsm"].named[0] == labels
    met = first_met(found["pgd"].named[:, right], labels[right])
    known = met >= 0
    searches = {
        name: SearchSummary(
            crossed=_percent(result.named[:, right] != labels[right]),
            labels=[_shares(row, classes) for row in result.label[:, right]],
            met_first=_percent(result.label[:, right][:, known] == met[known]),
        )
        for name, result in found.items()
    }
    return Comparison(
        images=int(right.sum()),
        searches=searches,
        agreement=_percent(found["fgsm"].label[:, right] == found["pgd"].label[:, right]),
        any_met=100 * known.double().mean().item(),
        met=_shares(met[known], classes),
    )


def first_met(named: Tensor, labels: Tensor) -> Tensor:
    """The first class other than its own that an image meets as epsilon grows: int64, (N,); -1 where it meets none.

    `named`: the class at the cross sample for each epsilon, from none upwards, int64, (E, N); `labels`: int64, (N,).
    With a fine search and a fine grid this is the nearest class as well as it can be known.
    """
    crossed = named != labels
    first = crossed.int().argmax(0)  # of equal values, argmax gives the first
    return torch.where(crossed.any(0), named.gather(0, first[None])[0], -1)


def _percent(holds: Tensor) -> list[float]:
    """Share of the images, in percent, for each row of (E, N)."""
    return (100 * holds.double().mean(1)).tolist()


def _shares(labels: Tensor, classes: int) -> list[float]:
    return (100 * torch.bincount(labels, minlength=classes).double() / max(1, len(labels))).tolist()


def _outcome(experiment: Experiment, search: str) -> Outcome | None:
    """What Boundary Shrink makes of the labels of one search."""
    found = outputs(experiment.with_settings("boundary_shrink", search=search), "boundary_shrink")
    if found.diverged:
        return None
    retrain = outputs(experiment, "retrain").forget_train if "retrain" in experiment.sound else None
    return Outcome(
        accuracy={part: measures.accuracy(getattr(found, part)) for part in SPLITS},
        like_retrain=measures.agreement(found.forget_train, retrain) if retrain else None,
    )


# --- figures and tables -------------------------------------------------------------------------------------------


def crossing(found: Neighbours) -> Figure:
    """By epsilon: how many images cross a boundary (left), and which labels agree (right)."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 4), sharex=True, sharey=True, layout="constrained")
    for name, look in SEARCHES.items():
        marks: dict[str, Any] = {"color": look.colour, "linestyle": look.dash, "marker": "o", "markersize": 4}
        result = found.comparison.searches[name]
        panels[0].plot(found.epsilons, result.crossed, label=look.title, **marks)
        panels[1].plot(found.epsilons, result.met_first, label=f"{look.title}: the class met first", **marks)
    panels[1].plot(found.epsilons, found.comparison.agreement, color=GREY, linestyle=":", label="both the same class")
    for axes, heading in zip(panels, ("images that cross a boundary", "images whose label is …"), strict=True):
        axes.axvline(found.epsilon, color=GREY, linewidth=1)
        axes.set(title=heading, xlabel=r"step size $\epsilon$, in pixel units", ylim=(-3, 103))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=9, frameon=False)
    panels[0].set_ylabel("share of the images, %")
    return figure


def labels_found(found: Neighbours) -> Figure:
    """Which labels each search finds at each epsilon: the share of the images that is given each class."""
    names = [in_figure(name) for name in found.classes]
    sizes = [f"{epsilon:g}" for epsilon in found.epsilons]
    figure, panels = plt.subplots(1, 2, figsize=(8, 0.34 * len(sizes) + 1.6), sharey=True, layout="constrained")
    for axes, (name, look) in zip(panels, SEARCHES.items(), strict=True):
        frame = pd.DataFrame(found.comparison.searches[name].labels, index=sizes, columns=names)
        sns.heatmap(
            frame, annot=True, fmt=".0f", annot_kws={"fontsize": 9}, cmap="cividis", vmin=0, vmax=100, linewidths=0.5,
            linecolor=PAPER, ax=axes, cbar=axes is panels[1], cbar_kws={"label": "share of the images, %"},
        )  # fmt: skip
        axes.set(title=look.title, xlabel="label found")
        axes.tick_params(axis="x", rotation=90 if max(map(len, names)) > 2 else 0)
        axes.tick_params(axis="y", rotation=0)
    panels[0].set_ylabel(r"step size $\epsilon$")
    return figure


def search_table(found: Neighbours) -> Styler:
    """What each search costs, and what Boundary Shrink makes of its labels."""
    rows = {}
    for name, look in SEARCHES.items():
        outcome = found.outcomes[name]
        rows[look.title] = {
            "steps": str(found.steps[name]),
            "time, in that of one step": f"{found.seconds[name] / found.seconds['fgsm']:.1f}",
            **{f"{set_title(part)}, %": number(outcome.accuracy[part] if outcome else None) for part in SPLITS},
            "<i>D</i><sub>f</sub> given Retrain's class, %": number(outcome.like_retrain if outcome else None),
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


def at_own_epsilon(found: Neighbours) -> dict[str, str]:
    """The outcome and the key numbers at the run's own epsilon: a column of the comparison of runs."""
    one, several = (found.comparison.searches[name] for name in SEARCHES)
    outcome = {
        f"{set_title('forget_train')} left with the labels of {look.title}, %": number(
            made.accuracy["forget_train"] if (made := found.outcomes[name]) else None
        )
        for name, look in SEARCHES.items()
    }
    return {f"<b>{row}</b>": f"<b>{value}</b>" for row, value in outcome.items()} | {
        "step size epsilon of the run": f"{found.epsilon:g}",
        "images that one step takes across a boundary, %": f"{one.crossed[found.own]:.1f}",
        "images that several steps take across, %": f"{several.crossed[found.own]:.1f}",
        "images that get the same label from both, %": f"{found.comparison.agreement[found.own]:.1f}",
        "images that one step gives the class met first, %": f"{one.met_first[found.own]:.1f}",
        "several steps take, times as long": f"{found.times_as_long:.1f}",
    }


# --- the smaller differences from the released code ---------------------------------------------------------------


def smaller_differences(experiment: Experiment) -> Differences:
    """What they change on the original of a run; CannotTest on other data than CIFAR-10, which that code is for."""
    about_one_class(experiment)
    if experiment.dataset.name != "cifar10":
        raise CannotTest("the released code is for CIFAR-10")
    return differences(experiment)


def first_steps(found: Differences) -> dict[str, str]:
    """What each difference changes, by what it is: a column of the comparison of runs."""
    forget, step = set_title("forget_train"), f"a step of {STEP:g}"
    return {
        f"{forget} that does not cross with {step} in pixels, %": f"{found.stay:.1f}",
        f"{forget} that does not cross with {step} as the released code takes it, %": f"{found.stay_there:.1f}",
        "the gradient of Expanding's first step in evaluation mode, in lengths of that in training mode": (
            f"{found.first_batch:.1f}"
        ),
        "how far that gradient moves with the released code's shadow neuron, in percent of its length": (
            f"{found.shadow:.1f}"
        ),
        f"{forget} whose second likeliest class is the one that the step finds, %": f"{found.runner_up:.1f}",
    }


# --- claim --------------------------------------------------------------------------------------------------------


@claim(
    14, "section 4.1, appendix", "One large step is enough to find the neighbours.",
    "One step does as well as several",
)  # fmt: skip
def one_step_is_enough(experiment: Experiment) -> Evidence:
    """How much more Boundary Shrink leaves of D_f with the labels of one step than with those of several."""
    needs(experiment, "boundary_shrink")

    values = over(experiment, lambda run: left(run, "fgsm") - left(run, "pgd"))
    step = ranking_step(experiment.dataset.name)
    effect = Effect(
        "what Boundary Shrink leaves of D_f with one step, minus what it leaves with several",
        "points",
        values.found,
        Bounds(-step, step, "closer than the two methods that Table 1 ranks next to each other on D_f"),
        "no difference",
        missing=values.missing,
    )
    return Evidence([effect], lambda: checks(measure(experiment)))


def left(run: Experiment, search: str) -> float:
    """The accuracy on D_f in percent that Boundary Shrink leaves in a replicate, with the labels of a search."""
    made = run.with_settings("boundary_shrink", search=search)
    try:
        return seen(made, "boundary_shrink").accuracy["forget_train"]
    except NotRecorded as reason:  # an older record has of this model what it says, and nothing that was made of it
        if (found := outputs(made, "boundary_shrink")).diverged:
            raise CannotTest("boundary_shrink diverged") from reason
        return measures.accuracy(found.forget_train)


def checks(found: Neighbours) -> list[Check]:
    """The secondary checks of claim 14."""
    crossed, agreement = found.comparison.searches["fgsm"].crossed, found.comparison.agreement
    return [
        at_least("the share of images that one step takes across a boundary", crossed[found.own], 90),
        at_least("the share of images that one step and several give the same label", agreement[found.own], 90),
        Check(
            "one step is faster than several",
            f"{found.times_as_long:.2f} times as fast",
            found.seconds["fgsm"] < found.seconds["pgd"],
        ),
    ]
