"""What all chapters keep to in what they store."""

from bu_book import chapters
from bu_core.experiment.measurement import MEASUREMENTS
from tests.constants import undeclared


def test_every_constant_that_decides_a_stored_result_is_in_its_key():
    """Otherwise the constant could change, and the stored result would be shown as if it had not."""
    chapters.load()
    assert {name: missing for name, each in MEASUREMENTS.items() if (missing := undeclared(each))} == {}
