"""Measures of a model's outputs, against values worked out by hand."""

import math

import pytest
import torch

from bu_core.measures import (
    ENTROPY_BINS,
    Interval,
    Outputs,
    accuracy,
    agreement,
    entropy,
    entropy_bins,
    entropy_distances,
    entropy_histogram,
    interval,
    shares,
)


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


def with_entropy(*values: float) -> Outputs:
    """Two classes, and logits whose entropies are `values`, in nats, found by bisection."""
    low, high = torch.zeros(len(values), dtype=torch.float64), torch.full((len(values),), 60.0, dtype=torch.float64)
    wanted = torch.tensor(values, dtype=torch.float64)
    labels = torch.zeros(len(values), dtype=torch.int64)
    for _ in range(100):
        middle = (low + high) / 2
        found = Outputs(torch.stack([middle, torch.zeros_like(middle)], 1), labels)
        above = entropy(found) > wanted  # entropy falls as the gap grows
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return found


def test_entropies_are_counted_from_0_to_log_k():
    edges = entropy_bins(2)
    assert (edges[0], edges[-1]) == (0, pytest.approx(math.log(2), rel=1e-15))
    assert len(edges) == ENTROPY_BINS + 1
    even, sure = torch.zeros(3, 2), torch.tensor([[0.0, 1e4]])
    found = entropy_histogram(Outputs(torch.cat([even, sure]), torch.zeros(4, dtype=torch.int64)))
    assert found == [25.0] + [0.0] * (ENTROPY_BINS - 2) + [75.0]


@pytest.mark.parametrize("classes", [2, 3, 7, 10, 1000])
def test_an_even_answer_is_counted_in_the_last_bin(classes: int):
    """Also where rounding takes its entropy above log K."""
    found = entropy_histogram(Outputs(torch.full((5, classes), 0.1), torch.zeros(5, dtype=torch.int64)))
    assert found[-1] == 100


def test_a_distribution_is_at_no_distance_from_itself():
    one = with_entropy(0.1, 0.2, 0.2, 0.6)
    same = with_entropy(0.2, 0.6, 0.1, 0.2)
    found = entropy_distances(one, same)
    assert (found.jensen_shannon, found.wasserstein) == pytest.approx((0, 0), abs=1e-12)


def test_distributions_without_a_common_bin_are_a_bit_apart():
    low, high = with_entropy(0.01, 0.02, 0.1), with_entropy(0.5, 0.6)
    for one, other in ((low, high), (high, low)):
        assert entropy_distances(one, other).jensen_shannon == pytest.approx(1)


def test_jensen_shannon_of_known_shares():
    """Halves that share one of two bins: the mixture is (1/4, 1/2, 1/4), and its entropy of 1.5 bits less 1 bit."""
    one, other = with_entropy(0.05, 0.3), with_entropy(0.3, 0.6)
    assert entropy_distances(one, other).jensen_shannon == pytest.approx(0.5)


@pytest.mark.parametrize("shift", [0.01, 0.1, 0.4])
def test_the_wasserstein_distance_of_a_shift_is_the_shift(shift: float):
    one, other = with_entropy(0.2, 0.2, 0.2), with_entropy(0.2 + shift, 0.2 + shift)
    assert entropy_distances(one, other).wasserstein == pytest.approx(shift, abs=1e-9)


def test_the_interval_is_students():
    """Of 1, 2, 3: the deviation is 1, and the 97.5 % quantile of t with 2 degrees of freedom 4.3027 (tables)."""
    found = interval([1, 2, 3])
    assert found.mean == 2
    assert found.half_width == pytest.approx(4.3027 / 3**0.5, abs=1e-4)
    assert interval([7.0]) == Interval(7.0, None)


@pytest.mark.parametrize(
    ("found", "form", "expected"),
    [
        (Interval(4.051, 0.756), ".2f", "4.05 ± 0.76"),
        (Interval(4.051, 0.756), "+.1f", "+4.1 ± 0.8"),
        (Interval(-3.0, None), ".1f", "-3.0"),
    ],
)
def test_an_interval_is_shown_with_half_its_width(found: Interval, form: str, expected: str):
    assert found.shown(form) == expected
