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
from typing import TYPE_CHECKING, Any, Generic, get_type_hints

from ..results import Artefact, Result, pack, unpack

if TYPE_CHECKING:
    from .experiment import Experiment

MEASUREMENTS: dict[str, "Measurement[Any]"] = {}


class Measurement(Generic[Result]):
    """A function of an experiment, and all that its result depends on; `measurement` says what that is."""

    def __init__(
        self,
        compute: Callable[..., Result],
        of: Sequence[str] | Callable[["Experiment"], Sequence[str]],
        constants: Callable[[], Mapping[str, Any]],
        version: int,
        sampled: bool,
        timed: bool,
    ):
        functools.update_wrapper(self, compute)
        self.name, self.compute, self.constants, self.version = compute.__name__, compute, constants, version
        self.sampled, self.timed = sampled, timed
        self._of, self._signature = of, inspect.signature(compute)

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
        of = self._of(experiment) if callable(self._of) else self._of
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


def measurement(
    *,
    of: Sequence[str] | Callable[["Experiment"], Sequence[str]] = ("original",),
    constants: Callable[[], Mapping[str, Any]] = dict,
    version: int = 1,
    sampled: bool = False,
    timed: bool = False,
) -> Callable[[Callable[..., Result]], Measurement[Result]]:
    """Register a function `(experiment, ...) -> a result` (`bu_core.results`) under its own name.

    `of`: the models that it looks at beside its argument `model`, where it has one; names, or a function of the
    experiment that gives them. `constants`: what its module decides, by name; a function, so that it is read late.
    `version`: raise it when the same settings give another result than before. `sampled`: whether `sample_size` decides
    what it looks at. `timed`: whether its result belongs to the machine.
    """

    def register(compute: Callable[..., Result]) -> Measurement[Result]:
        made = Measurement(compute, of, constants, version, sampled, timed)
        if (other := MEASUREMENTS.get(made.name, made)).__module__ != made.__module__:
            raise ValueError(f"{made.__module__}: {other.__module__} has a measurement {made.name} already")
        MEASUREMENTS[made.name] = made
        return made

    return register
