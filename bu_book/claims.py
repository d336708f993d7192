"""The paper's fourteen claims, and how a verdict on each is computed from what was measured.

A claim is a list of checks, each a comparison of measured numbers that holds or does not. One rule turns checks into a
verdict: *reproduced* where all hold, *not reproduced* where none does, *partly* where some do, and *cannot be tested*
where a profile lacks what a check needs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bu_core.measures import interval

from . import forgetting

REPRODUCED, PARTLY, NOT_REPRODUCED = "reproduced", "partly reproduced", "not reproduced"
UNTESTED = "cannot be tested with this profile"

NEAR = 10  # points of ASR within which two methods are called close


class Check(NamedTuple):
    """`rule`: what has to hold, in words; `measured`: the numbers, in words; `holds`: whether it does."""

    rule: str
    measured: str
    holds: bool


class Missing(Exception):
    """A profile lacks what a check needs; the message says what."""


@dataclass(frozen=True)
class Claim:
    """`source` names the table, figure or section of the paper; `checks` computes them from the evidence."""

    number: int
    source: str
    text: str
    checks: Callable[["Evidence"], list[Check]]


class Judgement(NamedTuple):
    claim: Claim
    verdict: str
    checks: list[Check]
    missing: str | None


class Evidence:
    """What was measured: `Experiment.metrics()`, and by name the results of the other measurements that were made."""

    def __init__(self, metrics: Mapping[str, Any], **measured: Mapping[str, Any]):
        self.metrics = metrics
        self._measured = measured

    @property
    def faces(self) -> bool:
        """Whether the data are faces, of which the paper says some things otherwise than of CIFAR-10."""
        return self.metrics["dataset"]["name"] == "faces"

    def method(self, name: str) -> Mapping[str, Any]:
        if name not in self.metrics["methods"]:
            raise Missing(f"the profile does not run {name}")
        return self.metrics["methods"][name]

    def accuracy(self, name: str, part: str) -> float:
        return self.method(name)["accuracy"][part]

    def lost(self, name: str, part: str) -> float:
        """Points of accuracy that a method costs on a set, against the original."""
        return self.accuracy("original", part) - self.accuracy(name, part)

    @property
    def repetitions(self) -> list[tuple[str, list[Mapping[str, Any]]]]:
        """What `Measurements.elsewhere` has of this model on several classes and seeds, and trained otherwise.

        Each: which that is, in words, and its places.
        """
        found = []
        for places in forgetting.by_model(self._measured.get("elsewhere", ())):
            first, repeated = places[0], forgetting.repeated(places)
            if set(first["changed"]) <= {"epochs", "lr", "forget_class"}:
                trained = [f"as {first['title']}"] if first["changed"] else []
                for unit, alike in repeated.items():
                    found.append((", ".join([*trained, f"over {len(alike)} {unit}"]), alike))
                if trained and not repeated:
                    found.append((trained[0], places))
        return found

    def measured(self, name: str) -> Mapping[str, Any]:
        if name not in self._measured:
            raise Missing(f"no {name} was measured")
        return self._measured[name]


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """The verdict on one claim."""
    try:
        checks = claim.checks(evidence)
    except Missing as missing:
        return Judgement(claim, UNTESTED, [], str(missing))
    held = sum(check.holds for check in checks)
    verdict = REPRODUCED if held == len(checks) else PARTLY if held else NOT_REPRODUCED
    return Judgement(claim, verdict, checks, None)


def at_most(what: str, value: float, limit: float, unit: str = "%") -> Check:
    """A check that a number does not exceed a limit."""
    return Check(f"{what} is at most {_amount(limit, unit)}", f"{value:.2f} {unit}".rstrip(), value <= limit)


def at_least(what: str, value: float, limit: float, unit: str = "%") -> Check:
    """A check that a number reaches a limit."""
    return Check(f"{what} is at least {_amount(limit, unit)}", f"{value:.2f} {unit}".rstrip(), value >= limit)


def above(what: str, first: float, other: str, second: float, unit: str = "%") -> Check:
    """A check that one number exceeds another."""
    return Check(f"{what} exceeds {other}", f"{first:.2f} against {second:.2f} {unit}", first > second)


def _mean_at_most(what: str, found: Mapping[str, float], limit: float, unit: str) -> Check:
    """A check that the mean of an `interval` does not exceed a limit."""
    return Check(f"{what} is at most {_amount(limit, unit)}", f"{_mean(found)} {unit}", found["mean"] <= limit)


def _mean(found: Mapping[str, float | None], form: str = ".2f") -> str:
    """The mean of an `interval`, and half its width where it has one."""
    mean, half = format(found["mean"], form), found["half_width"]
    return mean if half is None else f"{mean} ± {half:.2f}"


def _amount(limit: float, unit: str) -> str:
    return f"{limit:g} {unit.removesuffix('s') if limit == 1 else unit}".rstrip()


# --- the claims, in the paper's order -----------------------------------------------------------------------------


def _shrink_forgets(evidence: Evidence) -> list[Check]:
    checks = [
        at_most("what Boundary Shrink leaves of D_f", evidence.accuracy("boundary_shrink", "forget_train"), 10),
        at_most("what it costs on D_r", evidence.lost("boundary_shrink", "remain_train"), 2, "points"),
    ]
    for where, places in evidence.repetitions:
        left = interval([forgetting.left(place, "boundary_shrink") for place in places])
        lost = interval([_lost(place, "boundary_shrink") for place in places])
        checks += [
            _mean_at_most(f"{where}: what it leaves of D_f", left, 10, "%"),
            _mean_at_most(f"{where}: what it costs on D_r", lost, 2, "points"),
        ]
    return checks


def _expanding_between(evidence: Evidence) -> list[Check]:
    left = {
        name: evidence.accuracy(name, "forget_train")
        for name in ("boundary_shrink", "boundary_expanding", "random_labels")
    }
    checks = [
        above("Boundary Expanding's D_f", left["boundary_expanding"], "Boundary Shrink's", left["boundary_shrink"]),
        above("Random Labels' D_f", left["random_labels"], "Boundary Expanding's", left["boundary_expanding"]),
    ]
    for where, places in evidence.repetitions:
        more = forgetting.expanding_less_shrink(places)
        whole = "" if more["half_width"] is None else ", the whole 95 % interval above 0"
        checks.append(
            Check(
                f"{where}: Boundary Expanding leaves more than Boundary Shrink{whole}",
                f"{_mean(more, '+.2f')} points",
                more["mean"] > (more["half_width"] or 0),
            )
        )
    return checks


def _finetune_not_private(evidence: Evidence) -> list[Check]:
    return [
        at_most("what Finetune leaves of D_f", evidence.accuracy("finetune", "forget_train"), 1),
        at_least("its ASR less Retrain's", _asr(evidence, "finetune") - _asr(evidence, "retrain"), 10, "points"),
    ]


def _weak_baselines(evidence: Evidence) -> list[Check]:
    checks = []
    for name, title in (("negative_gradient", "Negative Gradient"), ("random_labels", "Random Labels")):
        checks += [
            at_least(
                f"what {title} leaves of D_f", evidence.accuracy(name, "forget_train"), 2 if evidence.faces else 5
            ),
            above(
                f"what {title} costs on D_rt", evidence.lost(name, "remain_test"),
                "what Boundary Shrink costs", evidence.lost("boundary_shrink", "remain_test"), "points",
            ),
        ]  # fmt: skip
    return checks


def _fisher_ruins(evidence: Evidence) -> list[Check]:
    return [
        at_most("what Fisher leaves of D_f", evidence.accuracy("fisher", "forget_train"), 5),
        at_least("what it costs on D_r", evidence.lost("fisher", "remain_train"), 20, "points"),
        at_most("its ASR", _asr(evidence, "fisher"), 5),
    ]


def _amnesiac_costs(evidence: Evidence) -> list[Check]:
    return [
        at_most("what Amnesiac leaves of D_f", evidence.accuracy("amnesiac", "forget_train"), 1),
        at_least("what it costs on D_r", evidence.lost("amnesiac", "remain_train"), 1, "points"),
        at_most("its ASR's distance from Retrain's", _asr_distance(evidence, "amnesiac"), NEAR, "points"),
    ]


def _private_like_retrain(evidence: Evidence) -> list[Check]:
    shrink, expanding = (_asr_distance(evidence, name) for name in ("boundary_shrink", "boundary_expanding"))
    asked, limit = (at_least, NEAR) if evidence.faces else (at_most, -NEAR)
    return [
        at_most("Boundary Shrink's distance from Retrain's ASR", shrink, NEAR, "points"),
        at_most("Boundary Expanding's distance", expanding, NEAR, "points"),
        above("Boundary Expanding's distance", expanding, "Boundary Shrink's", shrink, "points"),
        *(
            asked(
                f"the ASR of {title} less Retrain's", _asr(evidence, name) - _asr(evidence, "retrain"), limit, "points"
            )
            for name, title in (("negative_gradient", "Negative Gradient"), ("random_labels", "Random Labels"))
        ),
    ]


def _fast(evidence: Evidence) -> list[Check]:
    expanding, shrink = (22, 11.7) if evidence.faces else (25, 4.8)
    images = evidence.measured("timing")["images"]
    for name, limit in (("boundary_expanding", expanding), ("boundary_shrink", shrink)):
        if name in images and (ratio := images["retrain"] / images[name]) < limit:
            raise Missing(
                f"in this profile Retrain goes through no more than {ratio:.1f} times as many images as the two "
                f"methods, so a speed-up of {limit:g} cannot be expected of either"
            )
    return [
        at_least(
            "Boundary Expanding's speed-up over Retrain", _speed_up(evidence, "boundary_expanding"), expanding, "times"
        ),
        at_least("Boundary Shrink's", _speed_up(evidence, "boundary_shrink"), shrink, "times"),
    ]


def _slow_baselines(evidence: Evidence) -> list[Check]:
    # Its time is in proportion to the images that the information is measured on, which may be a sample.
    remaining = evidence.metrics["dataset"]["sizes"]["remain_train"]
    measured_on = evidence.method("fisher")["settings"]["samples"] or remaining
    longer = remaining / min(measured_on, remaining) / _speed_up(evidence, "fisher")
    return [
        Check("Fisher, on all of D_r, takes longer than Retrain", f"{longer:.2f} times as long", longer > 1),
        Check(
            "training with recording takes at least 1.5 times as long",
            f"{_recording(evidence):.2f} times", _recording(evidence) >= 1.5,
        ),
    ]  # fmt: skip


def _shrink_slower(evidence: Evidence) -> list[Check]:
    search = evidence.measured("timing")["search"]
    if search is None:
        raise Missing("the profile does not run both methods")
    ratio = search["shrink_over_expanding"]
    shrink, expanding = (
        evidence.measured("timing")["methods"][name]["seconds"] for name in ("boundary_shrink", "boundary_expanding")
    )
    if shrink["low"] <= expanding["high"] and expanding["low"] <= shrink["high"]:
        raise Missing(f"the ranges of the two overlap; the median ratio of the rounds is {ratio:.2f}")
    return [Check("Boundary Shrink takes longer than Boundary Expanding", f"{ratio:.2f} times as long", ratio > 1)]


def _entropy_like_retrain(evidence: Evidence) -> list[Check]:
    def mean(name: str, part: str) -> float:
        return evidence.method(name)["entropy"][part]

    def distance(name: str) -> float:
        found = evidence.method(name)["entropy"]["distance_to_retrain"]
        if found is None:
            raise Missing("the profile does not run retrain")
        return found["wasserstein"]

    checks = [
        above(f"on the original, the entropy of {unseen}", mean("original", f"{side}_test"), f"that of {seen}",
              mean("original", f"{side}_train"), "nats")
        for side, unseen, seen in (("remain", "D_rt", "D_r"), ("forget", "D_ft", "D_f"))
    ]  # fmt: skip
    checks.append(
        above("Retrain's entropy of D_f", mean("retrain", "forget_train"), "the original's",
              mean("original", "forget_train"), "nats")
    )  # fmt: skip
    for name, title in (("boundary_shrink", "Boundary Shrink"), ("boundary_expanding", "Boundary Expanding")):
        checks.append(
            above("the original's distance from Retrain's D_f entropies", distance("original"), f"{title}'s",
                  distance(name), "nats")
        )  # fmt: skip
    checks.append(
        above("Random Labels' entropy of D_f", mean("random_labels", "forget_train"), "Retrain's",
              mean("retrain", "forget_train"), "nats")
    )  # fmt: skip
    checks += [
        above("Random Labels' distance from Retrain's D_f entropies", distance("random_labels"), f"{title}'s",
              distance(name), "nats")
        for name, title in (("boundary_shrink", "Boundary Shrink"), ("boundary_expanding", "Boundary Expanding"))
    ]  # fmt: skip
    return checks


def _lost(place: Mapping[str, Any], name: str) -> float:
    """What a method costs on D_r in one place of `Measurements.elsewhere`, in points against the original."""
    before, after = place["original"], place["methods"][name]["before"]
    return before["accuracy"]["remain_train"] - after["accuracy"]["remain_train"]


def _asr(evidence: Evidence, name: str) -> float:
    return evidence.method(name)["attack"]["asr"]


def _asr_distance(evidence: Evidence, name: str) -> float:
    return abs(_asr(evidence, name) - _asr(evidence, "retrain"))


def _speed_up(evidence: Evidence, name: str) -> float:
    """How many times faster than Retrain, both timed in one run."""
    methods = evidence.measured("timing")["methods"]
    if name not in methods:
        raise Missing(f"the profile does not run {name}")
    return methods[name]["speed_up"]


def _recording(evidence: Evidence) -> float:
    """Training with Amnesiac's recording, in times of training without."""
    recording = evidence.method("amnesiac")["recording"]
    if recording is None:
        raise Missing("no recording was made")
    return 1 + recording["seconds"] / recording["training_seconds"]


def _attention_leaves_the_object(evidence: Evidence) -> list[Check]:
    found = evidence.measured("attention")
    if not found["region"]["is_object"]:
        raise Missing("the data set says of no pixel whether it belongs to the object")
    models = found["sets"]["forget_train"]["models"]
    titles = {"retrain": "Retrain", "boundary_shrink": "Boundary Shrink", "boundary_expanding": "Boundary Expanding"}
    checks = []
    for name, title in titles.items():
        if name not in models:
            raise Missing(f"the profile does not run {name}")
        change = models[name]["predicted"]
        if change["change"] is None:
            raise Missing(f"the attention maps of {name} are blank")
        checks.append(
            Check(
                f"under {title} the share of attention on the object falls, its whole 95 % interval below 0",
                f"{change['change']:+.2f} points, {change['change_low']:+.2f} to {change['change_high']:+.2f}",
                change["change_high"] < 0,
            )
        )
    shrink, expanding = (models[name]["predicted"]["share"] for name in ("boundary_shrink", "boundary_expanding"))
    return [*checks, above("Boundary Expanding's share", expanding, "Boundary Shrink's", shrink)]


def _space_like_retrain(evidence: Evidence) -> list[Check]:
    models = evidence.measured("decision_space")["models"]
    for name in ("boundary_shrink", "boundary_expanding"):
        if name not in models:
            raise Missing(f"the profile does not run {name}")
    shrink, expanding, original = (models[n] for n in ("boundary_shrink", "boundary_expanding", "original"))
    to_nearest = shrink["forget"]["to_nearest"]
    if to_nearest is None:
        raise Missing("no forgetting sample left its class")
    return [
        at_least("the share of leaving samples that goes to the nearest class under Boundary Shrink", to_nearest, 50),
        above(
            "the distance of D_f from the centre under Boundary Expanding", expanding["compactness"]["from_centre"],
            "the original's", original["compactness"]["from_centre"], "radii of D_r",
        ),
        *(
            at_most(
                f"what the silhouette of the remaining classes loses under {title}",
                original["compactness"]["remain"] - model["compactness"]["remain"], 0.1, "",
            )
            for title, model in (("Boundary Shrink", shrink), ("Boundary Expanding", expanding))
        ),
    ]  # fmt: skip


def _one_step_is_enough(evidence: Evidence) -> list[Check]:
    found = evidence.measured("neighbours")
    reach = found["epsilons"].index(found["epsilon"]) if found["epsilon"] in found["epsilons"] else None
    if reach is None:
        raise Missing(f"epsilon={found['epsilon']} is not on the grid of the measurement")
    seconds = found["seconds"]
    return [
        at_least("the share of images that one step takes across a boundary", found["fgsm"]["crossed"][reach], 90),
        at_least("the share of images that one step and several give the same label", found["agreement"][reach], 90),
        Check(
            "one step is faster than several",
            f"{seconds['pgd'] / seconds['fgsm']:.2f} times as fast",
            seconds["fgsm"] < seconds["pgd"],
        ),
    ]


CLAIMS = {
    claim.number: claim
    for claim in (
        Claim(1, "Table 1", "Boundary Shrink leaves little of D_f and costs little on D_r.", _shrink_forgets),
        Claim(
            2, "Table 1", "Boundary Expanding leaves more of D_f than Boundary Shrink, less than Random Labels.",
            _expanding_between,
        ),
        Claim(
            3, "Table 1, Figure 3", "Finetune empties D_f and keeps a high ASR: accuracy is not privacy.",
            _finetune_not_private,
        ),
        Claim(
            4, "Table 1", "Negative Gradient and Random Labels leave a part of D_f and cost more on D_rt than Shrink.",
            _weak_baselines,
        ),
        Claim(5, "Table 2, section 5.3", "Fisher erases D_f, ruins D_r, and has an ASR of 0.", _fisher_ruins),
        Claim(
            6, "Table 2, section 5.3", "Amnesiac erases D_f, costs something on D_r, and has an ASR near Retrain's.",
            _amnesiac_costs,
        ),
        Claim(
            7, "Figure 3",
            "The ASR of Shrink and Expanding is close to Retrain's, Shrink's closer; those of Negative Gradient and "
            "Random Labels lie far below it on CIFAR-10, and above it on faces.",
            _private_like_retrain,
        ),
        Claim(
            8, "Figure 4, section 5.4",
            "Expanding is 29.7 and Shrink 4.8 times faster than Retrain on CIFAR-10, on faces 26.6 and 11.7 times.",
            _fast,
        ),
        Claim(
            9, "section 5.4", "Fisher takes longer than Retrain; recording for Amnesiac doubles the training time.",
            _slow_baselines,
        ),
        Claim(10, "section 5.4", "Shrink is slower than Expanding, because of the cross samples.", _shrink_slower),
        Claim(
            11, "Figure 5", "Retrain, Shrink and Expanding look away from the object, Shrink the most.",
            _attention_leaves_the_object,
        ),
        Claim(
            12, "Figure 6",
            "Shrink sends D_f to the nearest classes, Expanding pushes it from the centre; the remaining clusters stay "
            "compact.",
            _space_like_retrain,
        ),
        Claim(
            13, "Figure 7",
            "On the original, D_r and D_f have a lower entropy than test data. Retrain raises D_f's, Shrink and "
            "Expanding come to resemble it, Random Labels goes far beyond.",
            _entropy_like_retrain,
        ),
        Claim(14, "section 4.1, appendix", "One large step is enough to find the neighbours.", _one_step_is_enough),
    )
}  # fmt: skip


def judged(numbers: Sequence[int], metrics: Mapping[str, Any], **measured: Mapping[str, Any]) -> list[Judgement]:
    """The verdicts on some claims; `measured`: timing, attention, decision_space, neighbours, elsewhere, where needed.

    Claims 1 and 2 are judged on every class, seed and training of the model in `elsewhere`; without it, on its own.
    """
    evidence = Evidence(metrics, **measured)
    return [judge(CLAIMS[number], evidence) for number in numbers]
