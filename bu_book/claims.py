"""The paper's claims, and how a verdict on each is computed from what was measured.

A claim stands in the module of the chapter that measures it. It has one primary check: an effect, measured once a
replicate (a seed, or a round where time is measured), and a region in which it has to lie if the claim is right. The
verdict follows from where the interval of the effect's mean lies:

- *confirmed*: all of it inside the region; *contradicted*: all of it outside;
- *inconclusive*: across an end of the region, or a single replicate, which has no interval;
- *depends on* a choice that the paper leaves open (the attack, the class asked, the machine): confirmed with one,
  contradicted with another;
- *not measured*: a run lacks what the check needs, or the check could not have failed there, or could not have held.

Fourteen claims give fourteen chances to be wrong by luck. So each interval is widened after Bonferroni: to 1 - 0.05/14,
and where a claim is judged under k choices to 1 - 0.05/(14 k). All verdicts of a run then hold together at 95 %.

Secondary checks compare single numbers of the run. They are shown, and decide nothing.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from weakref import WeakKeyDictionary

import pandas as pd
from pandas.io.formats.style import Styler

from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import NotRecorded

from .gaps import named
from .style import in_html, sets_named, three_digits, title

CONFIRMED, CONTRADICTED, DEPENDS = "confirmed", "contradicted", "depends on"
INCONCLUSIVE, NOT_MEASURED = "inconclusive", "not measured"
VERDICTS = (CONFIRMED, CONTRADICTED, DEPENDS, INCONCLUSIVE, NOT_MEASURED)  # in the order of lists

FAMILY = 14  # the claims that are judged together
ERROR = 0.05  # the chance at the most that luck makes any of their verdicts wrong

# The replicate that stands for a run itself where none of the trainings that repeat it has a number.
THIS_RUN = "this run"

NEAR = 10  # points of ASR within which a secondary check calls two methods close


class CannotTest(Exception):
    """A run lacks what a check needs; the message says what."""


@dataclass(frozen=True)
class Bounds:
    """Where an effect has to lie, between `low` and `high`, the ends left out; either may be infinite.

    `why`: where the ends come from, in words.
    """

    low: float
    high: float
    why: str

    def holds(self, low: float, high: float) -> bool | None:
        """Whether an interval lies inside (True), outside (False), or across an end (None)."""
        if self.low < low and high < self.high:
            return True
        return False if high <= self.low or low >= self.high else None


@dataclass(frozen=True)
class Effect:
    """What a claim is judged by. `values`: by replicate, in `unit`, which is "%", "points", "times", "nats" or "".

    `region`: None where it comes from the spread of Retrain over seeds and that is not known. `paper`: the paper's own
    number, in words. `choice`: which of several choices this is, such as an attack. `void`: why the check could not
    have failed, or could not have held. `spread`: the standard deviation of the same number of Retrain over seeds.
    `classes`: the same effect by class, all classes there are. `missing`: the replicates that a record lacks. `than`:
    what the number is counted from, in words that follow it, where the claim does not say.
    """

    what: str
    unit: str
    values: Mapping[str, float]
    region: Bounds | None
    paper: str = ""
    choice: str = ""
    void: str = ""
    spread: float | None = None
    classes: Mapping[str, float] = field(default_factory=dict)
    missing: Sequence[str] = ()
    than: str = ""

    @property
    def mean(self) -> float:
        """The mean over the replicates."""
        return statistics.fmean(self.values.values())


@dataclass(frozen=True)
class Check:
    """`rule`: what has to hold, in words; `measured`: the numbers, in words; `holds`: whether it does.

    `holds` is None for a check that is not counted, and `measured` then says why.
    """

    rule: str
    measured: str
    holds: bool | None


@dataclass(frozen=True)
class Evidence:
    """What a run says about a claim: its primary check, once a choice, and the secondary checks.

    `checks` may raise CannotTest or NotRecorded. `choice`: what is chosen, as in "depends on the attack"; "" for one
    effect. `note`: a limit of what was measured.
    """

    primary: Sequence[Effect]
    checks: Callable[[], list[Check]] = list
    choice: str = ""
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """`source` names the table, figure or section of the paper; `short` the claim in a few words.

    `evidence` computes from a run what it says about the claim.
    """

    number: int
    source: str
    text: str
    short: str
    evidence: Callable[[Experiment], Evidence]


@dataclass(frozen=True)
class Weighed:
    """An effect with the interval of its mean, None for a single replicate, and what follows: a verdict."""

    effect: Effect
    interval: tuple[float, float] | None
    verdict: str


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, and all behind it. `reason`: why there is none, or what limits it."""

    claim: Claim
    verdict: str
    tests: list[Weighed]
    checks: list[Check]
    reason: str = ""

    @property
    def counted(self) -> list[Weighed]:
        """The effects that the verdict rests on."""
        return [test for test in self.tests if not test.effect.void]

    @property
    def measured(self) -> str:
        """The size of the effect, in plain text, and from where to where for several choices; "" without one."""
        means = [test.effect.mean for test in self.counted]
        return span(min(means), max(means), self.counted[0].effect.unit) if means else ""

    @property
    def than(self) -> str:
        """What the size is counted from, in plain text that follows it; "" where the claim says so."""
        return self.counted[0].effect.than if self.counted else ""

    @property
    def secondary(self) -> str:
        """How many of the secondary checks hold, of those that are counted, in words; "" where none is."""
        holds = [check.holds for check in self.checks if check.holds is not None]
        count, failed = len(holds), holds.count(False)
        if not holds:
            return ""
        if 0 < failed < count:
            return f"{failed} of {count} secondary checks fail{'s' * (failed == 1)}"
        do = "fail" if failed else "hold"
        if count == 1:
            return f"its one secondary check {do}s"
        return f"{'both' if count == 2 else f'all {count}'} secondary checks {do}"

    @property
    def interval(self) -> str:
        """The interval of the effect in plain text; what stands in its way where there is none."""
        if not self.counted:
            return ""
        if len(self.counted) > 1:
            return f"{len(self.counted)} choices"
        effect, ends = self.counted[0].effect, self.counted[0].interval
        return _within(ends, effect.unit) if ends else "one run" if len(effect.values) == 1 else ""

    @property
    def paper(self) -> str:
        """The paper's own number, in plain text."""
        return self.counted[0].effect.paper if self.counted else ""

    @property
    def size(self) -> str:
        """The size of the effect beside the paper's, in plain text: `24.9 times; paper: 4.8 times`; "" without one."""
        return f"{self.measured} {self.than}".strip() + (f"; paper: {self.paper}" if self.paper else "")


CLAIMS: dict[int, Claim] = {}


def claim(
    number: int, source: str, text: str, short: str
) -> Callable[[Callable[[Experiment], Evidence]], Callable[[Experiment], Evidence]]:
    """Register the evidence on one of the paper's claims."""

    def register(evidence: Callable[[Experiment], Evidence]) -> Callable[[Experiment], Evidence]:
        CLAIMS[number] = Claim(number, source, text, short, evidence)
        return evidence

    return register


# --- the rule -----------------------------------------------------------------------------------------------------


def weigh(effect: Effect, choices: int = 1) -> Weighed:
    """The verdict on one effect, of a claim that is judged under so many choices."""
    values = list(effect.values.values())
    if effect.void:
        return Weighed(effect, None, NOT_MEASURED)
    if len(values) < 2 or effect.region is None:
        return Weighed(effect, None, INCONCLUSIVE)
    half = quantile(len(values), choices) * statistics.stdev(values) / math.sqrt(len(values))
    interval = (effect.mean - half, effect.mean + half)
    inside = effect.region.holds(*interval)
    return Weighed(effect, interval, INCONCLUSIVE if inside is None else CONFIRMED if inside else CONTRADICTED)


@cache
def quantile(count: int, choices: int = 1) -> float:
    """Student's t for the widened interval of a mean of so many values, two at the least: half it, in standard errors.

    Its level is 1 - ERROR / (FAMILY * choices).
    """
    from scipy.stats import t as student_t

    return float(student_t.ppf(1 - ERROR / (FAMILY * choices) / 2, count - 1))


def between_two(retrained: Sequence[float]) -> float | None:
    """Within what distance two Retrains of different seeds lie with 95 %, by the spread of these; None for one.

    It is the repeatability limit of ISO 5725: the difference of two draws has the square root of 2 times the standard
    deviation of one. It is not widened: that would make it easy to lie near Retrain, and hard to lie beyond.
    """
    return 1.96 * math.sqrt(2) * statistics.stdev(retrained) if len(retrained) > 1 else None


def verdict(asked: Claim, evidence: Evidence) -> Judgement:
    """The verdict that follows from the evidence on a claim.

    Of several choices, those that were measured in one replicate alone are left out where others have several.
    """
    tests = [weigh(effect, len(evidence.primary)) for effect in evidence.primary]
    checks = as_far_as_measured(evidence.checks)
    counted = [test for test in tests if not test.effect.void]
    if not counted:
        reason = "; ".join(dict.fromkeys(test.effect.void for test in tests))
        return Judgement(asked, NOT_MEASURED, tests, checks, reason)
    found = {test.verdict for test in counted if test.interval} or {INCONCLUSIVE}
    reason = evidence.note
    if {CONFIRMED, CONTRADICTED} <= found:
        return Judgement(asked, f"{DEPENDS} {evidence.choice}", tests, checks, reason)
    return Judgement(asked, found.pop() if len(found) == 1 else INCONCLUSIVE, tests, checks, reason)


_KNOWN: WeakKeyDictionary[Experiment, dict[Claim, Judgement]] = WeakKeyDictionary()


def judge(asked: Claim, experiment: Experiment) -> Judgement:
    """The verdict on one claim; reached once for an experiment, since a page may ask for it twice."""
    known = _KNOWN.setdefault(experiment, {})
    if asked not in known:
        try:
            about_one_class(experiment)  # as all of the paper's claims are
            known[asked] = verdict(asked, asked.evidence(experiment))
        except (CannotTest, NotRecorded) as missing:
            known[asked] = Judgement(asked, NOT_MEASURED, [], [], named(missing))
    return known[asked]


def judged(numbers: Sequence[int], experiment: Experiment) -> list[Judgement]:
    """The verdicts on some claims, by number."""
    from . import chapters

    chapters.load()  # which registers the claims
    return [judge(CLAIMS[number], experiment) for number in numbers]


# --- secondary checks ---------------------------------------------------------------------------------------------


def needs(experiment: Experiment, *names: str) -> None:
    """Raise CannotTest where a run has not these models, or one of them diverged."""
    for name in names:
        if name not in experiment.names:
            raise CannotTest(not_run(name))
        if name not in experiment.sound:
            raise CannotTest(f"{name} diverged")


def not_run(model: str) -> str:
    """What a reader is told of a model that a run does not have."""
    return f"{title(model)} was not run"


def about_one_class(experiment: Experiment) -> None:
    """Raise CannotTest where a run forgets anything else than one class, for a question that is about one."""
    if experiment.config.forget:
        raise CannotTest(f"this asks about one class, and this run forgets {experiment.forgotten}")


def as_far_as_measured(ask: Callable[[], list[Check]]) -> list[Check]:
    """The secondary checks of a claim, or one that is not counted and says what the run lacks for them."""
    try:
        return ask()
    except CannotTest as reason:
        return [Check("secondary checks", f"not measured, since {reason}", None)]
    except NotRecorded as reason:
        return [Check("secondary checks", f"not recorded of this run: {named(reason)}", None)]


Possible = tuple[float, float]  # the least and the largest value that a number could have


def at_most(
    what: str, value: float, limit: float, unit: str = "%", possible: Possible = (-math.inf, math.inf)
) -> Check:
    """A check that a number does not exceed a limit; not counted where any `possible` number would pass, or none."""
    void = _void(possible[1] <= limit, possible[0] > limit)
    measured = f"{value:.2f} {unit}".rstrip() + void
    return Check(f"{what} is at most {_limit(limit, unit)}", measured, None if void else value <= limit)


def at_least(
    what: str, value: float, limit: float, unit: str = "%", possible: Possible = (-math.inf, math.inf)
) -> Check:
    """A check that a number reaches a limit; not counted where any `possible` number would pass, or none."""
    void = _void(possible[0] >= limit, possible[1] < limit)
    measured = f"{value:.2f} {unit}".rstrip() + void
    return Check(f"{what} is at least {_limit(limit, unit)}", measured, None if void else value >= limit)


def above(what: str, first: float, other: str, second: float, unit: str = "%") -> Check:
    """A check that one number exceeds another."""
    return Check(f"{what} exceeds {other}", f"{first:.2f} against {second:.2f} {unit}".rstrip(), first > second)


def _void(always: bool, never: bool) -> str:
    return "; not counted: it could not have failed" if always else "; not counted: it could not have held" * never


def _limit(limit: float, unit: str) -> str:
    return f"{limit:g} {unit.removesuffix('s') if limit == 1 else unit}".rstrip()


# --- how verdicts are shown ---------------------------------------------------------------------------------------

_FORMS = {"%": ".1f", "points": "+.1f", "nats": "+.2f", "": "+.2f"}


def amount(value: float, unit: str) -> str:
    """A number with its unit, in plain text."""
    return f"{three_digits(value) if unit == 'times' else format(value, _FORMS[unit])} {unit}".rstrip()


_POSSIBLE = {"%": (0.0, 100.0), "times": (0.0, math.inf)}


def _within(ends: tuple[float, float], unit: str) -> str:
    """An interval in plain text, cut where no value can lie: of few replicates Student's t reaches beyond."""
    low, high = _POSSIBLE.get(unit, (-math.inf, math.inf))
    return span(max(low, ends[0]), min(high, ends[1]), unit)


def span(low: float, high: float, unit: str) -> str:
    """Two numbers with their unit, in plain text; one where they read the same."""
    first, last = amount(low, unit), amount(high, unit)
    return last if first == last else f"{first.removesuffix(unit).rstrip()} to {last}"


def table(runs: Mapping[str, Sequence[Judgement]]) -> Styler:
    """For each claim a row for each run: the verdict with the effect in one line, and what is behind it, folded.

    The verdict is on the claim in short; the paper's own, which may say more, stands in the fold.
    """

    def line(found: Judgement) -> str:
        inside = [f"the paper's claim: {sets_named(found.claim.text)}"]
        inside += [told for test in found.tests for told in _told(test)]
        inside += [sets_named(found.reason)] if found.reason else []
        inside += [f"{_mark(check.holds)} {sets_named(check.rule)}: {sets_named(check.measured)}"
                   for check in found.checks]  # fmt: skip
        summary = f"<b>{sets_named(found.verdict)}</b>" + (f", {sets_named(found.size)}" if found.size else "")
        summary += f"; {found.secondary}" if found.secondary else ""
        return f"<details><summary>{summary}</summary>{'<br>'.join(inside)}</details>"

    rows = {}
    for run, judgements in runs.items():
        for found in judgements:
            claim = found.claim
            rows[f"{claim.number}. {sets_named(claim.short)} ({in_html(claim.source)})", in_html(run)] = line(found)
    claims = list(dict.fromkeys(claim for claim, _ in rows))
    frame = pd.DataFrame({"verdict": {(each, run): rows[each, run] for each in claims for run in map(in_html, runs)}})
    frame.index = frame.index.set_names(["claim", "run"])
    return frame.style.set_table_attributes('class="results verdicts"')


def _mark(holds: bool | None) -> str:
    return "–" if holds is None else "✓" if holds else "✗"


def _told(test: Weighed) -> list[str]:
    """What is behind the verdict on one effect, as lines of HTML."""
    effect, unit = test.effect, test.effect.unit
    heading = f"{effect.choice}: {effect.what}" if effect.choice else effect.what
    lines = [f"<b>{sets_named(heading)}</b>: {f'{amount(effect.mean, unit)} {effect.than}'.strip()}"]
    if test.interval:
        lines[0] += f", interval {_within(test.interval, unit)}, {len(effect.values)} replicates ({test.verdict})"
    elif list(effect.values) == [THIS_RUN]:
        lines[0] += ", measured in this run alone, so no interval"
    elif len(effect.values) == 1:
        lines[0] += ", one replicate, so no interval"
    if effect.spread:
        lines.append(f"{three_digits(abs(effect.mean) / effect.spread)} times Retrain's spread over seeds")
    if effect.paper:
        lines.append(f"the paper: {sets_named(effect.paper)}")
    if effect.region:
        lines.append(f"the claim holds {region(effect)}: {sets_named(effect.region.why)}")
    if effect.void:
        lines.append(f"not counted: {sets_named(effect.void)}")
    if len(effect.values) > 1:
        lines.append(", ".join(f"{in_html(name)} {amount(value, unit)}" for name, value in effect.values.items()))
    if len(effect.classes) > 1:
        each = list(effect.classes.values())
        mean = amount(statistics.fmean(each), unit)
        lines.append(f"{len(each)} classes: {mean} on average, {span(min(each), max(each), unit)}")
    if effect.missing:
        lacking = "the repeated trainings do not have it" if THIS_RUN in effect.values else "missing"
        lines.append(f"{lacking}: {sets_named('; '.join(effect.missing))}")
    return lines


def region(effect: Effect) -> str:
    """Where an effect has to lie for the claim to hold, in plain text; "" where no region is known."""
    if effect.region is None:
        return ""
    low, high, unit = effect.region.low, effect.region.high, effect.unit
    if math.isinf(high):
        return f"above {amount(low, unit)}"
    if math.isinf(low):
        return f"below {amount(high, unit)}"
    return f"from {span(low, high, unit)}"
