"""What is measured of a model, pure functions of its outputs; and the mean of several measurements."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .results import Kept


@dataclass(frozen=True)
class Outputs:
    """What a model says of one set of images. `logits`: float32, (N, K); `labels`: the true classes, int64, (N,)."""

    logits: Annotated[Tensor, Kept(torch.float32, recorded=torch.float16)]
    labels: Annotated[Tensor, Kept(torch.int64, recorded=torch.uint8)]

    @cached_property
    def _entropies(self) -> Tensor:
        log_probabilities = F.log_softmax(self.logits.double(), dim=1)
        return -(log_probabilities.exp() * log_probabilities).sum(1)


def accuracy(outputs: Outputs) -> float:
    """Share of images whose largest logit is the true class, in percent, 0 to 100."""
    return 100 * (outputs.logits.argmax(1) == outputs.labels).double().mean().item()


def shares(outputs: Outputs) -> list[float]:
    """Share of the images that the model assigns to each class, in percent; they add up to 100."""
    counts = torch.bincount(outputs.logits.argmax(1), minlength=outputs.logits.shape[1])
    return (100 * counts.double() / counts.sum()).tolist()


def entropy(outputs: Outputs) -> Tensor:
    """Entropy of the softmax of each image's logits, in nats, float64, (N,): 0 to log K (paper, section 5.7)."""
    return outputs._entropies


ENTROPY_BINS = 20  # few enough that a hundred images fill them, many enough to show a shape


def entropy_bins(classes: int) -> list[float]:
    """Edges of the bins of an entropy's histogram, in nats: ENTROPY_BINS of equal width from 0 to log `classes`."""
    return np.linspace(0, math.log(classes), ENTROPY_BINS + 1).tolist()


def entropy_histogram(outputs: Outputs) -> list[float]:
    """Share of the images whose entropy lies in each of `entropy_bins`, in percent; they add up to 100."""
    edges = entropy_bins(outputs.logits.shape[1])
    # An even answer's entropy may be rounded to just above log K, where there is no bin.
    counts, _ = np.histogram(entropy(outputs).clamp(edges[0], edges[-1]).numpy(), edges)
    return (100 * counts / counts.sum()).tolist()


@dataclass(frozen=True)
class EntropyDistances:
    """How far the entropies of one set of images lie from those of another; `entropy_distances` says how."""

    jensen_shannon: float
    wasserstein: float


def entropy_distances(outputs: Outputs, reference: Outputs) -> EntropyDistances:
    """How far the entropies of one set of images lie from those of another, or those that two models give it.

    `jensen_shannon`: the divergence of the two `entropy_histogram`, in bits, 0 (the same) to 1 (no bin in common).
    `wasserstein`: by how much an entropy has to be moved on average to make one distribution the other, in nats, 0 to
    log K; it needs no bins.
    """
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import wasserstein_distance

    distance = jensenshannon(entropy_histogram(outputs), entropy_histogram(reference), base=2)
    moved = wasserstein_distance(entropy(outputs).numpy(), entropy(reference).numpy())
    return EntropyDistances(float(distance**2), float(moved))


def agreement(outputs: Outputs, reference: Outputs) -> float:
    """Share of the images on which two models name the same class, in percent, 0 to 100."""
    return 100 * (outputs.logits.argmax(1) == reference.logits.argmax(1)).double().mean().item()


@dataclass(frozen=True)
class Interval:
    """A mean, and half the width of its 95 % interval; None for a single value."""

    mean: float
    half_width: float | None

    def shown(self, form: str = ".2f") -> str:
        """The mean in a format, and half the width where there is one: `4.05 ± 0.76`."""
        mean = format(self.mean, form)
        return mean if self.half_width is None else f"{mean} ± {self.half_width:{form.lstrip('+')}}"


def interval(values: Sequence[float]) -> Interval:
    """The mean of some values and its 95 % interval by Student's t."""
    from scipy.stats import t as student_t

    half = None
    if len(values) > 1:
        half = float(student_t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(statistics.fmean(values), half)
