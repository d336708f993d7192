"""Boundary Shrink: give each forgetting sample the label of the class across its nearest boundary (section 4.1).

Its settings beyond equations 2 to 4, all off by default, are those of the code that the paper's authors released: a
search in several steps, and two additions to equation 4, `curvature` and `reweighting`; and ours, which make it last:
`remaining` and what follows it in the signature.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import AnyBatchNorm, Epochs, Keep, LearningRate, PixelDistance, Range, Remaining, SettingError
from ..data import LabelledImages, pixels
from ..models import Classifier, reset_last, row_erased
from ..training import Penalty, Precision, at_once, autocast
from . import companions
from .adversary import both
from .channel_means import check_network, held
from .depth import early_rates, relearned_loss
from .inversion import inverted
from .output_row import row_relearned, without_classes
from .register import method
from .task import UnlearningTask


def check(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that do not go together."""
    companions.check(name, settings)
    if settings["reweighting"] and settings["target"] != "nearest":
        raise SettingError(f"{name}.reweighting=True: weighs nearest labels, and target is {settings['target']!r}")
    for each in ("adversary", "adversary_before"):
        if (weight := settings[each]) and settings["disperse"]:
            raise SettingError(f"{name}.{each}={weight:g}: is for disperse 0, since either moves the features of D_f")
    if settings["output_row"] == "relearned" and settings["relearn_steps"]:
        raise SettingError(f"{name}.output_row='relearned': is for relearn_steps 0, whose loss knows the class's logit")
    if steps := settings["relearn_steps"]:
        if settings["batchnorm"] == "train":
            raise SettingError(f"{name}.relearn_steps={steps}: needs batchnorm frozen or remaining")
        if settings["curvature"]:
            raise SettingError(f"{name}.relearn_steps={steps}: is for curvature 0")


def check_model(build: Callable[[], Classifier], settings: Mapping[str, Any]) -> None:
    """Refuse a network that a setting does not know."""
    if settings["channel_means"] == "held":
        check_network(build())


@method(title="Boundary Shrink", colour="#0072B2", check=check, check_model=check_model)
def boundary_shrink(
    task: UnlearningTask,
    *,
    epochs: Epochs = 10,
    lr: LearningRate = 1e-5,
    epsilon: PixelDistance = 0.1,
    batchnorm: AnyBatchNorm = "train",
    search: Literal["fgsm", "pgd"] = "fgsm",
    steps: Annotated[int, Range(1)] = 5,
    step_size: Annotated[float, Range(0, 1)] = 0.3,
    curvature: Annotated[float, Range(0)] = 0.0,
    reweighting: bool = False,
    remaining: Remaining = 0,
    stand_ins: Literal["none", "crossed", "inverted"] = "none",
    inversions: Annotated[int, Range(2)] = 256,
    inversion_steps: Annotated[int, Range(1)] = 200,
    keep: Keep = 1.0,
    target: Literal["nearest", "soft", "uniform"] = "nearest",
    reset: Annotated[int, Range(0)] = 0,
    disperse: Annotated[float, Range(0)] = 0.0,
    adversary: Annotated[float, Range(0)] = 0.0,
    adversary_before: Annotated[float, Range(0)] = 0.0,
    channel_means: Literal["free", "held"] = "free",
    early: Annotated[float, Range(0, open=True)] = 1.0,
    relearn_steps: Annotated[int, Range(0)] = 0,
    output_row: Literal["kept", "erased", "relearned"] = "kept",
) -> Classifier:
    """The original, fine-tuned on (x, y_nbi) for x in D_f: equation 4.

    The labels are searched once, before the first epoch: w0 does not change, and neither do they. `fgsm` is equation 2;
    `pgd` takes `steps` steps of `step_size` times epsilon, by default about what the released code takes (5 steps of
    8/255 within 0.1). `curvature` is the weight of `kept_curvature`; `reweighting` multiplies each sample's loss by
    its `border_weights`.

    `target="soft"` learns the original's answer without the forgotten class instead (masked distillation, Zhou et al.
    2025), `uniform` an even share of each other class. `remaining` unlabelled images of D_r go beside the batches, and
    keep the original's answers with the weight `keep`; where there are none, `stand_ins` may, with the answers
    there less the forgotten class: `crossed`, the cross samples of D_f; `inverted`, so many `inversions` of the
    original, made in `inversion_steps` (`inversion.py`). `reset` gives so many last blocks the weights from before the
    original's training, and the forgotten class's output too; answers kept are then without that class. `disperse` is
    the weight of `alikeness`, which keeps features of D_f apart; `adversary` that of the loss by which a linear probe,
    fitted anew at every step, finds no D_f among the images beside it (`adversary.py`), and `adversary_before` the same
    one block earlier. `channel_means="held"` projects
    every gradient so that the channel means over D_r stay, of which no image is needed (`channel_means.py`). `early`
    multiplies the rate of the first layer, and ever less that of later ones (`depth.early_rates`); `relearn_steps` adds
    the loss after so many steps that learn the class again (`depth.relearned_loss`). `output_row="erased"` sets the
    class's output neuron to zero when all is done, and not before: its logit is what the steps push against.
    `"relearned"` puts there what a last layer learns that never saw the class (`output_row.py`); until then the steps
    on D_f leave its logit alone.
    """
    original, forget, precision = task.original, task.split.forget_train, task.recipe.precision
    walk = (steps, step_size) if search == "pgd" else (1, 1.0)
    if target == "nearest":
        logits = crossed_logits(original, forget, epsilon, precision, *walk)
        labels = nearest_incorrect(task.split.barred(logits), forget.labels)
        data = task.relabelled(weighted_targets(logits, labels) if reweighting else labels)
    elif target == "soft":
        data = task.masked()
    else:
        even = torch.zeros(len(forget), len(task.split.classes), device=forget.labels.device)
        data = task.relabelled(task.split.barred(even, forget.labels).softmax(1))
    images = own = None
    if stand_ins == "crossed":
        images, own = crossed_images(original, forget, epsilon, precision, *walk), forget.labels
    elif stand_ins == "inverted":
        images = inverted(task, inversions, inversion_steps)
    elif remaining:
        images = companions.remaining_images(task, remaining)
    without_class = reset > 0 or output_row == "relearned" or not remaining
    beside = companions.answered(task, images, keep, without_class, own) if images is not None else None
    start = reset_last(original, task.initial, reset, task.split.forget_classes) if reset else original
    how: dict[str, Any] = {"label": "boundary_shrink", "batchnorm": batchnorm, "companions": beside, "on_gradients": []}
    if curvature:
        how["penalty"] = kept_curvature(original, forget, curvature)
    if relearn_steps:
        how["penalty"] = relearned_loss(task, data, beside, relearn_steps)
    if adversary or adversary_before:  # what remembers is not resumed, or an interrupted fit would be another
        task, how["replayed"] = replace(task, checkpoint=None), False
        how["on_features"] = both(adversary, adversary_before)
    elif disperse:
        how["on_features"] = lambda features, beside: disperse * alikeness(features.last)
    if output_row == "relearned":
        how["objective"] = without_classes(task)
    if channel_means == "held":
        how["on_gradients"].append(held(start, forget.images.shape[1:]))
    if early != 1:
        how["on_gradients"].append(early_rates(start, early))
    model = task.fitted(start, data, epochs=epochs, lr=lr, **how)
    if output_row == "relearned":
        assert beside is not None, "`check` refuses it"
        return row_relearned(task, model, beside)
    return row_erased(model, task.split.forget_classes) if output_row == "erased" else model


def alikeness(features: Tensor) -> Tensor:
    """The mean cosine of two different rows of `features`, (B, F): 1 where all point one way, a scalar."""
    directions = F.normalize(features, dim=1)
    count = len(features)
    return (directions.sum(0).square().sum() - count) / max(1, count * (count - 1))


def crossed_logits(
    model: Classifier,
    data: LabelledImages,
    epsilon: float,
    precision: Precision,
    steps: int = 1,
    step_size: float = 1.0,
) -> Tensor:
    """What the model says of the cross sample of each image: logits, float32, (N, K)."""
    found, batch_size = [], at_once(data.images)
    for images, own in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
        crossed = cross_samples(model, pixels(images), own, epsilon, precision, steps, step_size)
        with torch.no_grad(), autocast(images.device, precision):
            found.append(model(crossed).float())
    return torch.cat(found)


def crossed_images(
    model: Classifier, data: LabelledImages, epsilon: float, precision: Precision, steps: int, step_size: float
) -> Tensor:
    """The cross sample of each image, rounded to uint8, (N, C, H, W)."""
    found = []
    for images, own in zip(data.images.split(500), data.labels.split(500), strict=True):
        crossed = cross_samples(model, pixels(images), own, epsilon, precision, steps, step_size)
        found.append((crossed * 255).round().to(torch.uint8))
    return torch.cat(found)


def nearest_incorrect(logits: Tensor, own: Tensor) -> Tensor:
    """The label that equation 3 finds in the logits of the cross samples, (N, K); `own` and the result: int64, (N,).

    A sample that stays on its side of the boundary keeps no class that way, since the label must be incorrect: it gets
    the likeliest of the other classes at the cross sample.
    """
    return logits.scatter(1, own[:, None], -torch.inf).argmax(1)


def cross_samples(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    precision: Precision,
    steps: int = 1,
    step_size: float = 1.0,
) -> Tensor:
    """x' = x + epsilon * sign(grad_x L(x, y, w0)), equation 2, kept in [0, 1]; or the same in several steps.

    `images` are floats in [0, 1], shape (B, C, H, W); `epsilon` is in the same units, `step_size` a share of it. One
    step of size 1 is the fast gradient sign method (Goodfellow et al. 2015). More steps, each taken where the last one
    ended, are projected gradient descent (Madry et al. 2018), started at x itself: every step is pulled back to within
    epsilon of x. The model is read in evaluation mode and its weights get no gradient.
    """
    model.eval()
    images = crossed = images.detach()
    for _ in range(steps):
        crossed = crossed.detach().requires_grad_()
        with autocast(images.device, precision):
            logits = model(crossed)
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits.float(), labels, reduction="sum"), crossed)
        crossed = crossed.detach() + epsilon * step_size * gradient.sign()
        crossed = crossed.clamp(images - epsilon, images + epsilon).clamp(0, 1)
    return crossed


def border_weights(logits: Tensor, labels: Tensor) -> Tensor:
    """How much each sample counts when its cross sample is near a border: float32, (N,), above 0 and below 3.

    The released code's "distance reweighting", after the probabilistic margin of Wang et al. (2021): the margin is the
    largest probability among the other classes less that of y_nbi, at x'; -1 far inside the new class, 0 on a border,
    above 0 where x' did not reach it. The weight is 3 / (1 + exp(-5 (margin - 1/2))), with that code's constants: 0.23
    on a border and almost nothing far from it, so it also makes every step smaller.
    """
    probabilities = logits.softmax(1)
    chosen = probabilities.gather(1, labels[:, None]).squeeze(1)
    others = probabilities.scatter(1, labels[:, None], 0.0).amax(1)
    return 3 * torch.sigmoid(5 * (others - chosen - 0.5))


def weighted_targets(logits: Tensor, labels: Tensor) -> Tensor:
    """Targets, float32, (N, K), whose cross-entropy is that of the labels, times their `border_weights`."""
    return border_weights(logits, labels)[:, None] * F.one_hot(labels, logits.shape[1])


def kept_curvature(original: Classifier, data: LabelledImages, weight: float) -> Penalty:
    """A penalty on what fine-tuning does to the curvature of the loss around each forgetting sample.

    weight / B * || c(w) - c(w0) || over the B samples of a batch; c is `input_curvature` with the samples' own labels.
    The measure of curvature is that of Moosavi-Dezfooli et al. (2019), who keep it small; the released code keeps it
    as it was. That code's weight of 0.7 is 0.35 here, where distances count in pixels and not in [-1, 1]. Curvature is
    read in evaluation mode, so that running statistics follow the batches as without it.
    """
    batches = zip(data.images.split(500), data.labels.split(500), strict=True)
    before = torch.cat([input_curvature(original, pixels(images), labels).detach() for images, labels in batches])

    def penalty(model: nn.Module, images: Tensor, batch: Tensor, beside: Tensor | None) -> Tensor:
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        change = input_curvature(model, images, data.labels[batch]) - before[batch]
        for module, training in modes:
            module.training = training
        return weight * change.norm() / len(batch)

    return penalty


_CURVATURE_STEP = 0.45  # Euclidean length in pixel units; 0.9 in the released code, whose images are in [-1, 1]


def input_curvature(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """|| grad_x L(x + z) - grad_x L(x) || of each sample, (B,): how far the input gradient turns in a short step z.

    z has the direction of sign(grad_x L(x)) and the length _CURVATURE_STEP. The result can be differentiated with
    respect to the weights.
    """

    def input_gradient(at: Tensor) -> Tensor:
        loss = F.cross_entropy(model(at), labels, reduction="sum")
        return torch.autograd.grad(loss, at, create_graph=True)[0]

    start = images.detach().requires_grad_()
    gradient = input_gradient(start)
    direction = gradient.detach().sign()
    length = direction.flatten(1).norm(dim=1).clamp_min(1e-7)[:, None, None, None]  # a dead gradient points nowhere
    stepped = (images.detach() + _CURVATURE_STEP * direction / length).requires_grad_()
    turned = (input_gradient(stepped) - gradient).flatten(1)
    return (turned.square().sum(1) + 1e-12).sqrt()  # the norm has no derivative where nothing turns
