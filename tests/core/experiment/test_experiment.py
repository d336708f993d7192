"""An experiment: what its models say, how it is varied, what it draws, and what it refuses before any work."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bu_core import training
from bu_core.config import Config
from bu_core.data import SPLITS, load
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.experiment import outputs as model_outputs
from bu_core.unlearning import METHODS
from tests.helpers import quick_config, refusal, same_state, wrecked


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def experiment(results: Path) -> Experiment:
    return Experiment(quick_config(results, methods=["retrain", "boundary_shrink"]))


# --- what its models say --------------------------------------------------------------------------------------------


def test_outputs_hold_logits_and_true_labels_of_each_set(experiment: Experiment):
    outputs = experiment.outputs("original")
    assert tuple(outputs) == SPLITS
    assert {part: len(found.labels) for part, found in outputs.items()} == {
        "remain_train": 1130, "forget_train": 127, "remain_test": 486, "forget_test": 54,
    }  # fmt: skip
    for part, found in outputs.items():
        assert found.logits.shape == (len(found.labels), 10)
        assert (found.logits.dtype, found.labels.dtype) == (torch.float32, torch.int64)
        assert set(found.labels.tolist()) == ({4} if part.startswith("forget") else set(range(10)) - {4})


def test_outputs_are_what_the_model_says_of_the_images(experiment: Experiment):
    model, dataset = experiment.model("boundary_shrink"), load("digits")
    with torch.no_grad():
        expected = model(dataset.test.images[dataset.test.labels == 4] / 255)
    torch.testing.assert_close(experiment.outputs("boundary_shrink")["forget_test"].logits, expected)


def test_any_model_can_be_asked_and_nothing_is_kept(experiment: Experiment, results: Path):
    before = sorted((results / "store").iterdir())
    answers, kept = experiment.answers(experiment.model("retrain")), experiment.outputs("retrain")
    assert sorted((results / "store").iterdir())[: len(before)] == before
    for part in SPLITS:
        assert torch.equal(answers[part].logits, kept[part].logits)
        assert torch.equal(answers[part].labels, kept[part].labels)


def test_outputs_are_divided_by_the_forgotten_class_of_their_experiment(results: Path, experiment: Experiment):
    """The original is one file for all forgotten classes; what it says of each D_f is not."""
    for forget_class in (7, 4):
        outputs = Experiment(quick_config(results, forget_class=forget_class)).outputs("original")
        assert set(outputs["forget_train"].labels.tolist()) == {forget_class}


def test_outputs_say_how_the_model_was_made(experiment: Experiment):
    made = model_outputs(experiment, "retrain").made
    assert made.seconds == experiment.weights("retrain").facts["seconds"]
    assert made.environment == experiment.environment
    assert made.recording is None


# --- varied ---------------------------------------------------------------------------------------------------------


def test_other_settings_of_one_method_change_that_method_alone(experiment: Experiment):
    other = experiment.with_settings("boundary_shrink", lr=1e-2)
    assert other.config.unlearning["boundary_shrink"] == {**experiment.config.unlearning["boundary_shrink"], "lr": 1e-2}
    assert experiment.config.unlearning["boundary_shrink"]["lr"] == 1e-5, "this one is as it was"
    assert other.model("original") is experiment.model("original")
    assert other.key("retrain") == experiment.key("retrain")
    assert not same_state(other.model("boundary_shrink"), experiment.model("boundary_shrink"))


@pytest.mark.parametrize(
    ("change", "original_too"),
    [({"seed": 1}, True), ({"forget_class": "7"}, False), ({"width": 0.2}, True), ({"epochs": 2, "lr": 0.05}, True)],
    ids=str,
)
def test_a_variation_is_the_experiment_of_those_settings(
    experiment: Experiment, results: Path, change: dict[str, Any], original_too: bool
):
    """It finds what such an experiment left, and leaves what it would find."""
    varied = experiment.variation(["retrain"], **change)
    plain = Experiment(quick_config(results, methods=["retrain"], **change))
    for name in ("original", "retrain"):
        assert varied.key(name) == plain.key(name)
    assert (varied.key("original") != experiment.key("original")) is original_too
    assert varied.split.forget_class == plain.config.forget_class
    assert varied.names == ("original", "retrain")


def test_a_variation_draws_from_the_same_images(experiment: Experiment):
    """The digits are divided by the seed of the experiment, not by that of the variation."""
    varied = experiment.variation([], seed=1)
    assert varied.dataset is experiment.dataset
    assert torch.equal(varied.split.remain_test.images, experiment.split.remain_test.images)


# --- samples --------------------------------------------------------------------------------------------------------


def test_a_sample_is_drawn_without_repetition_and_does_not_change_with_its_size(results: Path, experiment: Experiment):
    smaller = Experiment(quick_config(results, methods=[], sample_size=50))
    drawn, fewer = experiment.sample("remain_train"), smaller.sample("remain_train")
    assert len(drawn) == len(set(drawn.tolist())) == 500
    assert torch.equal(drawn[:50], fewer)
    assert sorted(experiment.sample("forget_train").tolist()) == list(range(127)), "there are no more"
    images = smaller.sampled("remain_train")
    assert torch.equal(images.images, smaller.split.remain_train.images[fewer])
    assert torch.equal(images.labels, smaller.outputs("original")["remain_train"].labels[fewer])


def test_another_seed_draws_another_sample(experiment: Experiment):
    other = experiment.variation([], seed=1)
    assert not torch.equal(other.sample("remain_train"), experiment.sample("remain_train"))


def test_an_audit_may_see_remaining_images_alone(experiment: Experiment):
    shown = experiment.remaining(20)
    known = {image.numpy().tobytes() for image in experiment.split.remain_train.images}
    assert shown.shape == (20, 1, 8, 8)
    assert all(image.numpy().tobytes() in known for image in shown)
    assert len(experiment.remaining(10_000)) == 1130
    assert torch.equal(experiment.remaining(30)[:20], shown)


# --- what diverged --------------------------------------------------------------------------------------------------


def test_a_model_whose_outputs_are_not_finite_is_not_sound(results: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(METHODS, "wrecked", wrecked())
    experiment = Experiment(quick_config(results, methods=["wrecked", "retrain"], unlearning={}))
    assert experiment.sound == ("original", "retrain")
    assert experiment.names == ("original", "wrecked", "retrain")


# --- what cannot work -----------------------------------------------------------------------------------------------


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "fit", lambda *_, **__: pytest.fail("this is to be refused before any work"))


def test_cuda_without_a_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_work: None):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = refusal(Experiment, quick_config(tmp_path / "results", device="cuda"))
    assert message.startswith("device='cuda'")
    assert not (tmp_path / "results").exists()


def test_a_results_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, no_work: None):
    (tmp_path / "results").write_text("a file in the way")
    message = refusal(Experiment, quick_config(tmp_path / "results"))
    assert message.startswith("results_dir=")
    assert str(tmp_path / "results") in message


def test_a_data_folder_that_is_not_there_is_refused_before_any_work(tmp_path: Path, no_work: None):
    wanted = quick_config(tmp_path, dataset="cifar10", data_dir=str(tmp_path / "nowhere"))
    assert refusal(Experiment, wanted).startswith("data_dir=")


def test_a_class_that_the_data_lack_is_refused(tmp_path: Path, experiment: Experiment):
    assert refusal(quick_config, tmp_path, forget_class=10).startswith("forget_class=10: digits has classes 0 to 9")
    assert refusal(experiment.variation, [], forget_class="ten").startswith("forget_class='ten'")


def test_the_config_holds_the_number_of_a_class_that_was_named(tmp_path: Path):
    named = Config.from_mapping(
        {"forget_class": "7", "elsewhere": [{"forget_class": "3"}], "results_dir": str(tmp_path)}
    )
    experiment = Experiment(named)
    assert experiment.config.forget_class == 7
    assert experiment.config.elsewhere[0]["forget_class"] == 3
