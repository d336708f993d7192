"""The attack that learns from the model's own outputs: what it is fitted to it never scores by that fit."""

import pytest
import torch

from bu_core import attacks
from bu_core.attacks import auc, summary
from bu_core.attacks.own_outputs import from_own_outputs, held_out
from bu_core.attacks.shadow_models import halves
from bu_core.measures import Outputs
from tests.core.attacks.planted import SURE, UNSURE, answers, planted, same_scores


def test_shuffled_membership_is_not_found():
    """Members and others drawn from one pile: 19 of 20 intervals should hold 0.5."""
    held = 0
    for seed in range(20):
        pile = torch.cat([answers(150, SURE, 2 * seed), answers(150, UNSURE, 2 * seed + 1)])
        first, second = halves(len(pile), seed)
        found = auc(*held_out(pile[first], pile[second], seed))
        assert found.value is not None and found.low is not None and found.high is not None
        assert 0.3 < found.value < 0.7
        held += found.low <= 0.5 <= found.high
    assert held >= 17


def test_the_same_seed_gives_the_same_scores_and_another_does_not():
    outputs = planted(remain_train=5, remain_test=3, forget_train=4, forget_test=4)
    one, again, other = (from_own_outputs(outputs, seed) for seed in (0, 0, 1))
    assert same_scores(one, again)
    assert not torch.equal(one.forget_train, other.forget_train)


def test_a_score_belongs_to_its_image():
    """Images whose logits are turned round are scored in the turned order."""
    outputs = planted(remain_train=5, remain_test=3, forget_train=4, forget_test=4)
    turned = outputs | {"forget_test": Outputs(outputs["forget_test"].logits.flip(0), outputs["forget_test"].labels)}
    one, other = from_own_outputs(outputs, 0), from_own_outputs(turned, 0)
    assert torch.equal(one.forget_test.flip(0), other.forget_test)
    assert torch.equal(one.forget_train, other.forget_train)


def test_a_large_set_is_sampled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attacks, "SAMPLES", 100)
    outputs = planted(remain_train=SURE, remain_test=UNSURE, forget_train=SURE, forget_test=UNSURE)
    found = from_own_outputs(outputs, 0)
    assert {name: len(part) for name, part in vars(found).items()} == {
        "members": 100, "others": 100, "forget_train": 400, "forget_test": 300,
    }  # fmt: skip
    assert summary(found, None, 0).images == {"members": 100, "others": 100}
