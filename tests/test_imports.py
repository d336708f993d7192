"""Imports go one way: from the book to what computes, in bu_core from room to room, and nowhere in a circle."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("bu_core", "bu_book")
    for path in sorted((ROOT / package).rglob("*.py"))
}

# The rooms of bu_core from the ground up; a room imports from its own floor and from those below.
FLOORS = (
    {"checks", "results"},
    {"store", "measures"},
    {"data"},
    {"models", "precision"},
    {"training"},
    {"unlearning", "attacks", "audits"},
    {"config"},
    {"experiment"},
    {"command_line"},
    {"commands"},
    {"__main__"},
)

# What a bare GPU machine lacks: it has torch, torchvision, numpy, scikit-learn, safetensors, filelock, tqdm and PyYAML.
LACKING = (
    "matplotlib", "seaborn", "pandas", "papermill", "jupyter_book", "pytorch_grad_cam", "nbformat", "IPython", "click",
    "platformdirs",
)  # fmt: skip


def imported(module: str) -> Iterator[str]:
    """Our modules that a module imports, also inside its functions; what is for type hints alone does not count."""
    tree = ast.parse(MODULES[module].read_text())
    hints = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    skipped = {id(inner) for node in hints for inner in ast.walk(node)}
    package = module.split(".") if MODULES[module].name == "__init__.py" else module.split(".")[:-1]
    for node in (node for node in ast.walk(tree) if id(node) not in skipped):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield from (name for name in ([inner] if inner in MODULES else [source]) if name in MODULES)


def test_what_computes_does_not_import_the_book():
    core = [name for name in MODULES if name.startswith("bu_core")]
    assert [(name, other) for name in core for other in imported(name) if other.startswith("bu_book")] == []


def test_no_room_imports_from_a_floor_above():
    floor_of = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
    inside = [name for name in MODULES if name.startswith("bu_core.")]
    assert {name.split(".")[1] for name in inside} == set(floor_of), "each room has its floor"
    upwards = [
        f"{name} imports {other}"
        for name in inside
        for other in imported(name)
        if other != "bu_core" and floor_of[other.split(".")[1]] > floor_of[name.split(".")[1]]
    ]
    assert upwards == []


@pytest.mark.parametrize("package", ["bu_core", "bu_book"])
def test_no_imports_go_in_a_circle(package: str):
    graph = {name: set(imported(name)) - {name} for name in MODULES if name.startswith(package)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_what_computes_and_the_benchmark_need_nothing_that_a_bare_gpu_machine_lacks():
    alone = ["bu_book.bench", *(name for name in MODULES if name.startswith("bu_book.measured"))]
    assert not [name for one in alone for name in imported(one) if name.startswith("bu_book") and name not in alone]
    names = [name for name in MODULES if name.startswith(("bu_core", "bu_book.measured"))]
    code = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({LACKING}))\n"
        f"for name in {names}: importlib.import_module(name)\n"
        "print('all is imported')\n"
        "from bu_book import __main__, bench\n"
        "def nothing(folder, say): sys.exit(7)\n"
        "bench.bench = nothing\n"
        "__main__.main(['bench', '--output', '.'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "all is imported\n", done.stderr
    assert done.returncode == 7, done.stderr
