"""The sentence templates of a notebook, to be tried on planted numbers without running it."""

import ast
from types import SimpleNamespace

import nbformat

from bu_core.config import PROFILES


def templates(notebook: str) -> SimpleNamespace:
    """What a notebook imports, and the functions and constants (in capitals) that it defines; nothing else is run."""
    cells = nbformat.read(PROFILES.parent / f"{notebook}.ipynb", as_version=4).cells
    statements = [each for cell in cells if cell.cell_type == "code" for each in ast.parse(cell.source).body]
    kept: list[ast.stmt] = [each for each in statements if _is_template(each)]
    names: dict = {}
    exec(compile(ast.Module(kept, []), notebook, "exec"), names)
    return SimpleNamespace(**names)


def _is_template(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Name) and target.id.isupper() for target in statement.targets)
    return isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef))
