"""CIFAR-10: as released, downloaded or unpacked, or as a folder of images for each class.

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
    return _image_folder("cifar10", data_dir, CLASSES)


def _cifar10_batches(root: Path, download: bool = False) -> Dataset:
    # torchvision compares every file with the release's MD5 before it unpickles it, so nothing foreign is unpickled.
    from torchvision.datasets import CIFAR10

    try:
        train, test = (CIFAR10(root, train=part, download=download) for part in (True, False))
    except RuntimeError as error:
        raise SettingError(
            f"data_dir={shown(str(root))}: cifar-10-batches-py is incomplete or altered (its checksums differ); "
            "unpack the archive again"
        ) from error
    except OSError as error:
        if not download:
            raise SettingError(f"data_dir={shown(str(root))}: cannot be read ({shown(error)})") from error
        raise SettingError(
            f"dataset='cifar10': the download failed ({shown(error)}); set data_dir, or the variable BU_DATA, to a "
            "folder that holds cifar-10-batches-py or train/<class>/ and test/<class>/"
        ) from error
    return dataset(
        "cifar10",
        "the original release (Krizhevsky 2009), read by torchvision",
        CLASSES,
        *((part.data, np.asarray(part.targets)) for part in (train, test)),
    )


_IMAGE_ENDINGS = {".jpg", ".jpeg", ".png"}


def _image_folder(name: str, root: Path, classes: tuple[str, ...]) -> Dataset:
    """A folder `train/<class>/*.jpg|png`, `test/<class>/…` with exactly the given classes, decoded to RGB."""
    groups = {side: _class_files(root, side, classes) for side in ("train", "test")}
    files = [path for side in groups.values() for group in side for path in group]
    images = decoded_once(name, root, files, _of_its_size, (32, 32, 3))
    labels = [np.repeat(np.arange(len(classes)), [len(group) for group in side]) for side in groups.values()]
    train, test = (len(side) for side in labels)
    kinds = sorted({path.suffix.lower().lstrip(".") for group in groups["train"] for path in group})
    return dataset(
        name,
        f"a folder of {'/'.join(kinds)} images: {train:,} for training, {test:,} for testing",
        classes,
        (images[:train], labels[0]),
        (images[train:], labels[1]),
    )


def _class_files(root: Path, side: str, classes: tuple[str, ...]) -> list[list[Path]]:
    folder = root / side
    layout = "expected cifar-10-batches-py, or train/<class>/ and test/<class>/ with images"
    if not os.path.isdir(folder):
        raise SettingError(f"data_dir={shown(str(root))}: has no folder {side!r}; {layout}")
    present = {found.name for found in entries(folder)[0]}
    if missing := [name for name in classes if name not in present]:
        raise SettingError(f"data_dir={shown(str(root))}: {side} lacks the class folders {listed(missing)}")
    if foreign := sorted(present - set(classes)):
        raise SettingError(
            f"data_dir={shown(str(root))}: {side} has folders that are no class: {listed(foreign)}; "
            f"allowed: {', '.join(classes)}"
        )
    groups = [image_files(folder / name, _IMAGE_ENDINGS) for name in classes]
    for name, group in zip(classes, groups, strict=True):
        if not group:
            raise SettingError(f"data_dir={shown(str(root))}: {side}/{name} holds no image ({layout})")
    fewest, most = min(groups, key=len), max(groups, key=len)
    if len(fewest) != len(most):
        raise SettingError(
            f"data_dir={shown(str(root))}: {side} is incomplete: {fewest[0].parent.name} holds {len(fewest)} images, "
            f"{most[0].parent.name} {len(most)}, and every class of the data set has as many as any other"
        )
    return groups


def _of_its_size(path: Path) -> np.ndarray:
    """An image as uint8, (32, 32, 3)."""
    image = np.asarray(decoded(path))
    if image.shape != (32, 32, 3):
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise SettingError(f"data_dir: the image {shown(str(path))} has size {size}, and cifar10's have 32x32")
    return image
