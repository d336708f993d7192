"""Decision space: where do the forgetting samples go? Figures 1 and 6, and claim 12 (section 5.6).

The decision space is that of the features in front of the last layer. The paper draws it and does not say how the
drawings were made. Here one t-SNE (van der Maaten and Hinton 2008) lays out the features of all models together, so
that panels compare, after `aligned` has put the models into one frame. A map of this kind keeps neighbours together;
distances between clusters, their sizes and their densities mean nothing in it. What is claimed of the space is
therefore measured in the space itself, not in the map.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from pandas.io.formats.style import Styler
from torch import Tensor
from torch.nn import functional as F

from bu_core import measures
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.experiment.record import NotRecorded
from bu_core.measures import Outputs
from bu_core.models import Classifier
from bu_core.training import Precision, predict

from ..claims import (
    Bounds,
    CannotTest,
    Check,
    Effect,
    Evidence,
    above,
    as_far_as_measured,
    at_least,
    at_most,
    claim,
    needs,
    not_run,
)
from ..replicates import Values, over
from ..style import GREY, INK, PAPER, as_table, in_figure, number, set_title, title

FIGURE_6_MODELS = ("original", "retrain", "boundary_shrink", "boundary_expanding")
PERPLEXITY = 30.0  # t-SNE's number of neighbours; the middle of the range that its authors recommend
TSNE_STEPS = 500  # of its descent


def constants() -> dict[str, Any]:
    """What decides a map beside the features."""
    return {"method": "t-SNE", "perplexity": PERPLEXITY, "steps": TSNE_STEPS, "frame": "centred, scaled, rotated"}


# --- features and their map ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlacedSamples:
    """Points of the same images in one model: its features, or where a map has them.

    `remain`: of the sample of D_r, (N, F). `forget`: of that of D_f, (M, F).
    """

    remain: Tensor
    forget: Tensor


def features(model: Classifier, images: Tensor, precision: Precision, batch_size: int = 500) -> Tensor:
    """The last features of uint8 images, float32, (N, F), in evaluation mode, on the CPU."""
    return predict(model, images, precision, batch_size, model.features).cpu()


def aligned(samples: Mapping[str, PlacedSamples]) -> dict[str, PlacedSamples]:
    """The samples in one frame, float64: centred, scaled and rotated so that D_r lies on the first model's D_r.

    The centre is the mean of D_r and the unit its root-mean-square distance from there. The rotation, which may hold a
    reflection, is the orthogonal matrix that brings the model's features of D_r nearest to the first one's (Schönemann
    1966). All distances within a model keep their ratios, and D_f has no share in the choice.
    """
    from scipy.linalg import orthogonal_procrustes

    in_one_frame: dict[str, PlacedSamples] = {}
    reference = None
    for name, sample in samples.items():
        remain, forget = (_in_units_of(sample.remain, points) for points in (sample.remain, sample.forget))
        reference = remain if reference is None else reference
        rotation = torch.from_numpy(orthogonal_procrustes(remain.numpy(), reference.numpy())[0])
        in_one_frame[name] = PlacedSamples(remain @ rotation, forget @ rotation)
    return in_one_frame


def _in_units_of(remain: Tensor, points: Tensor) -> Tensor:
    """Points, float64, about the mean of D_r and in units of its root-mean-square distance from there.

    Where all of D_r is one point, the unit is that of the features.
    """
    points, remain = points.double(), remain.double()
    centre = remain.mean(0)
    radius = (remain - centre).square().sum(1).mean().sqrt()
    return (points - centre) / (radius if radius > 0 else 1)


def embedded(samples: Mapping[str, PlacedSamples], seed: int) -> dict[str, PlacedSamples]:
    """A map, float64, (N, 2) and (M, 2) for each model: one t-SNE of all samples together.

    The same samples and `seed` give the same map: one thread computes it, since several would add up in an order that
    changes from run to run. Raises ValueError, before t-SNE is called, where a distance would not be finite: t-SNE can
    end the interpreter there.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    sets = [points for sample in samples.values() for points in (sample.remain, sample.forget)]
    everything = torch.cat(sets)
    if not (4 * everything.square().sum(1)).float().isfinite().all():  # squared distances are float32 in t-SNE
        raise ValueError("no map: some features are not finite, or so large that their distances are not")
    perplexity = min(PERPLEXITY, (len(everything) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(perplexity=perplexity, max_iter=TSNE_STEPS, init="pca", random_state=seed)
        points = torch.from_numpy(tsne.fit_transform(everything.numpy())).double()
    placed = iter(points.split([len(one) for one in sets]))
    return {name: PlacedSamples(next(placed), next(placed)) for name in samples}


@dataclass(frozen=True)
class Compactness:
    """How tight the clusters are: mean silhouettes (Rousseeuw 1987), -1 to 1, and how far out D_f lies.

    `remain`: of D_r among the remaining classes, by true label; None where a single class remains. `forget`: of D_f as
    a cluster of its own beside them; near 0 it lies at the border of others, below 0 inside them. `from_centre`: the
    root-mean-square distance of D_f from the middle of D_r, in units of D_r's own.
    """

    remain: float | None
    forget: float
    from_centre: float


def compactness(sample: PlacedSamples, labels: Tensor) -> Compactness:
    """How tight the clusters of some points are; `labels`: the true classes of those of D_r, int64, (N,)."""
    from sklearn.metrics import silhouette_samples, silhouette_score

    everything = torch.cat([sample.remain, sample.forget]).numpy()
    own = torch.cat([labels, labels.new_full((len(sample.forget),), -1)]).numpy()
    several = len(labels.unique()) > 1
    return Compactness(
        float(silhouette_score(sample.remain.numpy(), labels.numpy())) if several else None,
        float(silhouette_samples(everything, own)[len(labels) :].mean()),
        float(_in_units_of(sample.remain, sample.forget).square().sum(1).mean().sqrt()),
    )


@dataclass(frozen=True)
class FeatureMap:
    """One map of the samples of several models, by their names, and how compact each one's features are.

    `maps`: points of the map, float64, (N, 2). `compactness`: measured in the features themselves.
    """

    maps: dict[str, PlacedSamples]
    compactness: dict[str, Compactness]


def mapped(experiment: Experiment) -> list[str]:
    """The models of Figure 6 that a run has, and that did not diverge."""
    sound = experiment.sound
    return [name for name in FIGURE_6_MODELS if name in sound]


@measurement(of=mapped, constants=constants, sampled=True)
def feature_map(experiment: Experiment) -> FeatureMap:
    """The map of Figure 6, of samples of D_r and D_f."""
    remain, forget = (experiment.sampled(name).images for name in ("remain_train", "forget_train"))
    precision = experiment.precision
    samples = {}
    for name in mapped(experiment):
        model = experiment.model(name)
        samples[name] = PlacedSamples(features(model, remain, precision), features(model, forget, precision))
    labels = _remaining_labels(experiment)
    return FeatureMap(
        embedded(aligned(samples), experiment.config.seed),
        {name: compactness(sample, labels) for name, sample in samples.items()},
    )


def _remaining_labels(experiment: Experiment) -> Tensor:
    return experiment.outputs("original")["remain_train"].labels[experiment.sample("remain_train")]


# --- numbers of the outputs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quartiles:
    """The `median` of a set of numbers, and its `lower` and `upper` quartile."""

    median: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Margins:
    """How far the images of a set are from the border to their second class: the `margin` of logits and of softmax."""

    logits: Quartiles
    softmax: Quartiles


def margin(scores: Tensor) -> Tensor:
    """The largest score of each image less the second, (N,), of scores (N, K): 0 on the border between two classes."""
    top = scores.topk(2).values
    return top[:, 0] - top[:, 1]


def margins(outputs: Outputs) -> Margins:
    """The margins of a set of images; that of the logits has no upper end, that of the softmax runs from 0 to 1."""
    logits = outputs.logits.double()
    return Margins(_quartiles(margin(logits)), _quartiles(margin(F.softmax(logits, dim=1))))


def _quartiles(values: Tensor) -> Quartiles:
    median, lower, upper = np.percentile(values, (50, 25, 75)).tolist()
    return Quartiles(median, lower, upper)


@dataclass(frozen=True)
class Destinations:
    """Where a model sends D_f.

    In percent: `shares`, of each class. `to_nearest`, of the samples that left their class: how many went to the class
    that the original puts next after the true one; None where none left. `like_retrain`: how many samples get the class
    that Retrain gives them; None without it. `classes`: over how many classes they are spread, the exponential of the
    entropy of the shares: 1 where all went to one class, K where they went evenly to all.
    """

    shares: list[float]
    to_nearest: float | None
    like_retrain: float | None
    classes: float


def destinations(outputs: Outputs, original: Outputs, retrain: Outputs | None) -> Destinations:
    """Where a model sends D_f, by the outputs for it of three models: this one, the original and Retrain."""
    answer = outputs.logits.argmax(1)
    left = answer != outputs.labels
    others = original.logits.scatter(1, outputs.labels[:, None], -torch.inf)
    nearest = (answer == others.argmax(1))[left].double().mean().item() if left.any() else None
    shares = measures.shares(outputs)
    return Destinations(
        shares,
        None if nearest is None else 100 * nearest,
        None if retrain is None else measures.agreement(outputs, retrain),
        torch.special.entr(torch.tensor(shares, dtype=torch.float64) / 100).sum().exp().item(),
    )


# --- what the chapter shows ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelSpace:
    """The decision space of one model.

    `points`: of the map. `answers`: the class that the model gives each sample of D_f there, int64, (M,).
    `compactness`: over these samples. Over all of a set, `margins` by the name of the set, D_r and D_f, and
    `destinations`, of D_f.
    """

    points: PlacedSamples
    answers: Tensor
    compactness: Compactness
    margins: dict[str, Margins]
    destinations: Destinations


@dataclass(frozen=True)
class DecisionSpace:
    """Where the models of Figure 6 that a run has put the remaining and the forgetting samples, by their names.

    `classes`: their names, of which `forget_classes` are the indices of those that are forgotten whole. `forgotten`:
    what is, in words. `labels`, (N,), and `own`, (M,): the true classes of the samples of D_r and of D_f, int64.
    """

    classes: list[str]
    forget_classes: tuple[int, ...]
    forgotten: str
    labels: Tensor
    own: Tensor
    models: dict[str, ModelSpace]

    @property
    def colours(self) -> list[str]:
        """The colour of each class, as `#rrggbb`; that of a single forgotten class is INK."""
        colours = sns.color_palette("colorblind" if len(self.classes) <= 10 else "husl", len(self.classes)).as_hex()
        if len(self.forget_classes) == 1:
            colours[self.forget_classes[0]] = INK
        return list(colours)


def measure(experiment: Experiment) -> DecisionSpace:
    """The decision spaces of the models of Figure 6 that a run has, and that did not diverge."""
    kept = feature_map(experiment)
    outputs = {name: experiment.outputs(name) for name in mapped(experiment)}
    original = outputs["original"]["forget_train"]
    retrain = outputs["retrain"]["forget_train"] if "retrain" in outputs else None
    chosen = experiment.sample("forget_train")
    return DecisionSpace(
        list(experiment.dataset.classes),
        experiment.forget_classes,
        experiment.forgotten,
        _remaining_labels(experiment),
        original.labels[chosen],
        {
            name: ModelSpace(
                kept.maps[name],
                said["forget_train"].logits.argmax(1)[chosen],
                kept.compactness[name],
                {set_name: margins(said[set_name]) for set_name in ("remain_train", "forget_train")},
                destinations(said["forget_train"], original, retrain),
            )
            for name, said in outputs.items()
        },
    )


# --- figures and tables -------------------------------------------------------------------------------------------


def decision_map(space: DecisionSpace) -> Figure:
    """Figures 1 and 6: one map for all models; dots are remaining samples, circles forgetting samples as predicted."""
    classes = [in_figure(name) for name in space.classes]
    colours = space.colours
    rows = -(-len(space.models) // 2)
    figure, panels = plt.subplots(
        rows, 2, figsize=(8, 3.9 * rows), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    labels = {}
    for axes, (name, model) in zip(panels.flat, space.models.items(), strict=False):
        remain, forget = model.points.remain.numpy(), model.points.forget.numpy()
        axes.scatter(*remain.T, s=5, color=[colours[label] for label in space.labels], linewidths=0, rasterized=True)
        kept = (model.answers == space.own).numpy()
        for group, as_pixels in ((~kept, True), (kept, False)):  # as pixels, INK would not turn light on a dark page
            axes.scatter(
                *forget[group].T, s=13, facecolors="none", linewidths=0.8, alpha=0.7,
                edgecolors=[colours[answer] for answer in model.answers[torch.from_numpy(group)]] if as_pixels else INK,
                rasterized=as_pixels,
            )  # fmt: skip
        middles = {
            label: np.median(remain[(space.labels == label).numpy()], axis=0)
            for label in space.labels.unique().tolist()
        }
        if name == "original":  # in the other models the forgetting samples are no cluster of their own
            for label in space.forget_classes:
                middles[label] = np.median(forget[(space.own == label).numpy()], axis=0)
        labels[axes] = [
            axes.annotate(
                classes[label], middle, middle, ha="center", va="center", fontsize=9, fontweight="bold", color=INK,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "none", "linewidth": 0},
                path_effects=[withStroke(linewidth=3, foreground=PAPER)],
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.8},
            )
            for label, middle in middles.items()
        ]  # fmt: skip
        axes.set_title(title(name), fontsize=11)
        axes.set(xticks=[], yticks=[])
    for axes in list(panels.flat)[len(space.models) :]:
        axes.set_axis_off()
    handles = [
        Line2D([], [], linestyle="", marker="o", markerfacecolor="none", markeredgecolor=colour, label=label)
        for label, colour in zip(classes, colours, strict=True)
    ]
    if INK not in colours:
        mark = Line2D([], [], linestyle="", marker="o", markerfacecolor="none", markeredgecolor=INK)
        mark.set_label("its own class")
        handles.append(mark)
    legend_title = f"a forgetting sample ({in_figure(space.forgotten)}), predicted as"
    columns = max(1, min(len(classes), int(95 / (5 + max(map(len, classes))))))  # what fits the width
    figure.legend(handles=handles, title=legend_title, loc="outside lower center", ncols=columns, fontsize=9)
    _separate(figure, labels)
    return figure


def _separate(figure: Figure, labels: Mapping[Any, list[Annotation]]) -> None:
    """Move the labels of each panel until none covers another; a thin line then leads to where one stood."""
    for label in (label for of_panel in labels.values() for label in of_panel):
        label.set_in_layout(False)
    figure.draw_without_rendering()  # after which sizes are known
    for axes, of_panel in labels.items():
        boxes = [label.get_bbox_patch().get_window_extent() for label in of_panel]  # type: ignore[union-attr]
        centres = np.array([[(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2] for box in boxes])
        sizes = np.array([[box.width, box.height] for box in boxes])
        moved = apart(centres, sizes, np.array(axes.bbox.extents).reshape(2, 2))
        for label, position in zip(of_panel, axes.transData.inverted().transform(moved), strict=True):
            label.set_position(position)


def apart(centres: np.ndarray, sizes: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The centres of boxes, (N, 2), moved so that no two overlap, each pair along the shorter way.

    `sizes`: width and height of each, (N, 2). `frame`: the lower left and the upper right corner of where they may be,
    (2, 2); where it is too small for all of them, some still overlap.
    """
    moved = centres.astype(float)
    lowest, highest = frame[0] + sizes / 2, frame[1] - sizes / 2
    for _ in range(500):
        before = moved.copy()
        for first, second in combinations(range(len(moved)), 2):
            between = moved[second] - moved[first]
            overlap = (sizes[first] + sizes[second]) / 2 - np.abs(between)
            if (overlap > 0).all():
                axis = int(overlap.argmin())
                step = (overlap[axis] / 2 + 0.5) * (-1 if between[axis] < 0 else 1)
                moved[first, axis] -= step
                moved[second, axis] += step
        moved = np.clip(moved, lowest, np.maximum(lowest, highest))
        if np.array_equal(moved, before):
            break
    return moved


def table(space: DecisionSpace) -> Styler:
    """The numbers of the decision space: where D_f went, how near the borders it lies, how compact the clusters are."""
    rows = {}
    for name, model in space.models.items():
        went, compact = model.destinations, model.compactness
        margins = {set_title(set_name): found for set_name, found in model.margins.items()}
        rows[title(name)] = {
            f"{set_title('forget_train')} given Retrain's class, %": number(went.like_retrain),
            "of those that left: to the next class, %": "–" if name == "original" else number(went.to_nearest),
            "spread over classes": number(went.classes),
            **{f"margin (logits), {where}": number(found.logits.median, ".2f") for where, found in margins.items()},
            **{f"margin (softmax), {where}": number(found.softmax.median, ".2f") for where, found in margins.items()},
            f"silhouette of {set_title('remain_train')}": number(compact.remain, ".3f"),
            f"silhouette of {set_title('forget_train')}": number(compact.forget, ".3f"),
            f"{set_title('forget_train')} from the centre": number(compact.from_centre, ".2f"),
        }
    return as_table(pd.DataFrame(rows))


def in_short(space: DecisionSpace) -> dict[str, str]:
    """What claim 12 rests on: a column of the comparison of runs, as HTML."""
    rows = {}
    for name, model in space.models.items():
        if name != "original":
            rows[f"{title(name)}: of those that left, to the next class, %"] = number(model.destinations.to_nearest)
    for name, model in space.models.items():
        rows[f"{title(name)}: {set_title('forget_train')} from the centre"] = number(
            model.compactness.from_centre, ".2f"
        )
    for name, model in space.models.items():
        rows[f"{title(name)}: silhouette of {set_title('remain_train')}"] = number(model.compactness.remain, ".3f")
    return rows


# --- the claim ----------------------------------------------------------------------------------------------------


SILHOUETTE_STEP = 0.01  # a difference that no eye would see, however little two Retrains differ


@measurement(of=(), sampled=True)
def clustered(experiment: Experiment, model: str) -> Compactness:
    """How tight the clusters of samples are in the features of a model."""
    network, precision = experiment.model(model), experiment.precision
    remain, forget = (
        features(network, experiment.sampled(part).images, precision) for part in ("remain_train", "forget_train")
    )
    return compactness(PlacedSamples(remain, forget), _remaining_labels(experiment))


def silhouette(run: Experiment, model: str) -> float:
    """The mean silhouette of D_f in a model of a replicate, which an old record has of the models in its map."""
    if model != "original" and model not in run.config.methods:
        raise CannotTest(not_run(model))
    try:
        return clustered(run, model).forget
    except NotRecorded as reason:
        found = feature_map(run).compactness
        if model not in found:
            raise reason
        return found[model].forget


@claim(
    12, "Figure 6",
    "Shrink sends D_f to the nearest classes, Expanding pushes it from the centre; the remaining clusters stay "
    "compact.",
    "Shrink spreads D_f among the other classes, as Retrain does",
)  # fmt: skip
def space_like_retrain(experiment: Experiment) -> Evidence:
    """How much more of an island D_f is after Boundary Shrink than after Retrain; Random Labels is the control."""
    needs(experiment, "retrain", "boundary_shrink")

    def less(model: str) -> Values:
        return over(experiment, lambda run: silhouette(run, model) - silhouette(run, "retrain"))

    values, untouched = less("boundary_shrink"), less("original")
    retrained, region, void = over(experiment, lambda run: silhouette(run, "retrain")), None, ""
    if (limit := retrained.between_two) is not None:
        limit = max(limit, SILHOUETTE_STEP)
        region = Bounds(-limit, limit, "no further than two Retrains of different seeds lie apart with 95 %")
        if abs(of_original := statistics.fmean(untouched.found.values())) < limit:
            void = f"the untouched original, {of_original:+.3f} away, would pass as well"
    effect = Effect(
        "silhouette of D_f after Boundary Shrink minus that after Retrain", "", values.found, region,
        "the cluster spreads out, not entirely", "", void, retrained.spread, missing=values.missing,
        than="in the silhouette, which is 1 for an island",
    )  # fmt: skip

    def control() -> list[Check]:
        needs(experiment, "random_labels")
        away = {name: abs(statistics.fmean(less(name).found.values())) for name in ("boundary_shrink", "random_labels")}
        return [
            above(
                "as a control, the distance of Random Labels' silhouette of D_f from Retrain's", away["random_labels"],
                "that of Boundary Shrink's", away["boundary_shrink"], "",
            )
        ]  # fmt: skip

    controlled = as_far_as_measured(control)

    def others() -> list[Check]:
        needs(experiment, "boundary_expanding")
        return [*controlled, *checks(measure(experiment))]

    return Evidence([effect], others)


def checks(space: DecisionSpace) -> list[Check]:
    """The secondary checks of claim 12 on what was measured of a run."""
    original, shrink, expanding = (space.models[name] for name in ("original", "boundary_shrink", "boundary_expanding"))
    if (to_nearest := shrink.destinations.to_nearest) is None:
        raise CannotTest("no forgetting sample left its class")

    def compact(model: ModelSpace) -> float:
        if (found := model.compactness.remain) is None:
            raise CannotTest("a single class remains, so there are no clusters to compare")
        return found

    return [
        at_least("the share of leaving samples that goes to the nearest class under Boundary Shrink", to_nearest, 50),
        above(
            "the distance of D_f from the centre under Boundary Expanding", expanding.compactness.from_centre,
            "the original's", original.compactness.from_centre, "times that of D_r",
        ),
        *(
            at_most(
                f"what the silhouette of the remaining classes loses under {name}",
                compact(original) - compact(model), 0.1, "",
            )
            for name, model in (("Boundary Shrink", shrink), ("Boundary Expanding", expanding))
        ),
    ]  # fmt: skip
