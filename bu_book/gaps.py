"""What is not recorded, in words for a reader; missing is a state of a single row, and not of a page."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from bu_core.experiment.experiment import Experiment, outputs
from bu_core.experiment.metrics import Evaluation
from bu_core.experiment.record import NotRecorded
from bu_core.unlearning import METHODS

from .style import in_markdown, title

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

# What a measurement gives, in words; another is called by its name.
MEASURED = {
    "at_setting": "the accuracies at another setting",
    "attack": "the membership attacks",
    "attack_shadow": "the attack by shadow models",
    "attention_maps": "the attention maps",
    "channel_shift": "the offset of each channel",
    "class_statistics": "each class's statistics",
    "clustered": "the clusters",
    "cpu_round": "the times in rounds on a CPU",
    "differences": "the smaller differences from the released code",
    "evaluation": "the accuracies",
    "feature_map": "the decision space",
    "fisher_sweep": "Fisher Forgetting at several strengths of its noise",
    "forgetting_curve": "the accuracies epoch by epoch",
    "given_classes": "the classes that images are given",
    "held_out": "the auditors who are not on the ladder",
    "ladder": "the ladder of audits",
    "last_batch": "what the last batch of a fit does",
    "map_floors": "the least value of the attention maps",
    "masked_ladder": "the ladder of audits of the masked original",
    "neighbour_search": "the search for neighbours",
    "outputs": "the answers",
    "over_rates": "the methods over their learning rates",
    "per_sample": "the audit of single images",
    "object_outline": "the outline of the object",
    "recovered": "the accuracies after re-estimation",
    "requested": "what is remembered of a request",
    "returned": "re-estimation on images of other sources",
    "row_exchanged": "relearning with another output row",
    "saving": "the cost of saving every update",
    "scaling": "how the cost grows",
    "swap": "the swap of weights and statistics",
    "swapped_in_part": "the swap layer by layer",
    "timed_round": "the times in rounds",
    "told": "the answers in short",
    "trace": "the audits of the lasting method",
    "yardsticks": "the audits of Retrain and of a masked original",
}


def named(reason: Exception) -> str:
    """What is not to be had, in a few words of plain text."""
    if not isinstance(reason, NotRecorded) or not reason.artefact:
        return str(reason)
    measured, _, model = reason.artefact.partition("-")
    what = MEASURED.get(measured, measured.replace("_", " "))
    called = title(model) if model == "original" or model in METHODS else model
    return f"{what} of {called}" if model else what


def in_words(reason: NotRecorded, whose: str = "this run", others: Iterable[str] = ()) -> str:
    """A sentence for a reader, as HTML and Markdown alike: what is not recorded of a run, and what computes it.

    `whose`: how the run is called; `others`: the records that lack the same.
    """
    said = f"Not recorded of {whose}: {in_markdown(named(reason))}."
    if not reason.artefact:
        return said
    records = (reason.record, *others)
    commands = " and ".join(f"<code>make reference PROFILE={in_markdown(record)}</code>" for record in records)
    return f"{said} With the images at hand, {commands} {'compute' if others else 'computes'} it."


NAMED = 4  # gaps that a line names; of more it gives the number


@dataclass(frozen=True)
class Gaps:
    """The names, in plain text, of what the record lacks, and of the models that diverged."""

    not_recorded: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)

    def shown(self) -> str:
        """One line of plain text to stand under a table, with the first names of many; "" where nothing is missing."""
        kinds = {"Not recorded": self.not_recorded, "Diverged": self.diverged}
        return " ".join(f"{kind}: {_some(list(dict.fromkeys(names)))}." for kind, names in kinds.items() if names)


def _some(names: list[str]) -> str:
    if len(names) <= NAMED:
        return "; ".join(names)
    return f"{'; '.join(names[:NAMED])} and {len(names) - NAMED} more"


class Gathering:
    """Asks one question after the other, and notes which of them have no answer."""

    def __init__(self) -> None:
        self.gaps = Gaps()
        self._first: NotRecorded | None = None

    def ask(
        self, what: str, question: Callable[Arguments, Answer], *given: Arguments.args, **named: Arguments.kwargs
    ) -> Answer | None:
        """The answer; None where the record lacks it or the model diverged, and then `what` is among the gaps."""
        try:
            answer = question(*given, **named)
        except NotRecorded as reason:
            self._first = self._first or reason
            self.gaps.not_recorded.append(what)
            return None
        if isinstance(answer, Evaluation) and not math.isfinite(answer.entropy):
            self.gaps.diverged.append(what)
            return None
        return answer

    def models(self, experiment: Experiment, name_of: Callable[[str], str]) -> Iterator[str]:
        """The models of an experiment that did not diverge, as far as it is recorded whether they did."""
        for name in experiment.names:
            try:
                diverged = outputs(experiment, name).diverged
            except NotRecorded:
                diverged = False  # an evaluation may be recorded all the same, and would tell
            if diverged:
                self.gaps.diverged.append(name_of(name))
            else:
                yield name

    def needs_some(self, answers: object) -> None:
        """Raise NotRecorded where the record lacks everything that was asked."""
        if not answers and self._first is not None:
            raise self._first
