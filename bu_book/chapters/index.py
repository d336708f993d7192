"""The opening page: what was found, in one figure and five answers, and which runs the book shows."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
from pandas.io.formats.style import Styler

from bu_core.checks import SettingError
from bu_core.config import Config, described, profiles
from bu_core.data.request import class_index
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics
from bu_core.experiment.record import NotRecorded, which_run

from ..claims import CannotTest, Judgement, needs
from ..gaps import in_words
from ..style import as_figure, as_table, in_markdown, three_digits, title
from . import audit, lasting, ledger, timing, what_forgets
from .lasting import Lasting, Row
from .timing import Costs
from .what_forgets import Components, Swaps

Result = TypeVar("Result")

# The paper's two methods, and what they are to be like.
COMPARED = SHRINK, EXPANDING, RETRAIN = "boundary_shrink", "boundary_expanding", "retrain"


@dataclass(frozen=True)
class Answers:
    """All that the page tells of a run.

    `recovered`: by model, the accuracy on D_f in percent after re-estimation. `verdicts`: the judgements on the paper's
    claims, by verdict.
    """

    metrics: Metrics
    lasting: Lasting
    costs: Costs
    swaps: Swaps
    recovered: dict[str, float]
    verdicts: dict[str, list[Judgement]]


def measure(experiment: Experiment) -> Answers:
    """Everything of the page at once; the page asks for one after the other, so that a record may lack some."""
    return Answers(
        metrics(experiment),
        lasting.measure(experiment),
        timing.measure(experiment),
        what_forgets.swaps(experiment),
        recovered(experiment),
        ledger.measure(experiment),
    )


def recovered(experiment: Experiment) -> dict[str, float]:
    """By model of COMPARED, the accuracy on D_f in percent after re-estimation; NotRecorded where one is not there."""
    models, found = audit.measure(experiment).models, {}
    for name in (name for name in COMPARED if name in experiment.sound):
        if name not in models or (after := models[name].after) is None:
            raise NotRecorded(f"{title(name)} after re-estimation")
        found[name] = after.accuracy["forget_train"]
    return found


@dataclass(frozen=True)
class Moved:
    """What moves when a class is forgotten: weights and statistics swapped, trained apart, and after re-estimation."""

    swaps: Swaps
    components: Components
    recovered: dict[str, float]


def moved(experiment: Experiment) -> Moved:
    """What weights and statistics do apart, and what re-estimation brings back."""
    return Moved(what_forgets.swaps(experiment), what_forgets.components(experiment), recovered(experiment))


# --- what the page shows ------------------------------------------------------------------------------------------


def picture(made: Lasting) -> str:
    """What is recognised of the forgotten class, in one figure, as HTML. Raises NotRecorded where a bar is missing."""
    figure = lasting.comes_back(made)
    if figure is None:
        raise NotRecorded("the lasting method, or what it is compared with")
    caption = (
        "How much of the forgotten class's training images each network recognises. One unlabelled pass: the network "
        "sees images of the other classes, and BatchNorm estimates its statistics on them. No label is used, and no "
        "weight changes."
    )
    if (count := len(made.replicates)) > 1:
        caption += f" Means over {count} seeds."
    return as_figure(figure, caption, "Bars: " + ", ".join(f"{name}, {value:.1f} %" for name, value in bars(made)))


def bars(made: Lasting) -> list[tuple[str, float]]:
    """The names of the bars of the picture and their heights in percent."""
    return list((lasting.in_one_picture(made) or {}).items())


def what_instead(made: Lasting) -> Styler:
    """Our two settings, the published methods that are most like Retrain, and Retrain.

    Raises NotRecorded where one of ours is missing, or Retrain's range.
    """
    names = {"the lasting method": lasting.RECOMMENDED.called, "its slower setting": lasting.DEEP.called}
    names |= {title(RETRAIN): title(RETRAIN)}
    found = {called: row for called, name in names.items() if (row := made.row(name)) is not None}
    if len(found) < len(names) or made.range(lasting.NUMBERS["shots"][1]) is None:
        raise NotRecorded("the lasting method beside several Retrains")
    *settings, retrain = found.items()
    published = [row for row in made.rows if row.kind == "published"]
    most = max((made.count_inside(row)[0] for row in published), default=0)
    nearest = [(row.called, row) for row in published if made.count_inside(row)[0] == most]
    cells = {called: _instead(made, row) for called, row in (*settings, *nearest, retrain)}
    return as_table(pd.DataFrame.from_dict(cells, orient="index"))


def _instead(made: Lasting, row: Row) -> dict[str, str]:
    """A row of that table: means over the replicates; of Retrain the least and the most, where it is the measure."""
    (inside, numbers), is_measure = made.count_inside(row), row.kind == "retrain"
    shots, steps = (row.values(lasting.NUMBERS[name][1]) for name in ("shots", "relearn_few"))

    def shown(values: list[float]) -> str:
        if is_measure:
            return f"{min(values):.0f}&nbsp;to&nbsp;{max(values):.0f}"
        return f"{statistics.fmean(values):.0f}" if values else "–"

    other = "all, with labels" if row.sees is None else f"{row.sees:,}, without labels" if row.sees else "none"
    return {
        "other images needed": other,
        "trains on, times fewer than Retrain": "–" if is_measure else three_digits(made.fewer(row) or 0),
        f"found with {lasting.SHOTS} labelled images, %": shown(shots),
        "steps to relearn half": f"{'≥ ' if lasting.looked_too_short(steps) else ''}{shown(steps)}",
        "numbers in range": "–" if is_measure else f"{inside} of {numbers}",
    }


def answer(
    experiment: Experiment, ask: Callable[[Experiment], Result], write: Callable[[Result], str], *methods: str
) -> str:
    """What `write` makes of the answer of a run, or why there is none, as Markdown.

    `methods`: the models that it speaks of. `write` may raise NotRecorded or CannotTest as well.
    """
    try:
        needs(experiment, *methods)
        return write(ask(experiment))
    except NotRecorded as reason:
        return in_words(reason)
    except CannotTest as reason:
        return f"Not measured here: {in_markdown(reason)}."


def descriptions(runs: Mapping[str, Experiment]) -> dict[str, str]:
    """What the profile of each of a page's runs says of itself, by the run's title; the first may be of no profile."""
    own, *others = runs
    said = {own: description(runs[own])}
    said |= {name: described(profile) for name, profile in zip(others, runs[own].config.beside, strict=True)}
    return {name: text for name, text in said.items() if text}


def description(experiment: Experiment) -> str:
    """What the profile says of itself whose settings a run has; "" where there is none."""
    return next((text for name, text in profiles().items() if _is_of(experiment, name)), "")


def _is_of(experiment: Experiment, profile: str) -> bool:
    """Whether a run has the settings of a profile, which may name the class that the run has by its index."""
    config, classes = Config.from_profile(profile), experiment.dataset.classes
    try:
        forget_class = class_index(config.forget_class, classes, config.dataset)
    except SettingError:
        return False
    return which_run(config) | {"forget_class": forget_class} == which_run(experiment.config)
