"""Folders of people, `<root>/<person>/*.jpg|png|pgm`: VGGFace2, Labeled Faces in the Wild, or a user's own.

`read` chooses people and images, cuts each image to a square, and divides each person's into training and test data.
The same picture is never on both sides. Of the people who are not chosen, it can give images to pretrain on.
"""

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from ..checks import Range, SettingError, one_of, shown
from .images import Dataset, dataset, decoded, decoded_once, entries, fingerprint, image_files, labelled

ENDINGS = {".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".bmp"}
FEWEST = 5  # images that a person needs: with a test share of a fifth, one of them is for testing
ALIKE = 3  # bits of 64 in which the hashes of two versions of one picture may differ

# Where below a folder the people are, in the layouts that downloads leave.
_NESTED = (".", "lfw_home/lfw_funneled", "lfw_home/lfw", "lfw_funneled", "lfw-deepfunneled", "lfw", "train")


def read(
    folder: Path | None,
    seed: int,
    *,
    people: Annotated[int, Range(2)] | list[str] = 10,
    images_per_person: Annotated[int, Range(0)] = 0,
    crop: Annotated[float, Range(0.1, 1)] = 1.0,
    size: Annotated[int, Range(16, 1024)] = 64,
    test_share: Annotated[float, Range(0, 0.9, open=True)] = 0.2,
    others: Annotated[int, Range(0)] = 0,
) -> Dataset:
    """The chosen `people` as classes, in the order given, or by falling number of images.

    `people`: how many, those with the most images; or their names. `images_per_person`: at the most; 0 takes as many of
    each as the one with the fewest has. `crop`: the middle share of the height and width that is kept; what is left is
    cut to a square and scaled to `size` pixels. `test_share`: of each person's images. `others`: how many further
    people, those with the most images, become `Dataset.others`, with as many images each as the chosen at the most.

    Pictures count as the same where a 64-bit difference hash differs in ALIKE bits at the most. The same pictures are
    on one side together, whoever they are of, and none of `others` is the same as a chosen one. `seed` decides which
    images are taken and the division. Without `folder`, LFW is taken as scikit-learn keeps it, or downloads it.

    Raises SettingError, in one line, for a folder without people, a person who is not there or has fewer than FEWEST
    images, and an image that cannot be decoded, which is named and not skipped.
    """
    root, found = _people(folder or _lfw())
    chosen = _chosen(found, people, root)
    further = [name for name in _by_images(found) if name not in chosen and len(found[name]) >= FEWEST][:others]
    generator = np.random.default_rng(seed)
    fewest = min(len(found[name]) for name in chosen)
    most = images_per_person or fewest
    taken = [
        [found[name][index] for index in sorted(generator.permutation(len(found[name]))[:most])]
        for name in (*chosen, *further)
    ]
    files, kept = list(itertools.chain(*taken)), {"crop": crop, "size": size}
    images = decoded_once("faces", root, files, lambda path: cut(path, crop, size), (size, size, 3), **kept)
    labels = np.repeat(np.arange(len(taken)), [len(group) for group in taken])
    pictures = groups(hashes(images), ALIKE)
    is_test = _divided(labels, pictures, len(chosen), test_share, generator)
    mine = labels < len(chosen)
    for label, name in enumerate(chosen):
        for side, part in (("training", ~is_test), ("test", is_test)):
            if not (part & (labels == label)).any():
                why = f"{name} has no {side} image left, since the same picture is never on both sides"
                raise SettingError(f"data.test_share={test_share:g}: {why}")
    train, test = ((images[mine & part], labels[mine & part]) for part in (~is_test, is_test))
    counts = f"{len(train[1]):,} images for training, {len(test[1]):,} for testing"
    origin = f"a folder of people: {len(chosen)} people, {counts}, {size}x{size} pixels"
    result = dataset("faces", origin, tuple(chosen), train, test)
    if not further:
        return result
    apart = ~mine & ~np.isin(pictures, pictures[mine])
    rest = (images[apart], labels[apart] - len(chosen))
    return replace(result, others=labelled(rest), others_fingerprint=fingerprint(rest))


def _lfw() -> Path:
    """Where scikit-learn keeps Labeled Faces in the Wild (Huang et al. 2007); downloaded if it is not there."""
    from sklearn.datasets import fetch_lfw_people, get_data_home

    try:
        home = Path(get_data_home())
        if not (home / "lfw_home" / "lfw_funneled").is_dir():
            fetch_lfw_people(min_faces_per_person=500)
    except OSError as error:
        raise SettingError(
            f"dataset='faces': the download of LFW failed ({shown(error)}); set data_dir, or the variable BU_DATA, to "
            "a folder that holds <person>/*.jpg"
        ) from error
    return home


def _people(folder: Path) -> tuple[Path, dict[str, list[Path]]]:
    """Where below `folder` the people are, and each person's image files."""
    for root in (folder / nested for nested in _NESTED):
        people = entries(root)[0] if os.path.isdir(root) else []
        if found := {person.name: files for person in people if (files := image_files(person, ENDINGS))}:
            return root, found
    loose = "images, but " if any(path.suffix.lower() in ENDINGS for path in entries(folder)[1]) else ""
    holds = f"holds {loose}no people; expected <person>/*.jpg (or .png, .pgm)"
    raise SettingError(f"data_dir={shown(str(folder))}: {holds}")


def _by_images(found: dict[str, list[Path]]) -> list[str]:
    return sorted(found, key=lambda name: (-len(found[name]), name))


def _chosen(found: dict[str, list[Path]], people: int | Sequence[str], root: Path) -> list[str]:
    if isinstance(people, int):
        enough = [name for name in _by_images(found) if len(found[name]) >= FEWEST]
        if len(enough) < people:
            has = f"has {len(enough)} people with at least {FEWEST} images"
            raise SettingError(f"data.people={people}: {shown(str(root))} {has}")
        return enough[:people]
    if len(people) < 2 or len(set(people)) < len(people):
        raise SettingError(f"data.people={shown(people)}: must be at least two people, each named once")
    for name in people:
        if len(found[one_of("data.people", name, found)]) < FEWEST:
            raise SettingError(f"data.people: {name!r} has {len(found[name])} images, and needs at least {FEWEST}")
    return list(people)


def cut(path: Path, crop: float, size: int) -> np.ndarray:
    """The middle of an image file, `crop` of its shorter side squared, scaled to `size`: uint8, (size, size, 3)."""
    from PIL import Image

    image = decoded(path)
    side = max(1, round(crop * min(image.size)))
    left, top = ((length - side) // 2 for length in image.size)
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))


def hashes(images: np.ndarray) -> np.ndarray:
    """The difference hash of each image, uint64, (N,): whether each of 8x8 cells is brighter than its right neighbour.

    It survives scaling, compression and a change of brightness. `images`: uint8, (N, H, W, C).
    """
    grey = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().mean(1, keepdim=True)
    cells = torch.nn.functional.interpolate(grey, (8, 9), mode="area")[:, 0].numpy()
    bits = np.packbits((cells[:, :, 1:] > cells[:, :, :-1]).reshape(len(images), 64), axis=1)
    return bits.view(np.uint64)[:, 0]


def groups(found: np.ndarray, alike: int) -> np.ndarray:
    """A number for each hash, int64, (N,): the same for two that a chain joins in steps of `alike` bits at most."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    near = [np.flatnonzero(np.bitwise_count(found[index:] ^ one) <= alike) + index for index, one in enumerate(found)]
    ends, columns = np.cumsum([0, *map(len, near)]), np.concatenate(near)
    linked = csr_array((np.ones(len(columns), bool), columns, ends), shape=(len(found), len(found)))
    return connected_components(linked, directed=False)[1].astype(np.int64)


def _divided(
    labels: np.ndarray, pictures: np.ndarray, people: int, test_share: float, generator: np.random.Generator
) -> np.ndarray:
    """Which images are for testing: of each person the share, whole pictures at a time, in random order."""
    is_test, settled = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    for mine in (labels == label for label in range(people)):
        wanted = max(1, round(test_share * int(mine.sum())))
        for same in (pictures == picture for picture in generator.permutation(np.unique(pictures[mine]))):
            if not (settled & same).any() and ((is_test | same) & mine).sum() <= wanted:
                is_test |= same
            settled |= same
    return is_test
