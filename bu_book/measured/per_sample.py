"""The audits of single images, across many models of one method and as many Retrains, on a profile that trains fast."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from bu_core.audits import per_sample as audits
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.measures import Outputs
from bu_core.results import Kept

MODELS = 32  # of either kind


@dataclass(frozen=True)
class SampleScores:
    """What was found of each image of a set, float32, (N,); `audits.per_sample` says what the numbers are.

    `u_lira`, `rmia`: AUC, 0 to 1. `klom`: in nats, of half of the models against half of the Retrains;
    `klom_of_retrains`: of the other half of the Retrains against the same.
    """

    u_lira: Annotated[Tensor, Kept(torch.float32, recorded=torch.float16)]
    rmia: Annotated[Tensor, Kept(torch.float32, recorded=torch.float16)]
    klom: Annotated[Tensor, Kept(torch.float32, recorded=torch.float16)]
    klom_of_retrains: Annotated[Tensor, Kept(torch.float32, recorded=torch.float16)]


@dataclass(frozen=True)
class PerSample:
    """What tells so many `models` of a method from as many Retrains, image by image.

    `forget_train`: D_f, which every original trained on and every Retrain did not. `forget_test`: D_ft, which no model
    ever saw, so that what is found there is knowledge of the class; memory of an image is what D_f has beyond it.
    """

    models: int
    forget_train: SampleScores
    forget_test: SampleScores


def _constants() -> dict[str, Any]:
    found = {"gamma": audits.GAMMA, "bins": audits.BINS, "empty": audits.EMPTY}
    return found | {"clipped": audits.CLIPPED, "floor": audits.FLOOR}


@measurement(constants=_constants)
def per_sample(experiment: Experiment, model: str, models: int = MODELS) -> PerSample:
    """Train `models` originals, each from its own seed, unlearn each with the method `model`, and as many Retrains.

    `original` is left as it is, the other end of the scale; `retrain` is compared with Retrains of further seeds. The
    population of RMIA are the images of D_rt. Every model is found in the store once it is trained, so an interrupted
    measurement goes on where it was.
    """
    first = experiment.config.seed + 1
    seeds, further = range(first, first + models), range(first + models, first + 2 * models)
    unlearned = _outputs(experiment, model, further if model == "retrain" else seeds)
    retrained = _outputs(experiment, "retrain", seeds)
    return PerSample(models, *(_scores(unlearned, retrained, part) for part in ("forget_train", "forget_test")))


def _outputs(experiment: Experiment, model: str, seeds: Iterable[int]) -> dict[str, Outputs]:
    """What the models of these seeds say: logits (M, N, K) and labels (N,) of each set that is asked about."""
    methods = () if model == "original" else (model,)
    said = [experiment.variation(methods, seed=seed).outputs(model) for seed in seeds]
    parts = ("forget_train", "forget_test", "remain_test")
    return {part: Outputs(torch.stack([each[part].logits for each in said]), said[0][part].labels) for part in parts}


def _scores(unlearned: dict[str, Outputs], retrained: dict[str, Outputs], part: str) -> SampleScores:
    margins, retrain_margins = (audits.margins(said[part].logits, said[part].labels) for said in (unlearned, retrained))
    (asked, known), (population, others) = (
        [audits.log_posteriors(said[each].logits, said[each].labels) for said in (unlearned, retrained)]
        for each in (part, "remain_test")
    )
    found = (
        audits.u_lira(margins, retrain_margins),
        audits.rmia(asked, known, (population, others)),
        audits.klom(margins[::2], retrain_margins[1::2]),
        audits.klom(retrain_margins[::2], retrain_margins[1::2]),
    )
    return SampleScores(*(each.float() for each in found))
