"""Finetune: go on training the original on D_r with a large learning rate (paper, section 5.1)."""

from ..checks import BatchNorm, Epochs, LearningRate
from ..models import Classifier
from .register import method
from .task import UnlearningTask


@method(title="Finetune", colour="#56B4E9", goes_through="remain")
def finetune(
    task: UnlearningTask, *, epochs: Epochs = 10, lr: LearningRate = 0.1, batchnorm: BatchNorm = "train"
) -> Classifier:
    """The original, fine-tuned on D_r; what is not rehearsed is to be forgotten.

    The paper says "large", and "larger" in section 5.2, and gives no value; the default is the rate of its training.
    """
    remaining = task.split.remain_train
    return task.fitted(task.original, remaining, label="finetune", epochs=epochs, lr=lr, batchnorm=batchnorm)
