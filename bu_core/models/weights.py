"""Weights that come as a file: read without running code, and checked against the model that they are for."""

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from ..checks import SettingError, file_of, listed, shown
from . import Classifier


def digest_of(file: str) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(Path(file).expanduser().read_bytes()).hexdigest()


def read_state(name: str, file: str) -> dict[str, Tensor]:
    """The state_dict in a file of the setting `name`, as safetensors or torch keeps it, on the CPU; no code is run.

    It may be the entry `state_dict` of a mapping, and its names may begin with `module.`. Raises SettingError for a
    file that is not there, cannot be read, or holds anything else.
    """
    path, where = file_of(name, file), f"{name}={shown(file)}"
    try:
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):  # of what is then refused, or read all the same
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the unpickler met
        raise SettingError(f"{where}: cannot be read ({type(error).__name__})") from error
    if isinstance(state, Mapping):
        state = state.get("state_dict", state)
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise SettingError(f"{where}: holds no state_dict")
    return {name.removeprefix("module."): value for name, value in state.items()}


def fit_into(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Give a module these weights. Raises SettingError for a tensor that lacks, has another shape or is not finite."""
    wanted = module.state_dict()
    for name in [name for name in wanted if not name.endswith("num_batches_tracked")]:
        if name not in state:
            raise SettingError(f"{where}: lacks {name} of this model")
        given, shape = state[name], tuple(wanted[name].shape)
        if given.shape != shape:
            raise SettingError(f"{where}: {name} has shape {tuple(given.shape)}, and this model's has {shape}")
        plain = given.is_floating_point() and given.layout == torch.strided and given.device.type == "cpu"
        if not plain or not given.isfinite().all():
            raise SettingError(f"{where}: {name} must hold finite numbers in floating point")
        wanted[name] = given
    module.load_state_dict(wanted)


def load_whole(model: Classifier, name: str, file: str) -> None:
    """Give a model the state_dict in a file of the setting `name`: all of it, and nothing else may be there.

    Raises SettingError as `read_state` and `fit_into` do, and for another number of classes or a name too many.
    """
    state, where = read_state(name, file), f"{name}={shown(file)}"
    head, classes = state.get("classifier.bias"), model.classifier.out_features
    if head is not None and head.shape != (classes,):
        raise SettingError(f"{where}: has {head.numel()} classes, and the data have {classes}")
    fit_into(model, state, where)
    if unknown := sorted(state.keys() - model.state_dict().keys()):
        raise SettingError(f"{where}: holds {listed(unknown)}, which this model does not have")


def as_bytes(model: Classifier, **header: str) -> bytes:
    """The state_dict of a model as a safetensors file holds it, with a `header` of texts."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    return safetensors.torch.save(weights, {"format": "pt"} | header)
