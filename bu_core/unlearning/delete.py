"""DELETE: distil the original on D_f, with the forgotten class masked out of its answers (Zhou et al., CVPR 2025)."""

from ..checks import BatchNorm, Epochs, LearningRate
from ..models import Classifier
from .register import method
from .task import UnlearningTask


@method(title="DELETE", colour="#44AA99")
def delete(
    task: UnlearningTask, *, epochs: Epochs = 10, lr: LearningRate = 0.01, batchnorm: BatchNorm = "train"
) -> Classifier:
    """The original, fitted to its own answers on D_f without what is forgotten (`UnlearningTask.masked`).

    The cross-entropy of these answers has the gradient of the paper's divergence. The released code trains in either
    mode of BatchNorm; the default rate is ours.
    """
    return task.fitted(task.original, task.masked(), label="delete", epochs=epochs, lr=lr, batchnorm=batchnorm)
