"""Steps that leave the mean of every channel over D_r where it is, for which no image of D_r is needed.

A step on D_f alone also moves what a channel holds on average over all other images. Whoever re-estimates BatchNorm's
statistics takes that back, and with it the forgetting that it did. A layer that is given inputs of mean m gives outputs
of mean W m + b, so that a change of (W, b) at right angles to (m, 1) leaves them. To keep away from the inputs that
matter is the idea of gradient projection memory (Saha et al., ICLR 2021), which finds these from stored images; here m
follows from the weights of the model.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import SettingError
from ..models import Classifier, statistics
from ..training import OnGradients

_LEAST = 1e-12  # a channel's deviation where its scale is 0


def held(model: Classifier, shape: Sequence[int]) -> OnGradients:
    """Takes out of the gradients what would move a channel's mean over D_r, in a model of the shape of `model`.

    `shape`: of an image, (C, H, W). Each convolution and the last layer loses, for each output, the part along its
    `expected_inputs` and 1; scale and shift of each BatchNorm lose the part that moves the mean of the rectified
    channel behind it. That holds to first order in the change of the layers before. Sums of such gradients have no
    other part, so that momentum changes nothing. Raises SettingError for another network than convolutions that have
    BatchNorm and a rectifier behind them.
    """
    inputs, layers = expected_inputs(model, shape), dict(model.named_modules())
    rectified = {name: _derivatives(layer) for name, layer in layers.items() if isinstance(layer, nn.BatchNorm2d)}

    def project(fitted: nn.Module) -> None:
        for name, mean in inputs.items():
            without(fitted.get_submodule(name), mean)
        for name, (by_scale, by_shift) in rectified.items():
            layer: Any = fitted.get_submodule(name)
            along = layer.weight.grad * by_scale + layer.bias.grad * by_shift
            along /= (by_scale.square() + by_shift.square()).clamp_min(_LEAST)
            layer.weight.grad -= along * by_scale
            layer.bias.grad -= along * by_shift

    return project


def without(layer: Any, mean: Tensor) -> None:
    """Take out of the gradients of a layer's weight and bias what moves its outputs for inputs of this `mean`.

    `mean` has the shape of the weights of one output: (C, height, width) of a convolution, (F,) of a linear layer.
    """
    weight, bias = layer.weight, layer.bias
    along, length = (weight.grad * mean).flatten(1).sum(1), mean.square().sum()
    if bias is not None:
        along, length = along + bias.grad, length + 1
    along = along / length.clamp_min(_LEAST)
    weight.grad -= along.view(-1, *[1] * mean.dim()) * mean
    if bias is not None:
        bias.grad -= along


@torch.no_grad()
def expected_inputs(model: Classifier, shape: Sequence[int]) -> dict[str, Tensor]:
    """The mean over the training data of what reaches one output of each layer, by the layer's name; see `without`.

    Behind BatchNorm and a rectifier it is `rectified_mean`. In front of the first convolution it is the m that solves
    W m + b = running mean of the BatchNorm behind it, by least squares. A position of a filter that lies on the
    padding counts as 0. `shape` and errors: as `held`.
    """
    check_network(model)
    layers: list[tuple[str, Any]] = [each for each in model.named_modules() if not list(each[1].children())]
    found, size, mean = dict[str, Tensor](), shape[1:], None
    for (name, layer), (_, after) in zip(layers[:-3:3], layers[1:-3:3], strict=True):
        seen = F.unfold(torch.ones(1, 1, *size), layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        inside = seen.mean(2).view(layer.kernel_size).to(layer.weight)
        mean = _first(layer, after, inside) if mean is None else mean
        found[name] = mean[:, None, None] * inside
        size = layer(torch.zeros(1, layer.in_channels, *size).to(layer.weight)).shape[-2:]
        mean = rectified_mean(after.bias, after.weight.abs())
    assert mean is not None
    return found | {"classifier": mean}


def check_network(model: Classifier) -> None:
    """Raise SettingError unless `model` is what `held` needs: allcnn with BatchNorm."""
    kinds = [type(layer) for layer in model.modules() if not list(layer.children())]
    blocks = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * (len(kinds) // 3 - 1)
    if kinds != [*blocks, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]:
        wanted = "convolutions with BatchNorm and a rectifier behind each, as in allcnn"
        raise SettingError(f"channel_means='held': needs {wanted}")


def rectified_mean(mean: Tensor, deviation: Tensor) -> Tensor:
    """E max(0, X) of a Gaussian X: mean Phi(mean / deviation) + deviation phi(mean / deviation), elementwise.

    Phi and phi are distribution and density of the standard Gaussian.
    """
    ratio = mean / deviation.clamp_min(_LEAST)
    return mean * torch.special.ndtr(ratio) + deviation * _density(ratio)


def _derivatives(layer: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Those of a channel's `rectified_mean` in its scale and in its shift, (C,)."""
    scale, shift = layer.weight.detach(), layer.bias.detach()
    ratio = shift / scale.abs().clamp_min(_LEAST)
    return scale.sign() * _density(ratio), torch.special.ndtr(ratio)


def _density(ratio: Tensor) -> Tensor:
    return (-ratio.square() / 2).exp() / math.sqrt(2 * math.pi)


def _first(layer: nn.Conv2d, after: nn.BatchNorm2d, inside: Tensor) -> Tensor:
    """The mean of each channel of the images, as the first convolution is given them, (C,)."""
    by_channel = (layer.weight * inside).sum((2, 3))
    running = statistics(after)[0] - (0 if layer.bias is None else layer.bias)
    return torch.linalg.lstsq(by_channel.cpu(), running[:, None].cpu()).solution[:, 0].to(running)
