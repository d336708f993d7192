"""What an auditor has of a model: the model's own outputs and features, of images that the seed alone decides."""

import pytest
import torch

from bu_core.audits.evidence import Evidence
from bu_core.audits.reestimation import reestimated
from bu_core.data import SPLITS, pixels
from bu_core.models import build
from bu_core.training import predict
from bu_core.unlearning import UnlearningTask
from tests.helpers import same_state


@pytest.mark.parametrize("part", SPLITS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_outputs_are_those_of_the_model_and_features_of_the_same_images(task: UnlearningTask, part, precision):
    seen = Evidence(task.original, task.split, precision, seed=0, limit=20)
    data, outputs, features = seen.sampled(part), seen.outputs(part), seen.features(part)
    assert torch.equal(outputs.logits, predict(task.original, data.images, precision))
    assert torch.equal(outputs.labels, data.labels)
    assert outputs.logits.dtype == features.dtype == torch.float32
    if precision == "fp32":
        with torch.no_grad():
            torch.testing.assert_close(features, task.original.features(pixels(data.images)))
            torch.testing.assert_close(outputs.logits, task.original.classifier(features))


def test_only_remaining_training_images_are_drawn_and_alike_for_every_model(task: UnlearningTask):
    sizes = {}
    for part in SPLITS:
        one, other, third = (
            Evidence(model, task.split, "fp32", seed, limit=15).sampled(part)
            for model, seed in ((task.original, 0), (task.initial, 0), (task.original, 1))
        )
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.images, third.images) == (part != "remain_train")
        sizes[part] = len(one)
    assert sizes == {"remain_train": 15, "forget_train": 20, "remain_test": 30, "forget_test": 10}


def test_one_forward_pass_serves_outputs_and_features(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    calls = []
    features = task.original.features
    monkeypatch.setattr(task.original, "features", lambda images: calls.append(len(images)) or features(images))
    seen = Evidence(task.original, task.split, "fp32", seed=0)
    seen.outputs("forget_test"), seen.features("forget_test"), seen.outputs("forget_test")
    assert sum(calls) == 10


def test_reestimated_is_the_audit_on_the_sampled_images_and_the_model_is_left_alone(task: UnlearningTask):
    seen = Evidence(task.original, task.split, "fp32", seed=0, limit=30)
    again = reestimated(task.original, seen.sampled("remain_train").images, "fp32")
    assert same_state(seen.reestimated.model, again)
    assert seen.reestimated is seen.reestimated
    assert seen.model is task.original
    assert torch.equal(seen.reestimated.sampled("remain_train").images, seen.sampled("remain_train").images)


def test_without_batchnorm_there_is_nothing_to_reestimate(task: UnlearningTask):
    seen = Evidence(build("allcnn_groupnorm", 3, 4, 0.1, seed=0), task.split, "fp32", seed=0)
    assert seen.reestimated is seen
    assert len(seen.outputs("forget_test").labels) == len(seen.features("forget_test")) == 10


def test_features_that_are_no_numbers_count_as_zero(task: UnlearningTask):
    broken = build("allcnn", 3, 4, 0.1, seed=0)
    with torch.no_grad():
        broken.body[0][0].weight.fill_(torch.nan)
    seen = Evidence(broken, task.split, "fp32", seed=0)
    assert (seen.features("forget_test") == 0).all()
    assert seen.outputs("forget_test").logits.isnan().all()
