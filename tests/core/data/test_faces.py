"""Folders of people: who is chosen, how they are divided, and what is refused. No face in it: people are colours."""

import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bu_core.config import Config
from bu_core.data import Dataset, faces, load
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import metrics
from bu_core.results import as_json
from tests.helpers import refusal


def picture(person: int, number: int, size: int = 40) -> Image.Image:
    """Noise of its own for each number, in the colour of its person: no two look alike."""
    generator = np.random.default_rng(1000 * person + number)
    coarse = generator.integers(0, 156, (9, 9, 3), dtype=np.uint8)
    coarse[..., person % 3] += 90
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def write_people(root: Path, counts: dict[str, int], ending: str = "png", mode: str = "RGB") -> Path:
    for person, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture(person, number).convert(mode).save(root / name / f"{number:04}.{ending}")
    return root


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return write_people(tmp_path / "people", {"Ada": 12, "Bob": 10, "Cem": 8, "Dan": 7, "Eve": 2})


def read(folder: Path, seed: int = 0, **options: object) -> Dataset:
    return load("faces", folder, seed, options)


# --- who is chosen, and how they are divided ------------------------------------------------------------------------


def test_those_with_the_most_images_are_chosen_and_balanced(people: Path):
    found = read(people, people=3, size=32)
    assert found.classes == ("Ada", "Bob", "Cem")
    assert found.train.images.shape == (3 * 6, 3, 32, 32)
    assert found.test.labels.bincount().tolist() == [2, 2, 2]
    assert found.train.images.dtype == torch.uint8
    assert found.others is None


def test_named_people_are_the_classes_in_their_order(people: Path):
    found = read(people, people=["Cem", "Ada"], images_per_person=9)
    assert found.classes == ("Cem", "Ada")
    both = found.train.labels.bincount() + found.test.labels.bincount()
    assert both.tolist() == [8, 9], "no more than there are, and than asked for"


@pytest.mark.parametrize(("ending", "mode"), [("jpg", "RGB"), ("pgm", "L"), ("png", "L")])
def test_grey_and_colour_in_any_format(tmp_path: Path, ending: str, mode: str):
    found = read(write_people(tmp_path, {"a": 6, "b": 6}, ending, mode), people=2)
    assert found.train.images.shape[1:] == (3, 64, 64)
    if mode == "L":
        assert torch.equal(found.train.images[:, 0], found.train.images[:, 1])


def test_the_middle_is_kept(tmp_path: Path):
    image = Image.new("RGB", (100, 60))
    image.paste((255, 255, 255), (35, 15, 65, 45))
    image.save(tmp_path / "x.png")
    assert (faces.cut(tmp_path / "x.png", crop=0.5, size=16) == 255).all()
    assert not (faces.cut(tmp_path / "x.png", crop=1.0, size=16) == 255).all()


@pytest.mark.parametrize("layout", ["lfw_home/lfw_funneled", "lfw-deepfunneled", "train"])
def test_the_layouts_of_downloads_are_found(people: Path, tmp_path: Path, layout: str):
    (tmp_path / "home" / layout).parent.mkdir(parents=True)
    shutil.move(people, tmp_path / "home" / layout)
    assert read(tmp_path / "home", people=3).classes == ("Ada", "Bob", "Cem")


def test_the_seed_decides_the_division(people: Path):
    first, again, other = (read(people, seed, people=3) for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_others_are_none_of_the_chosen(people: Path):
    found = read(people, people=2, others=5)
    assert found.others.labels.unique().tolist() == [0, 1], "Cem and Dan: Eve has too few images"
    assert len(found.others) == 15
    assert found.others_fingerprint not in (None, found.fingerprint)


# --- the same picture -----------------------------------------------------------------------------------------------


def test_the_same_picture_is_never_on_both_sides(tmp_path: Path):
    """Every picture of both people three times."""
    root = tmp_path / "people"
    for person, name in enumerate("ab"):
        (root / name).mkdir(parents=True)
        for copy in range(3 * 8):
            picture(person, copy // 3).save(root / name / f"{copy}.png")
    for seed in range(5):
        found = read(root, seed, people=2)
        train, test = ({image.numpy().tobytes() for image in side.images} for side in (found.train, found.test))
        assert len(found.train) + len(found.test) == 48
        assert (len(train), len(test)) == (14, 2), "a fifth of 24, in whole pictures, is one of each person's"
        assert not train & test


def test_versions_of_a_picture_are_one_picture():
    """Larger, and compressed, in most cases; two pictures never."""
    images = []
    for number in range(30):
        compressed = io.BytesIO()
        picture(0, number, 60).save(compressed, "JPEG", quality=90)
        for version in (picture(0, number, 60), picture(0, number, 60).resize((90, 90)), Image.open(compressed)):
            images.append(np.asarray(version.resize((64, 64))))
    found = faces.groups(faces.hashes(np.stack(images)), faces.ALIKE).reshape(30, 3)
    assert (found == found[:, :1]).all(1).mean() > 0.9
    assert all(len(set(found[:, 0].tolist()) & set(found[:, other].tolist())) >= 27 for other in (1, 2))
    assert len(set(found[:, 0].tolist())) == 30


def test_others_lose_what_a_chosen_person_has(people: Path):
    shutil.copy(people / "Ada" / "0003.png", people / "Dan" / "copy.png")
    assert len(read(people, people=2, others=2).others) == 15, "Cem's 8 and Dan's 7 of 8"


def test_hashes_tell_pictures_apart_and_versions_not():
    size = 64
    one, larger, other = picture(0, 1), picture(0, 1).resize((80, 80)), picture(0, 2)
    found = faces.hashes(np.stack([np.asarray(image.resize((size, size))) for image in (one, larger, other)]))
    assert np.bitwise_count(found[0] ^ found[1]) <= faces.ALIKE < np.bitwise_count(found[0] ^ found[2])


def test_groups_are_chains():
    found = faces.groups(np.array([0b0, 0b111, 0b111111, 2**60 - 1], dtype=np.uint64), alike=3)
    assert found[0] == found[1] == found[2] != found[3]


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"people": 5}, "data.people=5: .* has 4 people with at least 5 images"),
        ({"people": 1}, "data.people=1: must be at least 2"),
        ({"people": ["Ada"]}, "must be at least two people"),
        ({"people": ["Ada", "Ada", "Bob"]}, "at least two people, each named once"),
        ({"people": ["Ada", "Bop"]}, "data.people='Bop': did you mean 'Bob'. allowed: Ada, Bob"),
        ({"people": ["Ada", "Eve"]}, "'Eve' has 2 images, and needs at least 5"),
        ({"peple": 3}, "did you mean 'people'"),
        ({"size": 3}, "data.size=3"),
    ],
)
def test_options_that_cannot_be_are_refused(people: Path, options: dict, message: str):
    assert re.search(message, refusal(read, people, **options))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: (root / "a\nb").mkdir(), r"a\\nb': must be a text in UTF-8 without control characters"),
        (lambda root: (root / "\udce9").mkdir(), "udce9': must be a text in UTF-8"),
        (lambda root: (root / "Fay").symlink_to(root / "gone"), "Fay' leads nowhere"),
        (lambda root: (root / "Fay").symlink_to(root / "Fay"), "Too many levels of symbolic links"),
        (lambda root: os.mkfifo(root / "Bob" / "x.png"), "x.png' leads nowhere, or is neither"),
        (lambda root: (root / "Bob" / "x.webp").touch(), "x.webp': not read, since images here end in .bmp, .jpeg"),
        (lambda root: (root / "Bob" / "more").mkdir(), "more': not read, since images here end in"),
    ],
)
def test_a_folder_that_would_be_read_in_part_is_refused(people: Path, make: Callable[[Path], None], says: str):
    make(people)
    message = refusal(read, people, people=2)
    assert message.startswith("data_dir")
    assert re.search(says, message)


def test_what_systems_leave_is_no_image_and_no_person(people: Path):
    before = read(people, people=3)
    for name in (".hidden", "__MACOSX", "@eaDir"):
        write_people(people / name, {"Zoe": 20})
        shutil.copytree(people / name / "Zoe", people / name, dirs_exist_ok=True)
    for name in ("._0001.png", "Thumbs.db", "landmarks.pts"):
        (people / "Ada" / name).touch()
    assert read(people, people=3).fingerprint == before.fingerprint


def test_a_name_that_is_not_utf8_is_read(people: Path):
    before = read(people, people=2)
    (people / "Bob" / "0009.png").rename(people / "Bob" / "000\udcff.png")
    assert read(people, people=2).fingerprint == before.fingerprint


def test_16_bit_grey_is_scaled(tmp_path: Path):
    deep = np.linspace(0, 65535, 40 * 40).reshape(40, 40).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "x.png")
    found = faces.cut(tmp_path / "x.png", crop=1.0, size=40)
    assert np.abs(found[..., 0] / 255 - deep / 65535).max() < 0.003


def test_a_damaged_image_is_named(people: Path):
    (people / "Bob" / "0004.png").write_bytes(b"")
    message = refusal(read, people, people=3, images_per_person=20)
    assert "0004.png" in message
    assert "cannot be decoded" in message


def test_images_without_people_are_refused(tmp_path: Path):
    picture(0, 0).save(tmp_path / "0.png")
    assert "holds images, but no people" in refusal(read, tmp_path)
    (tmp_path / "0.png").unlink()
    assert "holds no people" in refusal(read, tmp_path)


def test_the_same_picture_over_and_over_cannot_be_divided(tmp_path: Path):
    write_people(tmp_path, {"a": 8, "b": 6})
    for path in (tmp_path / "b").iterdir():
        picture(1, 0).save(path)
    assert "b has no test image left" in refusal(read, tmp_path, people=2)


def test_a_class_is_given_by_name_or_number(people: Path, tmp_path: Path):
    def asked(forget_class: int | str) -> Experiment:
        given = {"dataset": "faces", "data_dir": str(people), "data": {"people": 3}, "width": 0.1}
        return Experiment(Config.from_mapping(given | {"forget_class": forget_class, "results_dir": str(tmp_path)}))

    assert asked("Bob").config.forget_class == asked(1).config.forget_class == 1
    assert "did you mean 'Bob'" in refusal(asked, "Bop")
    assert "forget_class=3" in refusal(asked, 3)


# --- the whole way --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("few_steps")
def test_what_faces_have_of_their_own_works_and_is_recorded_without_a_name_or_weights(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from bu_book.chapters import attention, audit, lasting, timing
    from bu_book.publish import publish

    monkeypatch.setattr(lasting, "FEW_INVERSIONS", {"inversions": 8, "inversion_steps": 2})
    for sizes in ("GROWTH_BATCHES", "GROWTH_EPOCHS"):
        monkeypatch.setattr(timing, sizes, (1, 2))
    given = {
        "dataset": "faces",
        "data": {"people": 3, "size": 64, "images_per_person": 10, "others": 1, "test_share": 0.3},
        "model": "resnet18",
        "pretraining": {"source": "others", "epochs": 1},
        "width": 1,
        "forget_class": 1,
        "epochs": 1,
        "batch_size": 8,
        "lr": 0.01,
        "methods": ["retrain", "boundary_expanding", "fisher"],
        "unlearning": {"boundary_expanding": {"epochs": 1}},
        "timing_runs": 1,
        "sample_size": 50,
        "precision": "fp32",
    }
    results = {"data_dir": str(people), "results_dir": str(tmp_path / "results")}
    experiment = Experiment(Config.from_mapping(given | results))
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    folder = publish(experiment, "people", "the command")
    region = attention.measure(experiment).region
    assert (region.name, region.is_object) == ("face", True)
    assert set(timing.measure(experiment).scaling.growth) == {"images", "epochs"}
    assert list((tmp_path / "results" / "store").glob("pretrained-*.safetensors"))
    assert torch.equal(experiment.initial().body[0].weight, experiment._pretrained().tensors["0.weight"])

    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert len(kept) < 2_000_000, "a ResNet-18 alone has 45 million bytes"
    assert not any(name.encode() in kept for name in ("Ada", "Bob", "Cem", "Dan", str(people)))

    monkeypatch.setattr("bu_core.experiment.experiment.load", lambda *_: pytest.fail("a record is shown without data"))
    shown = Experiment(Config.from_mapping(given | {"results_dir": str(tmp_path / "elsewhere")}))
    assert shown.dataset.classes == ("person 1", "person 2", "person 3")
    assert metrics(shown).environment == experiment.environment
    assert as_json(audit.measure(shown)) == as_json(audit.measure(experiment))
