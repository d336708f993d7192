"""The figures that move: what is written into a page, and what a reader without a mouse sees of it in the browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from IPython.display import HTML

from bu_book import movable
from bu_book.chapters import decision_space
from bu_book.movable import ComesBack, Shown
from bu_book.steps import drawings, toy
from bu_core.experiment.experiment import Experiment
from bu_core.measures import accuracy
from bu_core.unlearning import UnlearningTask
from tests.book.browser import DESKTOP, PHONE, Browser, installed
from tests.helpers import small_experiment

STATIC = Path(__file__).parents[2] / "book" / "_static"
HOSTILE = "</script><svg onload=alert(1)>"


def content(figure: HTML) -> dict:
    """The data that a figure gives the script."""
    (found,) = re.findall(r'<script type="application/json">(.*?)</script>', figure.data, re.S)
    return json.loads(found)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def square() -> UnlearningTask:
    return toy.learned(epochs=15)


# --- what is written ------------------------------------------------------------------------------------------------


def test_a_frame_says_what_the_network_says(square: UnlearningTask):
    rows, last = [], ""
    for row in toy.frame(square.original).split(","):
        last = row or last
        rows.append(re.findall(r"(\d)([0-9a-f]{2})?", last))
    assert len(rows) == toy.ROWS
    classes, _ = toy.regions(square.original)
    for place in (3, 31, 60):
        ends = [0, *(int(end, 16) if end else 255 for _, end in rows[place])]
        assert ends == sorted(ends) and ends[-1] == 255
        cell = round(place / (toy.ROWS - 1) * (toy.GRID - 1))
        for label, start, end in zip((int(run[0]) for run in rows[place]), ends, ends[1:], strict=False):
            assert classes[cell, round((start + end) / 2 / 255 * (toy.GRID - 1))] == label


def test_the_model_comes_back_as_it_was_measured(experiment: Experiment):
    found = movable.coming_back(experiment)
    assert found.counts[0] == 0 and list(found.models) == list(experiment.names)
    said = experiment.outputs("boundary_shrink")
    first, *_, last = found.models["boundary_shrink"]
    assert first.recognised == pytest.approx(accuracy(said["forget_train"]))
    assert first.others == pytest.approx(accuracy(said["remain_test"]))
    for state in (first, last):
        assert state.shares is not None and sum(state.shares) == pytest.approx(100)
        assert state.shares[found.forget_class] == pytest.approx(state.recognised)
    assert [state.recognised for state in found.models["retrain"]] == [0.0] * len(found.counts)


def test_every_sample_travels_inside_the_map(experiment: Experiment):
    data = content(movable.travel(decision_space.measure(experiment)))
    most = max(torch.tensor(data["labels"]).bincount().tolist())
    for model in data["models"]:
        assert len(model["remain"]) == len(data["labels"])
        assert len(model["forget"]) == len(model["answers"]) <= most
        assert all(0 <= part <= movable.MAP_SIDE for point in model["remain"] + model["forget"] for part in point)


def planted(name: str = "deer") -> ComesBack:
    """Two models of three classes; of the second the other classes are not recorded after re-estimation."""
    whole = [Shown(0, 9.0, 80.0, [50.0, 9.0, 41.0]), Shown(100, 99.0, 85.0, [1.0, 99.0, 0.0])]
    part = [Shown(0, 0.0, 90.0, [60.0, 0.0, 40.0]), Shown(100, 0.0, None, None)]
    return ComesBack(["bird", name, "cat"], 1, [0, 100], {"boundary_shrink": whole, "retrain": part})


def test_a_name_from_outside_does_not_end_the_data():
    figure = movable.comes_back(planted(HOSTILE))
    assert "<svg onload" not in figure.data
    assert content(figure)["of"] == HOSTILE


# --- in the browser -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = installed()
    if found is None:
        pytest.skip("no Chromium is installed, so the figures are not moved")
    with Browser(found, dark=True) as opened:
        yield opened


def page(folder: Path, *figures: HTML) -> Path:
    """A page with these figures and the book's script, alone."""
    file = folder / "page.html"
    style, script = ((STATIC / f"movable.{kind}").as_uri() for kind in ("css", "js"))
    inside = "".join(figure.data for figure in figures)
    file.write_text(
        f'<!DOCTYPE html><html lang="en"><title>figures</title><link rel="stylesheet" href="{style}">'
        f'<body class="bd-article">{inside}<script src="{script}"></script></body></html>'
    )
    return file


def test_the_keyboard_shows_that_the_class_comes_back(browser: Browser, tmp_path: Path):
    seen = browser.visit(page(tmp_path, movable.comes_back(planted(HOSTILE))))
    assert not seen.console_errors and not seen.outside_requests and not seen.too_wide
    status, rows = browser.page.get_by_role("status"), browser.page.locator(".movable-bars tbody tr")
    assert status.inner_text().startswith("Boundary Shrink, as it was left: 9.0 %")
    assert HOSTILE in status.inner_text()
    browser.page.get_by_label("Remaining images shown").focus()
    browser.page.keyboard.press("ArrowRight")
    assert "after 100 remaining images: 99.0 %" in status.inner_text() and "85.0 %" in status.inner_text()
    assert [text.split()[-2] for text in rows.all_inner_texts()] == ["1.0", "99.0", "0.0"]
    browser.page.get_by_label("Model").select_option("Retrain")
    assert status.inner_text().startswith("Retrain, after 100 remaining images: 0.0 %")
    assert "any other class" in rows.last.inner_text(), "which of them is not recorded"


def test_the_keyboard_moves_the_boundary(browser: Browser, tmp_path: Path, square: UnlearningTask):
    models = toy.epochs_of(square, "boundary_shrink", epochs=3, lr=0.003, epsilon=0.15, batchnorm="frozen")
    titles = ["before", "epoch 1", "epoch 2", "epoch 3"]
    still = drawings.frames(models, square.split.forget_train, titles)
    figure = drawings.moving(models, square.split.forget_train, titles, caption="The regions.", still=still)
    seen = browser.visit(page(tmp_path, figure))
    assert not seen.console_errors and not seen.outside_requests
    drawn = browser.page.locator(".movable-square path").first
    before = drawn.get_attribute("d")
    slider = browser.page.get_by_role("slider", name="Epoch")
    slider.focus()
    browser.page.keyboard.press("End")
    assert browser.page.get_by_role("status").inner_text() == "epoch 3"
    assert slider.get_attribute("aria-valuetext") == "3"
    assert drawn.get_attribute("d") != before
    assert not browser.page.locator(".movable-still").is_visible()
    button = browser.page.get_by_role("button")
    button.press("Enter")
    assert button.inner_text() == "stop"
    browser.page.get_by_role("status").get_by_text("epoch 1").wait_for(timeout=5_000)


def test_the_points_travel_from_model_to_model(browser: Browser, tmp_path: Path, experiment: Experiment):
    space = decision_space.measure(experiment)
    seen = browser.visit(page(tmp_path, movable.travel(space)))
    assert not seen.console_errors and not seen.outside_requests
    ring = browser.page.locator(".movable-points circle").last
    before = ring.get_attribute("style")
    browser.page.get_by_label("Model").focus()
    browser.page.keyboard.press("Home")
    assert browser.page.get_by_role("status").inner_text().startswith("Original:")
    assert ring.get_attribute("style") != before


def test_figures_fit_a_phone_and_shut_nobody_out(browser: Browser, tmp_path: Path, experiment: Experiment):
    file = page(tmp_path, movable.comes_back(planted()), movable.travel(decision_space.measure(experiment)))
    browser.page.set_viewport_size({"width": PHONE, "height": 900})
    assert not browser.visit(file).too_wide
    named = ("label", "select-name", "svg-img-alt", "aria-input-field-name", "button-name")
    assert browser.barriers(file, named) == []
    browser.page.set_viewport_size({"width": DESKTOP, "height": 900})


def test_on_paper_the_still_picture_stands(browser: Browser, tmp_path: Path):
    browser.visit(page(tmp_path, movable.comes_back(planted())))
    browser.page.emulate_media(media="print")
    assert browser.page.locator(".movable-still svg").is_visible()
    assert not browser.page.get_by_role("slider").is_visible()
    browser.page.emulate_media(media="screen")


def test_without_script_the_still_picture_stands(tmp_path: Path):
    figure = movable.comes_back(planted())
    assert "99.0 % after 100 remaining images" in figure.data
    assert figure.data.index("movable-still") < figure.data.index("<svg") < figure.data.index("application/json")
