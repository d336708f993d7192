"""Re-estimation, on models whose statistics and weights are known."""

import torch
from torch import nn

from bu_core.audits.reestimation import reestimated
from bu_core.data import LabelledImages, pixels
from bu_core.models import Classifier, build
from bu_core.training import predict
from bu_core.unlearning import METHODS, UnlearningTask
from tests.helpers import same_state


def statistics(model: Classifier) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(m.running_mean, m.running_var) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def accuracy(model: Classifier, data: LabelledImages) -> float:
    return (predict(model, data.images, "fp32").argmax(1) == data.labels).float().mean().item()


def test_reestimated_statistics_are_those_of_the_images(task: UnlearningTask):
    images = task.split.remain_train.images
    again = reestimated(task.original, images, "fp32", batch_size=10_000)
    convolution, norm, _ = task.original.body[0]
    with torch.no_grad():
        seen = convolution((pixels(images) - 0.5) / 0.5)
    torch.testing.assert_close(again.body[0][1].running_mean, seen.mean((0, 2, 3)))
    torch.testing.assert_close(again.body[0][1].running_var, seen.var((0, 2, 3)))
    assert not torch.equal(norm.running_mean, again.body[0][1].running_mean), "the model that was given is left alone"


def test_every_batch_counts_alike(task: UnlearningTask):
    images = task.split.remain_train.images[:40]
    again = reestimated(task.original, images, "fp32", batch_size=10)
    batches = [reestimated(task.original, batch, "fp32") for batch in images.split(10)]
    means = torch.stack([statistics(batch)[0][0] for batch in batches])
    torch.testing.assert_close(statistics(again)[0][0], means.mean(0))


def test_reestimation_touches_no_weight_and_nothing_of_the_old_statistics_stays(task: UnlearningTask):
    spoilt = reestimated(task.original, torch.zeros_like(task.split.remain_train.images[:8]), "fp32")
    images = task.split.remain_train.images
    one, other = (reestimated(model, images, "fp32") for model in (task.original, spoilt))
    assert same_state(one, other)
    weights = dict(one.named_parameters())
    assert all(torch.equal(weight, weights[name]) for name, weight in task.original.named_parameters())
    assert not one.training
    assert [m.momentum for m in one.modules() if isinstance(m, nn.BatchNorm2d)] == [0.1] * len(statistics(one))


def test_a_model_without_running_statistics_is_unchanged(task: UnlearningTask):
    model = build("allcnn_groupnorm", 3, 4, 0.1, seed=0)
    assert same_state(model, reestimated(model, task.split.remain_train.images, "fp32"))


def test_a_class_that_only_the_statistics_hide_comes_back(task: UnlearningTask):
    """Planted: at learning rate 0 the weights are the original's, so that what it knew must come back."""
    hidden = METHODS["boundary_shrink"](task, lr=0.0, batchnorm="train", epochs=20)
    weights = dict(hidden.named_parameters())
    assert all(torch.equal(weight, weights[name]) for name, weight in task.original.named_parameters())
    forget, remain = task.split.forget_train, task.split.remain_train
    back = reestimated(hidden, remain.images, "fp32")
    before, after = accuracy(hidden, forget), accuracy(back, forget)
    assert before < 0.5 < 0.9 < after
    never = METHODS["retrain"](task)
    assert accuracy(reestimated(never, remain.images, "fp32"), forget) == 0, "Retrain is the control"
