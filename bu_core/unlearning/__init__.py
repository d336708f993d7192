"""The unlearning methods, one file each, and the register of them.

A method takes an `UnlearningTask` and its settings as keyword arguments, and returns a new model of the original's
shape; it leaves the original untouched and neither times nor evaluates itself. A new method needs a file beside these
and a line in METHODS; the names, ranges and defaults of its settings are read off its signature.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from ..models import Classifier
from ..settings import SettingError, checked, one_of
from .amnesiac import amnesiac
from .boundary_expanding import boundary_expanding
from .boundary_shrink import boundary_shrink
from .finetune import finetune
from .fisher import fisher
from .negative_gradient import negative_gradient
from .random_labels import random_labels
from .retrain import retrain
from .task import UnlearningTask

__all__ = ["METHODS", "UnlearningTask", "method_settings"]

METHODS: dict[str, Callable[..., Classifier]] = {
    "retrain": retrain,
    "finetune": finetune,
    "negative_gradient": negative_gradient,
    "random_labels": random_labels,
    "boundary_shrink": boundary_shrink,
    "boundary_expanding": boundary_expanding,
    "fisher": fisher,
    "amnesiac": amnesiac,
}


def method_settings(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of `method`: its defaults, replaced by what is `given` and checked against its signature."""
    function = METHODS[one_of("methods", method, METHODS)]
    hints = get_type_hints(function, include_extras=True)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    if not isinstance(given, Mapping):
        raise SettingError(f"unlearning.{method}={given!r}: must be a mapping of settings")
    for name in given:
        if not defaults:
            raise SettingError(f"unlearning.{method}.{name}: {method} has no settings")
        one_of(f"unlearning.{method}", name, defaults)
    return {
        name: checked(f"unlearning.{method}.{name}", given.get(name, default), hints[name])
        for name, default in defaults.items()
    }
