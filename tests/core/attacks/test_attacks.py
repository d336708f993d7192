"""What the membership attacks share, against planted answers whose truth is known, and how each is summed up."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from bu_core.attacks import Scores, auc, balanced, features, summary
from bu_core.attacks.register import ATTACKS
from bu_core.data import SPLITS
from bu_core.measures import Outputs
from bu_core.results import Estimate, as_json
from tests.core.attacks.planted import EVERY, SURE, UNSURE, answers, labelled, planted, same_scores

Attack = Callable[[dict[str, Outputs], int], Scores]
ESTIMATES = ("asr", "false_positive_rate", "advantage", "balanced_accuracy", "auc", "distance_to_retrain")


@pytest.fixture(params=list(EVERY))
def attack(request: pytest.FixtureRequest) -> Attack:
    return EVERY[request.param]


def scores(**shares: float) -> Scores:
    """Scores by which the given shares of 1,000 images a set are called members."""
    return Scores(**{name: (torch.arange(1000) < 1000 * share).double() for name, share in shares.items()})


def ends(found: Estimate) -> tuple[float, float, float]:
    """An estimate that is there: its value and the ends of its interval."""
    assert found.value is not None and found.low is not None and found.high is not None
    return found.value, found.low, found.high


# --- what an attack finds ---------------------------------------------------------------------------------------------


def test_members_are_found_where_the_model_is_sure_of_them(attack: Attack):
    outputs = planted(remain_train=SURE, remain_test=UNSURE, forget_train=SURE, forget_test=UNSURE)
    found = summary(attack(outputs, 0), None, 0)
    assert ends(found.auc)[0] > 0.99
    assert ends(found.balanced_accuracy)[0] > 98
    assert ends(found.asr)[0] > 98
    assert ends(found.false_positive_rate)[0] < 3
    assert ends(found.advantage)[1] > 90


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind != "shadow_models"])
def test_shuffled_membership_is_not_found(kind: str):
    """Members and others drawn from one pile: 19 of 20 intervals should hold 0.5, and 50 %."""
    held = {"auc": 0, "balanced_accuracy": 0}
    for seed in range(20):
        pile = torch.cat([answers(150, SURE, 2 * seed), answers(150, UNSURE, 2 * seed + 1)])
        order = torch.randperm(300, generator=torch.Generator().manual_seed(seed))
        sides = labelled(pile[order[:150]]), labelled(pile[order[150:]])
        found = summary(
            EVERY[kind](dict(zip(SPLITS, (sides[0], sides[0], sides[1], sides[1]), strict=True)), seed), None, 0
        )
        for name, chance in (("auc", 0.5), ("balanced_accuracy", 50)):
            value, low, high = ends(getattr(found, name))
            assert abs(value - chance) < 0.25 * 2 * chance
            held[name] += low <= chance <= high
    assert min(held.values()) >= 17


def test_a_model_that_memorises_is_told_from_one_that_does_not(attack: Attack):
    """One knows the class of each image it was fitted to by heart, the other by a rule that serves new images too."""
    by_heart = planted(remain_train=SURE, remain_test=UNSURE, forget_train=SURE, forget_test=UNSURE)
    by_rule = planted(remain_train=5, remain_test=5, forget_train=5, forget_test=5)
    memorised, learned = (summary(attack(outputs, 0), None, 0) for outputs in (by_heart, by_rule))
    assert ends(memorised.balanced_accuracy)[1] > 95
    assert ends(memorised.advantage)[1] > 90
    assert abs(ends(learned.balanced_accuracy)[0] - 50) < 6
    _, low, high = ends(learned.advantage)
    assert low <= 0 <= high


def test_a_forgotten_class_is_called_unseen_where_the_model_is_unsure_of_it(attack: Attack):
    outputs = planted(remain_train=SURE, remain_test=UNSURE, forget_train=UNSURE, forget_test=UNSURE)
    assert ends(summary(attack(outputs, 0), None, 0).asr)[0] < 3


def test_data_that_were_never_trained_on_are_called_members_as_often_as_other_unseen_data(attack: Attack):
    """The rate itself is near neither 0 nor 100 here: it is no evidence, and `advantage` says so."""
    outputs = planted(remain_train=SURE, remain_test=UNSURE, forget_train=5.5, forget_test=5.5)
    found = summary(attack(outputs, 0), None, 0)
    assert 10 < ends(found.asr)[0] < 90
    _, low, high = ends(found.advantage)
    assert low <= 0 <= high


def test_every_registered_attack_is_tried_here():
    assert set(EVERY) == set(ATTACKS)


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind != "modified_entropy"])
def test_no_label_reaches_an_attack(kind: str):
    attack = EVERY[kind]
    outputs = planted(remain_train=5, remain_test=3, forget_train=4, forget_test=4)
    relabelled = {part: Outputs(found.logits, (found.labels + 1) % 10) for part, found in outputs.items()}
    assert same_scores(attack(outputs, 0), attack(relabelled, 0))


def test_the_order_of_the_classes_does_not_reach_an_attack():
    """Its answer is the same whichever class leads."""
    logits = answers(50, 3, 0)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(features(logits[:, order]), features(logits), atol=1e-12)


def test_features_of_known_posteriors():
    posteriors = torch.tensor([[0.5, 0.125, 0.25, 0.125]], dtype=torch.float64)
    expected = [0.0, np.log(0.25), np.log(0.125), 1.75 * np.log(2)]
    assert features(posteriors.log()).tolist() == [pytest.approx(expected)]


@pytest.mark.parametrize("logit", [0.0, float("nan"), float("inf"), 1e30])
def test_a_model_that_says_the_same_of_everything_gives_nothing_away(attack: Attack, logit: float):
    """As one does that a method has wrecked."""
    flat = {part: Outputs(torch.full((60, 10), logit), torch.zeros(60, dtype=torch.int64)) for part in SPLITS}
    found = summary(attack(flat, 0), None, 0)
    assert ends(found.auc)[0] == pytest.approx(0.5, abs=0.1)
    assert ends(found.advantage)[0] == 0
    json.dumps(as_json(found), allow_nan=False)


@pytest.mark.parametrize(("members", "others", "expected"), [(7, 5, 5), (5, 7, 5), (10_500, 10_001, 10_000)])
def test_as_many_members_as_others_are_drawn_each_once(members: int, others: int, expected: int):
    sides = balanced(torch.arange(members), -torch.arange(1, others + 1), 0)
    for drawn, kept in zip(sides, (range(members), range(-others, 0)), strict=True):
        assert len(drawn) == len(set(drawn.tolist())) == expected
        assert set(drawn.tolist()) <= set(kept)


# --- how it is summed up ----------------------------------------------------------------------------------------------


def test_each_number_is_what_it_is_called():
    found = scores(members=0.8, others=0.3, forget_train=0.6, forget_test=0.25)
    reference = scores(members=1, others=0, forget_train=0.5, forget_test=0)
    result = summary(found, reference, 0)
    expected = dict(zip(ESTIMATES, (60, 25, 35, 75, 0.75, 10), strict=True))
    assert {name: getattr(result, name).value for name in ESTIMATES} == pytest.approx(expected)
    for name in ESTIMATES:
        value, low, high = ends(getattr(result, name))
        assert low < value < high, name
    assert result.images == {"members": 1000, "others": 1000}
    assert summary(found, None, 0).distance_to_retrain == Estimate(None, None, None)


def test_in_metrics_json_an_attack_is_one_flat_mapping():
    found = as_json(summary(scores(members=0.8, others=0.3, forget_train=0.6, forget_test=0.25), None, 0))
    assert set(found) == {f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")} | {"images"}
    assert found["images"] == {"members": 1000, "others": 1000}


@pytest.mark.parametrize("share", [0, 1])
def test_a_share_that_is_all_or_nothing_is_not_certain(share: int):
    """Of 1,000 images none was called: up to about 3 in 1,000 may be (the rule of three), and so for the difference."""
    result = summary(scores(members=1, others=0, forget_train=share, forget_test=share), None, 0)
    _, low, high = ends(result.asr)
    assert 0.1 <= high - low <= 0.4
    assert low <= 100 * share <= high
    _, low, high = ends(result.advantage)
    assert low < 0 < high


def test_a_model_is_at_no_distance_from_itself():
    found = scores(members=0.8, others=0.3, forget_train=0.6, forget_test=0.25)
    assert summary(found, found, 0).distance_to_retrain == Estimate(0, 0, 0)


def test_the_same_seed_gives_the_same_summary():
    one, other = (scores(members=0.8, others=0.3, forget_train=share, forget_test=0.25) for share in (0.5, 0.6))
    assert summary(one, other, 3) == summary(one, other, 3)
    assert summary(one, other, 3) != summary(one, other, 4)


@pytest.mark.parametrize("share", [0.15, 0.5, 0.8])
def test_an_interval_covers_the_truth_about_19_times_in_20(share: float):
    generator = np.random.default_rng(0)
    never = torch.zeros(50, dtype=torch.float64)
    covered = 0
    for draw in range(200):
        called = torch.from_numpy((generator.random(127) < share).astype(float))
        _, low, high = ends(summary(Scores(never, never, called, never), None, draw).asr)
        covered += low <= 100 * share <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_the_auc_interval_covers_the_truth_about_19_times_in_20():
    generator = np.random.default_rng(0)
    truth = 0.760250  # of two normal distributions whose means are one deviation apart
    covered = 0
    for _ in range(300):
        sides = (torch.from_numpy(generator.normal(mean, 1, count)) for mean, count in ((1, 80), (0, 60)))
        _, low, high = ends(auc(*sides))
        covered += low <= truth <= high
    assert 0.91 <= covered / 300 <= 0.99


@pytest.mark.parametrize(
    ("members", "others", "expected"),
    [([3, 4], [1, 2], 1), ([1, 2], [3, 4], 0), ([1, 1], [1, 1], 0.5), ([2, 4], [1, 3], 0.75), ([2, 3], [2, 1], 0.875)],
)
def test_auc_counts_pairs(members: list[float], others: list[float], expected: float):
    assert auc(torch.tensor(members).double(), torch.tensor(others).double()).value == expected
