"""The ladder on the toy, where it is known what must be caught: the original, the masked original, and no Retrain."""

from dataclasses import replace

import pytest
import torch

from bu_core.audits.evidence import Evidence
from bu_core.audits.ladder import RUNGS, Climb, climb, masked, reading, with_slack
from bu_core.models import build
from bu_core.training import fit
from bu_core.unlearning import METHODS, UnlearningTask
from tests.helpers import same_state


@pytest.fixture(scope="module")
def seen(task: UnlearningTask) -> dict[str, Evidence]:
    """The original, the masked original, and Retrains of three seeds."""

    def evidence(model: torch.nn.Module) -> Evidence:
        return Evidence(model, task.split, "fp32", seed=0)

    found = {"original": evidence(task.original)}
    found["masked"] = masked(found["original"])
    for seed in range(3):
        start = build("allcnn", 3, 4, 0.1, seed=seed)
        other = replace(task, initial=start, recipe=replace(task.recipe, seed=seed))
        found[f"retrain {seed}"] = evidence(METHODS["retrain"](other))
    return found


@pytest.fixture(scope="module")
def climbs(task: UnlearningTask, seen: dict[str, Evidence]) -> dict[str, Climb]:
    retrains = [seen[name] for name in ("retrain 0", "retrain 1")]
    return {name: climb(each, seen["original"], retrains, task.recipe) for name, each in seen.items()}


def verdicts(climbs: dict[str, Climb], name: str, *retrains: str) -> dict[str, str]:
    known = [climbs[each] for each in retrains or ("retrain 0", "retrain 1")]
    return {rung: reading(asked, climbs[name], known).verdict for rung, asked in RUNGS.items()}


def test_the_original_is_told_from_retrain_at_once(climbs: dict[str, Climb]):
    found = verdicts(climbs, "original")
    assert found["output"] == found["reestimation"] == found["relearn_remaining"] == "still known"


def test_the_masked_original_has_the_features_of_the_original(climbs: dict[str, Climb]):
    """What catches it is tried on the digits: here four classes are told apart so easily that Retrain finds all."""
    assert climbs["masked"].after.few_shot == climbs["original"].after.few_shot
    assert climbs["masked"].after.probe == climbs["original"].after.probe


def test_masking_sets_the_row_of_the_class_to_zero_and_leaves_the_original_alone(seen: dict[str, Evidence]):
    one, other = seen["masked"].model.classifier, seen["original"].model.classifier
    assert not one.weight[2].any() and not one.bias[2]
    kept = torch.arange(4) != 2
    assert torch.equal(one.weight[kept], other.weight[kept]) and other.weight[2].any()
    assert same_state(seen["masked"].model.body, seen["original"].model.body)


def test_another_retrain_is_like_retrain(climbs: dict[str, Climb]):
    """Where the toy leaves no room for chance. The rungs that count in percent of ten images move by ten points."""
    found = verdicts(climbs, "retrain 2")
    sure = ("output", "reestimation", "relearn_remaining")
    assert [found[rung] for rung in sure] == ["like retrain"] * 3


def test_a_model_that_is_the_retrain_itself_is_not_compared_with_itself(climbs: dict[str, Climb]):
    alone = reading(RUNGS["probe"], climbs["retrain 0"], [climbs["retrain 0"]])
    assert (alone.verdict, alone.low, alone.side, alone.retrains) == ("no retrain given", None, None, [])
    beside = reading(RUNGS["probe"], climbs["retrain 0"], [climbs["retrain 0"], climbs["retrain 1"]])
    assert beside.retrains == [climbs["retrain 1"].after.probe.recall]


# --- planted values -------------------------------------------------------------------------------------------------


def recognising(made: Climb, percent: float) -> Climb:
    return replace(made, before=replace(made.before, accuracy=made.before.accuracy | {"forget_train": percent}))


@pytest.mark.parametrize(
    ("value", "side", "verdict"),
    [
        (1.9, "below", "still known"),
        (2.0, "inside", "like retrain"),
        (5.0, "inside", "like retrain"),
        (6.0, "inside", "like retrain"),
        (6.1, "above", "still known"),
    ],
)
def test_the_verdict_compares_with_the_range_and_its_slack_on_both_sides(
    climbs: dict[str, Climb], value: float, side: str, verdict: str
):
    retrains = [recognising(climbs["retrain 0"], percent) for percent in (3.0, 5.0)]
    found = reading(RUNGS["output"], recognising(climbs["original"], value), retrains)
    assert (found.low, found.high) == (2.0, 6.0)
    assert (found.side, found.verdict) == (side, verdict)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_slack_is_the_same_for_any_number_of_retrains(count: int):
    """A sixth Retrain is the least or the largest of all six with a chance of a third."""
    low, high = with_slack(RUNGS["output"], [3.0, 5.0, 4.0, 4.0, 4.0][:count])
    assert (low, high) == (2.0, 4.0 if count == 1 else 6.0)
    assert with_slack(RUNGS["neighbours"], [0.01] * count) == (0.0, 0.03)


def test_fewer_unseen_images_leave_more_to_chance(climbs: dict[str, Climb]):
    known = climbs["retrain 0"]
    assert known.after.probe.recall == 100
    ends = [reading(RUNGS["probe"], climbs["original"], [known], images) for images in (4000, 1000, 250)]
    assert [(found.low, found.high) for found in ends] == [(95.0, 100.0), (95.0, 100.0), (90.0, 100.0)]
    output = reading(RUNGS["output"], climbs["original"], [known], 250)
    assert (output.low, output.high) == (0.0, 1.0), "of D_f, of which there are more"


def test_steps_may_differ_by_a_look(climbs: dict[str, Climb]):
    """The looks grow apart, so that the slack is a share of the steps."""
    few = climbs["retrain 0"].relearn_few
    retrains = [replace(climbs["retrain 0"], relearn_few=replace(few, steps=steps)) for steps in (40, 64)]
    found = reading(RUNGS["relearn_few"], climbs["original"], retrains)
    assert (found.low, found.high) == (30.0, 80.0)


def test_a_distance_needs_two_retrains_for_a_verdict(climbs: dict[str, Climb]):
    """How far two of them lie from each other for their seeds alone is not known of one."""
    rung = RUNGS["neighbours"]
    assert reading(rung, climbs["original"], []).value is None
    one = reading(rung, climbs["original"], [climbs["retrain 0"]])
    assert (one.verdict, one.low, one.retrains) == ("no retrain given", None, []) and one.value is not None
    two = reading(rung, climbs["original"], [climbs["retrain 0"], climbs["retrain 1"]])
    assert two.retrains[0] == pytest.approx(two.retrains[1]) and two.retrains[0] > 0, "each from the other"
    assert two.low == 0, "nothing is too near to a Retrain"


def test_a_rung_that_was_not_climbed_gives_no_verdict(climbs: dict[str, Climb]):
    """As where re-estimation had told enough of a setting, and nobody relearned it."""

    class Spared:
        findings = replace(climbs["original"].findings, relearn_few=None)

    found = reading(RUNGS["relearn_few"], Spared(), [climbs["retrain 0"]])
    assert (found.value, found.verdict, found.side) == (None, "not climbed", None) and found.low is not None


def test_every_rung_says_what_it_asks_in_a_question():
    assert list(RUNGS) == [
        "output", "reestimation", "threshold", "neighbours", "few_shot", "probe", "relearn_remaining", "relearn_few",
    ]  # fmt: skip
    assert all(rung.asks.endswith("?") for rung in RUNGS.values())


def test_the_recipe_of_the_fit_is_not_touched(task: UnlearningTask, seen: dict[str, Evidence]):
    """Relearning works on copies: the model that was climbed with is the one that was given."""
    again = build("allcnn", 3, 4, 0.1, seed=0)
    fit(again, task.split.remain_train, task.recipe, label="retrain")
    assert same_state(seen["retrain 0"].model, again)
