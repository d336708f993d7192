"""Evaluations, variations and replicates of models with planted numbers."""

from types import SimpleNamespace
from typing import Any, cast

from bu_book import replicates
from bu_book.gaps import Gaps
from bu_book.replicates import Told
from bu_book.variations import BeforeAndAfter, Variation, Variations
from bu_core.attacks import AttackSummary
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Evaluation
from bu_core.results import Estimate

SIZES = {"remain_train": 9000, "forget_train": 1000, "remain_test": 900, "forget_test": 100}


def evaluation(forget: float, remain: float = 80, **accuracy: float) -> Evaluation:
    """A model with these accuracies on training and test images alike, and an attack that tells nothing."""
    accuracies = {"remain_train": remain, "forget_train": forget, "remain_test": remain, "forget_test": forget}
    half = Estimate(50.0, 40.0, 60.0)
    attack = AttackSummary(half, half, half, half, half, {"members": 1, "others": 1}, half)
    return Evaluation(accuracies | accuracy, attack, 0.5, None)


def variation(
    methods: dict[str, Evaluation],
    *,
    model: str = "own",
    changed: tuple[str, ...] = (),
    original: Evaluation | None = None,
    statistics: Evaluation | None = None,
    retrain: Evaluation | None = None,
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
        retrain=retrain,
    )


def variations(*runs: Variation) -> Variations:
    return Variations(list(runs), "cifar10", SIZES, Gaps())


class Run:
    """As much of an experiment as the claims ask for. It has the models that are told of, and none diverged."""

    def __init__(self, dataset: str, told: dict[str, Told]):
        self.names = self.sound = tuple(told)
        self.config = SimpleNamespace(methods=self.names[1:], elsewhere=(), forget={})
        self.dataset = SimpleNamespace(name=dataset, classes=[str(label) for label in range(10)])


def told(forget: float = 0.0, *, asr: dict[str, float] | None = None, entropy: float = 0.5, test: float = 80) -> Told:
    """What a model says: its accuracy on D_f and on D_rt, its ASR by attack, and its mean entropy on D_f."""
    return Told({"forget_train": forget, "remain_test": test}, asr or {}, {"forget_train": entropy})


def replicated(*seeds: dict[str, Told], dataset: str = "cifar10") -> Experiment:
    """A run whose replicates say these things, by model; the original comes first."""
    runs = [Run(dataset, models) for models in seeds]
    for run, models in zip(runs, seeds, strict=True):
        replicates._SEEN[cast(Experiment, run)] = dict(models)
    own = cast(Experiment, runs[0])
    replicates._KNOWN[own] = {f"seed {seed}": cast(Experiment, run) for seed, run in enumerate(runs)}
    return own
