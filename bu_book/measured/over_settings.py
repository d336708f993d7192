"""A method over one of its settings: Fisher Forgetting over the strength of its noise, others over the learning rate.

A number at a single setting says as much of the setting as of the method. Each point here is a model, looked at as
Table 1 and Figure 3 look: accuracy on the four sets, and how many of D_f each attack calls members.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from bu_core import attacks, measures
from bu_core.attacks.register import ATTACKS
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.measures import Outputs
from bu_core.unlearning.fisher import information, noised

# The learning rates of a method, as multiples of its own. What goes through D_r takes as long as the training did, so
# there are fewer of them.
RATE_FACTORS: dict[str, tuple[float, ...]] = {
    "finetune": (0.3, 1, 2, 4),
    "negative_gradient": (0.1, 1, 3, 10, 30),
    "random_labels": (0.1, 1, 3, 10, 30),
}

ALPHAS = (0.0, 1e-9, 1e-8, 1e-7, 1e-6, 3e-6, 1e-5, 1e-4)  # of Fisher's noise; 0 adds none
OUTPUT_ROWS: tuple[Literal["kept", "erased"], ...] = ("kept", "erased")
IMAGES_AT_MOST = 2_000  # of each set, on which a point of the sweep over alpha is looked at


@dataclass(frozen=True)
class Point:
    """A model in short: `accuracy` on the four sets in percent, and by attack the ASR, in percent.

    Both are empty where an output is not finite, since the fit diverged. The attacks are those that need no shadow
    models, by their names in ATTACKS.
    """

    accuracy: dict[str, float]
    asr: dict[str, float]


def point(said: Mapping[str, Outputs], seed: int) -> Point:
    """A model in short, by what it says of the four sets."""
    if not all(found.logits.isfinite().all() for found in said.values()):
        return Point({}, {})
    asr = {}
    for kind, made in ATTACKS.items():
        if not made.shadows:
            asr[kind] = 100 * (made.scores(said, seed).forget_train > 0.5).double().mean().item()
    return Point({part: measures.accuracy(found) for part, found in said.items()}, asr)


@measurement(of=(), constants=attacks.constants)
def at_setting(experiment: Experiment, model: str) -> Point:
    """A method's model in short; the experiment has the settings that are asked about (`with_settings`)."""
    return point(experiment.outputs(model), experiment.config.seed)


def rates(method: str, own: float) -> list[float]:
    """The learning rates at which a method of RATE_FACTORS is looked at; `own`: that which it has in a run."""
    return [float(f"{own * factor:.6g}") for factor in RATE_FACTORS[method]]


@dataclass(frozen=True)
class FisherPoint:
    """Fisher Forgetting at one strength of its noise.

    `output_row`: whether the neuron of the forgotten class was erased first. At `alpha` 0 nothing else is done: the
    original with the logit of that class at 0 where it was erased, the original where it was kept. `like_masked`: the
    share of the images of each set, in percent, that get the same answer as from the original with that logit at 0.
    """

    alpha: float
    output_row: str
    found: Point
    like_masked: dict[str, float]


@dataclass(frozen=True)
class FisherSweep:
    """Fisher Forgetting over ALPHAS and OUTPUT_ROWS, all with one Fisher information and one draw of the noise.

    `images`: on how many of each set each point was looked at.
    """

    points: list[FisherPoint]
    images: dict[str, int]


@measurement(
    of=("original",),
    constants=lambda: attacks.constants() | {"alphas": ALPHAS, "rows": OUTPUT_ROWS, "images_at_most": IMAGES_AT_MOST},
)
def fisher_sweep(experiment: Experiment, samples: int, labels: Literal["model", "data"]) -> FisherSweep:
    """Fisher Forgetting with these settings over the strength of its noise."""
    task, seed = experiment.task(), experiment.config.seed
    sets = {part: experiment.sampled(part, IMAGES_AT_MOST) for part in SPLITS}
    generator = torch.Generator().manual_seed(task.recipe.seed)
    found = information(task, samples, labels, generator)
    before = generator.get_state()

    def said(alpha: float, output_row: Literal["kept", "erased"]) -> dict[str, Outputs]:
        generator.set_state(before)
        model = noised(task, found, alpha, output_row, generator)
        return experiment.answers(model, sets)

    masked = said(0.0, "erased")
    points = []
    for output_row in OUTPUT_ROWS:
        for alpha in ALPHAS:
            answers = said(alpha, output_row) if (alpha, output_row) != (0.0, "erased") else masked
            like = {part: measures.agreement(answers[part], masked[part]) for part in SPLITS}
            points.append(FisherPoint(alpha, output_row, point(answers, seed), like))
    return FisherSweep(points, {part: len(data) for part, data in sets.items()})
