"""Data sets as uint8 images on one device, and their split by class into the four sets of the paper.

`load` gives a `Dataset`; `split` divides it into D_r, D_f (training data that remain, that are to be forgotten) and
D_rt, D_ft (the same for test data). Everything is checked here, before any work: a missing folder, a class folder
without its twin, a file that is not read, an image that cannot be decoded.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..checks import SettingError, keyword_settings, one_of, path_of, shown
from . import cifar10, digits, faces
from .images import Dataset, LabelledImages, pixels

__all__ = ["DATASETS", "SPLITS", "Dataset", "ForgetSplit", "LabelledImages", "Source", "load", "pixels", "split"]

SPLITS = ("remain_train", "forget_train", "remain_test", "forget_test")


@dataclass(frozen=True)
class ForgetSplit:
    """A data set divided by the class that is to be forgotten (paper, section 3).

    remain_train is D_r, forget_train is D_f, remain_test is D_rt, forget_test is D_ft.
    """

    classes: tuple[str, ...]
    forget_class: int
    remain_train: LabelledImages
    forget_train: LabelledImages
    remain_test: LabelledImages
    forget_test: LabelledImages


def split(dataset: Dataset, forget_class: int, device: torch.device) -> ForgetSplit:
    """Divide `dataset` by `forget_class` and put the four parts on `device`."""
    parts = {}
    for side, data in (("train", dataset.train), ("test", dataset.test)):
        forget = data.labels == forget_class
        parts[f"remain_{side}"] = data[~forget].to(device)
        parts[f"forget_{side}"] = data[forget].to(device)
    return ForgetSplit(dataset.classes, forget_class, **parts)


@dataclass(frozen=True)
class Source:
    """A known data set.

    `classes`: their names in label order, None where the folder decides. `read(folder, seed, **options)` reads it; its
    keyword-only arguments are the options that a profile may set. `embedded`: whether it needs no folder.
    """

    classes: tuple[str, ...] | None
    read: Callable[..., Dataset]
    embedded: bool = False


def load(
    name: str, data_dir: str | os.PathLike | None = None, seed: int = 0, options: Mapping[str, Any] | None = None
) -> Dataset:
    """Read a data set; `data_dir` defaults to the variable BU_DATA, and then to a download where there is one.

    `seed` and `options` are for those that choose among a folder's images. Raises SettingError, in one line, for a
    name that is not known and for a folder or an option that cannot be used.
    """
    source = DATASETS[one_of("dataset", name, DATASETS)]
    options = keyword_settings("data", source.read, options or {})
    setting, folder = "data_dir", data_dir
    if folder is None and not source.embedded:
        setting, folder = "BU_DATA", os.environ.get("BU_DATA") or None
    if folder is None:
        return source.read(None, seed, **options)
    path = path_of(setting, os.path.realpath(path_of(setting, folder)))
    if not os.path.isdir(path):
        raise SettingError(f"{setting}={shown(str(folder))}: no such folder")
    return source.read(path, seed, **options)


DATASETS: dict[str, Source] = {
    "digits": Source(digits.CLASSES, digits.read, embedded=True),
    "cifar10": Source(cifar10.CLASSES, cifar10.read),
    "faces": Source(None, faces.read),
}
