"""A model from a file: it is the one in the file, its key is what the file holds, and what cannot be is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bu_core.experiment.experiment import Experiment
from bu_core.models import build
from tests.helpers import quick_config, refusal


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return build("allcnn", 1, 10, 0.1, seed=5).state_dict()


def experiment(folder: Path, file: Path) -> Experiment:
    given: dict[str, Any] = {"methods": ["file"], "unlearning": {"file": {"weights": str(file)}}}
    return Experiment(quick_config(folder / "results", **given))


def kept(state: dict[str, Any], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    else:
        torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_the_model_is_the_one_in_the_file(state: dict[str, torch.Tensor], name: str, tmp_path: Path):
    made = experiment(tmp_path, kept(state, tmp_path / name)).model("file").state_dict()
    assert made.keys() == state.keys()
    counters = {name for name in state if name.endswith("num_batches_tracked")}  # nothing reads them
    assert all(torch.equal(made[name], state[name]) for name in state.keys() - counters)


def test_it_is_found_by_what_the_file_holds(state: dict[str, torch.Tensor], tmp_path: Path):
    one, same = (kept(state, tmp_path / name) for name in ("one.safetensors", "same.safetensors"))
    other = kept(state | {"classifier.bias": torch.ones(10)}, tmp_path / "other.safetensors")
    keys = [experiment(tmp_path, file).key("file") for file in (one, same, other)]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"classifier.bias": torch.ones(7)}, "has 7 classes, and the data have 10"),
        ({"body.0.0.weight": torch.ones(4, 1, 3, 3)}, "has shape (4, 1, 3, 3), and this model's has (9, 1, 3, 3)"),
        ({"body.0.0.bias": torch.full((9,), torch.nan)}, "body.0.0.bias must hold finite numbers"),
        ({"body.0.0.bias": None}, "lacks body.0.0.bias"),
        ({"head.weight": torch.ones(1)}, "holds head.weight, which this model does not have"),
    ],
)
def test_weights_of_another_model_are_refused(
    state: dict[str, torch.Tensor], changes: dict[str, Any], says: str, tmp_path: Path
):
    given = {name: tensor for name, tensor in (state | changes).items() if tensor is not None}
    message = refusal(experiment, tmp_path, kept(given, tmp_path / "w.safetensors"))
    assert says in message
    assert message.startswith("unlearning.file.weights='")


def test_a_file_that_is_none_is_refused(tmp_path: Path):
    (tmp_path / "w.pt").write_bytes(b"nothing of the kind")
    assert "cannot be read" in refusal(experiment, tmp_path, tmp_path / "w.pt")
    assert "no such file" in refusal(experiment, tmp_path, tmp_path / "w.safetensors")
    asked = quick_config(tmp_path / "results", methods=["file"])
    assert refusal(Experiment, asked) == "unlearning.file.weights: must name a file, since methods names file"
