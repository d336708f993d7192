"""Images that go through the model beside D_f while it forgets: unlabelled remaining ones, or what stands in for them.

A batch of one class normalises itself, and what it learns so is undone by the statistics of any other images. Beside
remaining images a step is taken under the normalisation that the model will have afterwards.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..checks import SettingError
from ..training import Companions, predict
from .task import UnlearningTask


def check(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that ask for images beside D_f where there are none, or for two kinds of them."""
    remaining, stand_ins = settings["remaining"], settings.get("stand_ins", "none")
    if remaining == 1:
        raise SettingError(f"{name}.remaining=1: BatchNorm finds no variance in one image; allowed: 0, 2 and more")
    if remaining and stand_ins != "none":
        raise SettingError(f"{name}.stand_ins={stand_ins!r}: is for remaining=0, and remaining is {remaining}")
    if remaining or stand_ins != "none":
        return
    wanted = "remaining above 0" + (", or stand_ins" if "stand_ins" in settings else "")
    if settings["batchnorm"] == "remaining":
        raise SettingError(f"{name}.batchnorm='remaining': needs {wanted}")
    for each in ("adversary", "adversary_before"):
        if weight := settings.get(each):
            raise SettingError(f"{name}.{each}={weight:g}: needs {wanted}, to compare D_f with")
    if settings.get("output_row") == "relearned":
        raise SettingError(f"{name}.output_row='relearned': needs {wanted}, of which it is learned")
    if settings.get("reset"):
        raise SettingError(f"{name}.reset={settings['reset']}: needs {wanted}, or D_r would be forgotten as well")


def remaining_images(task: UnlearningTask, count: int) -> Tensor:
    """So many images of D_r at the most, drawn by the seed: uint8, on the device."""
    images = task.split.remain_train.images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(task.recipe.seed))
    # `Experiment.remaining` is the beginning of this order: what a method saw shall not be what it is asked. The ladder
    # draws by one seed for all models, so that of another seed's images it sees as many as chance gives.
    return images[order.flip(0)[:count].to(images.device)]


def companions(task: UnlearningTask, remaining: int, keep: float) -> Companions | None:
    """So many remaining images, with the original's answers; None for 0."""
    return answered(task, remaining_images(task, remaining), keep) if remaining else None


def answered(
    task: UnlearningTask, images: Tensor, keep: float, without_class: bool = False, own: Tensor | None = None
) -> Companions:
    """Images as companions that keep the original's answers, or these without what is forgotten: `split.barred`.

    `own`: the labels of the images of D_f that these images stand for, int64, (N,), where they do.
    """
    logits = predict(task.original, images, task.recipe.precision)
    barred = task.split.barred(logits, own) if without_class else logits
    return Companions(images, barred.softmax(1), keep, task.recipe.batch_size)
