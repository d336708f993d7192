"""The paper's claims, and how a verdict on each is computed from what was measured.

A claim stands in the module of the chapter that measures it. It is a list of checks, each a comparison of measured
numbers that holds or does not. One rule turns checks into a verdict: *reproduced* where all hold, *partly reproduced*
where some do, *not reproduced* where none does, and *not measured here* where a run lacks what a check needs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import pandas as pd
from pandas.io.formats.style import Styler

from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import NotRecorded
from bu_core.measures import Interval

from .style import in_html, sets_named

REPRODUCED, PARTLY, NOT_REPRODUCED = "reproduced", "partly reproduced", "not reproduced"
NOT_MEASURED = "not measured here"

NEAR = 10  # points of ASR within which two methods are called close


@dataclass(frozen=True)
class Check:
    """`rule`: what has to hold, in words; `measured`: the numbers, in words; `holds`: whether it does."""

    rule: str
    measured: str
    holds: bool


class CannotTest(Exception):
    """A run lacks what a check needs; the message says what."""


@dataclass(frozen=True)
class Claim:
    """`source` names the table, figure or section of the paper; `checks` computes them from a run."""

    number: int
    source: str
    text: str
    checks: Callable[[Experiment], list[Check]]


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, the checks behind it, and what was missing for them."""

    claim: Claim
    verdict: str
    checks: list[Check]
    missing: str | None


CLAIMS: dict[int, Claim] = {}


def claim(number: int, source: str, text: str) -> Callable[[Callable[[Experiment], list[Check]]], Claim]:
    """Register the checks of one of the paper's claims."""

    def register(checks: Callable[[Experiment], list[Check]]) -> Claim:
        CLAIMS[number] = Claim(number, source, text, checks)
        return CLAIMS[number]

    return register


_KNOWN: WeakKeyDictionary[Experiment, dict[Claim, Judgement]] = WeakKeyDictionary()


def judge(asked: Claim, experiment: Experiment) -> Judgement:
    """The verdict on one claim; reached once for an experiment, since a page may ask for it twice."""
    known = _KNOWN.setdefault(experiment, {})
    if asked not in known:
        try:
            known[asked] = verdict(asked, asked.checks(experiment))
        except (CannotTest, NotRecorded) as missing:
            known[asked] = Judgement(asked, NOT_MEASURED, [], str(missing))
    return known[asked]


def verdict(asked: Claim, checks: list[Check]) -> Judgement:
    """The verdict that follows from the checks of a claim."""
    held = sum(check.holds for check in checks)
    found = REPRODUCED if held == len(checks) else PARTLY if held else NOT_REPRODUCED
    return Judgement(asked, found, checks, None)


def judged(numbers: Sequence[int], experiment: Experiment) -> list[Judgement]:
    """The verdicts on some claims, by number."""
    from . import chapters

    chapters.load()  # which registers the claims
    return [judge(CLAIMS[number], experiment) for number in numbers]


# --- checks -------------------------------------------------------------------------------------------------------


def needs(experiment: Experiment, *names: str) -> None:
    """Raise CannotTest where a run has not these models, or one of them diverged."""
    for name in names:
        if name not in experiment.names:
            raise CannotTest(f"the profile does not run {name}")
        if name not in experiment.sound:
            raise CannotTest(f"{name} diverged")


def at_most(what: str, value: float, limit: float, unit: str = "%") -> Check:
    """A check that a number does not exceed a limit."""
    return Check(f"{what} is at most {_amount(limit, unit)}", f"{value:.2f} {unit}".rstrip(), value <= limit)


def at_least(what: str, value: float, limit: float, unit: str = "%") -> Check:
    """A check that a number reaches a limit."""
    return Check(f"{what} is at least {_amount(limit, unit)}", f"{value:.2f} {unit}".rstrip(), value >= limit)


def above(what: str, first: float, other: str, second: float, unit: str = "%") -> Check:
    """A check that one number exceeds another."""
    return Check(f"{what} exceeds {other}", f"{first:.2f} against {second:.2f} {unit}", first > second)


def mean_at_most(what: str, found: Interval, limit: float, unit: str) -> Check:
    """A check that a mean does not exceed a limit."""
    return Check(f"{what} is at most {_amount(limit, unit)}", f"{found.shown()} {unit}", found.mean <= limit)


def _amount(limit: float, unit: str) -> str:
    return f"{limit:g} {unit.removesuffix('s') if limit == 1 else unit}".rstrip()


# --- how verdicts are shown ---------------------------------------------------------------------------------------

SHORT = {REPRODUCED: "<b>yes</b>", PARTLY: "partly", NOT_REPRODUCED: "<b>no</b>", NOT_MEASURED: "–"}


def table(runs: Mapping[str, Sequence[Judgement]]) -> Styler:
    """A row for each claim, a column for each run: the verdict in a word, and the checks behind it, which fold out."""

    def cell(found: Judgement) -> str:
        because = [
            f"{'✓' if check.holds else '✗'} {sets_named(check.rule)}: {sets_named(check.measured)}"
            for check in found.checks
        ] or [sets_named(found.missing or "")]
        held = sum(check.holds for check in found.checks)
        summary = f"{SHORT[found.verdict]} ({held} of {len(found.checks)})" if found.checks else found.verdict
        return f"<details><summary>{summary}</summary>{'<br>'.join(because)}</details>"

    claims = [found.claim for found in next(iter(runs.values()))]
    frame = pd.DataFrame({in_html(name): [cell(found) for found in judgements] for name, judgements in runs.items()})
    frame.index = pd.Index([f"{each.number}. {sets_named(each.text)} ({in_html(each.source)})" for each in claims])
    return frame.style.set_table_attributes('class="results verdicts"')
