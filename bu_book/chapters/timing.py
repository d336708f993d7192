"""Timing: what does forgetting cost, and how does the cost grow? Figure 4, claims 8 to 10 (section 5.4).

A timed run is the method alone: the search for labels included, evaluation left out, the device synchronised before
and after, whole. The methods take turns, round after round, so that a slow minute of the machine falls on all of them.
Each begins with a short run that is thrown away, in which everything warms up.

A method whose run would take longer than WHOLE_AT_MOST is timed by one of its epochs: Retrain on CIFAR-10 takes an hour
on a CPU. Nothing else is extrapolated: what a run costs once would be multiplied along with what each step costs.

Each round is a measurement of its own, so that what takes hours goes on where it was stopped. Where a run has no round
recorded, those of the run that repeats it with several seeds take their place, on the machine of that run. Where that
has none either, the one whole run remains in which each model was made. Beside rounds on a GPU, the record of a run may
keep some on a CPU, and the claims are judged on both.
"""

import contextlib
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from pandas.io.formats.style import Styler
from safetensors.torch import save_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bu_core import training
from bu_core.data import LabelledImages
from bu_core.experiment.environment import Environment
from bu_core.experiment.experiment import Experiment, outputs
from bu_core.experiment.measurement import measurement
from bu_core.experiment.record import ROOT, NotRecorded
from bu_core.models import ONE_WIDTH, Classifier
from bu_core.training import Precision, Stopwatch
from bu_core.unlearning import METHODS, UnlearningTask

from ..claims import Bounds, Check, Effect, Evidence, at_least, claim, needs
from ..gaps import Gaps, Gathering
from ..paper import speed_up
from ..replicates import first_replicate
from ..style import GREY, INK, PAPER, as_table, colour, number, three_digits, title

WHOLE_AT_MOST = 20 * 60.0  # seconds; what takes longer is timed by one of its epochs

BOUNDARY = ("boundary_shrink", "boundary_expanding")  # whose growth is measured
IN_CLAIMS = ("retrain", "fisher", *BOUNDARY)  # whose times claims 8 to 10 compare
ON_A_CPU = ("cifar10", "lfw")  # the records that are timed on a CPU as well
CPU_ROUNDS = 5
GROWTH_BATCHES = (1, 2, 4, 8)  # of forgetting images, repeated where D_f holds fewer: time does not ask what they show
GROWTH_EPOCHS = (1, 2, 4, 8)
GROWTH_WIDTHS = (0.125, 0.25, 0.5, 1.0)
GROWTH_ROUNDS = 3  # a slope rests on four sizes, so each of them needs fewer rounds

PEAK_SIZE = {"cpu": 2048, "cuda": 8192}  # of the square matrices whose product shows what the machine can do
PEAK_ROUNDS = 5

SAVED_STEPS = 50  # of training, after each of which the update is saved
SAVING_ROUNDS = 3

FAR_APART = 1.5  # times: two runs of the same steps that differ by more were not run on an equally busy machine

# Images that the paper's runs on CIFAR-10 go through (section 5.1): 30 epochs of D_r against 10 of D_f.
PAPER_IMAGES = {"retrain": 30 * 45_000, "boundary_shrink": 10 * 5_000, "boundary_expanding": 10 * 5_000}

Methods = Mapping[str, Mapping[str, Any]]  # the settings of each method, by name
Initial = Callable[[float], Classifier]  # makes an untrained model of a given width
Answer = TypeVar("Answer")


# --- what is measured: the rounds ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """One turn of all methods, on the machine in `environment`.

    `seconds`: of each by name, and as `search` those of Boundary Shrink's search for labels alone. `epochs`: how many
    epochs a method has that was timed by one of them; its seconds are that epoch's, multiplied.
    """

    seconds: dict[str, float]
    epochs: dict[str, int]
    environment: Environment


def _timed(experiment: Experiment) -> dict[str, Mapping[str, Any]]:
    """The methods to be timed, with their settings: Retrain even where it is none of the run's own."""
    config = experiment.config
    return {name: config.unlearning[name] for name in dict.fromkeys(("retrain", *config.methods))}


def _set_of(method: str) -> str:
    """The set that decides how long a method takes."""
    return f"{METHODS[method].goes_through}_train"


@measurement(
    of=lambda experiment: ("original", *sorted(_timed(experiment))),
    constants=lambda: {"whole_at_most": WHOLE_AT_MOST},
    timed=True,
)
def timed_round(experiment: Experiment, number: int) -> Round:
    """The methods of a run, timed one after the other: the round of this number, from 0."""
    task, timed = experiment.task(), _timed(experiment)
    if "amnesiac" in timed:
        task.recorded(timed["amnesiac"]["window"])  # recording is a part of the original's training
    return one_round(task, timed, experiment.environment)


def _in_claims(experiment: Experiment) -> dict[str, Mapping[str, Any]]:
    """The methods whose times the paper's claims are about, as far as a run has them, with their settings."""
    return {name: given for name, given in _timed(experiment).items() if name in IN_CLAIMS}


@measurement(
    of=lambda experiment: ("original", *sorted(_in_claims(experiment))),
    constants=lambda: {"whole_at_most": WHOLE_AT_MOST},
)
def cpu_round(experiment: Experiment, number: int) -> Round:
    """The methods in claims 8 to 10, timed one after the other on a CPU: the round of this number, from 0.

    It is no machine's, unlike `timed_round`, since it shows what another machine makes of a run timed on a GPU.
    """
    return one_round(experiment.task(), _in_claims(experiment), experiment.here)


def one_round(task: UnlearningTask, methods: Methods, environment: Environment) -> Round:
    """Time each of `methods`, and the search of Boundary Shrink where it is one of them."""
    taken, by_epoch = {}, {}
    for name, settings in methods.items():
        epochs = settings.get("epochs", task.recipe.epochs if name == "retrain" else None)
        first = seconds(name, *_with_epochs(task, name, settings, 1)) if epochs else None
        if first is not None and epochs > 1 and first * epochs > WHOLE_AT_MOST:
            taken[name], by_epoch[name] = epochs * first, epochs
        else:
            taken[name] = seconds(name, task, settings)
        if name == "boundary_shrink":
            taken["search"] = seconds(name, *_with_epochs(task, name, settings, 0))
    return Round(taken, by_epoch, environment)


def _with_epochs(
    task: UnlearningTask, method: str, settings: Mapping[str, Any], epochs: int
) -> tuple[UnlearningTask, dict[str, Any]]:
    """What a method is given where it is to have so many epochs; Retrain has those of the training."""
    if method == "retrain":
        return replace(task, recipe=replace(task.recipe, epochs=epochs)), dict(settings)
    return task, dict(settings) | {"epochs": epochs}


def seconds(method: str, task: UnlearningTask, settings: Mapping[str, Any]) -> float:
    """How long a method takes."""
    with Stopwatch(task.split.forget_train.images.device) as watch:
        METHODS[method](task, **settings)
    return watch.seconds


# --- what is measured: how the cost grows, and its floor ----------------------------------------------------------


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
class Scaling:
    """How the cost grows, on the machine in `environment`.

    `growth`: by quantity, `images` in D_f, `epochs` and `width`; see `growing`. `operations`: by method, the additions
    and multiplications of its convolutions and matrix products. `peak`: operations a second of a large matrix product.
    """

    growth: dict[str, Growth]
    operations: dict[str, float]
    peak: float
    environment: Environment


@measurement(
    of=lambda experiment: ("original", *sorted(_timed(experiment))),
    constants=lambda: {
        "batches": GROWTH_BATCHES,
        "epochs": GROWTH_EPOCHS,
        "widths": GROWTH_WIDTHS,
        "peak_size": PEAK_SIZE,
        "peak_rounds": PEAK_ROUNDS,
    },
    timed=True,
)
def scaling(experiment: Experiment, rounds: int) -> Scaling:
    """How the cost of the two boundary methods grows, in so many rounds, and the operations of all methods."""
    task, timed = experiment.task(), _timed(experiment)
    initial = None if experiment.config.model in ONE_WIDTH else experiment.initial
    return scaled(task, timed, rounds, initial, experiment.environment)


def scaled(
    task: UnlearningTask, methods: Methods, rounds: int, initial: Initial | None, environment: Environment
) -> Scaling:
    """The same, of a task; `initial` is None where the model has one width."""
    return Scaling(
        growing(task, {name: given for name, given in methods.items() if name in BOUNDARY}, rounds, initial),
        {name: operations(name, task, settings) for name, settings in methods.items()},
        peak(task.split.forget_train.images.device, task.recipe.precision),
        environment,
    )


def in_turns(works: Mapping[Any, Callable[[], float]], rounds: int) -> dict[Any, np.ndarray]:
    """The seconds of each of `works`, (rounds,): all of them once, then all of them again, `rounds` times."""
    taken = [[work() for work in works.values()] for _ in range(rounds)]
    return dict(zip(works, np.array(taken).T, strict=True))


def growing(task: UnlearningTask, methods: Methods, rounds: int, initial: Initial | None) -> dict[str, Growth]:
    """The time of each method as D_f, the epochs and the model's width grow, one at a time: by quantity.

    A time is the median of the rounds. What does not grow is one batch, one epoch, and the model's own width.
    """

    def work(method: str, batches: int = 1, epochs: int = 1, width: float | None = None) -> Callable[[], float]:
        forget = _first(task.split.forget_train, batches * task.recipe.batch_size)
        original = initial(width) if initial and width else task.original
        resized = replace(task, split=replace(task.split, forget_train=forget), original=original)
        settings = dict(methods[method]) | {"epochs": epochs}
        return lambda: seconds(method, resized, settings)

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
    times = {key: float(np.median(taken)) for key, taken in in_turns(works, rounds).items()}
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


def _first(data: LabelledImages, count: int) -> LabelledImages:
    """The first images of a set, repeated where there are not as many."""
    return data[torch.arange(count, device=data.labels.device) % len(data)]


def operations(method: str, task: UnlearningTask, settings: Mapping[str, Any]) -> float:
    """Additions and multiplications of a method on the whole data, counted on one batch of them.

    Those of convolutions and matrix products, forward and backward: all others together are few beside them. They are
    in proportion to the images, as times are not.
    """
    sizes = {name: len(getattr(task.split, name)) for name in ("remain_train", "forget_train")}
    whole = sizes[_set_of(method)]
    whole = min(whole, settings.get("samples") or whole)  # Fisher Forgetting may go through no more than these
    share = min(1.0, task.recipe.batch_size / whole)
    fewer: dict[str, Any] = {
        name: _first(getattr(task.split, name), max(1, round(share * size))) for name, size in sizes.items()
    }
    with _Counter() as counter:
        METHODS[method](replace(task, split=replace(task.split, **fewer)), **settings)
    return counter.total / share


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


# --- what is measured: saving every update ------------------------------------------------------------------------


@dataclass(frozen=True)
class Saving:
    """What it costs to save the update of every batch while the original is trained, as Graves et al. do.

    Over so many `steps` of its training: the time with each update copied (`in_memory`) or written to a file of its own
    (`on_disk`), in times of that without; medians of the rounds. `bytes`: of one update.
    """

    steps: int
    in_memory: float
    on_disk: float
    bytes: int
    environment: Environment


@measurement(constants=lambda: {"steps": SAVED_STEPS, "rounds": SAVING_ROUNDS}, timed=True)
def saving(experiment: Experiment) -> Saving:
    """What it costs to save the update of every batch, over the first steps of the original's training."""
    recipe = experiment.recipe
    count = min(SAVED_STEPS * recipe.batch_size, len(experiment.dataset.train))
    data = _first(experiment.dataset.train, count).to(experiment.device)
    steps = -(-count // recipe.batch_size)

    def trained(save: Callable[[int, dict[str, Tensor]], None] | None) -> float:
        model = experiment.initial()
        around = SavesUpdates(model, save).step if save else None
        with Stopwatch(experiment.device) as watch:
            training.fit(model, data, replace(recipe, epochs=1), label="saving", around_step=around)
        return watch.seconds

    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[int, dict[str, Tensor]], None] | None] = {
            "plain": None,
            "in_memory": lambda number, update: None,
            "on_disk": lambda number, update: save_file(update, Path(folder) / f"{number}.safetensors"),
        }
        works = {name: lambda save=save: trained(save) for name, save in ways.items()}
        in_turns(works, 1)
        taken = in_turns(works, SAVING_ROUNDS)
    size = sum(weight.nbytes for weight in experiment.initial().parameters())
    in_memory, on_disk = (_ratio(taken[name], taken["plain"]) for name in ("in_memory", "on_disk"))
    return Saving(steps, in_memory, on_disk, size, experiment.environment)


class SavesUpdates:
    """Hands what each step changes of a model's weights to `save`, on the CPU.

    Give `step` to `fit` as `around_step`.
    """

    def __init__(self, model: Classifier, save: Callable[[int, dict[str, Tensor]], None]):
        self._model, self._save, self._number = model, save, 0

    def step(self, epoch: int, labels: Tensor) -> AbstractContextManager[None]:
        """What a step has to run in."""
        return self._saved()

    @contextlib.contextmanager
    def _saved(self) -> Iterator[None]:
        before = {name: weight.detach().clone() for name, weight in self._model.named_parameters()}
        yield
        after = dict(self._model.named_parameters())
        self._save(self._number, {name: (after[name].detach() - before[name]).cpu().contiguous() for name in before})
        self._number += 1


# --- what the chapter shows ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """Numbers that were measured in rounds, all of them in `runs`: their median, the least and the most."""

    median: float
    low: float
    high: float
    runs: list[float]


@dataclass(frozen=True)
class MethodTime:
    """What one method costs, in `seconds`, and as a `speed_up`, Retrain's time over this one's in each round.

    `epochs`: how many it has, where it was timed by one of them, else None. `whole`: the seconds of the one run in
    which the run's own model was made; None where it has none.
    """

    seconds: Spread
    speed_up: Spread
    epochs: int | None
    whole: float | None


@dataclass(frozen=True)
class SearchTime:
    """What Boundary Shrink's search for labels costs; ratios are medians of the rounds.

    `seconds` of the search alone; `of_shrink`, how much of Boundary Shrink's time it is, in percent;
    `shrink_over_expanding`, Boundary Shrink's time over Boundary Expanding's, and the same if it searched anew
    `in_every_epoch`.
    """

    seconds: Spread
    of_shrink: float
    shrink_over_expanding: float
    in_every_epoch: float


@dataclass(frozen=True)
class Costs:
    """All that this chapter shows of a run on the data set of this name.

    `rounds`: how many there were, on `machines`; at 0, where none is recorded, each time is that of one whole run.
    `made_on`: the machines of the whole runs. `methods`: those that did not diverge, Retrain among them, the longest
    first. `search`: None unless both boundary methods were timed in rounds. `scaling`, `saving`: None where not
    recorded. `images`: by method, how many images it goes through in all its epochs, of those that have epochs.
    `fisher_share`: on how much of D_r Fisher's information is measured, above 0 to 1. `recording`: the time of the
    original's training with the recorder of this book, in times of that without; None where nothing was recorded.
    `on_a_cpu`: the costs in rounds on a CPU, of the methods that the claims are about; None without such rounds.
    """

    dataset: str
    rounds: int
    machines: list[Environment]
    made_on: list[Environment]
    methods: dict[str, MethodTime]
    search: SearchTime | None
    scaling: Scaling | None
    saving: Saving | None
    images: dict[str, int]
    fisher_share: float
    recording: float | None
    gaps: Gaps
    on_a_cpu: "Costs | None" = None

    @property
    def retrain(self) -> MethodTime:
        """What the others are compared with."""
        return self.methods["retrain"]

    @property
    def two_machines(self) -> bool:
        """Whether the rounds were timed on another machine than the one whole run of each method."""
        return bool(self.rounds) and self.machines != self.made_on

    @property
    def on_a_gpu(self) -> bool:
        """Whether the times are a GPU's."""
        return any(machine["gpu"] for machine in self.machines)

    @property
    def everywhere(self) -> dict[str, "Costs"]:
        """These costs, and those of the rounds on a CPU where there are some, by the processor that computed."""
        sides = [self, *([self.on_a_cpu] if self.on_a_cpu else [])]
        return {" and ".join(each["gpu"] or each["cpu"] for each in side.machines): side for side in sides}

    @property
    def widest(self) -> tuple[str, float]:
        """The method whose rounds differ most, and its longest time in times of its shortest."""
        ratios = {name: found.seconds.high / found.seconds.low for name, found in self.methods.items()}
        name = max(ratios, key=lambda each: ratios[each])
        return name, ratios[name]

    @property
    def alike(self) -> tuple[float, float] | None:
        """The seconds of Negative Gradient and Random Labels where both take the same steps, else None."""
        pair = ("negative_gradient", "random_labels")
        if not set(pair) <= set(self.methods) or self.images[pair[0]] != self.images[pair[1]]:
            return None
        return self.methods[pair[0]].seconds.median, self.methods[pair[1]].seconds.median


def measure(experiment: Experiment) -> Costs:
    """What the methods of a run cost, as far as it is recorded, and what it is to be compared with."""
    config, timed, gathering = experiment.config, _timed(experiment), Gathering()
    sizes = {part: len(said.labels) for part, said in experiment.outputs("original").items()}
    epochs = {"retrain": config.epochs}
    epochs |= {name: settings["epochs"] for name, settings in timed.items() if "epochs" in settings}
    made = {name: outputs(experiment, name).made for name in experiment.names}
    diverged = [name for name in experiment.names if name not in experiment.sound]
    rounds = gathering.ask("the rounds", _here_or_repeated, _recorded_rounds, experiment) or []
    whole = {name: statistics.median(made[name].seconds) for name in timed if name in made}
    made_on = _different([made[name].environment for name in whole])
    if not rounds and "retrain" not in whole:
        gathering.needs_some(rounds)

    def in_rounds(rounds: Sequence[Round]) -> dict[str, Any]:
        methods = _methods(rounds or [Round(whole, {}, {})], [name for name in timed if name not in diverged], whole)
        both = bool(rounds) and set(BOUNDARY) <= set(methods)
        return {
            "rounds": len(rounds),
            "machines": _different([found.environment for found in rounds]) if rounds else made_on,
            "methods": methods,
            "search": _search(_taken(rounds), epochs["boundary_shrink"]) if both else None,
        }

    recording = made["amnesiac"].recording if "amnesiac" in made else None
    samples = config.unlearning["fisher"]["samples"] or math.inf
    found = Costs(
        dataset=experiment.dataset.name,
        made_on=made_on,
        scaling=gathering.ask("how the cost grows", scaling, experiment, min(config.timing_runs, GROWTH_ROUNDS)),
        saving=gathering.ask("saving every update", _here_or_repeated, saving, experiment)
        if "amnesiac" in timed
        else None,
        images={name: count * sizes[_set_of(name)] for name, count in epochs.items()},
        fisher_share=min(samples, sizes["remain_train"]) / sizes["remain_train"],
        recording=1 + recording["seconds"] / recording["training_seconds"] if recording else None,
        gaps=gathering.gaps,
        **in_rounds(rounds),
    )
    if not (experiment.record and experiment.record.folder.name in ON_A_CPU and found.on_a_gpu):
        return found
    if (on_a_cpu := gathering.ask("the rounds on a CPU", cpu_rounds, experiment)) is None:
        return found
    nothing: dict[str, Any] = {"scaling": None, "saving": None, "recording": None, "gaps": Gaps()}
    return replace(found, on_a_cpu=replace(found, **nothing, **in_rounds(on_a_cpu)))


def _taken(rounds: Sequence[Round]) -> dict[str, np.ndarray]:
    """The seconds of each method, (rounds,)."""
    return {name: np.array([found.seconds[name] for found in rounds]) for name in rounds[0].seconds}


def _methods(rounds: Sequence[Round], names: Sequence[str], whole: Mapping[str, float]) -> dict[str, MethodTime]:
    """What rounds tell of those of the methods `names` that were timed in them, the longest first."""
    taken = _taken(rounds)
    times = {
        name: MethodTime(
            _spread(taken[name]), _spread(taken["retrain"] / taken[name]), rounds[0].epochs.get(name), whole.get(name)
        )
        for name in names
        if name in taken
    }
    return dict(sorted(times.items(), key=lambda entry: -entry[1].seconds.median))


def of_replicates(experiment: Experiment) -> None:
    """Compute the times that the run which this one repeats is shown with, where it is to be timed in rounds."""
    if experiment.config.timing_runs > 1:
        _recorded_rounds(experiment)
        if "amnesiac" in _timed(experiment):
            saving(experiment)


def _here_or_repeated(ask: Callable[[Experiment], Answer], experiment: Experiment) -> Answer:
    """What is recorded of a run, or else of the run that repeats it with several seeds."""
    try:
        return ask(experiment)
    except NotRecorded:
        if (repeats := first_replicate(experiment)) is experiment:
            raise
        return ask(repeats)


def _recorded_rounds(experiment: Experiment) -> list[Round]:
    """The rounds of a run on its own machine."""
    return _as_far_as_recorded(lambda place: timed_round(experiment, place), experiment.config.timing_runs)


def cpu_rounds(experiment: Experiment, count: int = CPU_ROUNDS) -> list[Round]:
    """The rounds of a run on a CPU; computed where they are not there, which only who records them should ask for."""
    return _as_far_as_recorded(lambda place: cpu_round(experiment, place), count)


def _as_far_as_recorded(ask: Callable[[int], Round], count: int) -> list[Round]:
    """So many rounds, up to the first that is not recorded; raises NotRecorded where none is."""
    found: list[Round] = []
    for place in range(count):
        try:
            found.append(ask(place))
        except NotRecorded:
            if not found:
                raise
            break
    return found


def _different(machines: Sequence[Environment]) -> list[Environment]:
    """The machines as far as a time depends on them, each once."""
    found: list[Environment] = []
    for machine in machines:
        of = {name: machine.get(name) for name in ("gpu", "cpu", "threads", "precision")}
        if of not in found:
            found.append(of)
    return found


def _search(times: Mapping[str, np.ndarray], epochs: int) -> SearchTime:
    shrink, expanding, search = (times[name] for name in ("boundary_shrink", "boundary_expanding", "search"))
    return SearchTime(
        seconds=_spread(search),
        of_shrink=100 * _ratio(search, shrink),
        shrink_over_expanding=_ratio(shrink, expanding),
        in_every_epoch=_ratio(shrink + max(0, epochs - 1) * search, expanding),
    )


def _ratio(times: np.ndarray, others: np.ndarray) -> float:
    """The median over the rounds of one time over another: what slows a whole round down cancels out."""
    return float(np.median(times / others))


def _spread(times: np.ndarray) -> Spread:
    return Spread(float(np.median(times)), float(times.min()), float(times.max()), times.tolist())


# --- on a GPU -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GpuStep:
    """What a replayed step consists of, in seconds, by torch's profiler.

    `seconds`: a step, the mean over an epoch, of three epochs; `compiled`: the same where torch.compile made the
    network's passes, which took `compiling`. `busy`: how long the card computes in a step, by kind of kernel.
    """

    seconds: list[float]
    kernels: int
    busy: dict[str, float]
    compiled: list[float]
    compiling: float


@dataclass(frozen=True)
class OnGpu:
    """What was timed once on a GPU, in seconds, with the training of the run cifar10.

    `captured` and `plain`: `epochs_timed` epochs in steps that are replayed from a CUDA graph, and step by step;
    `captured_full_width`: the former at the published width. `thirty_epochs`: as many epochs in one run.
    `epoch_side_by_side`: an epoch of one model, by how many models share the card. `step`: what a step consists of.
    """

    environment: Environment
    what: str
    epochs_timed: int
    captured: list[float]
    plain: list[float]
    captured_full_width: list[float]
    thirty_epochs: float
    epoch_side_by_side: dict[str, float]
    step: GpuStep


def on_a_gpu() -> OnGpu | None:
    """The times in `book/results/h100.json`; None where the file is not there."""
    path = ROOT / "h100.json"
    if not path.exists():
        return None
    times = json.loads(path.read_text())
    return OnGpu(**times | {"step": GpuStep(**times["step"])})


# --- figures and tables -------------------------------------------------------------------------------------------

GROWING = {"images": "images in $D_f$", "epochs": "epochs", "width": "width of the model"}
DASHED = "boundary_expanding"  # since its line and Boundary Shrink's may lie on each other


def time_per_method(found: Costs) -> Figure:
    """Figure 4 as dots: how many times faster than Retrain each method is, on a log axis, with the range of the rounds.

    Diamonds are those on a CPU beside a GPU's; hollow squares are the paper's speed-ups, of the data whose numbers
    stand beside ours.
    """
    theirs, names = speed_up(found.dataset), [name for name in found.methods if name != "retrain"]
    figure, axes = plt.subplots(figsize=(6.4, 0.42 * len(names) + 1.5), layout="constrained")
    axes.axvline(1, color=colour("retrain"), linestyle="--", linewidth=1.2, label="as long as Retrain")
    ends = [1.0]
    for row, name in enumerate(names):
        faster = found.methods[name].speed_up
        axes.plot([faster.low, faster.high], [row, row], color=GREY, linewidth=1.5)
        axes.plot(faster.median, row, "o", color=colour(name), markersize=9)
        label = f"{faster.median:.3g} times, {three_digits(found.methods[name].seconds.median)} s"
        beside = axes.get_yaxis_transform()  # a column of its own, so that no label is read as the paper's mark's
        axes.annotate(label, (1, row), (8, 0), beside, textcoords="offset points", va="center", fontsize=10)
        ends += [faster.low, faster.high]
        if found.on_a_cpu and name in found.on_a_cpu.methods:
            there = found.on_a_cpu.methods[name].speed_up
            axes.plot([there.low, there.high], [row, row], color=GREY, linewidth=1.5)
            axes.plot(there.median, row, "D", color=colour(name), markerfacecolor=PAPER, markersize=8)
            ends += [there.low, there.high]
    if found.on_a_cpu:
        axes.plot([], [], "D", color=INK, markerfacecolor=PAPER, markersize=8, label="on a CPU")
    marks = {names.index(name): times for name, times in theirs.times.items() if name in names}
    if marks:
        paper = "paper" if theirs.same else f"paper, {theirs.dataset}"
        axes.plot(list(marks.values()), list(marks), "s", color=INK, markerfacecolor="none", markersize=9, label=paper)
    ends += marks.values()
    limits = min(ends) / 1.5, max(ends) * 1.5
    axes.set(xscale="log", xlabel="Retrain's time over the method's, log scale", xlim=limits)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(names)), [title(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=10, frameon=False)
    return figure


def time_growth(found: Costs) -> Figure | None:
    """How the time grows with the images of D_f, the epochs and the width, on log axes, with the fitted slopes.

    None where it is not recorded.
    """
    if found.scaling is None:
        return None
    grown = {quantity: found.scaling.growth[quantity] for quantity in GROWING if quantity in found.scaling.growth}
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
                label=f"{title(name).removeprefix('Boundary ')}: {curve.slope:.2f}",
            )  # fmt: skip
        axes.set_xticks(values, [f"{value:g}" for value in values], minor=False)
        axes.tick_params(which="minor", bottom=False, labelbottom=False)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        if curves:
            axes.legend(title="slope", fontsize=9, title_fontsize=9)
    panels[0][0].set_ylabel("seconds")
    return figure


def time_table(found: Costs) -> Styler:
    """Every time of a run, and the paper's speed-up: the one table of times of the book."""
    theirs = speed_up(found.dataset)
    paper = "paper" if theirs.same else f"paper, {theirs.dataset}"
    rows = {}
    for name, result in found.methods.items():
        row = {}
        if found.rounds:
            row[f"seconds, median of {found.rounds} rounds"] = three_digits(result.seconds.median)
            row["least to most"] = _ends(result.seconds)
            row["timed"] = "whole" if result.epochs is None else f"one epoch of {result.epochs}"
        if not found.two_machines:
            row["seconds of one whole run"] = "–" if result.whole is None else three_digits(result.whole)
        row["times as fast as Retrain"] = f"{result.speed_up.median:.3g}"
        if found.rounds:
            row["least to most "] = _ends(result.speed_up)
        rows[title(name)] = row | {paper: number(theirs.times.get(name))}
    note = found.gaps.shown()
    if not found.rounds and found.alike and (apart := max(found.alike) / min(found.alike)) > FAR_APART:
        note += f" Negative Gradient and Random Labels take the same steps: a factor of {apart:.0f} is the machine's."
    return as_table(pd.DataFrame.from_dict(rows, orient="index"), note)


def cpu_table(found: Costs) -> Styler | None:
    """The times on a CPU beside those on a GPU; None where there are none."""
    return time_table(found.on_a_cpu) if found.on_a_cpu else None


def _ends(spread: Spread) -> str:
    return f"{three_digits(spread.low)}&nbsp;to&nbsp;{three_digits(spread.high)}"


def speed_ups(found: Costs) -> dict[str, str]:
    """By method, how many times as fast as Retrain, and the paper's number: a column of the comparison of runs."""
    theirs = speed_up(found.dataset)
    paper = "paper" if theirs.same else f"paper, {theirs.dataset}"
    return {"timed in": f"{found.rounds} rounds" if found.rounds else "one whole run each"} | {
        title(name): f"{result.speed_up.median:.3g}"
        + (f"<br><small>{paper}: {theirs.times[name]:.1f}</small>" if name in theirs.times else "")
        for name, result in found.methods.items()
        if name != "retrain"
    }


def floor_table(found: Costs) -> Styler | None:
    """How far each method is above the time that its operations would take at the machine's peak.

    None where it is not recorded, and where the times are of another machine than the peak.
    """
    if found.scaling is None or _different([found.scaling.environment]) != found.machines:
        return None
    rows = {}
    for name, result in found.methods.items():
        count = found.scaling.operations[name]
        floor = count / found.scaling.peak
        rows[title(name)] = {
            "operations, 10⁹": three_digits(count / 1e9),
            "floor, s": three_digits(floor),
            "seconds": three_digits(result.seconds.median),
            "above the floor, times": f"{result.seconds.median / floor:.1f}",
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


# --- claims -------------------------------------------------------------------------------------------------------

CHOICE = "the machine"  # the claims are judged on each that was timed
# Fisher took 2.7e3 seconds and the original's training 1.0e3, or half of it, if that is the doubled time (section 5.4).
PAPER_FISHER = "2.7 or 5.4 times the original's training"


@claim(
    8, "Figure 4, section 5.4",
    "Expanding is 29.7 and Shrink 4.8 times faster than Retrain on CIFAR-10, on faces 26.6 and 11.7 times.",
    "Shrink is as much faster than Retrain as the paper says",
)  # fmt: skip
def fast(experiment: Experiment) -> Evidence:
    """How many times faster than Retrain Boundary Shrink is."""
    needs(experiment, *BOUNDARY)
    return fast_evidence(measure(experiment))


def fast_evidence(found: Costs) -> Evidence:
    """The evidence on claim 8. The paper's two data sets differ by a factor, which is what a speed-up may be off by.

    A method that goes through so many times fewer images is that much faster whatever it is: such a speed-up is no
    finding. Boundary Shrink also searches for labels, which the count of images leaves out.
    """
    theirs, factor = speed_up(found.dataset).times, _factor("boundary_shrink")
    low, high = (theirs["boundary_shrink"] * power for power in (1 / factor, factor))
    images = {name: found.images["retrain"] / found.images[name] for name in BOUNDARY}
    void = ""
    if images["boundary_shrink"] < low:
        void = f"Retrain goes through {images['boundary_shrink']:.1f} times as many images: it could not have held"
    region = Bounds(low, high, f"the paper's two data sets differ by a factor of {factor:.2f}")
    effects = [
        Effect(
            "Boundary Shrink's speed-up over Retrain", "times", _rounds(costs.methods["boundary_shrink"].speed_up),
            region, f"{theirs['boundary_shrink']:g} times", machine, void,
        )
        for machine, costs in found.everywhere.items()
    ]  # fmt: skip
    low, high = (theirs["boundary_expanding"] * power for power in (1 / factor, factor))
    expanding = found.methods["boundary_expanding"].speed_up.median
    counted = (
        ""
        if not low < images["boundary_expanding"] < high
        else (f"; not counted: the images alone give {images['boundary_expanding']:.1f} times")
    )
    rule = f"Boundary Expanding's speed-up over Retrain lies between {low:.1f} and {high:.1f} times"
    check = Check(rule, f"{expanding:.3g} times{counted}", None if counted else low < expanding < high)
    notes = [_single(found)]
    if found.search and found.dataset == "cifar10":
        fewer = PAPER_IMAGES["retrain"] / found.images["retrain"]
        slower = found.search.in_every_epoch / found.search.shrink_over_expanding
        there = fewer / slower * found.methods["boundary_shrink"].speed_up.median
        notes.append(
            f"With the paper's epochs of Retrain, and a search in every epoch as the released code has it, it would be "
            f"{there:.3g} times on {next(iter(found.everywhere))}."
        )
    return Evidence(effects, lambda: [check], CHOICE, " ".join(filter(None, notes)))


def _factor(method: str) -> float:
    """By what factor the paper's speed-ups of a method differ between its two data sets."""
    one, other = (speed_up(dataset).times[method] for dataset in ("cifar10", "faces"))
    return max(one / other, other / one)


def _rounds(spread: Spread) -> dict[str, float]:
    return {f"round {number}": value for number, value in enumerate(spread.runs, 1)}


def _single(found: Costs) -> str:
    if not found.rounds:
        return "No round is recorded: each time is that of one whole run."
    where = " and ".join(f"on {machine} in {costs.rounds} rounds" for machine, costs in found.everywhere.items())
    return f"Timed {where}." if found.two_machines else ""


@claim(
    9, "section 5.4", "Fisher takes longer than Retrain; recording for Amnesiac doubles the training time.",
    "Fisher takes longer than Retrain",
)  # fmt: skip
def slow_baselines(experiment: Experiment) -> Evidence:
    """How long Fisher Forgetting takes, in times of Retrain."""
    needs(experiment, "fisher")
    return slow_evidence(measure(experiment))


def slow_evidence(found: Costs) -> Evidence:
    """The evidence on claim 9.

    Fisher's time is in proportion to the images that its information is measured on, which may be a sample.
    """

    def longer(costs: Costs) -> dict[str, float]:
        return {
            name: 1 / found.fisher_share / value for name, value in _rounds(costs.methods["fisher"].speed_up).items()
        }

    effects = [
        Effect(
            "Fisher's time, on all of D_r, over Retrain's", "times", longer(costs),
            Bounds(1, math.inf, "the claim is an order"), PAPER_FISHER, machine,
            than="" if found.fisher_share == 1 else "in proportion to all of D_r",
        )
        for machine, costs in found.everywhere.items()
    ]  # fmt: skip
    ways = {"keeps the updates of its last epochs, as this book's recorder does,": found.recording}
    if found.saving:
        ways["copies the update of each batch, as the paper's recorder does,"] = found.saving.in_memory
        ways["writes the update of each batch to a file"] = found.saving.on_disk
    checks = [
        Check(f"training that {how} takes 1.5 times as long or more", f"{times:.2f} times", times >= 1.5)
        for how, times in ways.items()
        if times is not None
    ]
    notes = [_single(found)]
    if found.fisher_share < 1:
        notes.append(
            f"Fisher read {100 * found.fisher_share:.0f} % of D_r; its time on all of it is taken in proportion."
        )
    return Evidence(effects, lambda: checks, CHOICE, " ".join(filter(None, notes)))


@claim(
    10, "section 5.4", "Shrink is slower than Expanding, because of the cross samples.",
    "Shrink is as much slower than Expanding as the paper says",
)  # fmt: skip
def shrink_slower(experiment: Experiment) -> Evidence:
    """How long Boundary Shrink takes, in times of Boundary Expanding."""
    needs(experiment, *BOUNDARY)
    return slower_evidence(measure(experiment))


def slower_evidence(found: Costs) -> Evidence:
    """The evidence on claim 10: the ratio of each round, beside the ratio of the paper's two speed-ups."""

    def ratios(costs: Costs) -> dict[str, float]:
        shrink, expanding = (costs.methods[name].seconds.runs for name in BOUNDARY)
        pairs = enumerate(zip(shrink, expanding, strict=True), 1)
        return {f"round {number}": one / other for number, (one, other) in pairs}

    theirs = {dataset: _slower(dataset) for dataset in ("cifar10", "faces")}
    factor, ours = max(theirs.values()) / min(theirs.values()), _slower(found.dataset)
    why = f"slower at all, and the paper's two data sets differ by a factor of {factor:.2f}"
    region = Bounds(max(1, ours / factor), ours * factor, why)
    effects = [
        Effect(
            "Boundary Shrink's time over Boundary Expanding's", "times", ratios(costs), region, f"{ours:.1f} times",
            machine,
        )
        for machine, costs in found.everywhere.items()
    ]  # fmt: skip
    checks = []
    if found.search:
        checks.append(
            at_least("the share of Boundary Shrink's time that its search takes (half)", found.search.of_shrink, 50)
        )
    notes = [_single(found)]
    if found.search:
        again = f"{found.search.in_every_epoch:.2f} times on {next(iter(found.everywhere))}"
        notes.append(f"This book searches once; the released code searches in every epoch, which would be {again}.")
    return Evidence(effects, lambda: checks, CHOICE, " ".join(filter(None, notes)))


def _slower(dataset: str) -> float:
    """Boundary Shrink's time over Boundary Expanding's, by the paper's speed-ups."""
    times = speed_up(dataset).times
    return times["boundary_expanding"] / times["boundary_shrink"]
