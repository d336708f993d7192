"""How checks make a verdict, whatever the claim; the claims themselves are tested with their chapters."""

from pathlib import Path

import pytest

from bu_book import chapters, claims
from bu_book.claims import (
    CLAIMS,
    NOT_MEASURED,
    NOT_REPRODUCED,
    PARTLY,
    REPRODUCED,
    CannotTest,
    Check,
    Claim,
    above,
    at_least,
    at_most,
    judge,
    mean_at_most,
    needs,
)
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import NotRecorded
from bu_core.measures import interval
from bu_core.unlearning import METHODS
from tests.helpers import small_experiment, wrecked


def claim_of(*held: bool) -> Claim:
    """A claim with so many checks, that hold or do not."""
    return Claim(
        1, "Table <1>", "D_f & so on", lambda experiment: [Check("D_rt is small", "5 %", each) for each in held]
    )


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"), methods=["retrain"], unlearning={})


@pytest.mark.parametrize(
    ("held", "verdict"),
    [
        ((True,), REPRODUCED),
        ((True, True, True), REPRODUCED),
        ((True, False, False), PARTLY),
        ((False, False), NOT_REPRODUCED),
    ],
)
def test_one_rule_makes_a_verdict_of_the_checks(experiment: Experiment, held: tuple[bool, ...], verdict: str):
    assert judge(claim_of(*held), experiment).verdict == verdict


@pytest.mark.parametrize("reason", [CannotTest("the profile does not run fisher"), NotRecorded("timing: not recorded")])
def test_a_claim_that_lacks_something_is_not_measured_and_says_what(experiment: Experiment, reason: Exception):
    def checks(asked: Experiment) -> list[Check]:
        raise reason

    judgement = judge(Claim(5, "Table 2", "text", checks), experiment)
    assert (judgement.verdict, judgement.checks, judgement.missing) == (NOT_MEASURED, [], str(reason))


def test_a_claim_is_judged_once_for_an_experiment(experiment: Experiment):
    asked = []

    def checks(one: Experiment) -> list[Check]:
        asked.append(one)
        return [Check("rule", "measured", True)]

    claim = Claim(1, "source", "text", checks)
    assert judge(claim, experiment) is judge(claim, experiment)
    assert asked == [experiment]
    other = small_experiment(experiment.folder, methods=["retrain"], unlearning={})
    judge(claim, other)
    assert asked == [experiment, other]


def test_a_method_that_was_not_run_is_named(experiment: Experiment):
    needs(experiment, "original", "retrain")
    with pytest.raises(CannotTest, match="does not run fisher"):
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
        (mean_at_most("it", interval([4, 6]), 5, "%"), Check("it is at most 5 %", "5.00 ± 12.71 %", True)),
        (mean_at_most("it", interval([6]), 5, "%"), Check("it is at most 5 %", "6.00 %", False)),
    ],
)
def test_a_check_says_its_rule_and_its_numbers(check: Check, expected: Check):
    """12.71: half the interval of two values is t(0.975, 1) times half their distance, 12.706 times 1."""
    assert check == expected


def test_the_verdicts_of_several_runs_stand_side_by_side(experiment: Experiment):
    def cannot(asked: Experiment) -> list[Check]:
        raise CannotTest("D_f <diverged>")

    ours, theirs = claim_of(True, False), Claim(2, "Table 2", "text", cannot)
    judged = [judge(ours, experiment), judge(theirs, experiment)]
    table = claims.table({"ours": judged, "<theirs>": judged}).data
    assert table.columns.tolist() == ["ours", "&lt;theirs&gt;"]
    assert table.index[0] == "1. <i>D</i><sub>f</sub> &amp; so on (Table &lt;1&gt;)"
    assert table.loc[table.index[0], "ours"] == (
        "<details><summary>partly (1 of 2)</summary>✓ <i>D</i><sub>rt</sub> is small: 5 %<br>"
        "✗ <i>D</i><sub>rt</sub> is small: 5 %</details>"
    )
    assert table.loc[table.index[1], "ours"] == (
        "<details><summary>not measured here</summary><i>D</i><sub>f</sub> &lt;diverged&gt;</details>"
    )


def test_there_are_fourteen_claims_with_their_sources():
    chapters.load()
    assert sorted(CLAIMS) == list(range(1, 15))
    assert all(claim.source and claim.text for claim in CLAIMS.values())
    assert all(CLAIMS[number].number == number for number in CLAIMS)
