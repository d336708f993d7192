"""Fixtures that several test files share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from bu_core.audits import relearning
from bu_core.data import Dataset, split
from bu_core.models import build
from bu_core.training import fit
from bu_core.unlearning import UnlearningTask
from bu_core.unlearning.amnesiac import Recorder
from tests.helpers import TOY_RECIPE, toy_dataset


@pytest.fixture(scope="session", autouse=True)
def _apart_from_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's cache folder, or takes data from where the user keeps them.

    The models here are so small that a second thread only waits, and on busy cores it waits long.
    """
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("BU_DATA", raising=False)
        yield


@pytest.fixture(scope="session")
def toy() -> Dataset:
    """Four classes of 8x8 images that a few epochs learn: 20 training and 10 test images each."""
    return toy_dataset()


@pytest.fixture(scope="session")
def task(toy: Dataset) -> UnlearningTask:
    """A request to forget class 2 of the toy data, with an original that has learned all four."""
    parts = split(toy, 2, toy.train.images.device)
    initial = build("allcnn", toy.channels, len(toy.classes), 0.1, seed=0)
    original = build("allcnn", toy.channels, len(toy.classes), 0.1, seed=0)
    recorder = Recorder(original, len(toy.classes))
    fit(original, toy.train, TOY_RECIPE, label="original", around_step=recorder.step)
    updates = recorder.updates()
    return UnlearningTask(original, initial, parts, TOY_RECIPE, recorded=lambda window: updates)


@pytest.fixture(scope="module")
def few_steps() -> Iterator[None]:
    """Audits relearn for eight steps instead of a hundred: enough where a test asks what becomes of their numbers."""
    with pytest.MonkeyPatch.context() as patch:
        for name, steps in {"STEPS": (0, 8), "STILL": (0, 4), "LOOKS": (0, 1, 2, 4, 8)}.items():
            patch.setattr(relearning, name, steps)
        yield


# A second run, small and with a name that must reach a page as nothing but text.
BESIDE = """
dataset: digits
title: 'Ann$\\frac$ <svg onload=alert(1)>'
width: 0.1
epochs: 1
seed: 1
methods: [retrain, boundary_shrink]
unlearning: {boundary_shrink: {epochs: 1}}
timing_runs: 1
sample_size: 50
device: cpu
precision: fp32
results_dir: results/beside
"""


def shared_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all processes of a test run have in common."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def smoke_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book, led by the smoke profile with a second run beside it: the folder of its HTML.

    Of two processes that want it one builds it, and the other waits.
    """
    from bu_book.build import build as build_book  # the tests of bu_core run without the book

    folder = shared_folder(tmp_path_factory, "book")
    with FileLock(folder / "building.lock"):
        if (folder / "built").exists():
            return Path((folder / "built").read_text())
        (folder / "beside.yml").write_text(BESIDE)
        given = {"results_dir": str(folder / "results" / "smoke")}
        page = build_book(["smoke", str(folder / "beside.yml")], given, folder, print)
        (folder / "built").write_text(str(page.parent))
    return page.parent


@pytest.fixture(scope="session")
def smoke_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that the tests of single notebooks share."""
    return shared_folder(tmp_path_factory, "smoke-results")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "book: executes notebooks, builds the book or opens it; not in `make quick`")
    config.addinivalue_line("markers", "slow: takes five seconds or more by itself; not in `make quick`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"smoke_book", "smoke_results", "browser"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("book")
