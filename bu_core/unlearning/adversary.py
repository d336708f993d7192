"""What makes features forget: an adversary who probes them at every step, and a loss that leaves it nothing to find.

A model whose answers have forgotten a class may still hold it in its features, where a new last layer finds it. The
adversary is such a layer, and linear: a ridge regression that tells the features of D_f from those of the images beside
it. Of the latest batches it is solved in closed form, so that it is the best of its kind at every step and needs no
training of its own. The loss moves the features of D_f to where its score is that of other images. It is the game of
domain-adversarial training (Ganin et al. 2016) with the linear adversary of concept erasure (Ravfogel et al. 2022,
arXiv 2201.12091); where both kinds of features have one mean, no linear adversary finds anything (Belrose et al. 2023,
arXiv 2306.03819).
"""

from collections import deque

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models import Features
from ..training import OnFeatures

KEPT = 16  # batches that the adversary looks at, the present one among them
PENALTY = 0.2  # on its squared weights, of standardised features; the ladder's heads of few shots have 1
FLOOR = 0.05  # of a feature's deviation, in mean deviations: one that no other image wakes shall not outweigh all


class Adversary:
    """A loss of features at one place of a network; it remembers, so that no step of its fit may be replayed.

    `weight`: of the loss in that of the fit.
    """

    def __init__(self, weight: float):
        self.weight = weight
        self._kept: deque[tuple[Tensor, Tensor]] = deque(maxlen=KEPT)

    def __call__(self, features: Tensor, beside: Tensor) -> Tensor:
        """What the adversary finds in the `features` of a batch of D_f, (B, F), above those `beside`, (M, F): a scalar.

        A score is 1 where the adversary is sure of D_f and -1 where it is sure of other images. The loss is the mean
        square of what it is above that of other images on average; a score below is none of its concern.
        """
        self._kept.append((features.detach(), beside.detach()))
        forget, other = (torch.cat(side) for side in zip(*self._kept, strict=True))
        centre, deviation = other.mean(0), other.std(0)
        deviation = deviation + FLOOR * deviation.mean() + 1e-8

        def inputs(found: Tensor) -> Tensor:
            return F.pad((found - centre) / deviation, (0, 1), value=1.0)

        forget, other = inputs(forget), inputs(other)
        # Either side counts alike, however many images it has; the bias, which is last, has no penalty.
        products = forget.T @ forget / len(forget) + other.T @ other / len(other)
        products.diagonal()[:-1] += PENALTY
        probe = torch.linalg.solve(products, forget.mean(0) - other.mean(0))
        above = inputs(features) @ probe - (other @ probe).mean()
        return self.weight * F.relu(above).square().mean()


def both(last: float, before: float) -> OnFeatures:
    """The loss of an adversary of the last features and of one a block earlier, with these weights; one may be 0.

    To be given to `training.fit` as `on_features`, with `replayed=False`.
    """
    adversaries = {name: Adversary(weight) for name, weight in (("last", last), ("before", before)) if weight}

    def loss(features: Features, beside: Features) -> Tensor:
        found = [each(getattr(features, name), getattr(beside, name)) for name, each in adversaries.items()]
        return torch.stack(found).sum()

    return loss
