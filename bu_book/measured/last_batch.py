"""What the last batch of a fit does to a model: an epoch may end with a few images, whose step weighs as much as any.

A step updates BatchNorm's running statistics first and the weights after them, so those of a finished model are a step
old. How much that can cost is measured on Retrain: it is trained some steps longer, and from there by a single step, on
a full batch or on FEW images, as an epoch of CIFAR-10 leaves over.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bu_core.audits.reestimation import reestimated
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.measures import accuracy
from bu_core.models import Classifier
from bu_core.training import Step, predict

LONGER = 150  # steps on full batches, before the one that is looked at
FEW = 8  # images that 45,000 in batches of 64 leave over
FULL_DRAWS, FEW_DRAWS, STATISTICS_DRAWS = 10, 30, 12
IMAGES_OF_STATISTICS = 60 * 64


@dataclass(frozen=True)
class OneStep:
    """A single step on so many `images`: their mean `loss` before it, and what it `changes` on D_rt, in points."""

    images: int
    loss: float
    changes: float


@dataclass(frozen=True)
class LastBatch:
    """Retrain's accuracy on D_rt in percent, and what single steps change of it.

    `accuracy`: as it ended. `longer`: after LONGER more steps, from where each of `steps` sets out. `reestimated`: as
    it ended, but with the statistics of other images, by draw.
    """

    accuracy: float
    longer: float
    reestimated: list[float]
    steps: list[OneStep]


@measurement(
    of=("retrain",),
    constants=lambda: {
        "longer": LONGER,
        "few": FEW,
        "draws": [FULL_DRAWS, FEW_DRAWS, STATISTICS_DRAWS],
        "statistics": IMAGES_OF_STATISTICS,
    },
)
def last_batch(experiment: Experiment) -> LastBatch:
    """What one step more does to Retrain, on a full batch and on a few images."""
    data, recipe, precision = experiment.split.remain_train, experiment.recipe, experiment.precision
    ended, model = experiment.model("retrain"), copy.deepcopy(experiment.model("retrain"))

    def on_unseen(asked: Classifier) -> float:
        return accuracy(experiment.answers(asked, {"remain_test": experiment.split.remain_test})["remain_test"])

    draws = _draws(len(data), recipe.seed)
    optimiser = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum, fused=True)
    step = Step(model, optimiser, data, recipe, F.cross_entropy)

    def drawn(count: int) -> Tensor:
        return next(draws)[:count].to(data.labels.device)

    def take(batch: Tensor) -> None:
        model.train()
        step.plain(batch)
        model.eval()

    for _ in range(LONGER):
        take(drawn(recipe.batch_size))
    longer, steps = on_unseen(model), []
    weights, momentum = copy.deepcopy(model.state_dict()), copy.deepcopy(optimiser.state_dict())
    for count in (*[recipe.batch_size] * FULL_DRAWS, *[FEW] * FEW_DRAWS):
        model.load_state_dict(weights)
        optimiser.load_state_dict(copy.deepcopy(momentum))
        batch = drawn(count)
        loss = F.cross_entropy(predict(model, data.images[batch], precision), data.labels[batch]).item()
        take(batch)
        steps.append(OneStep(count, loss, on_unseen(model) - longer))
    again = [
        on_unseen(reestimated(ended, data.images[drawn(IMAGES_OF_STATISTICS)], precision))
        for _ in range(STATISTICS_DRAWS)
    ]
    return LastBatch(on_unseen(ended), longer, again, steps)


def _draws(count: int, seed: int) -> Iterator[Tensor]:
    """Random orders of so many images, int64, on the CPU, without end."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randperm(count, generator=generator)
