"""Boundary unlearning that lasts: the paper's idea under the normalisation that the model has afterwards.

The settings are ours and not the paper's. They are looked at over the replicates of a run, beside the published methods
and beside the range of the Retrains; what each leaves is a `Trace`, or a whole climb of the ladder.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.audits.few_shot import with_five
from bu_core.audits.ladder import Climb
from bu_core.audits.relearning import LOOKS
from bu_core.experiment.environment import Environment
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.ladder import ladder
from bu_core.experiment.metrics import evaluation
from bu_core.experiment.record import NotRecorded
from bu_core.unlearning import METHODS, method_settings
from bu_core.unlearning.register import GoesThrough

from ..claims import CannotTest, about_one_class
from ..gaps import Gaps, Gathering
from ..measured.lasting import WORTH, Trace, trace
from ..measured.mechanism import Returned, Swap, returned, swap
from ..replicates import CLIMBED_HERE, LONG, beside, first_replicate, replicates
from ..style import INK, NARROW, as_table, colour, in_html, number, set_title, sets_named, three_digits, title
from ..variations import BOUNDARY_METHODS, BeforeAndAfter, most_images
from . import timing

Kind = Literal["original", "retrain", "published", "lasting", "ablation"]

SEARCHED = ("boundary_shrink", "spotter")  # the methods that look for each image's neighbour first
SHOTS = 5  # labelled images of the class, in the figure and the table
SHRINK = "boundary_shrink"
COLOUR = "#E7298A"  # of the settings that last


@dataclass(frozen=True)
class Setting:
    """A method with settings of its own. `called`: its name in tables; `says`: what it changes against the one before.

    `sees`: how many unlabelled images of D_r it may see.
    """

    called: str
    method: str
    settings: dict[str, Any]
    says: str
    sees: int = 0

    @property
    def erased(self) -> bool:
        """Whether the class's output row is erased before a threshold is shifted, as whoever hands a model out can do.

        A row that was learned anew stays.
        """
        return self.settings.get("output_row") != "relearned"


# One epoch over D_f towards the original's answer without the class, beside unlabelled remaining images that give
# BatchNorm its statistics. Chosen on other classes than those that are reported: see `chosen`.
_ONE: dict[str, Any] = {"batchnorm": "remaining", "target": "soft", "remaining": 1000, "lr": 1e-3, "epochs": 1}


def _beside(called: str, says: str, **change: Any) -> Setting:
    settings = _ONE | change
    return Setting(called, SHRINK, settings, says, settings["remaining"])


RECOMMENDED = _beside("lasting method (1,000 images)", "the recommended settings")
FEWER = _beside("lasting method (100 images)", "a tenth of the images", remaining=100)
NO_IMAGE = _beside(
    "lasting method (inverted images)", "no remaining image: images inverted from the model", remaining=0,
    stand_ins="inverted",
)  # fmt: skip
LONGER = _beside(
    "lasting method (5 epochs, rate 0.003)",
    "five epochs at 0.003 beside 5,000 images",
    remaining=5000,
    lr=3e-3,
    epochs=5,
)
HIGHER = _beside(
    "lasting method (5 epochs, rate 0.01)", "five epochs at 0.01 beside 5,000 images", remaining=5000, lr=1e-2, epochs=5
)
# The second recommendation, for whoever hands out weights: the features are to forget as well.
DEEP = _beside(
    "lasting method (deep)", "adversaries probe the features at every step, and the output row is learned anew",
    remaining=5000, epochs=2, adversary=0.15, adversary_before=0.05, output_row="relearned",
)  # fmt: skip
FROZEN = Setting(
    "lasting method (frozen statistics)",
    SHRINK,
    {"batchnorm": "frozen", "target": "soft", "lr": 1e-3, "epochs": 1},
    "no image at all",
)
MORE_TRAINING = (LONGER, HIGHER)
LASTING = (RECOMMENDED, FEWER, DEEP, NO_IMAGE, *MORE_TRAINING, FROZEN)

# What is looked at on other runs: the same settings, and those that `search` chose for a data set.
FEW_INVERSIONS = {"inversions": 64, "inversion_steps": 100}
TUNED: dict[str, dict[str, Any]] = {"digits": {"lr": 0.03, "epochs": 1}, "faces": {"lr": 0.01, "epochs": 1}}
TUNED_TITLE = "lasting method (tuned to these data)"
DEEP_TUNED: dict[str, dict[str, Any]] = {"digits": {"lr": 0.01, "epochs": 5}, "faces": {"lr": 0.003, "epochs": 20}}
DEEP_TUNED_TITLE = "lasting method (deep, tuned to these data)"


def tuned(dataset: str) -> tuple[Setting, ...]:
    """The recommended settings with the rate and the epochs that `search` chose for a data set; none for another."""
    there = dataset in TUNED
    return (_beside(TUNED_TITLE, "the rate and the epochs of these data", **TUNED[dataset]),) if there else ()


def deep_tuned(dataset: str) -> tuple[Setting, ...]:
    """The deep settings with what `deep.search` chose for a data set; none for another."""
    if dataset not in DEEP_TUNED:
        return ()
    return (_beside(DEEP_TUNED_TITLE, "deep, for these data", **DEEP.settings | DEEP_TUNED[dataset]),)


def without_replicates(dataset: str) -> tuple[Setting, ...]:
    """The settings for a run that nobody made replicates of."""
    change = TUNED.get(dataset, {})
    inverted = replace(NO_IMAGE, settings=NO_IMAGE.settings | FEW_INVERSIONS | change)
    return RECOMMENDED, *tuned(dataset), inverted, replace(FROZEN, settings=FROZEN.settings | change)


HELD = Setting(
    "held channel means", SHRINK, FROZEN.settings | {"channel_means": "held"},
    "frozen statistics, and no step moves the mean of a channel",
)  # fmt: skip

# Each changes one thing of the recommended settings, HELD of FROZEN; looked at with the first seed alone.
ABLATION = (
    _beside("nearest label", "the paper's label instead of the soft answer", target="nearest"),
    _beside("uniform answer", "an even share of every other class", target="uniform"),
    _beside("keep nothing", "no answer is held on to", keep=0.0),
    _beside("own normalisation", "batches of D_f and remaining images normalise together", batchnorm="train"),
    _beside("crossed images", "cross samples in place of remaining images", remaining=0, stand_ins="crossed"),
    _beside("dispersed features", "features of D_f are kept apart", disperse=1.0),
    _beside("two blocks reset", "the last two blocks learn anew", reset=2),
    _beside("faster early layers", "four times the rate in the first layer, falling to it in the last", early=4.0),
    _beside("relearned on the way", "two steps learn the class again before each that forgets it", relearn_steps=2),
    Setting(
        "Random Labels", "random_labels", {"batchnorm": "remaining", "remaining": 1000, "lr": 1e-3, "epochs": 1},
        "random labels instead of a search", 1000,
    ),
    Setting(
        "Boundary Expanding", "boundary_expanding",
        {"batchnorm": "remaining", "remaining": 1000, "lr": 1e-3, "epochs": 1}, "a shadow class", 1000,
    ),
    Setting(
        "Negative Gradient", "negative_gradient",
        {"batchnorm": "remaining", "remaining": 1000, "lr": 1e-4, "epochs": 1}, "the gradient reversed", 1000,
    ),
    HELD,
)  # fmt: skip


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """What one model has left of the class, in percent but for `relearn_few`, which counts steps.

    `before` and `after`: accuracy on the four sets without and with re-estimation. The recalls are of D_ft after it:
    by a shifted `threshold`, with SHOTS `shots`, with a `probe`. `relearn_remaining`: the most that comes back of D_f.
    """

    before: dict[str, float]
    after: dict[str, float]
    threshold: float
    shots: float
    probe: float
    relearn_remaining: float | None
    relearn_few: float | None


def of_trace(found: Trace, erased: bool) -> Left:
    """A model by its trace; the threshold is that of the model with the class's output row `erased`, or as it is."""
    threshold = found.erased if erased else found.threshold
    recalls = with_five(found.few_shot), found.probe.recall
    return Left(found.before, found.after, threshold, *recalls, found.relearn_remaining, _steps(found.relearn_few))


def of_climb(found: Climb) -> Left:
    """A model that climbed the whole ladder."""
    after = found.after
    recalls = after.threshold.recall, with_five(after.few_shot), after.probe.recall
    return Left(
        found.before.accuracy, after.accuracy, *recalls, found.relearn_remaining.best, _steps(found.relearn_few.steps)
    )


def looked_too_short(steps: Sequence[float]) -> bool:
    """Whether looking ended, in one of several relearnings, before half of the class was back: they took longer."""
    return max(steps, default=0.0) >= LOOKS[-1]


def _steps(found: int | None) -> float | None:
    return None if found is None else float(found)


@dataclass(frozen=True)
class Row:
    """A model over the replicates: what it has left, by replicate. `passes`: images that go through training.

    An image counts once each time that a step trains on it, and once for the search of its neighbour; `sees`: how many
    images of D_r a method may see, None where it sees all with their labels.
    """

    called: str
    kind: Kind
    method: str
    passes: int
    sees: int | None
    left: dict[str, Left] = field(default_factory=dict)

    def mean(self, of: Callable[[Left], float | None]) -> float | None:
        """The mean over the replicates that have the number; None where none has."""
        values = self.values(of)
        return statistics.fmean(values) if values else None

    def values(self, of: Callable[[Left], float | None]) -> list[float]:
        return [value for left in self.left.values() if (value := of(left)) is not None]


@dataclass(frozen=True)
class Lasting:
    """Every row of the chapter; those of LASTING over all replicates, those of ABLATION of the first alone.

    `gaps` and `untried`: what is not recorded, of ABLATION and of all others. `repeats`: whether the replicates are
    those of another run, which repeats this one's training. `unseen`: how many images D_ft has.
    """

    rows: list[Row]
    replicates: list[str]
    gaps: Gaps
    untried: Gaps
    repeats: bool
    unseen: int

    def row(self, called: str) -> Row | None:
        """The row of this name, where anything of it is known."""
        return next((row for row in self.rows if row.called == called and row.left), None)

    @property
    def lasts(self) -> Row | None:
        """The settings that are like a Retrain on every number, those tuned to the data, or the recommended ones."""
        return self.like_retrain or self.row(TUNED_TITLE) or self.row(RECOMMENDED.called)

    def fewer(self, row: Row) -> float | None:
        """How many times fewer images a row trains on than Retrain; None without Retrain."""
        retrain = self.row(title("retrain"))
        return None if retrain is None else retrain.passes / row.passes

    @property
    def of_seeds(self) -> bool:
        """Whether the replicates are seeds of one class, and not classes."""
        return all(name.startswith("seed") for name in self.replicates)

    def range(self, of: Callable[[Left], float | None]) -> tuple[float, float] | None:
        """From the least to the largest number of the Retrains of one class; None for fewer than two."""
        if not self.of_seeds:
            return None
        retrain = self.row(title("retrain"))
        known = retrain.values(of) if retrain else []
        return (min(known), max(known)) if len(known) > 1 else None

    def inside(self, row: Row, of: Callable[[Left], float | None]) -> bool | None:
        """Whether the mean of a row lies in the range of the Retrains; None where one of the two is not known."""
        ends, value = self.range(of), row.mean(of)
        return None if value is None or ends is None else ends[0] <= value <= ends[1]

    def count_inside(self, row: Row) -> tuple[int, int]:
        """On how many of NUMBERS the mean of a row lies in that range, and of how many it is known."""
        known = [inside for _, of in NUMBERS.values() if (inside := self.inside(row, of)) is not None]
        return sum(known), len(known)

    @property
    def like_retrain(self) -> Row | None:
        """The setting whose mean lies in the range of the Retrains on every one of NUMBERS; None where none does."""
        ours = (row for row in self.rows if row.kind == "lasting" and row.left)
        return next((row for row in ours if all(self.inside(row, of) for _, of in NUMBERS.values())), None)

    def alone(self, row: Row, of: Callable[[Left], float | None]) -> tuple[int, int]:
        """On how many replicates a row lies in that range by itself, of how many; a mean of several varies less."""
        ends, values = self.range(of), row.values(of)
        return (0 if ends is None else sum(ends[0] <= value <= ends[1] for value in values)), len(values)


def measure(experiment: Experiment, everything: bool = False) -> Lasting:
    """The published methods and our settings over the replicates of a run, as far as they are recorded.

    Of a run without recorded replicates the settings of `without_replicates` are tried, beside the models of
    CLIMBED_HERE; with `everything`, all that a record of replicates keeps. Raises CannotTest for a run that forgets
    anything else than one class, which the chapter "Beyond one class" asks about.
    """
    about_one_class(experiment)
    runs, alone = replicates(experiment), {f"seed {experiment.config.seed}": experiment}
    base = next(iter(runs.values()))
    if base is not experiment:
        try:
            return _measured(experiment, runs, whole=True)
        except NotRecorded:  # it repeats the training, and nobody tried the settings on its models
            return _measured(experiment, alone, whole=False)
    return _measured(experiment, runs if everything else alone, whole=everything)


def of_the_faces(experiment: Experiment) -> Lasting | None:
    """What the recorded run of the faces says, whatever run a page leads with; None without it."""
    with suppress(NotRecorded, CannotTest):
        return measure(Experiment(beside(experiment.config, "lfw")))
    return None


def _measured(experiment: Experiment, runs: Mapping[str, Experiment], whole: bool) -> Lasting:
    base, sizes = next(iter(runs.values())), set_sizes(experiment)
    gathering, untried = Gathering(), Gathering()
    # Fisher trains on no image, so that its cost is none that a row could name; the others of LONG were repeated there.
    here = [name for name in base.names if name != "fisher" and (whole or name not in LONG)]
    rows = [_published(name, base, sizes) for name in here if whole or name in CLIMBED_HERE]
    for row in rows:
        for which, run in runs.items():
            if (found := gathering.ask(f"{row.called}, {which}", ladder, run, row.method)) is not None:
                row.left[which] = of_climb(found)
    data = base.config.dataset
    lasting = (*LASTING, *tuned(data), *deep_tuned(data)) if whole else without_replicates(data)
    ours = [traced_row(gathering, setting, "lasting", base, runs, sizes) for setting in lasting]
    first = dict(list(runs.items())[:1])
    # Where the recommended settings leave the class as it was, a change of one of them tells nothing.
    changed = ABLATION if whole and data == CHOSEN_FOR else ()
    ablation = [traced_row(untried, setting, "ablation", base, first, sizes) for setting in changed]
    gathering.needs_some([row for row in ours if row.left])
    rows = [row for row in (*rows, *ours, *ablation) if row.left]
    repeats, unseen = base is not experiment, len(experiment.outputs("original")["forget_test"].labels)
    return Lasting(rows, list(runs), gathering.gaps, untried.gaps, repeats, unseen)


def traced_row(
    gathering: Gathering,
    setting: Setting,
    kind: Kind,
    base: Experiment,
    runs: Mapping[str, Experiment],
    sizes: dict[GoesThrough, int],
) -> Row:
    """The row of a setting over `runs`."""
    row = _of_setting(setting, kind, base, sizes)
    for which, run in runs.items():
        there = run.with_settings(setting.method, **setting.settings)
        if (traced := gathering.ask(f"{row.called}, {which}", trace, there, setting.method)) is not None:
            row.left[which] = of_trace(traced, setting.erased)
    return row


def kept_by(experiment: Experiment, everything: bool) -> Experiment | None:
    """The first replicate, where a record holds it or `everything` is asked; None for other data than CHOSEN_FOR."""
    base = first_replicate(experiment)
    return base if base.config.dataset == CHOSEN_FOR and (base.record is not None or everything) else None


def whatever_it_sees(experiment: Experiment) -> Returned | None:
    """From which images the class returns to the recommended settings, on the first replicate; None without any."""
    if (base := kept_by(experiment, everything=False)) is None or base is experiment:
        return None
    return returned(base.with_settings(RECOMMENDED.method, **RECOMMENDED.settings), RECOMMENDED.method)


def swapped(experiment: Experiment) -> Swap | None:
    """What weights and statistics of the recommended settings do apart, on the first replicate; None without any."""
    if (base := kept_by(experiment, everything=False)) is None or base is experiment:
        return None
    return swap(base.with_settings(RECOMMENDED.method, **RECOMMENDED.settings), RECOMMENDED.method)


CHOSEN_FOR = "cifar10"
CHOSEN_ON = 3  # classes: the first that are not the run's own
CHOSEN_AMONG = (RECOMMENDED, FEWER, DEEP, LONGER, HIGHER)  # the two without a remaining image follow RECOMMENDED


def chosen_on(experiment: Experiment) -> list[int]:
    """The classes that settings are chosen on; the run forgets another, and reports that one."""
    own = experiment.config.forget_class
    return [label for label in range(len(experiment.dataset.classes)) if label != own][:CHOSEN_ON]


def chosen(experiment: Experiment, everything: bool = False) -> Lasting | None:
    """The settings of CHOSEN_AMONG on the classes that they were chosen on, as far as it is recorded.

    None where nothing is, and nothing is computed without `everything`.
    """
    if (base := kept_by(experiment, everything)) is None:
        return None
    gathering, sizes = Gathering(), set_sizes(experiment)
    names = base.dataset.classes
    runs = {names[each]: base.variation(base.config.methods, forget_class=each) for each in chosen_on(base)}
    rows = [_published(name, base, sizes) for name in ("original", "retrain", SHRINK) if name in base.names]
    for row in rows:
        for which, run in runs.items():
            if (climbed := gathering.ask(f"{row.called}, {which}", ladder, run, row.method)) is not None:
                row.left[which] = of_climb(climbed)
    ours = [traced_row(gathering, setting, "lasting", base, runs, sizes) for setting in CHOSEN_AMONG]
    rows = [row for row in (*rows, *ours) if row.left]
    if not any(row.left for row in ours):
        return None
    unseen = len(experiment.outputs("original")["forget_test"].labels)
    return Lasting(rows, list(runs), gathering.gaps, Gaps(), base is not experiment, unseen)


TIMED = (RECOMMENDED, DEEP)
TIMED_ROUNDS = 3


@dataclass(frozen=True)
class TimeTaken:
    """How long settings take on a CPU, by what they are called, and Retrain beside them, in so many `rounds` each.

    `seconds`: medians; `faster`: Retrain's time over theirs, the median of the rounds. `epochs`: how many Retrain has,
    where it was timed by one of them.
    """

    machine: Environment
    rounds: int
    seconds: dict[str, float]
    faster: dict[str, float]
    retrain: float
    epochs: int | None


def time_taken(experiment: Experiment, everything: bool = False) -> TimeTaken | None:
    """How long the settings of TIMED take on a CPU, where it is recorded; computed with `everything` alone."""
    if experiment.config.dataset != CHOSEN_FOR or not (experiment.record or everything):
        return None
    own, found = experiment.variation(["retrain", SHRINK]), {}
    try:
        for setting in TIMED:
            there = own.with_settings(setting.method, **setting.settings)
            found[setting.called] = timing.cpu_rounds(there, TIMED_ROUNDS)
    except NotRecorded:
        return None
    every = [each for rounds in found.values() for each in rounds]
    return TimeTaken(
        every[0].environment,
        len(every) // len(found),
        {name: statistics.median(each.seconds[SHRINK] for each in rounds) for name, rounds in found.items()},
        {
            name: statistics.median(each.seconds["retrain"] / each.seconds[SHRINK] for each in rounds)
            for name, rounds in found.items()
        },
        statistics.median(each.seconds["retrain"] for each in every),
        every[0].epochs.get("retrain"),
    )


SUCCESSORS = ("delete", "spotter")  # published since the paper; beside its own two on every class


@dataclass(frozen=True)
class EveryClass:
    """The recommended and the deep settings on each class of the data, with the first replicate's original.

    `left`, by the setting's name and the class; `retrain`: what that class's own shows, where one was trained. `again`:
    what the recommended settings leave of each class with the next replicate's original. `published`: by a method's
    title and the class.
    """

    left: dict[str, dict[str, Left]]
    retrain: dict[str, Left]
    again: dict[str, Left]
    published: dict[str, dict[str, BeforeAndAfter]]
    gaps: Gaps

    @property
    def recommended(self) -> dict[str, Left]:
        """What the recommended settings leave, by class."""
        return self.left.get(RECOMMENDED.called, {})

    def beyond_retrain(self, setting: str, of: Callable[[Left], float | None]) -> list[float]:
        """A number less the same of the class's own Retrain, of every class that has both."""
        pairs = [
            (of(each), of(self.retrain[name]))
            for name, each in self.left.get(setting, {}).items()
            if name in self.retrain
        ]
        return [one - other for one, other in pairs if one is not None and other is not None]


def every_class(experiment: Experiment, everything: bool = False) -> EveryClass | None:
    """Both settings on every class, as far as it is recorded; the ten are all there are, and no sample.

    None where only the run's own class is known, and nothing is computed without `everything`.
    """
    if (base := kept_by(experiment, everything)) is None:
        return None
    gathering, left, retrain = Gathering(), dict[str, dict[str, Left]](), dict[str, Left]()
    again, published = dict[str, Left](), dict[str, dict[str, BeforeAndAfter]]()
    first, *others = replicates(experiment).values()

    def traced(setting: Setting, run: Experiment, called: str) -> Left | None:
        found = gathering.ask(called, trace, run.with_settings(setting.method, **setting.settings), setting.method)
        return None if found is None else of_trace(found, setting.erased)

    for label, name in enumerate(base.dataset.classes):
        there = _of_class(first, label)
        for setting in (RECOMMENDED, DEEP):
            if (one := traced(setting, there, f"{setting.called}, {name}")) is not None:
                left.setdefault(setting.called, {})[name] = one
        if others and (one := traced(RECOMMENDED, _of_class(others[0], label), f"{name}, second seed")) is not None:
            again[name] = one
        if (climbed := gathering.ask(f"Retrain of {name}", ladder, there, "retrain")) is not None:
            retrain[name] = of_climb(climbed)
        for method in (*BOUNDARY_METHODS, *SUCCESSORS):
            pair = [
                gathering.ask(f"{title(method)}, {name}", evaluation, there, method, images)
                for images in (0, most_images(experiment, there))
            ]
            if pair[0] is not None and pair[1] is not None:
                published.setdefault(title(method), {})[name] = BeforeAndAfter(pair[0], pair[1])
    found = EveryClass(left, retrain, again, published, gathering.gaps)
    return found if len(found.recommended) > 1 else None


def _of_class(run: Experiment, label: int) -> Experiment:
    return run if label == run.config.forget_class else run.variation(run.config.methods, forget_class=label)


GRID = tuple(itertools.product((0.01, 0.03, 0.1), (1, 3)))  # learning rates and epochs
GONE, COST = 1.5, 1.0  # at most so much of D_f after re-estimation, in percent; so many points of D_rt


def search(experiment: Experiment) -> list[Row]:
    """Every point of GRID in place of the recommended rate and epochs, on the classes `chosen_on` of the next seed.

    A row a point, and first that of the original. Of the digits and the faces these classes are not reported; that seed
    is one of the five over which their recorded replicates report another class.
    """
    settings = [_beside(f"rate {lr:g}, epochs {epochs}", "", lr=lr, epochs=epochs) for lr, epochs in GRID]
    return on_other_classes(experiment, experiment.config.seed + 1, ("original",), settings)


def on_other_classes(
    experiment: Experiment, seed: int, models: Sequence[str], settings: Sequence[Setting]
) -> list[Row]:
    """What settings leave of the classes `chosen_on` with some seed: a row each, after those of some `models`."""
    names, sizes, gathering = experiment.dataset.classes, set_sizes(experiment), Gathering()
    methods = [SHRINK, *(name for name in models if name != "original")]
    runs = {names[each]: experiment.variation(methods, seed=seed, forget_class=each) for each in chosen_on(experiment)}
    rows = [_published(name, experiment, sizes) for name in models]
    for row in rows:
        row.left.update({which: of_trace(trace(run, row.method), erased=False) for which, run in runs.items()})
    return [*rows, *(traced_row(gathering, each, "lasting", experiment, runs, sizes) for each in settings)]


def cheapest(rows: Sequence[Row]) -> Row | None:
    """The rule of the search: of the rows `within_limits` of the first, the original, that with fewest images.

    Of several as cheap, the one that recalls least with SHOTS images. None where no row is within the limits.
    """
    original, *points = rows
    return min(within_limits(original, points), key=lambda row: (row.passes, _shown(row)), default=None)


def within_limits(original: Row, rows: Sequence[Row]) -> list[Row]:
    """The rows that leave at most GONE percent of D_f and cost at most COST points of D_rt beside the original."""

    def cost(row: Row) -> float:
        return statistics.fmean(
            original.left[which].after["remain_test"] - left.after["remain_test"] for which, left in row.left.items()
        )

    return [row for row in rows if statistics.fmean(row.values(after_re_estimation)) <= GONE and cost(row) <= COST]


def set_sizes(experiment: Experiment) -> dict[GoesThrough, int]:
    """How many images D_r and D_f have."""
    said = experiment.outputs("original")
    return {"remain": len(said["remain_train"].labels), "forget": len(said["forget_train"].labels)}


def _published(name: str, experiment: Experiment, sizes: dict[GoesThrough, int]) -> Row:
    config = experiment.config
    if name == "original":
        return Row(title(name), "original", name, config.epochs * sum(sizes.values()), None)
    epochs = config.unlearning[name].get("epochs", config.epochs)
    passes = epochs * sizes[METHODS[name].goes_through] * (2 if name == "spotter" else 1)  # it trains on both kinds
    passes += sizes["forget"] if name in SEARCHED else 0
    sees = None if METHODS[name].goes_through == "remain" else 0
    return Row(title(name), "retrain" if name == "retrain" else "published", name, passes, sees)


def _of_setting(setting: Setting, kind: Kind, experiment: Experiment, sizes: dict[GoesThrough, int]) -> Row:
    """A row that is still empty; every step trains on a batch of companions beside its own."""
    given = method_settings(setting.method, setting.settings)
    inverted = given.get("stand_ins") == "inverted"
    companions = {"inverted": given.get("inversions"), "crossed": sizes["forget"]}.get(given.get("stand_ins", "none"))
    companions = given.get("remaining", 0) if companions is None else companions
    beside = math.ceil(sizes["forget"] / experiment.config.batch_size) * min(experiment.config.batch_size, companions)
    passes = given["epochs"] * (sizes["forget"] + beside)
    if again := given.get("relearn_steps"):  # each, and the loss after them, takes half a batch and its companions
        passes += given["epochs"] * (again + 1) * (sizes["forget"] // 2 + beside)
    passes += sizes["forget"] if given.get("target") == "nearest" or given.get("stand_ins") == "crossed" else 0
    passes += given["inversions"] * given["inversion_steps"] if inverted else 0
    return Row(setting.called, kind, setting.method, passes, min(setting.sees, sizes["remain"]))


# --- figures and tables -------------------------------------------------------------------------------------------


def comes_back(made: Lasting) -> Figure | None:
    """What is recognised of D_f: the original, Boundary Shrink, the two after re-estimation, and Retrain."""
    bars = in_one_picture(made)
    if bars is None:
        return None
    figure, axes = plt.subplots(figsize=(NARROW - 0.4, 2.1), layout="constrained")
    shades = [INK, colour(SHRINK), colour(SHRINK), COLOUR, colour("retrain")]
    drawn = axes.barh([name.replace(", ", ",\n") for name in bars], list(bars.values()), color=shades)
    axes.bar_label(drawn, fmt="%.1f", padding=3, fontsize=8)
    axes.set(xlim=(0, 127), xticks=range(0, 101, 50))
    axes.set_xlabel("recognised of the forgotten class, %", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return figure


def in_one_picture(made: Lasting) -> dict[str, float] | None:
    """The bars of `comes_back`, accuracy on D_f in percent by their names; None where one of them is not known."""
    original, shrink, retrain = (made.row(title(name)) for name in ("original", SHRINK, "retrain"))
    lasting = made.lasts
    if original is None or shrink is None or lasting is None or retrain is None:
        return None
    told = {
        "Original": original.mean(_before),
        "Boundary Shrink": shrink.mean(_before),
        "Boundary Shrink, after one unlabelled pass": shrink.mean(after_re_estimation),
        "The lasting method, after the same pass": lasting.mean(after_re_estimation),
        "Retrain": retrain.mean(after_re_estimation),
    }
    return {name: value for name, value in told.items() if value is not None}


def _before(left: Left) -> float:
    return left.before["forget_train"]


def after_re_estimation(left: Left) -> float:
    return left.after["forget_train"]


def cost_and_depth(made: Lasting) -> Figure | None:
    """Images that go through training against the recall with SHOTS labelled images of the class.

    Hollow: of D_f WORTH percent or more are recognised after re-estimation, so nothing deeper need be asked.
    """
    rows = [row for row in made.rows if row.kind != "ablation"]
    retrain = made.row(title("retrain"))
    if retrain is None:
        return None
    figure, axes = plt.subplots(figsize=(6.4, 5.2), layout="constrained")  # narrow: a phone shows it nearly as large
    if (known := made.range(_shots)) is not None:
        axes.axhspan(*known, color=colour("retrain"), alpha=0.25, linewidth=0, label="range of the Retrains")
    shapes = iter("Ds^vPX*<>")
    for row in rows:
        look = {"marker": next(shapes), "color": COLOUR} if row.kind == "lasting" else {"color": colour(row.method)}
        dot: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 8, "alpha": 0.8, "clip_on": False} | look
        back = (row.mean(after_re_estimation) or 0.0) >= WORTH
        axes.plot(row.passes, _shown(row), label=row.called, fillstyle="none" if back else "full", **dot)
    axes.set(
        xscale="log",
        ylim=(0, 100),
        xlabel="images that go through training",
        ylabel=f"$D_{{ft}}$ recalled with {SHOTS} labelled images, %",
    )
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure


def _shots(left: Left) -> float:
    return left.shots


def _relearned(left: Left) -> float | None:
    return left.relearn_remaining


def _shown(row: Row) -> float:
    return statistics.fmean(row.values(_shots))


NUMBERS: dict[str, tuple[str, Callable[[Left], float | None]]] = {
    "D_f": ("D_f after, %", after_re_estimation),
    "D_ft": ("D_ft after, %", lambda left: left.after["forget_test"]),
    "D_rt": ("D_rt after, %", lambda left: left.after["remain_test"]),
    "threshold": ("threshold, %", lambda left: left.threshold),
    "shots": (f"{SHOTS} shots, %", _shots),
    "probe": ("probe, %", lambda left: left.probe),
    "relearn_remaining": ("relearned without it, %", _relearned),
    "relearn_few": ("steps to relearn", lambda left: left.relearn_few),
}


HEADLINES = ("D_f", "D_ft", "D_rt", "shots", "probe")  # of NUMBERS; the others stand in a table of their own


def rungs_table(made: Lasting) -> Styler:
    """Every row on the rungs of HEADLINES, a mean over the replicates; bold where it lies in the range of the Retrains.

    The last column counts on how many of all NUMBERS it does.
    """
    table = _on_rungs(made, HEADLINES)
    if made.range(_shots) is not None:
        for row in made.rows:
            if row.kind in ("lasting", "published"):
                table.loc[heading(row), "numbers in Retrain's range"] = "{} of {}".format(*made.count_inside(row))
    note = " ".join([made.gaps.shown(), f"{means_over(made)}."]).strip()
    return as_table(table.fillna("–"), note)


def other_rungs_table(made: Lasting) -> Styler:
    """Every row on the other rungs. The note says of which rows relearning was spared on some replicates."""
    spared = {row.called: len(row.left) - len(row.values(_relearned)) for row in made.rows if row.kind == "lasting"}
    on = "" if len(made.replicates) == 1 else " on {} of them"
    notes = [f"{called}: not relearned{on.format(count)}." for called, count in spared.items() if count]
    rungs = [name for name in NUMBERS if name not in HEADLINES]
    table = _on_rungs(made, rungs)
    if table.apply(lambda column: column.str.startswith("≥")).any(axis=None):
        notes.append("≥: looking ended there, before half of the class was back.")
    return as_table(table, " ".join([f"{means_over(made)}.", *notes]))


def means_over(made: Lasting) -> str:
    """What the numbers of a table are means over, in words."""
    if len(made.replicates) == 1:
        return made.replicates[0].capitalize()
    if made.of_seeds:
        return f"Means over {len(made.replicates)} seeds"
    return f"Means over {', '.join(made.replicates)}"


def _on_rungs(made: Lasting, rungs: Sequence[str]) -> pd.DataFrame:
    rows = {heading(row): cells(made, row, rungs) for row in made.rows if row.kind != "ablation"}
    ends = {called: made.range(of) for called, of in (NUMBERS[name] for name in rungs)}
    if any(ends.values()):
        rows["range of the Retrains"] = {
            sets_named(called): f"{known[0]:.1f}&nbsp;to&nbsp;{known[1]:.1f}" for called, known in ends.items() if known
        }
    return pd.DataFrame.from_dict(rows, orient="index").fillna("–")


def ablation_table(made: Lasting) -> Styler | None:
    """The recommended settings, and each of ABLATION, with the first seed; None where none is known."""
    says = {setting.called: setting.says for setting in (RECOMMENDED, FROZEN, *ABLATION)}
    rows = {}
    for row in made.rows:
        if row.called in says and row.kind in ("lasting", "ablation"):
            first = {which: left for which, left in row.left.items() if which == made.replicates[0]}
            name = f"{in_html(row.called)}<br><small>{sets_named(says[row.called])}</small>"
            rows[name] = cells(made, replace(row, left=first), HEADLINES)
    note = " ".join([f"{made.replicates[0].capitalize()} alone.", made.untried.shown()]).strip()
    return as_table(pd.DataFrame.from_dict(rows, orient="index"), note) if len(rows) > 1 else None


def changes(made: Lasting) -> dict[str, tuple[Left, Left]]:
    """By what is changed of the recommended settings, what they leave and what the change leaves, on the first seed."""
    first, recommended = made.replicates[0], made.row(RECOMMENDED.called)
    if recommended is None or first not in recommended.left:
        return {}
    return {
        row.called: (recommended.left[first], row.left[first])
        for row in made.rows
        if row.kind == "ablation" and row.called != HELD.called and first in row.left
    }


def heading(row: Row) -> str:
    """The name of a row as HTML; what stands in its brackets is set small, below it."""
    name, _, rest = row.called.partition(" (")
    return in_html(name) + (f"<br><small>{in_html(rest.removesuffix(')'))}</small>" if rest else "")


def cells(made: Lasting, row: Row, rungs: Sequence[str]) -> dict[str, str]:
    cells = {}
    for name in rungs:
        called, of = NUMBERS[name]
        least = "≥" if name == "relearn_few" and looked_too_short(row.values(of)) else ""
        shown = least + number(row.mean(of))
        cells[sets_named(called)] = f"<b>{shown}</b>" if made.inside(row, of) else shown
    return cells


def classes_table(made: EveryClass | None, setting: Setting = RECOMMENDED) -> Styler | None:
    """How much of each class a setting leaves, a row a class, above what that class's Retrain shows.

    None where there is one class alone, or nothing of the setting.
    """
    if made is None or setting.called not in made.left:
        return None

    def beside(name: str, of: Callable[[Left], float | None]) -> str:
        known = made.retrain.get(name)
        return number(of(made.left[setting.called][name])) + (
            f"<br><small>{number(of(known))}</small>" if known else ""
        )

    rows = {}
    for name, left in made.left[setting.called].items():
        rows[in_html(name)] = {
            sets_named("D_f before, %"): number(left.before["forget_train"]),
            **{sets_named(called): beside(name, of) for called, of in (NUMBERS[each] for each in HEADLINES)},
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"), made.gaps.shown())


def published_classes_table(made: EveryClass | None) -> Styler | None:
    """D_f of each published method before and after re-estimation, and D_rt after it, a row a class; in percent."""
    if made is None or not made.published:
        return None
    rows = {}
    for name in made.recommended:
        rows[in_html(name)] = {
            in_html(method): _from_to(by_class[name]) for method, by_class in made.published.items() if name in by_class
        }
    note = "D_f before and after re-estimation, in percent; small: D_rt after it."
    return as_table(pd.DataFrame.from_dict(rows, orient="index").fillna("–"), note)


def _from_to(found: BeforeAndAfter) -> str:
    assert found.after is not None
    before, after = (made.accuracy for made in (found.before, found.after))
    ends = f"{before['forget_train']:.1f}&nbsp;→&nbsp;{after['forget_train']:.1f}"
    return f"{ends}<br><small>{after['remain_test']:.1f}</small>"


def costs_table(made: Lasting) -> Styler:
    """What each row costs: images that go through training, how often less than Retrain, and images of D_r it sees."""
    rows = {}
    for row in made.rows:
        if row.kind not in ("ablation", "original"):
            seen = "all, with labels" if row.sees is None else f"{row.sees:,}"
            cells = {
                "images through training": f"{row.passes:,}",
                "times fewer than Retrain": "–" if (fewer := made.fewer(row)) is None else three_digits(fewer),
            }
            rows[heading(row)] = cells | {f"images of {set_title('remain_train')} that it sees": seen}
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))
