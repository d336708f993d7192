"""Forgetting beside other images: what stands there, what it answers, and that the forgetting lasts."""

import copy
import dataclasses
import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bu_core.audits.reestimation import reestimated
from bu_core.config import Config
from bu_core.data import LabelledImages
from bu_core.models import Classifier, build, reset_last
from bu_core.training import predict
from bu_core.unlearning import METHODS, UnlearningTask, changed_settings, method_settings
from bu_core.unlearning.boundary_shrink import alikeness, crossed_images
from bu_core.unlearning.companions import answered, remaining_images
from tests.helpers import refusal, same_state, small_experiment

BESIDE = ["negative_gradient", "random_labels", "boundary_shrink", "boundary_expanding"]
LASTING: dict[str, Any] = {"batchnorm": "remaining", "remaining": 30}


def recognised(model: Classifier, data: LabelledImages) -> float:
    return (predict(model, data.images, "fp32").argmax(1) == data.labels).float().mean().item()


# --- which images, and what they answer ---------------------------------------------------------------------------


def test_a_method_sees_other_remaining_images_than_an_audit(tmp_path):
    experiment = small_experiment(tmp_path)
    seen, asked = remaining_images(experiment.task(), 300), experiment.remaining(500)
    assert len(seen) == 300
    assert not {image.numpy().tobytes() for image in seen} & {image.numpy().tobytes() for image in asked}
    assert torch.equal(seen[:100], remaining_images(experiment.task(), 100)), "more are the same, and more"


def test_where_there_are_fewer_all_are_seen_and_the_seed_draws(task: UnlearningTask):
    assert len(remaining_images(task, 10_000)) == len(task.split.remain_train)
    other = dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, seed=1))
    assert not torch.equal(remaining_images(task, 20), remaining_images(other, 20))


def test_companions_hold_the_answers_of_the_original(task: UnlearningTask):
    images = remaining_images(task, 20)
    logits = predict(task.original, images, "fp32")
    beside = answered(task, images, 0.5)
    torch.testing.assert_close(beside.targets, logits.softmax(1))
    assert (beside.weight, beside.batch_size) == (0.5, task.recipe.batch_size)
    without = answered(task, images, 1.0, without_class=True).targets
    assert (without[:, 2] == 0).all()
    others = [0, 1, 3]
    torch.testing.assert_close(without[:, others], logits[:, others].softmax(1))


def test_cross_samples_as_stand_ins_are_images_within_epsilon(task: UnlearningTask):
    forget = task.split.forget_train
    crossed = crossed_images(task.original, forget, 0.1, "fp32", 1, 1.0)
    assert (crossed.dtype, crossed.shape) == (torch.uint8, forget.images.shape)
    assert 0 < (crossed.int() - forget.images.int()).abs().max() <= math.ceil(25.5)


# --- targets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["soft", "uniform"])
def test_a_masked_target_never_raises_the_forgotten_class(task: UnlearningTask, target: str):
    """The gradient of the loss in its logit is its probability, whatever the answer: a step only lowers it."""
    forget = task.split.forget_train
    logits = (predict(task.original, forget.images, "fp32") * (target == "soft")).requires_grad_()
    targets = task.split.barred(logits.detach()).softmax(1)
    assert (targets[:, 2] == 0).all()
    torch.testing.assert_close(targets.sum(1), torch.ones(len(forget)))
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, targets, reduction="sum"), logits)
    torch.testing.assert_close(gradient[:, 2], logits.softmax(1)[:, 2])
    before, means = predict(task.original, forget.images, "fp32").softmax(1)[:, 2], []
    for epochs in (1, 2, 4, 8):
        model = METHODS["boundary_shrink"](task, epochs=epochs, lr=1e-3, batchnorm="frozen", target=target)
        means.append(predict(model, forget.images, "fp32").softmax(1)[:, 2].mean().item())
    assert [before.mean().item(), *means] == sorted([before.mean().item(), *means], reverse=True)


def test_a_uniform_target_gives_the_others_an_even_share(task: UnlearningTask):
    parts = dataclasses.replace(task.split, forget_classes=(1,))
    assert torch.equal(parts.barred(torch.zeros(2, 5)).softmax(1), torch.tensor([[0.25, 0, 0.25, 0.25, 0.25]] * 2))


# --- the methods --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", BESIDE)
def test_at_rate_0_the_model_is_the_original_reestimated_on_these_images(task: UnlearningTask, method: str):
    model = METHODS[method](task, lr=0.0, epochs=2, **LASTING)
    assert same_state(model, reestimated(task.original, remaining_images(task, 30), "fp32"))


@pytest.mark.parametrize("method", BESIDE[1:])
def test_what_is_forgotten_beside_remaining_images_stays_so_and_the_rest_is_kept(task: UnlearningTask, method: str):
    model = METHODS[method](task, lr=0.01, epochs=12, **LASTING)
    again = reestimated(model, task.split.remain_train.images[:30], "fp32")
    for each in (model, again):
        assert recognised(each, task.split.forget_train) < 0.1
        assert recognised(each, task.split.remain_train) > 0.7


@pytest.mark.parametrize("method", BESIDE)
def test_the_same_seed_gives_the_same_model(task: UnlearningTask, method: str):
    first = METHODS[method](task, lr=0.01, epochs=2, **LASTING)
    torch.manual_seed(7)
    assert same_state(METHODS[method](task, lr=0.01, epochs=2, **LASTING), first)
    assert not same_state(METHODS[method](task, lr=0.01, epochs=2, **LASTING, keep=0.0), first)


@pytest.mark.parametrize(
    "settings",
    [
        {"target": "soft", "reset": 2, "batchnorm": "remaining", "remaining": 30},
        {"disperse": 1.0, "batchnorm": "remaining", "remaining": 30},
        {"stand_ins": "crossed", "batchnorm": "remaining"},
        {"stand_ins": "inverted", "inversions": 40, "inversion_steps": 30, "batchnorm": "remaining"},
        {"remaining": 30, "batchnorm": "frozen"},
        {"remaining": 30, "batchnorm": "train"},
        {"curvature": 0.1, "epochs": 3, **LASTING},
    ],
    ids=lambda settings: "+".join(map(str, settings)),
)
def test_each_setting_of_boundary_shrink_forgets_and_keeps(task: UnlearningTask, settings: dict[str, Any]):
    model = METHODS["boundary_shrink"](task, **{"lr": 0.01, "epochs": 12} | settings)
    assert recognised(model, task.split.forget_train) < 0.5
    assert all(weight.isfinite().all() for weight in model.state_dict().values())
    assert "forward" not in vars(model.body[0][1])


def test_features_that_are_dispersed_lie_further_apart(task: UnlearningTask):
    def together(weight: float) -> float:
        model = METHODS["boundary_shrink"](task, lr=0.01, epochs=12, disperse=weight, **LASTING)
        with torch.no_grad():
            return alikeness(model.features(task.split.forget_train.images / 255)).item()

    assert together(3.0) < together(0.0)


def test_alikeness_is_the_mean_cosine_of_two_rows():
    assert alikeness(torch.tensor([[2.0, 0.0], [5.0, 0.0], [0.0, 1.0]])).item() == pytest.approx(1 / 3)
    assert alikeness(torch.ones(1, 3)).item() == pytest.approx(0, abs=1e-6)


def test_a_reset_takes_the_last_blocks_and_one_output_from_before_the_training(task: UnlearningTask):
    before = copy.deepcopy(task.original)
    changed = reset_last(task.original, task.initial, 2, [2])
    for number in range(8):
        assert same_state(changed.body[number], (task.initial if number >= 6 else task.original).body[number])
    weight = changed.classifier.weight
    assert torch.equal(weight[2], task.initial.classifier.weight[2])
    assert torch.equal(weight[[0, 1, 3]], task.original.classifier.weight[[0, 1, 3]])
    assert same_state(task.original, before)
    other = build("allcnn", 3, 4, 0.1, seed=5)
    assert same_state(reset_last(task.original, other, 99, [0]).body, other.body)


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", BESIDE)
def test_remaining_statistics_without_an_image_are_refused(method: str):
    message = refusal(method_settings, method, {"batchnorm": "remaining"})
    assert message.startswith(f"unlearning.{method}.batchnorm='remaining': needs remaining above 0")
    assert refusal(Config, unlearning={method: {"batchnorm": "remaining"}}) == message


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"remaining": 1}, "remaining=1: BatchNorm finds no variance in one image"),
        ({"remaining": -1}, "remaining=-1: must be at least 0"),
        ({"remaining": 10, "stand_ins": "crossed"}, "stand_ins='crossed': is for remaining=0"),
        ({"reset": 1}, "reset=1: needs remaining above 0"),
        ({"target": "soft", "reweighting": True}, "reweighting=True: weighs nearest labels"),
        ({"keep": -0.1}, "keep=-0.1: must be at least 0"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], said: str):
    assert refusal(method_settings, "boundary_shrink", settings).startswith(f"unlearning.boundary_shrink.{said}")


def test_the_output_row_is_erased_when_all_is_done(task: UnlearningTask):
    """The steps are the same; in the end the class's logit is 0 for every image, and no other number differs."""
    kept = METHODS["boundary_shrink"](task, lr=0.01, epochs=3, **LASTING)
    erased = METHODS["boundary_shrink"](task, lr=0.01, epochs=3, output_row="erased", **LASTING)
    assert same_state(kept.body, erased.body)
    images, forgotten = task.split.remain_test.images, task.split.forget_class
    logits, masked_logits = predict(kept, images, "fp32"), predict(erased, images, "fp32")
    assert (masked_logits[:, forgotten] == 0).all()
    others = [label for label in range(len(task.split.classes)) if label != forgotten]
    assert torch.equal(masked_logits[:, others], logits[:, others])
    assert changed_settings("boundary_shrink", method_settings("boundary_shrink", {})) == {}, "no stored key moves"
