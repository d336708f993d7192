"""From templates to a book: papermill executes the notebooks, Jupyter Book assembles them.

A built book is staged under `<output>/_build/source`: the prose chapters, the executed notebooks of each profile in a
folder of its name, the opening page, and the page that reports when, on what and how long each notebook ran. The HTML
lies in `<output>/_build/html`. A notebook that was executed from the same template, code, parameters and data is kept.
Each executed notebook ends with the command that makes it, itself to download, and, once `_config.yml` names the
repository, links that launch its template on Binder and Colab.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import papermill
import torch
import yaml
from joblib import Parallel, delayed

from bu_core.config import Config, described, read_profile
from bu_core.experiment.experiment import Experiment, environment
from bu_core.experiment.record import WHERE_MADE

from .measurements import Measurements

ROOT = Path(__file__).resolve().parent.parent
OPENING = "index"  # the template that becomes the book's first page, executed on its first profile
TEMPLATES = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
# Unless told: the paper's two tasks, recorded, the first with either training, and what is computed in minutes.
SHOWN = ("cifar10", "cifar10-released", "lfw", "digits")
STEPS = {path.stem: path for path in sorted((ROOT / "notebooks" / "steps").glob("*.ipynb"))}  # they need no profile


class BuildError(RuntimeError):
    """Jupyter Book did not build; the message holds its warnings, which count as errors."""


def parameters(profile: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """The parameters that a notebook of this profile is given, checked."""
    given = read_profile(profile) | overrides
    Config.from_mapping(given)
    return given


def execute(
    profile: str, overrides: dict[str, Any], folder: Path, names: Sequence[str], say: Callable[[str], None]
) -> list[Path]:
    """Compute a profile, then execute the named templates on it into `folder`; returns the executed notebooks.

    The computing comes first and in this process, where it shows its progress; the notebooks find it in the store.
    """
    given = parameters(profile, overrides)
    experiment = Experiment(Config.from_mapping(given), say)
    experiment.metrics()
    Measurements(experiment).all()
    folder.mkdir(parents=True, exist_ok=True)
    runs = []
    for name in names:
        again = _again(TEMPLATES[name], profile, overrides, from_record=experiment.record is not None)
        source = _made_from(TEMPLATES[name], given, experiment, again)
        runs.append(_Run(TEMPLATES[name], folder / f"{name}.ipynb", given, source, again, _machine(experiment)))
    _execute(runs, min(os.cpu_count() or 1, len(runs)), say)
    return [run.target for run in runs]


def execute_steps(folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Execute the steps of the method, with their own parameters, into `folder`; returns the executed notebooks."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = environment(torch.device("cpu"), "fp32")
    runs = []
    for name, template in STEPS.items():
        again = _again(template, None, {}, from_record=False)
        source = hashlib.sha256(f"{_code(template)}{again}{_described(facts)}".encode()).hexdigest()
        runs.append(_Run(template, folder / f"{name}.ipynb", {}, source, again, _described(facts)))
    _execute(runs, 1, say)  # one by one: they train, and would be in each other's way
    return [run.target for run in runs]


class _Run(NamedTuple):
    """A notebook to be executed: its template, where it goes, its parameters, a digest of what it is made from, what is
    added at its foot, and the machine that its numbers are from."""

    template: Path
    target: Path
    given: dict[str, Any]
    source: str
    again: str
    machine: str


def _execute(runs: Sequence[_Run], at_once: int, say: Callable[[str], None]) -> None:
    """Execute notebooks, so many at once, each in a process of its own; those are kept that nothing has changed for."""
    wanted = []
    for run in runs:
        if _source_of(run.target) == run.source:
            say(f"{run.template.stem}: kept, nothing that it depends on has changed")
        else:
            wanted.append(run)
    done = Parallel(n_jobs=at_once, return_as="generator")(delayed(_executed)(run) for run in wanted)
    for run, seconds in zip(wanted, done, strict=True):
        say(f"{run.template.stem}: executed in {seconds:.1f} s")


def _executed(run: _Run) -> float:
    """Execute one notebook; returns the seconds that it took."""
    start = time.perf_counter()
    beside = run.target.with_name(f".{run.target.name}")
    papermill.execute_notebook(run.template, beside, parameters=run.given, kernel_name="python3", progress_bar=False)
    notebook = nbformat.read(beside, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tags = cell.metadata.setdefault("tags", [])
            if "injected-parameters" in tags:
                tags.append("remove-input")  # the foot of the page lists every parameter
            elif "remove-input" not in tags:
                tags.append("hide-input")
    notebook.cells.append(nbformat.v4.new_markdown_cell(run.again, id="again"))
    # papermill notes absolute paths, which tell a reader nothing and the world where the author keeps things
    for path in ("input_path", "output_path"):
        del notebook.metadata["papermill"][path]
    notebook.metadata["made_from"] = run.source
    notebook.metadata["made_on"] = run.machine
    nbformat.write(notebook, beside)
    beside.replace(run.target)
    return time.perf_counter() - start


def _again(template: Path, profile: str | None, overrides: dict[str, Any], *, from_record: bool) -> str:
    """The foot of a page: the command that makes it, from the root of the repository, and the notebook."""
    explained = "rerun.md" if template.stem == OPENING else "../rerun.md"
    changed = ["Add `-p NAME VALUE` for another setting.", ""]
    if from_record:
        changed = [
            "Add `-p NAME VALUE` for another setting. What it changes is then not taken from the record: it needs the "
            "data, and computing it may take hours.",
            "",
        ]
    lines = [
        "## Make this page again",
        "",
        "From the root of the repository, in its environment (`source .venv/bin/activate`):",
        "",
        "```bash",
        papermill_command(template, profile, overrides).replace(" -f ", " \\\n    -f ").replace(" -y ", " \\\n    -y "),
        "```",
        "",
        *changed,
        f"To download: {{download}}`this page's notebook <{template.name}>`, with its outputs. "
        f"[Run it again]({explained}) explains every parameter.",
    ]
    repository = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]
    if repository["url"]:
        links = launch_links(template, repository["url"], repository["branch"])
        launch = ", ".join(f"[{service}]({link})" for service, link in links.items())
        lines += [
            "",
            f"To launch the template, with its default parameters: {launch}. On Colab, first run "
            f"`%pip install git+{repository['url']}`.",
        ]
    return "\n".join(lines)


def papermill_command(template: Path, profile: str | None, overrides: dict[str, Any]) -> str:
    """The shell command that executes a template as the book did; without a profile, with the template's parameters.

    Left out is what says where things lie on this machine: it decides no number, and would mean nothing elsewhere.
    """
    words = ["papermill", template.relative_to(ROOT).as_posix(), "out.ipynb"]
    if profile is not None:
        path = Path(profile) if Path(profile).suffix else Path("notebooks/profiles") / f"{profile}.yml"
        words += ["-f", path.name if path.is_absolute() else path.as_posix()]
    for setting, value in overrides.items():
        if setting not in WHERE_MADE:
            words += ["-y", json.dumps({setting: value})]  # JSON is YAML, and keeps the type of every value
    return shlex.join(words)


def launch_links(template: Path, url: str, branch: str) -> dict[str, str]:
    """Where Binder and Colab open a template (an executed page is in no repository); `url`: https://github.com/O/R."""
    place = "/".join(url.rstrip("/").removesuffix(".git").split("/")[-2:])
    path = template.relative_to(ROOT).as_posix()
    return {
        "Binder": f"https://mybinder.org/v2/gh/{place}/{branch}?urlpath=lab/tree/{path}",
        "Colab": f"https://colab.research.google.com/github/{place}/blob/{branch}/{path}",
    }


def _made_from(template: Path, given: dict[str, Any], experiment: Experiment, again: str) -> str:
    """A digest of all that an executed notebook shows: template, code, parameters, data, and what it runs on."""
    total = hashlib.sha256(_code(template).encode())
    for path in sorted(experiment.record.folder.rglob("*")) if experiment.record else ():
        total.update(path.read_bytes() if path.is_file() else b"")
    rest = [given, again, experiment.dataset.fingerprint, _machine(experiment)]
    total.update(json.dumps(rest, sort_keys=True).encode())
    return total.hexdigest()


def _code(template: Path) -> str:
    """A digest of a template and of the package."""
    total = hashlib.sha256(template.read_bytes())
    for path in sorted(path for package in ("bu_core", "bu_book") for path in (ROOT / package).rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()


def _machine(experiment: Experiment) -> str:
    return _described(experiment.environment)


def _described(facts: dict[str, Any]) -> str:
    device = facts["gpu"] or facts["cpu"]
    return f"{device}; Python {facts['python']}, torch {facts['torch']}, {facts['precision']}"


def _source_of(notebook: Path) -> str | None:
    return nbformat.read(notebook, as_version=4).metadata.get("made_from") if notebook.exists() else None


def build(profiles: Sequence[str], overrides: dict[str, Any], output: Path, say: Callable[[str], None]) -> Path:
    """Execute every template on every profile and build the book; returns the path of its first page."""
    output = output.resolve()
    source = output / "_build" / "source"
    chapters = [name for name in TEMPLATES if name != OPENING]
    for profile in profiles:
        parameters(profile, overrides)  # a wrong one is refused before any work on another
    start = time.perf_counter()
    names = [_folder_name(profile) for profile in profiles]
    for profile, name in zip(profiles, names, strict=True):
        say(f"profile {name}")
        execute(profile, overrides, source / name, [*chapters, OPENING], say)
    say("the method, step by step")
    execute_steps(source / "steps", say)
    executed = time.perf_counter()
    runs = "\n".join(
        f"  - [{name}]({name}/utility.ipynb): {described(profile)}"
        for profile, name in zip(profiles, names, strict=True)
    )
    _stage(source, names, chapters, runs)
    _jupyter_book(source, output)
    page = output / "_build" / "html" / "index.html"
    say(f"computed and executed in {executed - start:.1f} s, built in {time.perf_counter() - executed:.1f} s")
    say(f"the book: {page}")
    return page


def _folder_name(profile: str) -> str:
    return Path(profile).stem


def _stage(source: Path, names: Sequence[str], chapters: Sequence[str], runs: str) -> None:
    """Put the prose, the opening page, the report and the table of contents beside the executed notebooks.

    `runs`: the list of all runs, for the opening page.
    """
    for path in (ROOT / "book").iterdir():
        if path.name == "_static":
            shutil.copytree(path, source / path.name, dirs_exist_ok=True)
        elif path.is_file():
            shutil.copy(path, source)
    opening = nbformat.read(source / names[0] / f"{OPENING}.ipynb", as_version=4)
    for cell in opening.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("{profile}", names[0]).replace("{runs}", runs)
        for output in cell.get("outputs", ()):
            if "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = output.data["text/markdown"].replace("{profile}", names[0])
    nbformat.write(opening, source / f"{OPENING}.ipynb")
    (source / "executions.md").write_text(_report(source, names, chapters))
    contents = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    parts = []
    for part in contents["parts"]:
        for name in names if "{profile}" in part["caption"] else names[:1]:
            parts.append(json.loads(json.dumps(part).replace("{profile}", name)))
    (source / "_toc.yml").write_text(yaml.safe_dump(contents | {"parts": parts}, sort_keys=False))


def _report(source: Path, names: Sequence[str], chapters: Sequence[str]) -> str:
    """The page that says of each notebook when, how long and with which command it was executed."""
    lines = [
        "# When and where each notebook ran",
        "",
        "Each chapter with results is a notebook that papermill executed. What it shows was computed before: the "
        "seconds here are those of the notebook alone, and how long the models took stands in the chapters. The "
        "parameters, the machine and commit that made each model, and the command are at each chapter's foot.",
    ]
    parts = [(f"Results on {name}", name, chapters) for name in names]
    for title, name, listed in [*parts, ("The method, step by step", "steps", list(STEPS))]:
        found = {
            chapter: nbformat.read(source / name / f"{chapter}.ipynb", as_version=4).metadata for chapter in listed
        }
        (machine,) = {metadata["made_on"] for metadata in found.values()}
        lines += ["", f"## {title}", "", f"On: {machine}.", ""]
        lines += ["| notebook | executed (UTC) | seconds |", "|---|---|---|"]
        for chapter, metadata in found.items():
            run = metadata["papermill"]
            lines.append(
                f"| [{chapter}]({name}/{chapter}.ipynb) | {run['start_time'][:16].replace('T', ' ')} "
                f"| {run['duration']:.1f} |"
            )
    return "\n".join(lines) + "\n"


def _jupyter_book(source: Path, output: Path) -> None:
    program = Path(sys.executable).with_name("jupyter-book")
    strict = ("-W", "-n", "--keep-going")  # warnings are errors, a reference to nothing is a warning, name them all
    command = [program, "build", source, "--config", ROOT / "_config.yml", "--path-output", output, *strict]
    log = output / "_build" / "sphinx.log"
    with log.open("w") as file:
        result = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if result.returncode:
        lines = log.read_text().splitlines()
        causes = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-20:]
        raise BuildError("\n".join(["the book could not be built:", *causes, f"the whole log: {log}"]))
