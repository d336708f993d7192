"""A single setting: its type, its range, its choices, and the nearest name to a wrong one."""

import math
import os
from pathlib import Path
from typing import Annotated, Literal

import pytest

from bu_core.checks import LENGTH, Range, checked, file_of, from_yaml, listed, new_file, one_of, path_of, shown
from tests.helpers import refusal

Share = Annotated[float, Range(0, 1)]
Above = Annotated[float, Range(0, 4, open=True)]
Count = Annotated[int, Range(1)]


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, Count, 3),
        (1, Count, 1),
        (0, Share, 0.0),
        (1, Share, 1.0),
        (0.25, Share, 0.25),
        ("1e-5", Share, 0.00001),
        ("0.5", Above, 0.5),
        ("deer", int | str, "deer"),
        (4, int | str, 4),
        (None, str | None, None),
        ("here", str | None, "here"),
        ("cpu", Literal["cpu", "cuda"], "cpu"),
        (True, bool, True),
    ],
)
def test_a_value_that_fits_is_returned_as_its_type(value, annotation, expected):
    found = checked("setting", value, annotation)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation", "shown", "allowed"),
    [
        (0, Count, "0", "at least 1"),
        (-3, Count, "-3", "at least 1"),
        (2.5, Count, "2.5", "a whole number at least 1"),
        (2.0, Count, "2.0", "a whole number"),
        ("2", Count, "'2'", "a whole number"),
        (True, Count, "True", "a whole number"),
        (None, Count, "None", "a whole number"),
        (math.nan, Count, "nan", "a whole number"),
        (math.nan, Share, "nan", "a finite number at least 0 and at most 1"),
        (math.inf, Share, "inf", "a finite number"),
        (-math.inf, float, "-inf", "a finite number"),
        ("nan", Share, "nan", "a finite number"),
        ("much", Share, "'much'", "a number at least 0 and at most 1"),
        (1.01, Share, "1.01", "at least 0 and at most 1"),
        (-0.01, Share, "-0.01", "at least 0"),
        (0, Above, "0", "above 0 and below 4"),
        (4, Above, "4", "above 0 and below 4"),
        (False, Share, "False", "a number"),
        ([1], Share, "[1]", "a number"),
        ({}, str, "{}", "a text"),
        (1, bool, "1", "true or false"),
        (True, int | str, "True", "a whole number or a text"),
        (1.5, int | str, "1.5", "a whole number or a text"),
        (None, int | str, "None", "a whole number or a text"),
        (5, str | None, "5", "a text"),
        ("gpu", Literal["cpu", "cuda"], "'gpu'", "allowed: cpu, cuda"),
        ("two\nlines", Literal["cpu", "cuda"], r"'two\nlines'", "allowed: cpu, cuda"),
        ("two\nlines", str, r"'two\nlines'", "without control characters or line breaks"),
        ("two\u2028lines", str, r"'two\u2028lines'", "line breaks"),
        ("nothing\0", str | None, r"'nothing\x00'", "without control characters"),
        ("\ud800", int | str, r"'\ud800'", "a text in UTF-8"),
        (["a", "\x1b[31m"], Annotated[int, Range(2)] | list[str], r"'\x1b[31m'", "without control characters"),
        (2**31 + 1, int, "2147483649", "at most 2147483648"),
        (-(10**5000), int | str, "(a number too long to show)", "at most 2147483648"),
        (10**5000, Count, "(a number too long to show)", "at most 2147483648"),
        (10**5000, Share, "inf", "a finite number"),
        ("9" * 5000, Share, "inf", "a finite number"),
    ],
    ids=shown,
)
def test_a_value_that_does_not_fit_is_refused_with_what_is_allowed(value, annotation, shown, allowed):
    message = refusal(checked, "setting", value, annotation)
    assert message.startswith(f"setting={shown}")
    assert allowed in message


@pytest.mark.parametrize(
    ("value", "nearest"), [("boundary_shrnk", "boundary_shrink"), ("Finetune", "finetune"), ("retrian", "retrain")]
)
def test_a_wrong_name_is_answered_with_the_nearest(value, nearest):
    message = refusal(one_of, "methods", value, ["retrain", "finetune", "boundary_shrink"])
    assert message == (f"methods='{value}': did you mean '{nearest}'? allowed: retrain, finetune, boundary_shrink")


@pytest.mark.parametrize("value", ["quux", "", 7, None, []])
def test_a_name_like_no_other_gets_no_suggestion(value):
    message = refusal(one_of, "methods", value, ["retrain", "finetune"])
    assert message == f"methods={value!r}: allowed: retrain, finetune"


# --- what a message shows -------------------------------------------------------------------------------------------


def shared() -> list:
    """A list that is small in memory, and has 4 ** 30 entries when it is written out."""
    value: list = [0]
    for _ in range(30):
        value = [value] * 4
    return value


def endless() -> list:
    value: list = []
    value.append(value)
    return value


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Wordy:
    def __repr__(self) -> str:
        return "first\nsecond\x1b[31m\ud800"


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, [["x" * 99] * 99] * 99, shared(), endless(), {1: endless()}, 10**5000, [10**5000], Silent(), Wordy()],
    ids=["text", "list", "shared", "endless", "mapping", "number", "numbers", "silent", "wordy"],
)
def test_whatever_is_shown_is_one_short_line(value):
    line = shown(value)
    assert line.isprintable()
    assert 5 < len(line) <= LENGTH
    for annotation in (Count, Share, bool, int | None, Literal["cpu"]):
        assert len(refusal(checked, "setting", value, annotation)) < 2 * LENGTH
    assert len(refusal(one_of, "setting", value, ["cpu"])) < 2 * LENGTH


def test_what_is_short_is_shown_whole():
    assert shown("/a folder/with  blanks") == "'/a folder/with  blanks'"
    assert shown({"retrain": [1, 2.5, None]}) == "{'retrain': [1, 2.5, None]}"
    assert shown(ValueError("one\n two")) == "one two"
    assert (shown("a" * 500)[:3], shown("a" * 500)[-3:]) == ("'aa", "aa'")


def test_many_names_are_counted():
    assert listed(["a", "b"]) == "a, b"
    assert listed(map(str, range(100))).endswith("28, 29 and 70 more")
    assert len(refusal(one_of, "person", "x", [f"person {n}" for n in range(10_000)])) < 1000


# --- paths and files ------------------------------------------------------------------------------------------------


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x").touch()
    assert path_of("setting", "~/y") == tmp_path / "y"
    assert file_of("setting", "~/x") == tmp_path / "x"
    assert refusal(file_of, "setting", "~/y") == "setting='~/y': no such file"


@pytest.mark.parametrize("value", ["", " ", "a\0b", "\ud800", "a\nb", "~nobody-of-this-name/x"])
def test_a_path_that_cannot_be_is_refused(value: str):
    for check in (path_of, file_of):
        assert refusal(check, "setting", value).startswith(f"setting={value!r}: ")


def test_only_a_regular_file_is_a_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        assert refusal(file_of, "setting", path) == f"setting={str(path)!r}: is no regular file"
    for path in (tmp_path / "nowhere", tmp_path / "loop", tmp_path / ("x" * 300)):
        assert refusal(file_of, "setting", path).endswith("no such file")


# --- YAML -----------------------------------------------------------------------------------------------------------


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 {k: v}", *(f"a{n}: &a{n} {{<<: [{f'*a{n - 1}, ' * width}]}}" for n in range(1, levels))]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (bomb(9, 9), "must have at most 20 aliases"),
        ("a: 1\nb: 2\na: 3", "the key a is given twice"),
        ("x: {a: 1, a: 1}", "the key a is given twice"),
        ("1: 2", "the key 1 must be a text"),
        ("yes: 2", "the key yes must be a text"),
        ("null: 2", "the key null must be a text"),
        ("? [a]\n: 2", "a key that is a list or a mapping must be a text"),
        ("a: [1,\nb: 2", "is not YAML (line 2: "),
        ("!!bool x", "is not YAML"),
        ("!!python/object/apply:os.getcwd []", "is not YAML"),
        ("[" * 10_000, "is not YAML"),
        ("--- 1\n--- 2", "found another document"),
        ("a\0b", "is not YAML"),
    ],
)
def test_yaml_that_cannot_be_used_is_refused(text: str, says: str):
    message = refusal(from_yaml, "setting", text)
    assert message.startswith("setting: ")
    assert says in message


def test_aliases_merge_as_in_yaml():
    assert from_yaml("setting", "a: &a {k: 1, l: 1}\nb: {<<: *a, k: 2}")["b"] == {"k": 2, "l": 1}
    assert from_yaml("setting", bomb(4, 3))["a3"] == {"k": "v"}


def test_a_new_file_is_one_that_is_not_there_yet(tmp_path: Path):
    wanted = tmp_path / "new" / "weights.safetensors"
    assert new_file("--out", str(wanted), ".safetensors") == wanted
    assert wanted.parent.is_dir() and not wanted.exists()
    wanted.touch()
    assert refusal(new_file, "--out", str(wanted), ".safetensors").endswith("is there already; name a new file")
    assert refusal(new_file, "--out", "weights.pt", ".safetensors") == "--out='weights.pt': must end in .safetensors"
    assert "cannot be written" in refusal(new_file, "--out", str(wanted / "more.safetensors"), ".safetensors")
