"""Threshold: the auditor has the logits, and asks whether the class's own logit still ranks its images above others.

The score of an image is the margin: the logit of the forgotten class less the largest other logit. A constant that is
added to the class's logit hands exactly those images to the class whose margin is above minus the constant, so one
score gives both the ranking and what a shifted threshold recalls. Log-odds would rank nearly alike, and would not say
which images change hands.

A model that never learned the class ranks above chance as well: its largest other logit is smaller for an image that
it does not know. So a value says something only beside those of Retrains, and on both sides: above them the class is
still there, below them its images are pushed away further than not knowing them would. A model whose output row was
set to zero ranks by the largest other logit alone, and may come near Retrain: `few_shot` is there to catch it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .evidence import Evidence

TAKEN = 0.02  # share of the images of D_rt that a threshold may hand to the forgotten class


@dataclass(frozen=True)
class Ranking:
    """`auc`: the chance that an image of D_ft has a larger margin than one of D_rt, 0 to 1, 0.5 by chance.

    `recall`, in percent, 100 TAKEN by chance, and `taken`, in percent: see `recall_at_loss`.
    """

    auc: float
    recall: float
    taken: float


@dataclass(frozen=True)
class Recall:
    """In percent: `recall` of D_ft, and `taken`, the share of D_rt that the same threshold hands to the class."""

    recall: float
    taken: float


def ranked(evidence: Evidence) -> Ranking:
    """How well the margin of the forgotten class's logit tells D_ft from D_rt."""
    forget, remain = (
        margins(evidence.outputs(part).logits, evidence.forget_class) for part in ("forget_test", "remain_test")
    )
    found = recall_at_loss(forget, remain, evidence.seed)
    return Ranking(auc_of(forget, remain), found.recall, found.taken)


def margins(logits: Tensor, forget_class: int) -> Tensor:
    """The logit of the class less the largest other, float64, (N,), of logits, (N, K); no number counts as 0."""
    logits = torch.nan_to_num(logits.double())
    others = logits.clone()
    others[:, forget_class] = -torch.inf
    return logits[:, forget_class] - others.amax(1)


def auc_of(forget: Tensor, remain: Tensor) -> float:
    """Area under the ROC curve of two sets of scores, (N,) and (M,), 0 to 1; an equal score counts half."""
    from scipy.stats import rankdata

    count = len(forget)
    ranks = rankdata(torch.cat([forget, remain]).numpy())[:count]
    return float((ranks.mean() - (count + 1) / 2) / len(remain))


def recall_at_loss(forget: Tensor, remain: Tensor, seed: int) -> Recall:
    """The share of D_ft above a threshold that takes at most TAKEN of D_rt, from margins, (N,) and (M,).

    The threshold is chosen on one half of D_rt, drawn by `seed`; what it takes is counted on the other. Then the halves
    change places, and the means of both are given. Accuracy on D_rt falls by no more than what is taken, since some of
    the images that are taken were not recognised before.
    """
    recalls, takens = [], []
    one, other = halves(len(remain), seed)
    for chosen, tried in ((one, other), (other, one)):
        threshold = remain[chosen].sort(descending=True).values[int(TAKEN * len(chosen))]
        recalls.append(100 * (forget > threshold).double().mean().item())
        takens.append(100 * (remain[tried] > threshold).double().mean().item())
    return Recall(sum(recalls) / 2, sum(takens) / 2)


def halves(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The numbers 0 to count - 1 in two halves that `seed` draws, int64; a single one is in both."""
    first, second = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tensor_split(2)
    return first, second if len(second) else first
