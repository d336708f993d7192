"""Evaluations and variations of models with planted accuracies."""

from typing import Any

from bu_book.gaps import Gaps
from bu_book.variations import BeforeAndAfter, Variation, Variations
from bu_core.attacks import AttackSummary, Counts
from bu_core.experiment.metrics import Evaluation
from bu_core.results import Estimate

SIZES = {"remain_train": 9000, "forget_train": 1000, "remain_test": 900, "forget_test": 100}


def evaluation(forget: float, remain: float = 80, **accuracy: float) -> Evaluation:
    """A model with these accuracies on training and test images alike, and an attack that tells nothing."""
    accuracies = {"remain_train": remain, "forget_train": forget, "remain_test": remain, "forget_test": forget}
    half = Estimate(50.0, 40.0, 60.0)
    attack = AttackSummary(half, half, half, half, half, Counts(1, 1), half)
    return Evaluation(accuracies | accuracy, attack, 0.5, None)


def variation(
    methods: dict[str, Evaluation],
    *,
    model: str = "own",
    changed: tuple[str, ...] = (),
    original: Evaluation | None = None,
    statistics: Evaluation | None = None,
    **given: Any,
) -> Variation:
    """A run in short, of which re-estimation changes nothing."""
    return Variation(
        model=model,
        forget_class=given.get("forget_class", "deer"),
        seed=given.get("seed", 0),
        epochs=30,
        lr=0.1,
        precision="bf16",
        changed=changed,
        original=original or evaluation(100),
        keeps_statistics=statistics is not None,
        statistics=statistics,
        methods={name: BeforeAndAfter(made, made) for name, made in methods.items()},
    )


def variations(*runs: Variation) -> Variations:
    return Variations(list(runs), "cifar10", SIZES, Gaps())
