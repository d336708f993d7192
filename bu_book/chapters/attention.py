"""Attention: where does a model look? Figure 5 and claim 11 (section 5.5).

Grad-CAM (Selvaraju et al. 2017) takes the maps of one layer, weights each by the mean gradient of one class's logit,
adds them up and cuts what is negative. The paper shows such maps, and names neither the layer nor the class, so the
choices here are ours:

- **The class** is the one that the model itself puts first (`predicted`): the map then shows what its answer rests on,
  also in a model that no longer gives the true class. The map for the true class (`true`) is measured beside it.
- **The layer** is the deepest one whose maps still have 4x4 pixels (`layer`): the last one on CIFAR-10, and on the
  8x8 digits, where the last one has 2x2, the one before the second strided convolution.
  The faces have 64 pixels; at 128 the last one of their ResNet-18 has 4x4 (the profile `lfw-128`).
- **A number**: the share of a map that lies on the object, to be read against the share of the image that the object
  takes up, which is what a map without a preference would have.
- **The scale**: pytorch-grad-cam takes the least value of a map off before it divides by the largest. That raises the
  contrast of a map that is nowhere near 0, and with it the distance of its share from that of an even map. `map_floors`
  says how much there is to take off.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from torch import Tensor, nn

from bu_core.data import pixels
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.experiment.record import NotRecorded
from bu_core.models import Classifier
from bu_core.results import Estimate

from ..claims import Bounds, CannotTest, Check, Effect, Evidence, above, claim, needs
from ..replicates import over
from ..style import GREY, PAPER, SET_TITLES, as_table, colour, set_title, title, with_ends

FIGURE_5_MODELS = ("original", "retrain", "boundary_shrink", "boundary_expanding")
SMALLEST_MAP = 4  # pixels of height and width that a layer's maps need
# Half axes of the ellipse in the middle of an aligned image, such as LFW's, in which the face is, in shares of height
# and width; of the middle of such an image `data.faces` keeps 60 %.
FACE = (0.42, 0.32)
INK_LEVEL = 128  # of 255: the level from which a pixel of a scan counts as ink
RESAMPLINGS = 4000  # behind an interval
SINGLE_IMAGES = 8  # shown with their maps, where the data are at hand

Asked = Literal["predicted", "true"]  # the class that a map is for
ASKED_TITLES: dict[Asked, str] = {
    "predicted": "asked for the model's own answer",
    "true": "asked for the true class",
}


def constants() -> dict[str, Any]:
    """What decides a map beside the model and the images."""
    return {"method": "Grad-CAM", "smallest_map": SMALLEST_MAP, "ink": INK_LEVEL}


# --- what counts as the object ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Region:
    """Which pixels of an image count as the object.

    `masks` turns uint8 images, (N, C, H, W), into booleans, (N, H, W). `is_object` is False where nothing says which
    pixels show the object, and some pixels of the image stand in for it.
    """

    name: str
    is_object: bool
    masks: Callable[[Tensor], Tensor]


def ink(images: Tensor) -> Tensor:
    """The pixels of grey scans that are ink: at least INK_LEVEL of 255."""
    return images[:, 0] >= INK_LEVEL


def oval(images: Tensor) -> Tensor:
    """The pixels of each image inside FACE."""
    height, width = images.shape[-2:]
    rows, columns = ((torch.arange(length) + 0.5) / length - 0.5 for length in (height, width))
    inside = (rows[:, None] / FACE[0]) ** 2 + (columns[None] / FACE[1]) ** 2 <= 1
    return inside.expand(len(images), height, width)


def centre(images: Tensor) -> Tensor:
    """The middle half of the height and of the width: a quarter of each image."""
    height, width = images.shape[-2:]
    mask = torch.zeros(len(images), height, width, dtype=torch.bool)
    mask[:, height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return mask


REGIONS = {
    region.name: region
    for region in (Region("ink", True, ink), Region("face", True, oval), Region("centre", False, centre))
}
# By data set, the name of the region that shows the object. Of all others, CIFAR-10 among them, nothing says where it
# is, and the centre stands in: objects are near it, but so is much else.
OBJECTS = {"digits": "ink", "faces": "face"}


def region_of(dataset: str) -> Region:
    """The region that counts as the object in a data set."""
    return REGIONS[OBJECTS.get(dataset, "centre")]


# --- Grad-CAM -----------------------------------------------------------------------------------------------------


def layer(model: Classifier, images: Tensor) -> tuple[nn.Module, tuple[int, int]]:
    """The stage of `model.body` that the maps are read from, and the height and width of its maps in pixels.

    It is the deepest stage whose maps are at least SMALLEST_MAP high and wide. `images`: floats in [0, 1].
    """
    large_enough: list[tuple[nn.Module, tuple[int, int]]] = []

    def note(stage: nn.Module, _: Any, output: Tensor) -> None:
        if output.ndim == 4 and min(output.shape[-2:]) >= SMALLEST_MAP:
            large_enough.append((stage, (output.shape[-2], output.shape[-1])))

    hooks = [stage.register_forward_hook(note) for stage in model.body.children()]
    try:
        with torch.no_grad():
            model.eval()(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return large_enough[-1]


def maps(model: Classifier, images: Tensor, classes: Tensor, batch_size: int = 100) -> Tensor:
    """Grad-CAM maps, float32, (N, H, W), of uint8 images, each for the class given for it, on the CPU.

    A map runs from 0 at its least to 1 at its most and has the size of the image; where nothing in the layer speaks
    for the class, it is 0 everywhere. Computed in float32, whatever the precision of training; the model is left as
    it was.
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    # Used as a context, GradCAM would swallow an IndexError from inside.
    cam = GradCAM(model, [layer(model, pixels(images[:1]))[0]])
    try:
        batches = [
            cam(pixels(batch), [ClassifierOutputTarget(index) for index in asked.tolist()])
            for batch, asked in zip(images.split(batch_size), classes.split(batch_size), strict=True)
        ]
    finally:
        cam.activations_and_grads.release()
        model.zero_grad(set_to_none=True)
    return torch.from_numpy(np.concatenate(batches)).float()


def floors(model: Classifier, images: Tensor, classes: Tensor, batch_size: int = 100) -> Tensor:
    """The least value of each Grad-CAM map over its largest, float64, (N,), 0 to 1, before anything is scaled.

    NaN for a map of zeros alone. `images`: uint8, (N, C, H, W); `classes`: that each map is for, int64, (N,).
    """
    stage, seen = layer(model, pixels(images[:1]))[0], dict[str, Tensor]()
    hook = stage.register_forward_hook(lambda _, given, output: seen.update(output=output))
    found = []
    try:
        for batch, asked in zip(images.split(batch_size), classes.split(batch_size), strict=True):
            logits = model(pixels(batch))
            (gradient,) = torch.autograd.grad(logits.gather(1, asked[:, None].to(logits.device)).sum(), seen["output"])
            weights = gradient.double().mean((2, 3), keepdim=True)
            single = (weights * seen["output"].detach().double()).sum(1).relu().flatten(1)
            found.append((single.amin(1) / single.amax(1)).cpu())
    finally:
        hook.remove()
    return torch.cat(found)


def share(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of each map that lies where its mask is true, in percent, float64, (N,); NaN for a map of zeros alone.

    `maps`: (N, H, W), not negative; `masks`: booleans, (N, H, W).
    """
    maps = maps.double()
    return 100 * (maps * masks).sum((1, 2)) / maps.sum((1, 2))


# --- what is kept of the maps of a model --------------------------------------------------------------------------


@dataclass(frozen=True)
class KeptMaps:
    """What is kept of the maps of a set of images for one class each: no single map.

    `share`: of each map, what lies on the object, in percent, float64, (N,), NaN for a blank map. `map`: the mean of
    all maps, float32, (H, W).
    """

    share: Tensor
    map: Tensor


@dataclass(frozen=True)
class AskedMaps:
    """What is kept of a set of images: maps for the class that the model puts first, and for the true class."""

    predicted: KeptMaps
    true: KeptMaps

    def of(self, asked: Asked) -> KeptMaps:
        """Those for one of the two classes."""
        return self.predicted if asked == "predicted" else self.true


@dataclass(frozen=True)
class AttentionMaps:
    """What is kept of a model's maps on D_f and D_r. `map_size`: height and width of the layer's maps, in pixels."""

    forget_train: AskedMaps
    remain_train: AskedMaps
    map_size: list[int]


def look(model: Classifier, images: Tensor, labels: Tensor, predicted: Tensor, region: Region) -> AskedMaps:
    """What is kept of the maps of uint8 images, (N, C, H, W).

    `labels` and `predicted`: the true class and the model's first, int64, (N,).
    """
    masks = region.masks(images.cpu())

    def kept(classes: Tensor) -> KeptMaps:
        single = maps(model, images, classes)
        return KeptMaps(share(single, masks), single.mean(0))

    return AskedMaps(kept(predicted), kept(labels))


@measurement(of=(), constants=constants, sampled=True)
def attention_maps(experiment: Experiment, model: str, region: str) -> AttentionMaps:
    """Where a model looks, on samples of D_f and D_r; `region`: which of REGIONS counts as the object."""
    network, outputs = experiment.model(model), experiment.outputs(model)

    def looked(name: str) -> AskedMaps:
        chosen, said = experiment.sample(name), outputs[name]
        images = experiment.sampled(name).images
        return look(network, images, said.labels[chosen], said.logits.argmax(1)[chosen], REGIONS[region])

    size = layer(network, pixels(experiment.sampled("remain_train").images[:1]))[1]
    return AttentionMaps(looked("forget_train"), looked("remain_train"), list(size))


@dataclass(frozen=True)
class MapFloors:
    """The least value of a map in percent of its largest, the mean over D_f, by the class asked; None of blank maps."""

    predicted: float | None
    true: float | None


@measurement(of=(), constants=constants, sampled=True)
def map_floors(experiment: Experiment, model: str) -> MapFloors:
    """How much of the maps of a model the scaling of pytorch-grad-cam takes off, on a sample of D_f."""
    network, images = experiment.model(model), experiment.sampled("forget_train").images
    said, chosen = experiment.outputs(model)["forget_train"], experiment.sample("forget_train")

    def mean(classes: Tensor) -> float | None:
        known = floors(network, images, classes[chosen])
        return None if known.isnan().all() else 100 * known.nanmean().item()

    return MapFloors(mean(said.logits.argmax(1)), mean(said.labels))


@dataclass(frozen=True)
class ObjectOutline:
    """For D_f and D_r the share of the sampled images that have the object at a pixel, 0 to 1, float64, (H, W).

    `mean`: where images are aligned, so that a mean shows something, that is of faces, under `image` the mean of the
    sample of D_r, in grey, 0 to 1, float32, (H, W). It shows no single person.
    """

    forget_train: Tensor
    remain_train: Tensor
    mean: dict[str, Tensor]


@measurement(of=("original",), constants=constants, sampled=True)
def object_outline(experiment: Experiment, region: str) -> ObjectOutline:
    """Where the object is in the images that `attention_maps` looks at."""

    def outline(name: str) -> Tensor:
        return REGIONS[region].masks(experiment.sampled(name).images.cpu()).double().mean(0)

    mean = {}
    if experiment.dataset.name == "faces":
        mean["image"] = pixels(experiment.sampled("remain_train").images).mean((0, 1)).cpu()
    return ObjectOutline(outline("forget_train"), outline("remain_train"), mean)


# --- what the chapter shows ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attention:
    """A model's attention on a set, asked for one class of each image.

    `share`: the mean share of attention on the object, in percent. `change`: that minus the original's, in points, over
    the images where both models have a map. Both with a percentile bootstrap over the images; where every map is blank,
    their numbers are None. `blank`: how many images have no map, and are left out. `map`: the mean map, (H, W).
    """

    share: Estimate
    change: Estimate
    blank: int
    map: Tensor


@dataclass(frozen=True)
class ModelAttention:
    """A model's attention on a set: for the class that it puts first, and for the true class."""

    predicted: Attention
    true: Attention

    def of(self, asked: Asked) -> Attention:
        """That for one of the two classes."""
        return self.predicted if asked == "predicted" else self.true


@dataclass(frozen=True)
class SetAttention:
    """The attention of several models on one set, by their names.

    `images`: how many were looked at. `area`: the mean share of an image that the object takes up, in percent.
    `outline`: the share of the images that have the object at a pixel, 0 to 1, (H, W).
    """

    images: int
    area: float
    outline: Tensor
    models: dict[str, ModelAttention]


@dataclass(frozen=True)
class AttentionFindings:
    """Where the models of Figure 5 look that a run has: on D_f, and as a control on D_r.

    `region`: what counts as the object. `mean_image`: see `ObjectOutline`. `map_size`: height and width of the layer's
    maps, in pixels.
    """

    region: Region
    mean_image: Tensor | None
    map_size: list[int]
    forget_train: SetAttention
    remain_train: SetAttention

    @property
    def sets(self) -> dict[str, SetAttention]:
        """Both sets by their names."""
        return {"forget_train": self.forget_train, "remain_train": self.remain_train}

    @property
    def models(self) -> list[str]:
        """The models, the original first."""
        return list(self.forget_train.models)


def measure(experiment: Experiment) -> AttentionFindings:
    """Where the models of Figure 5 look that a run has, and that did not diverge."""
    region = region_of(experiment.dataset.name)
    outline = object_outline(experiment, region.name)
    looks = {name: attention_maps(experiment, name, region.name) for name in _looked_at(experiment)}

    def on(name: str, where: Tensor, kept: dict[str, AskedMaps]) -> SetAttention:
        images, area = len(experiment.sample(name)), 100 * where.mean().item()
        return SetAttention(images, area, where, summary(kept, experiment.config.seed))

    return AttentionFindings(
        region,
        outline.mean.get("image"),
        looks["original"].map_size,
        on("forget_train", outline.forget_train, {name: found.forget_train for name, found in looks.items()}),
        on("remain_train", outline.remain_train, {name: found.remain_train for name, found in looks.items()}),
    )


def floor_of(experiment: Experiment) -> dict[str, MapFloors]:
    """How much of the maps of each model the scaling takes off, by model."""
    return {name: map_floors(experiment, name) for name in _looked_at(experiment)}


def _looked_at(experiment: Experiment) -> list[str]:
    sound = experiment.sound
    return [name for name in FIGURE_5_MODELS if name in sound]


def summary(kept: Mapping[str, AskedMaps], seed: int) -> dict[str, ModelAttention]:
    """The attention of each model by what was kept of the same images, by model, with the original."""
    count = len(kept["original"].predicted.share)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLINGS).astype(float)

    def attention(found: KeptMaps, original: KeptMaps) -> Attention:
        return Attention(
            _estimate(found.share, drawn),
            _estimate(found.share - original.share, drawn),
            int(found.share.isnan().sum()),
            found.map,
        )

    original = kept["original"]
    return {
        name: ModelAttention(attention(found.predicted, original.predicted), attention(found.true, original.true))
        for name, found in kept.items()
    }


def _estimate(values: Tensor, drawn: np.ndarray) -> Estimate:
    """The mean of `values`, (N,), where they are numbers; `drawn`: how often each resampling has each value,

    (RESAMPLINGS, N).
    """
    known = ~values.isnan().numpy()
    if not known.any():
        return Estimate(None, None, None)
    numbers, times = values.numpy()[known], drawn[:, known]
    low, high = np.percentile(times @ numbers / times.sum(1).clip(1), (2.5, 97.5))
    return Estimate(float(numbers.mean()), float(low), float(high))


@dataclass(frozen=True)
class Overlays:
    """Single forgetting images, uint8, (N, H, W, 3), with the maps of each model, (N, H, W), by the class asked.

    `masks`: where the object is, (N, H, W); None where nothing says so.
    """

    images: Tensor
    masks: Tensor | None
    predicted: dict[str, Tensor]
    true: dict[str, Tensor]


def overlays(experiment: Experiment) -> Overlays:
    """Single images with the maps of each model, for whoever has the data: nothing of this is kept.

    Raises NotRecorded for a run that is shown from a record, which holds no image.
    """
    if experiment.record:
        raise NotRecorded("single images are shown only where the data are at hand")
    chosen, region = experiment.sample("forget_train")[:SINGLE_IMAGES], region_of(experiment.dataset.name)
    images = experiment.sampled("forget_train").images[:SINGLE_IMAGES]
    found: dict[Asked, dict[str, Tensor]] = {"predicted": {}, "true": {}}
    for name in _looked_at(experiment):
        said = experiment.outputs(name)["forget_train"]
        for_class: dict[Asked, Tensor] = {"predicted": said.logits.argmax(1), "true": said.labels}
        for asked, classes in for_class.items():
            found[asked][name] = maps(experiment.model(name), images, classes[chosen])
    shown = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu()
    return Overlays(shown, region.masks(images.cpu()) if region.is_object else None, **found)


# --- figures and tables -------------------------------------------------------------------------------------------


def maps_for_own_answer(found: AttentionFindings) -> Figure:
    """Figure 5: the mean map of each model (columns) for its own answer, on D_f and D_r (rows), the object outlined."""
    return _mean_maps(found, "predicted")


def maps_for_true_class(found: AttentionFindings) -> Figure:
    """The same for the true class of each image."""
    return _mean_maps(found, "true")


def _mean_maps(found: AttentionFindings, asked: Asked) -> Figure:
    """Where there is a mean image, it shines through, the same in both rows."""
    sets, names = found.sets, found.models
    top = max(one.models[name].of(asked).map.max().item() for one in sets.values() for name in names)
    size = (2 * len(names) + 0.6, 1.8 * len(sets) + 0.4)
    figure, rows = plt.subplots(len(sets), len(names), figsize=size, squeeze=False, layout="constrained")
    for row, (set_name, one) in zip(rows, sets.items(), strict=True):
        for axes, name in zip(row, names, strict=True):
            image = axes.imshow(one.models[name].of(asked).map.numpy(), cmap="cividis", vmin=0, vmax=top or 1)
            if found.mean_image is not None:
                axes.imshow(found.mean_image.numpy(), cmap="gray", vmin=0, vmax=1, alpha=0.5)
            if one.outline.min() < 0.5 < one.outline.max():
                # White, since a map has the same colours on a light and on a dark page.
                axes.contour(one.outline.numpy(), [0.5], colors="white", linewidths=1.5)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"mean over {one.images}\nimages of ${_subscript(set_name)}$", fontsize=10)
    for axes, name in zip(rows[0], names, strict=True):
        axes.set_title(title(name), fontsize=10)
    figure.colorbar(image, ax=rows, label="attention", shrink=0.8)
    return figure


def _subscript(set_name: str) -> str:
    letter, subscript = SET_TITLES[set_name].split("_")
    return f"{letter}_{{{subscript}}}"


def images_for_own_answer(found: Overlays) -> Figure:
    """Figure 5 as the paper has it: single images (columns) with the map of each model (rows) for its own answer."""
    return _over_images(found, found.predicted)


def images_for_true_class(found: Overlays) -> Figure:
    """The same for the true class of each image."""
    return _over_images(found, found.true)


def _over_images(found: Overlays, by_model: Mapping[str, Tensor]) -> Figure:
    count = len(found.images)
    size = (1.0 * count + 0.8, 1.05 * len(by_model) + 0.2)
    figure, rows = plt.subplots(len(by_model), count, figsize=size, squeeze=False, layout="constrained")
    for row, (name, of_model) in zip(rows, by_model.items(), strict=True):
        for number, axes in enumerate(row):
            axes.imshow(found.images[number].numpy())
            axes.imshow(of_model[number].numpy(), cmap="jet", vmin=0, vmax=1, alpha=0.4)
            if found.masks is not None:
                axes.contour(found.masks[number].double().numpy(), [0.5], colors="white", linewidths=0.8)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
        row[0].set_ylabel(title(name).replace(" ", "\n"), fontsize=9)
    return figure


def shares(found: AttentionFindings) -> Figure:
    """Share of attention on the object, with intervals: D_f filled, D_r hollow; the object's share of the image."""
    names = found.models
    size = (8, 0.5 * len(names) + 1.6)
    figure, panels = plt.subplots(1, 2, figsize=size, sharey=True, sharex=True, layout="constrained")
    for axes, (asked, panel_title) in zip(panels, ASKED_TITLES.items(), strict=True):
        for one, offset, label, filled in (
            (found.forget_train, -0.13, "forgetting data $D_f$", True),
            (found.remain_train, 0.13, "remaining data $D_r$, for comparison", False),
        ):
            for row, name in enumerate(names):
                measured = one.models[name].of(asked).share
                if measured.value is not None and measured.low is not None and measured.high is not None:
                    axes.errorbar(
                        measured.value, row + offset, color=colour(name), fmt="o", capsize=3, markersize=7,
                        xerr=[[measured.value - measured.low], [measured.high - measured.value]],
                        markerfacecolor=colour(name) if filled else PAPER,
                    )  # fmt: skip
            axes.plot([], [], "o", color=GREY, markerfacecolor=GREY if filled else PAPER, label=label)
        axes.axvline(found.forget_train.area, color=GREY, linestyle=":", label="a map without a preference")
        axes.set_title(panel_title, fontsize=10)
        axes.set(yticks=range(len(names)), yticklabels=[title(name) for name in names])
        axes.grid(axis="y", visible=False)
    panels[0].invert_yaxis()
    figure.supxlabel(f"share of attention on the {found.region.name}, %", fontsize=11)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def table(found: AttentionFindings) -> Styler:
    """The shares of attention and their change against the original, with 95 % intervals, and the blank maps."""
    rows = {}
    for asked, row_title in ASKED_TITLES.items():
        for name in found.models:
            row = {}
            for set_name, one in found.sets.items():
                measured, where = one.models[name].of(asked), set_title(set_name)
                row[f"on {where}, %"] = with_ends(measured.share)
                row[f"minus the original's, {where}, points"] = (
                    "–" if name == "original" else with_ends(measured.change, "+.1f")
                )
                row[f"blank maps, {where}"] = f"{measured.blank} of {one.images}"
            rows[row_title, title(name)] = row
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["the map", "model"])
    return as_table(frame)


def in_short(found: AttentionFindings) -> dict[str, str]:
    """What counts as the object, and by model the share of the attention to D_f on it, for either class asked.

    This is a column of the comparison of runs, as HTML.
    """
    models = found.forget_train.models
    return {
        "what counts as the object": found.region.name,
        "its share of the image, %": f"{found.forget_train.area:.1f}",
        **{
            f"{title(name)}, {called}, %": with_ends(models[name].of(asked).share)
            for asked, called in ASKED_TITLES.items()
            for name in models
        },
    }


# --- the claim ----------------------------------------------------------------------------------------------------


@claim(
    11, "Figure 5", "Retrain, Shrink and Expanding look away from the object, Shrink the most.",
    "Shrink looks away from the object",
)  # fmt: skip
def attention_leaves_the_object(experiment: Experiment) -> Evidence:
    """How the share of attention on the object changes under Boundary Shrink, by the class that the map is for."""
    if not region_of(experiment.dataset.name).is_object:
        raise CannotTest("the data set has no object masks")
    needs(experiment, "boundary_shrink")
    effects = []
    for asked, called in ASKED_TITLES.items():
        values = over(experiment, lambda run, asked=asked: _change(run, "boundary_shrink", asked))  # type: ignore[misc]
        effects.append(
            Effect(
                "attention on the object after Boundary Shrink minus the original's, blank maps left out", "points",
                values.found,
                Bounds(-math.inf, 0, "the claim is a direction; each replicate compares two models on the same images"),
                "only on the background", called, missing=values.missing,
            )
        )  # fmt: skip

    def others() -> list[Check]:
        needs(experiment, "retrain", "boundary_expanding")
        return checks(measure(experiment))

    return Evidence(effects, others, "the class asked")


def _change(run: Experiment, name: str, asked: Asked) -> float:
    """The share of attention on the object in D_f minus the original's, in points, where both models have a map."""
    region = region_of(run.dataset.name).name
    kept = {model: attention_maps(run, model, region).forget_train.of(asked).share for model in ("original", name)}
    changes = kept[name] - kept["original"]
    if changes.isnan().all():
        raise CannotTest(f"the attention maps of {title(name)} are blank")
    return changes.nanmean().item()


def checks(found: AttentionFindings) -> list[Check]:
    """The secondary checks of claim 11 on what was measured of a run."""
    models, made, means = found.forget_train.models, [], {}
    for name in ("retrain", "boundary_shrink", "boundary_expanding"):
        mean, change = models[name].predicted.share.value, models[name].predicted.change
        if mean is None or change.value is None or change.low is None or change.high is None:
            raise CannotTest(f"the attention maps of {title(name)} are blank")
        means[name] = mean
        made.append(
            Check(
                f"under {title(name)} the share of attention on the object falls, its whole 95 % interval below 0",
                f"{change.value:+.2f} points, {change.low:+.2f} to {change.high:+.2f}",
                change.high < 0,
            )
        )
    expanding, shrink = means["boundary_expanding"], means["boundary_shrink"]
    return [*made, above("Boundary Expanding's share", expanding, "Boundary Shrink's", shrink)]
