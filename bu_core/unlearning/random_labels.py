"""Random Labels: fine-tune on D_f with labels drawn at random (Hayase et al. 2020; paper, section 5.1)."""

import torch

from ..checks import AnyBatchNorm, Epochs, Keep, LearningRate, Remaining
from ..models import Classifier
from .companions import check, companions
from .register import method
from .task import UnlearningTask


@method(title="Random Labels", colour="#E69F00", check=check)
def random_labels(
    task: UnlearningTask,
    *,
    epochs: Epochs = 10,
    lr: LearningRate = 1e-5,
    batchnorm: AnyBatchNorm = "train",
    remaining: Remaining = 0,
    keep: Keep = 1.0,
) -> Classifier:
    """The original, fine-tuned on D_f with a wrong label for each image, drawn once and evenly from the K - 1 others.

    Where several classes are forgotten it is drawn from those that remain.

    The default learning rate is Boundary Shrink's, so that the two differ in their labels alone.
    """
    split = task.split
    generator = torch.Generator().manual_seed(task.recipe.seed)
    own = split.forget_train.labels.cpu()
    if split.forget_classes:
        first = min(split.forget_classes)
        others = torch.tensor(sorted(split.remaining_classes, key=lambda label: label < first))
        labels = others[torch.randint(len(others), own.shape, generator=generator)]
    else:
        classes = len(split.classes)
        labels = (own + torch.randint(1, classes, own.shape, generator=generator)) % classes
    data = task.relabelled(labels.to(split.forget_train.labels.device))
    how = {"label": "random_labels", "batchnorm": batchnorm, "companions": companions(task, remaining, keep)}
    return task.fitted(task.original, data, epochs=epochs, lr=lr, **how)
