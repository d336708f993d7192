"""Drawings of the toy's square: regions, points, arrows, frames, and squares that a reader moves."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure

from bu_core.audits.reestimation import reestimated
from bu_core.data import ForgetSplit, LabelledImages
from bu_core.models import Classifier
from bu_core.unlearning import UnlearningTask

from ..movable import movable
from ..style import INK, SET_TITLES, as_figure, as_svg, as_table, set_title, use_style
from . import toy

use_style()  # whoever draws the square draws it in the book's look

# Wong's palette, as for the methods; the middle, which is to be forgotten, is dark. The sixth is the shadow class's.
COLOURS = ("#4d4d4d", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#f0e442")
MARKERS = ("o", "s", "^", "D", "v")
SIZES = (12, 12, 22, 12, 22)  # a triangle of one area looks smaller

Regions = tuple[np.ndarray, np.ndarray]


def show(figure: Figure, *, caption: str, alt: str) -> HTML:
    """A figure with its caption, plain text; `alt` tells those who cannot see it what it shows."""
    return HTML(f'<div class="bu-block">{as_figure(figure, caption, alt)}</div>')


def draw(axes: Axes, regions: Regions, data: LabelledImages | None = None, title: str = "") -> None:
    """The regions of a model, pale, with the borders between them, and points in the colours of their labels."""
    classes, _ = regions
    pale = ListedColormap([(*to_rgb(colour), 0.4) for colour in COLOURS])  # on white and on black alike
    axes.imshow(
        classes, origin="lower", extent=(0, 1, 0, 1), cmap=pale, vmin=0, vmax=len(COLOURS) - 1, interpolation="nearest"
    )
    centres = (np.arange(toy.GRID) + 0.5) / toy.GRID
    for label in np.unique(classes)[1:]:
        axes.contour(centres, centres, classes >= label, [0.5], colors=INK, linewidths=0.8)
    if data is not None:
        for label in data.labels.unique().tolist():
            found = toy.places(data[data.labels == label])
            axes.scatter(
                found[:, 0],
                found[:, 1],
                s=SIZES[label],
                color=COLOURS[label],
                marker=MARKERS[label],
                edgecolors="white",
                linewidths=0.3,
            )
    axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    axes.set_title(title, fontsize=10)
    axes.grid(visible=False)


def panels(drawn: Mapping[str, tuple[Classifier, LabelledImages]]) -> Figure:
    """Models side by side, by title, each with the points that it is looked at with."""
    figure, axes = plt.subplots(1, len(drawn), figsize=(8, 8 / max(2, len(drawn)) + 0.3), layout="constrained")
    for each, (title, (model, data)) in zip(np.atleast_1d(axes), drawn.items(), strict=True):
        draw(each, toy.regions(model), data, title)
    return figure


def confidence(model: Classifier, data: LabelledImages) -> Figure:
    """The regions, and how sure the model is of them."""
    found = toy.regions(model)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.9), layout="constrained")
    draw(left, found, data, "the class that is given")
    image = right.imshow(found[1], origin="lower", extent=(0, 1, 0, 1), cmap="cividis", vmin=0, vmax=1)
    right.set(xticks=[], yticks=[])
    right.set_title("its probability", fontsize=10)
    right.grid(visible=False)
    figure.colorbar(image, ax=right, shrink=0.85)
    return figure


def arrows(model: Classifier, data: LabelledImages, crossed: torch.Tensor, labels: torch.Tensor) -> Figure:
    """From each point to its cross sample, (N, 2, 1, 1) in [0, 1], in the colour of the label that is found there."""
    figure, axes = plt.subplots(figsize=(5.2, 5.2), layout="constrained")
    draw(axes, toy.regions(model))
    start, end = toy.places(data), crossed[:, :, 0, 0].numpy()
    for label in labels.unique().tolist():
        chosen = (labels == label).numpy()
        axes.quiver(
            *start[chosen].T, *(end - start)[chosen].T, color=COLOURS[label], angles="xy", scale_units="xy", scale=1,
            width=0.004,
        )  # fmt: skip
    axes.scatter(
        start[:, 0], start[:, 1], s=14, color=COLOURS[toy.FORGOTTEN], edgecolors="white", linewidths=0.4, zorder=3
    )
    return figure


def by_step_size(found: Mapping[float, Mapping[str, float]]) -> Figure:
    """By step size: the share of points that cross, and that get the label of the nearest region, in percent."""
    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for name, style, text in (
        ("crossed", "o-", "cross a border"),
        ("nearest", "s--", "get the label of the nearest region"),
    ):
        axes.plot(list(found), [entry[name] for entry in found.values()], style, label=text)
    axes.legend(loc="lower right", fontsize=9)
    axes.set(xlabel="step size $\\epsilon$", ylabel="% of the points", ylim=(0, 108))
    return figure


def frames(models: Sequence[Classifier], data: LabelledImages, titles: Sequence[str]) -> Figure:
    """Up to five of the models side by side, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(models) - 1, 5).round().astype(int))
    return panels({titles[number]: (models[number], data) for number in chosen})


# --- figures that move --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slider:
    """A slider of a figure that moves: its `label`, its `values` as text, and the number of the one it starts at."""

    label: str
    values: Sequence[str]
    start: int = 0


def moving(
    models: Sequence[Classifier], data: LabelledImages, titles: Sequence[str], *, caption: str, still: Figure
) -> HTML:
    """The regions of models one after the other, with a slider and a button; `titles` tell of each."""
    sliders = [Slider("Epoch", [str(number) for number in range(len(models))])]
    return _square([toy.frame(model) for model in models], data, titles, sliders, caption, still)


def _square(
    frames: Sequence[str],
    data: LabelledImages,
    told: Sequence[str],
    sliders: Sequence[Slider],
    caption: str,
    still: Figure,
) -> HTML:
    """A square that moves: a frame, and what is told of it, for each place of the sliders, the last the fastest."""
    marks = np.rint(255 * toy.places(data)).astype(int)
    content = {
        "label": "The regions",
        "colours": COLOURS,
        "points": [[*mark, label] for mark, label in zip(marks.tolist(), data.labels.tolist(), strict=True)],
        "sliders": [asdict(slider) for slider in sliders],
        "frames": frames,
        "told": told,
    }
    return movable("square", content, as_svg(still, caption), caption)


EPSILONS = (0.05, 0.15, 0.3)
RATES = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03)
EPOCHS = (0, 1, 3, 6, 10)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def playground(task: UnlearningTask, *, caption: str) -> HTML:
    """Boundary Shrink with sliders for the search, the learning rate, the epochs, and the share of the drift.

    Each fit is in training mode. The share says how far the statistics that the network is read with have followed.
    """
    split, original = task.split, task.original
    frames, told = [], []
    for epsilon, lr in itertools.product(EPSILONS, RATES):
        models = toy.epochs_of(task, "boundary_shrink", epsilon=epsilon, lr=lr, epochs=max(EPOCHS))
        for model in (models[epoch] for epoch in EPOCHS):
            again = toy.accuracy(reestimated(model, split.remain_train.images, "fp32"), split.forget_train)
            for share in SHARES:
                seen = toy.drifted(model, original, share)
                forget, remain = (toy.accuracy(seen, part) for part in (split.forget_train, split.remain_train))
                frames.append(toy.frame(seen))
                told.append(
                    f"Middle: {forget:.0f} % recognised, {again:.0f} % after re-estimation. Others: {remain:.0f} %."
                )
    sliders = [
        Slider("Step size ε", [f"{epsilon:g}" for epsilon in EPSILONS], 1),
        Slider("Learning rate", [f"{lr:g}" for lr in RATES], 2),
        Slider("Epochs", [str(epoch) for epoch in EPOCHS], len(EPOCHS) - 1),
        Slider("Share of the drift", [f"{share:.0%}" for share in SHARES], len(SHARES) - 1),
    ]
    shrunk = toy.epochs_of(task, "boundary_shrink", epsilon=EPSILONS[1], lr=RATES[2], epochs=max(EPOCHS))[-1]
    back = reestimated(shrunk, split.remain_train.images, "fp32")
    still = panels({"Boundary Shrink": (shrunk, split.forget_train), "re-estimated": (back, split.forget_train)})
    return _square(frames, split.forget_train, told, sliders, caption, still)


def accuracies(models: Mapping[str, Classifier], split: ForgetSplit) -> HTML:
    """Percent right on the four sets, one row a model."""
    rows = {
        name: {f"{set_title(part)}, %": toy.accuracy(model, getattr(split, part)) for part in SET_TITLES}
        for name, model in models.items()
    }
    return table(pd.DataFrame.from_dict(rows, orient="index"))


def table(frame: pd.DataFrame, form: str = "") -> HTML:
    """Numbers in the look of the book's other tables: percentages with one decimal, other columns as `form` says."""
    forms: dict[Any, Any] = {column: "{:.1f}" if column.endswith("%") else form for column in frame.columns}
    return HTML(f'<div class="bu-block">{as_table(frame).format(forms).to_html()}</div>')


def entropies(found: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Histograms of the entropy of the outputs, by model and set: what a membership attack sees."""
    figure, axes = plt.subplots(1, len(found), figsize=(8, 3), sharey=True, layout="constrained")
    edges = np.linspace(0, np.log(len(toy.CLASSES)), 16)
    for each, (title, sets) in zip(axes, found.items(), strict=True):
        for name, values in sets.items():
            each.hist(values, edges, histtype="step", linewidth=1.8, label=name, density=True)
        each.set(xlabel="entropy, nats")
        each.set_title(title, fontsize=10)
    axes[0].set_ylabel("density")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9, frameon=False)
    return figure
