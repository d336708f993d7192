"""The posteriors over the other classes, where the leak is known: planted, or the seed's alone."""

import copy
import math

import pytest
import torch

from bu_core.audits.evidence import Evidence
from bu_core.audits.neighbours import divergence, leaked, neighbours
from bu_core.models import build
from bu_core.training import fit
from bu_core.unlearning import UnlearningTask
from tests.core.audits.planted import FORGET, evidence
from tests.helpers import TOY_RECIPE


def test_the_divergence_of_known_distributions():
    one, other = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]), torch.tensor([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    known = [1, 0, -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)) - 0.5]
    assert (divergence(one, other) / math.log(2)).tolist() == pytest.approx(known)
    assert torch.equal(divergence(one, other), divergence(other, one))


def test_the_class_itself_does_not_count():
    one, other = evidence(signal=0.0), evidence(signal=0.0, offset=50.0)
    shares = neighbours(one, "forget_test")
    torch.testing.assert_close(shares, neighbours(other, "forget_test"))
    torch.testing.assert_close(shares.sum(1), torch.ones(len(shares), dtype=torch.float64))
    logits = one.outputs("forget_test").logits.double()
    logits[:, FORGET] = -torch.inf
    torch.testing.assert_close(shares, logits.softmax(1)[:, [0, 2, 3]])


def test_a_planted_lean_to_one_neighbour_is_found_and_two_seeds_are_not():
    retrains = [evidence(signal=0.0, seed=seed) for seed in range(3)]
    leaning = leaked(evidence(signal=0.0, seed=3, lean=[4.0, 0.0, 0.0, 0.0]), retrains)
    assert leaning.profile[0] == max(leaning.profile) > 0.8
    nulls = [leaked(retrain, retrains) for retrain in retrains]
    assert leaning.on_average > 20 * max(null.on_average for null in nulls)
    assert leaning.each > 1.2 * max(null.each for null in nulls)


def test_a_retrain_is_compared_with_the_others_alone():
    first, second = evidence(signal=0.0, seed=0), evidence(signal=0.0, seed=1)
    assert leaked(first, [first, second]) == leaked(first, [second])
    alone = leaked(first, [first])
    assert alone.each is None
    assert alone.on_average is None


def test_a_lean_on_one_neighbour_is_further_than_the_seed(task: UnlearningTask):
    models = [build("allcnn", 3, 4, 0.1, seed) for seed in range(3)]
    for model in models:
        fit(model, task.split.remain_train, TOY_RECIPE, label="retrain")
    leaning = copy.deepcopy(models[0])
    retrains = [Evidence(model, task.split, "fp32", seed=0) for model in models]
    nulls = [leaked(retrain, retrains) for retrain in retrains]
    rarest = min((0, 1, 3), key=lambda place: nulls[0].profile[(0, 1, 3).index(place)])
    with torch.no_grad():
        leaning.classifier.bias[rarest] += 20
    found = leaked(Evidence(leaning, task.split, "fp32", seed=0), retrains[1:])
    assert found.each > max(null.each for null in nulls)
    assert found.on_average > max(null.on_average for null in nulls)
