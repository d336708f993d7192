"""Statistics and weights, each alone: on models whose statistics and weights are known, and on planted numbers."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from bu_book import claims
from bu_book.chapters import audit, what_forgets
from bu_book.chapters.what_forgets import (
    CODE_VARIANTS,
    COMPONENT_TITLES,
    COMPONENTS,
    EPSILONS,
    LEARNING_RATES,
    Component,
    Components,
    Curve,
    CurvePoint,
    Curves,
    OfOneRun,
    RepeatedComponents,
    Watcher,
)
from bu_book.claims import NOT_REPRODUCED, PARTLY, REPRODUCED
from bu_book.gaps import Gaps
from bu_book.paper import table_1
from bu_book.variations import TAKEN_APART, Variations
from bu_core.audits.reestimation import reestimated
from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import metrics
from bu_core.experiment.record import NotRecorded
from bu_core.models import Classifier, build
from bu_core.training import fit, predict
from bu_core.unlearning import METHODS, UnlearningTask
from tests.book import planted
from tests.book.notebooks import templates
from tests.book.planted import evaluation
from tests.helpers import TOY_RECIPE, same_state, small_experiment

CHANGES: list[dict[str, Any]] = [{"model": "allcnn_groupnorm"}, {"forget_class": 7}, {"seed": 1}]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"), elsewhere=CHANGES)


def statistics(model: Classifier) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(m.running_mean, m.running_var) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


# --- the methods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TAKEN_APART)
def test_frozen_statistics_stay_and_the_weights_move(task: UnlearningTask, name: str):
    moved = METHODS[name](task, **COMPONENTS["weights"] | {"lr": 0.01, "epochs": 1})
    for one, other in zip(statistics(moved), statistics(task.original), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    weights = dict(moved.named_parameters())
    assert any(not torch.equal(weight, weights[name]) for name, weight in task.original.named_parameters())


@pytest.mark.parametrize("name", TAKEN_APART)
def test_with_the_statistics_alone_no_weight_moves(task: UnlearningTask, name: str):
    drifted = METHODS[name](task, **COMPONENTS["statistics"] | {"epochs": 1})
    weights = dict(drifted.named_parameters())
    assert all(torch.equal(weight, weights[name]) for name, weight in task.original.named_parameters())
    assert not torch.equal(statistics(drifted)[0][0], statistics(task.original)[0][0])


@pytest.mark.parametrize("name", TAKEN_APART)
def test_the_watcher_sees_the_model_after_each_epoch_but_the_last(task: UnlearningTask, name: str):
    """What it sees after two epochs of four is what two epochs give, pruned where a neuron was added."""
    watcher = Watcher(task.original, lambda model: {k: v.clone() for k, v in model.state_dict().items()})
    METHODS[name](replace(task, checkpoint=watcher), epochs=4, lr=0.01)
    assert len(watcher.seen) == 3
    two = METHODS[name](task, epochs=2, lr=0.01).state_dict()
    assert watcher.seen[1].keys() == two.keys()
    assert all(torch.equal(watcher.seen[1][key], value) for key, value in two.items())


def test_a_watcher_changes_nothing_of_the_fit(task: UnlearningTask):
    watched, alone = build("allcnn", 3, 4, 0.1, seed=1), build("allcnn", 3, 4, 0.1, seed=1)
    watcher = Watcher(task.original, lambda model: predict(model, task.split.forget_test.images, "fp32"))
    fit(watched, task.split.remain_train, TOY_RECIPE, label="x", checkpoint=watcher)
    fit(alone, task.split.remain_train, TOY_RECIPE, label="x")
    assert same_state(watched, alone)


# --- in an experiment -----------------------------------------------------------------------------------------------


def test_the_components_are_those_of_the_method_with_other_settings(experiment: Experiment):
    made, own = what_forgets.components(experiment), metrics(experiment).methods
    assert made.retrain is not None and made.retrain.accuracy == own["retrain"].accuracy
    assert made.original.accuracy == own["original"].accuracy
    assert set(made.methods) == set(made.whole) == {"boundary_shrink", "boundary_expanding"}
    for name, taken in made.methods.items():
        assert taken["both"].evaluation.accuracy == own[name].accuracy
        assert taken["both"].evaluation.attack.asr == own[name].attacks["own_outputs"].asr
        assert taken["both"].explained in (100, None)
    one, other = (taken["statistics"].evaluation.accuracy for taken in made.methods.values())
    assert one == other, "where no weight moves, the method does not matter"


def test_where_weights_move_the_statistics_are_estimated_anew_on_the_most_images(experiment: Experiment):
    taken = what_forgets.components(experiment).methods["boundary_shrink"]
    forgotten = experiment.split.forget_train
    for component, batchnorm in (("weights", "frozen"), ("both", "train")):
        model = experiment.with_settings("boundary_shrink", batchnorm=batchnorm).model("boundary_shrink")
        again = reestimated(model, experiment.split.remain_train.images, experiment.precision)
        right = (predict(again, forgotten.images, "fp32").argmax(1) == forgotten.labels).float().mean()
        after = taken[component].after_reestimation
        assert after == pytest.approx(100 * right.item(), abs=1), "another order sums otherwise"
    assert taken["statistics"].after_reestimation is None and taken["shift"].after_reestimation is None


@pytest.mark.slow
def test_repeated_components_are_those_of_an_experiment_with_that_class_or_seed(experiment: Experiment):
    own, *others = what_forgets.repeated_components(experiment).runs
    assert own.components == what_forgets.components(experiment).methods["boundary_shrink"]
    assert [(run.forget_class, run.seed) for run in (own, *others)] == [("4", 0), ("7", 0), ("4", 1)]
    for run, change in zip(others, ({"forget_class": 7}, {"seed": 1}), strict=True):
        there = Experiment(Config.from_mapping(experiment.config.as_dict() | {"elsewhere": []} | change))
        assert run.components == what_forgets.components(there).methods["boundary_shrink"]
        assert run.original.accuracy == metrics(there).methods["original"].accuracy
        assert what_forgets.repeated_components(there).runs == []


def test_a_curve_starts_at_the_original_and_ends_at_the_model(experiment: Experiment):
    made = what_forgets.curves(experiment)
    assert all(len(curve.points) == 3 for curve in made.curves), "the original and two epochs"
    assert all(curve.points[0] == made.curves[0].points[0] for curve in made.curves)
    asked = {(curve.method, curve.batchnorm, curve.lr, curve.epsilon) for curve in made.curves}
    assert len(asked) == len(made.curves), "none is drawn twice"
    for mode in ("train", "frozen"):
        rates = {lr for method, batchnorm, lr, _ in asked if (method, batchnorm) == ("boundary_expanding", mode)}
        assert rates == set(LEARNING_RATES)
    epsilons = {each for method, mode, _, each in asked if (method, mode) == ("boundary_shrink", "frozen")}
    assert epsilons == set(EPSILONS)
    assert made.usual_epsilon == {"boundary_shrink": 0.1, "boundary_expanding": None}


def test_variants_differ_from_the_text_by_their_settings_alone(experiment: Experiment):
    made, own = what_forgets.code_variants(experiment), metrics(experiment).methods
    assert set(made.methods) == {"boundary_shrink", "boundary_expanding"}
    for name, variants in made.methods.items():
        assert list(variants) == list(CODE_VARIANTS[name])
        assert variants["as the text has it"].accuracy == own[name].accuracy
        assert variants["as the text has it"].seconds == own[name].seconds.median
    slow = what_forgets.varied({"lr": 0.01, "epochs": 3}, {"lr": 0.1, "search": "pgd"})
    assert slow == {"lr": pytest.approx(0.001), "epochs": 3, "search": "pgd"}


def test_a_curve_that_diverges_has_no_number(experiment: Experiment):
    """At a rate of 1e30 the weights are no numbers after an epoch, and an accuracy of them would mean nothing."""
    wild = experiment.with_settings("boundary_shrink", lr=1e30, batchnorm="frozen")
    points = what_forgets.forgetting_curve(wild, "boundary_shrink").points
    assert all(value == value for value in points[0].before.values())
    assert all(value != value for value in points[-1].before.values())
    curve = Curve("boundary_shrink", "frozen", 1e30, 0.1, points)
    assert [point.epoch for point in audit.survivors(Curves([curve], {}, Gaps()), 100, 100)] == [0]


def test_a_component_that_diverges_is_named_and_left_out(experiment: Experiment):
    wild = experiment.with_settings("boundary_shrink", lr=1e30)
    made = what_forgets.components(wild)
    assert set(made.methods["boundary_shrink"]) == {"statistics"}
    assert made.gaps.diverged == ["Boundary Shrink, weights alone", "Boundary Shrink, both, as in the released code"]
    assert "Diverged: Boundary Shrink, weights alone;" in what_forgets.components_table(made).to_html()


def test_what_is_not_recorded_is_named_and_the_rest_stays(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    what_forgets.measure(experiment)
    monkeypatch.setattr(experiment.store, "refuse", NotRecorded)
    shift = experiment.with_settings("boundary_shrink", **COMPONENTS["weights"])
    curve = experiment.with_settings("boundary_expanding", lr=LEARNING_RATES[0], batchnorm="frozen")
    for measured, there, model in (
        (what_forgets.channel_shift, shift, "boundary_shrink"),
        (what_forgets.forgetting_curve, curve, "boundary_expanding"),
    ):
        experiment.store.path(f"{measured.name}-{model}", measured.key(there, model)).unlink()
    taken = what_forgets.components(experiment)
    assert set(taken.methods["boundary_shrink"]) == {"statistics", "weights", "both"}
    assert list(taken.whole) == ["boundary_expanding"]
    assert taken.gaps.shown() == "Not recorded: Boundary Shrink, their shift alone."
    assert [run.forget_class + str(run.seed) for run in what_forgets.repeated_components(experiment).runs] == [
        "70",
        "41",
    ]
    assert what_forgets.curves(experiment).gaps.not_recorded == [
        "Boundary Expanding, statistics frozen, learning rate 1e-06"
    ]
    for path in experiment.store.folder.glob("forgetting_curve-*"):
        path.unlink()
    with pytest.raises(NotRecorded):
        what_forgets.curves(experiment)


def test_a_profile_without_the_two_methods_has_nothing_to_draw(experiment: Experiment):
    bare = experiment.variation(["retrain"])
    assert what_forgets.forgetting_curves(what_forgets.curves(bare)) is None
    assert what_forgets.epsilon_table(what_forgets.curves(bare)) is None
    assert what_forgets.variants_table(what_forgets.code_variants(bare)) is None
    assert what_forgets.repeated_table(what_forgets.repeated_components(bare)) is None
    assert what_forgets.components(bare).methods == {}


# --- planted numbers ------------------------------------------------------------------------------------------------


def component(forget: float, remain: float, explained: float | None, after: float | None = None) -> Component:
    return Component(evaluation(forget, remain), explained, after)


SHRINK = {
    "statistics": component(10, 93, 90.0), "weights": component(1, 98, 99.0, 88.0),
    "shift": component(3, 80, 97.0), "both": component(0, 97, 100.0, 77.0),
}  # fmt: skip
RANDOM = SHRINK | {"weights": component(2, 60, None, 88.0), "both": component(5, 95, 100.0, 77.0)}


def test_the_sentences_on_components_say_what_the_search_is_worth():
    methods = {"boundary_shrink": SHRINK, "random_labels": RANDOM}
    made = Components(evaluation(100, 99), None, methods, Gaps())
    shrink, random, worth = templates("what_forgets").what_each_does(made).split("\n")
    assert "from 100.00 to 0.00 %" in shrink
    assert "statistics alone take it to 10.00 % (90 % of what both together take)" in shrink
    assert "weights alone to 1.00 % (99 % of what both together take)" in shrink
    assert "with no weight moved, to 3.00 % (97 % of what both together take)" in shrink
    assert "recognises 77.00 % of $D_f$, and the model of which only weights moved 88.00 %." in shrink
    assert "2.00 % (nothing to explain)" in random
    assert "to 1.00 % at a cost of 1.00 points on $D_r$" in worth
    assert "to 2.00 % at a cost of 39.00 points on $D_r$" in worth and worth.endswith("cost 2.00 and 4.00 points.")
    alone = Components(evaluation(100, 99), None, {"boundary_shrink": SHRINK}, Gaps())
    assert "search" not in templates("what_forgets").what_each_does(alone)


def test_the_sentences_on_the_offset_follow_the_numbers():
    """Of Boundary Shrink the offset takes 97 of the 99 points that the weights take, of the other 30 of 60."""
    partly = SHRINK | {"weights": component(40, 98, 60.0, 60.0), "shift": component(70, 98, 30.0)}
    methods = {"boundary_shrink": SHRINK | {"weights": component(1, 98, 99.0, 95.0)}, "boundary_expanding": partly}
    made = Components(evaluation(100, 99), None, methods, Gaps())
    assert made.offset_share("boundary_shrink") == pytest.approx(100 * 97 / 99)
    mostly, other = templates("what_forgets").how_the_weights_act(made).split("\n")
    assert "the weights act mostly through a constant offset" in mostly and "98 % of what they take" in mostly
    assert "re-estimation removes their effect: the accuracy on $D_f$ is then 95.00 %" in mostly
    assert "the weights act only partly through" in other and "50 % of what they take" in other
    assert "re-estimation does not remove their effect: the accuracy on $D_f$ is then 60.00 %" in other


def test_the_table_of_repeated_components_holds_what_was_planted():
    def run(forget: float, explained: float | None, number: int) -> OfOneRun:
        moved = component(forget, 70 + forget, explained, 100 - forget)
        still = replace(moved, after_reestimation=None)
        taken = {"statistics": still, "weights": moved, "shift": still, "both": moved}
        return OfOneRun(str(number), 0, evaluation(100, 90), taken)

    table = what_forgets.repeated_table(RepeatedComponents([run(10, 90, 1), run(20, 80, 2)], Gaps()))
    assert table is not None
    rows = table.data.loc["2 classes"]
    assert list(rows.index) == list(COMPONENT_TITLES.values())
    assert rows.index[-1] == "both, as in the released code"
    weights = ["15.00 ± 63.53", "10.00 to 20.00", "5.00 ± 63.53", "85.00 ± 63.53", "<b>85.00 ± 63.53</b>"]
    assert [cell.replace("&nbsp;", " ") for cell in rows.loc["weights alone"]] == weights
    shift = [cell.replace("&nbsp;", " ") for cell in rows.loc["their shift alone"]]
    assert shift == [*weights[:-1], "<b>–</b>"]
    table = what_forgets.repeated_table(RepeatedComponents([run(10, 90, 1), run(100, None, 2)], Gaps()))
    assert table is not None
    assert set(table.data["forgetting explained, %"]) == {"–"}, "where one class has nothing to explain"
    assert what_forgets.repeated_table(RepeatedComponents([run(10, 90, 1)], Gaps())) is None


def test_what_frozen_statistics_lead_to_is_said_of_a_methods_own_settings():
    def point(before: float, after: float, remain: float) -> CurvePoint:
        return CurvePoint({"forget_train": before, "remain_test": remain}, {"forget_train": after})

    points = [point(100, 100, 80), point(30, 99, 79), point(1, 98, 77.5)]
    curve = Curve("boundary_shrink", "frozen", 1e-5, 0.1, points)
    others = [replace(curve, lr=1e-4), replace(curve, batchnorm="train")]
    own = {"boundary_shrink": 1e-5, "boundary_expanding": 1e-4}
    expanding = Curve("boundary_expanding", "frozen", 1e-4, None, points)
    write = templates("audit").with_frozen_statistics
    assert write(Curves([*others, curve, expanding], own, Gaps())).splitlines()[2:] == [
        r"- Boundary Shrink, step size $\epsilon$ = 0.1: 1.0 % of $D_f$, -2.5 points on $D_{rt}$; after re-estimation "
        "98.0 % of $D_f$.",
        "- Boundary Expanding: 1.0 % of $D_f$, -2.5 points on $D_{rt}$; after re-estimation 98.0 % of $D_f$.",
    ]
    assert write(Curves(others, own, Gaps())) == ""


# --- claims 1 and 2 -------------------------------------------------------------------------------------------------

PAPER = {name: dict(table_1("cifar10").accuracy[name]) for name in ("original", *TAKEN_APART)}


def verdicts(runs: Variations, forget: float = 5.94, lost: float = 0.73) -> list[claims.Judgement]:
    """The verdicts on the paper's own accuracies, but for Boundary Shrink's on D_f and what it costs on D_r."""
    recognised = {name: PAPER[name]["forget_train"] for name in TAKEN_APART}
    return [
        claims.verdict(what_forgets.shrink_forgets, what_forgets.shrink_checks(forget, lost, runs)),
        claims.verdict(what_forgets.expanding_between, what_forgets.expanding_checks(recognised, runs)),
    ]


def with_accuracy(shrink: float, expanding: float, **given: Any) -> Any:
    """A run in which these are the accuracies on D_f; the rest is the paper's."""
    forget = {"boundary_shrink": shrink, "boundary_expanding": expanding}
    made = {name: evaluation(0, **PAPER[name] | {"forget_train": value}) for name, value in forget.items()}
    return planted.variation(made, original=evaluation(0, **PAPER["original"]), **given)


@pytest.mark.parametrize("dataset", ["cifar10", "faces"])
def test_the_papers_own_numbers_reproduce_its_claims(dataset: str):
    accuracy = table_1(dataset).accuracy
    runs = planted.variations(with_accuracy(5, 8))
    lost = accuracy["original"]["remain_train"] - accuracy["boundary_shrink"]["remain_train"]
    recognised = {name: accuracy[name]["forget_train"] for name in TAKEN_APART}
    first = what_forgets.shrink_checks(recognised["boundary_shrink"], lost, runs)
    second = what_forgets.expanding_checks(recognised, runs)
    assert [check.holds for check in (*first, *second)] == [True] * 4


@pytest.mark.parametrize(
    ("forget", "lost", "verdict"), [(80, 60, NOT_REPRODUCED), (5.94, 60, PARTLY), (5.94, 2, REPRODUCED)]
)
def test_numbers_that_contradict_a_claim_do_not_reproduce_it(forget: float, lost: float, verdict: str):
    assert verdicts(planted.variations(with_accuracy(5, 8)), forget, lost)[0].verdict == verdict


@pytest.mark.parametrize(("differs", "unit"), [("forget_class", "classes"), ("seed", "seeds")])
@pytest.mark.parametrize(
    ("shrink", "expanding", "expected", "measured"),
    [
        ((5, 7, 9), (8, 11, 12), [REPRODUCED, REPRODUCED], "+3.33 ± 1.43 points"),
        ((5, 7, 9), (4, 8, 10), [REPRODUCED, PARTLY], "+0.33 ± 2.87 points"),
        ((11, 13, 9), (12, 14, 10), [PARTLY, REPRODUCED], "+1.00 ± 0.00 points"),
    ],
)
def test_the_claims_are_judged_on_all_classes_and_on_all_seeds(
    shrink: tuple[float, ...], expanding: tuple[float, ...], expected: list[str], measured: str, differs: str, unit: str
):
    runs = [
        with_accuracy(first, second, **{differs: number}, changed=(differs,) if number else ())
        for number, (first, second) in enumerate(zip(shrink, expanding, strict=True))
    ]
    runs.append(with_accuracy(90, 0, model="wide", changed=("width",)))
    first, second = verdicts(planted.variations(*runs))
    assert [first.verdict, second.verdict] == expected
    assert second.checks[-1].measured == measured
    assert first.checks[-1].measured == "0.73 ± 0.00 points"
    assert all(check.rule.startswith(f"over 3 {unit}: ") for check in (*first.checks[2:], *second.checks[2:]))


def test_the_claims_are_judged_on_another_training():
    runs = planted.variations(with_accuracy(5, 8), with_accuracy(12, 11, model="longer", changed=("epochs",)))
    first, second = verdicts(runs)
    assert [check.holds for check in first.checks] == [True, True, False, True]
    assert [check.holds for check in second.checks] == [True, True, False]
    assert (second.checks[2].rule, second.checks[2].measured) == (
        "as longer: Boundary Expanding's accuracy on D_f exceeds Boundary Shrink's", "-1.00 points",
    )  # fmt: skip


def test_the_claims_of_an_experiment_are_judged_on_its_own_numbers(experiment: Experiment):
    judged = claims.judge(what_forgets.shrink_forgets, experiment)
    own = metrics(experiment).methods
    assert judged.checks[0].measured == f"{own['boundary_shrink'].accuracy['forget_train']:.2f} %"
    assert [check.rule.partition(":")[0] for check in judged.checks[2::2]] == ["over 2 classes", "over 2 seeds"]
    without = claims.judge(what_forgets.expanding_between, experiment)
    assert (without.verdict, without.missing) == (claims.NOT_MEASURED, "the profile does not run random_labels")
