"""What the smaller differences from the released code change, where it is known what they can change."""

import copy
from pathlib import Path

import pytest
import torch

from bu_book.measured import released
from bu_book.measured.released import crossed_as_released, denormalised, differences, first_gradient, normalised
from bu_core.data import pixels
from bu_core.models import build, widened
from bu_core.unlearning import UnlearningTask
from tests.helpers import same_state, small_experiment


def test_what_the_released_attack_undoes_it_does_again():
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(normalised(denormalised(images)), images)


def test_a_step_of_no_length_leaves_the_image_where_it_was(task: UnlearningTask):
    """Only the rounding to 256 levels changes it; a long step takes most images across a boundary."""
    model, forget = copy.deepcopy(task.original), task.split.forget_train
    images = 2 * pixels(forget.images) - 1
    said = model.classifier(model.body(images))
    there = crossed_as_released(model, images, forget.labels, 0.0)
    torch.testing.assert_close(there, said, atol=0.05 * said.abs().max().item(), rtol=0)
    far = crossed_as_released(model, images, forget.labels, 0.3)
    assert (there.argmax(1) == forget.labels).all() and (far.argmax(1) == forget.labels).float().mean() < 0.5


@pytest.mark.parametrize("network", ["allcnn", "allcnn_groupnorm"])
def test_the_first_gradient_depends_on_the_mode_where_batchnorm_does(network: str):
    model, images = widened(build(network, 1, 4, 0.1, seed=0), seed=1), torch.rand(8, 1, 8, 8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    one, other = (first_gradient(model, images, training) for training in (True, False))
    assert torch.equal(one, other) == (network == "allcnn_groupnorm")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert len(one) == sum(weight.numel() for weight in model.parameters())


def test_between_two_equal_normalisations_the_released_step_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(released, "MEAN", (0.5,))
    monkeypatch.setattr(released, "DEVIATION", (0.5,))
    experiment = small_experiment(tmp_path)
    found = differences(experiment)
    images = len(experiment.split.forget_train)
    assert abs(found.stay - found.stay_there) <= 100 * 2 / images, "only rounding lies between them"
    assert 0 < found.runner_up <= 100 and found.first_batch > 0 and found.shadow > 0
    assert all(weight.grad is None for weight in experiment.model("original").parameters())


def test_the_shadow_neuron_is_drawn_anew_and_nothing_else():
    model = widened(build("allcnn", 1, 4, 0.1, seed=0), seed=1)
    drawn = released._as_released(model, seed=0)
    assert same_state(model.body, drawn.body)
    assert torch.equal(model.classifier.weight[:-1], drawn.classifier.weight[:-1])
    assert not torch.equal(model.classifier.weight[-1], drawn.classifier.weight[-1]) and drawn.classifier.bias[-1] == 0
