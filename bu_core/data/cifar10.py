"""CIFAR-10: its own archive, downloaded or unpacked, or a folder of images for each class.

A folder of images is decoded once; the result is kept as one uint8 file in the user's cache folder.
"""

import os
from pathlib import Path

import numpy as np

from ..checks import SettingError, listed, shown
from .images import Dataset, cache_folder, dataset, decoded, decoded_once, entries, image_files

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read(data_dir: Path | None, seed: int) -> Dataset:
    """CIFAR-10 (Krizhevsky 2009) in any of three forms: see book/data.md. Its division is that of its release.

    Without `data_dir`, torchvision downloads the original release into the user's cache folder.
    """
    if data_dir is None:
        return _cifar10_batches(cache_folder() / "cifar10", download=True)
    if data_dir.name == "cifar-10-batches-py":
        return _cifar10_batches(data_dir.parent)
    if os.path.isdir(data_dir / "cifar-10-batches-py"):
        return _cifar10_batches(data_dir)
    return _image_folder(data_dir)


def _cifar10_batches(root: Path, download: bool = False) -> Dataset:
    # torchvision compares every file with the release's MD5 before it unpickles it, so nothing foreign is unpickled.
    from torchvision.datasets import CIFAR10

    setting = f"data_dir={shown(str(root))}"
    try:
        parts = [CIFAR10(root, train=part, download=download) for part in (True, False)]
    except RuntimeError as error:
        wrong = "cifar-10-batches-py is incomplete or altered (its checksums differ); unpack the archive again"
        raise SettingError(f"{setting}: {wrong}") from error
    except OSError as error:
        if not download:
            raise SettingError(f"{setting}: cannot be read ({shown(error)})") from error
        raise SettingError(
            f"dataset='cifar10': the download failed ({shown(error)}); set data_dir, or the variable BU_DATA, to a "
            "folder that holds cifar-10-batches-py or train/<class>/ and test/<class>/"
        ) from error
    train, test = ((part.data, np.asarray(part.targets)) for part in parts)
    return dataset("cifar10", "the original release (Krizhevsky 2009), read by torchvision", CLASSES, train, test)


_IMAGE_ENDINGS = {".jpg", ".jpeg", ".png"}


def _image_folder(root: Path) -> Dataset:
    """A folder `train/<class>/*.jpg|png`, `test/<class>/…` with exactly the classes of CIFAR-10, decoded to RGB."""
    train, test = (_class_files(root, side) for side in ("train", "test"))
    images = decoded_once("cifar10", root, [*train, *test], _of_its_size, (32, 32, 3))
    labels = np.array([CLASSES.index(path.parent.name) for path in (*train, *test)])
    kinds = "/".join(sorted({path.suffix.lower().lstrip(".") for path in train}))
    origin = f"a folder of {kinds} images: {len(train):,} for training, {len(test):,} for testing"
    sides = ((images[part], labels[part]) for part in (slice(len(train)), slice(len(train), None)))
    return dataset("cifar10", origin, CLASSES, *sides)


def _class_files(root: Path, side: str) -> list[Path]:
    """The images of one side, class by class."""
    folder, setting = root / side, f"data_dir={shown(str(root))}"
    layout = "expected cifar-10-batches-py, or train/<class>/ and test/<class>/ with images"
    if not os.path.isdir(folder):
        raise SettingError(f"{setting}: has no folder {side!r}; {layout}")
    present = {found.name for found in entries(folder)[0]}
    if missing := [name for name in CLASSES if name not in present]:
        raise SettingError(f"{setting}: {side} lacks the class folders {listed(missing)}")
    if foreign := sorted(present - set(CLASSES)):
        allowed = ", ".join(CLASSES)
        raise SettingError(f"{setting}: {side} has folders that are not classes: {listed(foreign)}; allowed: {allowed}")
    groups = {name: image_files(folder / name, _IMAGE_ENDINGS) for name in CLASSES}
    counts = {name: len(group) for name, group in groups.items()}
    fewest, most = min(CLASSES, key=counts.__getitem__), max(CLASSES, key=counts.__getitem__)
    if not counts[fewest]:
        raise SettingError(f"{setting}: {side}/{fewest} holds no image ({layout})")
    if counts[fewest] != counts[most]:
        held = f"{fewest} holds {counts[fewest]} images, {most} {counts[most]}"
        why = "every class of the data set has as many as any other"
        raise SettingError(f"{setting}: {side} is incomplete: {held}, and {why}")
    return [path for group in groups.values() for path in group]


def _of_its_size(path: Path) -> np.ndarray:
    """An image as uint8, (32, 32, 3)."""
    image = np.asarray(decoded(path))
    if image.shape != (32, 32, 3):
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise SettingError(f"data_dir: the image {shown(str(path))} has size {size}, and cifar10's have 32x32")
    return image
