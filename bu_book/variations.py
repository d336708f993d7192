"""A run and its variations: what the methods do to another model, width, training, seed or class, in short.

The config's parameter `elsewhere` names the changes. Each variation is evaluated before and after re-estimation
(`bu_core.audits.reestimation`); several chapters and two claims rest on them.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import pandas as pd
import torch
from pandas.io.formats.style import Styler

from bu_core import models
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Evaluation, evaluation
from bu_core.measures import Interval, interval

from .gaps import Gaps, Gathering
from .paper import table_1
from .style import as_table, in_html, number, set_title, title, with_half

# The methods that fine-tune on D_f with other labels; the paper's own two come first.
TAKEN_APART = ("boundary_shrink", "boundary_expanding", "random_labels")
BOUNDARY_METHODS = TAKEN_APART[:2]

# The settings with which a method moves no weight: only BatchNorm's statistics follow the forgetting batches.
STATISTICS_ALONE: dict[str, Any] = {"lr": 0.0, "batchnorm": "train"}

REESTIMATED_ON = (100, 1000, 5000)  # images of D_r that re-estimation may see

When = Literal["before", "after"]


@dataclass(frozen=True)
class BeforeAndAfter:
    """A model in short: `before` re-estimation, and `after` it on the most images; None where not recorded."""

    before: Evaluation
    after: Evaluation | None


@dataclass(frozen=True)
class Variation:
    """A run in short.

    `model`: what it is called, with its width and what its training has of its own. `forget_class`: what is forgotten,
    in words. `changed`: the settings that differ from the page's own run, none for that run itself. `keeps_statistics`:
    whether the model has BatchNorm; without it `after` is `before`. `statistics`: what the statistics do alone; None
    where the model keeps none, or where not recorded. `methods`: for another class the paper's own two, else
    TAKEN_APART. `retrain`: of the run itself and at another width alone; None also where not recorded.
    """

    model: str
    forget_class: str
    seed: int
    epochs: int
    lr: float
    precision: str
    changed: tuple[str, ...]
    original: Evaluation
    keeps_statistics: bool
    statistics: Evaluation | None
    methods: dict[str, BeforeAndAfter]
    retrain: Evaluation | None = None

    @property
    def called(self) -> str:
        """The model's name, and the seed where it differs from that of the page's own run."""
        return self.model + (f", seed {self.seed}" if "seed" in self.changed else "")

    def recognised(self, method: str, when: When = "before") -> float | None:
        """The accuracy on D_f that a method leads to, in percent; None where it was not measured."""
        asked = self.methods.get(method)
        there = asked and (asked.before if when == "before" else asked.after)
        return there.accuracy["forget_train"] if there else None

    def cost(self, method: str, part: str) -> float:
        """How many points of accuracy a method costs on a set, against the original."""
        return self.original.accuracy[part] - self.methods[method].before.accuracy[part]


@dataclass(frozen=True)
class Variations:
    """The page's own run, and each variation of it that is recorded, in the order in which they are asked for.

    `sizes`: the number of images in each set of the own run.
    """

    runs: list[Variation]
    dataset: str
    sizes: dict[str, int]
    gaps: Gaps

    @property
    def both_methods(self) -> list[Variation]:
        """Those in which both of the paper's own methods were run."""
        return [run for run in self.runs if set(BOUNDARY_METHODS) <= set(run.methods)]

    @property
    def trained_otherwise(self) -> list[Variation]:
        """Those that differ from the page's own run in the original's epochs or learning rate alone."""
        return [run for run in self.runs if run.changed and set(run.changed) <= {"epochs", "lr"}]

    @property
    def of_other_precision(self) -> list[Variation]:
        """Those of the page's own model and class in another precision, with the same or with another seed."""
        return [run for run in self.runs if "precision" in run.changed and set(run.changed) <= {"seed", "precision"}]

    def on_all_test_images(self, run: Variation) -> float:
        """The original's accuracy on all test images in percent; of a run that forgets the same class."""
        parts = ("remain_test", "forget_test")
        right = sum(run.original.accuracy[part] * self.sizes[part] for part in parts)
        return right / sum(self.sizes[part] for part in parts)


def variations(experiment: Experiment) -> Variations:
    """An experiment in short, and each of the variations that its config names, as far as they are recorded."""
    gathering, runs = Gathering(), []
    for change in changes(experiment):
        asked = BOUNDARY_METHODS if "forget_class" in change else TAKEN_APART
        methods = [name for name in asked if name in experiment.config.methods]
        there = experiment.variation(methods, **change)
        images = most_images(experiment, there)
        retrained = "retrain" in experiment.config.methods
        if (run := _in_short(there, change, methods, retrained, images, gathering)) is not None:
            runs.append(run)
    gathering.needs_some(runs)
    sizes = {part: len(said.labels) for part, said in experiment.outputs("original").items()}
    return Variations(runs, experiment.dataset.name, sizes, gathering.gaps)


def changes(experiment: Experiment) -> list[Mapping[str, Any]]:
    """None, and those of `config.elsewhere`; for a run that forgets anything else than one class, no other class."""
    others = experiment.config.elsewhere
    return [{}, *(each for each in others if not experiment.config.forget or "forget_class" not in each)]


def most_images(experiment: Experiment, there: Experiment | None = None) -> int:
    """The most images that re-estimation sees, in an experiment or in a variation of it that may forget another class.

    It is asked of the experiment itself: a record would otherwise keep the outputs for every class.
    """
    said = experiment.outputs("original")
    count = len(said["remain_train"].labels)
    if there is not None and there.forget_key != experiment.forget_key:
        labels = torch.cat([said[part].labels for part in ("remain_train", "forget_train")])
        count = int((~torch.isin(labels, torch.tensor(there.forget_classes))).sum())
    return min(count, max(REESTIMATED_ON))


def keeps_statistics(experiment: Experiment) -> bool:
    """Whether the model of an experiment has layers that keep running statistics."""
    config, dataset = experiment.config, experiment.dataset
    with torch.device("meta"):  # to draw the weights of a ResNet takes a second
        network = models.build(config.model, dataset.channels, len(dataset.classes), config.width, config.seed)
    return bool(models.batchnorms(network))


def model_called(there: Experiment, change: Mapping[str, Any]) -> str:
    """The model of a variation with its width, and what its training has of its own by `change`."""
    config = there.config
    called = config.model + ("" if config.model in models.ONE_WIDTH else f", width {config.width:g}")
    called += f", {config.epochs} epochs at lr {config.lr:g}" if {"epochs", "lr"} & set(change) else ""
    called += f", pretrained for {config.pretraining['epochs']} epochs" if "pretraining" in change else ""
    return called + (f", {config.precision}" if "precision" in change else "")


def _in_short(
    there: Experiment,
    change: Mapping[str, Any],
    methods: list[str],
    retrained: bool,
    images: int,
    gathering: Gathering,
) -> Variation | None:
    """One variation; None where the evaluation of its original is not recorded. `retrained`: whether the run has it."""
    config, forget_class, model = there.config, there.forgotten, model_called(there, change)
    which = f"{model}, seed {config.seed}, {forget_class}"
    if (original := gathering.ask(which, evaluation, there, "original")) is None:
        return None
    drifts, alone = keeps_statistics(there), None
    if methods and drifts:  # no label matters then, and no method
        frozen = there.with_settings(methods[0], **STATISTICS_ALONE)
        alone = gathering.ask(f"statistics alone of {which}", evaluation, frozen, methods[0])
    measured = {}
    for name in methods:
        if (before := gathering.ask(f"{title(name)} of {which}", evaluation, there, name)) is None:
            continue
        after: Evaluation | None = before  # without running statistics there is nothing to estimate anew
        if drifts:
            label = f"{title(name)} of {which} after re-estimation"
            after = gathering.ask(label, evaluation, there, name, images)
        measured[name] = BeforeAndAfter(before, after)
    retrain: Evaluation | None = None
    if set(change) <= {"width"} and retrained:
        retrain = gathering.ask(f"Retrain of {which}", evaluation, there, "retrain")
    trained = config.seed, config.epochs, config.lr, there.precision
    return Variation(model, forget_class, *trained, tuple(change), original, drifts, alone, measured, retrain)


# --- over several classes and seeds -------------------------------------------------------------------------------


class OfClassAndSeed(Protocol):
    """Whatever was measured for one class and one seed."""

    @property
    def forget_class(self) -> str: ...
    @property
    def seed(self) -> int: ...


Repeated = TypeVar("Repeated", bound=OfClassAndSeed)


def by_model(runs: Sequence[Variation]) -> list[list[Variation]]:
    """The variations of one model together: they differ in class or seed alone.

    Models come in the order of their first variation, so the page's own is the first.
    """
    together: dict[str, list[Variation]] = {}
    for run in runs:
        together.setdefault(run.model, []).append(run)
    return list(together.values())


def repeated(runs: Sequence[Repeated]) -> dict[str, list[Repeated]]:
    """What several runs of one model repeat: the first with those that differ from it in class alone, or in seed alone.

    By `classes` and `seeds`; what was not repeated is left out. Two classes share an original, two seeds do not.
    """
    alike = {
        "classes": [run for run in runs if run.seed == runs[0].seed],
        "seeds": [run for run in runs if run.forget_class == runs[0].forget_class],
    }
    return {unit: several for unit, several in alike.items() if len(several) > 1}


def expanding_less_shrink(runs: Sequence[Variation]) -> Interval:
    """By how many points Boundary Expanding's accuracy on D_f exceeds Boundary Shrink's: `interval` over these runs."""
    return interval(
        [run.cost("boundary_shrink", "forget_train") - run.cost("boundary_expanding", "forget_train") for run in runs]
    )


def mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is missing."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


# --- tables -------------------------------------------------------------------------------------------------------


def table(made: Variations) -> Styler:
    """Accuracy on D_f / on D_rt of each model: of its first run, and on average over classes and over seeds."""
    rows = {}
    for of_one in by_model(made.runs):
        rows[_row(of_one[0])] = _in_cells(_pairs(of_one[0]))
        for unit, alike in repeated(of_one).items():
            pairs = [_pairs(run) for run in alike]
            rows[in_html(of_one[0].model), f"mean of {len(alike)} {unit}"] = {
                column: " /<br>".join(
                    with_half(interval(each), ".1f") for each in zip(*(row[column] for row in pairs), strict=True)
                )
                for column in pairs[0]
                if all(column in row for row in pairs)
            }
    return _as_table(rows, made.gaps.shown())


def each_table(made: Variations) -> Styler | None:
    """The same for each class and each seed of the models that have several; None where none has."""
    several = [run for of_one in by_model(made.runs) if len(of_one) > 1 for run in of_one]
    return _as_table({_row(run): _in_cells(_pairs(run)) for run in several}, "") if several else None


def _row(run: Variation) -> tuple[str, str]:
    return in_html(run.model), in_html(run.forget_class) + (f", seed {run.seed}" if "seed" in run.changed else "")


def _pairs(run: Variation) -> dict[str, list[float]]:
    """Accuracy on D_f and D_rt by column."""

    def pair(made: Evaluation) -> list[float]:
        return [made.accuracy[part] for part in ("forget_train", "remain_test")]

    row = {"original": pair(run.original)}
    if run.statistics:
        row["statistics alone"] = pair(run.statistics)
    return row | {title(name): pair(made.before) for name, made in run.methods.items()}


def _in_cells(row: Mapping[str, Sequence[float]]) -> dict[str, str]:
    return {column: "&nbsp;/&nbsp;".join(number(value, ".1f") for value in values) for column, values in row.items()}


def _as_table(rows: Mapping[tuple[str, str], Mapping[str, str]], note: str) -> Styler:
    frame = pd.DataFrame.from_dict(dict(rows), orient="index").fillna("–")
    frame.columns = pd.Index([f"{column}, %" for column in frame.columns])
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["model", "forgets"])
    return as_table(frame, note)


# --- other widths and trainings, beside the paper's Table 1 -------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """Table 1 of one width and training: the accuracy of each model on each set in percent, by model.

    `from_paper`: how far these numbers, but Retrain's, lie from the paper's on average, in points, on training and on
    test images.
    """

    called: str
    accuracy: dict[str, dict[str, float]]
    from_paper: dict[Literal["training", "test"], float]


def trainings(made: Variations) -> list[Training]:
    """Each width and training of the page's class and seed, with the methods that were measured with all of them."""
    runs = [run for run in made.runs if set(run.changed) <= {"width", "epochs", "lr"}]
    if not runs:
        return []
    names = [name for name in runs[0].methods if all(name in run.methods for run in runs)]
    trained = []
    for run in runs:
        recipe = "" if {"epochs", "lr"} & set(run.changed) else f", {run.epochs} epochs at lr {run.lr:g}"
        accuracy = {"original": run.original.accuracy}
        accuracy |= {name: run.methods[name].before.accuracy for name in names}
        from_paper = _from_paper(accuracy, made.dataset)  # of the models that every width and training has
        if run.retrain is not None:
            accuracy["retrain"] = run.retrain.accuracy
        trained.append(Training(run.model + recipe, accuracy, from_paper))
    return trained


def _from_paper(accuracy: Mapping[str, Mapping[str, float]], dataset: str) -> dict[Literal["training", "test"], float]:
    theirs = table_1(dataset).accuracy

    def distance(*parts: str) -> float:
        return statistics.fmean(
            abs(accuracy[name][part] - theirs[name][part]) for name in accuracy if name in theirs for part in parts
        )

    return {"training": distance("remain_train", "forget_train"), "test": distance("remain_test", "forget_test")}


def trainings_table(made: Variations) -> Styler | None:
    """Table 1 beside each width and training; None where there is but one."""
    trained = trainings(made)
    if len(trained) < 2:
        return None
    theirs = table_1(made.dataset)
    columns = {"paper" if theirs.same else f"paper, {theirs.dataset}": theirs.accuracy}
    columns |= {in_html(each.called): each.accuracy for each in trained}
    names = dict.fromkeys(name for each in trained for name in each.accuracy)
    rows = {
        (set_title(part), called): {
            title(name): number(accuracy[name][part] if name in accuracy else None, ".1f") for name in names
        }
        for part in SPLITS
        for called, accuracy in columns.items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=[title(name) for name in names])
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["set", "accuracy, %"])
    return as_table(frame)
