"""What forgetting costs: the methods timed against each other in one run, and how their time grows.

A timed run is the method alone: the search for labels included, evaluation left out, the device synchronised before
and after. The methods take turns, round after round, so that a slow minute of the machine falls on all of them. A
first round, in which everything warms up, is thrown away.

Retrain on CIFAR-10 takes hours on a CPU, and would be run five times. So a method whose run would take longer than
RUN_SECONDS is run on fewer images, whole batches of them, for as many epochs as ever, and its time multiplied by the
share that was left out: its steps are all alike. What it was run on stands beside the result. Where one whole Retrain
takes no longer than WHOLE_SECONDS, it is run as well, to show how good that estimate is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bu_core.data import LabelledImages
from bu_core.models import Classifier
from bu_core.training import Precision, Stopwatch
from bu_core.unlearning import METHODS, UnlearningTask

RUN_SECONDS = 1.0
WHOLE_SECONDS = 60.0

# The methods whose time goes into D_r. The others go through D_f alone, which is nine times smaller.
OVER_REMAINING = ("retrain", "finetune", "fisher", "amnesiac")

GROWING = ("boundary_shrink", "boundary_expanding")
BATCHES = (1, 2, 4, 8)  # of forgetting images, repeated where D_f holds fewer: time does not ask what they show
EPOCHS = (1, 2, 4, 8)
WIDTHS = (0.125, 0.25, 0.5, 1.0)
GROWTH_RUNS = 3  # a slope rests on four sizes, so each of them needs fewer rounds

PEAK_SIZE = {"cpu": 2048, "cuda": 8192}  # of the square matrices whose product shows what the machine can do
PEAK_RUNS = 5

# All that decides what is timed beside the methods and their data; a stored timing is found by it.
SETTINGS = {
    "run seconds": RUN_SECONDS,
    "whole seconds": WHOLE_SECONDS,
    "batches": BATCHES,
    "epochs": EPOCHS,
    "widths": WIDTHS,
    "peak size": PEAK_SIZE,
}

Methods = Mapping[str, Mapping[str, Any]]  # the settings of each method, by name


class Portion(NamedTuple):
    """A method on part of its data. `share`: how much of it that is, above 0 to 1."""

    task: UnlearningTask
    share: float


def portion(task: UnlearningTask, method: str, settings: Mapping[str, Any], batches: int) -> Portion:
    """The task with so many batches of the set that `method` goes through, and of the other set the same share."""
    sizes = {name: len(getattr(task.split, name)) for name in ("remain_train", "forget_train")}
    main = sizes["remain_train" if method in OVER_REMAINING else "forget_train"]
    main = min(main, settings.get("samples") or main)  # Fisher Forgetting may go through no more than these
    share = min(1.0, batches * task.recipe.batch_size / main)
    parts = {name: _first(getattr(task.split, name), max(1, round(share * size))) for name, size in sizes.items()}
    return Portion(replace(task, split=replace(task.split, **parts)), share)


def _first(data: LabelledImages, count: int) -> LabelledImages:
    """The first images of a set, repeated where there are not as many."""
    return data[torch.arange(count, device=data.labels.device) % len(data)]


def seconds(method: str, task: UnlearningTask, **settings: Any) -> float:
    """How long a method takes."""
    with Stopwatch(task.split.forget_train.images.device) as watch:
        METHODS[method](task, **settings)
    return watch.seconds


def measure(
    task: UnlearningTask, methods: Methods, runs: int, initial: Callable[[float], Classifier] | None
) -> dict[str, Any]:
    """Every number of this module; times are in seconds, ratios are medians over the rounds.

    `methods` holds Retrain, and the methods to be timed; `initial` makes an untrained model of a given width, None
    where the model has one width.

    - `runs`: how many rounds were timed.
    - `methods.<name>`: `seconds` with `median`, `low`, `high` and `runs`, for the whole data; `share`, the part of the
      data that each run went through; `speed_up`, Retrain's time over this one's; `whole`, the seconds of one run on
      the whole data, for Retrain where it is short enough, else None; `operations`, additions and multiplications of
      its convolutions and matrix products, for the whole data, and `floor`, the seconds they would take at the peak.
    - `peak`: operations per second of a large matrix product here, see there.
    - `search`, None unless both boundary methods are timed: `seconds` of Boundary Shrink's search for labels alone and
      the `share` it went through; `of_shrink`, what part of Boundary Shrink it is, in percent; Boundary Shrink's time
      over Boundary Expanding's, `shrink_over_expanding`, and the same if it searched anew `in_every_epoch`.
    - `growth`: see there.
    """
    works = {name: (name, dict(settings)) for name, settings in methods.items()}
    both = "boundary_shrink" in methods and "boundary_expanding" in methods
    if both:
        works["search"] = ("boundary_shrink", methods["boundary_shrink"] | {"epochs": 0})
    portions = {name: affordable(task, method, settings) for name, (method, settings) in works.items()}
    times = in_turns(
        {name: _work(method, portions[name].task, settings) for name, (method, settings) in works.items()}, runs
    )
    times = {name: taken / portions[name].share for name, taken in times.items()}
    top = peak(task.split.forget_train.images.device, task.recipe.precision)
    found = {name: {"seconds": _spread(times[name]), "share": portions[name].share} for name in works}
    for name, (method, settings) in works.items():
        count = operations(method, portion(task, method, settings, 1), settings)
        found[name] |= {"operations": count, "floor": count / top}
    for name, result in found.items():
        result["speed_up"] = _ratio(times["retrain"], times[name])
        result["whole"] = None
    if found["retrain"]["seconds"]["median"] <= WHOLE_SECONDS:
        found["retrain"]["whole"] = seconds("retrain", task)
    search = None
    if both:
        alone = found.pop("search")
        shares = _search(times, methods["boundary_shrink"]["epochs"])
        search = {"seconds": alone["seconds"], "share": alone["share"]} | shares
    growing = {name: settings for name, settings in methods.items() if name in GROWING}
    growths = growth(task, growing, runs, initial)
    return {"runs": runs, "methods": found, "search": search, "peak": top, "growth": growths}


def operations(method: str, part: Portion, settings: Mapping[str, Any]) -> float:
    """Additions and multiplications of a method on the whole data, counted on a part of it.

    Those of convolutions and matrix products, forward and backward: all others together are few beside them.
    """
    with _Counter() as counter:
        METHODS[method](part.task, **settings)
    return counter.total / part.share


class _Counter(TorchDispatchMode):
    """Adds up what torch's table of formulas says of each operation.

    torch's own FlopCounterMode hooks every module as well, and fails where a gradient is taken of the images.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if formula := flop_registry.get(function._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def peak(device: torch.device, precision: Precision) -> float:
    """Operations per second of the product of two large square matrices: the fastest of PEAK_RUNS."""
    size = PEAK_SIZE[device.type]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    taken = []
    for _ in range(PEAK_RUNS + 1):
        with Stopwatch(device) as watch:
            one @ other
        taken.append(watch.seconds)
    return 2 * size**3 / min(taken[1:])


def affordable(task: UnlearningTask, method: str, settings: Mapping[str, Any]) -> Portion:
    """The largest portion that takes no longer than RUN_SECONDS, after a run on the smallest, which also warms up."""
    taken = seconds(method, portion(task, method, settings, 1).task, **settings)
    return portion(task, method, settings, max(1, math.floor(RUN_SECONDS / taken)))


def in_turns(works: Mapping[Any, Callable[[], float]], runs: int) -> dict[Any, np.ndarray]:
    """The seconds of each of `works`, (runs,): all of them once, then all of them again, `runs` times."""
    rounds = [[work() for work in works.values()] for _ in range(runs)]
    return dict(zip(works, np.array(rounds).T, strict=True))


def _work(method: str, task: UnlearningTask, settings: Mapping[str, Any]) -> Callable[[], float]:
    return lambda: seconds(method, task, **settings)


def _search(times: Mapping[str, np.ndarray], epochs: int) -> dict[str, float]:
    shrink, expanding, search = (times[name] for name in ("boundary_shrink", "boundary_expanding", "search"))
    return {
        "of_shrink": 100 * _ratio(search, shrink),
        "shrink_over_expanding": _ratio(shrink, expanding),
        "in_every_epoch": _ratio(shrink + max(0, epochs - 1) * search, expanding),
    }


def _ratio(times: np.ndarray, others: np.ndarray) -> float:
    """The median over the rounds of one time over another: what slows a whole round down cancels out."""
    return float(np.median(times / others))


def _spread(times: np.ndarray) -> dict[str, Any]:
    return {
        "median": float(np.median(times)),
        "low": float(times.min()),
        "high": float(times.max()),
        "runs": times.tolist(),
    }


def growth(
    task: UnlearningTask, methods: Methods, runs: int, initial: Callable[[float], Classifier] | None
) -> dict[str, dict[str, Any]]:
    """The time of each method as D_f, the epochs and the model's width grow, one at a time.

    For each quantity, `images` in D_f, `epochs` and `width`: its `values`, and `methods.<name>` with `seconds`, the
    median of GROWTH_RUNS rounds (or `runs`, where that is less) at each value, and the `slope` of the line through the
    logarithms. What does not grow is one batch, one epoch, and the model's own width.
    """

    def work(method: str, batches: int = 1, epochs: int = 1, width: float | None = None) -> Callable[[], float]:
        forget = _first(task.split.forget_train, batches * task.recipe.batch_size)
        original = initial(width) if width else task.original
        resized = replace(task, split=replace(task.split, forget_train=forget), original=original)
        return _work(method, resized, methods[method] | {"epochs": epochs})

    grown = {
        "images": {count * task.recipe.batch_size: {"batches": count} for count in BATCHES},
        "epochs": {epochs: {"epochs": epochs} for epochs in EPOCHS},
        "width": {width: {"width": width} for width in WIDTHS if initial},
    }
    works = {
        (quantity, method, value): work(method, **size)
        for quantity, sizes in grown.items()
        for value, size in sizes.items()
        for method in methods
    }
    in_turns(works, 1)  # each size has kernels of its own, which have to warm up
    times = {key: float(np.median(taken)) for key, taken in in_turns(works, min(runs, GROWTH_RUNS)).items()}
    result = {}
    for quantity, sizes in ((quantity, sizes) for quantity, sizes in grown.items() if sizes):
        curves = {method: [times[quantity, method, value] for value in sizes] for method in methods}
        result[quantity] = {
            "values": list(sizes),
            "methods": {
                method: {"seconds": curve, "slope": slope(list(sizes), curve)} for method, curve in curves.items()
            },
        }
    return result


def slope(values: Sequence[float], times: Sequence[float]) -> float:
    """The exponent b of the power law times = a * values ** b that fits best: least squares between the logarithms."""
    return float(np.polyfit(np.log(values), np.log(times), 1)[0])
