"""Swap: the weights of one model with BatchNorm's statistics of another, to say which of the two did the forgetting."""

import copy
from collections.abc import Collection
from typing import Literal

import torch

from ..models import Classifier, batchnorms, statistics

Moments = Literal["both", "mean", "variance"]


@torch.no_grad()
def swapped(
    weights: Classifier, source: Classifier, moments: Moments = "both", layers: Collection[int] | None = None
) -> Classifier:
    """A copy of the model `weights` with the running statistics of the model `source`, of the same shape.

    `moments`: which of them, means and variances alike unless said. `layers`: in which BatchNorm layers, counted from 0
    in the order of the network; None takes all. Nothing is trained and no image is seen.
    """
    model = copy.deepcopy(weights).eval()
    for place, (own, other) in enumerate(zip(batchnorms(model), batchnorms(source), strict=True)):
        for moment, old, new in zip(("mean", "variance"), statistics(own), statistics(other), strict=True):
            if moments in ("both", moment) and (layers is None or place in layers):
                old.copy_(new)
    return model
