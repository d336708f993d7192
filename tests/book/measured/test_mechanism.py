"""Weights and statistics, one at a time: on models of which only one moved, and on numbers worked out by hand."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from bu_book.measured.mechanism import (
    DEPTHS,
    GIVEN,
    SEEN,
    Returned,
    Source,
    Swap,
    Watcher,
    class_statistics,
    forgetting_curve,
    recovered,
    returned,
    swap,
    swapped_in_part,
)
from bu_core import measures
from bu_core.audits.reestimation import reestimated
from bu_core.experiment.experiment import Experiment
from bu_core.measures import Outputs
from bu_core.models import build
from bu_core.training import fit, predict
from bu_core.unlearning import METHODS, UnlearningTask
from tests.constants import undeclared
from tests.helpers import TOY_RECIPE, same_state, small_experiment

SETS = ("forget_train", "remain_train", "remain_test")
NOTHING_MOVES = {"epochs": 2, "lr": 0.0}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    given: dict[str, Any] = {"unlearning": {"boundary_shrink": {"epochs": 2, "lr": 0.01}}, "epochs": 4}
    return small_experiment(tmp_path_factory.mktemp("results"), **given)


@pytest.mark.parametrize(
    ("swap_of", "share"), [((100, 10, 98, 6), 50 * (90 + 92) / 94), ((100, 0, 100, 0), 100), ((90, 90, 90, 90), None)]
)
def test_the_share_of_the_statistics_is_worked_out_by_hand(swap_of: tuple[float, ...], share: float | None):
    made = Swap(*({"forget_train": float(value), "remain_test": value / 2} for value in swap_of))
    assert made.statistics_share == (None if share is None else pytest.approx(share))
    assert made.lost(made.both) == (swap_of[0] - swap_of[3]) / 2


def test_where_no_weight_moves_the_statistics_do_it_all(experiment: Experiment):
    made = swap(experiment.with_settings("boundary_shrink", **NOTHING_MOVES), "boundary_shrink")
    assert made.statistics == made.both and made.weights == made.neither
    assert made.both["forget_train"] < made.neither["forget_train"] and made.statistics_share == 100


def test_where_no_statistic_moves_the_weights_do_it_all(experiment: Experiment):
    frozen = experiment.with_settings("boundary_shrink", batchnorm="frozen", lr=0.05)
    made = swap(frozen, "boundary_shrink")
    assert made.weights == made.both and made.statistics == made.neither
    assert made.both["forget_train"] < made.neither["forget_train"] and made.statistics_share == 0


def test_a_swap_holds_the_accuracy_of_the_original_and_of_the_method(experiment: Experiment):
    """The digits' D_f and D_rt are smaller than what a swap looks at, so these are the numbers of Table 1."""
    made = swap(experiment, "boundary_shrink")
    for name, found in (("original", made.neither), ("boundary_shrink", made.both)):
        outputs = experiment.outputs(name)
        assert set(found) == set(SETS)
        for part in ("forget_train", "remain_test"):
            assert found[part] == pytest.approx(measures.accuracy(outputs[part]))


def test_the_parts_of_the_statistics_lie_between_none_and_all(experiment: Experiment):
    made, whole = swapped_in_part(experiment, "boundary_shrink"), swap(experiment, "boundary_shrink")
    assert made.nothing["forget_train"] == whole.neither["forget_train"]
    assert made.everything["forget_train"] == whole.statistics["forget_train"]
    assert [(part.first, part.last) for part in made.by_depth] == [(layer, layer) for layer in range(1, DEPTHS + 1)]
    still = experiment.with_settings("boundary_shrink", batchnorm="frozen")
    same = swapped_in_part(still, "boundary_shrink")
    assert {frozenset(part.accuracy.items()) for part in same.by_depth} == {frozenset(same.nothing.items())}
    assert same.means == same.variances == same.first_half == same.last_half == same.everything == same.nothing


def test_the_statistics_of_a_class_are_those_of_its_images(experiment: Experiment):
    made = class_statistics(experiment)
    assert len(made.of_class) == len(made.own) == 10 and {len(row) for row in made.of_class} == {10}
    data, test = experiment.dataset.train, experiment.dataset.test
    again = reestimated(experiment.model("original"), data.images[data.labels == 3], "fp32")
    seen = test.images[test.labels == 8]  # fewer than are looked at of a class
    right = (predict(again, seen, "fp32").argmax(1) == 8).double().mean()
    assert made.of_class[3][8] == pytest.approx(100 * right.item(), abs=3), "sums in another order round otherwise"


def test_the_sources_of_a_return(experiment: Experiment):
    made = returned(experiment, "boundary_shrink")
    split = experiment.split
    assert [source.images for source in made.of("remaining")] == [min(n, len(split.remain_train)) for n in SEEN]
    assert len(made.of("classes", classes=1)) == 9 and len(made.of("classes", classes=2)) == 4
    assert made.of("digits") == [], "of digits there are no others"
    (half,) = made.of("mixed", share=0.5)
    assert half.images == 2 * len(split.forget_train)
    (noise,) = made.of("noise")
    assert noise.images == GIVEN
    (alone,) = made.of("mixed", share=1.0)
    again = reestimated(experiment.model("boundary_shrink"), split.forget_train.images, "fp32")
    outputs = Outputs(predict(again, split.forget_train.images, "fp32"), split.forget_train.labels)
    assert alone.accuracy["forget_train"] == pytest.approx(measures.accuracy(outputs), abs=1)


def test_another_data_set_lends_its_images_in_the_shape_of_ours(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(experiment, "dataset", replace(experiment.dataset, name="another"))
    (digits,) = returned.compute(experiment, "boundary_shrink").of("digits")
    assert digits.images == GIVEN and 0 <= digits.accuracy["remain_test"] <= 100


def test_a_source_is_found_by_what_it_is():
    one, two = (Source("classes", 500, 0.0, number, {"forget_train": 1.0}) for number in (1, 2))
    assert Returned({}, [one, two]).of("classes", classes=2) == [two]


@pytest.mark.parametrize("asked", [swap, swapped_in_part, class_statistics, returned, recovered, forgetting_curve])
def test_every_constant_that_decides_a_result_is_in_its_key(asked: Any):
    assert undeclared(asked) == set()


# --- looking at a fit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["boundary_shrink", "boundary_expanding", "random_labels"])
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
