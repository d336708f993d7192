"""Data sets as uint8 images on one device, and their split into the four sets of the paper.

`load` gives a `Dataset`; `split` divides it into D_r, D_f (training data that remain, that are to be forgotten) and
D_rt, D_ft (the same for test data). Everything is checked here, before any work: a missing folder, a class folder
without its twin, a file that is not read, an image that cannot be decoded.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import SettingError, keyword_settings, one_of, path_of, shown
from . import cifar10, digits, faces
from .images import Dataset, LabelledImages, pixels
from .request import Request, chosen, described

__all__ = [
    "DATASETS", "SPLITS", "Dataset", "ForgetSplit", "LabelledImages", "Request", "Source", "described", "load",
    "pixels", "split",
]  # fmt: skip

SPLITS = ("remain_train", "forget_train", "remain_test", "forget_test")


@dataclass(frozen=True)
class ForgetSplit:
    """A data set divided by what is to be forgotten (paper, section 3).

    remain_train is D_r, forget_train is D_f, remain_test is D_rt, forget_test is D_ft. `forget_classes`: the classes
    that are forgotten whole; none where single images are. Then D_ft is a yardstick: test images of the classes that
    D_f is of, which no model has seen and none is asked to forget.
    """

    classes: tuple[str, ...]
    forget_classes: tuple[int, ...]
    remain_train: LabelledImages
    forget_train: LabelledImages
    remain_test: LabelledImages
    forget_test: LabelledImages

    @property
    def forget_class(self) -> int:
        """The one class that is forgotten. Raises SettingError where more are, or none is: not every question fits."""
        if len(self.forget_classes) != 1:
            which = f"{len(self.forget_classes)} classes" if self.forget_classes else "single images"
            raise SettingError(f"forget: this asks for one class, and {which} are to be forgotten")
        return self.forget_classes[0]

    @property
    def remaining_classes(self) -> list[int]:
        """The classes that are not forgotten whole, in order."""
        return [label for label in range(len(self.classes)) if label not in self.forget_classes]

    def barred(self, logits: Tensor, own: Tensor | None = None) -> Tensor:
        """Logits, (N, K), that are minus infinity for the forgotten classes.

        Where single images are forgotten, each image's `own` label is barred, int64, (N,); without it nothing is.
        """
        if self.forget_classes:
            return logits.index_fill(1, torch.tensor(self.forget_classes, device=logits.device), -torch.inf)
        return logits if own is None else logits.scatter(1, own[:, None], -torch.inf)


def split(dataset: Dataset, forget: int | Request, device: torch.device) -> ForgetSplit:
    """Divide `dataset` by a class or a request that was checked, and put the four parts on `device`.

    Of a request for single images, D_ft is one random half of the test images of the classes in D_f, and D_rt the
    rest. Raises SettingError for a request that means no training image, or all of them.
    """
    train, test = dataset.train.labels, dataset.test.labels
    classes: tuple[int, ...] = ()
    if isinstance(forget, int) or "classes" in forget:
        classes = (forget,) if isinstance(forget, int) else forget["classes"]
        wanted = torch.tensor(classes)
        asked = {"train": torch.isin(train, wanted), "test": torch.isin(test, wanted)}
    else:
        asked = {"train": chosen(forget, train), "test": torch.zeros(len(test), dtype=torch.bool)}
        alike = torch.isin(test, train[asked["train"]].unique()).nonzero().flatten()
        order = torch.randperm(len(alike), generator=torch.Generator().manual_seed(forget.get("seed", 0)))
        asked["test"][alike[order[: len(alike) // 2]]] = True
    parts = {}
    for side, data in (("train", dataset.train), ("test", dataset.test)):
        parts[f"remain_{side}"] = data[~asked[side]].to(device)
        parts[f"forget_{side}"] = data[asked[side]].to(device)
    return ForgetSplit(dataset.classes, classes, **parts)


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
