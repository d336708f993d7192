"""The ladder of audits, measured of a model of an experiment and kept; see `bu_core.audits.ladder`."""

from ..audits import ladder as audits
from ..audits.evidence import Evidence
from ..audits.ladder import Climb
from .experiment import Experiment
from .measurement import measurement


def _beside(experiment: Experiment) -> tuple[str, ...]:
    """The models that every climb looks at beside its own."""
    return ("original", *(name for name in ("retrain",) if name in experiment.config.methods))


@measurement(of=_beside, constants=audits.constants)
def ladder(experiment: Experiment, model: str) -> Climb:
    """What every rung finds of one model; compared with the experiment's own Retrain, where it has one."""
    return _climbed(experiment, experiment.evidence(model))


@measurement(of=_beside, constants=audits.constants)
def masked_ladder(experiment: Experiment) -> Climb:
    """The same of the original with its output row of the class set to zero: the control that the ladder must catch."""
    return _climbed(experiment, audits.masked(experiment.evidence("original")))


def _climbed(experiment: Experiment, suspect: Evidence) -> Climb:
    retrains = [experiment.evidence(name) for name in _beside(experiment) if name == "retrain"]
    return audits.climb(suspect, experiment.evidence("original"), retrains, experiment.recipe, experiment.say)
