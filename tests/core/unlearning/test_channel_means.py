"""Channel means that stay: what a layer is expected to be given, and what projected steps leave, against data."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bu_core.audits.reestimation import reestimated
from bu_core.config import Config
from bu_core.data import LabelledImages, pixels
from bu_core.experiment.experiment import Experiment
from bu_core.models import Classifier, batchnorms, build, statistics
from bu_core.training import Recipe, fit, predict
from bu_core.unlearning import METHODS, UnlearningTask
from bu_core.unlearning.channel_means import _derivatives, expected_inputs, held, rectified_mean, without
from tests.helpers import refusal

SHAPE = (3, 8, 8)
FROZEN = {"batchnorm": "frozen", "target": "soft", "epochs": 8, "lr": 0.01}


def recognised(model: Classifier, data: LabelledImages) -> float:
    return (predict(model, data.images, "fp32").argmax(1) == data.labels).float().mean().item()


# --- what a layer is expected to be given -------------------------------------------------------------------------


def test_the_mean_of_a_rectified_gaussian_is_that_of_samples():
    noise = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means, deviations = (
        torch.tensor([0.0, 1.0, -1.0, -0.3, 2.0]).double(),
        torch.tensor([1.0, 0.5, 1.0, 2.0, 0.1]).double(),
    )
    samples = torch.stack(
        [(mean + deviation * noise).relu().mean() for mean, deviation in zip(means, deviations, strict=True)]
    )
    torch.testing.assert_close(rectified_mean(means, deviations), samples, rtol=0, atol=3e-3)
    certain = rectified_mean(torch.tensor([-2.0, 0.0, 3.0]), torch.zeros(3))
    assert certain.tolist() == [0, 0, 3], "without a deviation it is the rectified mean"


def test_its_derivatives_are_those_of_differences():
    layer = nn.BatchNorm2d(4)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, -0.5, 0.2, 2.0]))
        layer.bias.copy_(torch.tensor([0.3, -0.4, 0.0, -1.0]))
    scale, shift = layer.weight.detach().double(), layer.bias.detach().double()
    by_scale, by_shift = _derivatives(layer)
    for found, (more_scale, more_shift) in ((by_scale, (1e-4, 0)), (by_shift, (0, 1e-4))):
        up = rectified_mean(shift + more_shift, (scale + more_scale).abs())
        down = rectified_mean(shift - more_shift, (scale - more_scale).abs())
        torch.testing.assert_close(found.double(), (up - down) / 2e-4, rtol=1e-3, atol=1e-5)


def test_the_first_layer_is_given_the_pixels_whose_mean_its_batchnorm_saw():
    """Images of one colour, on which the mean output of a padded convolution is known; then the colour is found."""
    model, colour = build("allcnn", 3, 4, 0.2, seed=3), torch.tensor([0.4, -0.2, 0.7])
    convolution, after = model.body[0][0], model.body[0][1]
    with torch.no_grad():
        seen = convolution(colour.view(1, 3, 1, 1).expand(1, *SHAPE)).mean((0, 2, 3))
    after.running_mean.copy_(seen)
    given = expected_inputs(model, SHAPE)["body.0.0"]
    torch.testing.assert_close(given[:, 1, 1], colour, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close((convolution.weight * given).sum((1, 2, 3)) + convolution.bias, seen)


def test_later_layers_are_given_what_data_give_them(task: UnlearningTask):
    """The cosine of expected and measured means of each channel, which is what a projection needs."""
    model, measured = copy.deepcopy(task.original), dict[str, Tensor]()

    def look(name: str, inputs: Tensor) -> None:
        measured[name] = inputs.mean([axis for axis in range(inputs.dim()) if axis != 1])

    expected = expected_inputs(model, SHAPE)
    for name in expected:
        model.get_submodule(name).register_forward_pre_hook(lambda _, given, name=name: look(name, given[0]))
    images = torch.cat([task.split.remain_train.images, task.split.forget_train.images])
    with torch.no_grad():
        model.eval()(pixels(images))
    assert list(expected) == [*(f"body.{number}.0" for number in range(8)), "classifier"]
    for name, mean in expected.items():
        centre = mean[:, mean.shape[1] // 2, mean.shape[2] // 2] if mean.dim() == 3 else mean
        assert torch.cosine_similarity(centre, measured[name], dim=0) > 0.9, name


# --- steps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_keeps_its_output_at_the_mean_of_its_inputs_exactly(bias: bool):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8, generator=generator)
    data, mean = LabelledImages(images, torch.arange(20) % 3), torch.rand(16, generator=generator)
    torch.manual_seed(0)
    before = nn.Sequential(nn.Flatten(), nn.Linear(16, 3, bias=bias))
    after = copy.deepcopy(before)
    project = [lambda model: without(model[1], mean)]
    fit(after, data, Recipe(5, 0.5, 0.9, 8, "fp32", 0), label="test", on_gradients=project)
    with torch.no_grad():
        torch.testing.assert_close(after(mean[None]), before(mean[None]), rtol=0, atol=1e-5)
        others = pixels(images)
        assert (after(others) - before(others)).abs().mean() > 0.1, "and it learns all the same"


def moved(task: UnlearningTask, model: Classifier) -> Tensor:
    """How far each layer's channel means over D_r are from the original's, the root mean square in deviations, (8,)."""
    images = task.split.remain_train.images
    layers = [batchnorms(reestimated(each, images, "fp32")) for each in (task.original, model)]
    pairs = [(statistics(one), statistics(other)[0]) for one, other in zip(*layers, strict=True)]
    return torch.stack([((mean - now) / variance.sqrt()).square().mean().sqrt() for (mean, variance), now in pairs])


def test_projected_steps_leave_the_channel_means_over_remaining_data(task: UnlearningTask):
    free, kept = (METHODS["boundary_shrink"](task, **FROZEN, channel_means=means) for means in ("free", "held"))
    far, near = moved(task, free), moved(task, kept)
    assert (near < far / 2).all()
    assert near.mean() < far.mean() / 4
    for model in (free, kept):
        assert recognised(model, task.split.forget_train) < 0.1
    images = task.split.remain_train.images
    again = [recognised(reestimated(model, images, "fp32"), task.split.forget_train) for model in (free, kept)]
    assert again[1] <= again[0], "what moved no mean is not taken back with the means"


def test_a_rate_of_the_rectified_mean_is_held_in_every_batchnorm(task: UnlearningTask):
    """After one step, scale and shift have moved, and the mean of the rectified channel has not, to first order."""
    recipe = dataclasses.replace(task.recipe, momentum=0.0, batch_size=64)
    once = dataclasses.replace(task, recipe=recipe)
    settings = FROZEN | {"epochs": 1, "lr": 1e-3}
    for means, least, most in (("free", 0.1, torch.inf), ("held", 0.0, 1e-3)):
        model, change, way = METHODS["boundary_shrink"](once, **settings, channel_means=means), 0.0, 0.0
        for one, other in zip(batchnorms(task.original), batchnorms(model), strict=True):
            before, now = (rectified_mean(each.bias, each.weight.abs()) for each in (one, other))
            change += (now - before).abs().sum().item()
            way += (other.bias - one.bias).abs().sum().item()
        assert way > 0
        assert least < change / way < most


# --- other networks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["allcnn_groupnorm", "resnet18"])
def test_a_network_whose_means_do_not_follow_is_refused(network: str):
    message = refusal(held, build(network, 3, 4, 1, seed=0), (3, 32, 32))
    assert message.startswith("channel_means='held': needs convolutions with BatchNorm")


def test_it_is_refused_before_anything_is_trained(tmp_path: Path):
    settings = {"boundary_shrink": {"batchnorm": "frozen", "channel_means": "held"}}
    config = Config.from_profile(
        "smoke", model="allcnn_groupnorm", unlearning=settings, methods=["boundary_shrink"], results_dir=str(tmp_path)
    )
    assert refusal(Experiment, config).startswith("channel_means='held': needs convolutions")
