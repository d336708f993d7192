"""Statistics and weights, each alone: on models whose statistics and weights are known, and on planted numbers."""

from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from bu_book.chapters import audit, what_forgets
from bu_book.chapters.what_forgets import (
    CODE_VARIANTS,
    COMPONENT_TITLES,
    COMPONENTS,
    EPSILONS,
    LEARNING_RATES,
    BoundariesAlone,
    BoundaryAlone,
    Component,
    Components,
    Curve,
    CurvePoint,
    Curves,
    Deepest,
    Mechanism,
    OfOneMethod,
    OfOneRun,
    RepeatedComponents,
    Swaps,
)
from bu_book.gaps import Gaps
from bu_book.measured import mechanism
from bu_book.measured.mechanism import (
    SWAPPED_ON,
    ClassStatistics,
    Depth,
    Returned,
    Source,
    Swap,
    SwappedInPart,
)
from bu_book.paper import RELEASED_LOG
from bu_book.variations import BOUNDARY_METHODS, TAKEN_APART, variations
from bu_core.audits.reestimation import reestimated
from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import evaluation as evaluate
from bu_core.experiment.metrics import metrics
from bu_core.experiment.record import NotRecorded
from bu_core.models import Classifier
from bu_core.training import predict
from bu_core.unlearning import METHODS, UnlearningTask
from tests.book import planted
from tests.book.notebooks import templates
from tests.book.planted import evaluation
from tests.helpers import small_experiment

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


# --- in an experiment -----------------------------------------------------------------------------------------------


def test_the_components_are_those_of_the_method_with_other_settings(experiment: Experiment):
    made, own = what_forgets.components(experiment), metrics(experiment).methods
    assert made.retrain is not None and made.retrain.accuracy == own["retrain"].accuracy
    assert made.original.accuracy == own["original"].accuracy
    assert set(made.methods) == set(made.whole) == {"boundary_shrink", "boundary_expanding"}
    for name, taken in made.methods.items():
        assert taken["both"].evaluation.accuracy == own[name].accuracy
        assert taken["both"].evaluation.attack.asr == own[name].attacks["own_outputs"].asr
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
    assert made.logged == {}, "the log is of other data"
    table = what_forgets.variants_table(replace(made, logged=RELEASED_LOG))
    own_table = what_forgets.variants_table(made)
    assert table is not None and own_table is not None and "log" not in own_table.to_html()
    log = [column for column in table.data.columns if "log" in column]
    assert table.data.loc[("Boundary Shrink", "PGD, reweighting"), log].tolist() == ["3.8", "79.7"]
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


def component(forget: float, remain: float, after: float | None = None) -> Component:
    return Component(evaluation(forget, remain), after)


SHRINK = {
    "statistics": component(10, 93), "weights": component(1, 98, 88.0),
    "shift": component(3, 80), "both": component(0, 97, 77.0),
}  # fmt: skip
RANDOM = SHRINK | {"weights": component(2, 60, 88.0), "both": component(5, 95, 77.0)}


def test_the_sentences_set_two_trainings_beside_each_other():
    methods = {"boundary_shrink": SHRINK, "random_labels": RANDOM}
    made = Components(evaluation(100, 99), None, methods, Gaps())
    words = templates("what_forgets")
    shrink, random, search = words.what_each_does(made).split("\n")
    assert "frozen, leaves 1.0 % of $D_f$ for 1.0 points on $D_{rt}$ (88.0 % after re-estimation)" in shrink
    assert "in training mode 0.0 % for 2.0 points (77.0 %)." in shrink
    assert "frozen, leaves 2.0 % of $D_f$ for 39.0 points" in random
    assert "nearest labels leave 1.0 % of $D_f$ for 1.0 points" in search and "random ones 2.0 %" in search
    assert "leaves 1.0 % of $D_f$ and costs 1.0 points" in words.as_the_text_has_it(made)
    assert "trains it, it leaves 0.0 % of $D_f$ and costs 2.0 points" in words.as_the_text_has_it(made)
    (shift, _) = words.how_the_weights_act(made).split("\n")
    assert "the weights 1.0 % of $D_f$ are left, with their offsets alone 3.0 %, and 88.0 %" in shift
    alone = Components(evaluation(100, 99), None, {"boundary_shrink": SHRINK}, Gaps())
    assert "random ones" not in words.what_each_does(alone)
    assert words.as_the_text_has_it(Components(evaluation(100, 99), None, {}, Gaps())) == ""


def test_the_table_of_repeated_components_holds_what_was_planted():
    def run(forget: float, number: int) -> OfOneRun:
        moved = component(forget, 70 + forget, 100 - forget)
        still = replace(moved, after_reestimation=None)
        taken = {"statistics": still, "weights": moved, "shift": still, "both": moved}
        return OfOneRun(str(number), 0, evaluation(100, 90), taken)

    table = what_forgets.repeated_table(RepeatedComponents([run(10, 1), run(20, 2)], Gaps()))
    assert table is not None
    rows = table.data.loc["2 classes"]
    assert list(rows.index) == list(COMPONENT_TITLES.values())
    weights = ["15.0 ± 63.5", "10.0 to 20.0", "5.0 ± 63.5", "<b>85.0 ± 63.5</b>"]
    assert [cell.replace("&nbsp;", " ") for cell in rows.loc["weights alone"]] == weights
    shift = [cell.replace("&nbsp;", " ") for cell in rows.loc["their shift alone"]]
    assert shift == [*weights[:-1], "<b>–</b>"]
    assert what_forgets.repeated_table(RepeatedComponents([run(10, 1)], Gaps())) is None


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


# --- swaps ----------------------------------------------------------------------------------------------------------


def swapped(forget: tuple[float, ...], **given: Any) -> OfOneMethod:
    """A swap with these accuracies on D_f, and on D_rt 80, 70, 75 and 78 %."""
    pairs = zip(forget, (80, 70, 75, 78), strict=True)
    made = Swap(*({"forget_train": float(each), "remain_test": float(other)} for each, other in pairs))
    default = {"method": "boundary_shrink", "model": "net", "forget_class": "deer", "seed": 0, "own": True}
    return OfOneMethod(**default | {"swap": made, "recorded": forget[3], "after_reestimation": 99.0} | given)


def test_the_swaps_are_of_every_method_that_goes_through_the_forgetting_data(experiment: Experiment):
    """And of every variation that keeps statistics: the network with GroupNorm has none to swap."""
    made = what_forgets.swaps(experiment)
    assert [(run.method, run.forget_class, run.seed) for run in made.runs] == [
        (method, *which) for which in (("4", 0), ("7", 0), ("4", 1)) for method in BOUNDARY_METHODS
    ]
    assert [run.method for run in made.own] == list(BOUNDARY_METHODS)
    own = metrics(experiment).methods
    for run in made.own:
        assert run.swap.both["forget_train"] == pytest.approx(own[run.method].accuracy["forget_train"])
    assert {which for _, which in made.over_several} == {
        f"allcnn, width 0.1, 2 {unit}" for unit in ("classes", "seeds")
    }
    figure = what_forgets.swap_bars(made)
    assert figure is not None and len(figure.axes[0].patches) == 5 * 2
    plt.close(figure)


def test_a_swap_that_is_not_recorded_is_named(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    what_forgets.swaps(experiment)
    monkeypatch.setattr(experiment.store, "refuse", NotRecorded)
    monkeypatch.setitem(SWAPPED_ON, "forget_train", 1)
    with pytest.raises(NotRecorded):
        what_forgets.swaps(experiment)


def test_the_table_of_swaps_has_shares_means_and_ranges():
    made = Swaps(
        [swapped((100, 10, 98, 6)), swapped((100, 20, 90, 0), own=False, forget_class="cat")], Gaps(["another"])
    )
    table = what_forgets.swap_table(made)
    assert table is not None
    share = table.data["share of the statistics, %"]
    assert share[("Boundary Shrink", "this run")] == "<b>96.8</b>"
    assert share[("Boundary Shrink", "net, 2 classes")].startswith("<b>90.9<br><small>85.0&nbsp;to&nbsp;96.8")
    lost = [column for column in table.data.columns if "points lost" in column]
    assert table.data.loc[("Boundary Shrink", "this run"), lost].tolist() == ["10.0", "5.0", "2.0"]
    assert "Not recorded: another." in table.to_html()
    assert what_forgets.swap_table(Swaps([], Gaps())) is None and what_forgets.swap_bars(Swaps([], Gaps())) is None


def test_the_sentences_on_swaps_hold_what_was_planted():
    words, made = templates("what_forgets"), Swaps([swapped((100, 10, 98, 6))], Gaps())
    said = words.by_swapping(made)
    assert "statistics do nearly all of Boundary Shrink's forgetting.**" in said
    assert "Shrink's statistics recognise 10.0 % of $D_f$" in said and "statistics 98.0 %" in said
    assert "cost 10.0 points, the weights 5.0, both 2.0." in words.each_swap(made)
    assert "For Boundary Shrink, moving both costs less than moving either alone: the weights" in words.each_swap(made)
    assert words.by_swapping(Swaps([swapped((100, 100, 100, 100))], Gaps())) == ""
    assert "forgets nothing here" in words.each_swap(Swaps([swapped((100, 100, 100, 100))], Gaps()))
    assert words.fitted_again(made) == ""
    elsewhere = Swaps([swapped((100, 10, 98, 6), recorded=6.04)], Gaps())
    assert "fitted again on another machine" in words.fitted_again(elsewhere)
    assert "On $D_f$ they differ by 0.04 points at most from the models" in words.fitted_again(elsewhere)
    two = Swaps([swapped((100, 0, 100, 0)), swapped((100, 50, 50, 0), seed=1, own=False)], Gaps())
    assert "net, 2 seeds: the statistics do 75.0 % on average, 50.0 to 100.0 %." in words.each_swap(two)
    assert [words.how_much(share) for share in (99.5, 95, 60, 20)] == ["all", "nearly all", "most", "less than half"]


def accuracy(forget: float, remain: float = 80) -> dict[str, float]:
    return {"forget_train": float(forget), "remain_test": float(remain)}


SOURCES = [
    Source("remaining", 100, 0.0, 0, accuracy(95)), Source("remaining", 1000, 0.0, 0, accuracy(98)),
    Source("unseen", 500, 0.0, 0, accuracy(97)), Source("mixed", 500, 0.1, 0, accuracy(90)),
    Source("mixed", 500, 1.0, 0, accuracy(3)), Source("classes", 500, 0.0, 1, accuracy(80)),
    Source("classes", 500, 0.0, 1, accuracy(90)), Source("noise", 500, 0.0, 0, accuracy(60, 40)),
]  # fmt: skip
MECHANISM = Mechanism(
    ("cat", "deer"),
    "deer",
    SwappedInPart(
        *(accuracy(each) for each in (100, 10, 90, 15, 89, 27)),
        [Depth(1, 1, accuracy(99)), Depth(2, 3, accuracy(92))],
    ),
    ClassStatistics([100.0, 90.0], [[14.0, 97.0], [95.0, 12.0]]),
    Returned(accuracy(6), SOURCES),
    Gaps(),
)
NOTHING = Mechanism(("cat", "deer"), "deer", None, None, None, Gaps())


def test_the_sentences_on_the_mechanism_hold_what_was_planted():
    words = templates("what_forgets")
    assert "**variances**: the original recognises 15.0 % of $D_f$ with Shrink's variances alone, 90.0 %" in (
        words.which_parts(MECHANISM)
    )
    assert (
        "last half of the layers take $D_f$ to 27.0 %, those of the first half to 89.0 %. No layer does it alone: "
        in (words.which_parts(MECHANISM))
    )
    assert "is lost. A class is recognised at 13.0 % with statistics of its own images (12 to 14 %), at 96.0 %" in (
        words.whose_statistics(MECHANISM)
    )
    said = words.from_which_images(MECHANISM)
    assert said.startswith("Re-estimated on 100 unlabelled images of the other classes, Boundary Shrink's model")
    assert "recognises 95.0 % of a sample of $D_f$; on" in said and "single other class 85.0 % on average" in said
    assert "class alone 3.0 %. After noise it recognises 60.0 % of $D_f$ and 40.0 % of" in said
    assert words.one_pass(MECHANISM).startswith("The class is hidden, not gone: after one pass over 100 unlabelled")
    assert "recognises 95.0 % of a sample" in words.one_pass(MECHANISM)
    alike = SwappedInPart(*(accuracy(each) for each in (100, 10, 92, 91, 89, 27)), [Depth(1, 1, accuracy(99))])
    assert words.by_scaling(replace(MECHANISM, parts=alike)).startswith("**Neither part forgets alone**")
    for write in (words.by_scaling, words.one_pass, words.which_parts, words.whose_statistics, words.from_which_images):
        assert write(NOTHING) == ""
    gone = replace(MECHANISM, returned=Returned(accuracy(6), [replace(SOURCES[0], accuracy=accuracy(7))]))
    assert words.one_pass(gone).startswith("After one pass over 100")


def test_the_tables_of_the_mechanism_hold_what_was_planted():
    parts, back = what_forgets.parts_table(MECHANISM), what_forgets.returned_table(MECHANISM)
    assert parts is not None and back is not None
    column = parts.data["<i>D</i><sub>f</sub>, %"]
    assert "at most 500 images of <i>D</i><sub>f</sub> and 250" in parts.to_html()
    assert column["variances alone"] == "15.0" and column["layers 2 to 3 alone"] == "92.0"
    column = back.data["<i>D</i><sub>f</sub>, %"]
    assert column["one other class"] == "85.0<br><small>80.0&nbsp;to&nbsp;90.0</small>"
    assert column["deer alone"] == "3.0" and column["10 % deer, the rest of <i>D</i><sub>r</sub>"] == "90.0"
    figure = what_forgets.class_map(MECHANISM)
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == ["100", "90", "14", "97", "95", "12"]
    assert {label.get_rotation() for label in figure.axes[0].get_yticklabels()} == {0.0}
    plt.close(figure)
    assert what_forgets.parts_table(NOTHING) is what_forgets.returned_table(NOTHING) is None
    assert what_forgets.class_map(NOTHING) is None


def test_the_mechanism_of_an_experiment_is_whole(experiment: Experiment):
    made = what_forgets.mechanism(experiment)
    assert made.parts is not None and made.by_class is not None and made.returned is not None
    assert made.gaps == Gaps() and made.forgotten == "4"
    bare = what_forgets.mechanism(experiment.variation(["retrain"]))
    assert (bare.parts, bare.by_class, bare.returned) == (None, None, None)


# --- without statistics ---------------------------------------------------------------------------------------------


def test_the_deepest_point_costs_no_more_than_the_budget():
    points = {0: accuracy(100, 80), 1: accuracy(40, 78.5), 10: accuracy(5, 60)}
    run = BoundaryAlone("net", "deer", 0, "boundary_shrink", 2.0, {1e-3: points, 1e-5: {0: points[0]}})
    assert run.deepest == Deepest(1e-3, 1, 40, 1.5)
    dear = replace(run, budget=0.5)
    assert dear.deepest is None, "the original, which costs nothing, is no result of the method"
    assert dear.deepest_at_any_cost == Deepest(1e-3, 10, 5, 20)
    made = BoundariesAlone([run], Gaps())
    table = what_forgets.boundary_alone_table(made)
    assert table is not None
    row = table.data.loc[("net, deer, seed 0", "Boundary Shrink")]
    assert row.tolist() == ["100.0&nbsp;/&nbsp;0.0", "5.0&nbsp;/&nbsp;20.0", "2.0", "<b>40.0</b> (lr 0.001, epoch 1)"]
    words = templates("what_forgets")
    assert words.by_the_boundary(made) == "Boundary Shrink, tried at 2 rates, leaves 40.0 %"
    other = replace(dear, method="boundary_expanding", curves={1e-3: points})
    both = BoundariesAlone([run, other], Gaps())
    assert words.by_the_boundary(both).endswith(
        "; Boundary Expanding, tried at one rate, leaves 5.0 %, but costs 20.0 points, more than the 0.5 allowed"
    )
    without = what_forgets.boundary_alone_table(both)
    assert without is not None and without.data.loc[("net, deer, seed 0", "Boundary Expanding")].iloc[-1] == "–"
    nothing = BoundariesAlone([], Gaps())
    assert words.at_no_more_cost({"this": nothing, "other": made}, {}).endswith(
        "BatchNorm:\n\n- **other**: Boundary Shrink, tried at 2 rates, leaves 40.0 %"
    )
    assert words.at_no_more_cost({"this": nothing}, {}).startswith("This run has no network without BatchNorm.")
    assert what_forgets.boundary_alone_table(BoundariesAlone([], Gaps())) is None


def test_networks_without_statistics_are_found_among_the_variations(experiment: Experiment):
    made = what_forgets.boundary_alone(experiment)
    assert [(run.model, run.method) for run in made.runs] == [
        ("allcnn_groupnorm, width 0.1", method) for method in BOUNDARY_METHODS
    ]
    for run in made.runs:
        assert set(run.curves) == {*LEARNING_RATES, experiment.config.unlearning[run.method]["lr"]}
        assert all(list(curve) == [0, 1, 2] for curve in run.curves.values())


def test_where_no_curve_is_recorded_the_last_epoch_is_shown(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    variations(experiment)
    monkeypatch.setattr(experiment.store, "refuse", NotRecorded)
    monkeypatch.setattr(mechanism, "REESTIMATED_ON_IN_A_CURVE", 1)
    made = what_forgets.boundary_alone(experiment)
    there = experiment.variation(BOUNDARY_METHODS, model="allcnn_groupnorm")
    assert [run.method for run in made.runs] == list(BOUNDARY_METHODS) and made.gaps.not_recorded
    for run in made.runs:
        (curve,) = run.curves.values()
        assert list(curve) == [0, 2] and curve[2] == evaluate(there, run.method).accuracy


def test_the_box_lists_what_there_is():
    box = templates("what_forgets").in_short("one", "", "two")
    assert box == "```{admonition} In short\n:class: tip\n- one\n- two\n```"
    assert "On CIFAR-10 they were." in templates("what_forgets").in_short("")


# --- claims 1 and 2 -------------------------------------------------------------------------------------------------


def run(shrink: float, expanding: float, **given: Any) -> Any:
    methods = {"boundary_shrink": evaluation(shrink, 98), "boundary_expanding": evaluation(expanding, 90)}
    return planted.variation(methods, original=evaluation(100, 99), **given)


def test_the_secondary_checks_are_of_this_run_and_of_each_other_training():
    made = planted.variations(
        run(5, 8), run(12, 11, model="longer", changed=("epochs",)), run(90, 0, changed=("forget_class",))
    )
    first, second = what_forgets.shrink_checks(made), what_forgets.expanding_checks(made)
    assert [check.holds for check in first] == [True, True, False, True]
    assert [check.holds for check in second] == [True, False], "Random Labels was not run"
    assert first[2].rule.startswith("as longer: Boundary Shrink's accuracy on D_f")


def test_the_claims_of_an_experiment_are_judged_on_its_own_numbers(experiment: Experiment):
    own = metrics(experiment).methods["boundary_shrink"].accuracy["forget_train"]
    (effect,) = what_forgets.shrink_forgets(experiment).primary
    assert own in effect.values.values()
