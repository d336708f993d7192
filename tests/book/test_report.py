"""The report: every section with its numbers, what a run lacks named in its place, and not too many pages."""

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import NoReturn

import pytest
from pypdf import PdfReader

from bu_book import report as room
from bu_book.build import link_to_report
from bu_book.chapters import audit, lasting
from bu_book.execution import BuildError
from bu_book.report import MOST_PAGES, as_html, report
from bu_core.audits.ladder import RUNGS
from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import metrics
from bu_core.experiment.record import NotRecorded
from tests.book.browser import installed

# In the order that ReScience C and the ML Reproducibility Challenge ask for.
SECTIONS = ["Scope", "Method", "Results", "What was easy", "What was difficult", "What the paper leaves open"]


def text_of(html: str) -> str:
    """What a page of HTML says, without its figures."""
    body = re.sub(r"<svg.*?</svg>", "", html[html.index("<body>") :], flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def headings(html: str) -> list[str]:
    return re.findall(r"<h2>(?:\d\. )?([^,:<]+)", html)


@pytest.fixture
def small(tmp_path: Path) -> Config:
    smoke = Config.from_profile("smoke", results_dir=str(tmp_path / "results"))
    methods = ("retrain", "random_labels", "boundary_shrink")
    return replace(smoke, methods=methods, elsewhere=(), shadow_models=0, epochs=1)


@pytest.fixture
def _nothing_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of which neither the ladder nor the lasting settings are recorded: both take long to compute."""

    def unrecorded(what: str) -> Callable[[Experiment], NoReturn]:
        def ask(experiment: Experiment) -> NoReturn:
            raise NotRecorded(what)

        return ask

    monkeypatch.setattr(audit, "climbed", unrecorded("<the ladder>"))
    monkeypatch.setattr(lasting, "measure", unrecorded("what lasts"))


@pytest.mark.slow
@pytest.mark.usefixtures("_nothing_lasts")
def test_a_small_run_has_every_section_and_names_what_it_lacks(small: Config):
    experiment = Experiment(small)
    html = as_html(experiment, "a-profile")
    assert headings(html)[: len(SECTIONS)] == SECTIONS
    told = text_of(html)
    for model in ("original", "random_labels", "boundary_shrink"):
        assert f" {metrics(experiment).methods[model].accuracy['remain_test']:.2f} " in told
    assert "84.83" in told  # the paper's, of the original
    assert "paper, CIFAR-10: 5.94 %" in told  # these are digits
    assert "Not recorded: <the ladder>" in told and "Not recorded: what lasts" in told
    assert "make report PROFILE=a-profile" in told


def test_the_readme_has_the_numbers_of_the_record():
    made = lasting.measure(Experiment(Config.from_profile("cifar10")))
    found, readme = lasting.in_one_picture(made), (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert found is not None
    assert "\n".join(f"| {called} | {value:.1f} % |" for called, value in found.items()) in readme
    assert "as a mean over five seeds" in readme and len(made.replicates) == 5
    assert "eight audits" in readme and len(RUNGS) == 8


def test_the_page_on_citing_links_a_report_that_was_made(tmp_path: Path):
    (source := tmp_path / "source").mkdir()
    assert link_to_report(source) == b""
    (tmp_path / "report.pdf").write_bytes(b"a report")
    (target,) = re.findall(r'href="([^"]+)"', link_to_report(source).decode())
    assert (source / target).read_bytes() == b"a report"


def test_without_a_browser_the_html_is_there(small: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bu_book.pdf.NAMES", ("no-such-browser",))
    monkeypatch.setattr(room, "as_html", lambda experiment, profile: "<p>the report</p>")
    with pytest.raises(BuildError, match="no-such-browser"):
        report(small, "smoke", tmp_path / "made", print)
    assert (tmp_path / "made" / "report.html").read_text() == "<p>the report</p>"


@pytest.mark.slow
def test_the_report_on_the_recorded_run_is_complete_and_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = Config.from_profile("cifar10")
    experiment = Experiment(config)
    html = as_html(experiment, "cifar10")
    assert headings(html)[: len(SECTIONS)] == SECTIONS
    assert "Not recorded" not in text_of(html)
    assert html.count("<svg") == 3
    for result in metrics(experiment).methods.values():
        for accuracy in result.accuracy.values():
            assert f">{accuracy:.2f}</td>" in html
    assert all(f"<tr><th>{number}</th>" in html for number in range(1, 15))
    if installed() is None:
        pytest.skip("no Chromium is installed, so no page is counted")
    monkeypatch.setattr(room, "as_html", lambda experiment, profile: html)
    reader = PdfReader(report(config, "cifar10", tmp_path, print))
    assert len(reader.pages) <= MOST_PAGES
    assert "References" in reader.pages[-1].extract_text()
