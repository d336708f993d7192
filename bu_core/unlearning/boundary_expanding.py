"""Boundary Expanding: teach D_f a shadow class of its own, then prune that class (section 4.2)."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from ..checks import AnyBatchNorm, Epochs, Keep, LearningRate, Remaining
from ..models import Classifier, pruned, widened
from .companions import check, companions
from .register import method
from .task import UnlearningTask


@method(title="Boundary Expanding", colour="#D55E00", check=check)
def boundary_expanding(
    task: UnlearningTask,
    *,
    epochs: Epochs = 10,
    lr: LearningRate = 1e-4,
    batchnorm: AnyBatchNorm = "train",
    remaining: Remaining = 0,
    keep: Keep = 1.0,
) -> Classifier:
    """The original with one more neuron, fine-tuned on (x, y_shadow) for x in D_f (equation 5), then pruned back.

    The shadow class has index K; its neuron starts as torch initialises a linear layer.
    """
    start = widened(task.original, task.recipe.seed)
    data = task.relabelled(torch.full_like(task.split.forget_train.labels, len(task.split.classes)))
    beside = companions(task, remaining, keep)
    if beside:  # whose answers give the shadow class nothing
        beside = replace(beside, targets=F.pad(beside.targets, (0, 1)))
    how = {"label": "boundary_expanding", "batchnorm": batchnorm, "companions": beside}
    return pruned(task.fitted(start, data, epochs=epochs, lr=lr, **how))
