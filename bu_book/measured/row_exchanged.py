"""How much of the time that a class takes to be relearned is its output row, and not what the features hold.

Whoever never saw a class pushes its logit down for every image, and that has to be undone before the class is named
again. So the row of the class is exchanged: the original gets Retrain's, and Retrain's is set to zero.
"""

import copy
from dataclasses import dataclass

import torch

from bu_core.audits import ladder, relearning
from bu_core.audits.evidence import Evidence
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.models import Classifier, row_erased


@dataclass(frozen=True)
class RowExchanged:
    """Steps of `relearning.relearn_few`: of the `original` with Retrain's output row, of `retrain` with none."""

    original: int
    retrain: int


@measurement(of=("original", "retrain"), constants=ladder.constants)
def row_exchanged(experiment: Experiment) -> RowExchanged:
    """How long the class takes to be relearned with another output row."""
    original, retrain = experiment.evidence("original"), experiment.evidence("retrain")
    changed = with_rows_of(original.model, retrain.model, experiment.forget_classes)

    def steps(model: Classifier) -> int:
        suspect = Evidence(model, original.split, original.precision, original.seed, original.limit)
        return relearning.relearn_few(suspect, original, experiment.recipe).steps

    return RowExchanged(steps(changed), steps(row_erased(retrain.model, experiment.forget_classes)))


def with_rows_of(model: Classifier, other: Classifier, outputs: tuple[int, ...]) -> Classifier:
    """A copy of `model` whose output neurons `outputs` are those of `other`."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for weight, theirs in zip(changed.classifier.parameters(), other.classifier.parameters(), strict=True):
            weight[list(outputs)] = theirs[list(outputs)]
    return changed
