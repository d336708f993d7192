"""An experiment: it asks the store first and computes what is missing.

    experiment = Experiment(Config.from_profile("smoke"))
    experiment.model("boundary_shrink")     # the unlearned model
    experiment.outputs("boundary_shrink")   # what it says of D_r, D_f, D_rt, D_ft

The names of the models are `original` and those in METHODS. What is measured of them is in `metrics` and in the
chapters of the book, each a `Measurement`.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import training
from ..audits.evidence import Evidence
from ..checks import SettingError
from ..config import Config
from ..data import SPLITS, ForgetSplit, LabelledImages, described, load, split
from ..data.request import Request, asked_for, checked_request, class_index
from ..measures import Outputs
from ..models import Classifier
from ..precision import Workload
from ..store import Store
from ..unlearning import METHODS
from .environment import Environment, environment
from .fitting import Fitting
from .measurement import measurement
from .record import Record

AUDITOR = 0  # the seed of an auditor's draws, whatever the seed of the models


class Experiment(Fitting):
    """One configured experiment. Whatever cannot work raises SettingError here, before any work.

    `say` is called with a line of text whenever something was computed, and not when it was found. Where this very
    experiment was recorded (`record.py`) and the config names no `data_dir`, it is shown from the `record`: no data are
    read, numbers, device and precision are those of the recorded run, and what the record lacks raises NotRecorded.
    With `extend` the data are read all the same, and what the record lacks is computed: on a CPU also where a GPU made
    the record, whose models are then taken as they are.
    """

    def __init__(self, config: Config, say: Callable[[str], None] = lambda line: None, extend: Record | None = None):
        super().__init__()
        self._answered: dict[tuple[str, bool], ModelOutputs] = {}
        self._evidence: dict[str, Evidence] = {}
        self.say, self.folder = say, Path(config.results_dir)
        self.record = None if extend else Record.find(config)
        self.device = torch.device("cpu") if self.record else training.resolve_device(config.device)
        self.extended = extend
        beside, refuse = extend or self.record, self.record.refusal if self.record else None
        setting = f"results_dir={config.results_dir!r}"
        self.store = Store(self.folder / "store", setting, beside.store if beside else None, refuse)
        if self.record:
            self.dataset = self.record.dataset
        else:
            self.dataset = load(config.dataset, config.data_dir, config.seed, config.data)
        self.config = self._with_classes(config)
        if beside and (self.record or config.precision == "auto"):  # what is added to a record is made as it was
            self.precision = beside.environment["precision"]
        else:
            shape, width = self.dataset.train.images.shape[1:], config.width
            work = Workload(config.model, width, (shape[0], shape[1], shape[2]), config.batch_size)
            self.precision = training.resolve_precision(config.precision, self.device, work)
        self._check_methods()
        if self.config.forget and not self.record:
            self.split  # noqa: B018 (a request that means no image, or all of them, is refused here)
        self.recipe = training.Recipe(
            config.epochs, config.lr, config.momentum, config.batch_size, self.precision, config.seed
        )
        built = partial(self._built, len(self.dataset.classes), config.width, config.seed)
        for name in config.methods if not self.record else ():
            METHODS[name].check_model(built, config.unlearning[name])

    def _with_classes(self, config: Config) -> Config:
        """The config with indices for classes: who the classes of a folder of people are is known only now."""
        index = partial(class_index, classes=self.dataset.classes, dataset=config.dataset)
        forget, *requests = (
            checked_request(each, self.dataset.classes, config.dataset) for each in (config.forget, *config.requests)
        )
        elsewhere = tuple(
            {name: index(value) if name == "forget_class" else value for name, value in change.items()}
            for change in config.elsewhere
        )
        asked: dict[str, Any] = {"elsewhere": elsewhere, "forget": forget, "requests": tuple(requests)}
        return replace(config, forget_class=index(config.forget_class), **asked)

    def _check_methods(self) -> None:
        """Refuse methods that cannot do what `forget` asks for."""
        forget = self.config.forget
        for name in self.config.methods:
            if forget and METHODS[name].one_class:
                what = described(forget, self.dataset.classes)
                raise SettingError(f"methods: {name} forgets one class alone, and forget asks for {what}; leave it out")

    @property
    def request(self) -> Request:
        """What is to be forgotten."""
        assert isinstance(self.config.forget_class, int)  # `_with_classes` made it an index
        return asked_for(self.config.forget, self.config.forget_class)

    @property
    def forgotten(self) -> str:
        """What is to be forgotten, in words."""
        return described(self.request, self.dataset.classes)

    @property
    def forget_classes(self) -> tuple[int, ...]:
        """The classes that are forgotten whole, by index; none where single images are."""
        return tuple(self.request.get("classes", ()))

    @property
    def names(self) -> tuple[str, ...]:
        """The models of this experiment: the original, and one for each method."""
        return ("original", *self.config.methods)

    @property
    def sound(self) -> tuple[str, ...]:
        """The models that did not diverge: whose outputs are finite. No other is looked at further."""
        return tuple(name for name in self.names if not self.answered(name).diverged)

    @cached_property
    def split(self) -> ForgetSplit:  # type: ignore[override]  # a Fitting is given it, an Experiment makes it
        """The four sets, on the device."""
        if self.record:
            lacks = f"this needs the images of {self.dataset.name}, and {self.record.shown} holds none"
            raise SettingError(f"data_dir: {lacks}; set data_dir to compute it again (book/data.md)")
        return split(self.dataset, self.request, self.device)

    @cached_property
    def here(self) -> Environment:  # type: ignore[override]
        """Where this process runs."""
        return environment(self.device, self.precision)

    @cached_property
    def environment(self) -> Environment:  # type: ignore[override]
        """Where this run was made: here, or where its record was; also that of a record from another kind of device."""
        if self.record:
            return self.record.environment
        made = self.extended.environment if self.extended else self.here
        return self.here if made["device"] == self.here["device"] else made

    @property
    def machine(self) -> Environment:
        """What a time depends on beside the work: the environment without commit and date."""
        there = self.record.environment if self.record else self.here
        return {name: value for name, value in there.items() if name not in ("git_commit", "date")}

    def answered(self, name: str) -> "ModelOutputs":
        """What a model says of the four sets, and how it was made; read once and kept in memory."""
        known = name, self.store.exactly > 0  # what a record keeps in fewer bits is no answer inside `exact`
        if known not in self._answered:
            self._answered[known] = outputs(self, name)
        return self._answered[known]

    def outputs(self, name: str) -> dict[str, Outputs]:
        """What a model says of each of the four sets, on the CPU."""
        found = self.answered(name)
        return {part: getattr(found, part) for part in SPLITS}

    def evidence(self, name: str) -> Evidence:
        """What an auditor has of a model; the same images for every model and seed, and kept in memory."""
        if name not in self._evidence:
            self._evidence[name] = Evidence(self.model(name), self.split, self.precision, AUDITOR)
        return self._evidence[name]

    def answers(self, model: Classifier, sets: Mapping[str, LabelledImages] | None = None) -> dict[str, Outputs]:
        """What any model says of some sets, on the CPU; nothing is kept. Unless told they are the four, whole."""
        sets = sets or {part: getattr(self.split, part) for part in SPLITS}
        return {
            part: Outputs(training.predict(model, data.images, self.precision).cpu(), data.labels.cpu())
            for part, data in sets.items()
        }

    def with_settings(self, method: str, **settings: Any) -> "Experiment":
        """This experiment with other settings for one method: the same data, original and store."""
        changed = copy.copy(self)
        unlearning = {**self.config.unlearning, method: {**self.config.unlearning[method], **settings}}
        changed.config = replace(self.config, unlearning=unlearning)
        changed._models = {name: model for name, model in self._models.items() if name != method}
        changed._answered = {known: found for known, found in self._answered.items() if known[0] != method}
        changed._evidence = {name: found for name, found in self._evidence.items() if name != method}
        return changed

    def fresh(self) -> "Experiment":
        """This experiment as if it had asked for nothing yet; `store.served` lists what it asks for from now on."""
        again = copy.copy(self)
        again.store = copy.copy(self.store)
        again.store.served, again._answered = set(), {}
        return again

    def variation(self, methods: Sequence[str], **change: Any) -> "Experiment":
        """This experiment with some of `config.ELSEWHERE` changed, and fewer methods: the same data and store.

        Another `seed` draws other initial weights and another order of the samples, from the same images.
        """
        changed = copy.copy(self)
        if "forget_class" in change:
            change["forget"] = {}
        changed.config = config = self._with_classes(
            replace(self.config, elsewhere=(), requests=(), methods=tuple(methods), **change)
        )
        changed._check_methods()
        changed.precision = precision = change.get("precision", self.precision)
        changed.recipe = replace(self.recipe, epochs=config.epochs, lr=config.lr, precision=precision, seed=config.seed)
        changed._models, changed._recordings, changed._answered, changed._evidence = {}, {}, {}, {}
        changed.__dict__.pop("split", None)  # made for the class of this one
        for place in ("environment", "here"):
            changed.__dict__[place] = getattr(self, place) | {"precision": precision}
        return changed

    def order(self, part: str) -> Tensor:
        """The numbers of all images of a set in the random order that samples are taken from, int64, on the CPU."""
        generator = torch.Generator().manual_seed(self.config.seed)
        there = self.outputs("original")[part].labels if self.record else getattr(self.split, part)
        return torch.randperm(len(there), generator=generator)

    def sample(self, part: str, count: int | None = None) -> Tensor:
        """Which images of a set are looked at one by one: so many numbers at the most, int64, on the CPU.

        Unless told, `sample_size`.
        """
        return self.order(part)[: self.config.sample_size if count is None else count]

    def sampled(self, part: str, count: int | None = None) -> LabelledImages:
        """The images of `sample`, on the device."""
        return getattr(self.split, part)[self.sample(part, count).to(self.device)]

    def remaining(self, count: int) -> Tensor:
        """So many images of D_r at the most, drawn at random, that an audit may see: uint8, on the device."""
        return self.sampled("remain_train", count).images


@dataclass(frozen=True)
class Making:
    """How a model was made. `seconds`: how long it took, each time it was measured; evaluation is left out.

    `recording`: of Amnesiac, what recording the original's training took; see `Fitting._record`.
    """

    seconds: list[float]
    environment: Environment
    recording: dict[str, Any] | None


@dataclass(frozen=True)
class ModelOutputs:
    """What a model says of the four sets, and how it was made, which a record would not know without its weights."""

    remain_train: Outputs
    forget_train: Outputs
    remain_test: Outputs
    forget_test: Outputs
    made: Making

    @cached_property
    def diverged(self) -> bool:
        """Whether a logit is not finite: such a model gets no numbers."""
        return not all(getattr(self, part).logits.isfinite().all() for part in SPLITS)


@measurement(of=())
def outputs(experiment: Experiment, model: str) -> ModelOutputs:
    """What a model of an experiment says of each of the four sets."""
    facts = experiment.weights(model).facts
    made = Making(facts["seconds"], facts["environment"], facts.get("recording"))
    return ModelOutputs(**experiment.answers(experiment.model(model)), made=made)
