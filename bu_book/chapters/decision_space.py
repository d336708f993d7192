"""The space in front of the last layer, where the decision is taken: its numbers, and its map. Pure functions.

The paper draws it (Figures 1 and 6) and does not say how the drawings were made. Here one t-SNE (van der Maaten and
Hinton 2008) lays out the features of all models together, so that panels compare, after `aligned` has put the models
into one frame. A map of this kind keeps neighbours together; distances between clusters, their sizes and their
densities mean nothing in it. What is claimed of the space is therefore measured in the space itself, not in the map.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bu_core.data import pixels
from bu_core.measures import Outputs, agreement, shares
from bu_core.models import Classifier
from bu_core.training import Precision, autocast

MODELS = ("original", "retrain", "boundary_shrink", "boundary_expanding")  # the four of Figure 6
PERPLEXITY = 30.0  # t-SNE's number of neighbours; the middle of the range that its authors recommend
STEPS = 500  # of t-SNE's descent

# All that decides a map beside the features; a stored map is found by it.
SETTINGS = {"method": "t-SNE", "perplexity": PERPLEXITY, "steps": STEPS, "frame": "centred, scaled, rotated"}


class Sample(NamedTuple):
    """Features of the same images in one model. `remain`: of D_r, float32, (N, F); `forget`: of D_f, (M, F)."""

    remain: Tensor
    forget: Tensor


@torch.no_grad()
def features(model: Classifier, images: Tensor, precision: Precision, batch_size: int = 500) -> Tensor:
    """The last features of uint8 images, float32, (N, F), in evaluation mode, on the CPU; what is no number is 0."""
    model.eval()
    out = []
    for batch in images.split(batch_size):
        with autocast(images.device, precision):
            out.append(model.features(pixels(batch)).float().cpu())
    return torch.cat(out).nan_to_num()


def aligned(samples: Mapping[str, Sample]) -> dict[str, Sample]:
    """The samples in one frame, float64: centred, scaled and rotated so that D_r lies on the first model's D_r.

    The centre is the mean of D_r and the unit its root-mean-square distance from there. The rotation, which may hold a
    reflection, is the orthogonal matrix that brings the model's features of D_r nearest to the first one's (Schönemann
    1966). All distances within a model keep their ratios, and D_f has no part in the choice.
    """
    from scipy.linalg import orthogonal_procrustes

    placed: dict[str, Sample] = {}
    reference = None
    for name, sample in samples.items():
        remain, forget = (_placed(part, sample.remain) for part in sample)
        reference = remain if reference is None else reference
        rotation = torch.from_numpy(orthogonal_procrustes(remain.numpy(), reference.numpy())[0])
        placed[name] = Sample(remain @ rotation, forget @ rotation)
    return placed


def _placed(part: Tensor, remain: Tensor) -> Tensor:
    """Features, float64, about the mean of D_r and in units of its root-mean-square distance from there."""
    part, remain = part.double(), remain.double()
    centre = remain.mean(0)
    radius = (remain - centre).square().sum(1).mean().sqrt()
    return (part - centre) / radius.clamp_min(torch.finfo(torch.float64).tiny)


def embedded(samples: Mapping[str, Sample], seed: int) -> dict[str, Sample]:
    """Places in the plane, float64, (N, 2) and (M, 2) for each model: one t-SNE of all samples together.

    The same samples and `seed` give the same places: one thread computes them, since several would add up in an order
    that changes from run to run.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    parts = [part for sample in samples.values() for part in sample]
    points = torch.cat(parts).numpy()
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    with threadpool_limits(1):
        plane = TSNE(perplexity=perplexity, max_iter=STEPS, init="pca", random_state=seed).fit_transform(points)
    places = iter(torch.from_numpy(plane).double().split([len(part) for part in parts]))
    return {name: Sample(next(places), next(places)) for name in samples}


def compactness(sample: Sample, labels: Tensor) -> dict[str, float | None]:
    """How tight the clusters are: mean silhouettes (Rousseeuw 1987), -1 to 1, and how far out D_f lies.

    `remain`: of D_r among the remaining classes, by true `labels`, int64, (N,). `forget`: of D_f as a cluster of its
    own beside them; near 0 it has no place of its own, below 0 it lies inside others. `from_centre`: the
    root-mean-square distance of D_f from the middle of D_r, in units of D_r's own.
    """
    from sklearn.metrics import silhouette_samples, silhouette_score

    everything = torch.cat([sample.remain, sample.forget]).numpy()
    own = torch.cat([labels, labels.new_full((len(sample.forget),), -1)]).numpy()
    return {
        "remain": float(silhouette_score(sample.remain.numpy(), labels.numpy())),
        "forget": float(silhouette_samples(everything, own)[len(labels) :].mean()),
        "from_centre": float(_placed(sample.forget, sample.remain).square().sum(1).mean().sqrt()),
    }


def margins(outputs: Outputs) -> dict[str, Tensor]:
    """How far each image is from the border to its second class, float64, (N,): 0 on the border.

    `logits`: the largest logit less the second. `softmax`: the same of the posteriors, 0 to 1.
    """
    logits = outputs.logits.double().nan_to_num()
    found = {"logits": logits, "softmax": F.softmax(logits, dim=1)}
    return {name: (top[:, 0] - top[:, 1]) for name, top in ((n, v.topk(2).values) for n, v in found.items())}


def margin_summary(outputs: Outputs) -> dict[str, dict[str, float]]:
    """Median and quartiles of both margins over a set of images."""
    return {
        kind: dict(zip(("median", "lower", "upper"), np.percentile(values, (50, 25, 75)).tolist(), strict=True))
        for kind, values in margins(outputs).items()
    }


def destinations(outputs: Outputs, original: Outputs, retrain: Outputs | None) -> dict[str, Any]:
    """Where a model sends D_f, of which `outputs`, `original` and `retrain` are three models' outputs.

    In percent: `shares`, of each class. `to_nearest`, of the samples that left their class: how many went to the class
    that the original puts next after the true one; None where none left. `like_retrain`: how many samples get the class
    that Retrain gives them; None without it. `classes`: over how many classes they are spread, the exponential of the
    entropy of the shares: 1 where all went to one class, K where they went evenly to all.
    """
    answer = outputs.logits.argmax(1)
    left = answer != outputs.labels
    others = original.logits.scatter(1, outputs.labels[:, None], -torch.inf)
    nearest = (answer == others.argmax(1))[left].double().mean().item() if left.any() else None
    found = torch.tensor(shares(outputs), dtype=torch.float64) / 100
    return {
        "shares": shares(outputs),
        "to_nearest": None if nearest is None else 100 * nearest,
        "like_retrain": None if retrain is None else agreement(outputs, retrain),
        "classes": torch.special.entr(found).sum().exp().item(),
    }
