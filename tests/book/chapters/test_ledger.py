"""The ledger has every claim of the paper, and counts them by verdict."""

from bu_book import chapters, claims
from bu_book.chapters import ledger
from bu_book.claims import NOT_MEASURED, NOT_REPRODUCED, REPRODUCED, Claim, Judgement
from tests.book.notebooks import templates


def test_it_has_every_claim_that_a_chapter_judges():
    chapters.load()
    assert sorted(claims.CLAIMS) == list(ledger.PAPER_CLAIMS)


def test_claims_are_counted_from_the_best_verdict_to_none():
    verdicts = {1: NOT_MEASURED, 2: NOT_REPRODUCED, 3: REPRODUCED, 4: REPRODUCED}
    judgements = [
        Judgement(Claim(number, "source", "text", lambda experiment: []), verdict, [], None)
        for number, verdict in verdicts.items()
    ]
    counted = ledger.by_verdict(judgements)
    assert list(counted.items()) == [(REPRODUCED, [3, 4]), (NOT_REPRODUCED, [2]), (NOT_MEASURED, [1])]


def test_the_sentence_names_the_claims_of_each_verdict():
    sentence = templates("ledger").counted({REPRODUCED: [3, 4], NOT_MEASURED: [11]})
    assert sentence == (
        "Of the fourteen claims, in this page's own run: **2 reproduced** (3, 4), **1 not measured here** (11)."
    )
