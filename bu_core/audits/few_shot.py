"""Few shots: the auditor has a handful of labelled images of the forgotten class, and the last features.

Two heads are put on the frozen features, each from k images of D_f:

- **Prototype**, after the Prototypical Relearning Attack of Ha et al. (arXiv 2506.01318): the class's row of the last
  layer becomes the mean of the k normalised features. Theirs is a mixture with the old row, `alpha` prototype and
  `1 - alpha` old, with another alpha for different models. Here alpha is 1 for all, so that nothing of the old row
  stays and a row that was set to zero hides nothing. The prototype is taken relative to the mean normalised feature of
  the sampled images of D_r, without which it recalls far less, and scaled to the mean norm of the other rows; theirs
  has norm 1. All other rows stay.
- **Ridge**: a new head for all classes in closed form, on the k images and the sampled images of D_r.

What is measured is the recall of D_ft by a threshold that takes at most 2 % of D_rt (`threshold.recall_at_loss`),
2 % by chance. A model that never learned the class has useful features too, so that Retrain's recall is well above
chance, and grows with k. What the model kept is the distance from Retrain: above it the class is still in the
features, below it they scatter the class more than not knowing it would.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .evidence import Evidence
from .threshold import margins, recall_at_loss

SHOTS = (1, 5, 20)
TESTED = ("forget_test", "remain_test")  # the sets that a head is asked about
DRAWS = 20  # of the shots; the median recall is given
PENALTY = 1.0  # of the ridge, for standardised features and a mean squared error


@dataclass(frozen=True)
class FewShot:
    """Recall of D_ft in percent, the median over DRAWS of so many `shots`, by either head; 2 by chance."""

    shots: int
    prototype: float
    ridge: float


def recalled(evidence: Evidence) -> list[FewShot]:
    """What k images of D_f bring back, for each k of SHOTS; as many as there are where there are fewer."""
    generator = torch.Generator().manual_seed(evidence.seed)
    of_class = evidence.features("forget_train")
    heads = Prototype(evidence), Ridge(evidence)
    found = []
    for shots in SHOTS:
        draws = [torch.randperm(len(of_class), generator=generator)[:shots] for _ in range(DRAWS)]
        recalls = [statistics.median(_recall(evidence, head, of_class[drawn]) for drawn in draws) for head in heads]
        found.append(FewShot(shots, *recalls))
    return found


def with_five(found: Sequence[FewShot]) -> float:
    """What five images bring back, by the head that finds more: an auditor tries both."""
    return next(max(each.prototype, each.ridge) for each in found if each.shots == 5)


def _recall(evidence: Evidence, head: "Prototype | Ridge", shots: Tensor) -> float:
    forget, remain = (margins(logits, evidence.forget_class) for logits in head(shots))
    return recall_at_loss(forget, remain, evidence.seed).recall


def scale(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature, (F,), of (N, F); no deviation is less than a hundredth of the mean one.

    A neuron that only the forgotten class wakes has no deviation on D_r, and shall not outweigh all others by far.
    """
    deviation = features.std(0)
    return features.mean(0), deviation.clamp(min=max(deviation.mean().item() / 100, 1e-6))


class Prototype:
    """The last layer with the class's row replaced by a prototype of some shots, (k, F): its logits of TESTED."""

    def __init__(self, evidence: Evidence):
        self._class, layer = evidence.forget_class, evidence.model.classifier
        others = torch.arange(layer.out_features) != self._class
        self._norm = layer.weight.detach().cpu().double()[others].norm(dim=1).mean()
        self._centre = F.normalize(evidence.features("remain_train").double()).mean(0)
        self._asked = [(evidence.outputs(part).logits.double(), evidence.features(part).double()) for part in TESTED]

    def __call__(self, shots: Tensor) -> list[Tensor]:
        row = self._norm * F.normalize(F.normalize(shots.double()).mean(0) - self._centre, dim=0)
        found = []
        for logits, features in self._asked:
            found.append(logits.clone())
            found[-1][:, self._class] = features @ row
        return found


class Ridge:
    """A ridge regression of one-hot labels on the sampled images of D_r and some shots, (k, F): its logits of TESTED.

    Features are standardised by those of D_r; every class counts alike, however many images it has. The penalty is
    PENALTY times the squared weights, beside the mean squared error; the bias is not penalised.
    """

    def __init__(self, evidence: Evidence):
        labels, classes = evidence.outputs("remain_train").labels, len(evidence.split.classes)
        remain = evidence.features("remain_train").double()
        self._class, self._classes = evidence.forget_class, classes
        self._mean, self._deviation = scale(remain)
        inputs, targets = self._inputs(remain), F.one_hot(labels, classes).double()
        weighted = inputs * (1 / (classes * targets.sum(0)))[labels, None]
        penalty = torch.full((inputs.shape[1],), PENALTY, dtype=torch.float64)
        penalty[-1] = 0
        self._products, self._answers = weighted.T @ inputs + penalty.diag(), weighted.T @ targets
        self._asked = [self._inputs(evidence.features(part).double()) for part in TESTED]

    def __call__(self, shots: Tensor) -> list[Tensor]:
        inputs = self._inputs(shots.double())
        answers = self._answers.clone()
        answers[:, self._class] = inputs.mean(0) / self._classes
        head = torch.linalg.solve(self._products + inputs.T @ inputs / (len(inputs) * self._classes), answers)
        return [asked @ head for asked in self._asked]

    def _inputs(self, features: Tensor) -> Tensor:
        """Standardised features and a one, (N, F + 1)."""
        return F.pad((features - self._mean) / self._deviation, (0, 1), value=1.0)
