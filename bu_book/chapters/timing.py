"""Timing: what does forgetting cost, and how does the cost grow? Figure 4, claims 8 to 10 (section 5.4).

A timed run is the method alone: the search for labels included, evaluation left out, the device synchronised before
and after. The methods take turns, round after round, so that a slow minute of the machine falls on all of them. A
first round, in which everything warms up, is thrown away.

Retrain on CIFAR-10 takes hours on a CPU, and would be run five times. So a method whose run would take longer than
RUN_SECONDS is run on fewer images, whole batches of them, for as many epochs as ever, and its time is divided by the
share of the data that it was run on. That is right for what each step costs, and too much for what a run costs once.
Where one whole Retrain takes no longer than WHOLE_SECONDS, it is run as well, to show how good the estimate is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from pandas.io.formats.style import Styler
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bu_core.data import LabelledImages
from bu_core.experiment.environment import Environment
from bu_core.experiment.experiment import Experiment, outputs
from bu_core.experiment.measurement import measurement
from bu_core.models import ONE_WIDTH, Classifier
from bu_core.training import Precision, Stopwatch
from bu_core.unlearning import METHODS, UnlearningTask

from ..claims import CannotTest, Check, at_least, claim, needs
from ..paper import speed_up
from ..style import GREY, PAPER, as_table, colour, number, three_digits, title

RUN_SECONDS = 1.0
WHOLE_SECONDS = 60.0

BOUNDARY = ("boundary_shrink", "boundary_expanding")  # whose growth is measured
GROWTH_BATCHES = (1, 2, 4, 8)  # of forgetting images, repeated where D_f holds fewer: time does not ask what they show
GROWTH_EPOCHS = (1, 2, 4, 8)
GROWTH_WIDTHS = (0.125, 0.25, 0.5, 1.0)
GROWTH_ROUNDS = 3  # a slope rests on four sizes, so each of them needs fewer rounds

PEAK_SIZE = {"cpu": 2048, "cuda": 8192}  # of the square matrices whose product shows what the machine can do
PEAK_ROUNDS = 5

# Images that the paper's runs on CIFAR-10 go through (section 5.1): 30 epochs of D_r against 10 of D_f.
PAPER_IMAGES = {"retrain": 30 * 45_000, "boundary_shrink": 10 * 5_000, "boundary_expanding": 10 * 5_000}

Methods = Mapping[str, Mapping[str, Any]]  # the settings of each method, by name
Initial = Callable[[float], Classifier]  # makes an untrained model of a given width


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """The seconds that a method takes on the whole data: of each round in `runs`, and the median, least and most."""

    median: float
    low: float
    high: float
    runs: list[float]


@dataclass(frozen=True)
class MethodTime:
    """What one method costs.

    `share`: of the data that each run went through, above 0 to 1. `speed_up`: Retrain's time over this one's, the
    median of the rounds. `whole`: the seconds of one run on the whole data, for Retrain where it is short enough, else
    None. `operations`: additions and multiplications of its convolutions and matrix products, for the whole data.
    `floor`: the seconds that these would take at the machine's peak.
    """

    seconds: Spread
    share: float
    speed_up: float
    whole: float | None
    operations: float
    floor: float


@dataclass(frozen=True)
class SearchTime:
    """What Boundary Shrink's search for labels costs; ratios are medians of the rounds.

    `seconds` of the search alone, and the `share` of the data that it went through; `of_shrink`, how much of Boundary
    Shrink's time it is, in percent; `shrink_over_expanding`, Boundary Shrink's time over Boundary Expanding's, and the
    same if it searched anew `in_every_epoch`.
    """

    seconds: Spread
    share: float
    of_shrink: float
    shrink_over_expanding: float
    in_every_epoch: float


@dataclass(frozen=True)
class Curve:
    """The median `seconds` of a method at each size, and the `slope` of the line through the logarithms."""

    seconds: list[float]
    slope: float


@dataclass(frozen=True)
class Growth:
    """How the time of `methods` grows with one quantity, at each of its `values`."""

    values: list[float]
    methods: dict[str, Curve]


@dataclass(frozen=True)
class Timing:
    """The methods timed against each other in so many rounds (`runs`), Retrain among them.

    `search`: None unless both boundary methods are timed. `peak`: operations a second of a large matrix product.
    `growth`: by quantity, `images` in D_f, `epochs` and `width`; see `growth`. A time belongs to the `environment`.
    """

    runs: int
    methods: dict[str, MethodTime]
    search: SearchTime | None
    peak: float
    growth: dict[str, Growth]
    environment: Environment


@dataclass(frozen=True)
class Costs:
    """All that this chapter shows of a run on the data set of this name.

    `images`: by method, how many images it goes through in all its epochs, of those that have epochs. `diverged`: the
    models of which nothing is shown. `fisher_share`: on how much of D_r Fisher's information is measured, above 0 to 1.
    `recording`: the time of the original's training with Amnesiac's recording, in times of that without; None where
    nothing was recorded.
    """

    dataset: str
    timing: Timing
    images: dict[str, int]
    diverged: list[str]
    fisher_share: float
    recording: float | None

    @property
    def retrain(self) -> MethodTime:
        """What the others are compared with."""
        return self.timing.methods["retrain"]

    @property
    def methods(self) -> dict[str, MethodTime]:
        """The timed methods that did not diverge, the longest first."""
        kept = {name: found for name, found in self.timing.methods.items() if name not in self.diverged}
        return dict(sorted(kept.items(), key=lambda entry: -entry[1].seconds.median))

    @property
    def search(self) -> SearchTime | None:
        """What the search costs; None unless both boundary methods were timed and did not diverge."""
        return self.timing.search if not set(BOUNDARY) & set(self.diverged) else None


def measure(experiment: Experiment) -> Costs:
    """The timing of a run, and what its times are to be compared with."""
    config, timed = experiment.config, _timed(experiment)
    sizes = {part: len(said.labels) for part, said in experiment.outputs("original").items()}
    epochs = {"retrain": config.epochs}
    epochs |= {name: settings["epochs"] for name, settings in timed.items() if "epochs" in settings}
    recording = outputs(experiment, "amnesiac").made.recording if "amnesiac" in config.methods else None
    return Costs(
        dataset=experiment.dataset.name,
        timing=timing(experiment, config.timing_runs),
        images={name: count * sizes[_set_of(name)] for name, count in epochs.items()},
        diverged=[name for name in experiment.names if name not in experiment.sound],
        fisher_share=min(config.unlearning["fisher"]["samples"] or math.inf, sizes["remain_train"])
        / sizes["remain_train"],
        recording=1 + recording["seconds"] / recording["training_seconds"] if recording else None,
    )


def _timed(experiment: Experiment) -> dict[str, Mapping[str, Any]]:
    """The methods to be timed, with their settings: Retrain even where it is none of the run's own."""
    config = experiment.config
    return {name: config.unlearning[name] for name in dict.fromkeys(("retrain", *config.methods))}


def _set_of(method: str) -> str:
    """The set that decides how long a method takes."""
    return f"{METHODS[method].goes_through}_train"


@measurement(
    of=lambda experiment: ("original", *sorted(_timed(experiment))),
    constants=lambda: {
        "run_seconds": RUN_SECONDS,
        "whole_seconds": WHOLE_SECONDS,
        "batches": GROWTH_BATCHES,
        "epochs": GROWTH_EPOCHS,
        "widths": GROWTH_WIDTHS,
        "growth_rounds": GROWTH_ROUNDS,
        "peak_size": PEAK_SIZE,
        "peak_rounds": PEAK_ROUNDS,
    },
    timed=True,
)
def timing(experiment: Experiment, rounds: int) -> Timing:
    """The methods of a run, timed against each other."""
    task, timed = experiment.task(), _timed(experiment)
    if "amnesiac" in timed:
        task.recorded(timed["amnesiac"]["window"])  # recording is a part of the original's training
    initial = None if experiment.config.model in ONE_WIDTH else experiment.initial
    return timed_in_rounds(task, timed, rounds, initial, experiment.environment)


def timed_in_rounds(
    task: UnlearningTask, methods: Methods, rounds: int, initial: Initial | None, environment: Environment
) -> Timing:
    """Time `methods`, Retrain among them; `initial` is None where the model has one width."""
    works = {name: (name, dict(settings)) for name, settings in methods.items()}
    both = set(BOUNDARY) <= set(methods)
    if both:
        works["search"] = ("boundary_shrink", dict(methods["boundary_shrink"]) | {"epochs": 0})
    portions = {name: affordable(task, method, settings) for name, (method, settings) in works.items()}
    taken = in_turns(
        {name: _work(method, portions[name].task, settings) for name, (method, settings) in works.items()}, rounds
    )
    times = {name: seconds_taken / portions[name].share for name, seconds_taken in taken.items()}
    top = peak(task.split.forget_train.images.device, task.recipe.precision)
    found = {}
    for name, settings in methods.items():
        count = operations(name, portion(task, name, settings, 1), settings)
        found[name] = MethodTime(
            seconds=_spread(times[name]),
            share=portions[name].share,
            speed_up=_ratio(times["retrain"], times[name]),
            whole=None,
            operations=count,
            floor=count / top,
        )
    if found["retrain"].seconds.median <= WHOLE_SECONDS:
        found["retrain"] = replace(found["retrain"], whole=seconds("retrain", task))
    search = None
    if both:
        search = _search(times, portions["search"].share, methods["boundary_shrink"]["epochs"])
    growing = {name: settings for name, settings in methods.items() if name in BOUNDARY}
    return Timing(rounds, found, search, top, growth(task, growing, rounds, initial), environment)


def seconds(method: str, task: UnlearningTask, **settings: Any) -> float:
    """How long a method takes."""
    with Stopwatch(task.split.forget_train.images.device) as watch:
        METHODS[method](task, **settings)
    return watch.seconds


def in_turns(works: Mapping[Any, Callable[[], float]], rounds: int) -> dict[Any, np.ndarray]:
    """The seconds of each of `works`, (rounds,): all of them once, then all of them again, `rounds` times."""
    taken = [[work() for work in works.values()] for _ in range(rounds)]
    return dict(zip(works, np.array(taken).T, strict=True))


def _work(method: str, task: UnlearningTask, settings: Mapping[str, Any]) -> Callable[[], float]:
    return lambda: seconds(method, task, **settings)


class Portion(NamedTuple):
    """A method on a share of its data, above 0 to 1."""

    task: UnlearningTask
    share: float


def portion(task: UnlearningTask, method: str, settings: Mapping[str, Any], batches: int) -> Portion:
    """The task with so many batches of the set that `method` goes through, and of the other set the same share."""
    sizes = {name: len(getattr(task.split, name)) for name in ("remain_train", "forget_train")}
    whole = sizes[_set_of(method)]
    whole = min(whole, settings.get("samples") or whole)  # Fisher Forgetting may go through no more than these
    share = min(1.0, batches * task.recipe.batch_size / whole)
    fewer: dict[str, Any] = {
        name: _first(getattr(task.split, name), max(1, round(share * size))) for name, size in sizes.items()
    }
    return Portion(replace(task, split=replace(task.split, **fewer)), share)


def _first(data: LabelledImages, count: int) -> LabelledImages:
    """The first images of a set, repeated where there are not as many."""
    return data[torch.arange(count, device=data.labels.device) % len(data)]


def affordable(task: UnlearningTask, method: str, settings: Mapping[str, Any]) -> Portion:
    """The largest portion that takes no longer than RUN_SECONDS, after a run on the smallest, which also warms up."""
    taken = seconds(method, portion(task, method, settings, 1).task, **settings)
    return portion(task, method, settings, max(1, math.floor(RUN_SECONDS / taken)))


def operations(method: str, given: Portion, settings: Mapping[str, Any]) -> float:
    """Additions and multiplications of a method on the whole data, counted on a portion of them.

    Those of convolutions and matrix products, forward and backward: all others together are few beside them.
    """
    with _Counter() as counter:
        METHODS[method](given.task, **settings)
    return counter.total / given.share


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
    """Operations per second of the product of two large square matrices: the fastest of PEAK_ROUNDS."""
    size = PEAK_SIZE[device.type]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    taken = []
    for _ in range(PEAK_ROUNDS + 1):
        with Stopwatch(device) as watch:
            one @ other
        taken.append(watch.seconds)
    return 2 * size**3 / min(taken[1:])


def _search(times: Mapping[str, np.ndarray], share: float, epochs: int) -> SearchTime:
    shrink, expanding, search = (times[name] for name in ("boundary_shrink", "boundary_expanding", "search"))
    return SearchTime(
        seconds=_spread(search),
        share=share,
        of_shrink=100 * _ratio(search, shrink),
        shrink_over_expanding=_ratio(shrink, expanding),
        in_every_epoch=_ratio(shrink + max(0, epochs - 1) * search, expanding),
    )


def _ratio(times: np.ndarray, others: np.ndarray) -> float:
    """The median over the rounds of one time over another: what slows a whole round down cancels out."""
    return float(np.median(times / others))


def _spread(times: np.ndarray) -> Spread:
    return Spread(float(np.median(times)), float(times.min()), float(times.max()), times.tolist())


def growth(task: UnlearningTask, methods: Methods, rounds: int, initial: Initial | None) -> dict[str, Growth]:
    """The time of each method as D_f, the epochs and the model's width grow, one at a time: by quantity.

    A time is the median of GROWTH_ROUNDS rounds (or `rounds`, where that is less). What does not grow is one batch, one
    epoch, and the model's own width.
    """

    def work(method: str, batches: int = 1, epochs: int = 1, width: float | None = None) -> Callable[[], float]:
        forget = _first(task.split.forget_train, batches * task.recipe.batch_size)
        original = initial(width) if initial and width else task.original
        resized = replace(task, split=replace(task.split, forget_train=forget), original=original)
        return _work(method, resized, dict(methods[method]) | {"epochs": epochs})

    grown: dict[str, dict[float, dict[str, Any]]] = {
        "images": {count * task.recipe.batch_size: {"batches": count} for count in GROWTH_BATCHES},
        "epochs": {epochs: {"epochs": epochs} for epochs in GROWTH_EPOCHS},
    }
    if initial:
        grown["width"] = {width: {"width": width} for width in GROWTH_WIDTHS}
    works = {
        (quantity, method, value): work(method, **size)
        for quantity, sizes in grown.items()
        for value, size in sizes.items()
        for method in methods
    }
    in_turns(works, 1)  # each size has kernels of its own, which have to warm up
    times = {key: float(np.median(taken)) for key, taken in in_turns(works, min(rounds, GROWTH_ROUNDS)).items()}
    curves = {
        quantity: {method: [times[quantity, method, value] for value in sizes] for method in methods}
        for quantity, sizes in grown.items()
    }
    return {
        quantity: Growth(
            list(sizes), {method: Curve(taken, slope(list(sizes), taken)) for method, taken in curves[quantity].items()}
        )
        for quantity, sizes in grown.items()
    }


def slope(values: Sequence[float], times: Sequence[float]) -> float:
    """The exponent b of the power law times = a * values ** b that fits best: least squares between the logarithms."""
    return float(np.polyfit(np.log(values), np.log(times), 1)[0])


# --- figures and tables -------------------------------------------------------------------------------------------

GROWING = {"images": "images in $D_f$", "epochs": "epochs", "width": "width of the model"}
DASHED = "boundary_expanding"  # since its line and Boundary Shrink's may lie on each other


def time_per_method(found: Costs) -> Figure:
    """Figure 4: seconds of each method on a log axis, with the range of the rounds, and the speed-up."""
    results = found.methods
    names = list(results)
    values = np.array([result.seconds.median for result in results.values()])
    ends = np.array([[result.seconds.low, result.seconds.high] for result in results.values()]).T
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(names) + 1), layout="constrained")
    axes.barh(
        [title(name) for name in names], values, color=[colour(name) for name in names], xerr=np.abs(ends - values),
        error_kw={"ecolor": GREY, "elinewidth": 1.2, "capsize": 2},
    )  # fmt: skip
    for position, (name, high) in enumerate(zip(names, ends[1], strict=True)):
        label = f"{three_digits(values[position])} s"
        if name != "retrain":
            label += f", {results[name].speed_up:.3g} times as fast"
        axes.annotate(label, (high, position), (5, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set(xscale="log", xlabel="seconds, log scale", xlim=(values.min() / 3, values.max() * 12))
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    return figure


def time_growth(found: Costs) -> Figure:
    """How the time grows with the images of D_f, the epochs and the width, on log axes, with the fitted slopes."""
    grown = {quantity: found.timing.growth[quantity] for quantity in GROWING if quantity in found.timing.growth}
    figure, panels = plt.subplots(1, len(grown), figsize=(8, 3.2), sharey=True, squeeze=False, layout="constrained")
    for axes, (quantity, growth) in zip(panels[0], grown.items(), strict=True):
        values = np.array(growth.values)
        curves = {name: growth.methods[name] for name in BOUNDARY if name in growth.methods and name in found.methods}
        axes.set(xscale="log", yscale="log", xlabel=GROWING[quantity])
        for name, curve in curves.items():
            taken, dashed = np.array(curve.seconds), name == DASHED
            line = np.exp(np.log(taken).mean() + curve.slope * (np.log(values) - np.log(values).mean()))
            axes.plot(values, line, color=colour(name), linewidth=1, linestyle="--" if dashed else "-")
            axes.plot(
                values, taken, "o", color=colour(name), markerfacecolor=PAPER if dashed else colour(name),
                label=f"{title(name)}: {curve.slope:.2f}",
            )  # fmt: skip
        axes.set_xticks(values, [f"{value:g}" for value in values], minor=False)
        axes.tick_params(which="minor", bottom=False, labelbottom=False)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        if curves:
            axes.legend(title="slope", fontsize=7, title_fontsize=7)
    panels[0][0].set_ylabel("seconds")
    return figure


def time_table(found: Costs) -> Styler:
    """Everything measured of each method's time, and the paper's speed-up."""
    theirs = speed_up(found.dataset)
    paper = "paper" if theirs.same else f"paper, {theirs.dataset}"
    rows = {}
    for name, result in found.methods.items():
        taken = result.seconds
        ends = f"{three_digits(taken.low)}&nbsp;to&nbsp;{three_digits(taken.high)}"
        rows[title(name)] = {
            "seconds, median": three_digits(taken.median),
            f"range over {found.timing.runs} round{'s' if found.timing.runs > 1 else ''}": ends,
            "timed on, % of the data": f"{100 * result.share:.3g}",
            "times as fast as Retrain": f"{result.speed_up:.3g}",
            paper: number(theirs.times.get(name)),
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


def speed_ups(found: Costs) -> dict[str, str]:
    """By method, how many times as fast as Retrain, and the paper's number: a column of the comparison of runs."""
    theirs = speed_up(found.dataset)
    paper = "paper" if theirs.same else f"paper, {theirs.dataset}"
    return {
        title(name): f"{result.speed_up:.3g}"
        + (f"<br><small>{paper}: {theirs.times[name]:.1f}</small>" if name in theirs.times else "")
        for name, result in found.methods.items()
        if name != "retrain"
    }


def floor_table(found: Costs) -> Styler:
    """How far each method is above the time that its operations would take at the machine's peak."""
    rows = {
        title(name): {
            "operations, 10⁹": three_digits(result.operations / 1e9),
            "floor, s": three_digits(result.floor),
            "seconds": three_digits(result.seconds.median),
            "above the floor, times": f"{result.seconds.median / result.floor:.1f}",
        }
        for name, result in found.methods.items()
    }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


# --- claims -------------------------------------------------------------------------------------------------------


@claim(
    8, "Figure 4, section 5.4",
    "Expanding is 29.7 and Shrink 4.8 times faster than Retrain on CIFAR-10, on faces 26.6 and 11.7 times.",
)  # fmt: skip
def fast(experiment: Experiment) -> list[Check]:
    """How many times faster than Retrain the two boundary methods are."""
    needs(experiment, *BOUNDARY)
    return fast_checks(measure(experiment))


def fast_checks(found: Costs) -> list[Check]:
    """The checks of claim 8. Raises CannotTest where even equal steps would not give such speed-ups."""
    expanding, shrink = (22, 11.7) if found.dataset == "faces" else (25, 4.8)
    for name, limit in (("boundary_expanding", expanding), ("boundary_shrink", shrink)):
        if (ratio := found.images["retrain"] / found.images[name]) < limit:
            raise CannotTest(
                f"in this profile Retrain goes through no more than {ratio:.1f} times as many images as the two "
                f"methods, so a speed-up of {limit:g} cannot be expected of either"
            )
    methods = found.timing.methods
    return [
        at_least("Boundary Expanding's speed-up over Retrain", methods["boundary_expanding"].speed_up, expanding,
                 "times"),
        at_least("Boundary Shrink's", methods["boundary_shrink"].speed_up, shrink, "times"),
    ]  # fmt: skip


@claim(9, "section 5.4", "Fisher takes longer than Retrain; recording for Amnesiac doubles the training time.")
def slow_baselines(experiment: Experiment) -> list[Check]:
    """What Fisher Forgetting and recording for Amnesiac Unlearning cost."""
    needs(experiment, "fisher", "amnesiac")
    return slow_checks(measure(experiment))


def slow_checks(found: Costs) -> list[Check]:
    """The checks of claim 9."""
    if found.recording is None:
        raise CannotTest("no recording was made")
    # Fisher's time is in proportion to the images that its information is measured on, which may be a sample.
    longer = 1 / found.fisher_share / found.timing.methods["fisher"].speed_up
    return [
        Check("Fisher, on all of D_r, takes longer than Retrain", f"{longer:.2f} times as long", longer > 1),
        Check(
            "training with recording takes at least 1.5 times as long",
            f"{found.recording:.2f} times", found.recording >= 1.5,
        ),
    ]  # fmt: skip


@claim(10, "section 5.4", "Shrink is slower than Expanding, because of the cross samples.")
def shrink_slower(experiment: Experiment) -> list[Check]:
    """Whether Boundary Shrink takes longer than Boundary Expanding."""
    needs(experiment, *BOUNDARY)
    return slower_checks(measure(experiment))


def slower_checks(found: Costs) -> list[Check]:
    """The check of claim 10. Raises CannotTest where the ranges of the two overlap."""
    if found.search is None:
        raise CannotTest("the profile does not run both methods")
    ratio = found.search.shrink_over_expanding
    shrink, expanding = (found.timing.methods[name].seconds for name in BOUNDARY)
    if shrink.low <= expanding.high and expanding.low <= shrink.high:
        raise CannotTest(f"the ranges of the two overlap; the median ratio of the rounds is {ratio:.2f}")
    return [Check("Boundary Shrink takes longer than Boundary Expanding", f"{ratio:.2f} times as long", ratio > 1)]
