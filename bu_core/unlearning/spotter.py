"""Spotter: masked distillation on D_f and near it, while the features of D_f disperse (Ha et al. 2026)."""

from typing import Annotated, Any

from torch import Tensor
from torch.nn import functional as F

from ..checks import BatchNorm, Epochs, LearningRate, PixelDistance, Range
from ..models import Classifier
from .boundary_shrink import alikeness, crossed_images
from .companions import answered
from .register import method
from .task import UnlearningTask

_WALK = (3, 1 / 3)  # three steps of a third of epsilon, as in the released code


@method(title="Spotter", colour="#85851F")
def spotter(
    task: UnlearningTask,
    *,
    epochs: Epochs = 10,
    lr: LearningRate = 1e-4,
    batchnorm: BatchNorm = "frozen",
    epsilon: PixelDistance = 0.03,
    share: Annotated[float, Range(0, 1)] = 0.7,
    disperse: Annotated[float, Range(0)] = 1.0,
) -> Classifier:
    """The original, fitted by `share` L_u + (1 - `share`) L_o + `disperse` L_sim.

    L_u: its own answers on D_f without the forgotten class; L_o: the same on images within `epsilon` of D_f, found by
    projected gradient descent; L_sim: the `alikeness` of the features of D_f. The defaults are those of the released
    code, whose weight decay of 5e-4 is left out: there is none here.
    """
    original, forget, precision = task.original, task.split.forget_train, task.recipe.precision
    near = crossed_images(original, forget, epsilon, precision, *_WALK)

    def objective(logits: Tensor, answers: Tensor) -> Tensor:
        return share * F.cross_entropy(logits, answers)

    how: dict[str, Any] = {"label": "spotter", "batchnorm": batchnorm, "objective": objective}
    how["companions"] = answered(task, near, 1 - share, without_class=True, own=forget.labels)
    how["on_features"] = lambda features, beside: disperse * alikeness(features.last)
    return task.fitted(original, task.masked(), epochs=epochs, lr=lr, **how)
