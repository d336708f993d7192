"""File: no method, but a model that was made to forget outside this project, to be looked at as all others are."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from ..checks import SettingError
from ..models import Classifier
from ..models.weights import load_whole
from .register import method
from .task import UnlearningTask


def check_model(build: Callable[[], Classifier], settings: Mapping[str, Any]) -> None:
    """Raise SettingError where no file is named, or it does not hold weights of such a model, which it is given."""
    if not settings["weights"]:
        raise SettingError("unlearning.file.weights: must name a file, since methods names file")
    load_whole(build(), "unlearning.file.weights", settings["weights"])


@method(title="From a file", colour="#117733", check_model=check_model)
def file(task: UnlearningTask, *, weights: str = "") -> Classifier:
    """The model whose state_dict is in the file `weights`: of the original's network, as safetensors or torch keeps it.

    What is timed is the reading. The model is found in the store by what is in the file, not by its name.
    """
    model = copy.deepcopy(task.original)
    check_model(lambda: model, {"weights": weights})
    return model
