"""The shift of each channel, where it is known: planted in the statistics, or absent."""

import copy

import torch
from torch import nn

from bu_core.audits.channel_shift import shifted
from bu_core.models import batchnorms
from bu_core.unlearning import UnlearningTask
from tests.helpers import same_state


def test_a_shift_that_was_planted_is_found_and_nothing_else_moves(task: UnlearningTask):
    original, images = task.original, task.split.remain_train.images[:50]
    before, moved = copy.deepcopy(original), copy.deepcopy(original)
    generator = torch.Generator().manual_seed(0)
    for layer in batchnorms(moved):
        drawn = torch.randn(layer.running_mean.shape, generator=generator)
        layer.running_mean += drawn * layer.running_var.sqrt() / 4
    taken_over = shifted(original, moved, images, "fp32")
    for name, tensor in taken_over.state_dict().items():
        torch.testing.assert_close(tensor, moved.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)
    assert same_state(original, before), "the original is left as it was"


def test_a_change_that_shifts_no_channel_is_not_taken_over(task: UnlearningTask):
    moved = copy.deepcopy(task.original)
    nn.init.normal_(
        moved.classifier.weight, generator=torch.Generator().manual_seed(0)
    )  # it comes after every BatchNorm layer
    taken_over = shifted(task.original, moved, task.split.remain_train.images[:50], "fp32")
    for name, tensor in taken_over.state_dict().items():
        torch.testing.assert_close(tensor, task.original.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)
