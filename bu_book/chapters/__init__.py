"""One module a chapter: what it measures, its figures and tables, and the claims that it judges.

The module has the name of its notebook. `measure(experiment)` gives all that the chapter shows of a run.
"""

import importlib
from types import ModuleType

# In the order of the book.
CHAPTERS = (
    "index",
    "what_forgets",
    "audit",
    "lasting",
    "deep",
    "utility",
    "attack_success",
    "timing",
    "attention",
    "decision_space",
    "entropy",
    "neighbours",
    "settings",
    "seeds",
    "beyond",
    "ledger",
)


def load() -> dict[str, ModuleType]:
    """The modules of all chapters, by name; loading them registers their measurements and claims."""
    return {name: importlib.import_module(f"{__name__}.{name}") for name in CHAPTERS}
