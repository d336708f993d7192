"""A measurement: one question to an experiment, registered once, its answer kept in the experiment's store.

    @measurement(constants=lambda: {"folds": FOLDS}, version=1)
    def attack(experiment: Experiment, model: str) -> Scores:
        ...

    attack(experiment, "retrain")   # computed once, and found in the store afterwards

What the answer is found by follows from what the registration says: the models, the forgetting class, the arguments,
the constants, the version, and where it is said the sample and the machine. Nobody writes a key by hand.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, get_type_hints

from ..results import Artefact, Result, pack, unpack

if TYPE_CHECKING:
    from .experiment import Experiment

MEASUREMENTS: dict[str, "Measurement[Any]"] = {}


@dataclass(eq=False)
class Measurement(Generic[Result]):
    """A function of an experiment, `compute(experiment, ...) -> a result` (`bu_core.results`), and what it depends on.

    `of`: the models that it looks at beside its argument `model`, where it has one; names, or a function of the
    experiment that gives them. `constants`: what its module decides, by name; a function, so that it is read late.
    `version`: raise it when the same settings give another result than before. `sampled`: whether `sample_size` decides
    what it looks at. `timed`: whether its result belongs to the machine.
    """

    compute: Callable[..., Result]
    of: Sequence[str] | Callable[["Experiment"], Sequence[str]] = ("original",)
    constants: Callable[[], Mapping[str, Any]] = dict
    version: int = 1
    sampled: bool = False
    timed: bool = False

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.compute)
        self.name, self._signature = self.compute.__name__, inspect.signature(self.compute)
        if (other := MEASUREMENTS.get(self.name, self)).__module__ != self.__module__:
            raise ValueError(f"{self.__module__}: {other.__module__} has a measurement {self.name} already")
        MEASUREMENTS[self.name] = self

    def __call__(self, experiment: "Experiment", *arguments: Any, **named: Any) -> Result:
        """The result, from the store or computed. Raises NotRecorded where a record lacks it."""
        given = self._given(experiment, *arguments, **named)

        def make() -> Artefact:
            with experiment.store.exact():
                return pack(self.compute(experiment, **given))

        kind = f"{self.name}-{given['model']}" if "model" in given else self.name
        found = experiment.store.get(kind, self.key(experiment, **given), make)
        return unpack(self.result, found.tensors, found.facts)

    @functools.cached_property
    def result(self) -> type[Result]:
        """The class of the result."""
        return get_type_hints(self.compute, include_extras=True)["return"]

    def key(self, experiment: "Experiment", *arguments: Any, **named: Any) -> dict[str, Any]:
        """All that the result depends on: what it is found by."""
        given = self._given(experiment, *arguments, **named)
        of = self.of(experiment) if callable(self.of) else self.of
        models = [given.pop("model")] if "model" in given else []
        key: dict[str, Any] = {
            "measurement": self.name,
            "version": self.version,
            "constants": dict(self.constants()),
            "models": {name: experiment.key(name) for name in dict.fromkeys((*models, *of))},
            "arguments": given,
        } | experiment.forget_key
        if self.sampled:
            key["sample_size"] = experiment.config.sample_size
        if self.timed:
            key["machine"] = experiment.machine
        return key

    def _given(self, experiment: "Experiment", *arguments: Any, **named: Any) -> dict[str, Any]:
        bound = self._signature.bind(experiment, *arguments, **named)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])


def measurement(**registered: Any) -> Callable[[Callable[..., Result]], Measurement[Result]]:
    """Register a function under its own name; `registered`: the fields of Measurement that are not as there."""
    return lambda compute: Measurement(compute, **registered)
