"""The linter of prose: our banned terms, and proselint with the checks that suit a technical book.

    python .ci/prose.py FILE...

It reads Markdown, the docstrings of Python files, and the Markdown cells of notebooks and the strings of their code.
The terms, each with what to write instead, and the checks stand in pyproject.toml under `tool.prose`. Code, formulas,
links' targets and HTML are not prose. Prints `file:line: what is wrong`, and exits with 1 where anything is.
"""

import ast
import json
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["prose"]
TERMS = {
    re.compile(rf"(?<!\w)(?:{term})".replace(" ", r"\s+"), re.IGNORECASE): better
    for term, better in SETTINGS["terms"].items()
}

# What is no prose: fenced and inline code, comments and tags of HTML, formulas, links' targets, roles, addresses.
NO_PROSE = re.compile(
    r"^[ >]*(?P<fence>```+|~~~+|:::+).*?^[ >]*(?P=fence)[ ]*$"
    r"|(?P<tick>`+)(?!`).*?(?<!`)(?P=tick)(?!`)"
    r"|\$\$.*?\$\$|\$[^$\n]+\$|<[^>\n]*>|(?<=\])\([^)\s]*\)|\{[\w:+-]+\}|https?://\S+",
    re.MULTILINE | re.DOTALL,
)


def prose_of(markdown: str) -> str:
    """The prose of a text in Markdown; what is none becomes dots, so that every line keeps its number."""
    prose = NO_PROSE.sub(lambda found: re.sub(r"\S", "·", found.group()), markdown)
    return re.sub(r"(?<=\w)\n(?=\s*\n)", ".\n", prose)  # a heading does not run on into its text


def sentences(code: str) -> Iterator[tuple[int, str]]:
    """The strings of some code that are no single word, each with its line; what is put into one is a dot."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(each) for each in node.values}
            text = "".join(each.value if isinstance(each, ast.Constant) else "·" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            text = node.value
        else:
            continue
        if " " in text.strip():
            yield node.lineno, text


def docstrings(code: str) -> Iterator[tuple[int, str]]:
    """The docstrings of some code, each with its line."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and (text := ast.get_docstring(node, clean=False)):
                yield first.lineno, text


def placed(found: Iterable[tuple[int, str]]) -> str:
    """Strings in one text, each on the line that it has in its code."""
    lines: defaultdict[int, str] = defaultdict(str)
    for first, text in found:
        for number, line in enumerate(text.split("\n"), first):
            lines[number] += line + ("" if "\n" in text else ". ")
    return "\n".join(lines[number] for number in range(1, max(lines, default=0) + 1))


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """The texts of a file, and what the lines of each are called."""
    whole = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        for number, cell in enumerate(json.loads(whole)["cells"], 1):
            source = "".join(cell["source"])
            text = source if cell["cell_type"] == "markdown" else placed(sentences(source))
            yield f"{path}, cell {number}", text
    else:
        yield str(path), placed(docstrings(whole)) if path.suffix == ".py" else whole


def faults(text: str) -> Iterator[tuple[int, str]]:
    """What is wrong with a text, by the number of its line."""
    from proselint.config import DEFAULT
    from proselint.tools import LintFile

    prose = prose_of(text)
    for term, better in TERMS.items():
        for found in term.finditer(prose):
            yield 1 + prose.count("\n", 0, found.start()), f'"{" ".join(found.group().split())}": {better}'
    if not prose.strip():
        return
    for fault in LintFile("text", prose).lint(DEFAULT | {"checks": SETTINGS["proselint"]}):
        message = " ".join(fault.check_result.message.split())
        yield fault.pos[0], f"{message} ({fault.check_result.check_path})"


def main(files: list[str]) -> int:
    from proselint.checks import __register__
    from proselint.registry import CheckRegistry

    CheckRegistry().register_many(__register__)
    found = [
        f"{called}:{line}: {fault}"
        for file in files
        for called, text in texts(Path(file))
        for line, fault in sorted(faults(text))
    ]
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
