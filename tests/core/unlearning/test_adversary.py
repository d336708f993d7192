"""An adversary finds a planted class and no other; what its loss has moved, no linear probe finds any more."""

from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from bu_core.data import pixels
from bu_core.models import Classifier, Features
from bu_core.unlearning import METHODS, UnlearningTask, method_settings
from bu_core.unlearning.adversary import Adversary, both
from tests.helpers import refusal, same_state


def drawn(count: int, shift: float, seed: int) -> Tensor:
    """Features of so many images, (N, 8); the first differs by `shift`, and all hang together."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    return torch.randn(count, 8, generator=generator) @ mixed + shift * torch.eye(8)[0]


def told_apart(one: Tensor, other: Tensor) -> float:
    """The accuracy, balanced, of a linear probe that scikit-learn fits: 0.5 by chance."""
    inputs, labels = torch.cat([one, other]).numpy(), [1] * len(one) + [0] * len(other)
    return LogisticRegression(class_weight="balanced").fit(inputs, labels).score(inputs, labels)


def test_it_finds_what_was_planted_and_no_more():
    beside = drawn(400, 0.0, 1)
    planted = Adversary(1.0)(drawn(400, 6.0, 2), beside)
    nothing = Adversary(1.0)(drawn(400, 0.0, 3), beside)
    assert planted > 0.5
    assert nothing < 0.1
    assert Adversary(3.0)(drawn(400, 6.0, 2), beside) == pytest.approx(3 * planted.item())


def test_features_that_follow_its_loss_are_hidden_from_a_probe_of_another_make():
    beside, moved = drawn(400, 0.0, 1), drawn(400, 6.0, 2).requires_grad_()
    assert told_apart(moved.detach(), beside) > 0.9
    optimiser = torch.optim.SGD([moved], lr=100.0)
    for _ in range(60):
        optimiser.zero_grad()
        Adversary(1.0)(moved, beside).backward()
        optimiser.step()
    assert told_apart(moved.detach(), beside) < 0.7


def test_it_judges_by_the_latest_batches_and_not_by_one_alone():
    """Eight features tell four images from four others by chance alone; over many batches, chance tells nothing."""
    seen = Adversary(1.0)
    for number in range(20):
        seen(drawn(4, 0.0, 2 * number), drawn(4, 0.0, 2 * number + 1))
    last = drawn(4, 0.0, 98), drawn(4, 0.0, 99)
    assert seen(*last) < Adversary(1.0)(*last) / 4


def test_a_feature_that_no_image_wakes_is_no_number_of_its_own():
    features = drawn(50, 3.0, 1)
    features[:, 3] = 0.0
    beside = drawn(50, 0.0, 2)
    beside[:, 3] = 0.0
    assert Adversary(1.0)(features, beside).isfinite()


def shrunk(task: UnlearningTask, **settings: Any) -> Classifier:
    asked = {"batchnorm": "remaining", "remaining": 60, "target": "soft", "lr": 0.02, "epochs": 12} | settings
    return METHODS["boundary_shrink"](task, **method_settings("boundary_shrink", asked))


@torch.no_grad()
def features(model: Classifier, images: Tensor) -> Tensor:
    return model.features(images.float() / 255)


def test_a_fit_with_an_adversary_hides_the_class_in_its_features(task: UnlearningTask):
    forget, remain = task.split.forget_train.images, task.split.remain_train.images
    plain, hidden = (
        told_apart(features(model, forget), features(model, remain))
        for model in (shrunk(task), shrunk(task, adversary=3.0))
    )
    assert hidden < plain


def test_one_a_block_earlier_hides_the_class_there(task: UnlearningTask):
    forget, remain = task.split.forget_train.images, task.split.remain_train.images
    plain, hidden = (
        told_apart(*(model.features_of_two(pixels(images)).before.detach() for images in (forget, remain)))
        for model in (shrunk(task), shrunk(task, adversary_before=3.0))
    )
    assert hidden < plain


def test_either_adversary_has_its_own_features_and_weight():
    """The loss of both is the sum of what each finds alone, over several batches, since both remember."""
    together, last, before = both(0.5, 2.0), Adversary(0.5), Adversary(2.0)
    for seed in (1, 2):
        forget, beside = (Features(drawn(20, shift, seed), drawn(20, -shift, seed + 9)) for shift in (1.0, 0.0))
        apart = last(forget.last, beside.last) + before(forget.before, beside.before)
        assert together(forget, beside).item() == pytest.approx(apart.item())
    assert both(0.5, 0.0)(forget, beside).item() == Adversary(0.5)(forget.last, beside.last).item()


def test_the_same_seed_gives_the_same_model_interrupted_or_not(task: UnlearningTask):
    """An adversary that remembers cannot be resumed, so nothing is kept on the way."""

    class NoCheckpoint:
        def load(self, label: str) -> None:
            raise AssertionError(label)

        save = load

    first = shrunk(task, adversary=0.3, epochs=2)
    again = UnlearningTask(task.original, task.initial, task.split, task.recipe, NoCheckpoint())
    assert same_state(shrunk(again, adversary=0.3, epochs=2), first)
    assert not same_state(shrunk(task, epochs=2), first)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"adversary": 0.3}, "adversary=0.3: needs remaining above 0, or stand_ins"),
        ({"adversary": 0.3, "remaining": 100, "disperse": 1.0}, "adversary=0.3: is for disperse 0"),
        ({"adversary": -1.0}, "adversary=-1.0: must be"),
        ({"adversary_before": 0.3}, "adversary_before=0.3: needs remaining above 0, or stand_ins"),
        ({"adversary_before": 0.3, "remaining": 9, "disperse": 1.0}, "adversary_before=0.3: is for disperse 0"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], said: str):
    assert refusal(method_settings, "boundary_shrink", settings).startswith(f"unlearning.boundary_shrink.{said}")
