"""What is measured of a model: pure functions of its outputs."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Outputs(NamedTuple):
    """What a model says of one set of images. `logits`: float32, (N, K); `labels`: the true classes, int64, (N,)."""

    logits: Tensor
    labels: Tensor


def accuracy(outputs: Outputs) -> float:
    """Share of images whose largest logit is the true class, in percent, 0 to 100."""
    return 100 * (outputs.logits.argmax(1) == outputs.labels).double().mean().item()


def shares(outputs: Outputs) -> list[float]:
    """Share of the images that the model assigns to each class, in percent; they add up to 100."""
    counts = torch.bincount(outputs.logits.argmax(1), minlength=outputs.logits.shape[1])
    return (100 * counts.double() / counts.sum()).tolist()


def entropy(outputs: Outputs) -> Tensor:
    """Entropy of the softmax of each image's logits, in nats, float64, (N,): 0 to log K (paper, section 5.7)."""
    log_probabilities = F.log_softmax(outputs.logits.double(), dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(1)


def agreement(outputs: Outputs, reference: Outputs) -> float:
    """Share of the images on which two models name the same class, in percent, 0 to 100."""
    return 100 * (outputs.logits.argmax(1) == reference.logits.argmax(1)).double().mean().item()
