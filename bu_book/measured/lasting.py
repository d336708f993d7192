"""What a setting of a method leaves behind: a row of the ablation, shorter than a whole climb of the ladder.

The rungs of frozen models are looked at after re-estimation on images that the method did not choose. A setting that
keeps the class there, or that ruins what remains, is not relearned: its row says enough.
"""

from dataclasses import dataclass

from bu_core.audits import few_shot, ladder, neighbours, probe, relearning, threshold
from bu_core.audits import held_out as auditors
from bu_core.audits.evidence import Evidence
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.measures import accuracy

WORTH = 5.0  # percent of D_f after re-estimation, from which on a setting is not relearned
COST = 4.0  # points lost on D_rt, from which on it is not either


@dataclass(frozen=True)
class Trace:
    """What one setting leaves of the class. Accuracies on the four sets and recalls of D_ft are in percent.

    `before` and `after`: accuracy without and with re-estimation; all that follows is after it, but for relearning.
    `threshold`: recall by a shifted threshold; `erased`: the same with the class's output row at zero. `profile`: the
    mean posterior of D_ft over the other classes. `relearn_remaining`: the most that relearning without the class
    brings back of D_f; `relearn_few`: the steps to half of the original's D_ft with few images of it; None where the
    setting was not worth relearning.
    """

    before: dict[str, float]
    after: dict[str, float]
    threshold: float
    erased: float
    profile: list[float]
    few_shot: list[few_shot.FewShot]
    probe: probe.Probe
    relearn_remaining: float | None
    relearn_few: int | None

    @property
    def findings(self) -> ladder.Findings:
        """As the auditors of the ladder find them."""
        return ladder.Findings(
            output=self.before["forget_train"],
            reestimation=self.after["forget_train"],
            threshold=self.threshold,
            profile=self.profile,
            few_shot=few_shot.with_five(self.few_shot),
            probe=self.probe.recall,
            relearn_remaining=self.relearn_remaining,
            relearn_few=None if self.relearn_few is None else float(self.relearn_few),
        )


@measurement(of=("original", "retrain"), constants=lambda: ladder.constants() | {"worth": WORTH, "cost": COST})
def trace(experiment: Experiment, model: str) -> Trace:
    """What a method leaves of the class with the settings that the experiment has (`with_settings`)."""
    suspect, original = experiment.evidence(model), experiment.evidence("original")
    again = suspect.reestimated
    after = {part: accuracy(again.outputs(part)) for part in SPLITS}
    lost = accuracy(original.outputs("remain_test")) - after["remain_test"]
    worth = after["forget_train"] < WORTH and lost < COST
    return Trace(
        before={part: accuracy(suspect.outputs(part)) for part in SPLITS},
        after=after,
        threshold=threshold.ranked(again).recall,
        erased=_erased(again),
        profile=neighbours.neighbours(again, "forget_test").mean(0).tolist(),
        few_shot=few_shot.recalled(again),
        probe=probe.probed(again),
        relearn_remaining=relearning.relearn_remaining(suspect, experiment.recipe).best if worth else None,
        relearn_few=relearning.relearn_few(suspect, original, experiment.recipe).steps if worth else None,
    )


@measurement(
    of=(),
    constants=lambda: ladder.constants() | {"nearest": auditors.NEAREST, "hidden": auditors.HIDDEN},
    version=2,
)
def held_out(experiment: Experiment, model: str) -> auditors.HeldOut:
    """What auditors find, after re-estimation, who are not on the ladder."""
    return auditors.held_out(experiment.evidence(model).reestimated)


def _erased(evidence: Evidence) -> float:
    """The recall by a shifted threshold where the logit of the class is 0 for every image."""
    margins = []
    for part in ("forget_test", "remain_test"):
        logits = evidence.outputs(part).logits.clone()
        logits[:, evidence.forget_class] = 0
        margins.append(threshold.margins(logits, evidence.forget_class))
    forget, remain = margins
    return threshold.recall_at_loss(forget, remain, evidence.seed).recall
