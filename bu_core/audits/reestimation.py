"""Re-estimation: give BatchNorm the statistics of remaining images, without a label and without touching a weight."""

import copy

from torch import Tensor

from ..models import Classifier
from ..training import Precision, estimate_statistics


def reestimated(model: Classifier, images: Tensor, precision: Precision, batch_size: int = 500) -> Classifier:
    """A copy of `model` whose BatchNorm statistics are those of `images`, uint8, (N, C, H, W); no weight changes.

    See `training.estimate_statistics`.
    """
    model = copy.deepcopy(model)
    estimate_statistics(model, images, precision, batch_size)
    return model
