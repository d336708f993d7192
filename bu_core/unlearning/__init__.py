"""The unlearning methods, one file each, and the register of them.

A method takes an `UnlearningTask` and its settings as keyword arguments, and returns a new model of the original's
shape; it leaves the original untouched and neither times nor evaluates itself. A new method needs a file beside these
and a line in METHODS; the names, ranges and defaults of its settings are read off its signature, its title, colour and
the data that it goes through off its `@method`.
"""

from collections.abc import Mapping
from typing import Any

from ..checks import keyword_settings, one_of
from .amnesiac import amnesiac
from .boundary_expanding import boundary_expanding
from .boundary_shrink import boundary_shrink
from .delete import delete
from .file import file
from .finetune import finetune
from .fisher import fisher
from .negative_gradient import negative_gradient
from .random_labels import random_labels
from .register import Method, method
from .retrain import retrain
from .spotter import spotter
from .task import UnlearningTask

__all__ = ["METHODS", "OF_THE_PAPER", "Method", "UnlearningTask", "changed_settings", "method", "method_settings"]

METHODS: dict[str, Method] = {
    "retrain": retrain,
    "finetune": finetune,
    "negative_gradient": negative_gradient,
    "random_labels": random_labels,
    "boundary_shrink": boundary_shrink,
    "boundary_expanding": boundary_expanding,
    "fisher": fisher,
    "amnesiac": amnesiac,
    "delete": delete,
    "spotter": spotter,
    "file": file,
}
OF_THE_PAPER = tuple(METHODS)[:8]  # the methods that the paper compares, in the order of its tables


def method_settings(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a method: its defaults, replaced by what is `given`, and checked."""
    asked = METHODS[one_of("methods", name, METHODS)]
    settings = keyword_settings(f"unlearning.{name}", asked.unlearn, given)
    asked.check(f"unlearning.{name}", settings)
    return settings


def changed_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a method's settings that are not at their defaults."""
    defaults = method_settings(name, {})
    return {setting: value for setting, value in settings.items() if value != defaults[setting]}
