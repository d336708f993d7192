"""How much of the time that a class takes to be relearned is its output row, and not what the features hold.

Whoever never saw a class pushes its logit down for every image, and that has to be undone before the class is named
again. So the row of the class is exchanged: the original gets Retrain's, and Retrain's is set to zero.
"""

from dataclasses import dataclass

from bu_core.audits import ladder, relearning
from bu_core.audits.evidence import Evidence
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.models import Classifier, row_erased, with_rows


@dataclass(frozen=True)
class RowExchanged:
    """Steps of `relearning.relearn_few`: of the `original` with Retrain's output row, of `retrain` with none."""

    original: int
    retrain: int


@measurement(of=("original", "retrain"), constants=ladder.constants)
def row_exchanged(experiment: Experiment) -> RowExchanged:
    """How long the class takes to be relearned with another output row."""
    original, retrain = experiment.evidence("original"), experiment.evidence("retrain")
    changed = with_rows(original.model, retrain.model.classifier, experiment.forget_classes)

    def steps(model: Classifier) -> int:
        suspect = Evidence(model, original.split, original.precision, original.seed, original.limit)
        return relearning.relearn_few(suspect, original, experiment.recipe).steps

    return RowExchanged(steps(changed), steps(row_erased(retrain.model, experiment.forget_classes)))
