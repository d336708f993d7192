"""Methods over their learning rates: each point beside the same fit made alone, and where there is nothing to say."""

from collections.abc import Iterator

import pytest

from bu_book.measured import over_rates as module
from bu_book.measured.over_rates import over_rates, yardsticks
from bu_core import measures
from bu_core.audits import few_shot, ladder, probe, threshold
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.unlearning import METHODS, method
from tests.helpers import small_experiment, wrecked

METHOD = "boundary_shrink"


RATES = (0.1, 3)


@pytest.fixture(scope="module", autouse=True)
def few_rates() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FACTORS", RATES)
        yield


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def without(experiment: Experiment) -> Experiment:
    """The same without BatchNorm, at rates of which some forget and some do not."""
    return experiment.variation(("retrain", METHOD), model="allcnn_groupnorm").with_settings(METHOD, lr=0.01)


def of_model(experiment: Experiment, name: str) -> dict[str, float]:
    return {part: measures.accuracy(experiment.outputs(name)[part]) for part in SPLITS}


def test_each_point_is_the_method_at_that_rate(experiment: Experiment):
    found = over_rates(experiment)
    assert found.original == of_model(experiment, "original")
    assert found.methods.keys() == {METHOD, "boundary_expanding"}, "Retrain does not go through D_f"
    for name, points in found.methods.items():
        assert [point.factor for point in points] == list(RATES)
        own = experiment.config.unlearning[name]["lr"]
        for point in points:
            changed = experiment.with_settings(name, lr=own * point.factor)
            assert point.before == of_model(changed, name)
            again = changed.evidence(name).reestimated
            assert point.after == {part: measures.accuracy(again.outputs(part)) for part in SPLITS}
            assert (point.recalled is not None) == (point.after["forget_train"] <= module.LITTLE)


def test_without_batchnorm_auditors_are_asked_where_little_is_left(without: Experiment):
    points = over_rates(without).methods[METHOD]
    assert all(point.after is None for point in points)
    forgot = [point for point in points if point.before["forget_train"] <= module.LITTLE]
    assert 0 < len(forgot) < len(points), "one rate forgets and the other does not"
    assert all((point.recalled is not None) == (point in forgot) for point in points)
    point = forgot[-1]
    there = without.with_settings(METHOD, lr=0.01 * point.factor).evidence(METHOD)
    assert point.recalled is not None
    assert point.recalled.threshold == threshold.ranked(there).recall
    assert point.recalled.five == few_shot.with_five(few_shot.recalled(there))
    assert point.recalled.probe == probe.probed(there).recall


def test_a_fit_that_diverged_has_no_number(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    only = experiment.variation((METHOD,), model="allcnn_groupnorm")
    monkeypatch.setitem(METHODS, METHOD, method()(lambda task, **settings: wrecked()(task)))
    assert all(point.before == {} and point.recalled is None for point in over_rates.compute(only).methods[METHOD])


def test_the_yardsticks_are_a_network_that_never_knew_and_one_that_still_does(without: Experiment):
    found = yardsticks(without)
    assert found.retrain.threshold == threshold.ranked(without.evidence("retrain")).recall
    assert found.masked.probe == probe.probed(ladder.masked(without.evidence("original"))).recall
    original = probe.probed(without.evidence("original")).recall
    assert found.masked.probe == original, "masking an answer leaves the features"


def test_the_rates_are_found_again(experiment: Experiment):
    assert over_rates(experiment) == over_rates(experiment.fresh())
    assert list(over_rates.key(experiment)["models"]) == list(experiment.names)
