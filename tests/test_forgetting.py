"""Taking the forgetting apart, and the audit: on models whose statistics and weights are known."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bu_core import forgetting
from bu_core.data import LabelledImages, pixels
from bu_core.experiment import Experiment
from bu_core.measurements import Measurements
from bu_core.models import Classifier, build
from bu_core.training import fit, predict
from bu_core.unlearning import METHODS, UnlearningTask

from .helpers import TOY_RECIPE, refusal, same_state, small_experiment


def statistics(model: Classifier) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(m.running_mean, m.running_var) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def weights(model: Classifier) -> dict[str, torch.Tensor]:
    return dict(model.named_parameters())


def accuracy(model: Classifier, data: LabelledImages) -> float:
    return (predict(model, data.images, "fp32").argmax(1) == data.labels).float().mean().item()


# --- the audit ------------------------------------------------------------------------------------------------------


def test_reestimated_statistics_are_those_of_the_images(task: UnlearningTask):
    images = task.split.remain_train.images
    found = forgetting.reestimated(task.original, images, "fp32", batch_size=10_000)
    convolution, norm, _ = task.original.body[0]
    with torch.no_grad():
        seen = convolution((pixels(images) - 0.5) / 0.5)
    torch.testing.assert_close(found.body[0][1].running_mean, seen.mean((0, 2, 3)))
    torch.testing.assert_close(found.body[0][1].running_var, seen.var((0, 2, 3)))
    assert not torch.equal(norm.running_mean, found.body[0][1].running_mean), "the model that was given is left alone"


def test_every_batch_counts_alike(task: UnlearningTask):
    images = task.split.remain_train.images[:40]
    found = forgetting.reestimated(task.original, images, "fp32", batch_size=10)
    parts = [forgetting.reestimated(task.original, part, "fp32") for part in images.split(10)]
    means = torch.stack([statistics(part)[0][0] for part in parts])
    torch.testing.assert_close(statistics(found)[0][0], means.mean(0))


def test_reestimation_touches_no_weight_and_nothing_of_the_old_statistics_stays(task: UnlearningTask):
    spoilt = forgetting.reestimated(task.original, torch.zeros_like(task.split.remain_train.images[:8]), "fp32")
    images = task.split.remain_train.images
    one, other = (forgetting.reestimated(model, images, "fp32") for model in (task.original, spoilt))
    assert same_state(one, other)
    assert all(torch.equal(weight, weights(one)[name]) for name, weight in weights(task.original).items())
    assert not one.training
    assert [m.momentum for m in one.modules() if isinstance(m, nn.BatchNorm2d)] == [0.1] * len(statistics(one))


def test_a_model_without_running_statistics_is_unchanged(task: UnlearningTask):
    model = build("allcnn_groupnorm", 3, 4, 0.1, seed=0)
    assert same_state(model, forgetting.reestimated(model, task.split.remain_train.images, "fp32"))


def test_the_audit_finds_a_class_that_only_the_statistics_hide(task: UnlearningTask):
    """Planted: at learning rate 0 the weights are the original's, so that what it knew must come back."""
    settings = forgetting.PARTS["statistics"] | {"epochs": 20}
    hidden = METHODS["boundary_shrink"](task, **settings)
    assert all(torch.equal(weight, weights(hidden)[name]) for name, weight in weights(task.original).items())
    forget, remain = task.split.forget_train, task.split.remain_train
    back = forgetting.reestimated(hidden, remain.images, "fp32")
    before, after = accuracy(hidden, forget), accuracy(back, forget)
    assert before < 0.5 < 0.9 < after
    never = METHODS["retrain"](task)
    assert accuracy(forgetting.reestimated(never, remain.images, "fp32"), forget) == 0, "Retrain is the control"


@pytest.mark.parametrize("name", forgetting.METHODS)
def test_frozen_statistics_stay_and_the_weights_move(task: UnlearningTask, name: str):
    found = METHODS[name](task, **forgetting.PARTS["weights"] | {"lr": 0.01, "epochs": 1})
    for one, other in zip(statistics(found), statistics(task.original), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    assert any(not torch.equal(weight, weights(found)[name]) for name, weight in weights(task.original).items())


# --- the curves -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", forgetting.METHODS)
def test_the_watcher_sees_the_model_after_each_epoch_but_the_last(task: UnlearningTask, name: str):
    """What it sees after two epochs of four is what two epochs give, pruned where a neuron was added."""
    from dataclasses import replace

    watcher = forgetting.Watcher(task.original, lambda model: {k: v.clone() for k, v in model.state_dict().items()})
    METHODS[name](replace(task, checkpoint=watcher), epochs=4, lr=0.01)
    assert len(watcher.seen) == 3
    two = METHODS[name](task, epochs=2, lr=0.01).state_dict()
    assert watcher.seen[1].keys() == two.keys()
    assert all(torch.equal(watcher.seen[1][key], value) for key, value in two.items())


def test_a_watcher_changes_nothing_of_the_fit(task: UnlearningTask):
    watched, alone = build("allcnn", 3, 4, 0.1, seed=1), build("allcnn", 3, 4, 0.1, seed=1)
    watcher = forgetting.Watcher(task.original, lambda model: predict(model, task.split.forget_test.images, "fp32"))
    fit(watched, task.split.remain_train, TOY_RECIPE, label="x", checkpoint=watcher)
    fit(alone, task.split.remain_train, TOY_RECIPE, label="x")
    assert same_state(watched, alone)


@pytest.mark.parametrize(
    ("before", "part", "both", "share"), [(100, 10, 10, 100), (100, 55, 10, 50), (100, 0, 50, 200), (90, 90, 90, None)]
)
def test_the_share_explained(before: float, part: float, both: float, share: float | None):
    assert forgetting.share_explained(before, part, both) == share


def test_survivors_forget_after_the_audit_and_cost_little():
    def point(forget: float, remain: float) -> dict:
        return {"after": {"forget_train": forget, "remain_test": remain}, "before": {}}

    curves = [
        {"method": "a", "batchnorm": "train", "lr": 1e-3, "epsilon": None, "points": [point(99, 90), point(99, 90)]},
        {"method": "b", "batchnorm": "frozen", "lr": 1e-2, "epsilon": 0.1,
         "points": [point(99, 90), point(10, 85), point(10, 84.9), point(10.1, 90), point(0, 88)]},
    ]  # fmt: skip
    found = forgetting.survivors(curves, left=10, cost=5)
    assert [(entry["method"], entry["epoch"]) for entry in found] == [("b", 4), ("b", 1)], "the cheapest first"
    assert found[0]["accuracy"] == {"forget_train": 0, "remain_test": 88}


# --- in an experiment -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"), control="allcnn_groupnorm")


def test_the_parts_are_those_of_the_method_with_other_settings(experiment: Experiment):
    found = Measurements(experiment).parts()
    assert set(found) == {"original", "retrain", "methods"}
    assert set(found["methods"]) == {"boundary_shrink", "boundary_expanding"}
    own = experiment.metrics()["methods"]
    for name, parts in found["methods"].items():
        assert list(parts) == ["statistics", "weights", "both"]
        assert parts["both"]["accuracy"] == own[name]["accuracy"]
        assert parts["both"]["attack"]["asr"] == own[name]["attack"]["asr"]
        if parts["both"]["explained"] is not None:
            assert parts["both"]["explained"] == 100
    one, other = (parts["statistics"]["accuracy"] for parts in found["methods"].values())
    assert one == other, "where no weight moves, the method does not matter"


def test_the_audit_has_every_model_and_no_more_images_than_there_are(experiment: Experiment):
    found = Measurements(experiment).audit()
    assert found["images"] == [100, 1000, len(experiment.split.remain_train)]
    assert list(found["models"]) == list(experiment.names)
    for entry in found["models"].values():
        assert len(entry["after"]) == 3
    assert found["models"]["original"]["before"]["accuracy"] == experiment.metrics()["methods"]["original"]["accuracy"]


def test_a_curve_starts_at_the_original_and_ends_at_the_model(experiment: Experiment):
    curves = Measurements(experiment).curves()
    assert all(len(curve["points"]) == 3 for curve in curves), "the original and two epochs"
    assert len({str(curve["points"][0]) for curve in curves}) == 1
    asked = {(curve["method"], curve["batchnorm"], curve["lr"], curve["epsilon"]) for curve in curves}
    assert len(asked) == len(curves), "none is drawn twice"
    for mode in ("train", "frozen"):
        assert {lr for method, m, lr, _ in asked if (method, m) == ("boundary_expanding", mode)} == set(
            forgetting.LEARNING_RATES
        )
    reaches = {e for method, mode, _, e in asked if (method, mode) == ("boundary_shrink", "frozen")}
    assert reaches == set(forgetting.EPSILONS)


def test_a_model_without_statistics_is_a_control(experiment: Experiment):
    found = Measurements(experiment).control()
    assert found["model"] == "allcnn_groupnorm"
    assert list(found["models"]) == ["original", "boundary_shrink", "boundary_expanding"]
    plain = Experiment(experiment.config.from_mapping(experiment.config.as_dict() | {"model": "allcnn_groupnorm"}))
    assert found["models"]["original"]["accuracy"] == plain.metrics()["methods"]["original"]["accuracy"]
    assert Measurements(small_experiment(Path(experiment.config.results_dir))).control() is None


def test_an_unknown_control_is_refused(tmp_path: Path):
    assert refusal(small_experiment, tmp_path, control="allcn").startswith("control='allcn'")


def test_variants_differ_from_the_text_by_their_settings_alone(experiment: Experiment):
    found = Measurements(experiment).variants()
    own = experiment.metrics()["methods"]
    assert set(found) == {"boundary_shrink", "boundary_expanding"}
    for name, variants in found.items():
        assert list(variants) == list(forgetting.VARIANTS[name])
        assert variants["as the text has it"]["accuracy"] == own[name]["accuracy"]
        assert variants["as the text has it"]["seconds"] == own[name]["seconds"]["median"]
    slow = forgetting.varied({"lr": 0.01, "epochs": 3}, {"lr": 0.1, "search": "pgd"})
    assert slow == {"lr": pytest.approx(0.001), "epochs": 3, "search": "pgd"}
