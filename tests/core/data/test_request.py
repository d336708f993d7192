"""What is to be forgotten: which images each request means, and what is refused in one line."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bu_core.checks import SettingError
from bu_core.config import Config
from bu_core.data import Dataset, described, split
from bu_core.data.request import checked_request, request_key
from bu_core.experiment.experiment import Experiment
from tests.helpers import quick_config, refusal

CPU = torch.device("cpu")
NAMES = ("airplane", "deer", "horse", "truck")


def request(**given: Any) -> dict[str, Any]:
    return checked_request(given, NAMES, "toy")


# --- what a request means -----------------------------------------------------------------------------------------


def test_several_classes_leave_with_all_of_their_images(toy: Dataset):
    parts = split(toy, request(classes=["horse", 0]), CPU)
    assert parts.forget_classes == (2, 0)
    assert parts.remaining_classes == [1, 3]
    for side, data in (("train", toy.train), ("test", toy.test)):
        forget, remain = getattr(parts, f"forget_{side}"), getattr(parts, f"remain_{side}")
        assert set(forget.labels.tolist()) == {0, 2}
        assert set(remain.labels.tolist()) == {1, 3}
        assert len(forget) + len(remain) == len(data)


def test_one_class_is_the_same_by_either_name(toy: Dataset):
    one, other = split(toy, request(classes=["deer"]), CPU), split(toy, 1, CPU)
    assert torch.equal(one.forget_train.images, other.forget_train.images)
    assert one.forget_class == other.forget_class == 1
    by_request, by_class = Config(forget={"classes": ["7"]}), Config(forget_class="7")
    assert (by_request.forget_class, dict(by_request.forget)) == (by_class.forget_class, {})


@pytest.mark.parametrize("of", ["all", "deer"])
def test_a_share_is_drawn_at_random_and_test_images_of_its_classes_are_the_yardstick(toy: Dataset, of: str):
    parts = split(toy, request(share=0.25, of=of, seed=3), CPU)
    there = toy.train.labels == 1 if of == "deer" else torch.ones(len(toy.train), dtype=torch.bool)
    assert len(parts.forget_train) == round(0.25 * int(there.sum()))
    assert len(parts.forget_train) + len(parts.remain_train) == len(toy.train)
    assert parts.forget_classes == ()
    classes = set(parts.forget_train.labels.tolist())
    assert classes == ({1} if of == "deer" else {0, 1, 2, 3})
    assert set(parts.forget_test.labels.tolist()) <= classes
    alike = sum(int((toy.test.labels == label).sum()) for label in classes)
    assert len(parts.forget_test) == alike // 2
    assert len(parts.forget_test) + len(parts.remain_test) == len(toy.test)
    again, other = (split(toy, request(share=0.25, of=of, seed=seed), CPU).forget_train.images for seed in (3, 4))
    assert torch.equal(again, parts.forget_train.images)
    assert not torch.equal(other, parts.forget_train.images)


def test_images_are_forgotten_by_their_numbers(toy: Dataset, tmp_path: Path):
    file = tmp_path / "numbers.txt"
    file.write_text("5\n\n2\n 11 \n")
    asked = request(samples=str(file))
    parts = split(toy, asked, CPU)
    assert torch.equal(parts.forget_train.images, toy.train.images[[2, 5, 11]])
    copied = tmp_path / "elsewhere.txt"
    copied.write_text("11\n5\n2\n")
    assert request_key(asked) == request_key(request(samples=str(copied))), "a key holds the numbers, not the place"
    copied.write_text("11\n5\n3\n")
    assert request_key(asked) != request_key(request(samples=str(copied)))


def test_a_request_has_words():
    assert described(request(classes=[1]), NAMES) == "deer"
    assert described(request(classes=["deer", "horse", "truck"]), NAMES) == "deer, horse and truck"
    assert described(request(share=0.01), NAMES) == "1 % of all images"
    assert described(request(share=0.1, of="deer"), NAMES) == "10 % of deer"


def test_what_asks_for_one_class_refuses_several(toy: Dataset):
    parts = split(toy, request(classes=[1, 2]), CPU)
    with pytest.raises(SettingError, match="asks for one class, and 2 classes are to be forgotten"):
        _ = parts.forget_class


def test_what_is_barred_cannot_win(toy: Dataset):
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    own = torch.tensor([0, 3])
    classes = split(toy, request(classes=[0, 3]), CPU).barred(logits, own)
    assert classes.argmax(1).tolist() == [1, 2]
    assert classes.softmax(1)[:, [0, 3]].sum() == 0
    images = split(toy, request(share=0.5), CPU)
    assert images.barred(logits, own).argmax(1).tolist() == [1, 2], "each image's own label"
    assert torch.equal(images.barred(logits), logits), "and nothing where the label is not told"


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_request_has_keys_of_its_own_and_leaves_the_original_alone(tmp_path: Path):
    plain = Experiment(quick_config(tmp_path, methods=["boundary_shrink"]))
    keys = [plain.key("boundary_shrink")]
    for forget in ({"classes": [4, 7]}, {"classes": [7, 4]}, {"share": 0.1}, {"share": 0.1, "seed": 1}):
        there = plain.variation(["boundary_shrink"], forget=forget)
        assert there.key("original") == plain.key("original")
        keys.append(there.key("boundary_shrink"))
    assert all(one != other for place, one in enumerate(keys) for other in keys[:place])
    assert keys[0]["forget_class"] == 4
    assert "forget" not in keys[0], "what was recorded of one class is found by the key that it had"
    back = plain.variation([], forget={"classes": [4, 7]}).variation(["boundary_shrink"], forget_class=4)
    assert back.key("boundary_shrink") == keys[0]


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"class": "deer"}, "allowed: {classes: [...]}, {share: 0.1, of: all, seed: 0} or {samples: FILE}"),
        ({"classes": ["deer"], "share": 0.1}, "forget='share': allowed: classes"),
        ({"classes": "deer"}, "forget.classes='deer': must be a list of classes"),
        ({"classes": []}, "forget.classes=[]: must be a list of classes"),
        ({"classes": ["dear"]}, "did you mean 'deer'?"),
        ({"classes": [4]}, "forget.classes=4: toy has classes 0 to 3"),
        ({"classes": ["deer", 1]}, "1 is named twice"),
        ({"classes": [0, 1, 2, 3]}, "no class of toy would remain"),
        ({"classes": [True]}, "forget.classes=True: must be a whole number or a text"),
        ({"share": 0}, "forget.share=0.0: must be above 0 and below 1"),
        ({"share": 1}, "forget.share=1.0: must be above 0 and below 1"),
        ({"share": "some"}, "forget.share='some': must be a number above 0 and below 1"),
        ({"share": 0.1, "of": "dear"}, "forget.of='dear': did you mean 'deer'?"),
        ({"share": 0.1, "seed": -1}, "forget.seed=-1: must be at least 0"),
        ({"share": 0.1, "sed": 1}, "forget='sed': did you mean 'seed'?"),
        ({"samples": "no/such.txt"}, "forget.samples='no/such.txt': no such file"),
        ({"samples": 3}, "forget.samples=3: must be a text"),
    ],
)
def test_what_is_no_request_is_refused_in_one_line(given: dict[str, Any], says: str):
    message = refusal(lambda: request(**given))
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize("given", ["deer", 4, ["deer"], None])
def test_a_request_is_a_mapping(given: Any):
    assert "must be a mapping" in refusal(lambda: Config(forget=given))
    assert "must be a mapping" in refusal(lambda: Config(requests=[given]))


def test_requests_are_a_list_of_requests():
    assert "must be a list of mappings" in refusal(lambda: Config(requests={"share": 0.1}))
    assert "names nothing to be forgotten" in refusal(lambda: Config(requests=[{}]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1\n2\nthree\n", "line 3 is 'three'; must be a number from 0 to"),
        ("1\n-2\n", "line 2 is '-2'"),
        ("999999\n", "line 1 is '999999'"),
        ("9" * 5000, "must be a number from 0 to"),
        ("٣\n", "line 1 is"),
        ("4\n5\n4\n", "line 3 repeats line 1 (4)"),
        ("\n \n", "is 0 of"),
    ],
)
def test_a_file_of_numbers_is_read_to_its_last_line(toy: Dataset, tmp_path: Path, text: str, says: str):
    file = tmp_path / "numbers.txt"
    file.write_text(text)
    message = refusal(lambda: split(toy, request(samples=str(file)), CPU))
    assert says in message
    assert "\n" not in message


def test_a_request_for_every_image_or_none_is_refused(toy: Dataset, tmp_path: Path):
    file = tmp_path / "numbers.txt"
    file.write_text("\n".join(map(str, range(len(toy.train)))))
    assert "some, and not all, must be" in refusal(lambda: split(toy, request(samples=str(file)), CPU))
    assert "is 0 of" in refusal(lambda: split(toy, request(share=1e-6), CPU))
    file.write_bytes(b"\xff\xfe")
    assert "cannot be read" in refusal(lambda: split(toy, request(samples=str(file)), CPU))


def test_a_request_is_refused_before_any_work(tmp_path: Path):
    config = quick_config(tmp_path, methods=["boundary_shrink"], forget={"share": 1e-6})
    assert "is 0 of 1,257 training images" in refusal(lambda: Experiment(config))
    several = {"classes": [4, 7]}
    config = quick_config(tmp_path, methods=["retrain", "amnesiac"], forget=several)
    message = refusal(lambda: Experiment(config))
    assert message == "methods: amnesiac forgets one class alone, and forget asks for 4 and 7; leave it out"
    plain = Experiment(quick_config(tmp_path, methods=["amnesiac"]))
    assert "leave it out" in refusal(lambda: plain.variation(["amnesiac"], forget=several))
