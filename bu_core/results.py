"""Results as typed objects, and how they become files: tensors on one side, what JSON can hold on the other.

A result is a frozen dataclass. `pack` takes it apart and `unpack` puts it together again by its annotations, so nobody
reads a nested dictionary by heart, and a file says no more than its class does.
"""

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

Result = TypeVar("Result")


@dataclass(frozen=True)
class Kept:
    """The dtypes of a tensor: `here`, in memory and in the store, and `recorded`, in a record, where space counts.

    It annotates a field, as in `logits: Annotated[Tensor, Kept(torch.float32, recorded=torch.float16)]`.
    """

    here: torch.dtype
    recorded: torch.dtype


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its 95 % interval; None where there is none.

    As a field `x` of a result it is kept as `x`, `x_low` and `x_high`.
    """

    value: float | None
    low: float | None
    high: float | None

    def shown(self, form: str) -> str:
        """The value in a format such as `.1f`, and – where there is none."""
        return "–" if self.value is None else format(self.value, form)


@dataclass(frozen=True)
class Artefact:
    """What a file holds: tensors by name, and facts that JSON can hold.

    `recorded`: the dtype, by its name, in which a record keeps a tensor, where that is another than its own.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    recorded: dict[str, str] = field(default_factory=dict)


def pack(result: Any) -> Artefact:
    """Take a result apart; a tensor is named by the way to it, such as `forget_train.logits`."""
    packed = Artefact({}, {})
    packed.facts.update(_plain(result, "", packed))
    return packed


def as_json(result: Any) -> Any:
    """A result without its tensors, in what JSON can hold."""
    return _plain(result, "", Artefact({}, {}))


def unpack(kind: type[Result], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Result:
    """The result of this class that was packed. Raises KeyError where a field is not there that has no default."""
    return _typed(kind, facts, tensors, "")


def _plain(value: Any, path: str, packed: Artefact) -> Any:
    """What JSON can hold of a value, whose tensors go into `packed`; `path` leads to it, and begins with a dot."""
    if isinstance(value, Tensor):
        packed.tensors[path[1:]] = value
        return None
    if dataclasses.is_dataclass(value):
        own: Any = type(value)
        hints, plain = _hints(own), dict[str, Any]()
        for each in dataclasses.fields(value):
            name, part = each.name, getattr(value, each.name)
            if isinstance(part, Estimate):
                plain |= {name: part.value, f"{name}_low": part.low, f"{name}_high": part.high}
                continue
            found = _plain(part, f"{path}.{name}", packed)
            if not isinstance(part, Tensor):
                plain[name] = found
            elif (kept := _kept(hints[name])) is not None:
                packed.recorded[f"{path}.{name}"[1:]] = str(kept.recorded).removeprefix("torch.")
        return plain
    if isinstance(value, Mapping):
        return {name: _plain(part, f"{path}.{name}", packed) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{path}.{place}", packed) for place, part in enumerate(value)]
    return value


def _typed(kind: Any, facts: Any, tensors: Mapping[str, Tensor], path: str) -> Any:
    bare = _bare(kind)
    if bare is Tensor:
        found = tensors[path[1:]]
        return found if (kept := _kept(kind)) is None else found.to(kept.here)
    if facts is None and _optional(kind):
        return None
    origin, inner = get_origin(bare) or bare, get_args(bare)
    if isinstance(bare, type) and dataclasses.is_dataclass(bare):
        hints, fields = _hints(bare), dict[str, Any]()
        for each in dataclasses.fields(bare):
            name, wanted = each.name, hints[each.name]
            if name not in facts and each.default_factory is not dataclasses.MISSING:
                continue  # an older file may lack it
            none = _optional(wanted) and facts.get(name, ...) is None  # it says so: not merely left out
            if none and f"{name}_low" not in facts:  # an Estimate may lack a value, and yet be there
                fields[name] = None
            elif _bare(wanted) is Estimate:
                fields[name] = Estimate(facts[name], facts[f"{name}_low"], facts[f"{name}_high"])
            else:
                part = None if _only_tensors(wanted) else facts[name]
                fields[name] = _typed(wanted, part, tensors, f"{path}.{name}")
        return bare(**fields)
    if isinstance(origin, type) and issubclass(origin, Mapping) and inner:
        if _bare(inner[1]) is Tensor:
            inside = f"{path}."[1:]
            names = [name.removeprefix(inside) for name in tensors if name.startswith(inside)]
            return {name: _typed(inner[1], None, tensors, f"{path}.{name}") for name in names}
        named = int if inner[0] is int else str  # to JSON every name is a text
        return {named(name): _typed(inner[1], part, tensors, f"{path}.{name}") for name, part in facts.items()}
    if origin in (list, tuple) and inner:
        return origin(_typed(inner[0], part, tensors, f"{path}.{place}") for place, part in enumerate(facts))
    return facts


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _optional(kind: Any) -> bool:
    return types.NoneType in get_args(get_args(kind)[0] if get_origin(kind) is Annotated else kind)


def _kept(kind: Any) -> Kept | None:
    return next((mark for mark in get_args(kind) if isinstance(mark, Kept)), None)


def _only_tensors(kind: Any) -> bool:
    """Whether a field is a tensor, or tensors by name: such a field needs no facts."""
    bare = _bare(kind)
    origin, inner = get_origin(bare), get_args(bare)
    return bare is Tensor or (isinstance(origin, type) and issubclass(origin, Mapping) and _bare(inner[1]) is Tensor)


def _bare(kind: Any) -> Any:
    """A type without its annotation, and without `| None`."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        some = [part for part in get_args(kind) if part is not types.NoneType]
        return _bare(some[0]) if len(some) == 1 else kind
    return kind
