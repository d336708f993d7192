"""Faster early layers, and relearning on the way: their arithmetic on small models, and what they do in a method."""

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bu_core.data import LabelledImages, pixels
from bu_core.models import Classifier
from bu_core.training import Companions
from bu_core.unlearning import METHODS, UnlearningTask, method_settings
from bu_core.unlearning.depth import relearned_loss
from tests.helpers import refusal, same_state

LASTING: dict[str, Any] = {"batchnorm": "remaining", "remaining": 30, "target": "soft", "lr": 0.01}


def shrunk(task: UnlearningTask, **settings: Any) -> Classifier:
    return METHODS["boundary_shrink"](task, **{"epochs": 4} | LASTING | settings)


# --- rates --------------------------------------------------------------------------------------------------------


def test_the_rate_falls_by_the_same_share_from_the_first_part_to_the_last(task: UnlearningTask):
    """One step each: what a part moves is `early` to the power of how far it is from the end, times what it moved."""
    once = dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, batch_size=64))
    plain, fast = (shrunk(once, epochs=1, early=factor) for factor in (1.0, 256.0))
    parts = [*zip(plain.body[:8], fast.body[:8], task.original.body[:8], strict=True)]
    parts.append((plain.classifier, fast.classifier, task.original.classifier))
    for place, part in enumerate(parts):
        for one, other, before in zip(*(each.parameters() for each in part), strict=True):
            torch.testing.assert_close(other - before, 256 ** (1 - place / 8) * (one - before), rtol=1e-3, atol=3e-5)


# --- relearning ---------------------------------------------------------------------------------------------------


def linear(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4))


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside companions"])
def test_the_gradient_is_that_at_the_weights_which_learned_the_class_again(task: UnlearningTask, beside: bool):
    """By the textbook: two steps on the first half with its own labels, and the gradient of the second half there."""
    model, forget, rate = linear(0), task.split.forget_train, task.recipe.lr
    targets = torch.full((len(forget), 4), 0.25)
    answers = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)).softmax(1)
    companions = Companions(task.split.remain_train.images[:6], answers, 1.0, 6) if beside else None
    batch, taken = torch.arange(8), torch.tensor([4, 0, 2])
    images, there = pixels(forget.images[batch]), copy.deepcopy(model)
    for _ in range(2):
        loss = F.cross_entropy(there(images[:4]), forget.labels[:4])
        if companions:
            loss = loss + F.cross_entropy(there(pixels(companions.images[taken])), answers[taken])
        for weight, gradient in zip(
            there.parameters(), torch.autograd.grad(loss, list(there.parameters())), strict=True
        ):
            weight.data -= rate * gradient
    expected = F.cross_entropy(there(images[4:]), targets[4:8])
    penalty = relearned_loss(task, LabelledImages(forget.images, targets), companions, 2)
    found = penalty(model, images, batch, taken if beside else None)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = (torch.autograd.grad(each, list(of.parameters())) for each, of in ((found, model), (expected, there)))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_a_batch_of_one_image_has_a_loss(task: UnlearningTask):
    penalty = relearned_loss(task, task.masked(), None, 1)
    images = pixels(task.split.forget_train.images[:1])
    assert penalty(task.original, images, torch.tensor([0]), None).isfinite()


def after_relearning(task: UnlearningTask, model: Classifier) -> float:
    """The loss on one half of D_f after two steps on the other, in evaluation mode: a scalar."""
    batch = torch.arange(len(task.split.forget_train))
    penalty = relearned_loss(task, task.masked(), None, 2)
    return penalty(model.eval(), pixels(task.split.forget_train.images), batch, None).item()


def test_what_was_relearned_on_the_way_is_relearned_less_in_the_end(task: UnlearningTask):
    plain, resisting = (shrunk(task, epochs=8, batchnorm="frozen", relearn_steps=steps) for steps in (0, 2))
    assert after_relearning(task, resisting) < after_relearning(task, plain)


@pytest.mark.parametrize(
    "settings", [{"relearn_steps": 1}, {"early": 4.0}, {"relearn_steps": 2, "disperse": 1.0}], ids=str
)
def test_the_same_seed_gives_the_same_model_which_another_setting_does_not(
    task: UnlearningTask, settings: dict[str, Any]
):
    first = shrunk(task, **settings)
    torch.manual_seed(5)
    assert same_state(shrunk(task, **settings), first)
    assert not same_state(shrunk(task), first)
    assert "forward" not in vars(first.body[0][1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"relearn_steps": 1}, "relearn_steps=1: needs batchnorm frozen or remaining"),
        ({"relearn_steps": 1, "batchnorm": "frozen", "curvature": 0.3}, "relearn_steps=1: is for curvature 0"),
        ({"early": 0.0}, "early=0.0: must be above 0"),
        ({"channel_means": "kept"}, "channel_means='kept': allowed: free, held"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], said: str):
    assert refusal(method_settings, "boundary_shrink", settings).startswith(f"unlearning.boundary_shrink.{said}")
