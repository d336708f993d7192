"""Random Labels: fine-tune on D_f with labels drawn at random (Hayase et al. 2020; paper, section 5.1)."""

import torch

from ..checks import BatchNorm, Epochs, LearningRate
from ..models import Classifier
from .register import method
from .task import UnlearningTask


@method(title="Random Labels", colour="#E69F00")
def random_labels(
    task: UnlearningTask, *, epochs: Epochs = 10, lr: LearningRate = 1e-5, batchnorm: BatchNorm = "train"
) -> Classifier:
    """The original, fine-tuned on D_f with a wrong label for each image, drawn once and evenly from the K - 1 others.

    The default learning rate is Boundary Shrink's, so that the two differ in their labels alone.
    """
    split = task.split
    generator = torch.Generator().manual_seed(task.recipe.seed)
    steps = torch.randint(1, len(split.classes), (len(split.forget_train),), generator=generator)
    labels = (split.forget_class + steps) % len(split.classes)
    data = task.relabelled(labels.to(split.forget_train.labels.device))
    return task.fitted(task.original, data, label="random_labels", epochs=epochs, lr=lr, batchnorm=batchnorm)
