"""The ladder as a measurement: kept, found again, and asked of the masked original as of any model."""

from collections.abc import Callable

import pytest

from bu_core.audits import ladder as audits
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.ladder import ladder, masked_ladder
from tests.helpers import quick_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder = tmp_path_factory.mktemp("ladder")
    return Experiment(quick_config(folder, methods=["retrain"], epochs=8, lr=0.05))


@pytest.fixture(scope="module")
def climbs(experiment: Experiment) -> dict[str, audits.Climb]:
    found = {name: ladder(experiment, name) for name in ("original", "retrain")}
    found |= {f"retrain {seed}": ladder(experiment.variation(("retrain",), seed=seed), "retrain") for seed in (1, 2)}
    return found | {"masked": masked_ladder(experiment)}


def verdicts(experiment: Experiment, climbs: dict[str, audits.Climb], name: str) -> dict[str, str]:
    """Beside two Retrains."""
    known, images = [climbs["retrain"], climbs["retrain 1"]], len(experiment.split.forget_test)
    return {rung: audits.reading(asked, climbs[name], known, images).verdict for rung, asked in audits.RUNGS.items()}


def test_every_rung_but_the_probe_tells_the_original_from_retrain(
    experiment: Experiment, climbs: dict[str, audits.Climb]
):
    """A probe with so many images finds nearly all of the class in Retrain's features as well."""
    found = verdicts(experiment, climbs, "original")
    assert {rung for rung, verdict in found.items() if verdict == "like retrain"} == {"probe"}


def test_the_masked_original_passes_by_its_answers_and_is_caught_with_five_images(
    experiment: Experiment, climbs: dict[str, audits.Climb]
):
    found = verdicts(experiment, climbs, "masked")
    assert found["output"] == found["reestimation"] == "like retrain"
    assert found["few_shot"] == found["relearn_few"] == "still known"


def test_a_retrain_of_another_seed_is_like_the_two(experiment: Experiment, climbs: dict[str, audits.Climb]):
    assert set(verdicts(experiment, climbs, "retrain 2").values()) == {"like retrain"}


def test_without_the_slack_a_retrain_would_be_told_from_two_others(
    experiment: Experiment, climbs: dict[str, audits.Climb]
):
    """So the range has one however many Retrains are known: a model that never saw the class shall not stand out."""
    retrains = [climbs[name] for name in ("retrain", "retrain 1", "retrain 2")]
    images = len(experiment.split.forget_test)
    for rung in ("few_shot", "probe"):
        found = [audits.reading(audits.RUNGS[rung], each, retrains, images) for each in retrains]
        bare = [not min(one.retrains) <= one.value <= max(one.retrains) for one in found if one.value is not None]
        assert bare.count(True) == 2, "the least and the largest of the three"
        assert {one.verdict for one in found} == {"like retrain"}


def test_it_is_kept_and_found_again(
    experiment: Experiment, climbs: dict[str, audits.Climb], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> Callable[..., None]:
        pytest.fail("climbed again")

    monkeypatch.setattr(audits, "climb", refuse)
    assert ladder(experiment.fresh(), "original") == climbs["original"]
    assert masked_ladder(experiment.fresh()) == climbs["masked"]


def test_the_masked_original_is_the_original_but_for_its_row(climbs: dict[str, audits.Climb]):
    assert climbs["masked"].before.accuracy["forget_train"] < climbs["original"].before.accuracy["forget_train"]
    assert climbs["masked"].after.probe == climbs["original"].after.probe


def test_retrain_is_compared_with_no_retrain_and_the_others_with_it(climbs: dict[str, audits.Climb]):
    assert climbs["retrain"].before.neighbours.each is None and climbs["retrain"].summaries.tug_of_war is None
    assert climbs["original"].before.neighbours.each is not None


def test_it_is_found_by_the_models_that_it_looks_at(experiment: Experiment):
    assert set(ladder.key(experiment, "finetune")["models"]) == {"finetune", "original", "retrain"}
    assert set(ladder.key(experiment.variation(()), "finetune")["models"]) == {"finetune", "original"}
