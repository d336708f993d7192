"""A method over its settings: what each point is, how Fisher's points share their noise, where there is no number."""

from pathlib import Path

import pytest
import torch

from bu_book.measured import over_settings
from bu_book.measured.over_settings import at_setting, fisher_sweep, point, rates
from bu_core import measures
from bu_core.attacks.register import ATTACKS
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.measures import Outputs
from tests.helpers import small_experiment

SAMPLES = 40


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(
        tmp_path_factory.mktemp("results"),
        methods=("retrain", "random_labels", "fisher"),
        unlearning={"random_labels": {"epochs": 1}, "fisher": {"samples": SAMPLES, "alpha": 1e-6}},
    )


def test_a_point_is_what_the_model_says_of_the_four_sets(experiment: Experiment):
    found, said = at_setting(experiment, "random_labels"), experiment.outputs("random_labels")
    assert found.accuracy == {part: measures.accuracy(said[part]) for part in SPLITS}
    assert found.asr.keys() == {kind for kind, made in ATTACKS.items() if not made.shadows}
    for kind, value in found.asr.items():
        called = ATTACKS[kind].scores(said, experiment.config.seed).forget_train > 0.5
        assert value == pytest.approx(100 * called.double().mean().item())


def test_a_model_that_diverged_has_no_number():
    said = {part: Outputs(torch.full((4, 3), torch.nan), torch.zeros(4, dtype=torch.int64)) for part in SPLITS}
    assert point(said, 0) == over_settings.Point({}, {})


def test_another_rate_is_another_point(experiment: Experiment):
    still = at_setting(experiment.with_settings("random_labels", lr=0.0, batchnorm="frozen"), "random_labels")
    original = {part: measures.accuracy(experiment.outputs("original")[part]) for part in SPLITS}
    assert still.accuracy == original
    assert rates("random_labels", 1e-5) == [1e-6, 1e-5, 3e-5, 1e-4, 3e-4]
    assert all(own in rates(name, own) for name in over_settings.RATE_FACTORS for own in (0.1, 0.4, 1e-5))


def test_fishers_sweep_holds_the_original_the_mask_and_the_method(experiment: Experiment):
    found = fisher_sweep(experiment, SAMPLES, "model")
    points = {(each.output_row, each.alpha): each for each in found.points}
    assert found.images == {part: min(2000, len(experiment.outputs("original")[part].labels)) for part in SPLITS}
    for name, at in (("original", ("kept", 0.0)), ("fisher", ("erased", 1e-6))):
        said = experiment.outputs(name)
        for part in SPLITS:
            chosen = experiment.order(part)[:2000]
            expected = measures.accuracy(Outputs(said[part].logits[chosen], said[part].labels[chosen]))
            assert points[at].found.accuracy[part] == pytest.approx(expected), (name, part)
    masked = points["erased", 0.0]
    assert set(masked.like_masked.values()) == {100.0}
    assert masked.found.accuracy["forget_train"] < 5, "a logit of 0 is seldom the largest"


def test_the_mask_is_the_original_with_one_logit_at_0(experiment: Experiment):
    found = next(each for each in fisher_sweep(experiment, SAMPLES, "model").points if each.output_row == "erased")
    for part in SPLITS:
        said, chosen = experiment.outputs("original")[part], experiment.order(part)[:2000]
        logits = said.logits[chosen].clone()
        logits[:, experiment.split.forget_class] = 0
        assert found.found.accuracy[part] == pytest.approx(measures.accuracy(Outputs(logits, said.labels[chosen])))


def test_the_sweep_is_found_again(experiment: Experiment, tmp_path: Path):
    key = fisher_sweep.key(experiment, SAMPLES, "model")
    assert list(key["models"]) == ["original"]
    assert key["arguments"] == {"samples": SAMPLES, "labels": "model"}
    assert fisher_sweep(experiment, SAMPLES, "model") == fisher_sweep(experiment.fresh(), SAMPLES, "model")
