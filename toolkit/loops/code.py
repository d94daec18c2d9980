"""Which code belongs to a projection, an upcaster or a mapping: functions, what they call, what they look into."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from toolkit.core.projections import Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One function of the user's, with its source."""

    function: types.FunctionType
    tree: ast.FunctionDef | ast.Lambda
    text: str
    file: str
    line: int


def code_of(definition: Definition) -> list[Code]:
    """The handlers, and the functions of the project that they call, each once, in order of first use."""
    return code_behind([one.function for one in definition.handlers.values()], definition.row_class)


def code_behind(functions: Iterable[Callable[..., Any]], row_class: type = object) -> list[Code]:
    """The functions, and those of the same project that they call, each once, in order of first use."""
    waiting: list[Callable[..., Any]] = list(functions)
    found: dict[types.CodeType, Code] = {}
    while waiting:
        function = inspect.unwrap(waiting.pop(0))
        if not isinstance(function, types.FunctionType) or function.__code__ in found:
            continue
        code = _code(function)
        if code is not None:
            found[function.__code__] = code
            waiting.extend(_called(row_class, code))
    return list(found.values())


def _code(function: types.FunctionType) -> Code | None:
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return None
    text = textwrap.dedent("".join(lines))
    try:
        body = ast.parse(text).body[0]
    except SyntaxError:
        return None
    tree: ast.FunctionDef | ast.Lambda | None = None
    if isinstance(body, ast.FunctionDef):
        body.decorator_list = []  # run when the module is loaded, not with the event
        tree = body
    if tree is None:
        tree = next((node for node in ast.walk(body) if isinstance(node, ast.Lambda)), None)
    file = inspect.getsourcefile(function) or "?"
    return None if tree is None else Code(function=function, tree=tree, text=text, file=file, line=first)


def _called(row_class: type, code: Code) -> Iterator[types.FunctionType]:
    """Functions of the user's own modules that this one mentions, methods of the row class included."""
    owner = code.function if row_class is object else row_class
    package = owner.__module__.split(".")[0]
    for node in ast.walk(code.tree):
        value = resolve(code.function, node, row_class)
        if isinstance(value, types.MethodType):
            value = value.__func__
        if isinstance(value, property):
            value = value.fget
        if isinstance(value, types.FunctionType) and value.__module__.split(".")[0] == package:
            yield value


NOTHING = object()


def resolve(function: types.FunctionType, node: ast.AST, row_class: type) -> object:
    """The object that a name or a dotted name stands for; a marker when that depends on the arguments."""
    if isinstance(node, ast.Name):
        return _resolve_name(function, node.id)
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == _first_argument(function):
            return inspect.getattr_static(row_class, node.attr, NOTHING)
        owner = resolve(function, node.value, row_class)
        # Only what is known to have no behaviour on being looked at: modules and classes.
        if isinstance(owner, (types.ModuleType, type)):
            return getattr(owner, node.attr, NOTHING)
    return NOTHING


def _first_argument(function: types.FunctionType) -> str:
    names = function.__code__.co_varnames
    return names[0] if function.__code__.co_argcount and names[0] == "self" else ""


def _resolve_name(function: types.FunctionType, name: str) -> object:
    code = function.__code__
    if name in code.co_varnames or name in code.co_cellvars:
        return NOTHING
    if name in code.co_freevars:
        cell = (function.__closure__ or ())[code.co_freevars.index(name)]
        try:
            return cell.cell_contents
        except ValueError:
            return NOTHING
    return function.__globals__.get(name, getattr(builtins, name, NOTHING))


def short(file: str) -> str:
    """A file as people name it from where they are."""
    path = Path(file)
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def source_of(function: Callable[..., Any]) -> str:
    """The text of a function; where there is none, its compiled form."""
    function = inspect.unwrap(function)
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return code.co_code.hex() if code is not None else repr(function)


def data_of(row_class: type, code: Code) -> dict[str, str]:
    """The constants of modules that a function looks into (code tables), as text: they decide as much as the code."""
    found = {}
    for node in ast.walk(code.tree):
        value = resolve(code.function, node, row_class)
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(
            value, (Mapping, list, tuple, set, frozenset, str, int)
        ):
            try:
                found[ast.unparse(node)] = msgspec.json.encode(value, order="sorted").decode()
            except (TypeError, ValueError, msgspec.MsgspecError):
                continue
    return found
