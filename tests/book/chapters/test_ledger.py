"""The ledger has every claim of the paper, and names them by verdict."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bu_book import chapters, claims
from bu_book.chapters import ledger
from bu_book.claims import (
    CONFIRMED,
    CONTRADICTED,
    DEPENDS,
    INCONCLUSIVE,
    NOT_MEASURED,
    VERDICTS,
    Bounds,
    Check,
    Claim,
    Effect,
    Evidence,
    Judgement,
)
from bu_book.page import Found
from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import ROOT
from tests.book.notebooks import templates


def judgement(number: int, verdict: str) -> Judgement:
    return Judgement(Claim(number, "source", "text", f"claim {number}", lambda run: Evidence([])), verdict, [], [])


def test_it_has_every_claim_that_a_chapter_judges():
    chapters.load()
    assert sorted(claims.CLAIMS) == list(ledger.PAPER_CLAIMS)


def test_claims_are_listed_by_verdict_in_one_order():
    verdicts = {1: NOT_MEASURED, 2: CONTRADICTED, 3: f"{DEPENDS} the attack", 4: CONFIRMED, 5: CONFIRMED}
    listed = ledger.by_verdict([judgement(number, verdict) for number, verdict in verdicts.items()])
    numbers = {verdict: [found.claim.number for found in judged] for verdict, judged in listed.items()}
    assert list(numbers.items()) == [(CONFIRMED, [4, 5]), (CONTRADICTED, [2]), (DEPENDS, [3]), (NOT_MEASURED, [1])]


def test_claims_are_named_and_not_counted():
    machine = judgement(5, f"{DEPENDS} the machine")
    assert ledger.named([machine]) == "claim 5, which depends on the machine"
    assert ledger.named([judgement(3, CONFIRMED), machine]).startswith("claim 3; claim 5, which")
    listed = templates("ledger").listed({CONFIRMED: [judgement(3, CONFIRMED), judgement(4, CONFIRMED)]})
    assert listed == "- **confirmed**: claim 3; claim 4."


def test_confirmed_claims_whose_secondary_checks_fail_are_named_with_what_fails():
    failing = replace(judgement(3, CONFIRMED), checks=[Check("D_f is small", "9 %", False), Check("b", "c", True)])
    words = templates("ledger").secondary({CONFIRMED: [failing, judgement(4, CONFIRMED)]})
    assert "1 of 2 confirmed claims has secondary checks that fail." in words
    assert words.endswith("\n\n- Claim 3: it does not hold that <i>D</i><sub>f</sub> is small (9 %).")
    assert "The one confirmed claim has" in templates("ledger").secondary({CONFIRMED: [failing]})
    assert templates("ledger").secondary({CONFIRMED: [judgement(4, CONFIRMED)]}) == ""


def test_the_verdicts_of_the_other_runs_are_counted():
    confirmed, open_ = judgement(3, CONFIRMED), judgement(4, INCONCLUSIVE)
    found = Found({"own": {}, "other": {CONFIRMED: [confirmed], INCONCLUSIVE: [open_, open_]}}, {}, "own")
    told = "**In the other runs**: *other*: 1 confirmed, 2 inconclusive."
    assert templates("ledger").other_runs(found) == told
    assert templates("ledger").other_runs(Found({"own": {}}, {}, "own")) == ""


def test_one_claim_is_read_aloud():
    effect = Effect("what", "points", {"seed 0": 1.0, "seed 1": 1.2, "seed 2": 0.8}, Bounds(0, 9, "why"), "+2 points")
    asked = judgement(4, CONFIRMED).claim
    found = Judgement(asked, CONFIRMED, [claims.Weighed(effect, (0.5, 1.5), CONFIRMED)], [])
    words = templates("ledger").example({CONFIRMED: [found], CONTRADICTED: [judgement(2, CONTRADICTED)]})
    assert "Claim 4: claim 4. Measured is what, once in each of 3 replicates. The mean is +1.0 points" in words
    assert "the interval of the mean +0.5 to +1.5 points. The claim holds from +0.0 to +9.0 points: why." in words
    assert words.endswith("All of the interval lies inside, so the claim is confirmed.")
    assert templates("ledger").example({CONTRADICTED: [judgement(2, CONTRADICTED)]}) == ""


def test_the_table_has_a_line_a_claim_in_the_papers_order():
    chapters.load()
    effect = Effect("what", "points", {"seed 0": 1.0, "seed 1": 1.2, "seed 2": 0.8}, Bounds(0, 9, "why"), "+2 points")
    judged = claims.verdict(claims.CLAIMS[13], Evidence([effect]))
    table = ledger.table({CONFIRMED: [judged], CONTRADICTED: [judgement(2, CONTRADICTED)]}).data
    assert [name.partition(".")[0] for name in table.index] == ["2", "13"]
    second, thirteenth = table.to_dict("index").values()
    assert 'href="entropy.html"' in table.index[1]
    assert second["measured"] == thirteenth["measured"].replace("+1.0 points", "–")
    assert (thirteenth["verdict"], thirteenth["paper"]) == (f"<b>{judged.verdict}</b>", "+2 points")
    assert judged.interval in thirteenth["interval"]
    checked = replace(judged, checks=[Check("rule", "measured", False)])
    cell = ledger.table({CONFIRMED: [checked]}).data["verdict"].iloc[0]
    assert cell == f"<b>{judged.verdict}</b><br><small>its one secondary check fails</small>"


def test_the_page_states_the_correction_by_its_numbers():
    assert "from 95% to 1 − 0.05/14 = 99.64%" in templates("ledger").CORRECTION


@pytest.mark.parametrize("profile", sorted(path.parent.name for path in ROOT.glob("*/record.json")))
def test_the_primary_checks_of_a_recorded_run_are_judged(tmp_path: Path, profile: str):
    chapters.load()
    run = Experiment(Config.from_profile(profile, results_dir=str(tmp_path / profile)))
    judged = [claims.judge(replace(claims.CLAIMS[number], evidence=primary(number)), run) for number in OVER_SEEDS]
    assert all(found.verdict.startswith(VERDICTS) for found in judged)
    assert all(found.size or found.reason for found in judged)
    claims.table({profile: judged}).to_html()


OVER_SEEDS = [number for number in ledger.PAPER_CLAIMS if number not in ledger.OF_ROUNDS]


def primary(number: int) -> Callable[[Experiment], Evidence]:
    """The evidence on a claim without the secondary checks, which take a while."""
    return lambda run: replace(claims.CLAIMS[number].evidence(run), checks=list)
