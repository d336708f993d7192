"""Summaries, where their values are known."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from bu_core.audits.evidence import Evidence
from bu_core.audits.summaries import over_unlearning, summaries, tug_of_war
from bu_core.data import SPLITS
from bu_core.measures import Outputs
from bu_core.models import Classifier, build
from bu_core.unlearning import METHODS, UnlearningTask


def answers(**right: int) -> dict[str, Outputs]:
    """Ten images of each set, of which so many are recognised (all, unless said), with the class at index 1."""
    said = {}
    for part in SPLITS:
        labels = torch.full((10,), int(part.startswith("forget")))
        named = torch.where(torch.arange(10) < right.get(part, 10), labels, 2)
        said[part] = Outputs(torch.nn.functional.one_hot(named, 3).float(), labels)
    return said


def evidence(task: UnlearningTask, model: Classifier) -> Evidence:
    return Evidence(model, task.split, "fp32", seed=0)


def without_class(model: Classifier, forget_class: int) -> Classifier:
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.classifier.bias[forget_class] = -1e4
    return model


def test_tug_of_war_multiplies_what_is_kept_on_each_set():
    assert tug_of_war(answers(), answers()) == 1
    found = tug_of_war(answers(forget_train=5, remain_train=8, remain_test=7), answers(forget_train=1))
    assert found == pytest.approx(0.6 * 0.8 * (1 - 3 / 20)), "the test set is D_rt and D_ft in one"


def test_an_original_that_only_lost_the_class_is_not_over_unlearned(task: UnlearningTask):
    """Its posterior over the other classes is that of the original, which is what the measure asks for."""
    original = evidence(task, task.original)
    lost = evidence(task, without_class(task.original, task.split.forget_class))
    kept, even = over_unlearning(lost, original), evidence(task, copy.deepcopy(task.original))
    with torch.no_grad():
        even.model.classifier.weight.zero_()
        even.model.classifier.bias.zero_()
    assert kept == pytest.approx(0, abs=1e-9)
    assert 0.05 < over_unlearning(even, original) < math.log(2), "a model that no longer tells classes apart"


def test_retrain_is_at_one_end_and_a_second_retrain_near(task: UnlearningTask):
    other = replace(task, initial=build("allcnn", 3, 4, 0.1, seed=9), recipe=replace(task.recipe, seed=9))
    original, first, second = (
        evidence(task, model) for model in (task.original, METHODS["retrain"](task), METHODS["retrain"](other))
    )
    itself, again, never = (summaries(each, original, first) for each in (first, second, original))
    assert itself.tug_of_war == 1 and set(itself.agreement.values()) == {100}
    assert again.tug_of_war > 0.8 > never.tug_of_war
    assert set(again.agreement) == set(SPLITS)
    alone = summaries(second, original, None)
    assert (alone.tug_of_war, alone.agreement, alone.over_unlearning) == (None, None, again.over_unlearning)
