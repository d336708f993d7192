"""The notebooks through papermill, and the book that they are assembled into."""

import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

from bu_book.build import TEMPLATES, execute, launch_links, papermill_command, parameters
from bu_core.config import Config, profiles
from tests.helpers import refusal

SMOKE = "notebooks/profiles/smoke.yml"


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_every_section_that_the_plan_names_has_a_template():
    assert {"index", "utility"} <= set(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_declares_exactly_the_parameters_of_a_config(name: str):
    first = code_cells(TEMPLATES[name])[0]
    assert "parameters" in first.metadata["tags"]
    declared = {}
    exec(first.source, declared)
    declared.pop("__builtins__")
    assert list(declared) == [field.name for field in fields(Config)]
    Config.from_mapping(declared)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_figure_of_a_template_has_a_caption_and_an_alternative_text(name: str):
    drawing = [
        cell for cell in code_cells(TEMPLATES[name]) if re.search(r"^figures\.\w+\(metrics\);$", cell.source, re.M)
    ]
    for cell in drawing:
        assert len(cell.metadata["mystnb"]["figure"]["caption"]) > 20
        assert len(cell.metadata["mystnb"]["image"]["alt"]) > 20


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_notebook_runs_alone_with_another_class_and_seed(name: str, tmp_path: Path, smoke_results: Path):
    given = yaml.safe_load(Path(SMOKE).read_text())
    given |= {"results_dir": str(smoke_results), "forget_class": 3, "seed": 1}
    executed = papermill.execute_notebook(TEMPLATES[name], tmp_path / "out.ipynb", given, progress_bar=False)
    shown = " ".join(
        output.get("data", {}).get("text/html", "") for cell in executed.cells for output in cell.get("outputs", [])
    )
    assert re.search(r"parameter forget_class</th>\s*<td[^>]*>3<", shown)
    assert re.search(r"parameter seed</th>\s*<td[^>]*>1<", shown)


def test_a_notebook_refuses_a_parameter_that_it_does_not_have(tmp_path: Path):
    given = {"forgetclass": 3, "results_dir": str(tmp_path)}
    with pytest.raises(papermill.PapermillExecutionError, match="forgetclass.*did you mean 'forget_class'"):
        papermill.execute_notebook(TEMPLATES["utility"], tmp_path / "out.ipynb", given, progress_bar=False)


def test_a_wrong_parameter_is_refused_before_any_notebook_runs():
    assert "forget_class=12" in refusal(parameters, "smoke", {"forget_class": 12})


def test_a_notebook_is_kept_until_something_that_it_shows_changes(tmp_path: Path, smoke_results: Path):
    def run(**overrides: object) -> list[str]:
        said: list[str] = []
        given = {"results_dir": str(smoke_results)} | overrides
        execute("smoke", given, tmp_path, ["utility"], said.append)
        return [line for line in said if line.startswith("utility")]

    assert "executed" in run()[0]
    assert "kept" in run()[0]
    assert "executed" in run(forget_class=5)[0]
    cells = code_cells(tmp_path / "utility.ipynb")
    (injected,) = (cell for cell in cells if "injected-parameters" in cell.metadata["tags"])
    assert "forget_class = 5" in injected.source.splitlines()  # what is shown is the new one


def test_the_command_of_a_page_works_with_every_kind_of_override(tmp_path: Path, smoke_results: Path):
    overrides = {"forget_class": 3, "methods": ["retrain", "finetune"], "unlearning": {"finetune": {"epochs": 1}}}
    told = papermill_command(TEMPLATES["entropy"], "smoke", overrides | {"data_dir": str(tmp_path)})
    assert str(tmp_path) not in told
    program, template, out, *rest = shlex.split(told)
    assert (program, out) == ("papermill", "out.ipynb")
    command = [str(Path(sys.executable).with_name("papermill")), template, str(tmp_path / out), *rest]
    where = ["-p", "results_dir", str(smoke_results), "--no-progress-bar"]
    subprocess.run([*command, *where], cwd=TEMPLATES["entropy"].parent.parent, check=True, capture_output=True)
    (injected,) = (c for c in code_cells(tmp_path / out) if "injected-parameters" in c.metadata["tags"])
    declared = {}
    exec(injected.source, declared)
    assert {name: declared[name] for name in overrides} == overrides


def test_launch_links_lead_to_a_template_in_the_repository():
    for link in launch_links(TEMPLATES["entropy"], "https://github.com/owner/name.git", "main").values():
        assert "/owner/name/" in link
        assert TEMPLATES["entropy"].relative_to(TEMPLATES["entropy"].parent.parent).as_posix() in link


def test_the_smoke_book_holds_every_page(smoke_book: Path):
    pages = {page.relative_to(smoke_book).as_posix() for page in smoke_book.rglob("*.html")}
    chapters = {f"smoke/{name}.html" for name in TEMPLATES if name != "index"}
    assert {"index.html", "method.html", "data.html", "rerun.html", "executions.html"} | chapters <= pages


def test_the_opening_page_leads_to_each_run(smoke_book: Path):
    page = (smoke_book / "index.html").read_text()
    assert 'href="smoke/utility.html"' in page
    assert profiles()["smoke"] in page


def test_no_page_tells_where_the_book_was_made(smoke_book: Path):
    here = str(Path(__file__).resolve().parents[2])
    telling = [page for page in smoke_book.rglob("*.html") if here in page.read_text(errors="ignore")]
    assert telling == []
