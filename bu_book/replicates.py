"""Replicates: the same run with other seeds, over which the claims are judged.

A run's replicates are its own seed and every `elsewhere: [{seed: n}]` of it. Where the config names a profile under
`replicates` whose run is recorded, they are those of that run: it repeats the training on another machine, and holds no
more than what the ledger asks for. What a record lacks of a replicate is missing, and is named.
"""

import math
import statistics
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from weakref import WeakKeyDictionary

from bu_core import attacks, measures
from bu_core.attacks.register import ATTACKS
from bu_core.config import Config
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.experiment.metrics import attack, attack_shadow, evaluation
from bu_core.experiment.record import NotRecorded, Record

from .claims import THIS_RUN, CannotTest, between_two, not_run
from .gaps import named


@dataclass(frozen=True)
class Told:
    """What a model says, in short. `accuracy` in percent and mean `entropy` in nats, by set.

    `asr`: by attack, the share of D_f that it calls members, in percent.
    """

    accuracy: dict[str, float]
    asr: dict[str, float]
    entropy: dict[str, float]


@measurement(of=(), constants=attacks.constants)
def told(experiment: Experiment, model: str) -> Told:
    """What a model says, in short, and to every attack that needs no shadow models; no ASR where it diverged."""
    said, seed = experiment.outputs(model), experiment.config.seed
    entropy = {part: measures.entropy(said[part]).mean().item() for part in SPLITS}
    asr = {}
    for kind, made in ATTACKS.items():
        if not made.shadows and all(map(math.isfinite, entropy.values())):
            scores = attack(experiment, model) if kind == "own_outputs" else made.scores(said, seed)
            asr[kind] = _called_members(scores)
    return Told({part: measures.accuracy(said[part]) for part in SPLITS}, asr, entropy)


def _called_members(scores: attacks.Scores) -> float:
    return 100 * (scores.forget_train > 0.5).double().mean().item()


@dataclass(frozen=True)
class Values:
    """A number by replicate, and which replicates lack it and why, in words, those with one reason together."""

    found: dict[str, float]
    missing: list[str] = field(default_factory=list)

    @property
    def spread(self) -> float | None:
        """The standard deviation over the replicates; None for a single one."""
        return statistics.stdev(self.found.values()) if len(self.found) > 1 else None

    @property
    def between_two(self) -> float | None:
        """Within what distance two replicates lie with 95 %; see `claims.between_two`."""
        return between_two(list(self.found.values()))


# They take longer than Retrain, or train the original once more, so the further seeds of a run go without them, unless
# seeds are all that its config names elsewhere: such a run is there to be repeated.
LONG = ("fisher", "amnesiac")

# The models that climb the ladder of audits in a run that nobody recorded: it takes 6 s each for the digits.
CLIMBED_HERE = ("original", "retrain", "boundary_shrink", "file")

_KNOWN: WeakKeyDictionary[Experiment, dict[str, Experiment]] = WeakKeyDictionary()
_SEEN: WeakKeyDictionary[Experiment, dict[str, Told]] = WeakKeyDictionary()


def replicates(experiment: Experiment) -> dict[str, Experiment]:
    """The runs that a claim is judged over, by their seed in words."""
    if experiment not in _KNOWN:
        base = _named(experiment) or experiment
        only_seeds = all(set(change) == {"seed"} for change in base.config.elsewhere)
        methods = [name for name in base.config.methods if only_seeds or name not in LONG]
        found = {f"seed {base.config.seed}": base}
        for change in base.config.elsewhere:
            if set(change) == {"seed"} and change["seed"] != base.config.seed:
                found[f"seed {change['seed']}"] = there = base.variation(methods, **change)
                there.config = replace(there.config, shadow_models=0)  # they are trained for the first seed alone
        _KNOWN[experiment] = found
    return _KNOWN[experiment]


def first_replicate(experiment: Experiment) -> Experiment:
    """The first of its `replicates`: the recorded run that repeats it, or itself."""
    return next(iter(replicates(experiment).values()))


# What has to be the same in a run for it to be a replicate of another.
_ALIKE = (
    "dataset", "data", "model", "pretraining", "width", "forget_class", "forget", "epochs", "batch_size", "lr",
    "momentum",
)  # fmt: skip


def beside(config: Config, profile: str) -> Config:
    """The run of a profile that stands beside this one; what it computes lies beside this one's results."""
    other = Config.from_profile(profile)
    here = Path(config.results_dir).parent / Path(other.results_dir).name
    return replace(other, results_dir=str(here), beside=())


def _named(experiment: Experiment) -> Experiment | None:
    """The recorded run that repeats this one, where its config names one and the two are alike."""
    config = experiment.config
    if not config.replicates:
        return None
    other = beside(config, config.replicates)
    if Record.find(other) is None:
        return None
    found = Experiment(other)
    shared = [name for name in found.config.methods if name in config.methods]
    alike = all(getattr(found.config, name) == getattr(config, name) for name in _ALIKE)
    alike = alike and all(found.config.unlearning[name] == config.unlearning[name] for name in shared)
    return found if alike else None


def seen(run: Experiment, model: str) -> Told:
    """What a model of a replicate says, as far as it is recorded: an old evaluation has but one of the attacks.

    Raises NotRecorded where there is nothing of it, and CannotTest where the replicate has no such model or it
    diverged.
    """
    if model != "original" and model not in run.config.methods:
        raise CannotTest(not_run(model))
    known = _SEEN.setdefault(run, {})
    if model not in known:
        known[model] = _recorded(run, model)
    found = known[model]
    if not all(map(math.isfinite, found.entropy.values())):
        raise CannotTest(f"{model} diverged")
    return found


def _recorded(run: Experiment, model: str) -> Told:
    for ask in (told, told.compute):  # the second finds the outputs, which a record keeps of its own run
        with suppress(NotRecorded):
            found = ask(run, model)
            if run.config.shadow_models:
                with suppress(NotRecorded):
                    scores = attack_shadow(run, model, run.config.shadow_models)
                    found = replace(found, asr=found.asr | {"shadow_models": _called_members(scores)})
            return found
    kept = evaluation(run, model)
    asr = {} if kept.attack.asr.value is None else {"own_outputs": kept.attack.asr.value}
    return Told(kept.accuracy, asr, {"forget_train": kept.entropy})


def over(experiment: Experiment, ask: Callable[[Experiment], float]) -> Values:
    """A number of each replicate; of the run itself alone where a run that repeats it has none.

    Raises the first reason where there is no number at all.
    """
    found, missing, reasons = dict[str, float](), dict[str, list[str]](), []
    asked = replicates(experiment)
    if experiment not in asked.values():
        asked = asked | {THIS_RUN: experiment}
    for name, run in asked.items():
        if name == THIS_RUN and found:
            break
        try:
            found[name] = ask(run)
        except (NotRecorded, CannotTest) as reason:
            missing.setdefault(named(reason), []).append(name)
            reasons.append(reason)
    if not found:
        raise reasons[-1]
    return Values(found, [f"{', '.join(names)} ({reason})" for reason, names in missing.items()])


def attacks_made(experiment: Experiment) -> list[str]:
    """The attacks that were made on Retrain in any replicate, in the order of ATTACKS."""
    made = set[str]()
    for run in replicates(experiment).values():
        with suppress(NotRecorded, CannotTest):
            made |= set(seen(run, "retrain").asr)
    return [kind for kind in ATTACKS if kind in made]


def by_class(experiment: Experiment, methods: tuple[str, ...], ask: Callable[[Experiment], float]) -> dict[str, float]:
    """A number by the name of the forgotten class, for this run and those of `config.elsewhere`.

    `methods`: those that `ask` asks for. A class of which nothing is recorded is left out. Empty for a run that forgets
    anything else than one class.
    """
    found = {}
    changes = [change for change in experiment.config.elsewhere if set(change) == {"forget_class"}]
    for change in ({}, *changes) if changes and not experiment.config.forget else ():
        there = experiment.variation(methods, **change)
        with suppress(NotRecorded):
            found[experiment.dataset.classes[int(there.config.forget_class)]] = ask(there)
    return found
