"""What a method says of itself: how it is called and drawn, and which data it goes through."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..models import Classifier
from .task import UnlearningTask

GoesThrough = Literal["forget", "remain"]


@dataclass(frozen=True)
class Method:
    """An unlearning method: call it with a task and its settings.

    `title`: its name in tables and figures. `colour`: as `#rrggbb`; the first six are of Wong's palette (Nature Methods
    2011), which colour-blind readers tell apart. `goes_through`: the set that decides how long it takes, D_f or D_r.
    `check`: called with what messages call the settings, and with all of them; raises SettingError for those that do
    not go together. `check_model`: called before any network is trained, with what builds one of the run, and with
    the settings; raises SettingError where the two do not. `one_class`: whether it can forget one class alone, and
    neither several nor single images.
    """

    unlearn: Callable[..., Classifier]
    title: str
    colour: str = "#999999"
    goes_through: GoesThrough = "forget"
    check: Callable[[str, Mapping[str, Any]], None] = lambda name, settings: None
    check_model: Callable[[Callable[[], Classifier], Mapping[str, Any]], None] = lambda build, settings: None
    one_class: bool = False

    def __call__(self, task: UnlearningTask, **settings: Any) -> Classifier:
        return self.unlearn(task, **settings)


def method(*, title: str = "", **facts: Any) -> Callable[[Callable[..., Classifier]], Method]:
    """Make a function `(task, *, ...) -> model` a method; without a title it is called by the function's name.

    `facts`: the fields of Method that are not as there.
    """
    return lambda unlearn: Method(unlearn, title or unlearn.__name__.replace("_", " ").title(), **facts)
