"""What is to make features forget, and not the answers alone: faster early layers, and relearning on the way."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import LabelledImages, pixels
from ..models import Classifier
from ..training import Companions, OnGradients, Penalty, autocast
from .task import UnlearningTask


def early_rates(model: Classifier, factor: float) -> OnGradients:
    """Makes the first part of a network like `model` learn at `factor` times the rate, and the last at the rate itself.

    In between the rates fall by the same share from part to part. A part is an entry of the body with weights, or the
    last layer. What is multiplied are the gradients, which is the same in gradient descent with momentum.
    """
    parts = [part for part in (*model.body, model.classifier) if list(part.parameters())]
    last = max(1, len(parts) - 1)
    factors = [factor ** (1 - place / last) for place, part in enumerate(parts) for _ in part.parameters()]

    def scale(fitted: nn.Module) -> None:
        for weight, by in zip(fitted.parameters(), factors, strict=True):
            assert weight.grad is not None
            weight.grad *= by

    return scale


def relearned_loss(task: UnlearningTask, data: LabelledImages, companions: Companions | None, steps: int) -> Penalty:
    """The loss on `data`, D_f with what it is to be taught, after so many `steps` that learned the class again.

    Each step takes one half of the batch with its own labels, beside the companions of the batch with their answers, at
    the rate of the original's training and without momentum; the loss is that of the other half. Its gradient at the
    relearned weights is applied to those before: first-order meta-learning (Finn et al. 2017; Nichol et al. 2018,
    arXiv 1803.02999), here so that relearning fails, as in tamper-resistant safeguards (Tamirisa et al., ICLR 2025).
    """
    own, precision, rate = task.split.forget_train.labels, task.recipe.precision, task.recipe.lr

    def penalty(model: nn.Module, images: Tensor, batch: Tensor, beside: Tensor | None) -> Tensor:
        ahead, answers = images[:0], None
        if companions is not None:
            ahead, answers = pixels(companions.images[beside]), companions.targets[beside]

        def answered(weights: dict[str, Tensor], asked: Tensor) -> Tensor:
            with autocast(images.device, precision):
                return torch.func.functional_call(model, weights, torch.cat([ahead, asked])).float()

        half = len(batch) // 2
        learned = slice(0, max(1, half))  # a batch of one image is learned and asked
        start = {name: weight.detach() for name, weight in model.named_parameters()}
        moved = start
        for _ in range(steps):
            moved = {name: weight.detach().requires_grad_() for name, weight in moved.items()}
            logits = answered(moved, images[learned])
            loss = F.cross_entropy(logits[len(ahead) :], own[batch[learned]])
            if answers is not None:
                loss = loss + F.cross_entropy(logits[: len(ahead)], answers)
            gradients = torch.autograd.grad(loss, list(moved.values()))
            moved = {
                name: weight.detach() - rate * gradient
                for (name, weight), gradient in zip(moved.items(), gradients, strict=True)
            }
        there = {name: weight + (moved[name] - start[name]) for name, weight in model.named_parameters()}
        return F.cross_entropy(answered(there, images[half:])[len(ahead) :], data.labels[batch[half:]])

    return penalty
