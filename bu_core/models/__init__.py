"""The networks: All-CNN (Springenberg et al. 2014), ResNets, and what every model here has in common.

Every model takes images in [0, 1], shape (B, C, H, W), and normalises them itself, so that a distance in its input
is a distance in pixels. `model.features(x)` gives the last features, shape (B, F); `model.classifier` is the linear
layer on top of them; `model(x)` gives logits, shape (B, K). Boundary Expanding widens and prunes that last layer.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from ..checks import SettingError


class Classifier(nn.Module):
    """Normalisation, a body that ends in a feature vector, and a linear layer.

    Inputs are shifted and scaled from [0, 1] to [-1, 1] (mean 0.5, deviation 0.5, as in the authors' released code),
    unless `normalise` sets what a pretrained body was trained with.
    """

    def __init__(self, body: nn.Module, width_of_features: int, classes: int):
        super().__init__()
        self.body = body
        self.classifier = nn.Linear(width_of_features, classes)
        # No part of the state_dict: they belong to the architecture and its pretraining, which every user of the
        # weights names as well.
        self.register_buffer("mean", torch.tensor(0.5), persistent=False)
        self.register_buffer("deviation", torch.tensor(0.5), persistent=False)

    def normalise(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Take mean and deviation of each channel, in pixel units, for those of the inputs."""
        for name, values in (("mean", mean), ("deviation", deviation)):
            setattr(self, name, torch.tensor(values, device=self.mean.device)[:, None, None])

    def features(self, images: Tensor) -> Tensor:
        return self.body((images - self.mean) / self.deviation)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


Norm = Callable[[int], nn.Module]


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, channels), channels)


def allcnn(channels: int, classes: int, width: float, norm: Norm = nn.BatchNorm2d) -> Classifier:
    """All-CNN-C with BatchNorm and without dropout.

    `width` scales the 96 and 192 filters of Springenberg et al. (2014): 1.0 is theirs, 0.5 is the one in the code
    that the paper's authors released. Their last 10-filter convolution is a linear layer after the global average,
    as in that code; the average is over whatever the two strided convolutions leave, so 8x8 images work as well.
    `norm` makes the normalisation of so many channels that follows each convolution.
    """

    def block(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
        return nn.Sequential(convolution, norm(outputs), nn.ReLU(inplace=True))

    narrow, wide = max(1, int(96 * width)), max(1, int(192 * width))
    body = nn.Sequential(
        block(channels, narrow, 3),
        block(narrow, narrow, 3),
        block(narrow, wide, 3, stride=2),
        block(wide, wide, 3),
        block(wide, wide, 3),
        block(wide, wide, 3, stride=2),
        block(wide, wide, 3),
        block(wide, wide, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return Classifier(body, wide, classes)


def allcnn_groupnorm(channels: int, classes: int, width: float) -> Classifier:
    """All-CNN-C with GroupNorm (Wu and He 2018; 8 groups), which has no running statistics that could drift."""
    return allcnn(channels, classes, width, _group_norm)


def _resnet(make: Callable[[], nn.Module], channels: int, classes: int, width: float) -> Classifier:
    if channels != 3:
        raise SettingError(f"model: a ResNet takes colour images, and these have {channels} channel(s)")
    network = make()
    stages = [network.conv1, network.bn1, network.relu, network.maxpool]
    stages += [network.layer1, network.layer2, network.layer3, network.layer4, network.avgpool, nn.Flatten()]
    return Classifier(nn.Sequential(*stages), network.fc.in_features, classes)


def resnet18(channels: int, classes: int, width: float) -> Classifier:
    """torchvision's ResNet-18 (He et al. 2016); `width` must be 1."""
    from torchvision.models import resnet18 as make

    return _resnet(make, channels, classes, width)


def resnet50(channels: int, classes: int, width: float) -> Classifier:
    """torchvision's ResNet-50 (He et al. 2016), the paper's model for faces; `width` must be 1."""
    from torchvision.models import resnet50 as make

    return _resnet(make, channels, classes, width)


def batchnorms(model: nn.Module) -> list[nn.Module]:
    """The layers of `model` that keep running statistics."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


class Architecture(Protocol):
    def __call__(self, channels: int, classes: int, width: float) -> Classifier: ...


MODELS: dict[str, Architecture] = {
    "allcnn": allcnn,
    "allcnn_groupnorm": allcnn_groupnorm,
    "resnet18": resnet18,
    "resnet50": resnet50,
}
ONE_WIDTH = ("resnet18", "resnet50")


def build(name: str, channels: int, classes: int, width: float, seed: int) -> Classifier:
    """A freshly initialised model, in channels-last memory format; the same `seed` gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name](channels, classes, width).to(memory_format=torch.channels_last)


def widened(model: Classifier, seed: int) -> Classifier:
    """A copy of `model` with one more output neuron, freshly initialised, at index K; the first K are unchanged."""
    wide = copy.deepcopy(model)
    old = model.classifier
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = nn.Linear(old.in_features, old.out_features + 1).to(old.weight.device)
    with torch.no_grad():
        new.weight[:-1] = old.weight
        new.bias[:-1] = old.bias
    wide.classifier = new
    return wide


def pruned(model: Classifier) -> Classifier:
    """A copy of `model` without its last output neuron: what `widened` added is gone, the shape is as before."""
    narrow = copy.deepcopy(model)
    old = model.classifier
    new = nn.utils.skip_init(nn.Linear, old.in_features, old.out_features - 1, device=old.weight.device)
    with torch.no_grad():
        new.weight.copy_(old.weight[:-1])
        new.bias.copy_(old.bias[:-1])
    narrow.classifier = new
    return narrow
