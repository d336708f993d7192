"""Which arithmetic is faster for a model: timed once a machine, and kept in the user's cache folder."""

import contextlib
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from .checks import SettingError
from .data.images import cache_folder
from .results import Artefact
from .store import Store, read_any

Precision = Literal["fp32", "bf16"]
Step = Callable[[], object]  # one training step, waited for

GAIN = 1.1  # bf16 must be this many times as fast as fp32; else the more exact arithmetic is kept
ROUNDS = 3  # steps in each arithmetic, in turn
ENOUGH = 1.0  # seconds after which no further round is begun


@dataclass(frozen=True)
class Workload:
    """What a training step consists of: a name in `models.MODELS`, its width, and a batch of images of `shape`.

    `shape` is (C, H, W); `batch_size` counts images.
    """

    model: str
    width: float
    shape: tuple[int, int, int]
    batch_size: int


def faster(device: torch.device, workload: Workload, prepare: Callable[[Precision, int], Step]) -> Precision:
    """`bf16` where a step takes at most 1 / GAIN of its time in `fp32`; as timed before on this machine, or now.

    `prepare(precision, images)` gives a step that has run before, and so pays for nothing that later steps do not.
    What cannot be timed, for example for want of a kernel, is `fp32`. Of two processes that ask at once, one times.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    key = {"workload": asdict(workload), "device": name, "processor": processor_name(), "torch": torch.__version__}

    def make() -> Artefact:
        return Artefact({}, _timed(name, workload, prepare))

    try:
        return Store(_folder(), "precision").get("step", key, make).facts["precision"]
    except SettingError:  # without a folder to write to, every process times for itself
        return make().facts["precision"]


def decisions() -> list[dict[str, Any]]:
    """What was decided on this machine: `workload`, `device` (`cpu` or the name of a GPU), `processor` and `torch`.

    And what was found: `precision`; and `seconds`, the median in each arithmetic of a step of so many `images`, on a
    CPU in one thread, both None where no step could be timed.
    """
    found = []
    for path in sorted(_folder().glob("*.safetensors")):
        with contextlib.suppress(ValueError):  # damaged
            key, made = read_any(path)
            found.append({**key, **made.facts})
    return found


def _folder() -> Path:
    return cache_folder() / "precision"


def processor_name() -> str:
    """The processor's model name, or its family where the system tells no more."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _timed(device: str, workload: Workload, prepare: Callable[[Precision, int], Step]) -> dict[str, Any]:
    """Which arithmetic is faster, and the `images` and `seconds` that it was told from.

    On a CPU the time is what one thread computes. It is the same whatever else the machine does, and so is the
    decision; the time that passes is not, and threads that wait for a busy core count as computing.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter
    height, width = workload.shape[1:]
    images, threads = workload.batch_size, torch.get_num_threads()
    rounds: list[dict[Precision, float]] = []
    try:
        if device == "cpu":  # whose time grows with the images, while a GPU needs a whole batch to be busy
            images = min(images, max(8, 2**11 // (height * width)))
            torch.set_num_threads(1)
        begun = clock()
        steps: dict[Precision, Step] = {precision: prepare(precision, images) for precision in ("fp32", "bf16")}
        while not rounds or (len(rounds) < ROUNDS and clock() - begun < ENOUGH):
            rounds.append({})
            for precision, step in steps.items():
                start = clock()
                step()
                rounds[-1][precision] = clock() - start
    except Exception:  # noqa: BLE001 - whatever a library says of a model or an arithmetic that it cannot do
        return {"precision": "fp32", "images": None, "seconds": None}
    finally:
        torch.set_num_threads(threads)
    seconds = {precision: statistics.median(of[precision] for of in rounds) for precision in steps}
    taken = "bf16" if seconds["bf16"] * GAIN <= seconds["fp32"] else "fp32"
    return {"precision": taken, "images": images, "seconds": seconds}
