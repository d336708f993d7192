"""Timing, on a machine whose speed is planted: no test here depends on how fast this one is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bu_book.chapters import timing
from bu_book.chapters.timing import (
    GROWTH_BATCHES,
    GROWTH_EPOCHS,
    GROWTH_WIDTHS,
    Costs,
    MethodTime,
    SearchTime,
    Spread,
    Timing,
    fast_checks,
    in_turns,
    measure,
    portion,
    seconds,
    slope,
    slow_checks,
    slower_checks,
    timed_in_rounds,
)
from bu_book.claims import CLAIMS, NOT_REPRODUCED, PARTLY, REPRODUCED, CannotTest, judge, verdict
from bu_core.models import Classifier, build
from bu_core.results import pack, unpack
from bu_core.unlearning import METHODS, UnlearningTask, method_settings
from tests.helpers import small_experiment


def initial(width: float) -> Classifier:
    return build("allcnn", 3, 4, width, seed=0)


def timed(task: UnlearningTask, methods: dict[str, dict[str, Any]], rounds: int = 1) -> Timing:
    return timed_in_rounds(task, methods, rounds, initial, {"cpu": "planted"})


def settings(*methods: str, **changes: Any) -> dict[str, dict[str, Any]]:
    """The defaults of the methods, with the changes where a method has such a setting."""
    defaults = {name: method_settings(name, {}) for name in methods}
    return {name: own | {key: changes[key] for key in own.keys() & changes.keys()} for name, own in defaults.items()}


class PlantedMachine:
    """Takes the place of `timing.seconds`: a second for 1,000 images in one epoch, and half of that to search one.

    It slows down by a half every time that a round of `per_round` methods is over.
    """

    def __init__(self, per_round: int | None = None, speed: float = 1000):
        self.calls: list[tuple[str, int]] = []
        self.per_round, self.speed = per_round, speed

    def __call__(self, method: str, task: UnlearningTask, **settings: Any) -> float:
        images = len(getattr(task.split, f"{METHODS[method].goes_through}_train"))
        epochs = settings.get("epochs", task.recipe.epochs) + 0.5 * (method == "boundary_shrink")
        self.calls.append((method, images))
        slower = 1.5 ** ((len(self.calls) - 1) // self.per_round) if self.per_round else 1
        return images * epochs / self.speed * slower


@pytest.mark.parametrize(("factor", "exponent"), [(3.0, 1.0), (0.01, 2.0), (1e-6, 0.0), (5.0, -0.7)])
def test_the_slope_of_a_planted_power_law_is_its_exponent(factor: float, exponent: float):
    values = (1, 2, 4, 8, 100)
    assert slope(values, [factor * value**exponent for value in values]) == pytest.approx(exponent, abs=1e-9)


def test_the_slope_of_a_disturbed_power_law_is_that_of_its_middle():
    """Disturbances that are even about the middle of the logarithms leave the slope as it is."""
    times = [value * disturbance for value, disturbance in zip((1, 2, 4, 8), (1.2, 0.9, 0.9, 1.2), strict=True)]
    assert slope((1, 2, 4, 8), times) == pytest.approx(1)


@pytest.mark.parametrize(
    ("method", "given", "batches", "remain", "forget", "share"),
    [
        ("retrain", {}, 1, 16, 5, 16 / 60),
        ("finetune", {}, 3, 48, 16, 0.8),
        ("boundary_shrink", {}, 1, 48, 16, 0.8),
        ("boundary_expanding", {}, 2, 60, 20, 1),
        ("retrain", {}, 100, 60, 20, 1),
        ("fisher", {"samples": 20}, 1, 48, 16, 0.8),
        ("fisher", {"samples": 0}, 1, 16, 5, 16 / 60),
    ],
)
def test_a_portion_is_whole_batches_of_what_the_method_goes_through(
    task: UnlearningTask, method: str, given: dict, batches: int, remain: int, forget: int, share: float
):
    part = portion(task, method, given, batches)
    assert part.share == pytest.approx(share)
    assert (len(part.task.split.remain_train), len(part.task.split.forget_train)) == (remain, forget)
    assert part.task.split.remain_test is task.split.remain_test


def test_the_methods_take_turns():
    order: list[str] = []

    def work(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = in_turns({name: lambda name=name: work(name) for name in "abc"}, 3)
    assert order == list("abcabcabc")
    assert {name: times.tolist() for name, times in found.items()} == {"a": [1, 4, 7], "b": [2, 5, 8], "c": [3, 6, 9]}


@pytest.mark.parametrize("speed", [10, 40, 1e6], ids=["slow", "middling", "fast"])
def test_the_time_of_a_portion_gives_that_of_the_whole(
    task: UnlearningTask, speed: float, monkeypatch: pytest.MonkeyPatch
):
    """Where steps are all alike, whatever portion was timed: D_r of 60 images, D_f of 20, in batches of 16."""
    monkeypatch.setattr(timing, "seconds", PlantedMachine(speed=speed))
    methods = settings("retrain", "finetune", "boundary_shrink", "boundary_expanding", epochs=5)
    found = timed(task, methods, rounds=3)
    expected = {"retrain": 240, "finetune": 300, "boundary_shrink": 110, "boundary_expanding": 100}  # 4 epochs, and 5
    assert found.methods.keys() == expected.keys()
    for name, images in expected.items():
        result = found.methods[name]
        assert result.seconds.runs == pytest.approx([images / speed] * 3)
        assert result.speed_up == pytest.approx(240 / images)
        assert (result.share == 1) == (speed > 1000)
        assert result.whole == (pytest.approx(240 / speed) if name == "retrain" else None)
    assert found.search is not None
    assert found.search.seconds.median == pytest.approx(10 / speed)
    assert found.search.of_shrink == pytest.approx(100 / 11)
    assert found.search.shrink_over_expanding == pytest.approx(1.1)
    assert found.search.in_every_epoch == pytest.approx(1.5)


def test_a_long_retrain_is_not_run_whole(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    machine = PlantedMachine(speed=1)
    monkeypatch.setattr(timing, "seconds", machine)
    assert timed(task, settings("retrain"), rounds=2).methods["retrain"].whole is None
    assert ("retrain", 60) not in machine.calls


def test_a_machine_that_slows_down_does_not_change_the_ratios(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "seconds", PlantedMachine(per_round=2))
    found = timed(task, settings("retrain", "finetune", epochs=2), rounds=3).methods
    retrain = found["retrain"].seconds
    assert retrain.runs == pytest.approx([0.24 * 1.5**number for number in (1, 2, 3)])
    assert (retrain.low, retrain.median, retrain.high) == tuple(retrain.runs)
    assert found["finetune"].speed_up == pytest.approx(2)


def test_the_operations_are_those_of_the_layers(task: UnlearningTask):
    """Forward, and backward to weights and inputs, but not to the images: two operations a product, image by image."""
    model, size = task.original, 8
    products = []
    for block in list(model.body)[:8]:
        convolution = block[0]
        size = (size - 1) // convolution.stride[0] + 1
        products.append(convolution.weight.numel() * size**2)
    products.append(model.classifier.weight.numel())
    each = 2 * (3 * sum(products) - products[0])
    whole = portion(task, "finetune", {"epochs": 3}, 100)
    assert timing.operations("finetune", whole, {"epochs": 3, "lr": 0.1}) == 60 * 3 * each
    part = portion(task, "finetune", {"epochs": 3}, 1)
    assert part.share < 1
    assert timing.operations("finetune", part, {"epochs": 3, "lr": 0.1}) == pytest.approx(60 * 3 * each)


def test_the_floor_is_the_operations_at_the_peak(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    monkeypatch.setattr(timing, "peak", lambda *_: 1e9)
    found = timed(task, settings("retrain", "boundary_shrink"))
    assert found.peak == 1e9
    for result in found.methods.values():
        assert result.floor == pytest.approx(result.operations / 1e9)
        assert result.operations > 0


def test_a_product_of_matrices_is_no_faster_than_the_peak(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "PEAK_SIZE", {"cpu": 256})
    assert timing.peak(torch.device("cpu"), "fp32") > 1e8


def test_growth_finds_the_planted_slopes(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    """Twice the images take twice as long; the width costs nothing on this machine, and of the epochs not all grows."""
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    methods = settings("retrain", "boundary_shrink", "boundary_expanding", "random_labels")
    found = timed(task, methods, rounds=2).growth
    assert found["images"].values == [16 * count for count in GROWTH_BATCHES]
    assert found["epochs"].values == list(GROWTH_EPOCHS)
    assert found["width"].values == list(GROWTH_WIDTHS)
    for quantity, shrink, expanding in (("images", 1, 1), ("width", 0, 0), ("epochs", None, 1)):
        curves = found[quantity].methods
        assert set(curves) == {"boundary_shrink", "boundary_expanding"}
        assert curves["boundary_expanding"].slope == pytest.approx(expanding, abs=1e-9)
        if shrink is not None:
            assert curves["boundary_shrink"].slope == pytest.approx(shrink, abs=1e-9)
    assert 0.7 < found["epochs"].methods["boundary_shrink"].slope < 1, "the search is not repeated"


def test_a_model_of_one_width_has_no_growth_by_width(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    found = timed_in_rounds(task, settings("retrain", "boundary_shrink"), 1, None, {})
    assert found.growth.keys() == {"images", "epochs"}


def test_the_stopwatch_runs_while_the_method_does(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    done: list[Any] = []
    monkeypatch.setitem(METHODS, "finetune", lambda task, **given: done.append((task, given)))
    assert seconds("finetune", task, epochs=3) >= 0
    assert done == [(task, {"epochs": 3})]


def test_nothing_but_retrain_can_be_timed_too(task: UnlearningTask):
    found = timed(replace(task, recipe=replace(task.recipe, epochs=1)), settings("retrain"))
    assert found.search is None
    assert found.growth["images"].methods == {}


# --- a run --------------------------------------------------------------------------------------------------------


def test_a_timing_is_kept_for_the_machine_that_it_belongs_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    experiment = small_experiment(tmp_path, methods=("boundary_shrink", "boundary_expanding"))
    first = measure(experiment).timing
    assert first.methods.keys() == {"retrain", "boundary_shrink", "boundary_expanding"}
    assert first.environment["cpu"] == experiment.environment["cpu"]

    monkeypatch.setattr(timing, "seconds", PlantedMachine(speed=500))
    again = small_experiment(tmp_path, methods=("boundary_expanding", "boundary_shrink"))
    assert measure(again).timing == first
    other = small_experiment(tmp_path, methods=("boundary_shrink", "boundary_expanding"))
    other.__dict__["environment"] = experiment.environment | {"cpu": "another"}
    assert measure(other).timing.methods["retrain"].seconds.median == 2 * first.methods["retrain"].seconds.median


def test_a_timing_says_how_many_images_each_method_goes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Retrain 2 epochs of D_r, Finetune 3; Shrink 2 of D_f. Fisher has no epochs, and takes 113 images of D_r."""
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    experiment = small_experiment(
        tmp_path,
        methods=("retrain", "finetune", "boundary_shrink", "fisher"),
        unlearning={"finetune": {"epochs": 3}, "boundary_shrink": {"epochs": 2}, "fisher": {"samples": 113}},
    )
    found = measure(experiment)
    remain, forget = (len(experiment.outputs("original")[part].labels) for part in ("remain_train", "forget_train"))
    assert found.images == {"retrain": 2 * remain, "finetune": 3 * remain, "boundary_shrink": 2 * forget}
    assert found.fisher_share == 113 / remain
    assert found.recording is None
    assert found.search is None


def test_nothing_is_shown_of_a_method_that_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    experiment = small_experiment(tmp_path, unlearning={"boundary_expanding": {"epochs": 2, "lr": 1e30}})
    found = measure(experiment)
    assert found.diverged == ["boundary_expanding"]
    assert list(found.methods) == ["retrain", "boundary_shrink"]
    assert found.search is None
    assert "Boundary Expanding" not in timing.speed_ups(found)
    assert (
        judge(CLAIMS[8], experiment).missing == judge(CLAIMS[10], experiment).missing == "boundary_expanding diverged"
    )


# --- claims -------------------------------------------------------------------------------------------------------


def method_time(speed_up: float, spread: float = 0.0) -> MethodTime:
    """So many times faster than a Retrain of one second, each round within the `spread` of the median."""
    middle = 1 / speed_up
    return MethodTime(Spread(middle, (1 - spread) * middle, (1 + spread) * middle, [middle]), 1, speed_up, None, 1, 1)


def planted(
    expanding: float = 29.7,
    shrink: float = 4.8,
    fisher: float = 1.0,
    *,
    spread: float = 0.0,
    dataset: str = "cifar10",
    images: int = 27,
    fisher_share: float = 1.0,
    recording: float | None = 2.0,
) -> Costs:
    """Costs with these speed-ups over a Retrain that goes through so many times as many images as the others."""
    given = {"retrain": 1.0, "boundary_expanding": expanding, "boundary_shrink": shrink, "fisher": fisher}
    methods = {name: method_time(times, spread) for name, times in given.items()}
    search = SearchTime(methods["boundary_shrink"].seconds, 1, 10, expanding / shrink, 2 * expanding / shrink)
    counts = {"retrain": images, "boundary_expanding": 1, "boundary_shrink": 1}
    return Costs(dataset, Timing(1, methods, search, 1, {}, {}), counts, [], fisher_share, recording)


def test_the_papers_speed_ups_reproduce_its_claims():
    found = planted(expanding=29.7, shrink=4.8)
    assert verdict(CLAIMS[8], fast_checks(found)).verdict == REPRODUCED
    assert verdict(CLAIMS[10], slower_checks(found)).verdict == REPRODUCED


@pytest.mark.parametrize(("expanding", "shrink", "expected"), [(26.6, 11.7, REPRODUCED), (29.7, 4.8, PARTLY)])
def test_the_speed_ups_on_faces_are_those_on_faces(expanding: float, shrink: float, expected: str):
    found = planted(expanding, shrink, dataset="faces")
    assert verdict(CLAIMS[8], fast_checks(found)).verdict == expected


def test_a_speed_up_beyond_the_ratio_of_the_images_is_not_asked_for():
    """20 epochs of 9 classes against 10 of one: whatever the code, 18 times as many images."""
    with pytest.raises(CannotTest, match=r"18\.0 times"):
        fast_checks(planted(expanding=17, shrink=16, images=18))


def test_times_whose_ranges_overlap_are_not_told_apart():
    """Shrink took 0.95 times as long as Expanding."""
    apart = slower_checks(planted(expanding=19, shrink=20, spread=0.01))
    assert verdict(CLAIMS[10], apart).verdict == NOT_REPRODUCED
    with pytest.raises(CannotTest, match=r"overlap.*0\.95"):
        slower_checks(planted(expanding=19, shrink=20, spread=0.2))


@pytest.mark.parametrize(("share", "expected"), [(1.0, PARTLY), (0.1, REPRODUCED)])
def test_fisher_on_a_sample_is_judged_as_on_all_of_the_data(share: float, expected: str):
    """Half of Retrain's time; on a tenth of the data that is five times Retrain's on all of them."""
    assert verdict(CLAIMS[9], slow_checks(planted(fisher=2, fisher_share=share))).verdict == expected


def test_without_a_recording_its_cost_is_not_judged():
    with pytest.raises(CannotTest, match="no recording"):
        slow_checks(planted(recording=None))


# --- what is shown ------------------------------------------------------------------------------------------------


def test_the_tables_have_the_longest_first_and_the_papers_numbers():
    found = planted(expanding=20, shrink=10)
    table = timing.time_table(found).data
    assert list(table.index) == ["Retrain", "Fisher", "Boundary Shrink", "Boundary Expanding"]
    assert table.loc["Boundary Expanding", "times as fast as Retrain"] == "20"
    assert table["paper"].tolist() == ["–", "–", "4.8", "29.7"]
    assert timing.speed_ups(found)["Boundary Shrink"] == "10<br><small>paper: 4.8</small>"
    assert timing.speed_ups(planted(dataset="digits"))["Boundary Shrink"].endswith(
        "<small>paper, CIFAR-10: 4.8</small>"
    )


def test_the_figures_show_each_method_and_each_quantity(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    found = Costs("digits", timed(task, settings("retrain", "boundary_shrink")), {}, [], 1, None)
    bars = timing.time_per_method(found).axes[0]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["Retrain", "Boundary Shrink"]
    panels = timing.time_growth(found).axes
    assert [axes.get_xlabel() for axes in panels] == list(timing.GROWING.values())
    assert all(
        np.allclose(line.get_xdata(), values.values)
        for axes, values in zip(panels, (found.timing.growth[quantity] for quantity in timing.GROWING), strict=True)
        for line in axes.get_lines()
    )


def test_a_timing_comes_back_from_what_json_holds(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    found = timed(task, settings("retrain", "boundary_shrink", "boundary_expanding"))
    packed = pack(found)
    assert packed.tensors == {}
    assert unpack(Timing, {}, packed.facts) == found
    assert packed.facts["methods"]["retrain"]["seconds"].keys() == {"median", "low", "high", "runs"}
    assert packed.facts["growth"]["images"]["methods"]["boundary_shrink"].keys() == {"seconds", "slope"}
