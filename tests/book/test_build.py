"""The templates, the notebooks that are executed from them, and the book that these are assembled into."""

import ast
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest

from bu_book import execution
from bu_book.build import (
    ROOT,
    STEPS,
    TEMPLATES,
    all_runs,
    build,
    execute_templates,
    launch_links,
    lines_by_room,
    papermill_command,
    parameters,
)
from bu_book.chapters import CHAPTERS
from bu_book.execution import modules
from bu_core.config import Config
from tests.helpers import refusal

EVERY_TEMPLATE = {path.relative_to(ROOT).as_posix(): path for path in (*TEMPLATES.values(), *STEPS.values())}
FIELDS = {field.name for field in fields(Config)}


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


# --- templates ----------------------------------------------------------------------------------------------------


def test_a_chapter_and_its_template_have_one_name():
    assert set(TEMPLATES) == set(CHAPTERS)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_declares_a_few_parameters_and_assigns_no_other_before_the_page_is_opened(name: str):
    first, *others = code_cells(TEMPLATES[name])
    assert "parameters" in tags(first)
    declared: dict[str, object] = {}
    exec(first.source, declared)
    declared.pop("__builtins__")
    assert {"dataset", "forget_class", "seed"} <= set(declared) <= FIELDS
    assert len(declared) <= 5
    Config.from_mapping(declared)
    opening = next(place for place, cell in enumerate(others) if "Page.open()" in cell.source)
    assigned = {
        node.id
        for cell in others[:opening]
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert not assigned & FIELDS


@pytest.mark.parametrize("name", EVERY_TEMPLATE)
def test_every_figure_has_a_caption_and_an_alternative_text(name: str):
    tree = ast.parse("\n".join(cell.source for cell in code_cells(EVERY_TEMPLATE[name])))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "figure"
    ]
    for call in calls:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        for told in ("caption", "alt"):
            texts = [node.value for node in ast.walk(given[told]) if isinstance(node, ast.Constant)]
            assert len("".join(text for text in texts if isinstance(text, str))) > 20, ast.unparse(call)


def test_a_page_depends_on_its_own_chapter_and_on_those_whose_claims_it_judges():
    def needed(name: str) -> set[str]:
        chapters = ROOT / "bu_book" / "chapters"
        return {path.stem for path in modules(TEMPLATES[name]) if path.parent == chapters} - {"__init__"}

    assert "entropy" in needed("entropy")
    assert "decision_space" not in needed("entropy")
    assert needed("ledger") >= {"utility", "attack_success", "timing", "attention", "decision_space", "entropy"}
    assert {"page.py", "style.py", "measures.py"} <= {path.name for path in modules(TEMPLATES["entropy"])}
    assert "toy.py" not in {path.name for path in modules(TEMPLATES["entropy"])}


def test_launch_links_lead_to_a_template_in_the_repository():
    for link in launch_links(TEMPLATES["entropy"], "https://github.com/owner/name.git", "main").values():
        assert "/owner/name/" in link
        assert TEMPLATES["entropy"].relative_to(ROOT).as_posix() in link


# --- what is refused before any work ------------------------------------------------------------------------------


def test_the_first_profile_leads_and_the_others_stand_beside_it():
    assert parameters(["digits"], {})["beside"] == []
    assert parameters(["digits", "smoke"], {})["beside"] == ["smoke"]
    first, second = all_runs(Config.from_mapping(parameters(["digits", "smoke"], {"seed": 3})))
    assert (first.seed, first.epochs, second.seed, second.epochs) == (3, 30, 0, 2)


def test_a_wrong_parameter_or_profile_is_refused():
    assert "forget_class=12" in refusal(parameters, ["smoke"], {"forget_class": 12})
    assert "did you mean 'smoke'" in refusal(parameters, ["digits", "smok"], {})
    assert "named twice" in refusal(parameters, ["smoke", "smoke"], {})
    assert "named twice" in refusal(parameters, ["smoke", "digits", "digits"], {})


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    said: list[str] = []
    given = {"results_dir": str(tmp_path / "results")}
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "cannot be written" in refusal(build, ["smoke"], given, output, said.append)
    nowhere = {"results_dir": str(tmp_path / "file" / "results")}
    assert "results_dir" in refusal(build, ["smoke"], nowhere, tmp_path / "book", said.append)
    assert said == []


# --- executed notebooks -------------------------------------------------------------------------------------------


@pytest.mark.book
def test_every_notebook_runs_with_another_class_and_seed(tmp_path: Path, smoke_results: Path):
    given = {"results_dir": str(smoke_results), "forget_class": 3, "seed": 1, "elsewhere": [{"forget_class": 0}]}
    for path in execute_templates(["smoke"], given, tmp_path, print):
        cells = code_cells(path)
        shown = " ".join(
            output.get("data", {}).get("text/html", "") for cell in cells for output in cell.get("outputs", [])
        )
        assert re.search(r"parameter forget_class</th>\s*<td[^>]*>3<", shown), path.name
        assert re.search(r"parameter seed</th>\s*<td[^>]*>1<", shown), path.name


@pytest.mark.book
def test_a_notebook_refuses_a_parameter_that_it_does_not_have(tmp_path: Path):
    given = {"forgetclass": 3, "results_dir": str(tmp_path)}
    with pytest.raises(papermill.PapermillExecutionError, match="forgetclass.*did you mean 'forget_class'"):
        papermill.execute_notebook(TEMPLATES["utility"], tmp_path / "out.ipynb", given, progress_bar=False)


@pytest.mark.book
def test_a_notebook_that_fails_is_named_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(broken, tmp_path / "broken.ipynb")
    monkeypatch.setattr(execution, "ROOT", tmp_path)
    run = execution.Run(tmp_path / "broken.ipynb", tmp_path / "out" / "broken.ipynb", {}, "", "", "", folded=False)
    run.target.parent.mkdir()
    with pytest.raises(execution.BuildError, match=r"broken\.ipynb failed.*ZeroDivisionError"):
        execution.execute([run], 1, print)


@pytest.mark.book
def test_a_notebook_is_kept_until_something_that_it_shows_changes(tmp_path: Path, smoke_results: Path):
    def executed(**overrides: object) -> bool:
        said: list[str] = []
        given = {"results_dir": str(smoke_results)} | overrides
        (made,) = execute_templates(["smoke"], given, tmp_path, said.append, ["entropy"])
        assert made == tmp_path / "entropy.ipynb"
        kept = any("kept" in line and "entropy" in line for line in said)
        assert kept != any(line.startswith("entropy: executed") for line in said)
        return not kept

    assert executed()
    assert not executed()
    page = tmp_path / "entropy.ipynb"
    whole = page.read_text()
    page.write_text(whole[: len(whole) // 2])
    assert executed()  # truncated
    edited = json.loads(page.read_text())
    edited["cells"][0]["source"] = ["# Nothing was measured"]
    page.write_text(json.dumps(edited))
    assert executed()
    assert "Nothing was measured" not in page.read_text()
    page.write_text("[]")
    assert executed()  # JSON, and no notebook
    assert executed(forget_class=5)
    (injected,) = (cell for cell in code_cells(page) if "injected-parameters" in tags(cell))
    assert "forget_class = 5" in injected.source.splitlines()  # what is shown is the new one


@pytest.mark.book
def test_the_command_of_a_page_works_with_every_kind_of_override(tmp_path: Path, smoke_results: Path):
    overrides = {"forget_class": 3, "methods": ["retrain", "finetune"], "unlearning": {"finetune": {"epochs": 1}}}
    told = papermill_command(TEMPLATES["entropy"], "smoke", overrides | {"data_dir": str(tmp_path)})
    assert str(tmp_path) not in told
    program, template, out, *rest = shlex.split(told)
    assert (program, out) == ("papermill", "out.ipynb")
    command = [str(Path(sys.executable).with_name("papermill")), template, str(tmp_path / out), *rest]
    where = ["-p", "results_dir", str(smoke_results), "--no-progress-bar"]
    subprocess.run([*command, *where], cwd=ROOT, check=True, capture_output=True)
    (injected,) = (c for c in code_cells(tmp_path / out) if "injected-parameters" in tags(c))
    declared: dict[str, object] = {}
    exec(injected.source, declared)
    assert {name: declared[name] for name in overrides} == overrides


@pytest.fixture
def executing(tmp_path: Path, smoke_results: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """`python -m bu_book notebooks smoke` in a process, and its descendants once a kernel runs."""
    command = [sys.executable, "-m", "bu_book", "notebooks", "smoke", "--output", str(tmp_path / "executed")]
    where = ["-p", "results_dir", str(smoke_results)]
    process = subprocess.Popen(
        [*command, *where],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    descendants: list[psutil.Process] = []
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        descendants = psutil.Process(process.pid).children(recursive=True)
        if any(child.ppid() != process.pid for child in descendants):  # a kernel is forked by the fork server
            time.sleep(1)
            descendants = psutil.Process(process.pid).children(recursive=True)
            break
        time.sleep(0.2)
    assert len(descendants) > 1
    yield process, descendants
    for left in (*descendants, process):
        if left.pid and psutil.pid_exists(left.pid):
            os.kill(left.pid, signal.SIGKILL)


@pytest.mark.book
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_it_leaves_no_process(executing: tuple[subprocess.Popen[str], list[psutil.Process]], how: int):
    process, descendants = executing
    process.send_signal(how)
    told, _ = process.communicate(timeout=10)
    gone, alive = psutil.wait_procs(descendants, timeout=10)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert told.splitlines()[-1] == "stopped; run the same command again to go on"
        assert "Traceback" not in told


# --- the book -----------------------------------------------------------------------------------------------------


def pages(book: Path) -> dict[str, str]:
    """The HTML of the pages of a built book, by path."""
    return {
        page.relative_to(book).as_posix(): page.read_text(encoding="utf-8")
        for page in book.rglob("*.html")
        if "_static" not in page.relative_to(book).parts
    }


def test_the_smoke_book_holds_every_page_once(smoke_book: Path):
    found = set(pages(smoke_book))
    chapters = {f"{name}.html" for name in TEMPLATES} | {f"steps/{name}.html" for name in STEPS}
    prose = {"method.html", "data.html", "rerun.html", "extending.html", "executions.html", "citing.html"}
    assert chapters | prose <= found
    assert len(found) <= 40


def test_every_drawing_of_the_book_has_a_name(smoke_book: Path):
    drawings = 0
    for page, text in pages(smoke_book).items():
        for opening in re.findall(r"<figure[^>]*>\s*(<(?:svg|img)[^>]*>)", text):
            drawings += 1
            label = re.search(r'(?:aria-label|alt)="([^"]*)"', opening)
            assert label, page
            assert len(label.group(1)) > 20, page
    assert drawings > 20


def test_a_run_of_any_name_is_text_on_every_page(smoke_book: Path):
    found = pages(smoke_book)
    for page, text in found.items():
        assert "<svg onload" not in text, page
    assert r"Ann$\frac$ &lt;svg onload=alert(1)&gt;" in found["entropy.html"]


def test_a_result_page_has_its_code_at_the_foot_alone(smoke_book: Path):
    found = pages(smoke_book)
    for name in TEMPLATES:
        article, _, foot = found[f"{name}.html"].partition('id="the-code-of-this-page"')
        assert "cell_input" not in article, name
        assert "Page" in foot, name
    assert "cell_input" in found["steps/boundary.html"]


def test_no_page_tells_where_the_book_was_made(smoke_book: Path):
    here = str(ROOT)
    assert [page for page, text in pages(smoke_book).items() if here in text] == []


@pytest.mark.book
def test_a_second_build_keeps_everything(smoke_book: Path):
    said: list[str] = []
    output = smoke_book.parent.parent
    start = time.monotonic()
    given = {"results_dir": str(output / "results" / "smoke")}
    build(["smoke", str(output / "beside.yml")], given, output, said.append)
    assert time.monotonic() - start < 20
    assert not [line for line in said if ": executed in" in line]
    assert any(line.startswith("the pages: kept") for line in said)


def test_lines_are_counted_by_room_and_code_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bu_core" / "audits").mkdir(parents=True)
    text = '"""What it is for,\nin two lines."""\n\n# why\ndef one() -> int:\n    """One."""\n    return 1  # all\n'
    (tmp_path / "bu_core" / "audits" / "one.py").write_text(text)
    (tmp_path / "bu_core" / "audits" / "two.py").write_text("x = 1\n")
    (tmp_path / "bu_core" / "alone.py").write_text("")
    monkeypatch.setattr("bu_book.build.ROOT", tmp_path)
    assert lines_by_room().splitlines()[3:] == [
        "| `audits/` | 8 | 3 |",
        "| files beside the rooms | 0 | 0 |",
        "| all | 8 | 3 |",
    ]
