"""Which constants decide a stored result, read off the code, and which of them its measurement does not name.

A result in the store is found by its key. A constant that the code uses and the key lacks can be changed without the
stored result being computed again.
"""

import dis
import inspect
import re
import types
from collections.abc import Iterator
from typing import Any

from bu_core.experiment.measurement import Measurement

# Where functions are followed, beside the measurement's own module. What models, training and methods decide is in the
# keys of the models, and `training.NUMERICS` with it.
FOLLOWED = ("bu_book.", "bu_core.attacks", "bu_core.audits", "bu_core.measures", "bu_core.experiment.metrics")

# Names and registers, and no numbers: what they name stands in the key, as a model, a network or an argument.
NO_CHOICE = {"SPLITS", "METHODS", "BOUNDARY", "ONE_WIDTH", "REGIONS", "ATTACKS", "TESTED", "ASKED"}


def undeclared(measurement: Measurement[Any]) -> set[str]:
    """The constants that a measurement's result depends on and that stand in none of its `constants`."""
    home = measurement.__module__
    declared = _used(measurement.constants, home) | _used(measurement.of, home)
    return _used(measurement.compute, home) - declared - NO_CHOICE


def _used(start: Any, home: str) -> set[str]:
    """The names in capitals that a function uses, itself or by the functions that it calls."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting = [start]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        for function in _functions(thing):
            for name, value in _named(function, home):
                if re.fullmatch("_?[A-Z][A-Z0-9_]+", name):
                    found.add(name)
                elif _followed(getattr(value, "__module__", ""), home):
                    waiting.append(value)
    return found


def _followed(module: str | None, home: str) -> bool:
    return module is not None and (module == home or module.startswith(FOLLOWED))


def _functions(thing: Any) -> Iterator[types.FunctionType]:
    """The functions that stand behind a name: of a class all its methods."""
    if inspect.isclass(thing):
        members = (value.fget if isinstance(value, property) else value for value in vars(thing).values())
        yield from (member for member in members if inspect.isfunction(member))
    elif isinstance(thing, Measurement):
        yield thing.compute
    elif inspect.isfunction(inspect.unwrap(thing) if callable(thing) else None):
        yield inspect.unwrap(thing)


def _named(function: types.FunctionType, home: str) -> Iterator[tuple[str, Any]]:
    """The globals that a function uses, and what it uses of the modules among them."""
    for code in _codes(function.__code__):
        value: Any = None
        for instruction in dis.get_instructions(code):
            name = instruction.argval
            if instruction.opname == "LOAD_GLOBAL" and name in function.__globals__:
                value = function.__globals__[name]
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and inspect.ismodule(value):
                value = getattr(value, name) if _followed(value.__name__, home) else None
            else:
                value = None
            if value is not None and not inspect.ismodule(value):
                yield name, value


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code, and that of the functions, comprehensions and generators inside."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
