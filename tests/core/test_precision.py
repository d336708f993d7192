"""Which arithmetic `auto` takes: what was faster when it was timed, once a machine."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from bu_core import precision
from bu_core.precision import Workload, decisions, faster
from bu_core.training import resolve_precision

CPU = torch.device("cpu")
WORK = Workload("allcnn", 0.05, (1, 8, 8), 4)


class Timed:
    """Steps that take a given time on a clock of their own."""

    def __init__(self, **seconds: float):
        self.now, self.seconds, self.order = 0.0, seconds, []

    def prepare(self, of: str, images: int) -> Callable[[], None]:
        def step() -> None:
            self.order.append(of)
            self.now += self.seconds[of]

        return step


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Timed]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def make(**seconds: float) -> Timed:
        steps = Timed(**seconds)
        monkeypatch.setattr(precision.time, "process_time", lambda: steps.now)
        return steps

    return make


@pytest.mark.parametrize(("bf16", "taken"), [(0.05, "bf16"), (0.09, "bf16"), (0.095, "fp32"), (0.2, "fp32")])
def test_bf16_is_taken_where_it_is_a_tenth_faster(timed: Callable[..., Timed], bf16: float, taken: str):
    steps = timed(fp32=0.1, bf16=bf16)
    assert faster(CPU, WORK, steps.prepare) == taken
    assert steps.order == ["fp32", "bf16"] * precision.ROUNDS
    (kept,) = decisions()
    assert (kept["precision"], kept["images"], kept["device"]) == (taken, 4, "cpu")
    assert kept["seconds"] == pytest.approx({"fp32": 0.1, "bf16": bf16})


def test_slow_steps_are_timed_once(timed: Callable[..., Timed]):
    steps = timed(fp32=10, bf16=5)
    assert faster(CPU, WORK, steps.prepare) == "bf16"
    assert steps.order == ["fp32", "bf16"]


def test_a_decision_is_kept_for_its_workload_alone(timed: Callable[..., Timed]):
    assert faster(CPU, WORK, timed(fp32=0.1, bf16=0.01).prepare) == "bf16"
    slower = timed(fp32=0.1, bf16=0.2)
    assert faster(CPU, WORK, slower.prepare) == "bf16"
    assert not slower.order
    for change in ({"model": "resnet18"}, {"width": 1.0}, {"shape": (3, 8, 8)}, {"batch_size": 5}):
        assert faster(CPU, Workload(**asdict(WORK) | change), slower.prepare) == "fp32"
    assert len(decisions()) == 5


@pytest.mark.filterwarnings("ignore::bu_core.store.DamagedArtefactWarning")
@pytest.mark.parametrize("content", ["", "{", "\xff"])
def test_a_damaged_decision_is_timed_anew(timed: Callable[..., Timed], tmp_path: Path, content: str):
    faster(CPU, WORK, timed(fp32=0.1, bf16=0.2).prepare)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(content.encode("latin-1"))
    assert not decisions()
    assert faster(CPU, WORK, timed(fp32=0.1, bf16=0.01).prepare) == "bf16"
    assert [kept["precision"] for kept in decisions()] == ["bf16"]


def test_a_cache_that_cannot_be_written_is_no_error(timed: Callable[..., Timed], monkeypatch, tmp_path: Path):
    steps = timed(fp32=0.1, bf16=0.01)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [faster(CPU, WORK, steps.prepare) for _ in range(2)] == ["bf16", "bf16"]
    assert decisions() == []


def test_what_cannot_be_timed_is_fp32(timed: Callable[..., Timed]):
    def prepare(of: str, images: int) -> Callable[[], None]:
        if of == "bf16":
            raise RuntimeError("no kernel")
        return lambda: None

    timed()
    assert faster(CPU, WORK, prepare) == "fp32"
    assert decisions()[0]["seconds"] is None


def test_a_real_step_is_timed_and_nothing_else_is_touched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    drawn, threads = torch.get_rng_state(), torch.get_num_threads()
    taken = resolve_precision("auto", CPU, WORK)
    (kept,) = decisions()
    assert kept["precision"] == taken
    assert kept["workload"]["batch_size"] == 4
    assert min(kept["seconds"].values()) > 0
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.get_num_threads() == threads
    assert [resolve_precision(asked, CPU, WORK) for asked in ("fp32", "bf16")] == ["fp32", "bf16"]
