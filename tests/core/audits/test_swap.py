"""Weights of one model with the statistics of another: on models whose weights and statistics are known."""

import pytest
import torch

from bu_core.audits.reestimation import reestimated
from bu_core.audits.swap import swapped
from bu_core.data import pixels
from bu_core.models import batchnorms
from bu_core.unlearning import METHODS, UnlearningTask, method_settings
from tests.helpers import same_state


def test_a_model_swapped_with_itself_is_itself(task: UnlearningTask):
    assert same_state(swapped(task.original, task.original), task.original)


def test_weights_come_from_one_and_statistics_from_the_other(task: UnlearningTask):
    other = METHODS["finetune"](task, **method_settings("finetune", {"epochs": 1}))
    mixed = swapped(task.original, other)
    for (name, own), theirs, made in zip(
        task.original.state_dict().items(), other.state_dict().values(), mixed.state_dict().values(), strict=True
    ):
        expected = theirs if "running" in name else own
        assert torch.equal(made, expected), name


def test_where_no_weight_moved_the_statistics_are_the_whole_difference(task: UnlearningTask):
    """A model of learning rate 0 differs in its statistics alone: the original's weights with them are that model."""
    drifted = METHODS["boundary_shrink"](task, **method_settings("boundary_shrink", {"lr": 0.0, "epochs": 2}))
    images = pixels(task.split.forget_train.images)
    with torch.no_grad():
        torch.testing.assert_close(swapped(task.original, drifted)(images), drifted(images))
        torch.testing.assert_close(swapped(drifted, task.original)(images), task.original(images))


def test_moments_and_layers_can_be_taken_by_themselves(task: UnlearningTask):
    other = reestimated(task.original, task.split.forget_train.images, "fp32")
    means, variances = (swapped(task.original, other, moments) for moments in ("mean", "variance"))
    for own, theirs, mean, variance in zip(
        *(batchnorms(model) for model in (task.original, other, means, variances)), strict=True
    ):
        assert torch.equal(mean.running_mean, theirs.running_mean) and torch.equal(mean.running_var, own.running_var)
        assert torch.equal(variance.running_var, theirs.running_var)
        assert torch.equal(variance.running_mean, own.running_mean)
    last = len(batchnorms(task.original)) - 1
    one = batchnorms(swapped(task.original, other, layers=[last]))
    changed = [
        not torch.equal(a.running_mean, b.running_mean) for a, b in zip(one, batchnorms(task.original), strict=True)
    ]
    assert changed == [False] * last + [True]


def test_models_of_another_depth_are_refused(task: UnlearningTask):
    with pytest.raises(ValueError, match="shorter|longer"):
        swapped(task.original, torch.nn.Sequential())  # type: ignore[arg-type]
