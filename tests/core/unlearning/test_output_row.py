"""The output row of a class that was never learned: what steps on D_f leave alone, and what is put there in the end."""

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bu_core.models import Classifier
from bu_core.training import predict
from bu_core.unlearning import METHODS, UnlearningTask, method_settings
from bu_core.unlearning.companions import companions
from bu_core.unlearning.output_row import row_relearned, without_classes
from tests.helpers import refusal, same_state

LASTING = {"batchnorm": "remaining", "remaining": 60, "target": "soft", "lr": 0.02, "epochs": 4}


def shrunk(task: UnlearningTask, **settings: Any) -> Classifier:
    return METHODS["boundary_shrink"](task, **method_settings("boundary_shrink", LASTING | settings))


def test_the_logit_of_the_class_takes_no_part_in_the_loss(task: UnlearningTask):
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels, others = torch.tensor([0, 1, 3, 0, 1]), [0, 1, 3]
    loss = without_classes(task)(logits, labels)
    assert loss.item() == pytest.approx(F.cross_entropy(logits[:, others], torch.tensor([0, 1, 2, 0, 1])).item())
    loss.backward()
    assert (logits.grad[:, 2] == 0).all() and (logits.grad[:, others] != 0).all()
    shares = torch.tensor([[0.5, 0.5, 0.0, 0.0]]).repeat(5, 1)
    assert without_classes(task)(logits, shares).isfinite()


def test_the_row_alone_is_learned_anew_and_names_no_other_image(task: UnlearningTask):
    beside = companions(task, 60, 1.0)
    assert beside is not None
    before = copy.deepcopy(task.original)
    changed, others = row_relearned(task, task.original, beside), [0, 1, 3]
    assert same_state(task.original, before)
    assert same_state(changed.body, before.body)
    for weight, known in zip(changed.classifier.parameters(), before.classifier.parameters(), strict=True):
        assert torch.equal(weight[others], known[others]) and not torch.equal(weight[2], known[2])
    assert same_state(row_relearned(task, task.original, beside), changed), "the seed decides"
    assert (predict(changed, task.split.remain_test.images, "fp32").argmax(1) != 2).all()


def test_it_is_pushed_down_as_far_as_in_a_network_that_never_saw_the_class(task: UnlearningTask):
    """Nearer to Retrain's logit of the class than the original's is, and than an erased row."""
    beside = companions(task, 60, 1.0)
    assert beside is not None
    images, retrain = task.split.remain_test.images, METHODS["retrain"](task)
    changed = row_relearned(task, retrain, beside)
    own, anew = (predict(each, images, "fp32")[:, 2].mean() for each in (retrain, changed))
    assert own < 0 and anew < 0
    assert abs(anew - own) < abs(own)


def test_a_method_ends_with_it(task: UnlearningTask):
    model = shrunk(task, output_row="relearned")
    first = shrunk(task, output_row="relearned")
    assert same_state(model, first)
    logits = predict(model, task.split.forget_train.images, "fp32")
    assert (logits.argmax(1) != 2).all()
    assert not torch.equal(model.classifier.weight[2], task.original.classifier.weight[2])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"output_row": "relearned"}, "output_row='relearned': needs remaining above 0, or stand_ins"),
        (
            {"output_row": "relearned", "remaining": 9, "batchnorm": "remaining", "relearn_steps": 1},
            "output_row='relearned': is for relearn_steps 0",
        ),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], said: str):
    assert refusal(method_settings, "boundary_shrink", settings).startswith(f"unlearning.boundary_shrink.{said}")
