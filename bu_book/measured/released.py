"""How much the smaller differences between the released code and this book matter, on an original of this book.

The released code takes its step between two normalisations, computes the outputs of Boundary Expanding's first batch in
evaluation mode, and draws the shadow neuron in its own way.
"""

import copy
import statistics
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bu_core.data import pixels
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.models import Classifier, widened, with_rows
from bu_core.training import predict
from bu_core.unlearning.boundary_shrink import crossed_logits, nearest_incorrect

STEP = 0.1  # of the search, by the released code
BATCHES = 6  # of D_f, over which gradients are averaged
AT_ONCE = 250  # images

# What the released code's attack takes for mean and deviation of its inputs, which were normalised with one half each.
MEAN, DEVIATION = (0.4914, 0.4822, 0.2265), (0.2023, 0.1994, 0.2010)


@dataclass(frozen=True)
class Differences:
    """What each difference changes at the first step.

    `stay` and `stay_there`: the share of D_f in percent that one step of STEP leaves in its class, taken in pixels as
    in this book, and as in the released code. `runner_up`: the share in percent whose second likeliest class, at the
    image itself, is the label that the step in pixels finds.

    `first_batch`: the length of the gradient of Boundary Expanding's first step in evaluation mode, in times of that in
    training mode. `shadow`: how far that in training mode moves, in percent of its length, where the shadow neuron is
    drawn as in the released code. Both are means over so many BATCHES.
    """

    stay: float
    stay_there: float
    runner_up: float
    first_batch: float
    shadow: float


@measurement(
    constants=lambda: {
        "step": STEP,
        "batches": BATCHES,
        "at_once": AT_ONCE,
        "normalisation": [MEAN, DEVIATION],
    }
)
def differences(experiment: Experiment) -> Differences:
    """What each of the differences changes at the first step, on the original of a run that forgets one class."""
    original, forget = copy.deepcopy(experiment.model("original")), experiment.split.forget_train
    here, own = crossed_logits(original, forget, STEP, "fp32"), forget.labels
    parts = zip(forget.images.split(AT_ONCE), own.split(AT_ONCE), strict=True)
    there = torch.cat(
        [crossed_as_released(original, 2 * pixels(images) - 1, labels, STEP).argmax(1) for images, labels in parts]
    )
    runner_up = nearest_incorrect(predict(original, forget.images, "fp32"), own)
    size, order = experiment.recipe.batch_size, experiment.order("forget_train").to(own.device)
    batches = [pixels(forget.images[batch]) for batch in order[: BATCHES * size].split(size)]
    model = widened(original, experiment.config.seed)
    drawn, longer, moved = _as_released(model, experiment.config.seed), [], []
    for images in batches:
        usual = first_gradient(model, images, training=True)
        longer.append((first_gradient(model, images, training=False).norm() / usual.norm()).item())
        moved.append(((first_gradient(drawn, images, training=True) - usual).norm() / usual.norm()).item())
    return Differences(
        stay=_percent(here.argmax(1) == own),
        stay_there=_percent(there == own),
        runner_up=_percent(runner_up == nearest_incorrect(here, own)),
        first_batch=statistics.fmean(longer),
        shadow=100 * statistics.fmean(moved),
    )


def crossed_as_released(model: Classifier, images: Tensor, labels: Tensor, step: float) -> Tensor:
    """What `model`, in evaluation mode, says of the released code's cross samples: logits, (B, K).

    `images`: normalised to [-1, 1], (B, 3, H, W). The search computes gradients of all weights besides those of the
    images, undoes another normalisation than the one that was done, clamps, rounds to 256 levels, and keeps the graph
    of the second prediction.
    """
    crossed = images.clone().requires_grad_()
    model.eval().zero_grad()
    F.cross_entropy(model.classifier(model.body(crossed)), labels).backward()
    assert crossed.grad is not None  # after the backward pass
    start = denormalised(images)
    moved = denormalised(crossed) + crossed.grad.sign() * step
    moved = (start + (moved - start).clamp(-step, step)).clamp(0, 1)
    return model.classifier(model.body(normalised((moved * 255).round() / 255).detach().requires_grad_()))


def normalised(images: Tensor) -> Tensor:
    """Images in [0, 1] by the constants of the released code's attack; (B, 3, H, W)."""
    images = images.clone()
    for channel, (mean, deviation) in enumerate(zip(MEAN, DEVIATION, strict=True)):
        images[:, channel] = (images[:, channel] - mean) / deviation
    return images


def denormalised(images: Tensor) -> Tensor:
    """The reverse of `normalised`."""
    images = images.clone()
    for channel, (mean, deviation) in enumerate(zip(MEAN, DEVIATION, strict=True)):
        images[:, channel] = images[:, channel] * deviation + mean
    return images


def first_gradient(model: Classifier, images: Tensor, training: bool) -> Tensor:
    """The gradient of Boundary Expanding's loss by all weights of `model`, which stays as it is: (W,).

    `images`: in [0, 1], (B, C, H, W); the shadow class is the last one. `training`: the mode that BatchNorm is in.
    """
    model = copy.deepcopy(model).train(training)  # in training mode its statistics follow the batch
    logits = model(images)
    loss = F.cross_entropy(logits, torch.full((len(images),), logits.shape[1] - 1, device=images.device))
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, list(model.parameters()))])


def _as_released(model: Classifier, seed: int) -> Classifier:
    """A copy of a `widened` model whose last neuron is drawn by Xavier's normal distribution, its bias at 0."""
    layer = nn.Linear(model.classifier.in_features, model.classifier.out_features)
    nn.init.xavier_normal_(layer.weight, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(layer.bias)
    return with_rows(model, layer.to(model.classifier.weight.device), [layer.out_features - 1])


def _percent(holds: Tensor) -> float:
    return 100 * holds.double().mean().item()
