"""The opening page: what was found, in one figure and five answers, and which runs the book shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from bu_core.checks import SettingError
from bu_core.config import Config, described, profiles
from bu_core.data.request import class_index
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics
from bu_core.experiment.record import NotRecorded, which_run

from ..claims import CannotTest, Judgement, needs
from ..gaps import in_words
from ..style import as_figure, in_markdown, title
from . import audit, lasting, ledger, timing, what_forgets
from .lasting import Lasting
from .timing import Costs
from .what_forgets import Swaps

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


def swapped_and_recovered(experiment: Experiment) -> tuple[Swaps, dict[str, float]]:
    """What weights and statistics do when they are swapped, and what re-estimation brings back."""
    return what_forgets.swaps(experiment), recovered(experiment)


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
