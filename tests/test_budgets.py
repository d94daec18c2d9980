"""What fits on a screen can be understood: bounds on the size of functions and files."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("toolkit", "adapters", "shadow", "migrations")
FUNCTION_LINES = 40
FILE_LINES = 500

# "path" or "path:function" -> why it is clearer whole than cut in two.
EXCEPTIONS: dict[str, str] = {}

FILES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement to the last; the signature and the docstring are free."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not body:
        return 0
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1


def functions(source: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, body_lines(node)


def excesses(path: Path) -> Iterator[tuple[str, str]]:
    """What is too long in a file: the name it has in EXCEPTIONS, and what to say about it."""
    source = path.read_text()
    name = path.relative_to(REPOSITORY).as_posix()
    if (lines := source.count("\n")) > FILE_LINES:
        yield name, f"{name} has {lines} lines (at most {FILE_LINES})"
    for function, lines in functions(source):
        if lines > FUNCTION_LINES:
            yield (
                f"{name}:{function}",
                f"{name}: the body of {function} has {lines} lines (at most {FUNCTION_LINES})",
            )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_sizes_stay_within_budget(path: Path) -> None:
    assert [told for name, told in excesses(path) if name not in EXCEPTIONS] == []


def test_every_exception_is_still_needed_and_has_a_reason() -> None:
    too_long = {name for path in FILES for name, _ in excesses(path)}
    assert all(EXCEPTIONS.values())
    assert set(EXCEPTIONS) <= too_long


def test_signature_and_docstring_do_not_count() -> None:
    source = 'def f(\n    a,\n    b,\n):\n    """One.\n\n    Two.\n    """\n    x = 1\n\n    return x\n'
    assert list(functions(source)) == [("f", 3)]
    assert list(functions('def g():\n    """Only words."""\n')) == [("g", 0)]
