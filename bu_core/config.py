"""What an experiment is: one frozen dataclass, checked when it is made, loaded from a profile or a notebook.

The fields are the keys of a profile (`notebooks/profiles/*.yml`) and the parameters of every notebook.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from .checks import Range, SettingError, checked, file_of, from_yaml, keyword_settings, one_of, path_of, shown
from .data import DATASETS
from .data.request import checked_request, class_index
from .models import MODELS, ONE_WIDTH, pretraining
from .unlearning import METHODS, OF_THE_PAPER, method_settings

PROFILES = Path(__file__).resolve().parent.parent / "notebooks" / "profiles"
LARGEST_PROFILE = 100_000  # bytes


@dataclass(frozen=True)
class Config:
    """One experiment: data, model, training recipe, what is to be forgotten, and the methods that forget it.

    dataset: digits, cifar10 or faces. data_dir: the folder that holds it; unset, the variable BU_DATA, then a download.
    data: options of a data set that is chosen from a folder (`data.faces`). pretraining: what the model knows before
    (`pretraining.settings`).
    model, width: the architecture, and the share of its published filters. forget_class: an index or a class name.
    forget: several classes or single images, which are forgotten instead (`data.request.checked_request`).
    seed: decides the initial weights, the order of samples and every other draw. epochs, batch_size, lr, momentum:
    the recipe of the original and of Retrain. methods: which to run, in the order of the tables; `unlearning` holds
    their settings where these differ from the defaults. shadow_models: how many the second membership attack learns
    from, each trained on one half of D_r; 0 leaves that attack out. timing_runs: rounds in which the methods are timed
    against each other. elsewhere: on what else it is asked what does the forgetting, and whether it lasts: a list of
    changes, each a mapping with some of ELSEWHERE. requests: what the chapter "Beyond one class" forgets, a list of
    mappings as `forget` is one. beside: the profiles whose runs a page shows beside this one.
    replicates: the profile whose recorded run repeats this one with several seeds, over which claims are judged; unset,
    the seeds of `elsewhere`. title: how a page calls this run; unset, by its data set. sample_size: how many images of
    a set, at the most, are looked at one by one: by Grad-CAM, in the map of the decision space, in the comparison of
    searches. device, precision: `auto` takes the best that is there. results_dir: where everything is kept. A path may
    begin with `~`, and the config holds it with the home folder written out. Raises SettingError for a setting that
    cannot be.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    model: str = "allcnn"
    pretraining: Mapping[str, Any] = field(default_factory=dict)
    width: Annotated[float, Range(0, 4, open=True)] = 0.5
    forget_class: int | str = 4
    forget: Mapping[str, Any] = field(default_factory=dict)
    seed: Annotated[int, Range(0, 2**31)] = 0
    epochs: Annotated[int, Range(1)] = 30
    batch_size: Annotated[int, Range(1)] = 64
    lr: Annotated[float, Range(0, open=True)] = 0.1
    momentum: Annotated[float, Range(0, 0.9999)] = 0.9
    methods: tuple[str, ...] = OF_THE_PAPER
    unlearning: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shadow_models: Annotated[int, Range(0, 64)] = 0
    timing_runs: Annotated[int, Range(1)] = 5
    elsewhere: tuple[Mapping[str, Any], ...] = ()
    requests: tuple[Mapping[str, Any], ...] = ()
    beside: tuple[str, ...] = ()
    replicates: str = ""
    title: str = ""
    sample_size: Annotated[int, Range(50)] = 500
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    results_dir: str = "results"

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(Config, include_extras=True).items():
            if name not in COMPOUND:  # whose annotation does not say all that there is to check
                self._set(name, checked(name, getattr(self, name), hint))
        for name in ("data_dir", "results_dir"):
            if getattr(self, name) is not None:
                self._set(name, str(path_of(name, getattr(self, name))))
        one_of("dataset", self.dataset, DATASETS)
        one_of("model", self.model, MODELS)
        source = DATASETS[self.dataset]
        self._set("data", keyword_settings("data", source.read, self.data))
        self._set("pretraining", pretraining.checked(self.pretraining, self.model, self.data))
        if source.classes is not None:  # else the folder decides, and the experiment looks
            self._set("forget_class", class_index(self.forget_class, source.classes, self.dataset))
        for name, given in self._requests():
            self._set(name, given)
        if self.model in ONE_WIDTH and self.width != 1:
            raise SettingError(f"width={self.width:g}: {self.model} has one width; allowed: 1")
        self._set("methods", _method_names(self.methods))
        if not isinstance(self.unlearning, Mapping):
            raise SettingError(f"unlearning={shown(self.unlearning)}: must be a mapping from a method to its settings")
        for name in self.unlearning:
            one_of("unlearning", name, METHODS)
        self._set("unlearning", {name: method_settings(name, self.unlearning.get(name, {})) for name in METHODS})
        self._set("elsewhere", tuple(self._changes()))
        if not isinstance(self.beside, (list, tuple)):
            raise SettingError(f"beside={shown(self.beside)}: must be a list of profiles")
        self._set("beside", tuple(checked("beside", name, str) for name in self.beside))

    def _requests(self) -> Iterator[tuple[str, Any]]:
        """`forget` and `requests` as they were checked; a request for one class is no other than `forget_class`."""
        known = DATASETS[self.dataset].classes
        if not isinstance(self.requests, (list, tuple)):
            raise SettingError(f"requests={shown(self.requests)}: must be a list of mappings, as forget is one")
        found = checked_request(self.forget, known, self.dataset)
        if len(found.get("classes", ())) == 1:
            yield "forget_class", found["classes"][0]
            found = {}
        yield "forget", found
        asked = [checked_request(each, known, self.dataset) for each in self.requests]
        if not all(asked):
            raise SettingError("requests={}: names nothing to be forgotten")
        yield "requests", tuple(types.MappingProxyType(each) for each in asked)

    def _changes(self) -> Iterator[Mapping[str, Any]]:
        if isinstance(self.elsewhere, (str, Mapping)) or not isinstance(self.elsewhere, Sequence):
            such = "must be a list of mappings, such as [{width: 1.0}]"
            raise SettingError(f"elsewhere={shown(self.elsewhere)}: {such}")
        for change in self.elsewhere:
            if not isinstance(change, Mapping) or not change:
                raise SettingError(f"elsewhere={shown(change)}: must be a mapping with some of {', '.join(ELSEWHERE)}")
            for name in change:
                one_of("elsewhere", name, ELSEWHERE)
            try:
                if "precision" in change:  # what `auto` takes is known once there is a device, and is the experiment's
                    one_of("precision", change["precision"], ("fp32", "bf16"))
                changed = replace(self, elsewhere=(), **change)
            except SettingError as error:
                raise SettingError(f"elsewhere: {error}") from None
            yield types.MappingProxyType({name: getattr(changed, name) for name in change})

    def _set(self, name: str, value: Any) -> None:
        """How a frozen dataclass normalises its own fields; a mapping is frozen as well."""
        object.__setattr__(self, name, types.MappingProxyType(value) if isinstance(value, dict) else value)

    @classmethod
    def from_mapping(cls, parameters: Mapping[str, Any]) -> "Config":
        """A config from a profile's or a notebook's parameters; a name that is no parameter raises SettingError."""
        for name in parameters:
            one_of("parameter", name, [field.name for field in fields(cls)])
        return cls(**parameters)

    @classmethod
    def from_profile(cls, profile: str, **overrides: Any) -> "Config":
        """The config of a profile, by name or as a path to a YAML file, with some parameters replaced."""
        return cls.from_mapping(read_profile(profile) | overrides)

    def as_dict(self) -> dict[str, Any]:
        """Every setting, in a form that JSON can hold."""
        values = {field.name: _thawed(getattr(self, field.name)) for field in fields(self)}
        return values | {"unlearning": {name: values["unlearning"][name] for name in self.methods}}


def _thawed(value: Any) -> Any:
    """Tuples as lists, and every mapping as a dictionary."""
    if isinstance(value, Mapping):
        return {name: _thawed(part) for name, part in value.items()}
    return [_thawed(part) for part in value] if isinstance(value, tuple) else value


COMPOUND = ("methods", "unlearning", "data", "pretraining", "forget", "elsewhere", "requests", "beside")

# What may differ elsewhere.
ELSEWHERE = ("model", "pretraining", "width", "forget_class", "seed", "epochs", "lr", "precision")


def _method_names(methods: Any) -> tuple[str, ...]:
    if isinstance(methods, str) or not isinstance(methods, (list, tuple)):
        raise SettingError(f"methods={shown(methods)}: must be a list of methods; allowed: {', '.join(METHODS)}")
    named = tuple(one_of("methods", name, METHODS) for name in methods)
    if repeated := {name for name in named if named.count(name) > 1}:
        raise SettingError(f"methods={shown(list(named))}: {', '.join(sorted(repeated))} is named twice")
    return named


def profiles() -> dict[str, str]:
    """The profiles that come with the project, and the comment at the head of each."""
    return {path.stem: described(path.stem) for path in _files()}


def described(profile: str) -> str:
    """What a profile, by name or as a path, says of itself in the comment on its first line; "" where there is none."""
    first = _text(profile).split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _files() -> list[Path]:
    return sorted(PROFILES.glob("*.yml"))


def _text(profile: str) -> str:
    if profile.endswith((".yml", ".yaml")):
        path = file_of("profile", profile)
    else:
        path = PROFILES / f"{one_of('profile', profile, [path.stem for path in _files()])}.yml"
    try:
        if (size := path.stat().st_size) > LARGEST_PROFILE:
            raise SettingError(f"profile={shown(profile)}: has {size:,} bytes; at most {LARGEST_PROFILE:,} are read")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"profile={shown(profile)}: cannot be read ({shown(error)})") from error


def read_profile(profile: str) -> dict[str, Any]:
    """The parameters of a profile: the name of one of `profiles()`, or the path of a YAML file."""
    parameters = from_yaml(f"profile={shown(profile)}", _text(profile))
    if not isinstance(parameters, dict):
        raise SettingError(f"profile={shown(profile)}: must hold a mapping from parameters to values")
    return parameters
