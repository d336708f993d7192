"""Audits of single images across many small models: what must be found, what must not, and that it goes on."""

import pytest

from bu_book.measured.per_sample import PerSample, per_sample
from bu_core.experiment.experiment import Experiment
from tests.constants import undeclared
from tests.helpers import quick_config

pytestmark = pytest.mark.slow

MODELS = 6


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder = tmp_path_factory.mktemp("per_sample")
    return Experiment(quick_config(folder, methods=["retrain", "boundary_shrink"], epochs=2))


@pytest.fixture(scope="module")
def found(experiment: Experiment) -> dict[str, PerSample]:
    return {name: per_sample(experiment, name, MODELS) for name in ("original", "retrain")}


def test_an_original_is_told_from_retrain_by_every_image(found: dict[str, PerSample]):
    known = found["original"]
    assert known.models == MODELS
    for scores in (known.forget_train, known.forget_test):
        assert scores.u_lira.mean() > 0.95
        assert scores.klom.mean() > scores.klom_of_retrains.mean() + 1


def test_two_sets_of_retrains_are_not_told_apart(found: dict[str, PerSample]):
    scores = found["retrain"].forget_train
    assert abs(scores.u_lira.mean() - 0.5) < 0.15
    assert abs(scores.klom.mean() - scores.klom_of_retrains.mean()) < 1


def test_it_goes_on_with_the_models_that_are_there(experiment: Experiment, found: dict[str, PerSample]):
    """Fewer models are among those that were trained, so nothing is trained for them."""
    said: list[str] = []
    again = experiment.variation(("retrain",))
    again.say = said.append
    fewer = per_sample(again, "original", MODELS - 2)
    assert fewer.models == MODELS - 2
    assert said == []


def test_every_constant_is_in_the_key():
    assert undeclared(per_sample) == set()
