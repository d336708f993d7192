"""Channel shift: a weight change, replaced by one constant offset for each channel that has the same mean effect."""

import copy

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..data import pixels
from ..models import Classifier, batchnorms, statistics
from ..training import Precision, autocast


@torch.no_grad()
def shifted(original: Classifier, unlearned: Classifier, images: Tensor, precision: Precision) -> Classifier:
    """A copy of `original` with no weight moved, in which each channel is shifted as `unlearned` shifts it on average.

    At each BatchNorm layer the running mean is set such that over `images`, uint8, (N, C, H, W), one batch, the mean of
    every normalised channel is that of `unlearned`, a model of the same shape. The shift is the same for every image,
    and images of D_r say how large it is: of the forgotten class nothing goes in.
    """
    model = copy.deepcopy(original).eval()
    wanted: list[Tensor] = []

    def moments(layer: _BatchNorm, inputs: tuple[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        running_mean, running_variance = statistics(layer)
        channels_first = inputs[0].float().transpose(0, 1).flatten(1)
        return channels_first.mean(1), running_mean, (running_variance + layer.eps).sqrt()

    def note(layer: _BatchNorm, inputs: tuple[Tensor]) -> None:
        mean, running_mean, deviation = moments(layer, inputs)
        wanted.append((mean - running_mean) / deviation)

    def shift(layer: _BatchNorm, inputs: tuple[Tensor]) -> None:
        mean, running_mean, deviation = moments(layer, inputs)
        running_mean.copy_(mean - wanted.pop(0) * deviation)  # both models come to their layers in one order

    for network, look in ((unlearned, note), (model, shift)):
        hooks = [layer.register_forward_pre_hook(look) for layer in batchnorms(network)]
        try:
            with autocast(images.device, precision):
                network(pixels(images))
        finally:
            for hook in hooks:
                hook.remove()
    return model
