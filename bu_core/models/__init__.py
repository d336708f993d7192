"""The networks: All-CNN (Springenberg et al. 2014), ResNets, and what every model here has in common.

Every model takes images in [0, 1], shape (B, C, H, W), and normalises them itself, so that a distance in its input
is a distance in pixels. `model.features(x)` gives the last features, shape (B, F); `model.classifier` is the linear
layer on top of them; `model(x)` gives logits, shape (B, K). Boundary Expanding widens and prunes that last layer.
"""

import copy
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..checks import SettingError

_DRAWING = threading.Lock()


class Features(NamedTuple):
    """What a Classifier makes of B images on the way to its logits, (B, F) each, with an F of its own.

    last: what the last layer reads. before: what the last block with weights is given, averaged over the image.
    """

    last: Tensor
    before: Tensor


class Classifier(nn.Module):
    """Normalisation, a body that ends in a feature vector, and a linear layer.

    Inputs are shifted and scaled from [0, 1] to [-1, 1] (mean 0.5, deviation 0.5, as in the authors' released code),
    unless `normalise` sets what a pretrained body was trained with.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Sequential, width_of_features: int, classes: int):
        super().__init__()
        self.body, self.classifier = body, nn.Linear(width_of_features, classes)
        # No part of the state_dict: whoever uses the weights names the architecture and its pretraining as well.
        self.register_buffer("mean", torch.tensor(0.5), persistent=False)
        self.register_buffer("deviation", torch.tensor(0.5), persistent=False)

    def normalise(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Take mean and deviation of each channel, in pixel units, for those of the inputs."""
        self.mean, self.deviation = (self.mean.new_tensor(values)[:, None, None] for values in (mean, deviation))

    def normalised(self, images: Tensor) -> Tensor:
        """What the body is given of images in [0, 1]."""
        return (images - self.mean) / self.deviation

    def features(self, images: Tensor) -> Tensor:
        return self.body(self.normalised(images))

    def without_last(self, blocks: int) -> nn.Sequential:
        """The body up to its last so many blocks with weights, one at the least."""
        places = [place for place, block in enumerate(self.body) if list(block.parameters())]
        return nn.Sequential(*list(self.body)[: places[-blocks]])

    def features_of_two(self, images: Tensor) -> Features:
        """The last features, and those one block earlier, of images in [0, 1]."""
        first = self.without_last(1)
        given = first(self.normalised(images))
        return Features(self.body[len(first) :](given), given.flatten(2).mean(2))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


def allcnn(channels: int, classes: int, width: float, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> Classifier:
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


def resnet(name: str, channels: int, classes: int, width: float, starts_shallow: bool = False) -> Classifier:
    """torchvision's ResNet of this name (He et al. 2016); `width` must be 1.

    With `starts_shallow` the last normalisation of every residual branch starts at zero, so that the branches come in
    one by one (Goyal et al. 2017, arXiv 1706.02677).
    """
    import torchvision

    if channels != 3:
        raise SettingError(f"model: a ResNet takes colour images, and these have {channels} channel(s)")
    *stages, last = getattr(torchvision.models, name)(zero_init_residual=starts_shallow).children()
    return Classifier(nn.Sequential(*stages, nn.Flatten()), last.in_features, classes)


# What makes each model of so many channels, classes, and this width.
MODELS: dict[str, Callable[[int, int, float], Classifier]] = {
    "allcnn": allcnn,
    # GroupNorm (Wu and He 2018) has no running statistics that could drift.
    "allcnn_groupnorm": partial(allcnn, norm=lambda channels: nn.GroupNorm(math.gcd(8, channels), channels)),
    "resnet18": partial(resnet, "resnet18"),
    # The paper's model for faces. On the few faces of LFW its loss does not fall below chance in five epochs otherwise.
    "resnet50": partial(resnet, "resnet50", starts_shallow=True),
}
ONE_WIDTH = ("resnet18", "resnet50")


def build(name: str, channels: int, classes: int, width: float, seed: int) -> Classifier:
    """A freshly initialised model, in channels-last memory format; the same `seed` gives the same weights."""
    with _seeded(seed):
        return laid_out(MODELS[name](channels, classes, width), torch.channels_last)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Inside, torch draws by this seed, and no other thread draws: torch has one generator for all of them."""
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


Network = TypeVar("Network", bound=nn.Module)


def laid_out(model: Network, memory_format: torch.memory_format) -> Network:
    """`model` with its weights in this memory format, for which torch's annotation of `Module.to` has no place."""
    options: dict[str, Any] = {"memory_format": memory_format}
    return model.to(**options)


def batchnorms(model: nn.Module) -> list[_BatchNorm]:
    """The layers of `model` that keep running statistics."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def statistics(layer: _BatchNorm) -> tuple[Tensor, Tensor]:
    """The running mean and the running variance of one of the `batchnorms`, float32, (C,)."""
    assert layer.running_mean is not None and layer.running_var is not None
    return layer.running_mean, layer.running_var


def reset_last(model: Classifier, initial: Classifier, blocks: int, outputs: Sequence[int]) -> Classifier:
    """A copy of `model` whose last `blocks` parts with weights, and whose output neurons `outputs`, are `initial`'s.

    A part is an entry of the body: of All-CNN a convolution with its normalisation, of a ResNet a stage. Where there
    are fewer, all are.
    """
    changed = copy.deepcopy(model)
    pairs = list(zip(changed.body, initial.body, strict=True))
    for block, other in [pair for pair in pairs if list(pair[0].parameters())][-blocks:]:
        block.load_state_dict(other.state_dict())
    return with_rows(changed, initial.classifier, outputs)


def with_rows(model: Classifier, layer: nn.Linear, outputs: Sequence[int]) -> Classifier:
    """A copy of `model` whose output neurons `outputs` are those of `layer`, which has the shape of its last layer."""
    changed, rows = copy.deepcopy(model), list(outputs)
    with torch.no_grad():
        for weight, other in zip(changed.classifier.parameters(), layer.parameters(), strict=True):
            weight[rows] = other[rows]
    return changed


def row_erased(model: Classifier, outputs: Sequence[int]) -> Classifier:
    """A copy of `model` whose output neurons `outputs` are set to zero: their logits are 0 for every image."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for weight in changed.classifier.parameters():
            weight[list(outputs)] = 0
    return changed


def widened(model: Classifier, seed: int) -> Classifier:
    """A copy of `model` with one more output neuron, freshly initialised, at index K; the first K are unchanged."""
    changed, old = copy.deepcopy(model), model.classifier
    with _seeded(seed):
        changed.classifier = nn.Linear(old.in_features, old.out_features + 1).to(old.weight.device)
    with torch.no_grad():
        for wider, weight in zip(changed.classifier.parameters(), old.parameters(), strict=True):
            wider[:-1] = weight
    return changed


def pruned(model: Classifier) -> Classifier:
    """A copy of `model` without its last output neuron: what `widened` added is gone, the shape is as before."""
    changed, old = copy.deepcopy(model), model.classifier
    changed.classifier = nn.utils.skip_init(nn.Linear, old.in_features, old.out_features - 1, device=old.weight.device)
    with torch.no_grad():
        for narrower, weight in zip(changed.classifier.parameters(), old.parameters(), strict=True):
            narrower[:] = weight[:-1]
    return changed
