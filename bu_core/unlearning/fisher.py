"""Fisher Forgetting: add noise to each weight, the more the less D_r depends on it (Golatkar et al. 2020)."""

import copy
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import Range
from ..data import LabelledImages, pixels
from ..models import Classifier, row_erased, statistics
from ..training import Precision, autocast
from .register import method
from .task import UnlearningTask


@method(title="Fisher", colour="#9C6536", goes_through="remain")
def fisher(
    task: UnlearningTask,
    *,
    alpha: Annotated[float, Range(0)] = 1e-6,
    samples: Annotated[int, Range(0)] = 0,
    labels: Literal["model", "data"] = "model",
    output_row: Literal["erased", "kept"] = "erased",
) -> Classifier:
    """The original with Gaussian noise on every weight: w' = w + n, n ~ N(0, alpha * `noise_variance`).

    The Fisher information is that of `samples` images of D_r, drawn at random; 0 takes all. `output_row="erased"`
    first sets the last layer's neuron of each class that is forgotten whole to 0, as the code released by Golatkar et
    al. does, and gives it the largest noise. Running statistics of BatchNorm are no weights and stay.
    """
    generator = torch.Generator().manual_seed(task.recipe.seed)
    return noised(task, information(task, samples, labels, generator), alpha, output_row, generator)


def information(
    task: UnlearningTask, samples: int, labels: Literal["model", "data"], generator: torch.Generator
) -> dict[str, Tensor]:
    """`fisher_diagonal` of so many images of D_r, drawn with `generator`; 0 takes all."""
    data = task.split.remain_train
    if samples:
        data = data[torch.randperm(len(data), generator=generator)[:samples].to(data.labels.device)]
    return fisher_diagonal(task.original, data, labels, task.recipe.precision)


def noised(
    task: UnlearningTask,
    found: Mapping[str, Tensor],
    alpha: float,
    output_row: Literal["erased", "kept"],
    generator: torch.Generator,
) -> Classifier:
    """The original with the noise that the Fisher information `found` asks for at `alpha`, drawn with `generator`."""
    erased = list(task.split.forget_classes) if output_row == "erased" else []
    model = row_erased(task.original, erased)
    variances = {name: noise_variance(each) for name, each in found.items()}
    for name, _ in model.classifier.named_parameters():
        variances[f"classifier.{name}"][erased] = noise_variance(torch.tensor(0.0))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)  # drawn on the CPU: the same on every device
            weight.add_((alpha * variances[name]).sqrt() * noise.to(weight.device))
    return model


def noise_variance(information: Tensor) -> Tensor:
    """Variance of the noise on weights of this Fisher information, at alpha = 1: F ** -1/2, at most 10,000.

    Noise of variance v costs F v / 2 of D_r's loss, and leaves of D_f's trace in the weight as much as 1 / v; v in
    proportion to F ** -1/2 makes the sum smallest (Golatkar et al. 2020, section 5). Their released code takes 1 / F,
    1,000 at most. Our models fit all of D_r, so F lies below 1/1,000 almost everywhere, and all noise would be alike.
    """
    return (information + 1e-8).rsqrt()


def fisher_diagonal(
    model: Classifier,
    data: LabelledImages,
    labels: Literal["model", "data"],
    precision: Precision = "fp32",
    batch_size: int = 16,
) -> dict[str, Tensor]:
    """The diagonal of the Fisher information of `data`, by parameter name and of its shape, float32, at least 0.

    F = mean over x of E_y [ (d log p(y | x) / dw) ** 2 ], each image's gradient squared by itself, BatchNorm in
    evaluation mode. With `labels="model"` y follows p(y | x): all K classes, weighted by their probability, as in
    Golatkar et al. That sum is the square of the derivative of 2 sqrt(p), since d sqrt(p) = sqrt(p) / 2 d log p. With
    `labels="data"` y is the image's own label, the "empirical" Fisher information: one backward pass instead of K.

    A batch goes forward once and backward once for each label, down to the outputs of the layers only; what an image
    adds to the gradient of a weight is then a product of its layer's input and output gradient. Raises TypeError for a
    layer of another kind than convolution, linear, BatchNorm and GroupNorm.
    """
    model = copy.deepcopy(model).eval()
    layers = {name: layer for name, layer in model.named_modules() if list(layer.parameters(recurse=False))}
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda layer, given, output, name=name: seen.update({name: (given[0], output)}))
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # or the output of the layer before it would be lost
    total = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    for images, own in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
        with autocast(images.device, precision):
            logits = model(pixels(images))
        log_probabilities = F.log_softmax(logits.float(), dim=1)
        if labels == "model":
            targets = (2 * (log_probabilities / 2).exp()).sum(0).unbind()
        else:
            targets = (log_probabilities.gather(1, own[:, None]).sum(),)
        inputs = {name: _as_factor(layers[name], given.detach(), out.dtype) for name, (given, out) in seen.items()}
        outputs = [output for _, output in seen.values()]
        for target in targets:
            gradients = torch.autograd.grad(target, outputs, retain_graph=target is not targets[-1])
            for name, gradient in zip(seen, gradients, strict=True):
                gradient = gradient.reshape(*gradient.shape[:2], -1)  # (B, channels, positions)
                if isinstance(layers[name], nn.BatchNorm2d | nn.GroupNorm):
                    weight = (gradient * inputs[name]).float().sum(2)
                else:
                    weight = (gradient @ inputs[name]).float()
                total[f"{name}.weight"] += weight.square().sum(0).view_as(layers[name].weight)
                if layers[name].bias is not None:
                    total[f"{name}.bias"] += gradient.float().sum(2).square().sum(0)
    return {name: value / len(data) for name, value in total.items()}


def _as_factor(layer: nn.Module, given: Tensor, dtype: torch.dtype) -> Tensor:
    """A layer's input as the factor that, with the gradient of its output, gives the gradient of its weight.

    Convolution: (B, positions, inputs of a filter); linear layer: (B, 1, inputs); BatchNorm and GroupNorm:
    (B, channels, positions).
    """
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        columns = F.unfold(given, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        return columns.transpose(1, 2).to(dtype).contiguous()
    if isinstance(layer, nn.Linear):
        return given[:, None].to(dtype)
    if isinstance(layer, nn.BatchNorm2d):
        mean, variance = (moment[:, None, None] for moment in statistics(layer))
        return ((given - mean) / (variance + layer.eps).sqrt()).flatten(2)
    if isinstance(layer, nn.GroupNorm):
        return F.group_norm(given, layer.num_groups, eps=layer.eps).flatten(2)
    raise TypeError(f"fisher: knows no per-sample gradient of {type(layer).__name__}")
