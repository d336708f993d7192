"""The ranking of the class's own logit, where it is known: planted, absent, or hidden by a zeroed output row."""

import copy

import pytest
import torch
from sklearn.metrics import roc_auc_score

from bu_core.audits.evidence import Evidence
from bu_core.audits.threshold import TAKEN, auc_of, halves, margins, ranked, recall_at_loss
from bu_core.unlearning import UnlearningTask
from tests.core.audits.planted import evidence


def test_a_margin_is_the_class_less_the_largest_other_and_no_number_counts_as_zero():
    logits = torch.tensor([[1.0, 5.0, 3.0], [4.0, 1.0, torch.nan]])
    assert margins(logits, 1).tolist() == [2, -3]
    assert margins(logits, 2).tolist() == [-2, -4]


def test_a_logit_that_hides_below_the_others_is_found():
    """Planted: the class is never named, and yet its logit rises for its images alone."""
    seen = evidence(signal=5.0, offset=-100.0)
    assert (seen.outputs("forget_test").logits.argmax(1) != seen.forget_class).all()
    found = ranked(seen)
    assert found.auc > 0.99
    assert found.recall > 95


def test_a_logit_that_knows_nothing_recalls_what_it_takes():
    found = ranked(evidence(signal=0.0, clusters=0.0))
    assert found.auc == pytest.approx(0.5, abs=0.03)
    assert found.recall == pytest.approx(100 * TAKEN, abs=1.5)
    assert found.taken == pytest.approx(100 * TAKEN, abs=1)


def test_a_constant_on_the_logit_changes_nothing():
    one, other = (ranked(evidence(signal=2.0, offset=offset)) for offset in (0.0, -10.0))
    assert one.auc == pytest.approx(other.auc)
    assert one.recall == pytest.approx(other.recall, abs=0.2)


def test_no_more_is_taken_than_allowed_of_the_half_that_chose():
    remain = torch.arange(1000.0)
    one, other = halves(1000, seed=3)
    assert sorted([*one.tolist(), *other.tolist()]) == list(range(1000))
    cut = remain[one].sort(descending=True).values[10]
    assert (remain[one] > cut).sum() == 10 == TAKEN * len(one)
    found = recall_at_loss(remain, remain, seed=3)
    assert found.recall == pytest.approx(found.taken, abs=0.2)
    assert recall_at_loss(torch.zeros(5), torch.zeros(100), seed=0).recall == 0, "equal margins are not above"


def test_the_original_ranks_its_class_first_and_so_does_one_that_a_constant_hides(task: UnlearningTask):
    hidden = copy.deepcopy(task.original)
    with torch.no_grad():
        hidden.classifier.bias[2] -= 50
    for model in (task.original, hidden):
        found = ranked(Evidence(model, task.split, "fp32", seed=0))
        assert found.auc > 0.95
        assert found.recall > 80


def test_the_area_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    forget, remain = (torch.randint(high, (n,), generator=generator).double() for high, n in ((9, 40), (7, 90)))
    truth = [1] * 40 + [0] * 90
    assert auc_of(forget, remain) == pytest.approx(roc_auc_score(truth, torch.cat([forget, remain])))


def test_a_single_image_is_both_halves():
    assert [half.tolist() for half in halves(1, seed=0)] == [[0], [0]]
    assert recall_at_loss(torch.ones(1), torch.zeros(1), seed=0).recall == 100
