"""From templates to a book: the notebooks are executed once, with the lead profile, and Jupyter Book assembles them.

A built book is staged under `<output>/_build/source`: the prose, the executed notebooks beside it, those of the steps
in `steps/`, and the page that reports when, on what and how long each notebook ran. The HTML lies in
`<output>/_build/html`. Each executed notebook ends with the code of the page, the command that makes it, itself to
download, and, once `_config.yml` names the repository, links that launch its template on Binder and Colab.
"""

import ast
import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from bu_core.checks import SettingError, path_of, shown
from bu_core.config import Config, read_profile
from bu_core.data import DATASETS
from bu_core.experiment.environment import environment
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import write_metrics
from bu_core.experiment.record import WHERE_MADE, NotRecorded, Record

from . import BuildError, chapters, slides
from .execution import Run, execute, in_child, is_current, made_from, template_code
from .page import run_title
from .replicates import beside

ROOT = Path(__file__).resolve().parent.parent
LEAD = "cifar10"  # unless told; its profile names the runs that stand beside it
TEMPLATES = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
STEPS = {path.stem: path for path in sorted((ROOT / "notebooks" / "steps").glob("*.ipynb"))}  # they need no profile


# --- which runs ---------------------------------------------------------------------------------------------------


def parameters(profiles: Sequence[str], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that the notebooks are given, checked: those of the first profile, with the others beside it.

    Without a profile those of LEAD, whose own `beside` names the others.
    """
    lead, *others = profiles or [LEAD]
    given = {**read_profile(lead), **({"beside": others} if profiles else {}), **overrides}
    config = Config.from_mapping(given)
    names = [Path(name).stem for name in (lead, *config.beside)]
    for name in names:
        if names.count(name) > 1:
            raise SettingError(f"profile={shown(name)}: is named twice")
    for name in config.beside:
        beside(config, name)  # a wrong one is refused before any work on another
    return given


def all_runs(config: Config) -> list[Config]:
    """The configs of a page's runs, its own first."""
    return [config, *(beside(config, profile) for profile in config.beside)]


# --- executing ----------------------------------------------------------------------------------------------------


def execute_templates(
    profiles: Sequence[str],
    overrides: Mapping[str, Any],
    folder: Path,
    say: Callable[[str], None],
    names: Iterable[str] = TEMPLATES,
) -> list[Path]:
    """Compute what the named templates show of each run, and execute them into `folder`; returns what was executed.

    The computing comes first and in this process, where it shows its progress; the notebooks find it in the store. What
    nothing has changed for is left alone.
    """
    given = parameters(profiles, overrides)
    config = Config.from_mapping(given)
    writable(folder)
    lead = (profiles or [LEAD])[0]
    command = {name: value for name, value in given.items() if name in overrides or (name == "beside" and profiles)}
    stores, record = _Stores(folder / ".stores.json"), Record.find(config)
    machine = in_words(record.environment if record else Experiment(config).environment)
    feet = {name: _foot(TEMPLATES[name], lead, command, from_record=record is not None) for name in names}

    def runs() -> list[Run]:
        facts = [_facts(run, stores) for run in all_runs(config)]
        made = []
        for name, foot in feet.items():
            source = made_from(TEMPLATES[name], [given, foot, facts, machine])
            made.append(Run(TEMPLATES[name], folder / f"{name}.ipynb", given, foot, source, machine, folded=False))
        return made

    if wanted := [run.template.stem for run in runs() if not is_current(run)]:
        _compute(all_runs(config), wanted, say)
        stores.renew(Path(run.results_dir) for run in all_runs(config))
    asked = runs()
    execute(_changed(asked, say), torch.get_num_threads(), say)
    return [run.target for run in asked]


def execute_steps(folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Execute the steps of the method, with their own parameters, into `folder`; returns the executed notebooks."""
    writable(folder)
    machine = in_words(environment(torch.device("cpu"), "fp32"))
    runs = []
    for name, template in STEPS.items():
        foot = _foot(template, None, {}, from_record=False)
        source = made_from(template, [foot, machine])
        runs.append(Run(template, folder / f"{name}.ipynb", {}, foot, source, machine, folded=True))
    execute(_changed(runs, say), 1, say)
    return [run.target for run in runs]


def _changed(runs: Sequence[Run], say: Callable[[str], None]) -> list[Run]:
    """Those runs that have to be executed; of the others it is said that they are kept."""
    wanted = [run for run in runs if not is_current(run)]
    if kept := [run.template.stem for run in runs if run not in wanted]:
        say(f"kept, since nothing they depend on has changed: {', '.join(kept)}")
    return wanted


def _compute(configs: Sequence[Config], names: Sequence[str], say: Callable[[str], None]) -> None:
    """Compute what the named pages show of every run, as far as it is not recorded; leaves `metrics.json` as well."""
    experiments = [Experiment(config, say) for config in configs]  # all settings are checked before any work
    loaded = chapters.load()
    measures = [loaded[name].measure for name in names if hasattr(loaded.get(name), "measure")]
    for experiment in experiments:
        say(f"run {run_title(experiment.config)}: {'recorded' if experiment.record else 'computed here'}")
        for measure in (write_metrics, *measures):
            with contextlib.suppress(NotRecorded):  # the page says so
                measure(experiment)


class _Stores:
    """What the runs' stores held when the pages were made from them, in a file of JSON: name, size and time of change.

    A file that was added since changes no page, and one that was replaced does: it may hold another time.
    """

    def __init__(self, file: Path):
        self._file = file
        try:
            self._known: dict[str, dict[str, list[int]]] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def held(self, results: Path) -> dict[str, list[int]]:
        """What is known of a run's store, where that is still so, or else what it holds now."""
        now, known = listing(results / "store"), self._known.get(str(results), {})
        return known if known.items() <= now.items() else now

    def renew(self, results: Iterable[Path]) -> None:
        """Know what the stores hold now, where that is not known or has changed."""
        for folder in results:
            self._known[str(folder)] = self.held(folder) or listing(folder / "store")
        self._file.write_text(json.dumps(self._known), encoding="utf-8")


def listing(folder: Path) -> dict[str, list[int]]:
    """Size and time of change of each file of a folder, by name; no hidden ones."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        files = {entry.name: entry.stat() for entry in entries if entry.is_file() and not entry.name.startswith(".")}
    return {name: [files[name].st_size, files[name].st_mtime_ns] for name in sorted(files)}


def _facts(config: Config, stores: _Stores) -> list[Any]:
    """All that the results of a run depend on, beside the code."""
    facts: list[Any] = [config.as_dict(), stores.held(Path(config.results_dir))]
    if config.replicates and (repeats := Record.find(Config.from_profile(config.replicates))):
        facts.append(repeats.content["checksum"])
    if record := Record.find(config):
        return [*facts, record.content["checksum"], listing(record.store)]
    if not DATASETS[config.dataset].embedded:
        facts.append(Experiment(config).dataset.fingerprint)
    return facts


def in_words(facts: Mapping[str, Any]) -> str:
    """A machine in one line."""
    device = facts["gpu"] or facts["cpu"]
    return f"{device}; Python {facts['python']}, torch {facts['torch']}, {facts['precision']}"


# --- the foot of a page -------------------------------------------------------------------------------------------


def _foot(template: Path, profile: str | None, changed: Mapping[str, Any], *, from_record: bool) -> str:
    """The foot of a page: its code, the command that makes it from the root of the repository, and the notebook."""
    recorded = " What it changes is then not taken from the record: it needs the data, and computing it may take hours."
    command = papermill_command(template, profile, changed)
    for option in (" -f ", " -y "):
        command = command.replace(option, f" \\\n   {option}")
    code: list[str] = []
    if profile is not None:  # a step has its code between the paragraphs
        cells = (f"```python\n{source}\n```" for source in template_code(template))
        code = _folded("The code of this page", *cells)
    again = [
        "From the root of the repository, in its environment (`source .venv/bin/activate`):",
        f"```bash\n{command}\n```",
        f"Add `-p NAME VALUE` for another setting.{recorded if from_record else ''}",
        f"To download: {{download}}`this page's notebook <{template.name}>`, with its outputs. "
        f"[Run it again]({'' if profile else '../'}rerun.md) explains every parameter.",
    ]
    repository = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]
    if repository["url"]:
        links = launch_links(template, repository["url"], repository["branch"])
        launch = ", ".join(f"[{service}]({link})" for service, link in links.items())
        again.append(
            f"To launch the template, with its default parameters: {launch}. On Colab, first run "
            f"`%pip install git+{repository['url']}`."
        )
    return "\n\n".join([*code, *_folded("Make this page again", *again)])


def _folded(summary: str, *inside: str) -> list[str]:
    """Markdown that folds out: in the book, and in Jupyter."""
    name = summary.lower().replace(" ", "-")
    return [f'<details class="foot" id="{name}">\n<summary>{summary}</summary>', *inside, "</details>"]


def papermill_command(template: Path, profile: str | None, changed: Mapping[str, Any]) -> str:
    """The shell command that executes a template as the book did; without a profile, with the template's parameters.

    Left out is what says where things lie on this machine: it decides no number, and would mean nothing on another.
    """
    words = ["papermill", template.relative_to(ROOT).as_posix(), "out.ipynb"]
    if profile is not None:
        path = Path(profile) if Path(profile).suffix else Path("notebooks/profiles") / f"{profile}.yml"
        words += ["-f", path.name if path.is_absolute() else path.as_posix()]
    for setting, value in changed.items():
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


# --- the book -----------------------------------------------------------------------------------------------------


def build(profiles: Sequence[str], overrides: Mapping[str, Any], output: Path, say: Callable[[str], None]) -> Path:
    """Execute every template and build the book; returns the path of its first page."""
    output = path_of("--output", output).resolve()
    made = output / "_build"
    for folder in (output, made, made / "source", made / "source" / "steps", made / "html"):
        writable(folder)
    config = Config.from_mapping(parameters(profiles, overrides))
    for run in all_runs(config):
        writable(Path(run.results_dir), "results_dir")
    start = time.perf_counter()
    execute_templates(profiles, overrides, made / "source", say)
    execute_steps(made / "source" / "steps", say)
    executed = time.perf_counter()
    pages = _stage(made / "source", made / "_config.yml", profiles, config)
    _jupyter_book(made, pages, say)
    page = made / "html" / "index.html"
    say(f"computed and executed in {executed - start:.1f} s, built in {time.perf_counter() - executed:.1f} s")
    say(f"the book: {page}")
    return page


def writable(folder: Path, setting: str = "--output") -> None:
    """Make a folder. Raises SettingError where that, or a file in it, cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingError(f"{setting}={shown(str(folder))}: cannot be written ({reason})") from error


def _stage(source: Path, settings: Path, profiles: Sequence[str], config: Config) -> list[str]:
    """Put the prose, the report, the contents and the settings beside the executed notebooks; returns the pages' names.

    A file that is there already, with the same content, is not touched, so that its page is not built again.
    """
    for path in (ROOT / "book").iterdir():
        if path.name == "_static":
            for file in path.iterdir():
                _write(source / path.name / file.name, file.read_bytes())
        elif path.is_file():
            added = {"citing.md": lambda: link_to_report(source), "building.md": lambda: lines_by_room().encode()}
            _write(source / path.name, path.read_bytes() + added.get(path.name, bytes)())
    for name, talk in slides.made(source).items():
        _write(source / "_static" / name, talk.encode())
    _write(source / "executions.md", _report(source).encode())
    shown_settings = yaml.safe_load((ROOT / "_config.yml").read_text())
    if profiles and not config.beside:
        shown_settings["title"] += f". On {run_title(config)} alone"
    _write(settings, yaml.safe_dump(shown_settings, sort_keys=False, allow_unicode=True).encode())
    contents = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    return [contents["root"], *(page["file"] for part in contents["parts"] for page in part["chapters"])]


def link_to_report(source: Path) -> bytes:
    """A link to the replication report, staged, where `make report` has made one for this book; else nothing."""
    made = source.parent / "report.pdf"
    if not made.is_file():
        return b""
    _write(source / "_static" / made.name, made.read_bytes())
    return b'\n<a href="_static/report.pdf">The replication report, as PDF</a>\n'


def lines_by_room() -> str:
    """How many lines each room of `bu_core` has, and how many of them are code, as a table in Markdown."""
    lines, code = Counter[str](), Counter[str]()
    for path in (ROOT / "bu_core").rglob("*.py"):
        room, *inside = path.relative_to(ROOT / "bu_core").parts
        room = f"`{room}/`" if inside else "files beside the rooms"
        text = path.read_text(encoding="utf-8")
        lines[room] += len(text.splitlines())
        code[room] += _code_lines(text)
    rows = [f"| {room} | {count:,} | {code[room]:,} |" for room, count in lines.most_common()]
    rows.append(f"| all | {lines.total():,} | {code.total():,} |")
    return "\n".join(["", "| room of `bu_core` | lines | of these, code |", "|---|---:|---:|", *rows, ""])


def _code_lines(text: str) -> int:
    """The lines of a Python file that are neither empty nor a comment, and in no docstring."""
    told = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            told |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    numbered = enumerate(map(str.strip, text.splitlines()), start=1)
    return sum(bool(line) and not line.startswith("#") and number not in told for number, line in numbered)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)


def _report(source: Path) -> str:
    """The page that says of each notebook when, on what and how long it was executed."""
    lines = [
        "# When and where each notebook ran",
        "",
        "Each page with results is a notebook that papermill executed. What it shows was computed before: the seconds "
        "here are those of the notebook alone, and how long the models took stands in the chapters. The parameters, "
        "the machine and commit that made each model, and the command are at each page's foot.",
    ]
    listed = {"Results": {name: f"{name}.ipynb" for name in chapters.CHAPTERS if name in TEMPLATES}}
    listed["The method, step by step"] = {name: f"steps/{name}.ipynb" for name in STEPS}
    for title, files in listed.items():
        facts = {name: json.loads((source / file).read_text(encoding="utf-8")) for name, file in files.items()}
        made_on = sorted({notebook["metadata"]["made_on"] for notebook in facts.values()})
        lines += ["", f"## {title}", "", f"On: {'; '.join(made_on)}.", ""]
        lines += ["| notebook | executed (UTC) | seconds |", "|---|---|---|"]
        for name, notebook in facts.items():
            run = notebook["metadata"]["papermill"]
            when = run["start_time"][:16].replace("T", " ")
            lines.append(f"| [{name}]({files[name]}) | {when} | {run['duration']:.1f} |")
    return "\n".join(lines) + "\n"


def _jupyter_book(made: Path, pages: Sequence[str], say: Callable[[str], None]) -> None:
    """Build the HTML, where anything that it is made from has changed. Raises BuildError."""
    from importlib.metadata import version

    html, stamp, log = made / "html", made / ".built_from", made / "sphinx.log"
    files = [made / "_config.yml", *sorted(path for path in (made / "source").rglob("*") if path.is_file())]
    facts = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    source = hashlib.sha256(json.dumps([facts, version("jupyter-book"), version("sphinx")]).encode()).hexdigest()
    there = all((html / f"{page}.html").is_file() for page in pages)
    if there and stamp.is_file() and stamp.read_text() == source:
        say("the pages: kept, since nothing has changed")
        return
    stamp.unlink(missing_ok=True)
    for page in html.rglob("*.html"):
        if page.relative_to(html).with_suffix("").as_posix() not in pages:
            page.unlink()  # of an earlier book
    if in_child(_sphinx, made, log=log):
        shutil.rmtree(made / ".doctrees", ignore_errors=True)  # else the next build would neither read nor warn again
        lines = re.sub(r"\x1b\[[\d;]*m", "", log.read_text(encoding="utf-8")).splitlines()  # without colours
        causes = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-20:]
        raise BuildError("\n".join(["the book could not be built:", *causes, f"the whole log: {log}"]))
    stamp.write_text(source)


def _sphinx(made: Path) -> None:
    """Jupyter Book, as its command line does it."""
    from jupyter_book.cli.main import main

    strict = ("-W", "-n", "--keep-going")  # warnings are errors, a reference to nothing is a warning, name them all
    where = ("--config", str(made / "_config.yml"), "--path-output", str(made.parent))
    main(["build", str(made / "source"), *where, *strict])
