"""The networks: their shapes and sizes, their seeds, and the neuron that is added and taken away."""

import copy

import pytest
import torch
from torch import nn

from bu_core.models import Classifier, build, pruned, widened
from tests.helpers import same_state


def trained(model: Classifier) -> Classifier:
    """`model` with statistics and weights other than the initial ones, in evaluation mode."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in (*model.parameters(), *(buffer for buffer in model.body.buffers() if buffer.is_floating_point())):
            tensor += 0.1 * torch.rand(tensor.shape, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Classifier:
    return trained(build("allcnn", 3, 10, 0.25, seed=0))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def convolution(inputs: int, outputs: int, kernel: int) -> int:
    """Weights, biases, and the scale and shift of BatchNorm."""
    return inputs * outputs * kernel**2 + outputs + 2 * outputs


def by_hand(channels: int, narrow: int, wide: int, classes: int) -> int:
    return (
        convolution(channels, narrow, 3)
        + convolution(narrow, narrow, 3)
        + convolution(narrow, wide, 3)  # stride 2
        + convolution(wide, wide, 3)
        + convolution(wide, wide, 3)
        + convolution(wide, wide, 3)  # stride 2
        + convolution(wide, wide, 3)
        + convolution(wide, wide, 1)
        + wide * classes
        + classes
    )


@pytest.mark.parametrize(
    ("channels", "width", "narrow", "wide", "total"),
    [(3, 1.0, 96, 192, 1_621_354), (3, 0.5, 48, 96, 407_482), (1, 0.5, 48, 96, 406_618)],
)
def test_allcnn_has_the_parameters_of_its_architecture(channels, width, narrow, wide, total):
    model = build("allcnn", channels, 10, width, seed=0)
    assert by_hand(channels, narrow, wide, 10) == total
    assert sum(parameter.numel() for parameter in model.parameters()) == total


def test_allcnn_halves_the_image_twice_and_pools_the_rest(model: Classifier, images: torch.Tensor):
    sizes = []
    hooks = [
        layer.register_forward_hook(lambda layer, given, out: sizes.append(tuple(out.shape[1:])))
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    assert sizes == [(24, 32, 32)] * 2 + [(48, 16, 16)] * 3 + [(48, 8, 8)] * 3


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 8), (3, 32), (3, 33)])
@pytest.mark.parametrize("width", [0.01, 0.1, 0.5])
def test_features_and_logits_have_their_shapes(channels: int, size: int, width: float):
    model = build("allcnn", channels, 7, width, seed=0).eval()
    given = torch.rand(2, channels, size, size)
    assert model.features(given).shape == (2, max(1, int(192 * width)))
    assert model(given).shape == (2, 7)
    assert torch.equal(model(given), model.classifier(model.features(given)))


def test_images_are_normalised_inside(model: Classifier, images: torch.Tensor):
    """From [0, 1] to [-1, 1]: mean 0.5, deviation 0.5."""
    seen = []
    hook = model.body.register_forward_pre_hook(lambda body, given: seen.append(given[0]))
    model(torch.stack([torch.zeros_like(images[0]), torch.ones_like(images[0])]))
    hook.remove()
    assert seen[0][0].unique().tolist() == [-1]
    assert seen[0][1].unique().tolist() == [1]


def test_the_seed_decides_the_weights():
    first, again, other = (build("allcnn", 3, 10, 0.1, seed=seed) for seed in (3, 3, 4))
    assert same_state(first, again)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert not torch.equal(first.body[0][0].weight, other.body[0][0].weight)


def test_the_seed_of_the_shadow_neuron_decides_its_weights(model: Classifier):
    first, again, other = (widened(model, seed).classifier.weight[-1] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_other_random_draw_is_disturbed(model: Classifier):
    before = torch.get_rng_state()
    build("allcnn", 3, 10, 0.1, seed=3)
    pruned(widened(model, seed=3))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_widened_model_keeps_its_logits_and_has_one_more(model: Classifier, images: torch.Tensor):
    wide = widened(model, seed=0)
    assert wide(images).shape == (5, 11)
    # The same sums over another number of columns may be rounded otherwise; the weights are equal to the bit.
    torch.testing.assert_close(wide(images)[:, :10], model(images), rtol=1e-6, atol=1e-6)
    assert torch.equal(wide.classifier.weight[:10], model.classifier.weight)
    assert torch.equal(wide.classifier.bias[:10], model.classifier.bias)


def test_a_pruned_model_is_exactly_what_was_widened(model: Classifier, images: torch.Tensor):
    back = pruned(widened(model, seed=0))
    assert same_state(back, model)
    assert torch.equal(back(images), model(images))
    assert back.classifier.out_features == model.classifier.out_features


def test_pruned_logits_are_the_widened_ones_without_the_last(model: Classifier, images: torch.Tensor):
    wide = trained(widened(model, seed=0))
    torch.testing.assert_close(pruned(wide)(images), wide(images)[:, :10], rtol=1e-6, atol=1e-6)


def test_widening_and_pruning_leave_their_model_alone(model: Classifier):
    before = copy.deepcopy(model)
    wide = widened(model, seed=0)
    narrow = pruned(wide)
    with torch.no_grad():
        for parameter in (*wide.parameters(), *narrow.parameters()):
            parameter.zero_()
    assert same_state(model, before)


def test_the_branches_of_a_resnet50_come_in_one_by_one():
    """Its blocks hand on what they are given at the start; those of a ResNet-18 do not."""
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for name, shallow in (("resnet50", True), ("resnet18", False)):
        model = build(name, 3, 2, 1, seed=0).eval()
        second = model.body[4][1]  # the second block of the first stage, which changes no shape
        given = model.body[4][0](model.body[:4](images))
        assert torch.equal(second(given), given) == shallow
