"""Negative Gradient: ascend the loss on D_f (Golatkar et al. 2020, as a baseline; paper, section 5.1)."""

from torch import Tensor
from torch.nn import functional as F

from ..checks import BatchNorm, Epochs, LearningRate
from ..models import Classifier
from .register import method
from .task import UnlearningTask


@method(title="Negative Gradient", colour="#CC79A7")
def negative_gradient(
    task: UnlearningTask, *, epochs: Epochs = 10, lr: LearningRate = 1e-5, batchnorm: BatchNorm = "train"
) -> Classifier:
    """The original, moved up the gradient of its loss on D_f. The paper gives no learning rate."""

    def objective(logits: Tensor, labels: Tensor) -> Tensor:
        return -F.cross_entropy(logits, labels)

    how = {"label": "negative_gradient", "batchnorm": batchnorm, "objective": objective}
    return task.fitted(task.original, task.split.forget_train, epochs=epochs, lr=lr, **how)
