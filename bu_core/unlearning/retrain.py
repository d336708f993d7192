"""Retrain: the oracle. Train on D_r alone, from where the original's training started (paper, section 5.1)."""

from ..models import Classifier
from .register import method
from .task import UnlearningTask


@method(title="Retrain", colour="#009E73", goes_through="remain")
def retrain(task: UnlearningTask) -> Classifier:
    """A model that has never seen D_f, fitted to D_r by the recipe that fitted the original to all data."""
    recipe = task.recipe
    return task.fitted(task.initial, task.split.remain_train, label="retrain", epochs=recipe.epochs, lr=recipe.lr)
