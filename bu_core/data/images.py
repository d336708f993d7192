"""Images in memory: uint8 on one device, decoded once, with a fingerprint of every pixel."""

import hashlib
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checks import SettingError, checked, shown
from ..results import Artefact
from ..store import Store

# What a folder of images may hold besides images, and images of kinds that no data set here reads.
LITTER = {".csv", ".db", ".html", ".ini", ".json", ".log", ".mat", ".md", ".npy", ".pts", ".txt", ".xml", ".yml"}
UNREAD = {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".pgm", ".ppm", ".tif", ".tiff", ".webp"}


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

    def drawn(self, count: int, seed: int) -> "LabelledImages":
        """So many images at the most, on the same device, in the order in which `seed` draws them."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self[order[:count].to(self.labels.device)]


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


def entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the files in a folder, by name, without hidden ones and those that a file server adds.

    Raises SettingError for a link that leads nowhere, a pipe, a device, and a folder whose name cannot be shown.
    """
    folders, files = [], []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if entry.name.startswith(".") or entry.name in ("@eaDir", "__MACOSX"):
                    continue
                if entry.is_dir():
                    folders.append(Path(checked("data_dir", entry.path, str)))
                elif entry.is_file():
                    files.append(Path(entry.path))
                else:
                    odd = "leads nowhere, or is neither a file nor a folder"
                    raise SettingError(f"data_dir: {shown(entry.path)} {odd}")
    except OSError as error:
        raise SettingError(f"data_dir: {shown(str(folder))} cannot be read ({shown(error)})") from error
    return sorted(folders), sorted(files)


def image_files(folder: Path, endings: set[str]) -> list[Path]:
    """The files in a folder that have one of the `endings`, by name.

    Raises SettingError for what would be left out: an image of another kind; and, where images are, a folder or any
    file but LITTER.
    """
    folders, files = entries(folder)
    images = [path for path in files if path.suffix.lower() in endings]
    left_out = [path for path in files if path.suffix.lower() in UNREAD - endings]
    if images:
        left_out = [*(path for path in files if path.suffix.lower() not in endings | LITTER), *folders]
    if left_out:
        more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        raise SettingError(
            f"data_dir: {shown(str(left_out[0]))}{more}: not read, since images here end in "
            f"{', '.join(sorted(endings))}; convert or remove"
        )
    return images


def decoded(path: Path) -> Any:
    """An image file as a PIL image in RGB, 16-bit grey scaled to 8 bits; SettingError, with its path, if it fails."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if not image.mode.startswith("I"):
                return image.convert("RGB")
            grey = (np.asarray(image).astype(np.int64) + 128) // 257  # Pillow's own conversion clips at 255
            return Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB")
    except Exception as error:  # Pillow raises whatever its decoders met
        raise SettingError(f"data_dir: the image {shown(str(path))} cannot be decoded ({shown(error)})") from error


def decoded_once(
    name: str, root: Path, files: list[Path], read: Callable[[Path], np.ndarray], shape: tuple[int, ...], **key: Any
) -> np.ndarray:
    """What `read` makes of each file, uint8 of this shape, as one array (N, *shape).

    It is kept in the user's cache folder by the `key`, and by the files' names, sizes and times. An image of so many
    pixels that Pillow warns of it is refused.
    """
    from PIL import Image

    listing = hashlib.sha256()
    try:
        for path in files:
            facts = path.stat()
            listing.update(os.fsencode(path.relative_to(root)) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    except OSError as error:
        raise SettingError(f"data_dir: cannot be read ({shown(error)})") from error

    def make() -> Artefact:
        out = np.empty((len(files), *shape), np.uint8)
        with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            for place, image in enumerate(pool.map(read, files)):
                out[place] = image
        return Artefact({"images": torch.from_numpy(out)}, {})

    cache = Store(cache_folder() / "decoded", f"the cache folder {str(cache_folder())!r}")
    key |= {"folder": str(root), "listing": listing.hexdigest(), "grey": "16 bits scaled"}
    return cache.get(name, key, make).tensors["images"].numpy()


def cache_folder() -> Path:
    """Where downloads and decoded folders are kept: the user's cache folder, found as torch finds it."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "boundary-unlearning"


Arrays = tuple[np.ndarray, np.ndarray]  # images, uint8, (N, H, W, C), and their labels, (N,)


def dataset(name: str, origin: str, classes: tuple[str, ...], train: Arrays, test: Arrays) -> Dataset:
    """Join arrays into a Dataset with its fingerprint."""
    return Dataset(name, origin, classes, labelled(train), labelled(test), fingerprint(train, test))


def labelled(arrays: Arrays) -> LabelledImages:
    """Arrays as tensors. In memory that is what torch calls channels-last, so contiguous images are not copied."""
    images, labels = _contiguous(arrays)
    return LabelledImages(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))


def fingerprint(*sides: Arrays) -> str:
    """A digest of images, and of their labels."""
    digest = hashlib.sha256()
    for images, labels in map(_contiguous, sides):
        digest.update(str(images.shape).encode())
        digest.update(images.data)
        digest.update(labels.data)
    return digest.hexdigest()


def _contiguous(arrays: Arrays) -> Arrays:
    return np.ascontiguousarray(arrays[0]), np.ascontiguousarray(arrays[1], dtype=np.int64)
