"""The attack by modified entropy: the paper's formula by hand, and what the label does to it."""

import math

import pytest
import torch

from bu_core.attacks import FLOOR, summary
from bu_core.attacks.modified_entropy import from_modified_entropy, modified_entropy
from bu_core.measures import Outputs
from tests.core.attacks.planted import SURE, UNSURE, planted


def of(posteriors: list[float], label: int) -> float:
    logits = torch.tensor([posteriors], dtype=torch.float64).log()
    return modified_entropy(Outputs(logits, torch.tensor([label]))).item()


@pytest.mark.parametrize(
    ("posteriors", "label", "expected"),
    [
        # -(1 - p_y) log p_y, and then -p_i log(1 - p_i) of each other class
        ([0.5, 0.25, 0.25], 0, 0.5 * math.log(2) + 2 * 0.25 * math.log(4 / 3)),
        ([0.5, 0.25, 0.25], 1, 0.75 * math.log(4) + 0.5 * math.log(2) + 0.25 * math.log(4 / 3)),
        ([0.7, 0.2, 0.1], 2, 0.9 * math.log(10) - 0.7 * math.log(0.3) - 0.2 * math.log(0.8)),
        ([0.25, 0.25, 0.25, 0.25], 3, 0.75 * math.log(4) + 0.75 * math.log(4 / 3)),
        ([1.0, 0.0, 0.0], 0, 0.0),
        ([1.0, 0.0, 0.0], 1, 2 * FLOOR),
    ],
)
def test_values_by_hand(posteriors: list[float], label: int, expected: float):
    assert of(posteriors, label) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_it_falls_with_the_posterior_of_the_true_class_and_grows_with_that_of_another():
    """The two ways in which it is better than entropy, which calls a sure mistake and a sure answer the same."""
    right = [of([p, (1 - p) / 2, (1 - p) / 2], 0) for p in (0.1, 0.4, 0.7, 0.9, 0.99)]
    assert right == sorted(right, reverse=True)
    wrong = [of([(1 - p) / 2, p, (1 - p) / 2], 0) for p in (0.4, 0.7, 0.9, 0.99)]
    assert wrong == sorted(wrong)


def test_posteriors_that_a_float_rounds_to_1_are_told_apart():
    logits = torch.tensor([[20.0, 0, 0], [21.0, 0, 0], [18.0, 0, 0]])
    found = modified_entropy(Outputs(logits, torch.zeros(3, dtype=torch.int64)))
    assert found.argsort().tolist() == [1, 0, 2]
    assert found.min() > 0


def test_where_the_label_is_gone_seen_images_look_unseen():
    """It measures the loss of the label: the model is as sure of D_f as of its members, yet all are called unseen."""
    outputs = planted(remain_train=SURE, remain_test=UNSURE, forget_train=SURE, forget_test=SURE)
    lost = [part for part in outputs if part.startswith("forget")]
    gone = {part: Outputs(outputs[part].logits, (outputs[part].labels + 1) % 10) for part in lost}
    found, without = (summary(from_modified_entropy(said, 0), None, 0) for said in (outputs, outputs | gone))
    assert found.asr.value is not None and found.asr.value > 98
    assert without.asr.value == without.false_positive_rate.value == 0
    assert without.balanced_accuracy == found.balanced_accuracy


def test_answers_that_are_beyond_doubt_have_a_finite_score():
    """Where two logits lie further apart than a float64 reaches, the modified entropy is 0."""
    sure = Outputs(torch.tensor([[800.0, 0, 0], [0, 800.0, 0]]).repeat(50, 1), torch.tensor([0, 1]).repeat(50))
    unsure = Outputs(torch.tensor([[2.0, 0, 0], [0, 2.0, 0]]).repeat(50, 1), torch.tensor([0, 1]).repeat(50))
    said = {"remain_train": sure, "forget_train": sure, "remain_test": unsure, "forget_test": unsure}
    found = summary(from_modified_entropy(said, 0), None, 0)
    assert (found.asr.value, found.false_positive_rate.value, found.auc.value) == (100, 0, 1)
