"""What is measured where several classes or single images are forgotten: accuracy, and whether D_f is remembered.

Of a class the question is whether the model still gives its label; of single images it is whether the model treats
them as it treats images that it never saw. For both, test images of the same classes (D_ft) are the yardstick: a model
that has forgotten an image says of it what it says of them.
"""

from dataclasses import dataclass

from bu_core import attacks
from bu_core.attacks.register import ATTACKS
from bu_core.audits.reestimation import reestimated
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.measures import Outputs, accuracy
from bu_core.models import batchnorms
from bu_core.results import Estimate

REESTIMATED_ON = 5000  # images of D_r


@dataclass(frozen=True)
class Remembered:
    """`accuracy`: on the four sets, in percent. `told_apart`: by attack, how well its scores tell D_f from D_ft.

    That is an AUC, 0 to 1, with a 95 % interval (DeLong et al. 1988): 0.5 where the two look alike, above where images
    of D_f look more like training data, below where they look less so than images that the model never saw. The
    attacks are those that need no shadow models; empty where an output is not finite.
    """

    accuracy: dict[str, float]
    told_apart: dict[str, Estimate]


@dataclass(frozen=True)
class Requested:
    """What a model says of the sets of a request: `before` and `after` re-estimation, None without BatchNorm.

    `sizes`: of the four sets. `seconds`: how long the model took to make, once.
    """

    sizes: dict[str, int]
    before: Remembered
    after: Remembered | None
    seconds: float


@measurement(of=(), constants=lambda: attacks.constants() | {"reestimated_on": REESTIMATED_ON})
def requested(experiment: Experiment, model: str) -> Requested:
    """What is remembered of a request; re-estimation sees REESTIMATED_ON images of D_r at the most."""
    made, said, again = experiment.model(model), experiment.outputs(model), None
    if batchnorms(made):
        other = reestimated(made, experiment.remaining(REESTIMATED_ON), experiment.precision)
        again = _remembered(experiment.answers(other), experiment.config.seed)
    sizes = {part: len(said[part].labels) for part in SPLITS}
    seconds = experiment.answered(model).made.seconds[0]
    return Requested(sizes, _remembered(said, experiment.config.seed), again, seconds)


def _remembered(said: dict[str, Outputs], seed: int) -> Remembered:
    told: dict[str, Estimate] = {}
    if all(found.logits.isfinite().all() for found in said.values()):
        for name, attack in ATTACKS.items():
            if not attack.shadows:
                scores = attack.scores(said, seed)
                told[name] = attacks.auc(scores.forget_train, scores.forget_test)
    return Remembered({part: accuracy(said[part]) for part in SPLITS}, told)
