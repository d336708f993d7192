"""Figures that a reader moves: what `book/_static/movable.js` draws, as data, and the still picture in their place.

Without the script, as in a notebook's editor or on paper, the still picture is all there is. So it shows the frame that
says most.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure

from bu_core.audits.reestimation import reestimated
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.experiment.metrics import evaluation
from bu_core.experiment.record import NotRecorded
from bu_core.measures import accuracy, shares

from .claims import about_one_class
from .measured.mechanism import recovered
from .style import GREY, INK, as_svg, in_figure, sets_named, title
from .variations import REESTIMATED_ON, most_images

if TYPE_CHECKING:  # the steps move squares, and need no chapter
    from .chapters.decision_space import DecisionSpace
    from .page import Found

Result = TypeVar("Result")

MAP_SIDE = 1000  # a map's points are whole numbers from 0 to this


def movable(kind: str, data: Mapping[str, Any], still: str, caption: str) -> HTML:
    """A figure that moves. `still`: HTML of what stands there without the script; `caption`: plain text."""
    # A "<" in a name must not end the script.
    content = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return HTML(
        f'<div class="bu-block"><div class="movable" data-movable="{kind}"><div class="movable-still">{still}</div>'
        f'<script type="application/json">{content}</script></div>'
        f'<p class="movable-caption">{sets_named(caption)}</p></div>'
    )


def of_own_run(draw: Callable[[Result], HTML], found: "Found[Result]") -> HTML:
    """The figure of a page's own run; where that is not recorded, a sentence that says so."""
    if found.own is None:
        return HTML(f"<p><em>{found.why_not_own}</em></p>")
    return draw(found.own)


# --- does it come back? -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GivenClasses:
    """What a model takes D_f for: `shares`, the percent of it that gets each class; `accuracy` on unseen images of the
    other classes (D_rt), in percent."""

    shares: list[float]
    accuracy: float


@measurement(of=())
def given_classes(experiment: Experiment, model: str, images: int) -> GivenClasses:
    """What a model takes D_f for, once BatchNorm's statistics were estimated anew on `images` of D_r."""
    again = reestimated(experiment.model(model), experiment.remaining(images), experiment.precision)
    sets = {part: getattr(experiment.split, part) for part in ("forget_train", "remain_test")}
    said = experiment.answers(again, sets)
    return GivenClasses(shares(said["forget_train"]), accuracy(said["remain_test"]))


@dataclass(frozen=True)
class Shown:
    """A model after re-estimation on so many remaining `images`, 0 for as its method left it, in percent.

    `recognised`: of D_f. `others`: the accuracy on D_rt. `shares`: of D_f by the class that is given. None where that
    is not recorded.
    """

    images: int
    recognised: float
    others: float | None
    shares: list[float] | None


@dataclass(frozen=True)
class ComesBack:
    """The models of a run that did not diverge, by name, each from no image shown to the most of `counts`."""

    classes: list[str]
    forget_class: int
    counts: list[int]
    models: dict[str, list[Shown]]


def coming_back(experiment: Experiment) -> ComesBack:
    """What each model takes the class for, the more remaining images re-estimation sees, as far as it is recorded.

    A model of which the counts are not all recorded is left out. Raises CannotTest for a run that forgets anything else
    than one class.
    """
    about_one_class(experiment)
    most = most_images(experiment)
    counts = [*sorted(count for count in REESTIMATED_ON if count < most), most]
    models = {}
    for name in experiment.sound:
        said = experiment.outputs(name)
        before = shares(said["forget_train"])
        own = before[int(experiment.config.forget_class)]
        try:
            after = [_after(experiment, name, count, most) for count in counts]
        except NotRecorded:
            continue
        models[name] = [Shown(0, own, accuracy(said["remain_test"]), before), *after]
    if not models:
        raise NotRecorded("what each model answers after re-estimation")
    return ComesBack(list(experiment.dataset.classes), int(experiment.config.forget_class), [0, *counts], models)


def _after(experiment: Experiment, name: str, count: int, most: int) -> Shown:
    """A model after re-estimation: with every class where that is recorded, else with its own alone."""
    try:
        made = given_classes(experiment, name, count)
        return Shown(count, made.shares[int(experiment.config.forget_class)], made.accuracy, made.shares)
    except NotRecorded:
        if count == most:
            found = evaluation(experiment, name, count).accuracy
            return Shown(count, found["forget_train"], found["remain_test"], None)
        return Shown(count, recovered(experiment, name, count).accuracy["forget_train"], None, None)


def comes_back(data: ComesBack) -> HTML:
    """A list of models and a slider of images shown; what the model takes the forgotten class for follows."""
    names = list(data.models)
    start = names.index("boundary_shrink") if "boundary_shrink" in names else 0
    content = {
        "classes": data.classes,
        "forgotten": data.forget_class,
        "of": data.classes[data.forget_class],
        "counts": [f"{count:,}" for count in data.counts],
        "models": [
            {"name": title(name), "shown": [vars(_rounded(each)) for each in states]}
            for name, states in data.models.items()
        ],
        "start": start,
    }
    first, last = data.models[names[start]][0], data.models[names[start]][-1]
    alt = (
        f"{title(names[start])} recognises {first.recognised:.1f} % of D_f as the method left it, and "
        f"{last.recognised:.1f} % after {last.images:,} remaining images"
    )
    still = as_svg(_recognised(title(names[start]), data.models[names[start]]), alt)
    return movable("answers", content, still, "Choose a model, and move the slider: no weight changes.")


def _rounded(state: Shown) -> Shown:
    others = None if state.others is None else round(state.others, 2)
    given = None if state.shares is None else [round(share, 2) for share in state.shares]
    return Shown(state.images, round(state.recognised, 2), others, given)


def _recognised(name: str, states: Sequence[Shown]) -> Figure:
    """How much of the class a model recognises, a bar for each number of remaining images."""
    figure, axes = plt.subplots(figsize=(7, 0.5 * len(states) + 1), layout="constrained")
    bars = axes.barh([f"{state.images:,} images" for state in states], [state.recognised for state in states])
    axes.bar_label(bars, fmt="%.1f %%", padding=4, color=INK)
    axes.set(xlim=(0, 115), xlabel="recognised of $D_f$, %", title=name)
    axes.invert_yaxis()
    return figure


# --- decision space -----------------------------------------------------------------------------------------------


def travel(space: "DecisionSpace") -> HTML:
    """The map of the decision space; the same images travel from model to model, as many of D_f as of another class."""
    order = [name for name in ("original", "boundary_shrink", "boundary_expanding", "retrain") if name in space.models]
    start = order.index("boundary_shrink") if "boundary_shrink" in order else 0
    some = slice(0, int(space.labels.bincount().max()))
    corners = np.concatenate([part.numpy() for model in space.models.values() for part in vars(model.points).values()])
    lowest, size = corners.min(0), np.ptp(corners, axis=0).max() or 1

    def placed(points: Any) -> list[list[int]]:
        return np.rint((points.numpy() - lowest) / size * MAP_SIDE).astype(int).tolist()

    models, taken_for = [], space.forgotten if len(space.forget_classes) == 1 else "their own class"
    for name in order:
        model = space.models[name]
        own = 100 * (model.answers[some] == space.own[some]).double().mean().item()
        models.append(
            {
                "name": title(name),
                "remain": placed(model.points.remain),
                "forget": placed(model.points.forget[some]),
                "answers": model.answers[some].tolist(),
                "told": f"{title(name)}: {own:.0f} % of the circles are still taken for {taken_for}.",
            }
        )
    palette = ["currentColor" if each == INK else each for each in space.colours]
    content = {
        "label": "Map of the last features",
        "classes": space.classes,
        "forgotten": list(space.forget_classes),
        "labels": space.labels.tolist(),
        "own": space.own[some].tolist(),
        "colours": palette,
        "models": models,
        "start": start,
    }
    alt = f"Map of the last features. {models[start]['told']}"
    caption = (
        "The same images in each model. Dots: samples of D_r, in the colour of their class. Circles: as many of D_f as "
        "there are of the largest other class, in the colour of the class that the model gives them."
    )
    return movable("points", content, as_svg(_map(content, start), alt), caption)


def _map(content: Mapping[str, Any], number: int) -> Figure:
    """One frame of the map that travels."""
    colours = [INK if each == "currentColor" else each for each in content["colours"]]
    model = content["models"][number]
    figure, axes = plt.subplots(figsize=(5.6, 5.6), layout="constrained")
    remain, forget = np.array(model["remain"]), np.array(model["forget"]).reshape(-1, 2)
    axes.scatter(remain[:, 0], remain[:, 1], s=6, color=[colours[label] for label in content["labels"]], linewidths=0)
    axes.scatter(
        forget[:, 0], forget[:, 1], s=20, facecolors="none", edgecolors=[colours[label] for label in model["answers"]]
    )
    for label, name in enumerate(content["classes"]):
        whole = label in content["forgotten"]
        of = forget[np.array(content["own"]) == label] if whole else remain[np.array(content["labels"]) == label]
        if len(of):
            x, y = np.median(of, axis=0)
            axes.text(x, y, in_figure(name), ha="center", fontsize=9, fontweight="bold")
    axes.set(xticks=[], yticks=[], title=in_figure(model["name"]), aspect="equal")
    axes.spines[:].set_color(GREY)
    return figure
