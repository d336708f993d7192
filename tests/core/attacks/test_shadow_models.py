"""The attack that learns from shadow models: how D_r is divided among them, and that it is told of no member."""

import pytest
import torch

from bu_core.attacks import auc
from bu_core.attacks.shadow_models import from_shadows, halves
from tests.core.attacks.planted import SURE, UNSURE, answers, planted, same_scores


@pytest.mark.parametrize("count", [2, 7, 100])
def test_halves_are_disjoint_and_hold_everything(count: int):
    first, second = halves(count, 0)
    assert sorted(torch.cat([first, second]).tolist()) == list(range(count))
    assert len(second) - len(first) in (0, 1)


def test_another_seed_divides_otherwise():
    assert not torch.equal(halves(100, 0)[0], halves(100, 1)[0])
    assert torch.equal(halves(100, 1)[0], halves(100, 1)[0])


def test_every_image_of_the_attacked_model_is_scored():
    """None of them was in the fit, so that members and others need no cross-validation."""
    shadows = [(answers(60, SURE, 1), answers(60, UNSURE, 2))]
    found = from_shadows(planted(remain_train=SURE, remain_test=UNSURE, forget_train=SURE, forget_test=2), shadows, 0)
    assert {name: len(part) for name, part in vars(found).items()} == {
        "members": 1200, "others": 500, "forget_train": 400, "forget_test": 300,
    }  # fmt: skip
    value = auc(found.members, found.others).value
    assert value is not None and value > 0.99


def test_shadow_models_that_treat_both_alike_teach_nothing():
    """Whatever the attacked model gives away, an attacker who saw no difference cannot tell which way it points."""
    alike = [(answers(200, 4, 10 + number), answers(200, 4, 20 + number)) for number in range(3)]
    found = from_shadows(planted(remain_train=4, remain_test=4, forget_train=4, forget_test=4), alike, 0)
    value = auc(found.members, found.others).value
    assert value == pytest.approx(0.5, abs=0.06)


def test_the_same_seed_gives_the_same_scores():
    outputs = planted(remain_train=5, remain_test=3, forget_train=4, forget_test=4)
    shadows = [(answers(60, SURE, 1), answers(80, UNSURE, 2))]
    assert same_scores(from_shadows(outputs, shadows, 0), from_shadows(outputs, shadows, 0))
