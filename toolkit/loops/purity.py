"""A static look at a projection's handlers: is each a pure function of (row, event) (R5)?

Names are resolved as the handler would resolve them, so an alias hides nothing; helper functions of the project
that a handler calls are looked at, too. What cannot be seen here, `verify` sees at run time.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from toolkit.core.errors import Fault
from toolkit.core.projections import Definition

CLOCK = (
    "it may be another instant when the event is applied again: take the time from the envelope or the event"
)
RANDOM = "it is another value each time: derive it from the event's id"
OUTSIDE = "what is outside of row and event may be another one the next time: let the event carry it"
FLOAT = "binary fractions are not exact, and sums depend on their order: use Decimal('...')"
SET = "a set has no order that stays: sorted(...) it"
STATE = "it remembers what a replay does not have: keep it in the row"
HASH = "it is another number in each process: use the value itself"

MODULES: Mapping[str, str] = {
    "time": CLOCK,
    "random": RANDOM,
    "secrets": RANDOM,
    **dict.fromkeys(
        [
            "os",
            "posix",
            "nt",
            "io",
            "pathlib",
            "tempfile",
            "shutil",
            "glob",
            "socket",
            "ssl",
            "select",
            "subprocess",
            "multiprocessing",
            "threading",
            "asyncio",
            "http",
            "urllib",
            "ftplib",
            "smtplib",
            "sqlite3",
            "logging",
            "requests",
            "httpx",
            "aiohttp",
            "urllib3",
            "boto3",
            "redis",
            "sqlalchemy",
            "psycopg",
            "psycopg2",
            "pymysql",
            "MySQLdb",
            "confluent_kafka",
            "locale",
            "platform",
            "getpass",
            "sys",
        ],
        OUTSIDE,
    ),
}
METHODS: Mapping[tuple[str, str], str] = {
    ("datetime", "now"): CLOCK,
    ("datetime", "utcnow"): CLOCK,
    ("datetime", "today"): CLOCK,
    ("date", "today"): CLOCK,
    ("uuid", "uuid1"): RANDOM,
    ("uuid", "uuid4"): RANDOM,
    ("uuid", "getnode"): OUTSIDE,
}
BUILTINS: Mapping[str, str] = {
    **dict.fromkeys(
        ("open", "input", "print", "eval", "exec", "compile", "__import__", "globals", "vars"), OUTSIDE
    ),
    "hash": HASH,
    "id": HASH,
    "float": FLOAT,
}
_LOCAL_TIME = "without a time zone it is the machine's: name one"
_MUTATORS = frozenset(
    [
        "append",
        "extend",
        "insert",
        "remove",
        "pop",
        "popitem",
        "clear",
        "update",
        "setdefault",
        "add",
        "discard",
        "sort",
        "reverse",
        "__setitem__",
    ]
)
_ORDERING = frozenset(
    ("list", "tuple", "iter", "next", "enumerate", "map", "filter", "zip", "reduce", "join")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One function of the user's, with its source."""

    function: types.FunctionType
    tree: ast.FunctionDef | ast.Lambda
    text: str
    file: str
    line: int


def impurities(definition: Definition) -> list[Fault]:
    """What in a projection's handlers is not a pure function of (row, event): where, what, and what to do instead."""
    found: list[Fault] = []
    for code in code_of(definition):
        found.extend(_Look(definition, code).findings())
    return sorted(
        found, key=lambda fault: (fault.where.rsplit(":", 1)[0], int(fault.where.rsplit(":", 1)[1]))
    )


# --- which code belongs to a projection


def code_of(definition: Definition) -> list[Code]:
    """The handlers, and the functions of the project that they call, each once, in order of first use."""
    waiting: list[Callable[..., Any]] = [handler.function for handler in definition.handlers.values()]
    found: dict[types.CodeType, Code] = {}
    while waiting:
        function = inspect.unwrap(waiting.pop(0))
        if not isinstance(function, types.FunctionType) or function.__code__ in found:
            continue
        code = _code(function)
        if code is not None:
            found[function.__code__] = code
            waiting.extend(_called(definition, code))
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
    tree: ast.FunctionDef | ast.Lambda | None = body if isinstance(body, ast.FunctionDef) else None
    if tree is None:
        tree = next((node for node in ast.walk(body) if isinstance(node, ast.Lambda)), None)
    file = inspect.getsourcefile(function) or "?"
    return None if tree is None else Code(function=function, tree=tree, text=text, file=file, line=first)


def _called(definition: Definition, code: Code) -> Iterator[types.FunctionType]:
    """Functions of the user's own modules that this one mentions, methods of the row class included."""
    package = definition.row_class.__module__.split(".")[0]
    for node in ast.walk(code.tree):
        value = resolve(code.function, node, definition.row_class)
        if isinstance(value, types.MethodType):
            value = value.__func__
        if isinstance(value, property):
            value = value.fget
        if isinstance(value, types.FunctionType) and value.__module__.split(".")[0] == package:
            yield value


_NOTHING = object()


def resolve(function: types.FunctionType, node: ast.AST, row_class: type) -> object:
    """The object that a name or a dotted name stands for; a marker when that depends on the arguments."""
    if isinstance(node, ast.Name):
        return _resolve_name(function, node.id)
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == _first_argument(function):
            return inspect.getattr_static(row_class, node.attr, _NOTHING)
        owner = resolve(function, node.value, row_class)
        # Only what is known to have no behaviour on being looked at: modules and classes.
        if isinstance(owner, (types.ModuleType, type)):
            return getattr(owner, node.attr, _NOTHING)
    return _NOTHING


def _first_argument(function: types.FunctionType) -> str:
    names = function.__code__.co_varnames
    return names[0] if function.__code__.co_argcount and names[0] == "self" else ""


def _resolve_name(function: types.FunctionType, name: str) -> object:
    code = function.__code__
    if name in code.co_varnames or name in code.co_cellvars:
        return _NOTHING
    if name in code.co_freevars:
        cell = (function.__closure__ or ())[code.co_freevars.index(name)]
        try:
            return cell.cell_contents
        except ValueError:
            return _NOTHING
    return function.__globals__.get(name, getattr(builtins, name, _NOTHING))


# --- what is wrong with it


class _Look(ast.NodeVisitor):
    """Walks one function."""

    def __init__(self, definition: Definition, code: Code) -> None:
        self._row_class, self._code = definition.row_class, code
        self._sets = {name for name, value in _assigned(code.tree) if self._is_set(value, frozenset())}
        self._found: list[Fault] = []

    def findings(self) -> list[Fault]:
        """Look, and say what was seen."""
        body = self._code.tree.body
        for node in body if isinstance(body, list) else [body]:
            self.visit(node)
        for default in [*self._code.tree.args.defaults, *self._code.tree.args.kw_defaults]:
            if isinstance(default, (ast.List, ast.Dict, ast.Set)):
                self._say(default, "a default that all calls share", STATE)
        return self._found

    def _say(self, node: ast.AST, what: str, instead: str) -> None:
        line = self._code.line + getattr(node, "lineno", 1) - 1
        fault = Fault(where=f"{short(self._code.file)}:{line}", what=what, next=instead)
        if fault not in self._found:
            self._found.append(fault)

    def _resolve(self, node: ast.AST) -> object:
        return resolve(self._code.function, node, self._row_class)

    # names and calls

    def visit_Name(self, node: ast.Name) -> None:
        self._judge(node, self._resolve(node))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._judge(node, self._resolve(node)):
            self.generic_visit(node)

    def _judge(self, node: ast.AST, value: object) -> bool:
        """Say it if the object is one that a pure function has no use for."""
        reason = reason_against(value)
        if reason:
            self._say(node, ast.unparse(node), reason)
        return bool(reason)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name in ("astimezone", "fromtimestamp") and len(node.args) + len(node.keywords) <= (
            name == "fromtimestamp"
        ):
            self._say(node, f"{name} in local time", _LOCAL_TIME)
        if name in _MUTATORS and isinstance(called, ast.Attribute) and self._outer(called.value):
            self._say(node, f"{ast.unparse(called)} changes what outlives the call", STATE)
        if name in _ORDERING and any(self._is_set(argument, self._sets) for argument in node.args):
            self._say(node, f"{name}(...) over a set", SET)
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.split(".")[0] in MODULES:
                self._say(node, ast.unparse(node), MODULES[alias.name.split(".")[0]])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        root = (node.module or "").split(".")[0]
        for alias in node.names:
            reason = MODULES.get(root) or METHODS.get((root, alias.name))
            if reason and not node.level:
                self._say(node, ast.unparse(node), reason)

    # numbers, sets, state

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, float):
            self._say(node, f"the float {node.value}", FLOAT)

    def visit_For(self, node: ast.For) -> None:
        self._ordered(node.iter)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._ordered(*(one.iter for one in node.generators))
        self.generic_visit(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._ordered(*(one.iter for one in node.generators))
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        self.generic_visit(node)

    def visit_List(self, node: ast.List) -> None:
        self._ordered(*(one.value for one in node.elts if isinstance(one, ast.Starred)))
        self.generic_visit(node)

    def _ordered(self, *iterated: ast.expr) -> None:
        for node in iterated:
            if self._is_set(node, self._sets):
                self._say(node, f"the order of the set {ast.unparse(node)}", SET)

    def _is_set(self, node: ast.AST, names: set[str] | frozenset[str]) -> bool:
        if isinstance(node, (ast.Set, ast.SetComp)):
            return True
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)):
            return self._is_set(node.left, names) or self._is_set(node.right, names)
        if isinstance(node, ast.Call):
            return self._resolve(node.func) in (set, frozenset)
        if isinstance(node, ast.Name) and node.id in names:
            return True
        return isinstance(self._resolve(node), (set, frozenset))

    def visit_Global(self, node: ast.Global) -> None:
        self._say(node, ast.unparse(node), STATE)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self._say(node, ast.unparse(node), STATE)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._written(*node.targets)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._written(node.target)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        self._written(*node.targets)
        self.generic_visit(node)

    def _written(self, *targets: ast.expr) -> None:
        for target in targets:
            if isinstance(target, (ast.Attribute, ast.Subscript)) and self._outer(target.value):
                self._say(target, f"{ast.unparse(target)} is set and outlives the call", STATE)

    def _outer(self, node: ast.AST) -> bool:
        """Does the expression begin at a name of the module (or of an enclosing function)?"""
        while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
            if isinstance(node, ast.Call):
                return False
            node = node.value
        return isinstance(node, ast.Name) and self._resolve(node) is not _NOTHING


def _assigned(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))


def reason_against(value: object) -> str:
    """Why a pure function has no use for this object; empty when it may have."""
    if isinstance(value, types.ModuleType):
        return ""  # what is taken from it decides
    name = getattr(value, "__name__", "")
    owner = getattr(value, "__self__", None)
    module = _home(value)
    if module == "builtins" and name in BUILTINS and getattr(builtins, name, None) is value:
        return BUILTINS[name]
    if isinstance(owner, type):
        for base in owner.__mro__:
            reason = METHODS.get((base.__name__, name))
            if reason and base.__module__ == "datetime":
                return reason
    return METHODS.get((module, name)) or MODULES.get(module, "")


def _home(value: object) -> str:
    """The top-level module that an object comes from; of an instance, its class's."""
    owner = getattr(value, "__self__", None)
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) and owner is not None:
        module = getattr(owner, "__name__" if isinstance(owner, types.ModuleType) else "__module__", None)
    if not isinstance(module, str):
        module = type(value).__module__
    root = module.split(".")[0]
    return {"_io": "io", "_socket": "socket", "_random": "random", "_thread": "threading"}.get(root, root)


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


def data_of(definition: Definition, code: Code) -> dict[str, str]:
    """The constants of modules that a function looks into (code tables), as text: they decide as much as the code."""
    found = {}
    for node in ast.walk(code.tree):
        value = resolve(code.function, node, definition.row_class)
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(
            value, (Mapping, list, tuple, set, frozenset, str, int)
        ):
            try:
                found[ast.unparse(node)] = msgspec.json.encode(value, order="sorted").decode()
            except (TypeError, ValueError, msgspec.MsgspecError):
                continue
    return found
