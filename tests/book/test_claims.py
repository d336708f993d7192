"""How an effect over replicates makes a verdict, whatever the claim; claims are tested with their chapters."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bu_book import chapters, claims
from bu_book.claims import (
    CLAIMS,
    CONFIRMED,
    CONTRADICTED,
    FAMILY,
    INCONCLUSIVE,
    NOT_MEASURED,
    Bounds,
    CannotTest,
    Check,
    Claim,
    Effect,
    Evidence,
    above,
    amount,
    at_least,
    at_most,
    between_two,
    judge,
    needs,
    quantile,
    span,
    verdict,
    weigh,
)
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import NotRecorded
from bu_core.unlearning import METHODS
from tests.helpers import small_experiment, wrecked

ABOUT_FIVE = Bounds(4, 6, "by the paper's own differences")


def effect(values: Sequence[float], region: Bounds | None = ABOUT_FIVE, **given) -> Effect:
    return Effect("D_f left", "%", {f"seed {seed}": value for seed, value in enumerate(values)}, region, **given)


def claim_on(evidence: Evidence | Exception) -> Claim:
    def asked(experiment: Experiment) -> Evidence:
        if isinstance(evidence, Exception):
            raise evidence
        return evidence

    return Claim(1, "Table <1>", "D_f & so on", "D_f is small", asked)


def verdict_on(*effects: Effect, choice: str = "the attack") -> str:
    evidence = Evidence(effects, choice=choice)
    return verdict(claim_on(evidence), evidence).verdict


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"), methods=["retrain"], unlearning={})


# --- the rule -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((5.0, 5.1, 4.9, 5.0, 5.05), CONFIRMED),
        ((9.0, 9.1, 8.9, 9.0, 9.05), CONTRADICTED),
        ((1.0, 1.1, 0.9, 1.0, 1.05), CONTRADICTED),
        ((5.9, 6.1, 5.8, 6.0, 6.2), INCONCLUSIVE),
        ((2.0, 8.0, 5.0, 5.0, 5.0), INCONCLUSIVE),
        ((5.0,), INCONCLUSIVE),
        ((90.0,), INCONCLUSIVE),
        ((5.0, 5.0), CONFIRMED),
    ],
)
def test_where_the_interval_lies_decides(values: tuple[float, ...], expected: str):
    assert verdict_on(effect(values)) == expected


def test_the_interval_is_that_of_scipy_widened_after_bonferroni():
    """By hand: of 14 claims, 0.05 / 14 is left to each; of 3 choices, a third of that."""
    values = [5.0, 5.3, 4.9, 5.2, 5.4]
    for choices in (1, 3):
        level = 1 - 0.05 / (14 * choices)
        low, high = stats.t.interval(level, 4, np.mean(values), stats.sem(values))
        assert weigh(effect(values), choices).interval == pytest.approx((low, high))
    assert quantile(5) == pytest.approx(6.138, abs=0.001), "Student's t at 99.64 % with 4 degrees of freedom"
    assert FAMILY == 14


def test_all_verdicts_of_a_run_hold_together():
    """Fourteen effects on the very edge of their region: in 95 % of the runs at least, none of them is decided."""
    generator = np.random.default_rng(0)
    edge = Bounds(0, math.inf, "an order")
    decided = 0
    for _ in range(300):
        drawn = generator.normal(size=(FAMILY, 5))
        decided += any(weigh(effect(row, edge)).verdict != INCONCLUSIVE for row in drawn.tolist())
    assert decided / 300 < 0.09, "0.05, and three standard deviations of 300 draws"


def test_an_order_needs_an_interval_above_no_difference():
    order = Bounds(0, math.inf, "an order")
    assert verdict_on(effect([1.0, 1.1, 0.9], order)) == CONFIRMED
    assert verdict_on(effect([-1.0, -1.1, -0.9], order)) == CONTRADICTED
    assert verdict_on(effect([0.0, 0.0, 0.0], order)) == CONTRADICTED, "no difference is no order"


def test_two_retrains_differ_by_the_repeatability_limit_of_one():
    """Of 200,000 pairs, 95 % lie nearer."""
    values = np.random.default_rng(0).normal(scale=3, size=200_000)
    limit = between_two(values.tolist())
    assert limit is not None and (np.abs(values - values[::-1]) < limit).mean() == pytest.approx(0.95, abs=0.002)
    assert between_two([30.0]) is None


def test_without_a_region_nothing_is_decided():
    assert verdict_on(effect([1.0, 1.1, 0.9], None)) == INCONCLUSIVE


# --- choices that the paper leaves open -----------------------------------------------------------------------------

INSIDE, OUTSIDE, ACROSS = (5.0, 5.1, 4.9, 5.0), (9.0, 9.1, 8.9, 9.0), (3.0, 7.0, 5.0, 6.0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((INSIDE, INSIDE), CONFIRMED),
        ((OUTSIDE, OUTSIDE), CONTRADICTED),
        ((INSIDE, OUTSIDE), "depends on the attack"),
        ((INSIDE, OUTSIDE, ACROSS), "depends on the attack"),
        ((INSIDE, ACROSS), INCONCLUSIVE),
        ((INSIDE, (9.0,)), CONFIRMED),
        (((5.0,), (9.0,)), INCONCLUSIVE),
    ],
)
def test_a_claim_that_flips_with_a_choice_depends_on_it(values: tuple[tuple[float, ...], ...], expected: str):
    """A choice that was measured in a single replicate is left out where others have several."""
    assert verdict_on(*(effect(each, choice=f"attack {number}") for number, each in enumerate(values))) == expected


def test_a_check_that_could_not_have_failed_is_not_counted():
    void = effect(OUTSIDE, void="the untouched original would pass as well")
    assert verdict_on(void, effect(INSIDE)) == CONFIRMED
    judged = verdict(claim_on(Evidence([void])), Evidence([void]))
    assert (judged.verdict, judged.reason, judged.size) == (NOT_MEASURED, void.void, "")


# --- judging --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [CannotTest("Fisher was not run"), NotRecorded("timing: not recorded")])
def test_a_claim_that_lacks_something_is_not_measured_and_says_what(experiment: Experiment, reason: Exception):
    judgement = judge(claim_on(reason), experiment)
    assert (judgement.verdict, judgement.tests, judgement.reason) == (NOT_MEASURED, [], str(reason))
    assert (judgement.size, judgement.measured, judgement.interval, judgement.paper) == ("", "", "", "")


def test_what_secondary_checks_lack_takes_no_verdict_away(experiment: Experiment):
    def others() -> list[Check]:
        raise NotRecorded("metrics: not recorded")

    judgement = judge(claim_on(Evidence([effect(INSIDE)], others)), experiment)
    assert judgement.verdict == CONFIRMED
    assert judgement.checks == [Check("secondary checks", "not recorded of this run: metrics: not recorded", None)]
    cannot = Check("secondary checks", "not measured, since Fisher was not run", None)

    def without_fisher() -> list[Check]:
        raise CannotTest("Fisher was not run")

    assert claims.as_far_as_measured(without_fisher) == [cannot]


def test_secondary_checks_decide_nothing(experiment: Experiment):
    failed = [Check("rule", "measured", False)]
    assert judge(claim_on(Evidence([effect(INSIDE)], lambda: failed)), experiment).verdict == CONFIRMED


def test_a_claim_is_judged_once_for_an_experiment(experiment: Experiment):
    asked = []

    def evidence(one: Experiment) -> Evidence:
        asked.append(one)
        return Evidence([effect(INSIDE)])

    claim = Claim(1, "source", "text", "short", evidence)
    assert judge(claim, experiment) is judge(claim, experiment)
    assert asked == [experiment]
    other = small_experiment(experiment.folder, methods=["retrain"], unlearning={})
    judge(claim, other)
    assert asked == [experiment, other]


def test_a_method_that_was_not_run_is_named(experiment: Experiment):
    needs(experiment, "original", "retrain")
    with pytest.raises(CannotTest, match="Fisher was not run"):
        needs(experiment, "retrain", "fisher")


def test_a_method_that_diverged_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(METHODS, "wrecked", wrecked())
    experiment = small_experiment(tmp_path, methods=["wrecked"], unlearning={})
    needs(experiment, "original")
    with pytest.raises(CannotTest, match="wrecked diverged"):
        needs(experiment, "wrecked")


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (at_most("the loss", 10, 10), Check("the loss is at most 10 %", "10.00 %", True)),
        (at_most("the loss", 1.005, 1, "points"), Check("the loss is at most 1 point", "1.00 points", False)),
        (at_least("the share", 9.99, 10, "points"), Check("the share is at least 10 points", "9.99 points", False)),
        (at_least("the share", 0.1, 0.1, ""), Check("the share is at least 0.1", "0.10", True)),
        (above("one", 2, "the other", 2), Check("one exceeds the other", "2.00 against 2.00 %", False)),
        (above("one", 2.1, "the other", 2, "nats"), Check("one exceeds the other", "2.10 against 2.00 nats", True)),
        (
            at_most("the ASR minus Retrain's", -8, -10, "points", (-8.3, 91.7)),
            Check(
                "the ASR minus Retrain's is at most -10 points",
                "-8.00 points; not counted: it could not have held", None,
            ),
        ),
        (
            at_least("the share", 3, 0, "%", (0, 100)),
            Check("the share is at least 0 %", "3.00 %; not counted: it could not have failed", None),
        ),
    ],
)  # fmt: skip
def test_a_check_says_its_rule_and_its_numbers(check: Check, expected: Check):
    assert check == expected


# --- what is shown --------------------------------------------------------------------------------------------------


def test_the_size_of_an_effect_is_told_in_one_line():
    times = Effect("time", "times", {"round 1": 24.0, "round 2": 25.8}, Bounds(2, 12, "why"), "4.8 times")
    judged = verdict(claim_on(Evidence([times])), Evidence([times]))
    assert judged.size == "24.9 times; paper: 4.8 times"
    one = effect([9.0])
    judged = verdict(claim_on(Evidence([one])), Evidence([one]))
    assert (judged.size, judged.interval) == ("9.0 %", "one run")
    both = Evidence([effect(INSIDE, choice="one"), effect(OUTSIDE, choice="other")], choice="the attack")
    judged = verdict(claim_on(both), both)
    assert (judged.size, judged.interval) == ("5.0 to 9.0 %", "2 choices")


def test_a_number_that_is_counted_from_something_else_says_from_what():
    further = effect([0.4, 0.5], than="further than the other", paper="far")
    judged = verdict(claim_on(Evidence([further])), Evidence([further]))
    assert (judged.measured, judged.than) == ("0.5 %", "further than the other")
    assert judged.size == "0.5 % further than the other; paper: far"


@pytest.mark.parametrize(
    ("holds", "told"),
    [
        ([], ""),
        ([None], ""),
        ([True, None], "its one secondary check holds"),
        ([False], "its one secondary check fails"),
        ([True, True], "both secondary checks hold"),
        ([True, False, None, True], "1 of 3 secondary checks fails"),
        ([False, False, True], "2 of 3 secondary checks fail"),
        ([False] * 3, "all 3 secondary checks fail"),
        ([True] * 3, "all 3 secondary checks hold"),
    ],
)
def test_the_line_of_a_claim_says_how_many_secondary_checks_hold(holds: list[bool | None], told: str):
    evidence = Evidence([effect(INSIDE)], lambda: [Check("rule", "measured", each) for each in holds])
    judged = verdict(claim_on(evidence), evidence)
    assert (judged.verdict, judged.secondary) == (CONFIRMED, told)


def test_the_interval_of_a_single_effect_is_told_with_its_unit():
    several = effect([5.0, 5.4, 4.6], paper="5.94 %")
    judged = verdict(claim_on(Evidence([several])), Evidence([several]))
    low, high = weigh(several).interval or (0, 0)
    assert judged.interval == f"{low:.1f} to {high:.1f} %"
    assert (judged.measured, judged.paper) == ("5.0 %", "5.94 %")


@pytest.mark.parametrize(
    ("low", "high", "unit", "expected"),
    [(-5.4, 1.0, "points", "-5.4 to +1.0 points"), (2, 2, "%", "2.0 %"), (0.1, 0.277, "", "+0.10 to +0.28")],
)
def test_two_numbers_share_a_unit(low: float, high: float, unit: str, expected: str):
    assert span(low, high, unit) == expected
    assert amount(1234.5, "times") == "1,234 times"


RUNS = ("ours", "&lt;theirs&gt;")


def test_the_verdicts_of_several_runs_stand_below_each_other(experiment: Experiment):
    shown = effect(
        INSIDE, paper="5.94 %", classes={"deer": 5.0, "cat": 7.0}, missing=["seed 9 (<not> recorded)"], choice="A & B",
        spread=2.0,
    )  # fmt: skip
    ours = claim_on(Evidence([shown], lambda: [Check("D_rt is small", "5 %", True), Check("rule", "why", None)]))
    theirs = claim_on(CannotTest("D_f <diverged>"))
    table = claims.table({"ours": [judge(ours, experiment)], "<theirs>": [judge(theirs, experiment)]}).data
    assert table.index.tolist() == [
        (claim, run) for claim in ("1. <i>D</i><sub>f</sub> is small (Table &lt;1&gt;)",) for run in RUNS
    ]
    first, second = table["verdict"]
    line = "<b>confirmed</b>, 5.0 %; paper: 5.94 %; its one secondary check holds"
    assert first.startswith(f"<details><summary>{line}</summary>")
    low, high = weigh(shown).interval or (0, 0)
    for line in (
        "<b>A &amp; B: <i>D</i><sub>f</sub> left</b>: 5.0 %, "
        f"interval {low:.1f} to {high:.1f} %, 4 replicates (confirmed)",
        "2.5 times Retrain's spread over seeds",
        "the claim holds from 4.0 to 6.0 %: by the paper's own differences",
        "seed 0 5.0 %, seed 1 5.1 %, seed 2 4.9 %, seed 3 5.0 %",
        "2 classes: 6.0 % on average, 5.0 to 7.0 %",
        "missing: seed 9 (&lt;not&gt; recorded)",
        "✓ <i>D</i><sub>rt</sub> is small: 5 %",
        "– rule: why",
    ):
        assert line in first.split("<br>") or line in first, line
    told = "the paper's claim: <i>D</i><sub>f</sub> &amp; so on"
    assert second == (
        f"<details><summary><b>not measured</b></summary>{told}<br><i>D</i><sub>f</sub> &lt;diverged&gt;</details>"
    )


def test_what_the_run_itself_has_alone_is_not_said_to_be_missing(experiment: Experiment):
    lacking = ["seed 0, seed 1 (the accuracies of Fisher)"]
    alone = Effect("ASR", "%", {"this run": 29.6}, Bounds(-1, 1, "why"), missing=lacking)
    judged = judge(claim_on(Evidence([alone])), experiment)
    shown = claims.table({"ours": [judged]}).data["verdict"].iloc[0]
    assert "<b>ASR</b>: 29.6 %, measured in this run alone, so no interval<br>" in shown
    assert "the repeated trainings do not have it: seed 0, seed 1 (the accuracies of Fisher)" in shown
    assert "missing" not in shown and "one replicate" not in shown


def test_there_are_fourteen_claims_with_their_sources():
    chapters.load()
    assert sorted(CLAIMS) == list(range(1, FAMILY + 1))
    assert all(claim.source and claim.text and claim.short for claim in CLAIMS.values())
    assert all(CLAIMS[number].number == number for number in CLAIMS)
