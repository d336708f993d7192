"""The one place where a setting is checked: its type, its range, its choices, and the nearest name to a wrong one.

Settings are annotated where they are declared, for example `epochs: Annotated[int, Range(1)]` in `config.Config` or
`batchnorm: Literal["train", "frozen"]` in a method's signature; `checked` holds a value against such an annotation.
"""

import contextlib
import difflib
import inspect
import math
import os
import reprlib
import tempfile
import types
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

LENGTH = 200  # characters of a value that a message shows
LISTED = 30  # names that a message lists
LARGEST = 2**31  # of a whole number
ALIASES = 20  # of a YAML document; so many cannot make it large


class SettingError(ValueError):
    """A setting that cannot be used. The message is one line: the setting, its value, and what is allowed."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the message alone, which would be lost below the frames that led there."""
        return [f"SettingError: {self}"]


@dataclass(frozen=True)
class Range:
    """Bounds of a number: `low <= value <= high`, or strictly above `low` and below `high` where `open` is set."""

    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    def __contains__(self, value: float) -> bool:
        return self.low < value < self.high if self.open else self.low <= value <= self.high

    def __str__(self) -> str:
        above, below = ("above", "below") if self.open else ("at least", "at most")
        parts = [f"{above} {self.low:.10g}"] if math.isfinite(self.low) else []
        parts += [f"{below} {self.high:.10g}"] if math.isfinite(self.high) else []
        return " and ".join(parts)


# The kinds of setting that several methods share, so that each is described once.
Epochs = Annotated[int, Range(0)]  # passes over the data; 0 leaves the model as it is
LearningRate = Annotated[float, Range(0)]  # 0 moves no weight, though BatchNorm statistics still follow the data
PixelDistance = Annotated[float, Range(0, 1)]  # images are in [0, 1]
BatchNorm = Literal["train", "frozen"]  # whether running statistics follow the batches
AnyBatchNorm = Literal["train", "frozen", "remaining"]  # or every step normalises by other, unlabelled images
Remaining = Annotated[int, Range(0)]  # unlabelled images of D_r that a method sees; all, where there are fewer
Keep = Annotated[float, Range(0)]  # weight of the original's answers on the images beside D_f, where there are any

_REPR = reprlib.Repr()  # bounded, where `repr` would write out every repetition of a shared part
_REPR.maxlevel, _REPR.maxlist, _REPR.maxtuple, _REPR.maxdict = 3, 8, 8, 8
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = LENGTH


def _line(text: str) -> str:
    line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in " ".join(text.split()))
    return line if len(line) <= LENGTH else f"{line[: LENGTH // 2]}...{line[3 - LENGTH // 2 :]}"


def shown(value: Any) -> str:
    """A value as Python writes it, or what an exception says, in one line of at most LENGTH characters."""
    try:
        line = str(value) if isinstance(value, Exception) else _REPR.repr(value)
    except ValueError:  # what Python says of a whole number of more than 4,300 digits
        return "(a number too long to show)"
    return line if len(line) <= LENGTH and line.isprintable() else _line(line)


def listed(names: Iterable[str]) -> str:
    """The first LISTED names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


_WANTED = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", list[str]: "a list of texts"}


def checked(name: str, value: Any, annotation: Any) -> Any:
    """Return `value` as the annotated type, or raise SettingError naming the setting, the value and what is allowed.

    A text that reads as a number is taken for one where a float is asked for: YAML 1.1, which papermill reads,
    takes `1e-5` for a text.
    """
    limits = None
    if get_origin(annotation) is Annotated:
        annotation, limits = get_args(annotation)
    if get_origin(annotation) is Literal:
        return one_of(name, value, get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = {get_args(kind)[0] if get_origin(kind) is Annotated else kind: kind for kind in get_args(annotation)}
        for plain, kind in kinds.items():
            if isinstance(value, get_origin(plain) or plain) and not isinstance(value, bool):
                return None if value is None else checked(name, value, kind)
        wanted = " or ".join(_WANTED[plain] for plain in kinds if plain is not types.NoneType)
        raise SettingError(f"{name}={shown(value)}: must be {wanted}")
    if annotation == list[str]:
        if not value or not all(isinstance(entry, str) for entry in value):
            raise SettingError(f"{name}={shown(value)}: must be a list of texts")
        return [checked(name, entry, str) for entry in value]
    if annotation is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    accepted = (int, float) if annotation is float else annotation
    allowed = f" {limits}" if limits else ""
    if not isinstance(value, accepted) or (isinstance(value, bool) and annotation is not bool):
        raise SettingError(f"{name}={shown(value)}: must be {_WANTED[annotation]}{allowed}")
    try:
        value = annotation(value)
    except OverflowError:
        value = math.inf  # a whole number beyond every float
    if annotation is float and not math.isfinite(value):
        raise SettingError(f"{name}={value}: must be a finite number{allowed}")
    if limits is not None and value not in limits:
        raise SettingError(f"{name}={shown(value)}: must be{allowed}")
    if annotation is int and abs(value) > LARGEST:
        raise SettingError(f"{name}={shown(value)}: must be at most {LARGEST}")
    if annotation is str and any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in value):
        raise SettingError(f"{name}={shown(value)}: must be a text in UTF-8 without control characters or line breaks")
    return value


def path_of(name: str, value: str | os.PathLike) -> Path:
    """The path that a setting names, with a leading `~` or `~user` replaced by that user's home folder."""
    text = checked(name, os.fspath(value), str)
    if not text.strip():
        raise SettingError(f"{name}={shown(text)}: must name a path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise SettingError(f"{name}={shown(text)}: {shown(error)}") from None


def file_of(name: str, value: str | os.PathLike) -> Path:
    """The path of a file that is there; a folder, a pipe and a device are none."""
    path = path_of(name, value)
    if not os.path.isfile(path):
        problem = "is no regular file" if os.path.exists(path) else "no such file"
        raise SettingError(f"{name}={shown(str(value))}: {problem}")
    return path


def new_folder(name: str, value: str | os.PathLike, known: Iterable[str]) -> Path:
    """The path of a folder to write, made where it is not there; of files it may hold those of the `known` names."""
    path, setting = path_of(name, value), f"{name}={shown(str(value))}"
    make_writable(path, setting)
    if others := sorted({found.name for found in path.iterdir()} - set(known)):
        raise SettingError(f"{setting}: holds {listed(others)}; name a new folder")
    return path


def new_file(name: str, value: str | os.PathLike, suffix: str) -> Path:
    """The path of a file to write, which is not there yet and ends in `suffix`; its folder is made where it is not."""
    path, setting = path_of(name, value), f"{name}={shown(str(value))}"
    if path.suffix != suffix:
        raise SettingError(f"{setting}: must end in {suffix}")
    if os.path.lexists(path):
        raise SettingError(f"{setting}: is there already; name a new file")
    make_writable(path.parent, setting)
    return path


def make_writable(folder: Path, setting: str) -> None:
    """Make a folder where it is not there. Raises SettingError, which names the `setting`, if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingError(f"{setting}: cannot be written ({error.strerror})") from error


class _Yaml(yaml.SafeLoader):
    """YAML whose keys are texts, each named once, and whose aliases are few."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.aliases += self.check_event(yaml.AliasEvent)
        if self.aliases > ALIASES:
            raise SettingError(f"must have at most {ALIASES} aliases")
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> Any:
        node, names = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                scalar = isinstance(key, yaml.ScalarNode)
                kind = f"the key {_line(key.value)}" if scalar else "a key that is a list or a mapping"
                raise SettingError(f"{kind} must be a text")
            if key.value in names:
                raise SettingError(f"the key {_line(key.value)} is given twice")
            names.add(key.value)
        return node


def from_yaml(setting: str, text: str) -> Any:
    """What a YAML text stands for. `setting` begins the message of the SettingError for what cannot be used."""
    try:
        return yaml.load(text, _Yaml)
    except SettingError as error:
        raise SettingError(f"{setting}: {error}") from None
    except Exception as error:  # PyYAML raises whatever its constructors met
        problem = str(error)
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
            problem = f"line {error.problem_mark.line + 1}: {error.problem}"
        raise SettingError(f"{setting}: is not YAML ({_line(problem)})") from error


def keyword_settings(name: str, function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a function, which are its keyword-only arguments: the defaults, replaced by what is `given`.

    Each is checked against its annotation; `name` is how messages call the mapping.
    """
    hints, defaults = _keywords(function)
    if not isinstance(given, Mapping):
        raise SettingError(f"{name}={shown(given)}: must be a mapping of settings")
    for argument in given:
        if not defaults:
            setting = shown(argument).strip("'")
            raise SettingError(f"{name}.{setting}: {name.rpartition('.')[2]} has no settings")
        one_of(name, argument, defaults)
    return {
        argument: checked(f"{name}.{argument}", given.get(argument, default), hints[argument])
        for argument, default in defaults.items()
    }


@cache
def _keywords(function: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The types of a function's arguments, and the defaults of its keyword-only ones."""
    return get_type_hints(function, include_extras=True), inspect.getfullargspec(function).kwonlydefaults or {}


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of the `allowed` names; otherwise raise, suggesting the nearest."""
    allowed = list(allowed)
    if not isinstance(value, str):
        raise SettingError(f"{name}={shown(value)}: allowed: {listed(allowed)}")
    if value in allowed:
        return value
    near = difflib.get_close_matches(value[:LENGTH], allowed, n=1, cutoff=0.5)
    suggestion = f"did you mean {near[0]!r}? " if near else ""
    raise SettingError(f"{name}={shown(value)}: {suggestion}allowed: {listed(allowed)}")
