"""The ledger: a verdict on each of the paper's fourteen claims, for every run."""

from collections.abc import Sequence

from bu_core.experiment.experiment import Experiment

from ..claims import NOT_MEASURED, NOT_REPRODUCED, PARTLY, REPRODUCED, Judgement, judged

PAPER_CLAIMS = tuple(range(1, 15))  # their numbers, in the paper's order


def measure(experiment: Experiment) -> dict[str, list[int]]:
    """The numbers of the paper's claims, by the verdict on them."""
    return by_verdict(judged(PAPER_CLAIMS, experiment))


def by_verdict(judgements: Sequence[Judgement]) -> dict[str, list[int]]:
    """The numbers of claims by the verdict on them, from the best verdict to none; only those that were given."""
    numbers = {
        verdict: [found.claim.number for found in judgements if found.verdict == verdict]
        for verdict in (REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_MEASURED)
    }
    return {verdict: given for verdict, given in numbers.items() if given}
