"""Metrics that hold the paper's own numbers, for the tests of claims and tables."""

from dataclasses import replace
from typing import Any

from bu_book import paper
from bu_core.attacks import AttackSummary
from bu_core.attacks.register import ATTACKS
from bu_core.data import SPLITS
from bu_core.experiment.metrics import DatasetFacts, EntropyMetrics, Metrics, ModelMetrics, Seconds
from bu_core.measures import ENTROPY_BINS, EntropyDistances
from bu_core.results import Estimate

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# In the order of the paper's Figure 3, on CIFAR-10.
ASR = {
    "original": 99, "retrain": 50, "finetune": 80, "negative_gradient": 10, "random_labels": 15,
    "boundary_shrink": 52, "boundary_expanding": 45, "fisher": 0, "amnesiac": 47,
}  # fmt: skip
ON_FACES = {"negative_gradient": 85, "random_labels": 80}  # where these two stay high


def as_printed(dataset: str, **config: Any) -> Metrics:
    """The paper's accuracies on `cifar10` or `faces`, and ASRs in the order of its Figure 3."""
    accuracy = paper.table_1(dataset).accuracy
    if dataset == "cifar10":
        accuracy = accuracy | paper.table_2(dataset).accuracy
    asr = ASR | (ON_FACES if dataset == "faces" else {})
    return Metrics(
        config={
            "forget": {},
            "forget_class": 4,
            "model": "allcnn",
            "width": 0.5,
            "epochs": 30,
            "seed": 0,
            "unlearning": {},
        }
        | config,
        dataset=DatasetFacts(dataset, "the paper", "no images", CLASSES, dict.fromkeys(SPLITS, 100)),
        environment={},
        methods={name: _model(found, asr[name], asr["retrain"]) for name, found in accuracy.items()},
        diverged=[],
    )


def changed(found: Metrics, name: str, **fields: Any) -> Metrics:
    """The metrics with some fields of one model replaced; of its accuracy, the sets that are given."""
    before = found.methods[name]
    if "accuracy" in fields:
        fields["accuracy"] = before.accuracy | fields["accuracy"]
    return replace(found, methods=found.methods | {name: replace(before, **fields)})


def without(found: Metrics, *names: str) -> Metrics:
    """The metrics of a run that has not these models."""
    return replace(found, methods={name: result for name, result in found.methods.items() if name not in names})


def entropy(distance: float | None = None, **mean: float) -> EntropyMetrics:
    """Mean entropies, 0 unless given, even histograms, and a Wasserstein distance from Retrain's."""
    even = {part: [100 / ENTROPY_BINS] * ENTROPY_BINS for part in SPLITS}
    distances = None if distance is None else EntropyDistances(0.5, distance)
    return EntropyMetrics(dict.fromkeys(SPLITS, 0.0) | mean, even, distances)


def attacks(asr: float, retrain: float | None = None) -> dict[str, AttackSummary]:
    """The same found by every attack that needs no shadow models."""
    return {kind: attack(asr, retrain) for kind, made in ATTACKS.items() if not made.shadows}


def attack(asr: float, retrain: float | None = None, *, false_positives: float = 30.0) -> AttackSummary:
    """What an attack found: an ASR 4 points wide, and how far it lies from Retrain's."""
    return AttackSummary(
        asr=_about(asr),
        false_positive_rate=_about(false_positives),
        advantage=_about(asr - false_positives),
        balanced_accuracy=_about(60),
        auc=Estimate(0.61, 0.6, 0.62),
        images={"members": 10, "others": 10},
        distance_to_retrain=Estimate(None, None, None) if retrain is None else _about(asr - retrain),
    )


def _about(value: float) -> Estimate:
    return Estimate(value, value - 2, value + 2)


def _model(accuracy: dict[str, float], asr: float, retrain: float) -> ModelMetrics:
    return ModelMetrics(
        accuracy=accuracy, forget_train_shares=[10.0] * len(CLASSES), entropy=entropy(),
        attacks=attacks(asr, retrain), seconds=Seconds(1.0, [1.0]), settings={}, recording=None,
        environment={"date": "today"},
    )  # fmt: skip
