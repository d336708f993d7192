"""What a result that is assembled from many measurements has no number of, since missing is a state of a single row."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from bu_core.experiment.experiment import Experiment, outputs
from bu_core.experiment.metrics import Evaluation
from bu_core.experiment.record import NotRecorded

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Gaps:
    """The names, in plain text, of what the record lacks, and of the models that diverged."""

    not_recorded: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)

    def shown(self) -> str:
        """One line of plain text to stand under a table; "" where nothing is missing."""
        kinds = {"Not recorded": self.not_recorded, "Diverged": self.diverged}
        return " ".join(f"{kind}: {'; '.join(dict.fromkeys(names))}." for kind, names in kinds.items() if names)


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
