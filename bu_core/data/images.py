"""Images in memory: uint8 on one device, decoded once, with a fingerprint of every pixel."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checks import SettingError


@dataclass(frozen=True)
class LabelledImages:
    """`images`: uint8, (N, C, H, W), channels-last in memory; `labels`: int64, (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> "LabelledImages":
        return LabelledImages(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> "LabelledImages":
        return LabelledImages(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """A data set in memory. `origin` says in words where it came from; `fingerprint` is a digest of every pixel.

    `others`: images of the same kind and of none of the classes, labelled by classes of their own, to pretrain on;
    `others_fingerprint` is theirs.
    """

    name: str
    origin: str
    classes: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages
    fingerprint: str
    others: LabelledImages | None = None
    others_fingerprint: str | None = None

    @property
    def channels(self) -> int:
        return self.train.images.shape[1]


def pixels(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1], in the same memory format."""
    return images.to(torch.float32) / 255


def decoded(path: Path) -> Any:
    """An image file as a PIL image in RGB; SettingError, which names it, where it cannot be decoded."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise SettingError(f"data_dir: the image {str(path)!r} cannot be decoded ({error})") from error


def side_by_side(read: Callable[[Path], np.ndarray], paths: list[Path], shape: tuple[int, ...]) -> np.ndarray:
    """What `read` gives of each path, uint8 of this shape, as one array (N, *shape); in several threads."""
    out = np.empty((len(paths), *shape), np.uint8)

    def place(index: int) -> None:
        out[index] = read(paths[index])

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(place, range(len(paths))):
            pass
    return out


def cache_folder() -> Path:
    """Where downloads and decoded folders are kept: the user's cache folder, found as torch finds it."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "boundary-unlearning"


def dataset(
    name: str,
    origin: str,
    classes: tuple[str, ...],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
) -> Dataset:
    """Join arrays (N, H, W, C) and their labels into a Dataset with its fingerprint."""
    sides = [
        (np.ascontiguousarray(images), np.ascontiguousarray(labels, dtype=np.int64)) for images, labels in (train, test)
    ]
    parts = [labelled(*side) for side in sides]
    return Dataset(name, origin, classes, *parts, fingerprint=fingerprint(*sides))


def labelled(images: np.ndarray, labels: np.ndarray) -> LabelledImages:
    """Arrays (N, H, W, C), uint8, and (N,), int64. In memory that is what torch calls channels-last; nothing moves."""
    return LabelledImages(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))


def fingerprint(*sides: tuple[np.ndarray, np.ndarray]) -> str:
    """A digest of arrays of images, (N, H, W, C), and of their labels."""
    digest = hashlib.sha256()
    for images, labels in sides:
        digest.update(str(images.shape).encode())
        digest.update(images)
        digest.update(labels)
    return digest.hexdigest()
