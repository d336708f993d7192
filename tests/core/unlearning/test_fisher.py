"""Fisher Forgetting: the information is that of plain loops over single images, and the noise follows it."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bu_core.data import LabelledImages, pixels
from bu_core.models import Classifier, build
from bu_core.training import predict
from bu_core.unlearning import METHODS, UnlearningTask
from bu_core.unlearning.fisher import fisher_diagonal, noise_variance
from tests.helpers import same_state

fisher = METHODS["fisher"]


@pytest.fixture(scope="module", params=[("allcnn", 0.05), ("allcnn_groupnorm", 0.1)])
def model(request: pytest.FixtureRequest) -> Classifier:
    """Untrained, so that no class is certain; with statistics that evaluation mode does not take for those at rest."""
    model = build(request.param[0], 2, 4, request.param[1], seed=0)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean += 0.2 * torch.randn(module.running_mean.shape, generator=generator)
            module.running_var *= 0.5
            with torch.no_grad():
                module.weight += 0.1 * torch.randn(module.weight.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def data() -> LabelledImages:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (7, 2, 9, 9), dtype=torch.uint8, generator=generator)
    return LabelledImages(images, torch.tensor([0, 1, 2, 3, 0, 1, 2]))


def by_single_images(model: Classifier, data: LabelledImages, labels: str) -> dict[str, Tensor]:
    """The definition: one image, one label, one backward pass at a time."""
    model = copy.deepcopy(model).eval()
    total = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    for image, own in zip(pixels(data.images), data.labels, strict=True):
        log_probabilities = F.log_softmax(model(image[None])[0], dim=0)
        probabilities = log_probabilities.exp().detach()
        chosen = [(own, 1.0)] if labels == "data" else list(enumerate(probabilities))
        for label, share in chosen:
            gradients = torch.autograd.grad(log_probabilities[label], list(model.parameters()), retain_graph=True)
            for name, gradient in zip(total, gradients, strict=True):
                total[name] += share * gradient.square() / len(data)
    return total


@pytest.mark.parametrize("labels", ["model", "data"])
@pytest.mark.parametrize("batch_size", [3, 16])
def test_the_diagonal_is_that_of_single_images(model: Classifier, data: LabelledImages, labels: str, batch_size: int):
    expected = by_single_images(model, data, labels)
    found = fisher_diagonal(model, data, labels, batch_size=batch_size)
    assert found.keys() == expected.keys() == dict(model.named_parameters()).keys()
    for name, value in found.items():
        assert expected[name].max() > 0
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5 * expected[name].max().item())


def test_the_two_kinds_of_labels_differ(model: Classifier, data: LabelledImages):
    both = [fisher_diagonal(model, data, labels)["classifier.weight"] for labels in ("model", "data")]
    assert not torch.allclose(*both, rtol=0.05)


def test_in_bf16_it_is_near(model: Classifier, data: LabelledImages):
    exact, rounded = (fisher_diagonal(model, data, "model", precision) for precision in ("fp32", "bf16"))
    for name, value in rounded.items():
        assert value.dtype == torch.float32
        assert (value - exact[name]).norm() < 0.3 * exact[name].norm(), "nine layers of rounding, and then a square"


def test_the_model_is_read_and_not_changed(model: Classifier, data: LabelledImages):
    given = copy.deepcopy(model).train()
    fisher_diagonal(given, data, "model")
    assert same_state(given, model)
    assert all(module.training for module in given.modules())
    assert all(not module._forward_hooks for module in given.modules())
    assert all(parameter.grad is None for parameter in given.parameters())


def test_a_layer_that_it_does_not_know_is_named(data: LabelledImages):
    other = Classifier(nn.Sequential(nn.Flatten(), nn.PReLU()), 162, 4)
    with pytest.raises(TypeError, match="PReLU"):
        fisher_diagonal(other, data, "data")


# --- the noise ----------------------------------------------------------------------------------------------------


def test_the_less_the_remaining_data_say_of_a_weight_the_larger_is_its_noise():
    information = torch.tensor([0.0, 1e-8, 1e-4, 1.0, 100.0])
    variance = noise_variance(information)
    assert (variance[:-1] > variance[1:]).all()
    assert variance.tolist() == pytest.approx([1e4, 7071, 100, 1, 0.1], rel=1e-3)


def test_without_noise_the_original_stays(task: UnlearningTask):
    assert same_state(fisher(task, alpha=0.0, output_row="kept"), task.original)
    model = fisher(task, alpha=0.0)
    assert not model.classifier.weight[2].any()
    assert model.classifier.bias[2] == 0
    for name, tensor in model.state_dict().items():
        before = task.original.state_dict()[name]
        kept = [row for row in range(len(before)) if row != 2] if name.startswith("classifier") else ...
        assert torch.equal(tensor[kept], before[kept])


def test_the_noise_has_the_variance_that_the_information_gives(task: UnlearningTask):
    """Noise over its deviation is a standard normal draw, for weights of much and of little information alike."""
    alpha = 1e-6
    information = fisher_diagonal(task.original, task.split.remain_train, "model")
    noisy, before = fisher(task, alpha=alpha, output_row="kept"), dict(task.original.named_parameters())
    draws = torch.cat(
        [
            ((weight - before[name]) / (alpha * noise_variance(information[name])).sqrt()).detach().flatten()
            for name, weight in noisy.named_parameters()
        ]
    )
    much = torch.cat([value.flatten() for value in information.values()])
    for group in (draws, draws[much > much.median()], draws[much <= much.median()]):
        assert group.mean().abs() < 4 / math.sqrt(len(group))
        assert abs(group.std() - 1) < 4 / math.sqrt(2 * len(group))


def test_the_erased_neuron_has_the_largest_noise(task: UnlearningTask):
    row = fisher(task, alpha=1e-4).classifier.weight[2]
    assert row.std().item() == pytest.approx(1.0, rel=0.6), "the root of 1e-4 * 10,000"


def test_buffers_are_no_weights(task: UnlearningTask):
    before = dict(task.original.named_buffers())
    assert all(torch.equal(buffer, before[name]) for name, buffer in fisher(task, alpha=1e-3).named_buffers())


def test_the_seed_decides_the_noise_and_the_sample(task: UnlearningTask):
    other = dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, seed=1))
    for samples in (0, 10):
        first = fisher(task, samples=samples)
        assert same_state(fisher(task, samples=samples), first)
        assert not same_state(fisher(other, samples=samples), first)


def test_a_sample_as_large_as_the_data_is_the_data(task: UnlearningTask):
    whole = fisher_diagonal(task.original, task.split.remain_train, "data")
    order = torch.randperm(len(task.split.remain_train), generator=torch.Generator().manual_seed(0))
    shuffled = fisher_diagonal(task.original, task.split.remain_train[order], "data")
    for name, value in whole.items():
        torch.testing.assert_close(shuffled[name], value, rtol=1e-3, atol=1e-9)


def test_strong_noise_destroys_the_model(task: UnlearningTask):
    remain = task.split.remain_train
    share = [
        (predict(fisher(task, alpha=alpha), remain.images, "fp32").argmax(1) == remain.labels).float().mean().item()
        for alpha in (1e-8, 1.0)
    ]
    assert share[0] > 0.95
    assert share[1] < 0.6
