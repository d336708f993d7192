"""Answers of a model whose truth is known, for the tests of the attacks."""

import torch

from bu_core.attacks import Scores
from bu_core.attacks.confidence import from_confidence
from bu_core.attacks.modified_entropy import from_modified_entropy
from bu_core.attacks.own_outputs import from_own_outputs
from bu_core.attacks.shadow_models import from_shadows
from bu_core.data import SPLITS
from bu_core.measures import Outputs

SURE, UNSURE = 9.0, 2.0


def answers(count: int, lead: float, seed: int, classes: int = 10) -> torch.Tensor:
    """Logits, (count, classes), in which one class, drawn at random, leads the others by about `lead`."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator)
    logits[torch.arange(count), torch.randint(classes, (count,), generator=generator)] += lead
    return logits


def planted(**leads: float) -> dict[str, Outputs]:
    """The four sets, with the lead that each is given."""
    sizes = {"remain_train": 1200, "remain_test": 500, "forget_train": 400, "forget_test": 300}
    return {part: labelled(answers(sizes[part], leads[part], seed)) for seed, part in enumerate(SPLITS)}


def labelled(logits: torch.Tensor) -> Outputs:
    """The outputs of a model that is right of every image."""
    return Outputs(logits, logits.argmax(1))


def by_shadows(outputs: dict[str, Outputs], seed: int) -> Scores:
    """The attack of two shadow models that are sure of their members."""
    shadows = [(answers(300, SURE, 10 + number), answers(300, UNSURE, 20 + number)) for number in range(2)]
    return from_shadows(outputs, shadows, seed)


ATTACKS = {"own outputs": from_own_outputs, "shadow models": by_shadows}
EVERY = {
    "own_outputs": from_own_outputs,
    "shadow_models": by_shadows,
    "confidence": from_confidence,
    "modified_entropy": from_modified_entropy,
}


def same_scores(one: Scores, other: Scores) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in vars(one))
