"""Images inverted from a model: optimised from noise until it takes them for remaining data (Yin et al. 2020).

DeepInversion asks for three things: the model gives each image its class, every BatchNorm layer sees in them its own
running statistics, and neighbouring pixels differ little. Nobody's image goes in.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from ..models import batchnorms, statistics
from ..training import autocast
from .task import UnlearningTask

RATE = 0.05  # Adam's learning rate, in pixel units
STATISTICS = 1.0  # weight of the distance from the running statistics, which counts in their own deviations
VARIATION = 0.1  # weight of the mean squared difference of neighbouring pixels


def inverted(task: UnlearningTask, count: int, steps: int) -> Tensor:
    """So many images, uint8, (count, C, H, W), that the original takes for the remaining classes in equal numbers.

    All are optimised at once by so many `steps` of Adam; the noise is drawn by the seed of the training, on the CPU.
    """
    model, precision = copy.deepcopy(task.original).eval(), task.recipe.precision
    known, classes = task.split.forget_train.images, torch.tensor(task.split.remaining_classes)
    noise = torch.rand(count, *known.shape[1:], generator=torch.Generator().manual_seed(task.recipe.seed))
    device, labels = known.device, classes[torch.arange(count) % len(classes)].to(known.device)
    images = noise.to(device, memory_format=torch.channels_last).requires_grad_()
    optimiser = torch.optim.Adam([images], lr=RATE)
    distances: list[Tensor] = []

    def look(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(layer, _BatchNorm)
        mean, variance = statistics(layer)
        axes = [axis for axis in range(inputs[0].dim()) if axis != 1]
        seen_variance, seen_mean = torch.var_mean(inputs[0].float(), axes, correction=0)
        known = variance + layer.eps
        distances.append(((seen_mean - mean).square() / known + (seen_variance / known - 1).square()).mean())

    for layer in batchnorms(model):
        layer.register_forward_pre_hook(look)
    for _ in range(steps):
        distances.clear()
        with autocast(device, precision):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels) + VARIATION * _variation(images)
        if distances:
            loss = loss + STATISTICS * torch.stack(distances).sum()
        (images.grad,) = torch.autograd.grad(loss, images)
        optimiser.step()
        with torch.no_grad():
            images.clamp_(0, 1)
    return (images.detach() * 255).round().to(torch.uint8)


def _variation(images: Tensor) -> Tensor:
    down, across = images.diff(dim=2), images.diff(dim=3)
    return down.square().mean() + across.square().mean()
