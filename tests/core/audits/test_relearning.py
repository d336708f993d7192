"""Relearning, on models of which it is known whether they knew the class."""

import copy
from dataclasses import replace

import pytest
import torch

from bu_core.audits import relearning
from bu_core.audits.evidence import Evidence
from bu_core.audits.relearning import LOOKS, STEPS, STILL, relearn_few, relearn_remaining
from bu_core.models import Classifier, build
from bu_core.unlearning import METHODS, UnlearningTask
from tests.helpers import same_state


def evidence(task: UnlearningTask, model: Classifier, seed: int = 0) -> Evidence:
    return Evidence(model, task.split, "fp32", seed)


@pytest.fixture(scope="module")
def original(task: UnlearningTask) -> Evidence:
    return evidence(task, task.original)


@pytest.fixture(scope="module")
def retrain(task: UnlearningTask) -> Evidence:
    return evidence(task, METHODS["retrain"](task))


def masked(model: Classifier, forget_class: int) -> Classifier:
    """A copy that never names the class, since its bias says no, and that knows it as well as before."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.classifier.weight[forget_class] = 0
        model.classifier.bias[forget_class] = -5
    return model


def test_the_model_that_is_audited_is_left_alone(task: UnlearningTask, original: Evidence):
    before = copy.deepcopy(task.original)
    relearn_remaining(original, task.recipe)
    relearn_few(original, original, task.recipe)
    assert same_state(task.original, before)


def test_at_learning_rate_0_nothing_changes_without_running_statistics(task: UnlearningTask):
    """GroupNorm keeps none, so what a random network says of D_f stays to the last image."""
    found = relearn_remaining(evidence(task, build("allcnn_groupnorm", 3, 4, 0.1, seed=0)), task.recipe)
    assert list(found.still) == list(STILL) and len(set(found.still.values())) == 1


def test_at_learning_rate_0_a_class_that_only_the_statistics_hide_comes_back(task: UnlearningTask):
    hidden = evidence(task, METHODS["boundary_shrink"](task, lr=0.0, batchnorm="train", epochs=20))
    found = relearn_remaining(hidden, task.recipe)
    assert found.still[0] < 50 < 90 < found.still[STILL[-1]]
    assert found.best >= found.still[STILL[-1]]


def test_retrain_learns_nothing_of_the_class_from_the_others(task: UnlearningTask, retrain: Evidence):
    found = relearn_remaining(retrain, task.recipe)
    assert list(found.accuracy) == list(STEPS)
    assert found.best == 0


def test_the_original_needs_no_step_and_the_masked_one_fewer_than_retrain(
    task: UnlearningTask, original: Evidence, retrain: Evidence
):
    hidden = evidence(task, masked(task.original, task.split.forget_class))
    known, remembered, never = (relearn_few(each, original, task.recipe) for each in (original, hidden, retrain))
    assert (known.steps, known.censored, known.target) == (0, False, known.accuracy[0] / 2)
    assert 0 < remembered.steps < never.steps


def test_two_retrains_are_not_told_apart(task: UnlearningTask, original: Evidence, retrain: Evidence):
    other = replace(task, initial=build("allcnn", 3, 4, 0.1, seed=9), recipe=replace(task.recipe, seed=9))
    times = [
        relearn_few(each, original, task.recipe).steps for each in (retrain, evidence(task, METHODS["retrain"](other)))
    ]
    assert abs(LOOKS.index(times[0]) - LOOKS.index(times[1])) <= 2
    assert min(times) > 1


def test_a_model_that_relearns_too_slowly_is_censored(
    task: UnlearningTask, original: Evidence, retrain: Evidence, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(relearning, "LOOKS", (0, 2))
    found = relearn_few(retrain, original, replace(task.recipe, lr=1e-9))
    assert (found.steps, found.censored, list(found.accuracy)) == (2, True, [0, 2])


def test_the_images_are_those_of_the_seed(task: UnlearningTask, original: Evidence, retrain: Evidence):
    first, again = (relearn_few(retrain, original, task.recipe) for _ in range(2))
    assert first == again
    drawn = [task.split.forget_train.drawn(5, seed) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0].images, drawn[1].images)
    assert not torch.equal(drawn[0].images, drawn[2].images)
    assert set(drawn[0].labels.tolist()) == {task.split.forget_class}


def test_a_model_that_diverges_recognises_nothing(task: UnlearningTask, original: Evidence):
    """NaN has its argmax at class 0, which would be named always."""
    found = relearn_remaining(original, replace(task.recipe, lr=1e30))
    assert found.accuracy[STEPS[-1]] == 0
