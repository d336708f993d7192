"""Re-estimation: give BatchNorm the statistics of remaining images, without a label and without touching a weight."""

import copy

import torch
from torch import Tensor

from ..data import pixels
from ..models import Classifier, batchnorms
from ..training import Precision, autocast


@torch.no_grad()
def reestimated(model: Classifier, images: Tensor, precision: Precision, batch_size: int = 500) -> Classifier:
    """A copy of `model` whose BatchNorm statistics are those of `images`, uint8, (N, C, H, W); no weight changes.

    One pass in training mode; mean and variance are averaged over the batches, and nothing of the old ones stays.
    """
    model = copy.deepcopy(model).train()
    layers = batchnorms(model)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch then averages over all batches alike
    for batch in images.tensor_split(max(1, round(len(images) / batch_size))):  # batches of one size, or nearly
        with autocast(images.device, precision):
            model(pixels(batch))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return model.eval()
