"""The attacks by a threshold: which one is chosen, on what, and that of an image only the largest posterior counts."""

import numpy as np
import pytest
import torch

from bu_core.attacks import Scores, auc, best_threshold, by_threshold
from bu_core.attacks.confidence import from_confidence
from bu_core.measures import Outputs
from tests.core.attacks.planted import EVERY, planted, same_scores

LEADS = {"remain_train": 5, "remain_test": 3, "forget_train": 4.5, "forget_test": 4}


def first_logit(outputs: Outputs) -> torch.Tensor:
    """A score that is given as it is."""
    return outputs.logits[:, 0].double()


def given(members: list[float], others: list[float], asked: list[float]) -> dict[str, Outputs]:
    """Four sets of the scores that `first_logit` finds; D_f and D_ft are the same."""
    sets = {"remain_train": members, "remain_test": others, "forget_train": asked, "forget_test": asked}
    return {name: Outputs(torch.tensor(found)[:, None], torch.zeros(len(found))) for name, found in sets.items()}


@pytest.mark.parametrize(
    ("members", "others", "expected"),
    [
        ([4, 5, 6], [1, 2, 3], 3.5),
        ([2, 5, 6], [1, 3, 4], 4.5),  # one member is missed, no other is called
        ([0, 8, 9, 9], [1, 2, 7, 20], 7.5),
        ([1, 2], [3, 4], 4),  # none is better than to call nobody
        ([3, 3], [3, 3], 3),
    ],
)
def test_the_threshold_is_the_one_with_the_best_balanced_accuracy(
    members: list[float], others: list[float], expected: float
):
    assert best_threshold(torch.tensor(members).double(), torch.tensor(others).double()) == expected


def test_no_other_threshold_is_better():
    generator = np.random.default_rng(0)
    members, others = (torch.from_numpy(generator.normal(mean, 1, 80).round(1)) for mean in (0.5, 0))

    def right(threshold: float) -> int:
        return int((members > threshold).sum() + (others <= threshold).sum())

    assert right(best_threshold(members, others)) == max(right(tried) for tried in np.arange(-5, 5, 0.01))


def test_what_is_asked_is_judged_by_the_threshold_of_all_known_images():
    found = by_threshold(given([4.0, 5, 6, 7], [0.0, 1, 2, 3], [3.4, 3.6, -9, 9]), 0, first_logit)
    assert (found.forget_train > 0.5).tolist() == [False, True, False, True]
    assert torch.equal(found.forget_train, found.forget_test)


def test_the_known_images_are_judged_by_a_threshold_that_was_not_chosen_on_them():
    """Chosen on the images themselves, a threshold on pure chance would seem better than chance."""
    gains = []
    for seed in range(200):
        pile = torch.randn(2, 20, generator=torch.Generator().manual_seed(seed)).tolist()
        found = by_threshold(given(*pile, [0.0]), seed, first_logit)
        assert len(found.members) == len(found.others) == 10
        gains.append(((found.members > 0.5).double().mean() - (found.others > 0.5).double().mean()).item())
    assert abs(np.mean(gains)) < 0.06, "about 0.25 on the images themselves"


@pytest.mark.parametrize("kind", ["confidence", "modified_entropy"])
def test_scores_lie_between_0_and_1_and_grow_with_what_they_stand_for(kind: str):
    found = EVERY[kind](planted(**LEADS), 0)
    for scores in vars(found).values():
        assert scores.dtype == torch.float64
        assert scores.min() >= 0 and scores.max() <= 1
        assert len(scores.unique()) == len(scores), "none is rounded to another"


def test_the_auc_is_that_of_the_score_itself():
    outputs = planted(**LEADS)
    found = by_threshold(outputs, 0, first_logit)
    far = {part: Outputs(said.logits * 30, said.labels) for part, said in outputs.items()}
    assert auc(found.members, found.others) == auc(*(vars(by_threshold(far, 0, first_logit))[of] for of in SIDES))


SIDES = ("members", "others")


def test_confidence_is_the_largest_posterior_alone():
    """How the rest is spread over the other classes does not matter."""
    outputs = planted(**LEADS)
    even = {part: Outputs(_evened(said.logits), said.labels) for part, said in outputs.items()}
    one, other = from_confidence(outputs, 0), from_confidence(even, 0)
    for name, scores in vars(one).items():
        torch.testing.assert_close(scores, vars(other)[name], atol=1e-9, rtol=0)


def _evened(logits: torch.Tensor) -> torch.Tensor:
    """Logits with the same largest posterior, and the rest of it in equal shares."""
    posteriors = logits.double().softmax(1)
    largest, where = posteriors.max(1, keepdim=True)
    return ((1 - largest) / (logits.shape[1] - 1)).expand_as(posteriors).scatter(1, where, largest).log()


@pytest.mark.parametrize("kind", ["confidence", "modified_entropy"])
def test_the_same_seed_gives_the_same_scores_and_another_does_not(kind: str):
    def scores(seed: int) -> Scores:
        return EVERY[kind](planted(**LEADS), seed)

    assert same_scores(scores(0), scores(0))
    assert not torch.equal(scores(0).members, scores(1).members)
