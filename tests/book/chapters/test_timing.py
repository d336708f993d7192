"""Timing, on a machine whose speed is planted: no test here depends on how fast this one is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bu_book.chapters import timing
from bu_book.chapters.timing import BATCHES, EPOCHS, WIDTHS, in_turns, measure, portion, seconds, slope
from bu_book.measurements import Measurements
from bu_core.models import Classifier, build
from bu_core.unlearning import METHODS, UnlearningTask, method_settings
from tests.helpers import small_experiment


def initial(width: float) -> Classifier:
    return build("allcnn", 3, 4, width, seed=0)


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
        images = len(task.split.remain_train if method in timing.OVER_REMAINING else task.split.forget_train)
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
def test_the_time_of_a_part_gives_that_of_the_whole(task: UnlearningTask, speed: float, monkeypatch):
    """Where steps are all alike, whatever part was timed: D_r of 60 images, D_f of 20, in batches of 16."""
    monkeypatch.setattr(timing, "seconds", PlantedMachine(speed=speed))
    methods = settings("retrain", "finetune", "boundary_shrink", "boundary_expanding", epochs=5)
    found = measure(task, methods, 3, initial)
    expected = {"retrain": 240, "finetune": 300, "boundary_shrink": 110, "boundary_expanding": 100}  # 4 epochs, and 5
    for name, images in expected.items():
        result = found["methods"][name]
        assert result["seconds"]["runs"] == pytest.approx([images / speed] * 3)
        assert result["speed_up"] == pytest.approx(240 / images)
        assert (result["share"] == 1) == (speed > 1000)
    assert found["methods"]["retrain"]["whole"] == pytest.approx(240 / speed)
    assert found["search"]["seconds"]["median"] == pytest.approx(10 / speed)
    assert found["search"]["of_shrink"] == pytest.approx(100 / 11)
    assert found["search"]["shrink_over_expanding"] == pytest.approx(1.1)
    assert found["search"]["in_every_epoch"] == pytest.approx(1.5)


def test_a_long_retrain_is_not_run_whole(task: UnlearningTask, monkeypatch):
    machine = PlantedMachine(speed=1)
    monkeypatch.setattr(timing, "seconds", machine)
    assert measure(task, settings("retrain"), 2, initial)["methods"]["retrain"]["whole"] is None
    assert ("retrain", 60) not in machine.calls


def test_a_machine_that_slows_down_does_not_change_the_ratios(task: UnlearningTask, monkeypatch):
    monkeypatch.setattr(timing, "seconds", PlantedMachine(per_round=2))
    found = measure(task, settings("retrain", "finetune", epochs=2), 3, initial)["methods"]
    runs = {name: result["seconds"]["runs"] for name, result in found.items()}
    assert runs["retrain"] == pytest.approx([0.24 * 1.5**number for number in (1, 2, 3)])
    assert found["finetune"]["speed_up"] == pytest.approx(2)


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


def test_the_floor_is_the_operations_at_the_peak(task: UnlearningTask, monkeypatch):
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    monkeypatch.setattr(timing, "peak", lambda *_: 1e9)
    found = measure(task, settings("retrain", "boundary_shrink"), 1, initial)
    assert found["peak"] == 1e9
    for result in found["methods"].values():
        assert result["floor"] == pytest.approx(result["operations"] / 1e9)
        assert result["operations"] > 0


def test_a_product_of_matrices_is_no_faster_than_the_peak(monkeypatch):
    monkeypatch.setattr(timing, "PEAK_SIZE", {"cpu": 256})
    assert timing.peak(torch.device("cpu"), "fp32") > 1e8


def test_growth_finds_the_planted_slopes(task: UnlearningTask, monkeypatch):
    """Twice the images take twice as long; the width costs nothing on this machine, and of the epochs a part does."""
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    methods = settings("retrain", "boundary_shrink", "boundary_expanding", "random_labels")
    found = measure(task, methods, 2, initial)["growth"]
    assert found["images"]["values"] == [16 * count for count in BATCHES]
    assert found["epochs"]["values"] == list(EPOCHS)
    assert found["width"]["values"] == list(WIDTHS)
    for quantity, shrink, expanding in (("images", 1, 1), ("width", 0, 0), ("epochs", None, 1)):
        curves = found[quantity]["methods"]
        assert set(curves) == {"boundary_shrink", "boundary_expanding"}
        assert curves["boundary_expanding"]["slope"] == pytest.approx(expanding, abs=1e-9)
        if shrink is not None:
            assert curves["boundary_shrink"]["slope"] == pytest.approx(shrink, abs=1e-9)
    assert 0.7 < found["epochs"]["methods"]["boundary_shrink"]["slope"] < 1, "the search is not repeated"


def test_the_stopwatch_runs_while_the_method_does(task: UnlearningTask, monkeypatch):
    done: list[Any] = []
    monkeypatch.setitem(METHODS, "finetune", lambda task, **given: done.append((task, given)))
    assert seconds("finetune", task, epochs=3) >= 0
    assert done == [(task, {"epochs": 3})]


def test_nothing_but_retrain_can_be_timed_too(task: UnlearningTask):
    found = measure(replace(task, recipe=replace(task.recipe, epochs=1)), settings("retrain"), 1, initial)
    assert found["search"] is None
    assert found["growth"]["images"]["methods"] == {}


def test_a_timing_is_kept_for_the_machine_that_it_belongs_to(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(timing, "seconds", PlantedMachine())
    experiment = small_experiment(tmp_path, methods=("boundary_shrink", "boundary_expanding"))
    first = Measurements(experiment).timing()
    assert first["methods"].keys() == {"retrain", "boundary_shrink", "boundary_expanding"}
    assert first["environment"]["cpu"] == experiment.environment["cpu"]
    assert json.loads(json.dumps(first, allow_nan=False)) == first

    monkeypatch.setattr(timing, "seconds", PlantedMachine(speed=500))
    again = small_experiment(tmp_path, methods=("boundary_expanding", "boundary_shrink"))
    assert Measurements(again).timing() == first
    elsewhere = small_experiment(tmp_path, methods=("boundary_shrink", "boundary_expanding"))
    elsewhere.__dict__["environment"] = experiment.environment | {"cpu": "another"}
    other = Measurements(elsewhere).timing()
    assert other["methods"]["retrain"]["seconds"]["median"] == 2 * first["methods"]["retrain"]["seconds"]["median"]
