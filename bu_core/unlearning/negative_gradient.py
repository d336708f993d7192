"""Negative Gradient: ascend the loss on D_f (Golatkar et al. 2020, as a baseline; paper, section 5.1)."""

from torch import Tensor
from torch.nn import functional as F

from ..checks import AnyBatchNorm, Epochs, Keep, LearningRate, Remaining
from ..models import Classifier
from .companions import check, companions
from .register import method
from .task import UnlearningTask


@method(title="Negative Gradient", colour="#CC79A7", check=check)
def negative_gradient(
    task: UnlearningTask,
    *,
    epochs: Epochs = 10,
    lr: LearningRate = 1e-5,
    batchnorm: AnyBatchNorm = "train",
    remaining: Remaining = 0,
    keep: Keep = 1.0,
) -> Classifier:
    """The original, moved up the gradient of its loss on D_f. The paper gives no learning rate."""

    def objective(logits: Tensor, labels: Tensor) -> Tensor:
        return -F.cross_entropy(logits, labels)

    how = {"label": "negative_gradient", "batchnorm": batchnorm, "companions": companions(task, remaining, keep)}
    return task.fitted(task.original, task.split.forget_train, epochs=epochs, lr=lr, objective=objective, **how)
