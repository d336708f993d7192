"""A single setting: its type, its range, its choices, and the nearest name to a wrong one."""

import math
from typing import Annotated, Literal

import pytest

from bu_core.checks import Range, checked, one_of
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
    ],
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
