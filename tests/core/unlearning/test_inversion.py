"""Images inverted from a model: what it takes them for, what its BatchNorm layers see in them, and who decides that."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from bu_core.audits.reestimation import reestimated
from bu_core.models import Classifier, batchnorms, statistics
from bu_core.training import predict
from bu_core.unlearning import UnlearningTask
from bu_core.unlearning.inversion import inverted
from tests.helpers import same_state


def made(task: UnlearningTask, steps: int, seed: int = 0) -> Tensor:
    return inverted(replace(task, recipe=replace(task.recipe, seed=seed)), 30, steps)


def gap(model: Classifier, images: Tensor) -> float:
    """How far the means that BatchNorm sees in the images are from its running means, in deviations."""
    pairs = zip(batchnorms(model), batchnorms(reestimated(model, images, "fp32")), strict=True)
    means = [(statistics(one), statistics(other)[0]) for one, other in pairs]
    return sum(((seen - mean).square() / variance).mean().item() for (mean, variance), seen in means)


def test_inverted_images_are_taken_for_each_class_alike_and_seen_as_the_training_data(task: UnlearningTask):
    before = copy.deepcopy(task.original)
    noise, images = made(task, 1), made(task, 100)
    assert (images.dtype, images.shape) == (torch.uint8, (30, 3, 8, 8))
    answers = predict(task.original, images, "fp32").argmax(1)
    wanted = torch.tensor([0, 1, 3]).repeat(10)
    assert (answers == wanted).sum() >= 28
    assert gap(task.original, images) < gap(task.original, noise) / 2
    assert same_state(task.original, before)


def test_the_seed_decides_the_images(task: UnlearningTask):
    torch.manual_seed(3)
    first = made(task, 3)
    assert torch.equal(made(task, 3), first)
    assert not torch.equal(made(task, 3, seed=1), first)


def test_a_model_without_running_statistics_is_inverted_by_its_answers_alone(task: UnlearningTask):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).eval()
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.zero_()
        for label in range(4):
            model[1].weight[label, 48 * label : 48 * (label + 1)] = 1.0
    images = made(replace(task, original=model), 60)
    answers = model(images.flatten(1).float() / 255).argmax(1)
    assert answers.bincount(minlength=4).tolist() == [10, 10, 0, 10]
