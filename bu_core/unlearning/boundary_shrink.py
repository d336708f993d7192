"""Boundary Shrink: give each forgetting sample the label of the class across its nearest boundary (section 4.1)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import LabelledImages, pixels
from ..models import Classifier
from ..settings import BatchNorm, Epochs, LearningRate, PixelDistance
from ..training import Precision, autocast
from .task import UnlearningTask


def boundary_shrink(
    task: UnlearningTask,
    *,
    epochs: Epochs = 10,
    lr: LearningRate = 1e-5,
    epsilon: PixelDistance = 0.1,
    batchnorm: BatchNorm = "train",
) -> Classifier:
    """The original, fine-tuned on (x, y_nbi) for x in D_f: equation 4.

    The labels are searched once, before the first epoch: w0 does not change, and neither do they.
    """
    labels = nearest_labels(task.original, task.split.forget_train, epsilon, task.recipe.precision)
    return task.fitted(
        task.original, task.relabelled(labels), label="boundary_shrink", epochs=epochs, lr=lr, batchnorm=batchnorm
    )


def nearest_labels(
    model: Classifier, data: LabelledImages, epsilon: float, precision: Precision, batch_size: int = 500
) -> Tensor:
    """The nearest but incorrect label of each image, int64, (N,): equations 2 and 3.

    What the model says of the cross sample is y_nbi. A sample that stays on its side of the boundary keeps no class
    that way, since the label must be incorrect: it gets the likeliest of the other classes at the cross sample.
    """
    labels = []
    for images, own in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
        crossed = cross_samples(model, pixels(images), own, epsilon, precision)
        with torch.no_grad(), autocast(images.device, precision):
            logits = model(crossed).float()
        labels.append(logits.scatter(1, own[:, None], -torch.inf).argmax(1))
    return torch.cat(labels)


def cross_samples(model: Classifier, images: Tensor, labels: Tensor, epsilon: float, precision: Precision) -> Tensor:
    """x' = x + epsilon * sign(grad_x L(x, y, w0)), equation 2, kept in [0, 1].

    `images` are floats in [0, 1], shape (B, C, H, W); `epsilon` is in the same units. One step of the fast gradient
    sign method (Goodfellow et al. 2015). The model is read in evaluation mode and its weights get no gradient.
    """
    model.eval()
    images = images.detach().requires_grad_()
    with autocast(images.device, precision):
        logits = model(images)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits.float(), labels, reduction="sum"), images)
    return (images.detach() + epsilon * gradient.sign()).clamp(0, 1)
