"""Data sets in every form that users have them, whole and broken, and their split by class."""

import hashlib
import os
import pickle
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from bu_core.data import DATASETS, Dataset, cifar10, load, pixels, split
from bu_core.data.images import decoded
from tests.helpers import refusal

CPU = torch.device("cpu")
CIFAR10 = DATASETS["cifar10"].classes
TRAIN, TEST = 3, 2  # images a class in the folders made here
ARCHIVE = Path(__file__).resolve().parents[4] / "shared" / "data" / "cifar10-jpg.tar.xz"


# --- digits -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


def test_digits_are_the_1797_scans(digits: Dataset):
    assert digits.classes == tuple("0123456789")
    assert (len(digits.train), len(digits.test)) == (1257, 540)
    assert digits.train.images.shape == (1257, 1, 8, 8)
    assert digits.channels == 1
    assert {part.images.dtype for part in (digits.train, digits.test)} == {torch.uint8}
    assert {part.labels.dtype for part in (digits.train, digits.test)} == {torch.int64}
    counts = torch.cat([digits.train.labels, digits.test.labels]).bincount()
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as scikit-learn documents them


def test_digits_are_divided_without_loss_or_overlap(digits: Dataset):
    """The two halves together are all scans, each once, with its own label and its ink scaled from 16 to 255."""
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    expected = sorted(
        (label, *(int(ink * 255 / 16 + 0.5) for ink in scan)) for scan, label in zip(scans, labels, strict=True)
    )
    found = sorted(
        (label.item(), *image.flatten().tolist())
        for part in (digits.train, digits.test)
        for image, label in zip(part.images, part.labels, strict=True)
    )
    assert found == expected


def test_digits_are_divided_evenly_over_classes(digits: Dataset):
    shares = digits.test.labels.bincount() / torch.cat([digits.train.labels, digits.test.labels]).bincount()
    assert shares.min() > 0.29
    assert shares.max() < 0.31


def test_digits_are_the_same_on_every_load(digits: Dataset):
    again = load("digits")
    assert again.fingerprint == digits.fingerprint
    assert torch.equal(again.train.images, digits.train.images)


# --- pixels and the split -----------------------------------------------------------------------------------------


def test_pixels_are_between_0_and_1():
    values = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert torch.equal(pixels(values), torch.tensor([0.0, 51 / 255, 1.0]))


def test_images_stay_channels_last(toy: Dataset):
    """The convolutions read this layout fastest; an index or a change of type must not lose it."""
    batch = toy.train.images[torch.randperm(len(toy.train))]
    for images in (toy.train.images, batch, pixels(batch), split(toy, 1, CPU).remain_train.images):
        assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("forget_class", range(4))
def test_the_split_divides_each_side_by_the_class(toy: Dataset, forget_class: int):
    parts = split(toy, forget_class, CPU)
    for side, whole in (("train", toy.train), ("test", toy.test)):
        remain, forget = getattr(parts, f"remain_{side}"), getattr(parts, f"forget_{side}")
        assert len(forget) == len(whole) // 4
        assert set(forget.labels.tolist()) == {forget_class}
        assert set(remain.labels.tolist()) == set(range(4)) - {forget_class}
        # the toy data are sorted by class, so the forgetting class lies in one block
        before = len(forget) * forget_class
        rebuilt = torch.cat([remain.images[:before], forget.images, remain.images[before:]])
        assert torch.equal(rebuilt, whole.images)


# --- CIFAR-10 as a folder of images -------------------------------------------------------------------------------


def picture(label: int, number: int) -> np.ndarray:
    """A plain 32x32 image whose colour tells its class and its number."""
    return np.full((32, 32, 3), (20 * label, 40 * number, 128), np.uint8)


def write_folder(root: Path, ending: str) -> Path:
    for side, count in (("train", TRAIN), ("test", TEST)):
        for label, name in enumerate(CIFAR10):
            (root / side / name).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(picture(label, number)).save(root / side / name / f"{number:04}.{ending}")
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images", "png")


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each image that is decoded."""
    counts = []
    original = cifar10._of_its_size

    def counted(path: Path) -> np.ndarray:
        counts.append(1)
        return original(path)

    monkeypatch.setattr(cifar10, "_of_its_size", counted)
    return counts


@pytest.mark.parametrize(("ending", "tolerance"), [("png", 0), ("jpg", 3), ("JPEG", 3)])
def test_a_folder_of_images_is_read(tmp_path: Path, ending: str, tolerance: int):
    found = load("cifar10", write_folder(tmp_path, ending))
    assert found.classes == CIFAR10
    for part, count in ((found.train, TRAIN), (found.test, TEST)):
        assert part.images.shape == (10 * count, 3, 32, 32)
        assert part.images.dtype == torch.uint8
        assert part.labels.tolist() == [label for label in range(10) for _ in range(count)]
        for index, label in enumerate(part.labels.tolist()):
            expected = torch.from_numpy(picture(label, index % count)).permute(2, 0, 1)
            assert (part.images[index].int() - expected.int()).abs().max() <= tolerance


def test_grey_and_palette_images_become_colour(folder: Path):
    Image.fromarray(np.full((32, 32), 77, np.uint8)).save(folder / "train" / "cat" / "0000.png")
    Image.fromarray(picture(3, 1)).quantize(4).save(folder / "train" / "cat" / "0001.png")
    images = load("cifar10", folder).train.images[3 * TRAIN :]
    assert images[0].unique().tolist() == [77]
    assert images[1].flatten(1).unique(dim=1).flatten().tolist() == [60, 40, 128]


def test_a_folder_is_decoded_once(folder: Path, decodings: list[int]):
    first = load("cifar10", folder)
    second = load("cifar10", folder)
    assert len(decodings) == 10 * (TRAIN + TEST)
    assert second.fingerprint == first.fingerprint
    assert torch.equal(second.train.images, first.train.images)
    assert torch.equal(second.test.labels, first.test.labels)


def test_a_changed_file_is_noticed(folder: Path, decodings: list[int]):
    """Even where its size stays: what follows the end of a PNG is not read."""
    changed = folder / "train" / "airplane" / "0000.png"
    changed.write_bytes(changed.read_bytes().ljust(500))
    before = load("cifar10", folder)
    Image.fromarray(picture(9, 5)).save(changed)
    changed.write_bytes(changed.read_bytes().ljust(500))
    os.utime(changed, (1, 1))
    after = load("cifar10", folder)
    assert len(decodings) == 2 * 10 * (TRAIN + TEST)
    assert after.fingerprint != before.fingerprint
    assert torch.equal(after.train.images[0], torch.from_numpy(picture(9, 5)).permute(2, 0, 1))


def test_added_files_are_noticed(folder: Path):
    before = load("cifar10", folder)
    for label, name in enumerate(CIFAR10):
        Image.fromarray(picture(label, 3)).save(folder / "train" / name / "0003.png")
    after = load("cifar10", folder)
    assert len(after.train) == len(before.train) + 10
    assert f"{len(after.train)} for training" in after.origin


def test_a_damaged_cache_is_decoded_again(folder: Path, decodings: list[int]):
    before = load("cifar10", folder)
    newest = max(cifar10.cache_folder().rglob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:-1000])
    with pytest.warns(UserWarning, match=newest.name):
        after = load("cifar10", folder)
    assert len(decodings) == 2 * 10 * (TRAIN + TEST)
    assert after.fingerprint == before.fingerprint


def no_test_data(folder: Path) -> None:
    for path in sorted((folder / "test").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (folder / "test").rmdir()


def no_class_folder(folder: Path) -> None:
    (folder / "train" / "frog").rename(folder / "frog")


def no_image_of_a_class(folder: Path) -> None:
    for path in (folder / "test" / "ship").iterdir():
        path.rename(path.with_suffix(".txt"))


def a_foreign_class_folder(folder: Path) -> None:
    (folder / "train" / "zebra").mkdir()


def image(folder: Path) -> Path:
    return folder / "train" / "horse" / "0001.png"


def a_zero_byte_image(folder: Path) -> None:
    image(folder).write_bytes(b"")


def a_truncated_image(folder: Path) -> None:
    image(folder).write_bytes(image(folder).read_bytes()[:60])


def a_flipped_byte(folder: Path) -> None:
    content = bytearray(image(folder).read_bytes())
    content[50] ^= 0xFF
    image(folder).write_bytes(content)


def a_truncated_jpeg(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(image(folder), format="JPEG")
    image(folder).write_bytes(image(folder).read_bytes()[:900])


def a_text(folder: Path) -> None:
    image(folder).write_text("<html>404 Not Found</html>")


def a_half_extracted_class(folder: Path) -> None:
    image(folder).unlink()


def a_larger_image(folder: Path) -> None:
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(image(folder))


def a_bomb(side: int) -> Callable[[Path], None]:
    """A PNG of a few bytes that says it has `side` times `side` pixels."""

    def write(folder: Path) -> None:
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b""))
        packed = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
        image(folder).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))

    return write


def a_link_to_nowhere(folder: Path) -> None:
    image(folder).unlink()
    image(folder).symlink_to(folder / "gone.png")


def a_link_to_itself(folder: Path) -> None:
    image(folder).unlink()
    image(folder).symlink_to(image(folder))


def a_pipe(folder: Path) -> None:
    image(folder).unlink()
    os.mkfifo(image(folder))


def a_device(folder: Path) -> None:
    image(folder).unlink()
    image(folder).symlink_to("/dev/zero")


def a_class_that_is_a_link_to_nowhere(folder: Path) -> None:
    shutil.rmtree(folder / "train" / "horse")
    (folder / "train" / "horse").symlink_to(folder / "gone")


def a_folder_named_as_no_text(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "train" / name).mkdir()


@pytest.mark.parametrize(
    ("breakage", "says"),
    [
        (no_test_data, "has no folder 'test'"),
        (no_class_folder, "train lacks the class folders frog"),
        (no_image_of_a_class, "test/ship holds no image"),
        (a_foreign_class_folder, "train has folders that are not classes: zebra; allowed: airplane, automobile"),
        (a_zero_byte_image, "0001.png' cannot be decoded"),
        (a_truncated_image, "0001.png' cannot be decoded"),
        (a_flipped_byte, "0001.png' cannot be decoded"),
        (a_truncated_jpeg, "0001.png' cannot be decoded"),
        (a_text, "0001.png' cannot be decoded"),
        (a_larger_image, "0001.png' has size 64x48, and cifar10's have 32x32"),
        (a_half_extracted_class, f" holds {TRAIN - 1} images, "),
        (a_bomb(30_000), "0001.png' cannot be decoded (Image size (900000000 pixels) exceeds limit"),
        (a_bomb(10_000), "0001.png' cannot be decoded (Image size (100000000 pixels) exceeds limit"),
        (a_link_to_nowhere, "0001.png' leads nowhere, or is neither a file nor a folder"),
        (a_link_to_itself, "Too many levels of symbolic links"),
        (a_pipe, "0001.png' leads nowhere, or is neither a file nor a folder"),
        (a_device, "0001.png' leads nowhere, or is neither a file nor a folder"),
        (a_class_that_is_a_link_to_nowhere, "horse' leads nowhere, or is neither a file nor a folder"),
        (a_folder_named_as_no_text("a\nb"), r"train/a\nb': must be a text in UTF-8 without control characters"),
        (a_folder_named_as_no_text("\udcff"), r"train/\udcff': must be a text in UTF-8 without control characters"),
    ],
)
def test_a_broken_folder_is_refused_until_it_is_repaired(folder: Path, breakage: Callable[[Path], None], says: str):
    kept = {path: path.read_bytes() for path in folder.rglob("*.png")}
    breakage(folder)
    message = refusal(load, "cifar10", folder)
    assert message.startswith("data_dir")
    assert str(folder) in message
    assert says in message
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() and not any(path.iterdir()) else None
        path.unlink() if path.is_symlink() or path.is_fifo() else None
    for path, content in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert len(load("cifar10", folder).train) == 10 * TRAIN


@pytest.mark.parametrize("name", ["x.webp", "x.gif", "x.TIFF", "x.heic", "x.bmp", "x.png.part", "x"])
def test_a_file_that_would_be_left_out_is_named(folder: Path, name: str):
    (folder / "test" / "cat" / name).touch()
    message = refusal(load, "cifar10", folder)
    assert message == (
        f"data_dir: {str(folder / 'test' / 'cat' / name)!r}: not read, since images here end in .jpeg, .jpg, .png; "
        "convert or remove"
    )
    (folder / "test" / "cat" / "more").mkdir()
    assert " and 1 more: not read" in refusal(load, "cifar10", folder)


def test_images_of_another_kind_alone_are_named(folder: Path):
    for path in (folder / "test" / "cat").iterdir():
        path.rename(path.with_suffix(".webp"))
    assert f"0000.webp' and {TEST - 1} more: not read" in refusal(load, "cifar10", folder)


def test_what_systems_leave_beside_images_is_not_read(folder: Path):
    before = load("cifar10", folder)
    for name in ("._0001.png", ".DS_Store", "Thumbs.db", "desktop.ini", "README.txt", "labels.csv"):
        (folder / "train" / "cat" / name).write_bytes(b"\0\5\x16\7")
    for name in ("train/.ipynb_checkpoints", "train/cat/@eaDir", "train/__MACOSX", "train/cat/.cache"):
        (folder / name).mkdir()
    assert load("cifar10", folder).fingerprint == before.fingerprint


def test_a_link_and_a_name_that_is_not_utf8_are_read(folder: Path):
    before = load("cifar10", folder)
    (folder / "train" / "cat" / "0000.png").rename(folder / "moved")
    (folder / "train" / "cat" / "0000.png").symlink_to(folder / "moved")
    (folder / "train" / "dog" / "0000.png").rename(folder / "train" / "dog" / "000\udcff.png")
    images = load("cifar10", folder).train.images
    assert torch.equal(images[: 5 * TRAIN], before.train.images[: 5 * TRAIN])
    assert {image.numpy().tobytes() for image in images} == {image.numpy().tobytes() for image in before.train.images}


@pytest.mark.parametrize("ending", ["png", "pgm"])
def test_16_bit_grey_is_scaled_to_8(tmp_path: Path, ending: str):
    """Each value v of 8 bits is 257 v in 16; what lies between is rounded."""
    deep = np.arange(1024, dtype=np.uint16).reshape(32, 32) * 64
    deep.flat[:6] = [0, 128, 129, 257, 65406, 65407]
    Image.fromarray(deep).save(tmp_path / f"x.{ending}")
    found = np.asarray(decoded(tmp_path / f"x.{ending}"))
    assert found.shape == (32, 32, 3)
    assert found[0, :6, 0].tolist() == [0, 0, 1, 1, 254, 255]
    assert np.abs(found / 255 - deep[..., None] / 65535).max() <= 0.5 / 255


def test_a_folder_may_begin_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(load("cifar10", f"~/{folder.name}").train) == 10 * TRAIN


@pytest.mark.parametrize("data_dir", ["", "a\0b", "\ud800", "~nobody-of-this-name/x", "x" * 5000])
def test_a_folder_that_cannot_be_named_is_refused(data_dir: str, monkeypatch: pytest.MonkeyPatch):
    assert refusal(load, "cifar10", data_dir).startswith("data_dir=")
    if data_dir and "\0" not in data_dir:
        monkeypatch.setenv("BU_DATA", data_dir.replace("\ud800", "\udcff"))
        assert refusal(load, "cifar10").startswith("BU_DATA=")


def test_a_folder_that_may_not_be_read_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("bu_core.data.images.os.scandir", denied)
    message = refusal(load, "cifar10", folder)
    assert message.startswith(f"data_dir: {str(folder / 'train')!r} cannot be read ([Errno 13] Permission denied")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    message = refusal(load, "cifar10", tmp_path / "nowhere")
    assert message == f"data_dir={str(tmp_path / 'nowhere')!r}: no such folder"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "archive.tar").write_bytes(b"")
    assert "no such folder" in refusal(load, "cifar10", tmp_path / "archive.tar")


def test_an_empty_folder_is_refused_with_what_is_expected(tmp_path: Path):
    message = refusal(load, "cifar10", tmp_path)
    assert message.startswith(f"data_dir={str(tmp_path)!r}: ")
    assert "cifar-10-batches-py" in message
    assert "train/<class>/" in message


def test_an_unknown_data_set_is_refused():
    assert "did you mean 'cifar10'?" in refusal(load, "cifar")


# --- where the data are looked for --------------------------------------------------------------------------------


def test_the_variable_is_used_where_data_dir_is_unset(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BU_DATA", str(folder))
    assert len(load("cifar10").train) == 10 * TRAIN


def test_data_dir_comes_before_the_variable(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("BU_DATA", str(tmp_path / "nowhere"))
    assert len(load("cifar10", folder).train) == 10 * TRAIN
    assert "nowhere" in refusal(load, "cifar10")


def test_a_failed_download_says_how_to_bring_the_data(monkeypatch: pytest.MonkeyPatch):
    import torchvision

    def fail(self) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", fail)
    message = refusal(load, "cifar10")
    assert message.startswith("dataset='cifar10': the download failed")
    assert "data_dir" in message
    assert "BU_DATA" in message


# --- CIFAR-10 as the released batches -----------------------------------------------------------------------------


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made release, one training image a class in each of five batches, with torchvision told its checksums."""
    from torchvision.datasets import CIFAR10 as Release

    folder = tmp_path / Release.base_folder
    folder.mkdir()

    def write(name: str, content: dict) -> str:
        packed = pickle.dumps(content)
        (folder / name).write_bytes(packed)
        return hashlib.md5(packed).hexdigest()

    def batch(number: int) -> dict:
        rows = [picture(label, number).transpose(2, 0, 1).reshape(-1) for label in range(10)]
        return {"data": np.stack(rows), "labels": list(range(10))}

    train = [[f"data_batch_{number}", write(f"data_batch_{number}", batch(number))] for number in range(1, 6)]
    monkeypatch.setattr(Release, "train_list", train)
    monkeypatch.setattr(Release, "test_list", [["test_batch", write("test_batch", batch(0))]])
    meta = Release.meta | {"md5": write("batches.meta", {"label_names": list(CIFAR10)})}
    monkeypatch.setattr(Release, "meta", meta)
    return tmp_path


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py"], ids=["the folder above", "the folder itself"])
def test_the_released_batches_are_read(batches: Path, inside: str):
    found = load("cifar10", batches / inside)
    assert found.train.images.shape == (50, 3, 32, 32)
    assert found.test.images.shape == (10, 3, 32, 32)
    assert found.train.images.is_contiguous(memory_format=torch.channels_last)
    assert found.train.labels.tolist() == 5 * list(range(10))
    for index in range(50):
        expected = torch.from_numpy(picture(index % 10, index // 10 + 1)).permute(2, 0, 1)
        assert torch.equal(found.train.images[index], expected)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("change", ["longer", "absent"])
def test_altered_batches_are_refused(batches: Path, name: str, change: str):
    path = batches / "cifar-10-batches-py" / name
    if change == "absent":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"\0")
    message = refusal(load, "cifar10", batches)
    assert message.startswith(f"data_dir={str(batches)!r}: cifar-10-batches-py is incomplete or altered")


class _Intruder:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_foreign_pickle_is_never_opened(batches: Path):
    mark = batches / "was-run"
    foreign = pickle.dumps(_Intruder(mark))
    (batches / "cifar-10-batches-py" / "data_batch_1").write_bytes(foreign)
    assert "altered" in refusal(load, "cifar10", batches)
    assert not mark.exists()
    pickle.loads(foreign)
    assert mark.exists(), "the planted file does run when it is opened"


# --- real images --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not ARCHIVE.exists(), reason="the CIFAR-10 archive of JPEG files is not beside this repository")
def test_real_cifar10_images_are_read(tmp_path: Path):
    wanted = {f"{side}/{name}": 2 for side in ("train", "test") for name in CIFAR10}
    with tarfile.open(ARCHIVE, "r|xz") as archive:
        for member in archive:
            folder = member.name.rpartition("/")[0]
            if member.isfile() and wanted.get(folder):
                archive.extract(member, tmp_path, filter="data")
                wanted[folder] -= 1
                if not any(wanted.values()):
                    break
    found = load("cifar10", tmp_path)
    assert found.train.images.shape == found.test.images.shape == (20, 3, 32, 32)
    assert found.train.labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert found.train.images.float().std() > 30, "photographs are not flat"
    assert len({image.numpy().tobytes() for image in found.train.images}) == 20
