"""Neighbour classes: the auditor has the posteriors and looks at those of the classes that were not forgotten.

A model that never learned the class gives its images to the classes that they resemble, in shares that follow from the
images. One that was made to forget often gives them in other shares, which says that the class was there. That is what
MIA-NN (Ebrahimpour-Boroojeny et al., arXiv 2506.20893; later called CMIA) looks at: support vector machines learn from
outputs, and what they make of D_ft is compared with the same for Retrain. Two things are taken from it: that the
posteriors of the other classes count, and that Retrain's are the measure. Not taken are its machines: a distance
between posteriors needs no fit and sees all classes at once.

A Retrain is compared with the other Retrains, so that two models which differ by their seed alone give the null.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .evidence import Evidence


@dataclass(frozen=True)
class Leak:
    """What the posteriors over the other classes say of D_ft.

    `profile`: their mean over D_ft, K - 1 shares that add up to 1, in the order of the classes. The distances are
    Jensen-Shannon divergences from Retrain, in bits, 0 (the same) to 1, the mean over the references: `each`, of
    an image's posteriors, averaged over D_ft; `on_average`, of the two profiles. Both are None without a reference.
    """

    profile: list[float]
    each: float | None
    on_average: float | None


def leaked(evidence: Evidence, references: Sequence[Evidence]) -> Leak:
    """What the posteriors of `evidence` say of D_ft, beside those of Retrains; of these it is left out itself."""
    own = neighbours(evidence, "forget_test")
    others = [neighbours(reference, "forget_test") for reference in references if reference is not evidence]
    each = [(divergence(own, other) / math.log(2)).mean().item() for other in others]
    on_average = [divergence(own.mean(0), other.mean(0)).item() / math.log(2) for other in others]
    return Leak(
        own.mean(0).tolist(),
        sum(each) / len(each) if each else None,
        sum(on_average) / len(on_average) if on_average else None,
    )


def neighbours(evidence: Evidence, part: str) -> Tensor:
    """Posteriors of a set without the forgotten class, renormalised: float64, (N, K - 1); no number counts as 0."""
    logits = torch.nan_to_num(evidence.outputs(part).logits.double())
    others = torch.arange(logits.shape[1]) != evidence.forget_class
    return logits[:, others].softmax(1)


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence of distributions, (..., K), in nats, 0 to log 2: (...)."""
    mixture = (first + second) / 2
    nats = [(torch.xlogy(side, side) - torch.xlogy(side, mixture)).sum(-1) for side in (first, second)]
    return (nats[0] + nats[1]) / 2
