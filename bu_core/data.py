"""Data sets as uint8 images on one device, and their split by class into the four sets of the paper.

`load` gives a `Dataset`; `split` divides it into D_r, D_f (training data that remain, that are to be forgotten) and
D_rt, D_ft (the same for test data). Everything is checked here, before any work: a missing folder, a class folder
without its twin, an image that cannot be decoded.

A folder of images is decoded once; the result is kept as one uint8 file in the user's cache folder.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .faces import faces
from .images import Dataset, LabelledImages, cache_folder, dataset, decoded, pixels, side_by_side
from .settings import SettingError, keyword_settings, one_of
from .store import Store

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
    if not folder and not source.embedded:
        setting, folder = "BU_DATA", os.environ.get("BU_DATA")
    if not folder:
        return source.read(None, seed, **options)
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise SettingError(f"{setting}={str(folder)!r}: no such folder")
    return source.read(path, seed, **options)


# --- digits -------------------------------------------------------------------------------------------------------


def _digits(data_dir: Path | None, seed: int) -> Dataset:
    """scikit-learn's handwritten digits: 1,797 grey scans of 8x8 pixels; a fixed 70:30 split, even over classes.

    They are embedded in scikit-learn, so `data_dir` is not used, and divided alike for every `seed`.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    grey = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)  # the scans count ink from 0 to 16
    train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    return dataset(
        "digits",
        "handwritten digits (Alpaydin and Kaynak 1998) as embedded in scikit-learn, split 70:30",
        tuple("0123456789"),
        *((grey[part], labels[part]) for part in (train, test)),
    )


# --- CIFAR-10 -----------------------------------------------------------------------------------------------------

_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _cifar10(data_dir: Path | None, seed: int) -> Dataset:
    """CIFAR-10 (Krizhevsky 2009) in any of three forms: see book/data.md. Its division is that of its release.

    Without `data_dir`, torchvision downloads the original release into the user's cache folder.
    """
    if data_dir is None:
        return _cifar10_batches(cache_folder() / "cifar10", download=True)
    if data_dir.name == "cifar-10-batches-py":
        return _cifar10_batches(data_dir.parent)
    if (data_dir / "cifar-10-batches-py").is_dir():
        return _cifar10_batches(data_dir)
    return _image_folder("cifar10", data_dir, _CIFAR10)


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
        _CIFAR10,
        *((part.data, np.asarray(part.targets)) for part in (train, test)),
    )


# --- folders of images --------------------------------------------------------------------------------------------

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


DATASETS: dict[str, Source] = {
    "digits": Source(tuple("0123456789"), _digits, embedded=True),
    "cifar10": Source(_CIFAR10, _cifar10),
    "faces": Source(None, faces),
}
