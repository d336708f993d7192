"""Beyond one class: can a network forget several classes, or single images?

The config's parameter `requests` names what is asked. Each request is put to the original, to Retrain, to four
published methods and to the lasting method; what each remembers is measured before and after re-estimation
(`bu_book.measured.beyond`). Retrain is the yardstick. A class is forgotten when it is not recognised. An image is
forgotten when it stands as far from D_ft, images of the same classes that nobody trained on, as it does after Retrain.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.attacks.register import ATTACKS
from bu_core.data import Request, described
from bu_core.data.request import ALL
from bu_core.experiment.experiment import Experiment
from bu_core.results import Estimate

from .. import style
from ..gaps import Gaps, Gathering
from ..measured.beyond import Remembered, Requested, requested
from ..measured.lasting import WORTH
from ..style import GREY, NARROW, as_table, in_figure, in_html, number, set_title, sets_named, with_ends
from . import lasting

When = Literal["before", "after"]
WHEN: tuple[When, When] = ("before", "after")

LASTING = "lasting"  # the settings of the chapter on it; every other name is that of a method
PUBLISHED = ("boundary_shrink", "boundary_expanding", "random_labels", "negative_gradient")
MODELS = ("original", "retrain", *PUBLISHED, LASTING)

SHOWN = ("forget_train", "forget_test", "remain_test")  # the sets on which a model is put beside Retrain
BY_LABEL = "modified_entropy"  # the one attack that knows the label, which is what these methods take from an image


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A request, `called` so in words. `models`: by model, what it remembers; `gaps` names those not known."""

    request: Request
    called: str
    models: dict[str, Requested]
    gaps: Gaps

    @property
    def classes(self) -> int:
        """How many classes are forgotten whole; 0 where single images are."""
        return len(self.request.get("classes", ()))

    @property
    def of_every_class(self) -> bool:
        """Whether it asks for random images of all classes; then D_ft and D_rt are random halves of the test images."""
        return self.request.get("of") == ALL

    def remembered(self, model: str, when: When) -> Remembered | None:
        """What a model remembers; after re-estimation None without BatchNorm, and None where it is not known."""
        found = self.models.get(model)
        return None if found is None else found.before if when == "before" else found.after

    def recognised(self, model: str, when: When) -> float | None:
        """A model's accuracy on D_f in percent; None where it is not known."""
        found = self.remembered(model, when)
        return None if found is None else found.accuracy["forget_train"]

    def price(self, model: str, part: str = "remain_test") -> float | None:
        """How many points of accuracy on a set a model loses, before re-estimation; None where that is not known."""
        found, original = (self.remembered(each, "before") for each in (model, "original"))
        return None if not found or not original else original.accuracy[part] - found.accuracy[part]

    def from_retrain(self, model: str, part: str, when: When) -> float | None:
        """A model's accuracy on a set less that of Retrain, in points; None where either is not known."""
        found, retrain = (self.remembered(each, when) for each in (model, "retrain"))
        return None if not found or not retrain else found.accuracy[part] - retrain.accuracy[part]

    def distance(self, model: str, when: When) -> float | None:
        """The largest difference of a model from Retrain on D_f, D_ft and D_rt, in points; None where not known."""
        apart = [self.from_retrain(model, part, when) for part in SHOWN]
        return max((abs(each) for each in apart if each is not None), default=None)

    def like_retrain(self, model: str, when: When) -> bool | None:
        """Whether a model ends where Retrain does: WORTH points from it at the most, and not told from it.

        None where it is not known.
        """
        far, told = self.distance(model, when), self.told(model, when)
        return None if far is None or told is None else far <= WORTH and told == 0

    def beside_unseen(self, model: str, when: When) -> Estimate | None:
        """A model's accuracy on D_f less that on D_ft, in points; None where it is not known."""
        found = self.remembered(model, when)
        return None if found is None else difference(found.accuracy, self.models[model].sizes)

    def returns(self, model: str) -> bool | None:
        """Whether WORTH percent of D_f or more are recognised after re-estimation; None where it is not known."""
        after = self.recognised(model, "after")
        return None if after is None else after >= WORTH

    @property
    def tells(self) -> bool:
        """Whether memory of these images can show at all: the original, which saw them, is told as having seen them."""
        return self.told("original", "before") == 1

    def told(self, model: str, when: When) -> int | None:
        """1 where D_f is told from unseen images as seen, more than after Retrain; -1 where less; 0 where alike.

        Alike is what has 0 in the 95 % intervals of both differences from Retrain: of accuracy on D_f less accuracy on
        D_ft, and of the AUC of BY_LABEL. Where the two disagree, the accuracy decides. None where it is not known.
        """
        found, retrain = self.remembered(model, when), self.remembered("retrain", when)
        apart, usual = self.beside_unseen(model, when), self.beside_unseen("retrain", when)
        if not found or not retrain or not apart or not usual:
            return None
        return _side(less(apart, usual)) or _side(less(found.told_apart[BY_LABEL], retrain.told_apart[BY_LABEL]))


def _side(found: Estimate) -> int:
    """1 where an interval lies above 0, -1 where below, 0 where it holds 0, or is none."""
    if found.low is None or found.high is None:
        return 0
    return int(found.low > 0) - int(found.high < 0)


def less(found: Estimate, other: Estimate) -> Estimate:
    """One estimate less another, with a 95 % interval from those of the two, joined as Newcombe joins two shares.

    It takes the two for independent. Of two models on the same images they are not, and it is wider than it need be.
    """
    if found.value is None or other.value is None:
        return Estimate(None, None, None)
    apart = found.value - other.value
    if found.low is None or found.high is None or other.low is None or other.high is None:
        return Estimate(apart, None, None)
    down = math.hypot(found.value - found.low, other.high - other.value)
    up = math.hypot(found.high - found.value, other.value - other.low)
    return Estimate(apart, apart - down, apart + up)


def difference(accuracy: Mapping[str, float], sizes: Mapping[str, int]) -> Estimate:
    """Accuracy on D_f less that on D_ft in points, with a 95 % interval (Newcombe 1998, his method 10).

    It takes the images for draws: other images of the same classes would have given other numbers. It is an interval
    also where an accuracy is 0 or 100 %.
    """
    seen, unseen = (_wilson(accuracy[part], sizes[part]) for part in ("forget_train", "forget_test"))
    return less(seen, unseen)


def _wilson(percent: float, count: int) -> Estimate:
    """A share of so many in percent, with Wilson's 95 % interval."""
    z, share = 1.959964, percent / 100
    middle, half = share + z**2 / (2 * count), z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    low, high = (100 * (middle + side * half) / (1 + z**2 / count) for side in (-1, 1))
    return Estimate(percent, low, high)


@dataclass(frozen=True)
class Beyond:
    """What a run was asked to forget, request by request; of some nothing may be known."""

    asked: list[Asked]

    @property
    def of_classes(self) -> list[Asked]:
        """The requests for whole classes of which something is known, from few to many."""
        known = (each for each in self.asked if each.classes and each.models)
        return sorted(known, key=lambda each: each.classes)

    @property
    def of_images(self) -> list[Asked]:
        """The requests for single images of which something is known."""
        return [each for each in self.asked if not each.classes and each.models]

    def known(self, models: tuple[str, ...] = MODELS) -> list[str]:
        """Those of some models of which anything is known, in their order."""
        return [model for model in models if any(model in each.models for each in self.asked)]


def measure(experiment: Experiment) -> Beyond:
    """Every request of a run, put to every model, as far as it is recorded."""
    models = [model for model in MODELS if model in ("original", LASTING, *experiment.config.methods)]
    asked = []
    for request in experiment.config.requests:
        gathering = Gathering()
        each = Asked(request, described(request, experiment.dataset.classes), {}, gathering.gaps)
        for model in models:
            found = gathering.ask(called(model), requested, *put(experiment, request, model))
            if found is not None and _diverged(found):
                each.gaps.diverged.append(called(model))
            elif found is not None:
                each.models[model] = found
        asked.append((each, gathering))
    if not any(each.models for each, _ in asked):
        for each, gathering in asked:
            gathering.needs_some(each.models)
    return Beyond([each for each, _ in asked])


def put(experiment: Experiment, request: Request, model: str) -> tuple[Experiment, str]:
    """The experiment in which a model answers a request, and what the model is called there."""
    name = lasting.SHRINK if model == LASTING else model
    there = experiment.variation([] if name == "original" else [name], forget=dict(request))
    if model == LASTING:
        setting = (*lasting.tuned(experiment.config.dataset), lasting.RECOMMENDED)[0]
        there = there.with_settings(name, **setting.settings)
    return there, name


def _diverged(found: Requested) -> bool:
    return not all(each.told_apart for each in (found.before, found.after) if each)


def called(model: str) -> str:
    """How a model of MODELS is called."""
    return "Lasting method" if model == LASTING else style.title(model)


def colour(model: str) -> str:
    """The one colour of a model of MODELS."""
    return lasting.COLOUR if model == LASTING else style.colour(model)


# --- figures and tables -------------------------------------------------------------------------------------------


def by_classes(found: Beyond) -> Figure | None:
    """What is recognised of D_f, a row a model and a panel a number of classes; None where no class was asked for.

    A ring before re-estimation, a dot after it.
    """
    if not found.of_classes:
        return None
    asked, names = found.of_classes, found.known()
    size = (NARROW - 0.4, 0.2 * len(names) + 0.9)
    figure, panels = plt.subplots(
        1, len(asked), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axes, each in zip(panels[0], asked, strict=True):
        for row, name in enumerate(names):
            ends = [value for when in WHEN if (value := each.recognised(name, when)) is not None]
            axes.plot(ends, [row] * len(ends), color=colour(name), linewidth=1, alpha=0.5)
            for value, fill in zip(ends, ("none", "full"), strict=False):
                axes.plot(value, row, "o", color=colour(name), fillstyle=fill, markersize=4.5, clip_on=False)
        count = f"{each.classes} classes" if each.classes > 1 else "1 class"
        axes.set(xlim=(-6, 106), xticks=(0, 50, 100))
        axes.set_title(count, fontsize=8)
        axes.tick_params(labelsize=7.5, pad=1)
    _rows(panels[0][0], names)
    figure.supxlabel("recognised of the forgetting images $D_f$, %", fontsize=7.5)
    return figure


def by_images(found: Beyond) -> Figure | None:
    """For each request for images a panel of accuracies and one of AUCs, a row a model; None where there is none.

    Left: a line from the accuracy on D_ft (bar) to that on D_f. Right: the AUC of BY_LABEL with its interval. In a row
    the upper mark, a ring, is before re-estimation, and the lower, a dot, after it. A grey line is at Retrain.
    """
    if not found.of_images:
        return None
    names = found.known()
    size = (NARROW - 0.4, len(found.of_images) * (0.23 * len(names) + 0.32) + 0.3)
    figure, rows = plt.subplots(
        len(found.of_images), 2, figsize=size, sharex="col", sharey=True, squeeze=False, layout="constrained"
    )
    for (left, right), each in zip(rows, found.of_images, strict=True):
        for row, name in enumerate(names):
            for when, fill, above in zip(WHEN, ("none", "full"), (-0.2, 0.2), strict=True):
                if (said := each.remembered(name, when)) is None:
                    continue
                look = {"color": colour(name), "clip_on": False}
                ring = look | {"marker": "o", "fillstyle": fill, "markersize": 4}
                seen, unseen = said.accuracy["forget_train"], said.accuracy["forget_test"]
                auc = said.told_apart[BY_LABEL]
                left.plot((seen, unseen), [row + above] * 2, linewidth=1, **look)
                left.plot(unseen, row + above, marker="|", markersize=6, markeredgewidth=1.5, **look)
                left.plot(seen, row + above, **ring)
                right.plot((auc.low, auc.high), [row + above] * 2, linewidth=1, **look)
                right.plot(auc.value, row + above, **ring)
        if (retrain := each.remembered("retrain", "before")) is not None:
            left.axvline(retrain.accuracy["forget_train"], color=GREY, linewidth=1)
            right.axvline(retrain.told_apart[BY_LABEL].value, color=GREY, linewidth=1)
        left.set(xlim=(-4, 104), xticks=(0, 50, 100))
        right.set(xlim=(0, 1), xticks=(0, 0.5, 1))
        _rows(left, names)
        left.set_title(in_figure(each.called), fontsize=8, loc="left")
        for axes in (left, right):
            axes.tick_params(labelsize=7.5, pad=1)
            axes.grid(visible=False, axis="y")
    rows[-1][0].set_xlabel("accuracy, %", fontsize=7.5)
    rows[-1][1].set_xlabel("AUC, $D_f$ from $D_{ft}$", fontsize=7.5)
    return figure


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set(yticks=range(len(names)), yticklabels=[called(name) for name in names], ylim=(len(names) - 0.4, -0.6))


def classes_table(found: Beyond) -> Styler | None:
    """Every model on every request for classes, before and after re-estimation; None where there is none."""

    def row(each: Asked, name: str) -> dict[str, str]:
        cells = {
            f"{set_title(part)} {when}, %": number(of(each, name, when, part), ".1f") for part in SHOWN for when in WHEN
        }
        beside = number(each.from_retrain(name, "remain_test", "after"), "+.1f")
        return cells | {f"{set_title('remain_test')} after, less Retrain's, points": beside}

    def of(each: Asked, name: str, when: When, part: str) -> float | None:
        said = each.remembered(name, when)
        return None if said is None else said.accuracy[part]

    rows = {(in_html(each.called), called(name)): row(each, name) for each in found.of_classes for name in each.models}
    return _as_table(rows, ["to forget", "model"], lacking(found, classes=True)) if rows else None


def images_table(found: Beyond) -> Styler | None:
    """Every model on every request for images, before and after re-estimation; None where there is none."""

    def row(each: Asked, name: str, when: When) -> dict[str, str]:
        said, apart = each.remembered(name, when), each.beside_unseen(name, when)
        if not said or not apart:
            return {}
        cells = {f"{set_title(part)}, %": f"{said.accuracy[part]:.1f}" for part in SHOWN}
        cells["from Retrain at the most, points"] = number(each.distance(name, when))
        cells[sets_named("D_f less D_ft, points")] = with_ends(apart, "+.1f")
        return cells | {f"AUC, {ATTACKS[kind].title.lower()}": with_ends(auc, ".2f")
                        for kind, auc in said.told_apart.items()}  # fmt: skip

    rows = {
        (in_html(each.called), called(name), when): cells
        for each in found.of_images
        for name in each.models
        for when in WHEN
        if (cells := row(each, name, when))
    }
    return _as_table(rows, ["to forget", "model", "re-estimation"], lacking(found, classes=False)) if rows else None


def _as_table(rows: Mapping[Any, Mapping[str, str]], names: list[str], note: str) -> Styler:
    """A table with the levels `names` of its rows, and a note beneath it."""
    frame = pd.DataFrame.from_dict(dict(rows), orient="index").fillna("–")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=names)
    return as_table(frame, note)


def lacking(found: Beyond, classes: bool) -> str:
    """What is not known of the requests for classes, or for images, in a line of plain text; "" where all is."""
    asked = sorted((each for each in found.asked if bool(each.classes) == classes), key=lambda each: each.classes)
    kinds = {
        "Not recorded": {each.called: each.gaps.not_recorded for each in asked},
        "Diverged": {each.called: each.gaps.diverged for each in asked},
    }
    lines = {
        kind: "; ".join(f"{request} ({', '.join(models)})" for request, models in found.items() if models)
        for kind, found in kinds.items()
    }
    return " ".join(f"{kind}: {line}." for kind, line in lines.items() if line)
