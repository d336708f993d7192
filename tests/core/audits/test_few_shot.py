"""What a few images bring back, where it is known: a class that is in the features, one that is not, a zeroed row."""

import copy

import pytest
import torch

from bu_core.audits.evidence import Evidence
from bu_core.audits.few_shot import PENALTY, SHOTS, Prototype, Ridge, recalled
from bu_core.audits.neighbours import leaked
from bu_core.audits.threshold import ranked
from bu_core.unlearning import UnlearningTask
from tests.core.audits.planted import FORGET, evidence
from tests.helpers import same_state


def test_a_planted_detector_is_found_by_either_head():
    found = recalled(evidence(signal=8.0, offset=-100.0))
    assert [result.shots for result in found] == list(SHOTS)
    assert found[-1].prototype > 95
    assert found[-1].ridge > 95


def test_a_neuron_that_only_the_class_wakes_is_found():
    """It is dead for every other image, so that it has no deviation to be standardised by."""
    seen = evidence(signal=0.0)
    for part, (outputs, features) in seen._seen.items():
        features[:, -1] = 1.0 if part.startswith("forget") else 0.0
        seen._seen[part] = outputs, features
    found = recalled(seen)
    assert found[-1].prototype > 60
    assert found[0].ridge > 90


def test_two_seeds_that_never_learned_the_class_do_not_differ_and_knowledge_does():
    null = [recalled(evidence(signal=0.0, seed=seed))[-1] for seed in range(4)]
    knows = recalled(evidence(signal=3.0, seed=4))[-1]
    for head in ("prototype", "ridge"):
        values = [getattr(result, head) for result in null]
        assert max(values) - min(values) < (getattr(knows, head) - max(values)) / 2


def test_features_that_know_nothing_recall_what_they_take():
    """Without clusters no feature says anything of any class, so that a head finds nothing but its shots."""
    for result in recalled(evidence(signal=0.0, clusters=0.0)):
        assert result.prototype == pytest.approx(2, abs=2)
        assert result.ridge == pytest.approx(2, abs=2)


def test_more_shots_recall_more():
    one, _, twenty = recalled(evidence(signal=3.0))
    assert twenty.prototype > one.prototype
    assert twenty.ridge > one.ridge


def test_the_ridge_head_is_what_scikit_learn_fits():
    from sklearn.linear_model import Ridge as Reference

    seen = evidence(signal=3.0)
    shots = seen.features("forget_train")[:20].double()
    remain, labels = seen.features("remain_train").double(), seen.outputs("remain_train").labels
    inputs = (torch.cat([remain, shots]) - remain.mean(0)) / remain.std(0)
    targets = torch.nn.functional.one_hot(torch.cat([labels, torch.full((20,), FORGET)]), 4)
    weights = torch.cat([torch.full((len(remain),), 1 / 1600), torch.full((20,), 1 / 80)])
    fitted = Reference(alpha=PENALTY).fit(inputs.numpy(), targets.numpy(), weights.numpy())
    asked = (seen.features("remain_test").double() - remain.mean(0)) / remain.std(0)
    torch.testing.assert_close(Ridge(seen)(shots)[1], torch.from_numpy(fitted.predict(asked.numpy())))


def test_only_the_row_of_the_class_changes_and_the_model_is_left_alone(task: UnlearningTask):
    before, seen = copy.deepcopy(task.original), Evidence(task.original, task.split, "fp32", seed=0)
    forget, _ = Prototype(seen)(seen.features("forget_train")[:5])
    others = torch.arange(4) != 2
    torch.testing.assert_close(forget[:, others], seen.outputs("forget_test").logits.double()[:, others])
    assert same_state(task.original, before)


def test_a_zeroed_row_hides_nothing(task: UnlearningTask):
    """The control: the original with its output row at zero says nothing of the class, and is caught here."""
    masked = copy.deepcopy(task.original)
    with torch.no_grad():
        masked.classifier.weight[2], masked.classifier.bias[2] = 0, 0
    one, other = (Evidence(model, task.split, "fp32", seed=0) for model in (masked, task.original))
    assert (one.outputs("forget_test").logits[:, 2] == 0).all()
    assert recalled(one) == recalled(other)
    assert recalled(one)[-1].prototype > 90
    assert recalled(one)[-1].ridge > 90


def test_a_wrecked_last_layer_is_no_error(task: UnlearningTask):
    wrecked = copy.deepcopy(task.original)
    with torch.no_grad():
        wrecked.classifier.weight.fill_(torch.nan)
    seen = Evidence(wrecked, task.split, "fp32", seed=0)
    assert recalled(seen)[-1].prototype == 0
    assert recalled(seen)[-1].ridge > 90, "its features are the original's"
    assert ranked(seen).recall == 0
    assert leaked(seen, []).profile == pytest.approx([1 / 3] * 3)
