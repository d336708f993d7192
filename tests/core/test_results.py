"""Results as files: each class that can be a result comes back from the store as it was, and nothing is made up."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor

from bu_core.results import Artefact, Estimate, Kept, as_json, pack, unpack
from bu_core.store import Store

Half = Annotated[Tensor, Kept(torch.float32, recorded=torch.float16)]


@dataclass(frozen=True)
class Curve:
    steps: list[int]
    values: Half


@dataclass(frozen=True)
class Model:
    accuracy: dict[str, float]
    attack: Estimate
    curve: Curve | None
    note: str | None


@dataclass(frozen=True)
class Whole:
    models: dict[str, Model]
    by_class: dict[int, float]
    curves: list[Curve]
    weights: dict[str, Tensor]
    labels: Annotated[Tensor, Kept(torch.int64, recorded=torch.uint8)]
    mask: Tensor | None
    pair: tuple[float, ...]
    sampled: bool


CURVE = Curve([0, 1, 2], torch.tensor([1.0, 0.5, 0.25]))
WHOLE = Whole(
    models={
        "retrain": Model({"forget_train": 0.0}, Estimate(50.0, 40.5, 60.0), CURVE, "a note"),
        "finetune": Model({}, Estimate(None, None, None), None, None),
    },
    by_class={0: 1.5, 7: math.inf},
    curves=[CURVE, Curve([], torch.empty(0))],
    weights={"body.0.weight": torch.ones(2, 3), "bias": torch.arange(4)},
    labels=torch.tensor([3, 255]),
    mask=None,
    pair=(0.1, 0.2),
    sampled=True,
)


def through_files(folder: Path) -> Callable[[Artefact], Artefact]:
    """What the store gives back of an artefact, after it was written."""
    return lambda made: Store(folder / "store", "results_dir").get("whole", {}, lambda: made)


def same(one: Any, other: Any) -> bool:
    """Equal in type and value, tensors bit for bit."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return same(vars(one), vars(other)) if hasattr(one, "__dataclass_fields__") else one == other


@pytest.mark.parametrize("filed", [False, True], ids=["in memory", "through a file"])
def test_a_result_comes_back_as_it_was(tmp_path: Path, filed: bool):
    packed = pack(WHOLE)
    found = through_files(tmp_path)(packed) if filed else packed
    # a file holds its facts and tensors in the order of their names
    ordered = unpack(Whole, found.tensors, found.facts)
    restored = {name: ordered.models[name] for name in WHOLE.models}
    weights = {name: ordered.weights[name] for name in WHOLE.weights}
    assert set(ordered.models) == set(WHOLE.models)
    assert set(ordered.weights) == set(WHOLE.weights)
    for name, model in restored.items():
        assert same(model, WHOLE.models[name]), name
    assert same(weights, WHOLE.weights)
    for name in ("by_class", "curves", "labels", "mask", "pair", "sampled"):
        assert same(getattr(ordered, name), getattr(WHOLE, name)), name


def test_a_tensor_is_named_by_the_way_to_it():
    packed = pack(WHOLE)
    assert set(packed.tensors) == {
        "models.retrain.curve.values", "curves.0.values", "curves.1.values", "weights.body.0.weight", "weights.bias",
        "labels",
    }  # fmt: skip
    assert not any(isinstance(value, Tensor) for value in packed.facts.values())
    json.dumps(packed.facts)


def test_what_a_record_narrows_is_declared_by_the_class_and_read_back_in_its_own_dtype():
    packed = pack(WHOLE)
    assert packed.recorded == {
        "models.retrain.curve.values": "float16", "curves.0.values": "float16", "curves.1.values": "float16",
        "labels": "uint8",
    }  # fmt: skip
    narrowed = {
        name: tensor.to(getattr(torch, packed.recorded[name])) if name in packed.recorded else tensor
        for name, tensor in packed.tensors.items()
    }
    found = unpack(Whole, narrowed, packed.facts)
    assert found.labels.dtype == torch.int64
    assert found.labels.tolist() == [3, 255]
    assert found.curves[0].values.dtype == torch.float32


def test_an_estimate_is_three_numbers_under_its_fields_name():
    packed = pack(WHOLE.models["retrain"])
    assert {name: packed.facts[name] for name in ("attack", "attack_low", "attack_high")} == {
        "attack": 50.0, "attack_low": 40.5, "attack_high": 60.0
    }  # fmt: skip
    assert as_json(WHOLE.models["finetune"])["attack_low"] is None


def test_an_estimate_that_is_not_there_is_shown_as_a_dash():
    assert Estimate(None, None, None).shown(".1f") == "–"
    assert Estimate(50.06, 40, 60).shown(".1f") == "50.1"


def test_json_holds_everything_but_the_tensors():
    found = as_json(WHOLE)
    assert found["models"]["retrain"] == {
        "accuracy": {"forget_train": 0.0}, "attack": 50.0, "attack_low": 40.5, "attack_high": 60.0,
        "curve": {"steps": [0, 1, 2]}, "note": "a note",
    }  # fmt: skip
    assert "labels" not in found
    assert found["mask"] is None


@pytest.mark.parametrize("name", ["accuracy", "attack", "attack_low", "attack_high", "curve", "note"])
def test_a_field_that_is_missing_is_not_made_up(name: str):
    packed = pack(WHOLE.models["retrain"])
    facts = {field: value for field, value in packed.facts.items() if field != name}
    with pytest.raises(KeyError):
        unpack(Model, packed.tensors, facts)


@pytest.mark.parametrize("name", ["models.retrain.curve.values", "labels"])
def test_a_tensor_that_is_missing_is_not_made_up(name: str):
    packed = pack(WHOLE)
    tensors = {each: tensor for each, tensor in packed.tensors.items() if each != name}
    with pytest.raises(KeyError):
        unpack(Whole, tensors, packed.facts)


def test_a_tensor_that_may_be_none_is_either_there_or_none():
    with_mask = Whole(**vars(WHOLE) | {"mask": torch.tensor([True, False])})
    packed = pack(with_mask)
    assert unpack(Whole, packed.tensors, packed.facts).mask is not None
    without = {name: tensor for name, tensor in packed.tensors.items() if name != "mask"}
    with pytest.raises(KeyError):
        unpack(Whole, without, packed.facts)
