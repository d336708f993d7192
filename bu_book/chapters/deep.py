"""The deep setting of the lasting method: whether the features forget as well, and who still finds the class there.

Its steps play against linear probes of the features, so this page also asks auditors of other kinds and of earlier
blocks, and puts the setting beside the Retrain of every class.
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
from ..style import NARROW, as_table, colour, in_html, number, sets_named, title
from . import audit, lasting
from .lasting import DEEP, RECOMMENDED, SHOTS, SHRINK, EveryClass, Lasting, Left, Row, Setting


def _of_deep(called: str, says: str, **change: Any) -> Setting:
    return replace(DEEP, called=called, says=says, settings=DEEP.settings | change)


# DEEP with some of what makes it deep taken away; looked at with the first seed alone.
TAKEN_AWAY = (
    _of_deep("old output row", "the class's row stays as it was", output_row="kept"),
    _of_deep("one adversary", "none a block earlier", adversary_before=0.0),
    _of_deep("no adversary", "the row alone is learned anew", adversary=0.0, adversary_before=0.0),
)


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OffTheLadder:
    """What auditors find who are not on the ladder, by the name of a model's row and by replicate."""

    found: dict[str, dict[str, HeldOut]]
    gaps: Gaps

    def values(self, called: str, of: Callable[[HeldOut], float]) -> list[float]:
        """A number of a model, of every replicate that has it."""
        return [of(each) for each in self.found.get(called, {}).values()]


@dataclass(frozen=True)
class Deep:
    """The deep setting of a run beside the others of the chapter on lasting.

    `over_seeds`: every row of that chapter. `taken_away`: what each of TAKEN_AWAY leaves on the first replicate.
    `told_by`: the audits of the ladder that tell the setting from a Retrain, by title; `by_slack`: those that do not by
    their slack alone; None where it did not climb beside Retrains. `off_the_ladder` and `every_class`: None where there
    is nothing recorded.
    """

    over_seeds: Lasting
    taken_away: dict[str, Left]
    told_by: list[str] | None
    by_slack: list[str] | None
    off_the_ladder: OffTheLadder | None
    every_class: EveryClass | None

    @property
    def row(self) -> Row | None:
        """The setting as it was made for CIFAR-10; None where it was not tried, or beside fewer than two Retrains."""
        return self.over_seeds.row(DEEP.called) if self.over_seeds.range(lasting.after_re_estimation) else None


def measure(experiment: Experiment, everything: bool = False) -> Deep:
    """The deep setting over the replicates of a run, as far as it is recorded.

    With `everything`, what a record of replicates keeps is computed, but for the ladder, which is the audits' own.
    """
    told_by, by_slack = _on_the_ladder(experiment)
    return Deep(
        lasting.measure(experiment, everything),
        _taken_away(experiment, everything),
        told_by,
        by_slack,
        off_the_ladder(experiment, everything),
        lasting.every_class(experiment, everything),
    )


def _taken_away(experiment: Experiment, everything: bool) -> dict[str, Left]:
    if (base := lasting.kept_by(experiment, everything)) is None:
        return {}
    which, sizes, gathering = f"seed {base.config.seed}", lasting.set_sizes(experiment), Gathering()
    rows = [lasting.traced_row(gathering, each, "ablation", base, {which: base}, sizes) for each in TAKEN_AWAY]
    return {row.called: row.left[which] for row in rows if row.left}


def _on_the_ladder(experiment: Experiment) -> tuple[list[str] | None, list[str] | None]:
    with suppress(NotRecorded, CannotTest):
        made = audit.climbed(experiment)
        if made.beside_retrains(ON_THE_LADDER):
            inside = [rung for rung in audit.RUNGS if made.by_slack(ON_THE_LADDER, rung)]
            told = made.told_apart(ON_THE_LADDER), inside
            by_title, by_slack = ([audit.RUNGS[rung].title.lower() for rung in rungs] for rungs in told)
            return by_title, by_slack
    return None, None


ON_THE_LADDER = "lasting_deep"  # the setting's row there
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
    return lasting.on_other_classes(experiment, experiment.config.seed + ANOTHER_SEED, ("original", "retrain"), points)


def most_like_retrain(rows: Sequence[Row]) -> Row | None:
    """The rule of the search: what shows about as much of the class as Retrain, to few shots and to a probe.

    Of the rows within the limits of the other search, that which is the fewest points off on the sum of both recalls,
    each class beside its own Retrain. None where no row is within them.
    """
    original, retrain, *points = rows
    within = lasting.within_limits(original, points)
    return min(within, key=lambda row: off_retrain(retrain, row), default=None)


def off_retrain(retrain: Row, row: Row) -> float:
    """How many points the recalls by few shots and by a probe lie off those of Retrain, both together, on average."""
    pairs = [(retrain.left[which], left) for which, left in row.left.items()]
    return statistics.fmean(abs(one.shots - left.shots) + abs(one.probe - left.probe) for one, left in pairs)


# --- figure and tables --------------------------------------------------------------------------------------------


def who_finds_it(made: Deep) -> Figure | None:
    """How much of D_ft each auditor recalls of the original and of ours, and from least to most of the Retrains.

    None where the setting was not tried over several seeds.
    """
    if made.row is None:
        return None
    found = {called: recalled for called in _MARKS if (recalled := _recalled(made, called))}
    retrains = _recalled(made, title("retrain"))
    auditors = [name for name in retrains if all(name in each for each in found.values())]
    figure, axes = plt.subplots(figsize=(NARROW, 0.45 * len(auditors) + 1.3), layout="constrained")
    for place, name in enumerate(auditors):
        low, high = min(retrains[name]), max(retrains[name])
        axes.plot(
            [low, high], [place, place], color=colour("retrain"), linewidth=8, alpha=0.6, solid_capstyle="round",
            label="" if place else "range of the Retrains",
        )  # fmt: skip
    for called, recalled in found.items():
        means = [statistics.fmean(recalled[name]) for name in auditors]
        look: dict[str, Any] = {"color": lasting.COLOUR, "markersize": 7, "markeredgewidth": 1.6} | _MARKS[called]
        axes.plot(means, range(len(auditors)), linestyle="", clip_on=False, **look)
    axes.set_yticks(range(len(auditors)), [name.replace(", ", ",\n") for name in auditors])
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xticks=range(0, 101, 25))
    axes.set_xlabel("$D_{ft}$ recalled, %", fontsize=8)
    axes.tick_params(labelsize=8)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7, frameon=False)
    return figure


_MARKS: dict[str, dict[str, Any]] = {
    title("original"): {"label": "Original", "marker": "o", "color": colour("original")},
    RECOMMENDED.called: {"label": "lasting method", "marker": "o", "fillstyle": "none"},
    DEEP.called: {"label": "deep", "marker": "D"},
    lasting.DEEP_TUNED_TITLE: {"label": "deep, tuned", "marker": "s", "fillstyle": "none"},
}


def _recalled(made: Deep, called: str) -> dict[str, list[float]]:
    """The recalls of a model by the auditor's name, of every replicate."""
    row, off = made.over_seeds.row(called), made.off_the_ladder
    found = {} if row is None else {auditor: row.values(of) for auditor, of in OF_THE_LAST_FEATURES.items()}
    if off is not None and called in off.found:
        found |= {auditor: off.values(called, of) for auditor, of in AUDITORS.items()}
    return found


OF_THE_LAST_FEATURES: dict[str, Callable[[Left], float]] = {
    f"{SHOTS} labelled images": lambda left: left.shots,
    "linear probe": lambda left: left.probe,
}


def beside_retrain_table(made: Deep) -> Styler | None:
    """A row a number of the chapter on lasting, a column a model; bold where it lies in the range of the Retrains.

    None where the setting was not tried over several seeds.
    """
    named = [title("original"), title(SHRINK), RECOMMENDED.called, DEEP.called, lasting.DEEP_TUNED_TITLE]
    rows = [row for called in named if (row := made.over_seeds.row(called)) is not None]
    if made.row is None:
        return None
    columns = {lasting.heading(row): lasting.cells(made.over_seeds, row, list(lasting.NUMBERS)) for row in rows}
    ends = {sets_named(called): made.over_seeds.range(of) for called, of in lasting.NUMBERS.values()}
    columns["range of the Retrains"] = {
        called: f"{known[0]:.1f}&nbsp;to&nbsp;{known[1]:.1f}" for called, known in ends.items() if known
    }
    return as_table(pd.DataFrame(columns).fillna("–"), f"{lasting.means_over(made.over_seeds)}. {THRESHOLD}")


def taken_away_table(made: Deep) -> Styler | None:
    """What the setting leaves on the first seed, what each of TAKEN_AWAY leaves, and that seed's Retrain.

    None where nothing was taken away.
    """
    first = made.over_seeds.replicates[0]
    whole, retrain = (row.left.get(first) if row else None for row in (made.row, made.over_seeds.row(title("retrain"))))
    if whole is None or not made.taken_away:
        return None
    rows = {"the deep setting": whole} | {
        f"{in_html(each.called)}<br><small>{sets_named(each.says)}</small>": made.taken_away[each.called]
        for each in TAKEN_AWAY
        if each.called in made.taken_away
    }
    rows |= {title("retrain"): retrain} if retrain else {}
    shown = {
        name: {sets_named(called): number(of(left)) for called, of in lasting.NUMBERS.values()}
        for name, left in rows.items()
    }
    return as_table(pd.DataFrame.from_dict(shown, orient="index"), f"{first.capitalize()} alone. {THRESHOLD}")


# Under the tables that have this column.
THRESHOLD = "Threshold: of our models without a new row, after the class's output row was erased."

ONE_EARLIER = "linear probe, one block earlier"  # where DEEP has an adversary
AUDITORS: dict[str, Callable[[HeldOut], float]] = {
    "nearest neighbours": lambda found: found.neighbours,
    "small network": lambda found: found.network,
    ONE_EARLIER: lambda found: found.earlier,
    "linear probe, two blocks earlier": lambda found: found.two_earlier,
}


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


BESIDE: dict[str, Callable[[Left], float | None]] = {
    "D_rt after, points": lambda left: left.after["remain_test"],
    "threshold, points": lambda left: left.threshold,
    f"{SHOTS} shots, points": lambda left: left.shots,
    "probe, points": lambda left: left.probe,
    "steps to relearn": lambda left: left.relearn_few,
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
    note = (
        f"The difference from the one Retrain of the same class, a mean over {len(every.retrain)} classes; small: the "
        "least and the most."
    )
    return as_table(pd.DataFrame.from_dict(rows, orient="index"), note)
