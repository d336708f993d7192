"""Methods that fine-tune on D_f, each over its learning rate: what is left, what it costs, how deep it goes.

Networks are compared whose methods need different rates, so no rate is chosen: each method is seen at FACTORS times its
own. Re-estimation says whether the class comes back, where BatchNorm keeps statistics; if it does not, the auditors of
the ladder who train no network say how deep it is buried.
"""

from dataclasses import dataclass

from bu_core.audits import few_shot, ladder, probe, threshold
from bu_core.audits.evidence import Evidence
from bu_core.data import SPLITS
from bu_core.experiment.experiment import AUDITOR, Experiment
from bu_core.experiment.measurement import measurement
from bu_core.measures import accuracy
from bu_core.models import batchnorms
from bu_core.unlearning import METHODS

FACTORS = (0.1, 0.3, 1, 3, 10, 30)
LITTLE = 10.0  # percent of D_f; a model that leaves more has not forgotten, and no auditor asks what it hides

Accuracy = dict[str, float]  # in percent, by set


@dataclass(frozen=True)
class Recalled:
    """How much of D_ft auditors recall at a loss of 2 % of D_rt, in percent, training no network.

    By a `threshold` on the class's own logit, by `five` labelled images, and by a linear `probe` on the features.
    """

    threshold: float
    five: float
    probe: float


@dataclass(frozen=True)
class AtRate:
    """A method at `factor` times its learning rate: accuracy on the four sets, `before` and `after` re-estimation.

    `after` is None without BatchNorm. `recalled`: what auditors find then; None where more than LITTLE of D_f is left.
    No accuracy is given where the fit diverged.
    """

    factor: float
    before: Accuracy
    after: Accuracy | None
    recalled: Recalled | None


@dataclass(frozen=True)
class OverRates:
    """The `original`'s accuracy on the four sets in percent, and each method over its learning rates, by its name."""

    original: Accuracy
    methods: dict[str, list[AtRate]]


@dataclass(frozen=True)
class Yardsticks:
    """What the same auditors recall of a network that never saw the class, and of one whose answer alone is masked."""

    retrain: Recalled
    masked: Recalled


def _constants() -> dict[str, object]:
    return {"factors": FACTORS, "little": LITTLE, "auditor": AUDITOR} | ladder.constants()


@measurement(of=lambda experiment: experiment.names, constants=_constants)
def over_rates(experiment: Experiment) -> OverRates:
    """The methods of an experiment that go through D_f, each at FACTORS times its own learning rate."""
    found = {}
    for method in experiment.config.methods:
        if METHODS[method].goes_through == "forget":
            found[method] = [_at_rate(experiment, method, factor) for factor in FACTORS]
            experiment.say(f"{method} over its learning rates")
    return OverRates(_accuracy(experiment.evidence("original")), found)


def _at_rate(experiment: Experiment, method: str, factor: float) -> AtRate:
    settings = experiment.config.unlearning[method]
    model = METHODS[method](experiment.task(), **{**settings, "lr": settings["lr"] * factor})
    evidence = Evidence(model, experiment.split, experiment.precision, AUDITOR)
    again = evidence.reestimated
    before, after = _accuracy(evidence), _accuracy(again)
    little = bool(before) and bool(after) and after["forget_train"] <= LITTLE
    return AtRate(factor, before, after if batchnorms(model) else None, _recalled(again) if little else None)


def _accuracy(evidence: Evidence) -> Accuracy:
    """The accuracy on the four sets in percent; none where an output is not finite."""
    said = {part: evidence.outputs(part) for part in SPLITS}
    finite = all(found.logits.isfinite().all() for found in said.values())
    return {part: accuracy(found) for part, found in said.items()} if finite else {}


@measurement(of=("original", "retrain"), constants=ladder.constants)
def yardsticks(experiment: Experiment) -> Yardsticks:
    """What auditors recall of Retrain and of the masked original: what a depth is measured by."""
    return Yardsticks(
        _recalled(experiment.evidence("retrain").reestimated),
        _recalled(ladder.masked(experiment.evidence("original")).reestimated),
    )


def _recalled(evidence: Evidence) -> Recalled:
    return Recalled(
        threshold.ranked(evidence).recall,
        few_shot.with_five(few_shot.recalled(evidence)),
        probe.probed(evidence).recall,
    )
