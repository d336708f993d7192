"""The one place where a setting is checked: its type, its range, its choices, and the nearest name to a wrong one.

Settings are annotated where they are declared, for example `epochs: Annotated[int, Range(1)]` in `config.Config` or
`batchnorm: Literal["train", "frozen"]` in a method's signature; `checked` holds a value against such an annotation.
"""

import contextlib
import difflib
import inspect
import math
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints


class SettingError(ValueError):
    """A setting that cannot be used. The message is one line: the setting, its value, and what is allowed."""


@dataclass(frozen=True)
class Range:
    """Bounds of a number: `low <= value <= high`, or strictly above `low` and below `high` where `open` is set."""

    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    def __contains__(self, value: float) -> bool:
        if self.open:
            return self.low < value < self.high
        return self.low <= value <= self.high

    def __str__(self) -> str:
        above, below = ("above", "below") if self.open else ("at least", "at most")
        parts = [f"{above} {self.low:g}"] if math.isfinite(self.low) else []
        parts += [f"{below} {self.high:g}"] if math.isfinite(self.high) else []
        return " and ".join(parts)


# The kinds of setting that several methods share, so that each is described once.
Epochs = Annotated[int, Range(0)]  # passes over the data; 0 leaves the model as it is
LearningRate = Annotated[float, Range(0)]  # 0 moves no weight, though BatchNorm statistics still follow the data
PixelDistance = Annotated[float, Range(0, 1)]  # images are in [0, 1]
BatchNorm = Literal["train", "frozen"]  # whether running statistics follow the batches


_WANTED = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    list[str]: "a list of texts",
}


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
        return _checked_union(name, value, get_args(annotation))
    if annotation is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    accepted = (int, float) if annotation is float else annotation
    if not isinstance(value, accepted) or (isinstance(value, bool) and annotation is not bool):
        raise SettingError(f"{name}={value!r}: must be {_WANTED[annotation]}{f' {limits}' if limits else ''}")
    try:
        value = annotation(value)
    except OverflowError:
        value = math.inf  # a whole number beyond every float
    if annotation is float and not math.isfinite(value):
        raise SettingError(f"{name}={value}: must be a finite number{f' {limits}' if limits else ''}")
    if limits is not None and value not in limits:
        raise SettingError(f"{name}={value}: must be {limits}")
    return value


def keyword_settings(name: str, function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a function, which are its keyword-only arguments: the defaults, replaced by what is `given`.

    Each is checked against its annotation; `name` is how messages call the mapping.
    """
    hints = get_type_hints(function, include_extras=True)
    defaults = {
        argument: parameter.default
        for argument, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    if not isinstance(given, Mapping):
        raise SettingError(f"{name}={given!r}: must be a mapping of settings")
    for argument in given:
        if not defaults:
            raise SettingError(f"{name}.{argument}: {name.rpartition('.')[2]} has no settings")
        one_of(name, argument, defaults)
    return {
        argument: checked(f"{name}.{argument}", given.get(argument, default), hints[argument])
        for argument, default in defaults.items()
    }


def _checked_union(name: str, value: Any, members: tuple[Any, ...]) -> Any:
    if value is None and types.NoneType in members:
        return None
    kinds = [member for member in members if member is not types.NoneType]
    if isinstance(value, (list, tuple)) and list[str] in kinds:
        if not value or not all(isinstance(entry, str) for entry in value):
            raise SettingError(f"{name}={value!r}: must be a list of texts")
        return list(value)
    for kind in kinds:
        if get_origin(kind) is Annotated and isinstance(value, get_args(kind)[0]) and not isinstance(value, bool):
            return checked(name, value, kind)
        if get_origin(kind) is not None:
            continue
        if isinstance(value, kind) and not isinstance(value, bool):
            return checked(name, value, kind)
    wanted = [_WANTED[get_args(kind)[0] if get_origin(kind) is Annotated else kind] for kind in kinds]
    raise SettingError(f"{name}={value!r}: must be {' or '.join(wanted)}")


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of the `allowed` names; otherwise raise, suggesting the nearest."""
    allowed = list(allowed)
    if value in allowed:
        return value
    near = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.5)
    suggestion = f"did you mean {near[0]!r}? " if near else ""
    raise SettingError(f"{name}={value!r}: {suggestion}allowed: {', '.join(allowed)}")
