"""The ledger: a verdict on each of the paper's fourteen claims, for every run."""

from collections.abc import Sequence
from contextlib import suppress

import pandas as pd
from pandas.io.formats.style import Styler

from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import NotRecorded

from ..claims import CLAIMS, DEPENDS, FAMILY, VERDICTS, CannotTest, Judgement, judged
from ..style import as_table, in_html, sets_named
from . import load

PAPER_CLAIMS = tuple(range(1, FAMILY + 1))  # their numbers, in the paper's order


def measure(experiment: Experiment) -> dict[str, list[Judgement]]:
    """The judgements on the paper's claims, by verdict."""
    return by_verdict(judged(PAPER_CLAIMS, experiment))


OF_ROUNDS = (8, 9, 10)  # claims that are judged over rounds of timing, and not over seeds


def of_replicates(experiment: Experiment) -> None:
    """Compute all that the claims of other runs ask of this one, where it repeats their training with several seeds."""
    load()
    for number in PAPER_CLAIMS:
        if number not in OF_ROUNDS:
            with suppress(CannotTest, NotRecorded):
                CLAIMS[number].evidence(experiment)


def by_verdict(judgements: Sequence[Judgement]) -> dict[str, list[Judgement]]:
    """Judgements by verdict, in the order of VERDICTS; only those verdicts that were given."""
    given = {
        verdict: [found for found in judgements if found.verdict == verdict or _depends(found, verdict)]
        for verdict in VERDICTS
    }
    return {verdict: found for verdict, found in given.items() if found}


def _depends(found: Judgement, verdict: str) -> bool:
    return verdict == DEPENDS and found.verdict.startswith(DEPENDS)


def named(judgements: Sequence[Judgement]) -> str:
    """Some claims in a few words each, with the sizes of the effects, as plain text."""
    return "; ".join(f"{in_short(found)} ({found.size})" if found.size else in_short(found) for found in judgements)


def called(verdict: str) -> str:
    """A verdict as lists and counts name it."""
    return f"{DEPENDS} a choice" if verdict == DEPENDS else verdict


def in_short(found: Judgement) -> str:
    """A claim in a few words, and on what its verdict depends where it does, as plain text."""
    return found.claim.short + (f", which {found.verdict}" if found.verdict.startswith(DEPENDS) else "")


# --- tables -------------------------------------------------------------------------------------------------------


def table(found: dict[str, list[Judgement]]) -> Styler:
    """A row for each claim, with a link to its chapter: the verdict, the effect with its interval, the paper's."""
    judgements = sorted((each for given in found.values() for each in given), key=lambda each: each.claim.number)
    rows = {}
    for each in judgements:
        claim, interval = each.claim, each.interval
        chapter = claim.evidence.__module__.rpartition(".")[2]
        checks = f"<br><small>{each.secondary}</small>" if each.secondary else ""
        rows[f'{claim.number}. <a href="{chapter}.html">{sets_named(claim.short)}</a>'] = {
            "verdict": f"<b>{sets_named(each.verdict)}</b>{checks}",
            "measured": f"{_unbroken(each.measured or '–')} {sets_named(each.than)}".strip(),
            "interval": _unbroken(interval or "–"),
            "paper": sets_named(each.paper or "–"),
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index")).set_table_attributes('class="results claims"')


def _unbroken(text: str) -> str:
    """Plain text as HTML that stands on one line."""
    return f'<span class="unbroken">{in_html(text)}</span>'
