"""The linter of prose: what it finds in planted faults, where, and what it takes for no prose."""

import json
import subprocess
import sys
from pathlib import Path

LINTER = Path(__file__).resolve().parents[1] / ".ci" / "prose.py"


def lint(path: Path, text: str) -> list[str]:
    """What the linter says of a file with this text, a line for each fault."""
    path.write_text(text, encoding="utf-8")
    told = subprocess.run([sys.executable, LINTER, path], capture_output=True, text=True, check=False)
    assert told.returncode == bool(told.stdout), told.stderr
    return [line.removeprefix(str(path)) for line in told.stdout.splitlines()]


def test_it_finds_our_terms_over_a_line_break_and_a_word_that_is_there_twice(tmp_path: Path):
    first, second = lint(tmp_path / "page.md", "# A page\n\nThe the class comes\nback as\nreleased.\n")
    assert first.startswith(":3: ") and "lexical_illusions" in first
    assert second == ':4: "as released": as in the released code'


def test_code_formulas_and_targets_are_no_prose(tmp_path: Path):
    page = "`elsewhere`, $elsewhere$, [a page](elsewhere.md)\n\n```yaml\nelsewhere: [1]\n```\n\n# A class\n\nA class.\n"
    assert lint(tmp_path / "page.md", page) == []


def test_of_python_it_reads_docstrings(tmp_path: Path):
    code = '"""A file."""\n\n\ndef f(elsewhere):\n    """Look\n\n    elsewhere.\n    """\n    return "as released"\n'
    (fault,) = lint(tmp_path / "code.py", code)
    assert fault.startswith(":7: ")


def test_of_a_notebook_it_reads_the_text_and_the_sentences_in_code(tmp_path: Path):
    cells = [
        {"cell_type": "markdown", "source": ["Fine.\n", "As released."]},
        {"cell_type": "code", "source": ["n = 1\n", 'f"{n} models" f" {n} as released"\n', "elsewhere = 1\n"]},
    ]
    found = lint(tmp_path / "page.ipynb", json.dumps({"cells": cells}))
    assert [fault.split(": ")[0] for fault in found] == [", cell 1:2", ", cell 2:2"]
