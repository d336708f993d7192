"""Swap: the weights of one model with BatchNorm's statistics of another, to say which of the two did the forgetting."""

import copy
from collections.abc import Collection
from typing import Literal

import torch

from ..models import Classifier, batchnorms

Moments = Literal["both", "mean", "variance"]


@torch.no_grad()
def swapped(
    weights: Classifier, statistics: Classifier, moments: Moments = "both", layers: Collection[int] | None = None
) -> Classifier:
    """A copy of the model `weights` with the running statistics of the model `statistics`, of the same shape.

    `moments`: which of them, means and variances alike unless said. `layers`: in which BatchNorm layers, counted from 0
    in the order of the network; None takes all. Nothing is trained and no image is seen.
    """
    model = copy.deepcopy(weights).eval()
    for place, (own, other) in enumerate(zip(batchnorms(model), batchnorms(statistics), strict=True)):
        if layers is not None and place not in layers:
            continue
        if moments != "variance":
            own.running_mean.copy_(other.running_mean)
        if moments != "mean":
            own.running_var.copy_(other.running_var)
    return model
