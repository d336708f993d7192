"""Which arithmetic is faster for a model: timed once a machine, and kept in the user's cache folder."""

import contextlib
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from filelock import FileLock

from .data.images import cache_folder
from .store import digest, write_json

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


@dataclass(frozen=True)
class Decision:
    """What is faster for a workload, with all that it depends on.

    `seconds` are those of a step of `images` images in each arithmetic, medians, on a CPU in one thread; both are None
    where no step could be timed. `device` is `cpu` or the name of a GPU, `processor` the CPU's.
    """

    workload: Workload
    device: str
    processor: str
    torch: str
    precision: Precision = "fp32"
    images: int | None = None
    seconds: dict[Precision, float] | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(self.precision)


def faster(device: torch.device, workload: Workload, prepare: Callable[[Precision, int], Step]) -> Precision:
    """`bf16` where a step takes at most 1 / GAIN of its time in `fp32`; as timed before on this machine, or now.

    `prepare(precision, images)` gives a step that has run before, and so pays for nothing that later steps do not.
    What cannot be timed, for example for want of a kernel, is `fp32`. Of two processes that ask at once, one times.
    """
    gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if gpu else device.type
    undecided = Decision(workload, name, processor_name(), torch.__version__)
    what = {field: asdict(undecided)[field] for field in ("workload", "device", "processor", "torch")}
    path = _folder() / f"{digest(what)}.json"
    with contextlib.ExitStack() as held:
        if not (known := _read(path)):
            with contextlib.suppress(OSError):  # without a folder to write to, every process times for itself
                path.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(FileLock(path.with_suffix(".lock")))
            known = _read(path)  # another process may have timed while this one waited
        if not known:
            known = _timed(undecided, prepare)
            with contextlib.suppress(OSError):
                write_json(path, asdict(known))
    return known.precision


def decisions() -> list[Decision]:
    """What was decided on this machine."""
    return [found for path in sorted(_folder().glob("*.json")) if (found := _read(path))]


def processor_name() -> str:
    """The processor's model name, or its family where the system tells no more."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _folder() -> Path:
    return cache_folder() / "precision"


def _read(path: Path) -> Decision | None:
    """The decision at `path`; None where there is none, or a damaged one."""
    try:
        found = json.loads(path.read_text())
        return Decision(**found | {"workload": Workload(**found["workload"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextlib.contextmanager
def _clock(device: str) -> Iterator[Callable[[], float]]:
    """A clock for steps on a device: on a CPU, the time that one thread computes.

    It is the same whatever else the machine does, and so is the decision; the time that passes is not, and threads that
    wait for a busy core count as computing.
    """
    threads = torch.get_num_threads()
    try:
        if device == "cpu":
            torch.set_num_threads(1)
        yield time.process_time if device == "cpu" else time.perf_counter
    finally:
        torch.set_num_threads(threads)


def _timed(undecided: Decision, prepare: Callable[[Precision, int], Step]) -> Decision:
    def seconds_of(step: Step) -> float:
        start = clock()
        step()
        return clock() - start

    height, width = undecided.workload.shape[1:]
    images = undecided.workload.batch_size
    if undecided.device == "cpu":  # whose time grows with the images, while a GPU needs a whole batch to be busy
        images = min(images, max(8, 2**11 // (height * width)))
    rounds: list[dict[Precision, float]] = []
    try:
        with _clock(undecided.device) as clock:
            start = clock()
            steps: dict[Precision, Step] = {precision: prepare(precision, images) for precision in ("fp32", "bf16")}
            while not rounds or (len(rounds) < ROUNDS and clock() - start < ENOUGH):
                rounds.append({precision: seconds_of(step) for precision, step in steps.items()})
    except Exception:  # noqa: BLE001 - whatever a library says of a model or an arithmetic that it cannot do
        return undecided
    seconds = {precision: statistics.median(of[precision] for of in rounds) for precision in steps}
    precision: Precision = "bf16" if seconds["bf16"] * GAIN <= seconds["fp32"] else "fp32"
    return replace(undecided, precision=precision, images=images, seconds=seconds)
