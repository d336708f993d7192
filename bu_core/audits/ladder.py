"""The ladder: every audit of one model, from what its outputs say to what a hundred labelled images bring back.

Each rung gives the auditor more. Threshold, neighbour classes, few shots and linear probe are climbed after
re-estimation, which any auditor who holds the model can make; `before` keeps what they find without it. What a rung
finds means something only beside Retrains: a model that never saw the class ranks its images above others too, and
learns it from a few. So a verdict compares a value with the range of the Retrains, on both sides, and leaves the range
a slack however many of them are known. Without it, on each rung a Retrain beside k others would be told from them with
a chance of 2 in k + 1, since any of k + 1 is the least or the largest as often; and where no Retrain names an image, a
single one would tell a model from them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from ..data import SPLITS
from ..measures import accuracy
from ..models import row_erased
from ..training import Recipe
from . import few_shot, neighbours, probe, relearning, summaries, threshold
from .evidence import Evidence

Verdict = Literal["like retrain", "still known", "no retrain given", "not climbed"]
Side = Literal["below", "inside", "above"]


@dataclass(frozen=True)
class Findings:
    """What the auditor of each rung finds of one model, in the units of RUNGS; None of a rung that was not climbed.

    `profile`: the mean posterior of D_ft over the other classes, K - 1 shares, which are compared with a Retrain's.
    """

    output: float
    reestimation: float
    threshold: float
    profile: list[float]
    few_shot: float
    probe: float
    relearn_remaining: float | None
    relearn_few: float | None


class Audited(Protocol):
    """What an audit leaves known of a model: the rungs read its findings."""

    @property
    def findings(self) -> Findings: ...


@dataclass(frozen=True)
class Frozen:
    """The rungs that look at outputs and features and train nothing, of one model."""

    accuracy: dict[str, float]  # on the four sets in percent; D_r by the images that the evidence holds
    threshold: threshold.Ranking
    neighbours: neighbours.Leak
    few_shot: list[few_shot.FewShot]
    probe: probe.Probe


@dataclass(frozen=True)
class Climb:
    """What every rung finds of one model. `before` and `after`: without and with re-estimation."""

    before: Frozen
    after: Frozen
    relearn_remaining: relearning.RelearnedRemaining
    relearn_few: relearning.RelearnedFew
    summaries: summaries.Summaries

    @property
    def findings(self) -> Findings:
        return Findings(
            output=self.before.accuracy["forget_train"],
            reestimation=self.after.accuracy["forget_train"],
            threshold=self.after.threshold.recall,
            profile=self.after.neighbours.profile,
            few_shot=few_shot.with_five(self.after.few_shot),
            probe=self.after.probe.recall,
            relearn_remaining=self.relearn_remaining.best,
            relearn_few=float(self.relearn_few.steps),
        )


def climb(
    suspect: Evidence,
    original: Evidence,
    retrains: Sequence[Evidence],
    recipe: Recipe,
    say: Callable[[str], None] = lambda line: None,
) -> Climb:
    """Climb every rung with one model; `recipe` is that of the original's training, which relearning goes on with.

    A Retrain among `retrains` that is the suspect itself is left out of what it is compared with. `say` is called with
    a line of text before each part of the work.
    """
    others = [retrain for retrain in retrains if retrain is not suspect]
    say("  outputs and features")
    before = _frozen(suspect, others)
    say("  the same after re-estimation")
    after = _frozen(suspect.reestimated, [retrain.reestimated for retrain in others])
    say("  relearning without the class")
    remaining = relearning.relearn_remaining(suspect, recipe)
    say("  relearning on few of it")
    few = relearning.relearn_few(suspect, original, recipe)
    say("  summaries")
    return Climb(before, after, remaining, few, summaries.summaries(suspect, original, others[0] if others else None))


def masked(original: Evidence) -> Evidence:
    """The control: the original with its output row of the class set to zero, which hides it and forgets nothing."""
    model = row_erased(original.model, original.split.forget_classes)
    return Evidence(model, original.split, original.precision, original.seed, original.limit)


def _frozen(suspect: Evidence, retrains: Sequence[Evidence]) -> Frozen:
    return Frozen(
        {part: accuracy(suspect.outputs(part)) for part in SPLITS},
        threshold.ranked(suspect),
        neighbours.leaked(suspect, retrains),
        few_shot.recalled(suspect),
        probe.probed(suspect),
    )


def constants() -> dict[str, object]:
    """What these modules decide beside their arguments, by name."""
    return {
        "taken": threshold.TAKEN,
        "shots": few_shot.SHOTS,
        "draws": few_shot.DRAWS,
        "penalty": few_shot.PENALTY,
        "probe": [probe.IMAGES, probe.WEAKNESS, probe.STEPS],
        "steps": relearning.STEPS,
        "still": relearning.STILL,
        "looks": relearning.LOOKS,
        "few": [relearning.FEW, relearning.OTHERS, relearning.SAMPLE],
        "over_unlearning": [summaries.EPSILON, summaries.STEP_SIZE, summaries.STEPS, summaries.CROSSED],
    }


@dataclass(frozen=True)
class Rung:
    """One rung: its `title`, what it `asks`, of an auditor who has what; the `unit` of its `value`, and its `form`.

    `slack`: by how much a value may leave the range of the Retrains given and still count as theirs, about what two
    Retrains of CIFAR-10 differ by for their seeds alone; of steps as a share of their number, since these are counted
    at looks that grow apart. `value(findings, retrains)`: a model's, beside other Retrains; None where it needs them
    and there are none, or was not climbed. `known`: the side of Retrain's range that more of the class lies on.
    `distance`: whether the value is one from Retrains, of which none is too small.
    """

    title: str
    asks: str
    unit: str
    slack: float
    value: Callable[[Findings, Sequence[Findings]], float | None]
    form: str = ".1f"
    known: Side = "above"
    distance: bool = False


def _from_retrains(found: Findings, retrains: Sequence[Findings]) -> float | None:
    """How far the profile of D_ft over the other classes lies from those of Retrains, on average."""
    own, *others = (torch.tensor(each.profile, dtype=torch.float64) for each in (found, *retrains))
    bits = [neighbours.divergence(own, other).item() / math.log(2) for other in others]
    return sum(bits) / len(bits) if bits else None


UNSEEN, STEPS = "% of D_ft", "steps"
IMAGES = 1000  # of D_ft, as CIFAR-10 has: the slack is for so many, and grows with the root of how many fewer there are

RUNGS: dict[str, Rung] = {
    "output": Rung(
        "Outputs",
        "How many of the images that were to be forgotten does the model still name?",
        "% of D_f",
        1.0,
        lambda found, _: found.output,
    ),
    "reestimation": Rung(
        "Re-estimation",
        "How many once BatchNorm has new statistics, of unlabelled remaining images?",
        "% of D_f",
        1.0,
        lambda found, _: found.reestimation,
    ),
    "threshold": Rung(
        "Threshold",
        "How many unseen ones does the logit of the class tell, at a loss of 2 % of other images?",
        UNSEEN,
        5.0,
        lambda found, _: found.threshold,
    ),
    "neighbours": Rung(
        "Neighbour classes",
        "How far are the shares that the other classes get from those that Retrain gives them?",
        "bits",
        0.02,
        _from_retrains,
        ".3f",
        distance=True,
    ),
    "few_shot": Rung(
        "Few shots",
        "How many do five labelled images of the class bring back, at a loss of 2 % of others?",
        UNSEEN,
        6.0,
        lambda found, _: found.few_shot,
    ),
    "probe": Rung(
        "Linear probe",
        "How many does a new last layer find, fitted to up to 500 images of the class, at that loss?",
        UNSEEN,
        5.0,
        lambda found, _: found.probe,
    ),
    "relearn_remaining": Rung(
        "Relearning without the class",
        "How many come back while the model is trained further on the other classes alone?",
        "% of D_f",
        1.0,
        lambda found, _: found.relearn_remaining,
    ),
    "relearn_few": Rung(
        "Relearning on few",
        "How many steps on 100 images of the class bring half of what the original knew?",
        STEPS,
        0.25,
        lambda found, _: found.relearn_few,
        ".0f",
        "below",
    ),
}

# What would be the last rung, and is no part of the climb of a single model.
PER_SAMPLE = "many models of either kind, each from its own seed, are needed to ask about single images"


@dataclass(frozen=True)
class Reading:
    """A rung's `value` of a model, and the `low` and `high` end of the Retrains' range with the rung's slack.

    `verdict`: "still known" says that the rung tells the model from Retrains, on whichever `side` of their range it
    lies. On a side where the class is better hidden than Retrain hides it, the model shows that it was made to forget.
    `retrains`: their own values, each beside the others. A single one has no distance, and gives no verdict on one.
    """

    value: float | None
    low: float | None
    high: float | None
    side: Side | None
    verdict: Verdict
    retrains: list[float]


def with_slack(rung: Rung, retrains: Sequence[float], images: int = IMAGES) -> tuple[float, float]:
    """The range of what a rung finds of Retrains, with its slack at either end: a model that lies in it is like them.

    `images`: how many D_ft has. Two Retrains differ in which of them they recall, the more the fewer there are.
    """
    grown = max(1.0, IMAGES / images) ** 0.5 if rung.unit == UNSEEN else 1.0
    below, above = (rung.slack * (end(retrains) if rung.unit == STEPS else grown) for end in (min, max))
    low = 0.0 if rung.distance else max(0.0, min(retrains) - below)
    return low, min(100.0 if "%" in rung.unit else float("inf"), max(retrains) + above)


def reading(rung: Rung, suspect: Audited, retrains: Sequence[Audited], images: int = IMAGES) -> Reading:
    """The verdict of a rung on a model, beside Retrains that were audited; without any there is none.

    `images`: how many D_ft has, for the slack.
    """
    others = [retrain.findings for retrain in retrains if retrain is not suspect]
    value = rung.value(suspect.findings, others)
    beside = [rung.value(one, [other for other in others if other is not one]) for one in others]
    known = [found for found in beside if found is not None]
    if not known:
        return Reading(value, None, None, None, "no retrain given", [])
    low, high = with_slack(rung, known, images)
    if value is None:
        return Reading(value, low, high, None, "not climbed", known)
    side: Side = "below" if value < low else "above" if value > high else "inside"
    return Reading(value, low, high, side, "like retrain" if side == "inside" else "still known", known)
