"""The methods where several classes or single images are forgotten: which labels they give, and what none may do."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from bu_core.data import Dataset, split
from bu_core.training import predict
from bu_core.unlearning import METHODS, UnlearningTask
from bu_core.unlearning import task as task_module
from tests.helpers import same_state

CLASSES = {"classes": (1, 2)}
IMAGES = {"share": 0.25, "of": "all", "seed": 0}
ABLE = [name for name, method in METHODS.items() if name != "file" and not method.one_class]


def asked(task: UnlearningTask, toy: Dataset, forget: Mapping[str, Any]) -> UnlearningTask:
    return dataclasses.replace(task, split=split(toy, forget, torch.device("cpu")))


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The labels or answers that every fit is given."""
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(task_module, "fit", lambda model, data, recipe, **options: seen.append(data.labels))
    return seen


@pytest.mark.parametrize("forget", [CLASSES, IMAGES], ids=["classes", "images"])
@pytest.mark.parametrize("name", ABLE)
def test_every_method_answers_a_request_and_leaves_the_original_alone(
    task: UnlearningTask, toy: Dataset, name: str, forget: Mapping[str, Any]
):
    there = asked(task, toy, forget)
    before = {key: tensor.clone() for key, tensor in task.original.state_dict().items()}
    model = METHODS[name](there)
    assert predict(model, toy.test.images, "fp32").shape == (len(toy.test), 4)
    assert all(torch.equal(tensor, before[key]) for key, tensor in task.original.state_dict().items())
    assert not same_state(model, task.original)


@pytest.mark.parametrize("name", ["boundary_shrink", "random_labels"])
def test_no_image_of_several_classes_is_sent_to_another_of_them(
    task: UnlearningTask, toy: Dataset, name: str, taught: list[torch.Tensor]
):
    """The nearest class to one that is to be forgotten may be another that is; it would stay known."""
    METHODS[name](asked(task, toy, CLASSES))
    assert set(taught[0].tolist()) <= {0, 3}
    assert len(taught[0]) == 40


@pytest.mark.parametrize("name", ["boundary_shrink", "random_labels"])
def test_a_single_image_loses_its_own_label_alone(
    task: UnlearningTask, toy: Dataset, name: str, taught: list[torch.Tensor]
):
    there = asked(task, toy, IMAGES)
    METHODS[name](there)
    assert (taught[0] != there.split.forget_train.labels).all()
    assert len(set(taught[0].tolist())) > 1


@pytest.mark.parametrize("name", ["delete", "spotter"])
def test_masked_answers_leave_out_what_is_forgotten(
    task: UnlearningTask, toy: Dataset, name: str, taught: list[torch.Tensor]
):
    METHODS[name](asked(task, toy, CLASSES))
    assert (taught[0][:, [1, 2]] == 0).all()
    torch.testing.assert_close(taught[0].sum(1), torch.ones(40))
    there = asked(task, toy, IMAGES)
    METHODS[name](there)
    own = there.split.forget_train.labels
    assert (taught[1].gather(1, own[:, None]) == 0).all()
    assert (taught[1] > 0).sum() == 3 * len(own)


def test_an_erased_row_is_that_of_every_class_and_of_none_for_single_images(task: UnlearningTask, toy: Dataset):
    settings: dict[str, Any] = {"lr": 0.0, "batchnorm": "frozen", "output_row": "erased", "epochs": 1}
    model = METHODS["boundary_shrink"](asked(task, toy, CLASSES), **settings)
    weight = model.classifier.weight
    assert (weight[[1, 2]] == 0).all()
    assert torch.equal(weight[[0, 3]], task.original.classifier.weight[[0, 3]])
    model = METHODS["boundary_shrink"](asked(task, toy, IMAGES), **settings)
    assert same_state(model, task.original)
    noised = METHODS["fisher"](asked(task, toy, CLASSES), alpha=0.0, output_row="erased").classifier.weight
    assert torch.equal(noised[[1, 2]], torch.zeros_like(noised[[1, 2]]))


def test_only_amnesiac_forgets_one_class_alone():
    assert [name for name, method in METHODS.items() if method.one_class] == ["amnesiac"]
