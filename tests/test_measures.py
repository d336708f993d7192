"""Measures of a model's outputs, against values worked out by hand."""

import math

import pytest
import torch

from bu_core.measures import Outputs, accuracy, agreement, entropy, shares


def outputs(answers: list[int], truth: list[int], classes: int = 4) -> Outputs:
    """A model that is fairly sure of each of its answers."""
    return Outputs(3 * torch.eye(classes)[answers], torch.tensor(truth))


@pytest.mark.parametrize(
    ("answers", "truth", "expected"),
    [([0, 1, 2, 3], [0, 1, 2, 3], 100), ([0, 1, 2, 3], [1, 2, 3, 0], 0), ([0, 1, 2, 2, 2], [0, 0, 2, 1, 0], 40)],
)
def test_accuracy_counts_the_right_answers(answers, truth, expected):
    assert accuracy(outputs(answers, truth)) == pytest.approx(expected, abs=1e-12)


def test_shares_say_which_class_was_answered():
    found = shares(outputs([2, 2, 2, 0, 1, 2, 2, 2], [0] * 8))
    assert found == [12.5, 12.5, 75.0, 0.0]
    assert sum(shares(outputs([0, 1, 1], [0] * 3))) == pytest.approx(100)


def test_agreement_compares_answers_and_not_truths():
    first, second = outputs([0, 1, 2, 3], [0, 0, 0, 0]), outputs([0, 1, 3, 2], [1, 1, 1, 1])
    assert agreement(first, first) == 100
    assert agreement(first, second) == agreement(second, first) == 50
    assert agreement(first, outputs([1, 2, 3, 0], [0] * 4)) == 0


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("level", [0.0, -40.0, 1e4])
def test_the_entropy_of_even_logits_is_log_k(classes: int, level: float):
    found = entropy(Outputs(torch.full((3, classes), level), torch.zeros(3, dtype=torch.int64)))
    assert found.tolist() == pytest.approx([math.log(classes)] * 3, rel=1e-12)


@pytest.mark.parametrize("gap", [100.0, 1e4, 1e30])
def test_the_entropy_of_a_sure_answer_is_0(gap: float):
    found = entropy(Outputs(gap * torch.eye(5), torch.arange(5)))
    assert found.tolist() == pytest.approx([0] * 5, abs=1e-30)


def test_the_entropy_of_known_probabilities():
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.5, 1e-300]], dtype=torch.float64)
    found = entropy(Outputs(probabilities.log(), torch.zeros(2, dtype=torch.int64)))
    assert found.tolist() == pytest.approx([1.5 * math.log(2), math.log(2)], rel=1e-12)


def test_entropy_does_not_depend_on_what_is_added_to_all_logits():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.zeros(6, dtype=torch.int64)
    torch.testing.assert_close(entropy(Outputs(logits + 50, labels)), entropy(Outputs(logits, labels)))
