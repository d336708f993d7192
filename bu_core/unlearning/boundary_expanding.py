"""Boundary Expanding: teach D_f a shadow class of its own, then prune that class (section 4.2)."""

import torch

from ..checks import BatchNorm, Epochs, LearningRate
from ..models import Classifier, pruned, widened
from .register import method
from .task import UnlearningTask


@method(title="Boundary Expanding", colour="#D55E00")
def boundary_expanding(
    task: UnlearningTask, *, epochs: Epochs = 10, lr: LearningRate = 1e-4, batchnorm: BatchNorm = "train"
) -> Classifier:
    """The original with one more neuron, fine-tuned on (x, y_shadow) for x in D_f (equation 5), then pruned back.

    The shadow class has index K; its neuron starts as torch initialises a linear layer.
    """
    start = widened(task.original, task.recipe.seed)
    data = task.relabelled(torch.full_like(task.split.forget_train.labels, len(task.split.classes)))
    return pruned(task.fitted(start, data, label="boundary_expanding", epochs=epochs, lr=lr, batchnorm=batchnorm))
