"""Taking the forgetting apart, and the audit: on models whose statistics and weights are known."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from bu_book import forgetting, forgetting_figures
from bu_book.measurements import Measurements
from bu_book.paper import table_1
from bu_core import measures
from bu_core.audits.channel_shift import shifted
from bu_core.audits.reestimation import reestimated
from bu_core.config import Config
from bu_core.data import LabelledImages, pixels
from bu_core.experiment.experiment import Experiment
from bu_core.models import Classifier, batchnorms, build
from bu_core.training import fit, predict
from bu_core.unlearning import METHODS, UnlearningTask
from tests.helpers import TOY_RECIPE, refusal, same_state, small_experiment


def statistics(model: Classifier) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(m.running_mean, m.running_var) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def weights(model: Classifier) -> dict[str, torch.Tensor]:
    return dict(model.named_parameters())


def accuracy(model: Classifier, data: LabelledImages) -> float:
    return (predict(model, data.images, "fp32").argmax(1) == data.labels).float().mean().item()


# --- the audit ------------------------------------------------------------------------------------------------------


def test_reestimated_statistics_are_those_of_the_images(task: UnlearningTask):
    images = task.split.remain_train.images
    found = reestimated(task.original, images, "fp32", batch_size=10_000)
    convolution, norm, _ = task.original.body[0]
    with torch.no_grad():
        seen = convolution((pixels(images) - 0.5) / 0.5)
    torch.testing.assert_close(found.body[0][1].running_mean, seen.mean((0, 2, 3)))
    torch.testing.assert_close(found.body[0][1].running_var, seen.var((0, 2, 3)))
    assert not torch.equal(norm.running_mean, found.body[0][1].running_mean), "the model that was given is left alone"


def test_every_batch_counts_alike(task: UnlearningTask):
    images = task.split.remain_train.images[:40]
    found = reestimated(task.original, images, "fp32", batch_size=10)
    parts = [reestimated(task.original, part, "fp32") for part in images.split(10)]
    means = torch.stack([statistics(part)[0][0] for part in parts])
    torch.testing.assert_close(statistics(found)[0][0], means.mean(0))


def test_reestimation_touches_no_weight_and_nothing_of_the_old_statistics_stays(task: UnlearningTask):
    spoilt = reestimated(task.original, torch.zeros_like(task.split.remain_train.images[:8]), "fp32")
    images = task.split.remain_train.images
    one, other = (reestimated(model, images, "fp32") for model in (task.original, spoilt))
    assert same_state(one, other)
    assert all(torch.equal(weight, weights(one)[name]) for name, weight in weights(task.original).items())
    assert not one.training
    assert [m.momentum for m in one.modules() if isinstance(m, nn.BatchNorm2d)] == [0.1] * len(statistics(one))


def test_a_model_without_running_statistics_is_unchanged(task: UnlearningTask):
    model = build("allcnn_groupnorm", 3, 4, 0.1, seed=0)
    assert same_state(model, reestimated(model, task.split.remain_train.images, "fp32"))


def test_the_audit_finds_a_class_that_only_the_statistics_hide(task: UnlearningTask):
    """Planted: at learning rate 0 the weights are the original's, so that what it knew must come back."""
    settings = forgetting.PARTS["statistics"] | {"epochs": 20}
    hidden = METHODS["boundary_shrink"](task, **settings)
    assert all(torch.equal(weight, weights(hidden)[name]) for name, weight in weights(task.original).items())
    forget, remain = task.split.forget_train, task.split.remain_train
    back = reestimated(hidden, remain.images, "fp32")
    before, after = accuracy(hidden, forget), accuracy(back, forget)
    assert before < 0.5 < 0.9 < after
    never = METHODS["retrain"](task)
    assert accuracy(reestimated(never, remain.images, "fp32"), forget) == 0, "Retrain is the control"


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


def test_the_parts_in_words_say_what_the_search_is_worth():
    def entry(forget: float, remain: float, explained: float | None = None) -> dict:
        return {"accuracy": {"forget_train": forget, "remain_train": remain}, "explained": explained}

    drifts = entry(10, 93, 90.0)
    methods = {
        "boundary_shrink": {"weights": entry(1, 98, 99.0), "both": entry(0, 97, 100.0)},
        "random_labels": {"weights": entry(2, 60, None), "both": entry(5, 95, 100.0)},
    }
    for found in methods.values():
        found |= {"statistics": drifts, "shift": entry(3, 80, 97.0)}
        found["weights"]["audited"], found["both"]["audited"] = 88.0, 77.0
    parts = {"original": entry(100, 99), "methods": methods}
    shrink, random, worth = forgetting_figures.parts_in_words(parts).split("\n")
    assert "from 100.00 % to 0.00 %" in shrink and "10.00 % (90 % of it)" in shrink and "1.00 % (99 % of it)" in shrink
    assert "audited, it recognises 77.00 %, and where weights alone moved 88.00 %." in shrink
    assert "2.00 % (nothing to explain)" in random
    assert shrink.endswith("no weight moved, 3.00 % (97 % of it).")
    assert "leave 1.00 % of $D_f$ and cost 1.00 points of $D_r$" in worth
    assert "leave 2.00 % and cost 39.00" in worth and worth.endswith("they cost 2.00 and 4.00.")
    del methods["random_labels"]
    assert "search" not in forgetting_figures.parts_in_words(parts)


def test_what_frozen_statistics_leave_is_said_of_a_methods_own_settings():
    def point(before: float, after: float, remain: float) -> dict:
        return {"before": {"forget_train": before, "remain_test": remain}, "after": {"forget_train": after}}

    points = [point(100, 100, 80), point(30, 99, 79), point(1, 98, 77.5)]
    curve = {"method": "boundary_shrink", "batchnorm": "frozen", "lr": 1e-5, "epsilon": 0.1, "points": points}
    others = [curve | {"lr": 1e-4}, curve | {"batchnorm": "train"}]
    metrics = {"config": {"unlearning": {"boundary_shrink": {"lr": 1e-5}, "boundary_expanding": {"lr": 1e-4}}}}
    expanding = curve | {"method": "boundary_expanding", "lr": 1e-4, "epsilon": None}
    assert forgetting_figures.frozen_in_words([*others, curve, expanding], metrics).splitlines()[2:] == [
        "- Boundary Shrink, reach 0.1: 1.0 % of $D_f$, -2.5 points of $D_{rt}$; after the audit 98.0 % of $D_f$.",
        "- Boundary Expanding: 1.0 % of $D_f$, -2.5 points of $D_{rt}$; after the audit 98.0 % of $D_f$.",
    ]
    assert forgetting_figures.frozen_in_words(others, metrics) == ""


def test_a_shift_that_was_planted_is_found_and_nothing_else_moves(task: UnlearningTask):
    original, images = task.original, task.split.remain_train.images[:50]
    before, moved = copy.deepcopy(original), copy.deepcopy(original)
    generator = torch.Generator().manual_seed(0)
    for layer in batchnorms(moved):
        drawn = torch.randn(layer.running_mean.shape, generator=generator)
        layer.running_mean += drawn * layer.running_var.sqrt() / 4
    found = shifted(original, moved, images, "fp32")
    for name, tensor in found.state_dict().items():
        torch.testing.assert_close(tensor, moved.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)
    assert same_state(original, before), "the original is left as it was"


def test_a_change_that_shifts_no_channel_is_not_taken_over(task: UnlearningTask):
    moved = copy.deepcopy(task.original)
    nn.init.normal_(
        moved.classifier.weight, generator=torch.Generator().manual_seed(0)
    )  # it comes after every BatchNorm layer
    found = shifted(task.original, moved, task.split.remain_train.images[:50], "fp32")
    for name, tensor in found.state_dict().items():
        torch.testing.assert_close(tensor, task.original.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)


# --- in an experiment -----------------------------------------------------------------------------------------------


ELSEWHERE = [{"model": "allcnn_groupnorm"}, {"width": 0.2, "epochs": 3, "lr": 0.05}, {"forget_class": 7}]
ELSEWHERE += [{"seed": 1, "precision": "bf16"}, {"seed": 1}]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"), elsewhere=ELSEWHERE)


def test_the_parts_are_those_of_the_method_with_other_settings(experiment: Experiment):
    found = Measurements(experiment).parts()
    assert set(found) == {"original", "retrain", "methods"}
    assert set(found["methods"]) == {"boundary_shrink", "boundary_expanding"}
    own = experiment.metrics()["methods"]
    for name, parts in found["methods"].items():
        assert set(parts) == {"statistics", "weights", "shift", "both"}
        assert parts["both"]["accuracy"] == own[name]["accuracy"]
        assert parts["both"]["attack"]["asr"] == own[name]["attack"]["asr"]
        if parts["both"]["explained"] is not None:
            assert parts["both"]["explained"] == 100
    one, other = (parts["statistics"]["accuracy"] for parts in found["methods"].values())
    assert one == other, "where no weight moves, the method does not matter"


def test_the_parts_that_move_weights_are_audited_on_the_most_images(experiment: Experiment):
    parts, forgotten = Measurements(experiment).parts()["methods"]["boundary_shrink"], experiment.split.forget_train
    for part, batchnorm in (("weights", "frozen"), ("both", "train")):
        model = experiment.changed("boundary_shrink", batchnorm=batchnorm).model("boundary_shrink")
        audited = reestimated(model, experiment.split.remain_train.images, experiment.precision)
        right = (predict(audited, forgotten.images, "fp32").argmax(1) == forgotten.labels).float().mean()
        assert parts[part]["audited"] == pytest.approx(100 * right.item(), abs=1), "another order sums otherwise"
    assert "audited" not in parts["statistics"] and "audited" not in parts["shift"]


def test_the_parts_repeated_are_those_of_an_experiment_with_that_class_or_seed(experiment: Experiment):
    own, *others = Measurements(experiment).parts_repeated()
    assert own["parts"] == Measurements(experiment).parts()["methods"]["boundary_shrink"]
    assert [(place["forget_class"], place["seed"]) for place in (own, *others)] == [("4", 0), ("7", 0), ("4", 1)]
    for place, change in zip(others, ({"forget_class": 7}, {"seed": 1}), strict=True):
        there = Experiment(Config.from_mapping(experiment.config.as_dict() | {"elsewhere": []} | change))
        assert place["parts"] == Measurements(there).parts()["methods"]["boundary_shrink"]
        assert place["original"]["accuracy"] == there.metrics()["methods"]["original"]["accuracy"]
        assert Measurements(there).parts_repeated() == []


def test_the_table_of_parts_over_places_holds_what_was_planted():
    def place(left: float, explained: float | None) -> dict:
        entry = {"accuracy": {"forget_train": left, "remain_test": 70 + left}, "explained": explained}
        original = {"accuracy": {"forget_train": 100, "remain_test": 90}}
        moved = entry | {"audited": 100 - left}
        return {"original": original, "parts": {"statistics": entry, "weights": moved, "shift": entry, "both": moved}}

    table = forgetting_figures.parts_over_table([place(10, 90), place(20, 80)]).data
    assert list(table.index) == ["statistics alone", "weights alone", "their shift alone", "both, as released"]
    weights = "15.00 ± 63.53", "10.00 to 20.00", "5.00 ± 63.53", "85.00 ± 63.53", "<b>85.00 ± 63.53</b>"
    assert tuple(table.loc["weights alone"]) == weights
    assert tuple(table.loc["their shift alone"]) == (*weights[:-1], "–")
    table = forgetting_figures.parts_over_table([place(10, 90), place(100, None)]).data
    assert set(table["forgetting explained, %"]) == {"–"}, "where one class has nothing to explain"


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


def test_elsewhere_begins_with_the_experiment_itself(experiment: Experiment):
    measurements = Measurements(experiment)
    own, parts, audit = measurements.elsewhere()[0], measurements.parts(), measurements.audit()["models"]
    assert (own["changed"], own["title"], own["forget_class"], own["seed"]) == ([], "allcnn, width 0.1", "4", 0)
    assert own["statistics"]["accuracy"] == parts["methods"]["boundary_shrink"]["statistics"]["accuracy"]
    for name in ("boundary_shrink", "boundary_expanding"):
        assert own["methods"][name] == {"before": audit[name]["before"], "after": audit[name]["after"][-1]}


@pytest.mark.parametrize("number", range(1, 1 + len(ELSEWHERE)))
def test_elsewhere_is_what_an_experiment_there_finds(experiment: Experiment, number: int):
    change = experiment.config.elsewhere[number - 1]
    found = Measurements(experiment).elsewhere()[number]
    assert found["changed"] == list(change)
    there = Experiment(Config.from_mapping(experiment.config.as_dict() | {"elsewhere": []} | dict(change)))
    accuracies = {name: entry["accuracy"] for name, entry in there.metrics()["methods"].items()}
    assert found["original"]["accuracy"] == accuracies["original"]
    for name, entry in found["methods"].items():
        assert entry["before"]["accuracy"] == accuracies[name]
    if "model" in change:
        assert found["statistics"] is None, "GroupNorm keeps none"
        assert all(entry["before"] == entry["after"] for entry in found["methods"].values())
    else:
        alone = there.changed("boundary_expanding", lr=0.0).outputs("boundary_expanding")
        assert found["statistics"]["accuracy"]["forget_train"] == measures.accuracy(alone["forget_train"])


def test_what_is_recognised_has_a_mean_over_classes_and_one_over_seeds(experiment: Experiment):
    own, *means_and_others = Measurements(experiment).recognised()
    means, others = means_and_others[:2], means_and_others[2:]
    assert [entry["model"] for entry in others] == [
        "allcnn_groupnorm, width 0.1", "allcnn, width 0.2, 3 epochs at lr 0.05", f"{own['model']}, bf16, seed 1",
    ]  # fmt: skip
    assert [mean["model"] for mean in means] == [f"{own['model']}, mean of 2 {unit}" for unit in ("classes", "seeds")]
    places = Measurements(experiment).elsewhere()
    for mean, place in zip(means, (places[3], places[5]), strict=True):
        assert "retrain" in own["methods"] and "retrain" not in mean["methods"]
        of_one = place["methods"]["boundary_shrink"]["before"]["accuracy"]["forget_train"]
        assert 2 * mean["methods"]["boundary_shrink"]["before"] == own["methods"]["boundary_shrink"]["before"] + of_one


def test_other_runs_in_words_hold_what_was_planted():
    def entry(forget: float, remain: float = 80) -> dict:
        return {"accuracy": {"forget_train": forget, "forget_test": forget, "remain_test": remain}}

    def place(
        title: str, changed: list[str], statistics: float | None, shrink: float, expanding: float, test: float = 90
    ) -> dict:
        left = {"boundary_shrink": entry(shrink, 78), "boundary_expanding": entry(expanding, 73.5)}
        return {
            "title": title, "changed": changed, "forget_class": str("forget_class" in changed),
            "seed": 8 if "seed" in changed else 7, "original": entry(100, test),
            "statistics": None if statistics is None else entry(statistics),
            "methods": {name: {"before": before, "after": before} for name, before in left.items()},
        }  # fmt: skip

    metrics = {
        "dataset": {"sizes": {"remain_test": 900, "forget_test": 100}},
        "config": {"seed": 7},
        "environment": {"precision": "bf16"},
    }
    places = [
        place("own", [], 10, 0, 5),
        place("frozen", ["model"], None, 40, 20),
        place("exact", ["precision"], 50, 0, 0, test=80),
        place("own", ["forget_class"], 20, 0, 5),
        place("longer", ["epochs"], 10, 0, 5),
        place("longer", ["epochs", "forget_class"], 20, 5, 0),
        place("own", ["seed"], 10, 0, 5, test=80),
        place("own", ["seed", "forget_class"], 90, 90, 90),
    ]
    words = forgetting_figures.elsewhere_in_words(places, metrics).splitlines()
    for line, said in zip(
        words,
        [
            ("**own**, over 2 classes", "85.0 ± 63.5 %", "(80.0 to 90.0 %)", "+5.00 ± 0.00 points", "is settled",
             "Audited, Shrink's models recognise 0.00 ± 0.00 % of $D_f$, Expanding's 5.00 ± 0.00 %."),
            ("**own**, over 2 seeds", "90.0 ± 0.0 %", "+5.00 ± 0.00 points", "is settled",
             "Audited, Shrink's models recognise 0.00 ± 0.00 % of $D_f$, Expanding's 5.00 ± 0.00 %."),
            ("**frozen**", "Shrink leaves 40.00 %", "costs 12.00 points", "Expanding leaves 20.00 %", "16.50 points"),
            ("**exact**", "50.0 %"),
            ("**longer**, over 2 classes", "+0.00 ± 63.53 points", "not settled"),
            ("91.00 % (seed 7, bf16)", "86.50 ± 57.18 % over 2 seeds, 82.00 % as *exact*"),
        ],
        strict=True,
    ):  # fmt: skip
        assert all(part in line for part in said), line
    table = forgetting_figures.elsewhere_table(places).data
    assert [model for model, _ in table.index] == ["own", "own", "own", "frozen", "exact", "longer", "longer"]
    means = [model for model, forgets in table.index if forgets == "mean of 2 classes"]
    assert means == ["own", "longer"]
    assert table.loc[("own", "mean of 2 classes"), "statistics alone, %"] == "15.00 ± 63.53 /<br>80.00 ± 0.00"
    assert table.loc[("own", "mean of 2 seeds"), "statistics alone, %"] == "10.00 ± 0.00 /<br>80.00 ± 0.00"
    each = forgetting_figures.each_place_table(places).data
    own = [("own", which) for which in ("False", "True", "False, seed 8", "True, seed 8")]
    assert list(each.index) == [*own, ("longer", "False"), ("longer", "True")]
    left = [10, 20, 10, 90, 10, 20]
    assert list(each["statistics alone, %"]) == [f"{value}.00 / 80.00" for value in left]
    assert forgetting_figures.each_place_table(places[:3]) is None


def test_the_nearest_training_is_the_one_with_the_papers_numbers():
    """Places that hold Table 1 itself, and one that lies 3 points beside it on training images and 1 on test images."""
    names = ("boundary_shrink", "boundary_expanding", "random_labels")
    published = {name: table_1("cifar10").accuracy[name] for name in ("original", *names)}

    def place(changed: list[str], beside: dict[str, float]) -> dict:
        found = {
            name: {"accuracy": {part: value + beside.get(part, 0) for part, value in accuracy.items()}}
            for name, accuracy in published.items()
        }
        return {
            "title": "here" if not changed else "there", "changed": changed, "original": found["original"],
            "methods": {name: {"before": found[name], "after": found[name]} for name in names},
        }  # fmt: skip

    metrics = {"config": {"epochs": 30, "lr": 0.1}, "dataset": {"name": "cifar10"}}
    own = place([], {"remain_train": -4, "forget_train": 2, "remain_test": 1, "forget_test": -1})
    others = [place(["epochs", "lr"], {}), place(["forget_class"], {"remain_train": 50})]
    words = forgetting_figures.trainings_in_words([own, *others], metrics).splitlines()
    assert len(words) == 2, "another class is no other training"
    assert words[0].startswith("- here, 30 epochs at lr 0.1: 3.00 points") and "1.00 on test images" in words[0]
    assert words[1].startswith("- there: 0.00 points") and "0.00 on test images" in words[1]
    table = forgetting_figures.trainings_table([own, *others], metrics).data
    assert list(table.columns) == ["Original", "Boundary Shrink", "Boundary Expanding", "Random Labels"]
    rows = table.xs("<i>D</i><sub>r</sub>")
    assert list(rows["Boundary Shrink"]) == ["99.24", "95.24", "99.24"]
    assert forgetting_figures.trainings_table([own, others[1]], metrics) is None
    assert forgetting_figures.trainings_in_words([own, others[1]], metrics) == ""
    assert forgetting_figures.other_trainings_in_words([own, others[1]]) == ""
    said = forgetting_figures.other_trainings_in_words([own, *others])
    assert "(*there*): Boundary Shrink 5.9 % and -1.7 points" in said


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("allcnn_groupnorm", "elsewhere='allcnn_groupnorm': must be a list of mappings"),
        ([{}], "elsewhere={}: must be a mapping with some of model, width, forget_class, seed, epochs"),
        ([{"momentum": 0}], "elsewhere='momentum': allowed: model, width, forget_class, seed, epochs, lr, precision"),
        ([{"precision": "auto"}], "elsewhere: precision='auto': allowed: fp32, bf16"),
        ([{"model": "allcn"}], "elsewhere: model='allcn': did you mean 'allcnn'?"),
        ([{"forget_class": 10}], "elsewhere: forget_class=10: digits has classes 0 to 9"),
        ([{"model": "resnet18"}], "elsewhere: width=0.1: resnet18 has one width"),
    ],
)
def test_an_elsewhere_that_cannot_be_is_refused(tmp_path: Path, wrong: object, message: str):
    assert refusal(small_experiment, tmp_path, elsewhere=wrong).startswith(message)


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
