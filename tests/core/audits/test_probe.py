"""A probe of frozen features, where it is known what they hold."""

import pytest
import torch

from bu_core.audits.evidence import Evidence
from bu_core.audits.probe import probed
from bu_core.measures import Outputs
from bu_core.unlearning import METHODS, UnlearningTask
from tests.core.audits.planted import evidence


def test_a_planted_class_is_found_with_the_others():
    found = probed(evidence(signal=8.0, clusters=8.0, offset=-100.0))
    assert found.recall > 99
    assert found.named > 99
    assert found.remain > 99


def test_features_that_know_nothing_give_chance():
    found = probed(evidence(signal=0.0, clusters=0.0))
    assert found.recall == pytest.approx(2, abs=2)
    assert found.named == pytest.approx(25, abs=7)
    assert found.remain == pytest.approx(25, abs=7)


def test_two_seeds_that_never_learned_the_class_do_not_differ_and_knowledge_does():
    null = [probed(evidence(signal=0.0, seed=seed)).recall for seed in range(4)]
    knows = probed(evidence(signal=3.0, seed=4)).recall
    assert max(null) - min(null) < (knows - max(null)) / 2


def test_a_class_that_the_sample_of_the_remaining_lacks_is_never_named():
    seen = evidence(signal=8.0)
    lacking = seen.outputs("remain_train").labels != 3
    outputs, features = seen._seen["remain_train"]
    seen._seen["remain_train"] = Outputs(outputs.logits[lacking], outputs.labels[lacking]), features[lacking]
    found = probed(seen)
    assert found.recall > 99
    assert found.remain < 70


def test_there_may_be_two_classes():
    seen = evidence(signal=8.0)
    for part in ("remain_train", "remain_test"):
        outputs, features = seen._seen[part]
        only = outputs.labels == 0
        seen._seen[part] = Outputs(outputs.logits[only], outputs.labels[only]), features[only]
    assert probed(seen).recall > 99


def test_the_probe_needs_no_row_of_the_last_layer(task: UnlearningTask):
    seen = Evidence(task.original, task.split, "fp32", seed=0)
    before = probed(seen)
    assert min(before.recall, before.named, before.remain) > 80
    with torch.no_grad():
        kept = task.original.classifier.weight.clone()
        task.original.classifier.weight[2] = 0
        try:
            assert probed(Evidence(task.original, task.split, "fp32", seed=0)) == before
        finally:
            task.original.classifier.weight.copy_(kept)


def test_what_only_the_statistics_hide_is_found_after_reestimation(task: UnlearningTask):
    """Planted: at learning rate 0 the weights are the original's, and BatchNorm's statistics alone have moved."""
    hidden = Evidence(METHODS["boundary_shrink"](task, lr=0.0, batchnorm="train", epochs=20), task.split, "fp32", 0)
    original = Evidence(task.original, task.split, "fp32", seed=0)
    assert probed(hidden.reestimated) == probed(original.reestimated)
