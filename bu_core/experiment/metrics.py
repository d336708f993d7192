"""What every model of an experiment is measured by: accuracy, attacks, entropy and time; left in `metrics.json`."""

import statistics
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from .. import attacks, measures
from ..attacks import AttackSummary, Scores
from ..attacks.own_outputs import from_own_outputs
from ..attacks.register import ATTACKS
from ..attacks.shadow_models import from_shadows
from ..audits.reestimation import reestimated
from ..data import SPLITS, described
from ..data.request import asked_for
from ..measures import EntropyDistances, Outputs
from ..results import as_json
from ..store import write_json
from .environment import Environment
from .experiment import Experiment
from .measurement import measurement


@dataclass(frozen=True)
class Seconds:
    """How long a model took to make, each time that it was measured, and the median."""

    median: float
    runs: list[float]


@dataclass(frozen=True)
class EntropyMetrics:
    """The entropy of the outputs in nats: its `mean` on each set, and its `histogram` there in percent.

    `distance_to_retrain`: how far the entropies of D_f lie from Retrain's; None without Retrain.
    """

    mean: dict[str, float]
    histogram: dict[str, list[float]]
    distance_to_retrain: EntropyDistances | None


@dataclass(frozen=True)
class ModelMetrics:
    """What was measured of one model. `accuracy`: on each set in percent.

    `forget_train_shares`: the share of D_f that is given each class, in percent. `attacks`: what each found, by its
    name in ATTACKS; without shadow models, which have to be asked for, that attack is not made. `settings`: of its
    method. `recording`: of Amnesiac, see `Fitting._record`.
    """

    accuracy: dict[str, float]
    forget_train_shares: list[float]
    entropy: EntropyMetrics
    attacks: dict[str, AttackSummary]
    seconds: Seconds
    settings: dict[str, Any]
    recording: dict[str, Any] | None
    environment: Environment


@dataclass(frozen=True)
class DatasetFacts:
    """What the data are. `sizes`: the number of images in each set."""

    name: str
    origin: str
    fingerprint: str
    classes: list[str]
    sizes: dict[str, int]


@dataclass(frozen=True)
class Metrics:
    """What was measured of all models. `diverged`: those whose outputs are not finite, of which there is no number."""

    config: dict[str, Any]
    dataset: DatasetFacts
    environment: Environment
    methods: dict[str, ModelMetrics]
    diverged: list[str]

    @property
    def forgotten(self) -> str:
        """What was forgotten, in words: the name of a class, or of a request."""
        return described(asked_for(self.config["forget"], self.config["forget_class"]), self.dataset.classes)

    @property
    def forget_classes(self) -> tuple[int, ...]:
        """The classes that are forgotten whole, by index; none where single images are."""
        return tuple(asked_for(self.config["forget"], self.config["forget_class"]).get("classes", ()))

    def as_json(self) -> dict[str, Any]:
        """As it stands in `metrics.json`: the means of the entropy beside its histogram, and diverged models.

        The attacks are `attack` (own outputs), `attack_shadow` (null where not made), and `attack_` with the name.
        """
        content, named = as_json(self), {"own_outputs": "attack", "shadow_models": "attack_shadow"}
        for found in content["methods"].values():
            found["entropy"] |= found["entropy"].pop("mean")
            made = found.pop("attacks")
            found |= {named.get(kind, f"attack_{kind}"): made.get(kind) for kind in ATTACKS}
        content["methods"] |= {name: {"diverged": True} for name in content.pop("diverged")}
        return content


_KNOWN: WeakKeyDictionary[Experiment, Metrics] = WeakKeyDictionary()


def metrics(experiment: Experiment) -> Metrics:
    """Everything of each model, with all that it depends on; computed once for an experiment."""
    if experiment not in _KNOWN:
        data, sound, attacked = experiment.dataset, experiment.sound, _attacked(experiment)
        sizes = {part: len(said.labels) for part, said in experiment.outputs("original").items()}
        _KNOWN[experiment] = Metrics(
            experiment.config.as_dict(),
            DatasetFacts(data.name, data.origin, data.fingerprint, list(data.classes), sizes),
            experiment.environment,
            {name: _of_model(experiment, name, attacked[name]) for name in sound},
            [name for name in experiment.names if name not in sound],
        )
    return _KNOWN[experiment]


def write_metrics(experiment: Experiment) -> Metrics:
    """The `metrics`, also written to `metrics.json` in the results folder."""
    found = metrics(experiment)
    write_json(experiment.folder / "metrics.json", found.as_json())
    return found


def _of_model(experiment: Experiment, name: str, attacked: dict[str, AttackSummary]) -> ModelMetrics:
    said, made = experiment.outputs(name), experiment.answered(name).made
    retrain = experiment.outputs("retrain")["forget_train"] if "retrain" in experiment.sound else None
    return ModelMetrics(
        accuracy={part: measures.accuracy(said[part]) for part in SPLITS},
        forget_train_shares=measures.shares(said["forget_train"]),
        entropy=EntropyMetrics(
            {part: measures.entropy(said[part]).mean().item() for part in SPLITS},
            {part: measures.entropy_histogram(said[part]) for part in SPLITS},
            measures.entropy_distances(said["forget_train"], retrain) if retrain else None,
        ),
        attacks=attacked,
        seconds=Seconds(statistics.median(made.seconds), made.seconds),
        settings=dict(experiment.config.unlearning[name]) if name != "original" else {},
        recording=made.recording,
        environment=made.environment,
    )


@measurement(of=(), constants=attacks.constants)
def attack(experiment: Experiment, model: str) -> Scores:
    """The scores of the membership attack that learns from the model's own outputs."""
    return from_own_outputs(experiment.outputs(model), experiment.config.seed)


@measurement(of=("original",), constants=attacks.constants)
def attack_shadow(experiment: Experiment, model: str, shadow_models: int) -> Scores:
    """The scores of the membership attack that learns from so many shadow models."""
    shadows = [experiment.shadow(number) for number in range(shadow_models)]
    return from_shadows(experiment.outputs(model), shadows, experiment.config.seed)


def _attacked(experiment: Experiment) -> dict[str, dict[str, AttackSummary]]:
    """What was found of each sound model by each attack."""
    found: dict[str, dict[str, AttackSummary]] = {name: {} for name in experiment.sound}
    for kind, made in ATTACKS.items():
        if experiment.config.shadow_models or not made.shadows:
            scores = {name: _scores(experiment, kind, name) for name in found}
            for name, of_model in scores.items():
                found[name][kind] = attacks.summary(of_model, scores.get("retrain"), experiment.config.seed)
    return found


def _scores(experiment: Experiment, kind: str, name: str) -> Scores:
    """The scores of an attack on a model; those that a fit takes time for are kept."""
    if kind == "own_outputs":
        return attack(experiment, name)
    if kind == "shadow_models":
        return attack_shadow(experiment, name, experiment.config.shadow_models)
    return ATTACKS[kind].scores(experiment.outputs(name), experiment.config.seed)


@dataclass(frozen=True)
class Evaluation:
    """A model in short: `accuracy` on the four sets in percent, the `attack`, and the mean `entropy` of D_f in nats.

    `seconds`: the median time that the model took to make; None for one that no method made.
    """

    accuracy: dict[str, float]
    attack: AttackSummary
    entropy: float
    seconds: float | None


def evaluated(experiment: Experiment, said: dict[str, Outputs], seconds: float | None = None) -> Evaluation:
    """The evaluation of any model by what it says of the four sets."""
    seed, forgotten = experiment.config.seed, measures.entropy(said["forget_train"]).mean().item()
    accuracy = {part: measures.accuracy(found) for part, found in said.items()}
    return Evaluation(accuracy, attacks.summary(from_own_outputs(said, seed), None, seed), forgotten, seconds)


@measurement(of=(), constants=lambda: attacks.constants() | {"draws": attacks.DRAWS})
def evaluation(experiment: Experiment, model: str, reestimated_on: int = 0) -> Evaluation:
    """A model in short, after BatchNorm's statistics were estimated anew on so many images of D_r; 0 leaves them."""
    seconds = statistics.median(experiment.answered(model).made.seconds)
    if not reestimated_on:
        return evaluated(experiment, experiment.outputs(model), seconds)
    again = reestimated(experiment.model(model), experiment.remaining(reestimated_on), experiment.precision)
    return evaluated(experiment, experiment.answers(again), seconds)
