"""The deep setting of the lasting method: whether the features forget as well, and who still finds the class there.

Its steps play against linear probes of the features, so this page also asks auditors whom no setting is trained
against, and puts the setting beside the Retrain of every class.
"""

import itertools
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.audits.held_out import HeldOut
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import NotRecorded

from ..claims import CannotTest
from ..gaps import Gaps, Gathering
from ..measured.lasting import held_out
from ..replicates import replicates
from ..style import as_table, colour, in_html, number, sets_named, title
from . import audit, lasting
from .lasting import COST, DEEP, GONE, RECOMMENDED, SHOTS, SHRINK, EveryClass, Lasting, Left, Row, Setting


def _of_deep(called: str, says: str, **change: Any) -> Setting:
    return replace(DEEP, called=called, says=says, settings=DEEP.settings | change)


# Each changes one thing of DEEP; looked at with the first seed alone.
PARTS = (
    _of_deep("old output row", "the class's row stays as it was", output_row="kept"),
    _of_deep("one adversary", "none a block earlier", adversary_before=0.0),
    _of_deep("no adversary", "the row alone is learned anew", adversary=0.0, adversary_before=0.0),
)
OLD_ROW, _, NO_ADVERSARY = PARTS


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OffTheLadder:
    """What auditors find against whom no setting is trained, by the name of a model's row and by replicate."""

    found: dict[str, dict[str, HeldOut]]
    gaps: Gaps

    def values(self, called: str, of: Callable[[HeldOut], float]) -> list[float]:
        """A number of a model, of every replicate that has it."""
        return [of(each) for each in self.found.get(called, {}).values()]


@dataclass(frozen=True)
class Deep:
    """The deep setting of a run beside the others of the chapter on lasting.

    `parts`: what PARTS leave on the first replicate. `told_by`: the audits of the ladder that tell the setting from a
    Retrain, by title; None where it was not on it. `off_the_ladder` and `every_class`: None where nothing is recorded.
    """

    lasting: Lasting
    parts: dict[str, Left]
    told_by: list[str] | None
    off_the_ladder: OffTheLadder | None
    every_class: EveryClass | None

    @property
    def row(self) -> Row | None:
        """The setting as it is, untuned; None where it was not tried over several seeds."""
        return self.lasting.row(DEEP.called) if self.lasting.range(lasting.after_re_estimation) else None


def measure(experiment: Experiment, everything: bool = False) -> Deep:
    """The deep setting over the replicates of a run, as far as it is recorded, or all of it with `everything`."""
    return Deep(
        lasting.measure(experiment, everything),
        _parts(experiment, everything),
        _told_by(experiment),
        off_the_ladder(experiment, everything),
        lasting.every_class(experiment, everything),
    )


def _parts(experiment: Experiment, everything: bool) -> dict[str, Left]:
    if (base := lasting.kept_by(experiment, everything)) is None:
        return {}
    which, sizes, gathering = f"seed {base.config.seed}", lasting.set_sizes(experiment), Gathering()
    rows = [lasting.traced_row(gathering, each, "ablation", base, {which: base}, sizes) for each in PARTS]
    return {row.called: row.left[which] for row in rows if row.left}


def _told_by(experiment: Experiment) -> list[str] | None:
    with suppress(NotRecorded, CannotTest):
        made = audit.climbed(experiment)
        if "lasting_deep" in made.readings and made.range("output"):
            return [audit.RUNGS[rung].title.lower() for rung in made.told_apart("lasting_deep")]
    return None


LOOKED_AT = (RECOMMENDED, DEEP)  # the settings that the other auditors look at, beside the original and Retrain


def off_the_ladder(experiment: Experiment, everything: bool = False) -> OffTheLadder | None:
    """What those auditors find over the replicates, as far as it is recorded; computed with `everything` alone.

    None without recorded replicates, and where nothing is recorded.
    """
    if lasting.kept_by(experiment, everything) is None:
        return None
    runs = replicates(experiment)
    gathering, found = Gathering(), dict[str, dict[str, HeldOut]]()
    asked: list[tuple[str, str, dict[str, Any]]] = [(title(name), name, {}) for name in ("original", "retrain")]
    asked += [(setting.called, setting.method, setting.settings) for setting in LOOKED_AT]
    for called, method, settings in asked:
        for which, run in runs.items():
            there = run.with_settings(method, **settings) if settings else run
            if (each := gathering.ask(f"{called}, {which}", held_out, there, method)) is not None:
                found.setdefault(called, {})[which] = each
    return OffTheLadder(found, gathering.gaps) if found else None


# Learning rates and epochs, tried on a seed that no replicate has.
GRID = tuple(itertools.product((0.003, 0.01), (5, 10, 20)))
ANOTHER_SEED = 5


def search(experiment: Experiment) -> list[Row]:
    """Every point of GRID in place of the rate and the epochs of DEEP, on three classes that are not the run's own.

    A row a point, after those of the original and of Retrain.
    """
    points = [_of_deep(f"rate {lr:g}, epochs {epochs}", "", lr=lr, epochs=epochs) for lr, epochs in GRID]
    return lasting.tried(experiment, experiment.config.seed + ANOTHER_SEED, ("original", "retrain"), points)


def nearest(rows: Sequence[Row]) -> Row | None:
    """The rule of the search: what shows about as much of the class as Retrain, to few shots and to a probe.

    Of the rows within the limits of the other search, GONE and COST, that which is the fewest points off on the sum of
    both recalls, each class beside its own Retrain. None where no row is within them.
    """
    original, retrain, *points = rows
    there = [
        row
        for row in points
        if (row.mean(lasting.after_re_estimation) or 0.0) <= GONE and lasting.lost(original, row) <= COST
    ]
    return min(there, key=lambda row: off_retrain(retrain, row), default=None)


def off_retrain(retrain: Row, row: Row) -> float:
    """How many points the recalls by few shots and by a probe lie off those of Retrain, both together, on average."""
    pairs = [(retrain.left[which], left) for which, left in row.left.items()]
    return statistics.fmean(abs(one.shots - left.shots) + abs(one.probe - left.probe) for one, left in pairs)


# --- figure and tables --------------------------------------------------------------------------------------------


def who_finds_it(made: Deep) -> Figure | None:
    """How much of D_ft each auditor recalls of four models, and from least to most of the Retrains.

    None where the setting was not tried over several seeds.
    """
    if made.row is None:
        return None
    found = {called: _recalled(made, called) for called in _MARKS}
    retrains = _recalled(made, title("retrain"))
    auditors = [name for name in retrains if all(name in each for each in found.values())]
    figure, axes = plt.subplots(figsize=(6.4, 0.45 * len(auditors) + 1.6), layout="constrained")
    for place, name in enumerate(auditors):
        low, high = min(retrains[name]), max(retrains[name])
        axes.plot(
            [low, high], [place, place], color=colour("retrain"), linewidth=9, alpha=0.5, solid_capstyle="round",
            label="" if place else "range of the Retrains",
        )  # fmt: skip
    for called, look in _MARKS.items():
        means = [statistics.fmean(found[called][name]) for name in auditors]
        axes.plot(means, range(len(auditors)), linestyle="", markersize=8, label=called, clip_on=False, **look)
    axes.set_yticks(range(len(auditors)), auditors)
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="$D_{ft}$ recalled, %")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure


_MARKS: dict[str, dict[str, Any]] = {
    title("original"): {"marker": "o", "color": colour("original")},
    RECOMMENDED.called: {"marker": "o", "color": lasting.COLOUR, "fillstyle": "none", "markeredgewidth": 1.6},
    DEEP.called: {"marker": "D", "color": lasting.COLOUR},
}


def _recalled(made: Deep, called: str) -> dict[str, list[float]]:
    """The recalls of a model by the auditor's name, of every replicate."""
    row, off = made.lasting.row(called), made.off_the_ladder
    found = {} if row is None else {auditor: row.values(of) for auditor, of in ON_THE_LADDER.items()}
    if off is not None and called in off.found:
        found |= {auditor: off.values(called, of) for auditor, of in AUDITORS.items()}
    return found


ON_THE_LADDER: dict[str, Callable[[Left], float]] = {
    f"{SHOTS} labelled images": lambda left: left.shots,
    "linear probe": lambda left: left.probe,
}


def beside_retrain_table(made: Deep) -> Styler | None:
    """A row a number of the chapter on lasting, a column a model; bold where it lies in the range of the Retrains.

    None where the setting was not tried over several seeds.
    """
    named = [title("original"), title(SHRINK), RECOMMENDED.called, DEEP.called, lasting.DEEP_TUNED_TITLE]
    rows = [row for called in named if (row := made.lasting.row(called)) is not None]
    if made.row is None:
        return None
    columns = {lasting.heading(row): lasting.cells(made.lasting, row, list(lasting.NUMBERS)) for row in rows}
    ends = {sets_named(called): made.lasting.range(of) for called, of in lasting.NUMBERS.values()}
    columns["range of the Retrains"] = {
        called: f"{known[0]:.1f}&nbsp;to&nbsp;{known[1]:.1f}" for called, known in ends.items() if known
    }
    return as_table(pd.DataFrame(columns).fillna("–"), f"{lasting.means_over(made.lasting)}.")


def parts_table(made: Deep) -> Styler | None:
    """What the setting leaves on the first seed, and what each of PARTS leaves; None where none is known."""
    row = made.row
    if row is None or not made.parts:
        return None
    first = made.lasting.replicates[0]
    rows = {"the deep setting": row.left[first]} | {
        f"{in_html(each.called)}<br><small>{sets_named(each.says)}</small>": made.parts[each.called]
        for each in PARTS
        if each.called in made.parts
    }
    shown = {
        name: {sets_named(called): number(of(left)) for called, of in lasting.NUMBERS.values()}
        for name, left in rows.items()
    }
    return as_table(pd.DataFrame.from_dict(shown, orient="index"), f"{first.capitalize()} alone.")


ONE_EARLIER = "linear probe, one block earlier"  # where DEEP has an adversary
TWO_EARLIER = "linear probe, two blocks earlier"
AUDITORS: dict[str, Callable[[HeldOut], float]] = {
    "nearest neighbours": lambda found: found.neighbours,
    "small network": lambda found: found.network,
    ONE_EARLIER: lambda found: found.earlier,
    TWO_EARLIER: lambda found: found.two_earlier,
}
UNTRAINED = [auditor for auditor in AUDITORS if auditor != ONE_EARLIER]


def off_the_ladder_table(made: Deep) -> Styler | None:
    """What each of AUDITORS recalls of D_ft in percent, a row a model: means, and from least to most."""
    found = made.off_the_ladder
    if found is None:
        return None
    rows = {}
    for called in found.found:
        values = {auditor: found.values(called, of) for auditor, of in AUDITORS.items()}
        rows[in_html(called)] = {
            f"{auditor}, %": f"{statistics.fmean(each):.1f} ({min(each):.1f} to {max(each):.1f})"
            for auditor, each in values.items()
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"), found.gaps.shown())


BESIDE: dict[str, Callable[[Left], float]] = {
    "D_rt after, points": lambda left: left.after["remain_test"],
    "threshold, points": lambda left: left.threshold,
    f"{SHOTS} shots, points": lambda left: left.shots,
    "probe, points": lambda left: left.probe,
}


def beside_each_retrain_table(made: Deep) -> Styler | None:
    """What both settings leave less what the Retrain of the same class shows, in points: means, least and most.

    None without a class whose Retrain is known.
    """
    every = made.every_class
    if every is None or not every.retrain:
        return None
    rows: dict[str, dict[str, str]] = {}
    for setting in (RECOMMENDED, DEEP):
        for called, of in BESIDE.items():
            if values := every.beyond_retrain(setting.called, of):
                ends = f"{min(values):+.1f}&nbsp;to&nbsp;{max(values):+.1f}"
                shown = f"{statistics.fmean(values):+.1f}<br><small>{ends}</small>"
                rows.setdefault(in_html(setting.called), {})[sets_named(called)] = shown
    note = "The difference from the Retrain of the same class, a mean over the classes; small: the least and the most."
    return as_table(pd.DataFrame.from_dict(rows, orient="index"), note)
