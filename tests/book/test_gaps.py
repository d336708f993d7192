"""What is not recorded is named in words."""

from bu_book import chapters, publish
from bu_book.gaps import MEASURED, in_words, named
from bu_core.experiment.measurement import MEASUREMENTS
from bu_core.experiment.record import NotRecorded


def test_every_measurement_has_words():
    chapters.load()
    assert publish.movable and publish.without_batchnorm, "two more modules whose import registers measurements"
    book = {name for name, made in MEASUREMENTS.items() if made.__module__.startswith(("bu_core.", "bu_book."))}
    assert set(MEASURED) == book, "a reader would see the name of a function"


def test_a_gap_names_the_measurement_the_model_and_the_command():
    reason = NotRecorded("", "requested-boundary_shrink", "lfw")
    assert named(reason) == "what is remembered of a request of Boundary Shrink"
    assert "make reference PROFILE=lfw" in in_words(reason)
