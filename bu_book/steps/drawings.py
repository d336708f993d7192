"""Drawings of the toy's square: regions, points, arrows, frames, and an animation that works offline."""

import base64
import html
import io
import itertools
import json
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure

from bu_core.data import ForgetSplit, LabelledImages
from bu_core.models import Classifier

from ..style import SET_TITLES, as_figure, as_table, set_title, use_style
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
    pale = ListedColormap([tuple(1 - 0.35 * (1 - part) for part in to_rgb(colour)) for colour in COLOURS])
    axes.imshow(classes, origin="lower", extent=(0, 1, 0, 1), cmap=pale, vmin=0, vmax=len(COLOURS) - 1, alpha=0.9)
    centres = (np.arange(toy.GRID) + 0.5) / toy.GRID
    for label in np.unique(classes)[1:]:
        axes.contour(centres, centres, classes >= label, [0.5], colors="black", linewidths=0.8)
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


def frames(found: Sequence[Regions], data: LabelledImages, titles: Sequence[str]) -> Figure:
    """Up to five of the frames side by side, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(found) - 1, 5).round().astype(int))
    figure, axes = plt.subplots(1, len(chosen), figsize=(8, 8 / len(chosen) + 0.3), layout="constrained")
    for each, number in zip(axes, chosen, strict=True):
        draw(each, found[number], data, titles[number])
    return figure


_numbers = itertools.count()


def animation(found: Sequence[Regions], data: LabelledImages, titles: Sequence[str], label: str) -> HTML:
    """The frames as one picture with a slider and a button, which works offline and by keyboard.

    It moves when it is asked to, and never by itself. `label` tells those who cannot see it what it shows.
    """
    pictures = []
    for regions, title in zip(found, titles, strict=True):
        figure, axes = plt.subplots(figsize=(4, 4.3), layout="constrained")
        draw(axes, regions, data, title)
        kept = io.BytesIO()
        figure.savefig(kept, dpi=80)
        plt.close(figure)
        pictures.append(base64.b64encode(kept.getvalue()).decode())
    name = f"square-{label.split(maxsplit=1)[0].lower()}-{next(_numbers)}"
    sources = ",".join(f'"data:image/png;base64,{picture}"' for picture in pictures)
    spoken = json.dumps(list(titles))
    return HTML(
        f"""<div id="{name}" style="max-width:100%;text-align:center">
<img src="data:image/png;base64,{pictures[0]}" alt="{html.escape(f"{label}: {titles[0]}")}"
 style="max-width:100%;background:white">
<div style="display:flex;justify-content:center;gap:1em;align-items:center">
<button type="button">play</button>
<input type="range" min="0" max="{len(pictures) - 1}" value="0" aria-label="epoch"
 aria-valuetext="{html.escape(titles[0])}"></div>
<p>{html.escape(label)}. Press play, or move the slider.</p></div>
<script>(() => {{
  const frames = [{sources}], titles = {spoken}, label = {json.dumps(label)}, box = document.getElementById("{name}");
  const image = box.querySelector("img"), slider = box.querySelector("input"), button = box.querySelector("button");
  let timer = null;
  const show = () => {{
    image.src = frames[slider.value];
    image.alt = label + ": " + titles[slider.value];
    slider.setAttribute("aria-valuetext", titles[slider.value]);
  }};
  const stop = () => {{ clearInterval(timer); timer = null; button.textContent = "play"; }};
  slider.addEventListener("input", () => {{ stop(); show(); }});
  button.addEventListener("click", () => {{
    if (timer) return stop();
    if (slider.value == slider.max) slider.value = 0;
    button.textContent = "stop";
    timer = setInterval(() => {{
      if (slider.value == slider.max) return stop();
      slider.value = Number(slider.value) + 1; show();
    }}, 500);
    show();
  }});
}})();</script>"""
    )


def accuracies(models: Mapping[str, Classifier], split: ForgetSplit) -> HTML:
    """Percent right on the four sets, one row a model."""
    rows = {
        name: {f"{set_title(part)}, %": toy.accuracy(model, getattr(split, part)) for part in SET_TITLES}
        for name, model in models.items()
    }
    return table(pd.DataFrame.from_dict(rows, orient="index"), "{:.1f}")


def table(frame: pd.DataFrame, form: str) -> HTML:
    """Numbers in the look of the book's other tables."""
    return HTML(f'<div class="bu-block">{as_table(frame).format(form).to_html()}</div>')


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
