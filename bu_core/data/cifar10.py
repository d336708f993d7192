"""CIFAR-10: as released, downloaded or unpacked, or as a folder of images for each class.

A folder of images is decoded once; the result is kept as one uint8 file in the user's cache folder.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checks import SettingError
from ..store import Store
from .images import Dataset, cache_folder, dataset, decoded, side_by_side

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read(data_dir: Path | None, seed: int) -> Dataset:
    """CIFAR-10 (Krizhevsky 2009) in any of three forms: see book/data.md. Its division is that of its release.

    Without `data_dir`, torchvision downloads the original release into the user's cache folder.
    """
    if data_dir is None:
        return _cifar10_batches(cache_folder() / "cifar10", download=True)
    if data_dir.name == "cifar-10-batches-py":
        return _cifar10_batches(data_dir.parent)
    if (data_dir / "cifar-10-batches-py").is_dir():
        return _cifar10_batches(data_dir)
    return _image_folder("cifar10", data_dir, CLASSES)


def _cifar10_batches(root: Path, download: bool = False) -> Dataset:
    # torchvision compares every file with the release's MD5 before it unpickles it, so nothing foreign is unpickled.
    from torchvision.datasets import CIFAR10

    try:
        train, test = (CIFAR10(root, train=part, download=download) for part in (True, False))
    except RuntimeError as error:
        raise SettingError(
            f"data_dir={str(root)!r}: cifar-10-batches-py is incomplete or altered (its checksums differ); "
            "unpack the archive again"
        ) from error
    except OSError as error:
        raise SettingError(
            f"dataset='cifar10': the download failed ({error}); set data_dir, or the variable BU_DATA, to a folder "
            "that holds cifar-10-batches-py or train/<class>/ and test/<class>/"
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
    files = {side: _class_files(root, side, classes) for side in ("train", "test")}
    listing = hashlib.sha256()
    for path in (path for side in files.values() for group in side for path in group):
        facts = path.stat()
        listing.update(f"{path.relative_to(root)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())

    def decode() -> tuple[dict[str, Tensor], dict]:
        decoded = {}
        for side, groups in files.items():
            decoded[f"{side}.images"] = torch.from_numpy(_decode([path for group in groups for path in group]))
            decoded[f"{side}.labels"] = torch.from_numpy(
                np.repeat(np.arange(len(groups)), [len(group) for group in groups])
            )
        return decoded, {}

    key = {"folder": str(root.resolve()), "listing": listing.hexdigest()}
    cache = Store(cache_folder() / "decoded", f"the cache folder {str(cache_folder())!r}")
    cached = cache.get(name, key, decode).tensors
    kinds = sorted({path.suffix.lower().lstrip(".") for group in files["train"] for path in group})
    return dataset(
        name,
        f"a folder of {'/'.join(kinds)} images: {len(cached['train.labels']):,} for training, "
        f"{len(cached['test.labels']):,} for testing",
        classes,
        *((cached[f"{side}.images"].numpy(), cached[f"{side}.labels"].numpy()) for side in ("train", "test")),
    )


def _class_files(root: Path, side: str, classes: tuple[str, ...]) -> list[list[Path]]:
    folder = root / side
    layout = "expected cifar-10-batches-py, or train/<class>/ and test/<class>/ with images"
    if not folder.is_dir():
        raise SettingError(f"data_dir={str(root)!r}: has no folder {side!r}; {layout}")
    present = {entry.name for entry in folder.iterdir() if entry.is_dir()}
    if missing := [name for name in classes if name not in present]:
        raise SettingError(f"data_dir={str(root)!r}: {side} lacks the class folders {', '.join(missing)}")
    if foreign := sorted(present - set(classes)):
        raise SettingError(
            f"data_dir={str(root)!r}: {side} has folders that are no class: {', '.join(foreign)}; "
            f"allowed: {', '.join(classes)}"
        )
    groups = [
        sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in _IMAGE_ENDINGS) for name in classes
    ]
    for name, group in zip(classes, groups, strict=True):
        if not group:
            raise SettingError(f"data_dir={str(root)!r}: {side}/{name} holds no image ({layout})")
    fewest, most = min(groups, key=len), max(groups, key=len)
    if len(fewest) != len(most):
        raise SettingError(
            f"data_dir={str(root)!r}: {side} is incomplete: {fewest[0].parent.name} holds {len(fewest)} images, "
            f"{most[0].parent.name} {len(most)}, and every class of the data set has as many as any other"
        )
    return groups


def _decode(paths: list[Path]) -> np.ndarray:
    """Images as one uint8 array (N, 32, 32, 3)."""

    def size_kept(path: Path) -> np.ndarray:
        image = np.asarray(decoded(path))
        if image.shape != (32, 32, 3):
            size = f"{image.shape[1]}x{image.shape[0]}"
            raise SettingError(f"data_dir: the image {str(path)!r} has size {size}, and cifar10's have 32x32")
        return image

    return side_by_side(size_kept, paths, (32, 32, 3))
