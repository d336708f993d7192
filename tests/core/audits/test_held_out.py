"""Auditors of another make, where it is known what the features hold."""

from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from bu_core.audits import held_out
from bu_core.audits.evidence import Evidence
from bu_core.audits.probe import probed
from bu_core.models import row_erased
from bu_core.unlearning import UnlearningTask
from tests.core.audits.planted import evidence


def found(seen: Evidence) -> held_out.HeldOut:
    """What they find where the features one block earlier are the last ones, since planted evidence has no images."""
    with patch.object(held_out, "earlier", lambda evidence, part, blocks: evidence.features(part)):
        return held_out.held_out(seen)


def test_a_planted_class_is_found_and_features_that_know_nothing_give_chance():
    knows, null = found(evidence(signal=8.0, clusters=8.0)), found(evidence(signal=0.0, clusters=0.0))
    for name in ("neighbours", "network", "earlier", "two_earlier"):
        assert getattr(knows, name) > 95, name
        assert getattr(null, name) == pytest.approx(2, abs=3), name


def test_a_class_on_both_sides_of_the_others_is_hidden_from_the_linear_probe_alone():
    """Half of it lies on one side and half on the other, so that its mean is that of all other images."""
    seen = evidence(signal=0.0, clusters=0.0)
    for part in ("forget_train", "forget_test"):
        outputs, features = seen._seen[part]
        features[::2, 0] += 8.0
        features[1::2, 0] -= 8.0
        seen._seen[part] = outputs, features
    assert probed(seen).recall < 60
    assert found(seen).neighbours > 95
    assert found(seen).network > 95


@pytest.mark.parametrize(("blocks", "last"), [(1, -3), (2, -4)])
def test_what_the_last_blocks_are_given_is_looked_at_image_by_image(task: UnlearningTask, blocks: int, last: int):
    seen = Evidence(task.original, task.split, "fp32", seed=0)
    before = held_out.earlier(seen, "forget_test", blocks)
    assert before.shape == (len(task.split.forget_test), task.original.body[last][0].in_channels)
    images = task.split.forget_test.images.float() / 255

    def given(count: int) -> Tensor:
        with torch.no_grad():
            return task.original.body[:last]((images[:count] - 0.5) / 0.5).mean((2, 3))

    torch.testing.assert_close(before[:3], given(3), rtol=1e-4, atol=1e-5)


def test_an_erased_output_row_hides_nothing(task: UnlearningTask):
    seen, masked = (
        held_out.held_out(Evidence(model, task.split, "fp32", seed=0))
        for model in (task.original, row_erased(task.original, [2]))
    )
    assert masked == seen
    assert min(seen.neighbours, seen.network, seen.earlier) > 60
