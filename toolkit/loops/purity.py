"""A static look at a projection's handlers: is each a pure function of (row, event) (R5)?

Names are resolved as the handler would resolve them, so an alias hides nothing; helper functions of the project
that a handler calls are looked at, too, and so are upcasters and mappings. What cannot be seen here, `verify` sees at
run time.
"""

from __future__ import annotations

import ast
import re
import types
import typing

from toolkit.core.errors import Fault
from toolkit.core.events import EventType
from toolkit.core.projections import Definition
from toolkit.loops.code import NOTHING, Code, code_behind, code_of, resolve, short
from toolkit.loops.forbidden import (
    FLOAT,
    LOCALE,
    METHODS,
    MODULES,
    QUIET_MODULES,
    SET,
    STATE,
    home,
    reason_against,
)
from toolkit.loops.unordered import Unordered

_LOCAL_TIME = "without a time zone it is the machine's: name one"
_NOTHING_DONE = "its body is not run when it is called: let it set the row's columns itself"
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
_LOCALE_WORDS = re.compile(r"%[-_0^#]?[aAbBcpxX]")


def impurities(definition: Definition) -> list[Fault]:
    """What in a projection's handlers is not a pure function of (row, event): where, what, and what to do instead."""
    return _found(code_of(definition), definition.row_class)


def impure_steps(kind: EventType) -> list[Fault]:
    """The same of an event type's upcasters and mappings."""
    functions = [*kind.upcasters.values(), *(one.function for one in kind.maps.values())]
    return _found(code_behind(functions), object)


def _found(codes: list[Code], row_class: type) -> list[Fault]:
    found = [fault for code in codes for fault in _Look(row_class, code).findings()]
    return sorted(
        found, key=lambda fault: (fault.where.rsplit(":", 1)[0], int(fault.where.rsplit(":", 1)[1]))
    )


class _Look(ast.NodeVisitor):
    """Walks one function."""

    def __init__(self, row_class: type, code: Code) -> None:
        self._row_class, self._code = row_class, code
        definition: Definition | None = getattr(row_class, "definition", None)
        self._columns = {column.name for column in definition.columns} if definition else set()
        self._hints = _hints(code.function)
        handlers = definition.handlers.values() if definition else ()
        self._handles = any(one.function is code.function for one in handlers)
        self._unordered = Unordered(code, self._resolve)
        self._found: list[Fault] = []

    def findings(self) -> list[Fault]:
        """Look, and say what was seen."""
        body = self._code.tree.body
        for node in body if isinstance(body, list) else [body]:
            self.visit(node)
        for default in [*self._code.tree.args.defaults, *self._code.tree.args.kw_defaults]:
            if isinstance(default, (ast.List, ast.Dict, ast.Set)):
                self._say(default, "a default that all calls share", STATE)
            elif default is not None:
                self.visit(default)
        for place, what in self._unordered.findings():
            self._say(place, what, SET)
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
        value = self._resolve(node)
        if isinstance(value, types.ModuleType):
            root = value.__name__.split(".")[0]
            if reason := MODULES.get(root) or QUIET_MODULES.get(root):
                self._say(node, f"the module {ast.unparse(node)}", reason)
        else:
            self._judge(node, value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if self._judge(node, self._resolve(node)):
            return
        if not isinstance(self._resolve(node.value), types.ModuleType):  # what is taken from it was judged
            self.generic_visit(node)

    def _judge(self, node: ast.AST, value: object) -> bool:
        """Say it if the object is one that a pure function has no use for."""
        reason = reason_against(value)
        if not reason and callable(value):
            reason = QUIET_MODULES.get(home(value), "")
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
        if name in ("next", "setattr", "delattr") and node.args and self._outer(node.args[0]):
            self._say(node, f"{ast.unparse(node)} changes what outlives the call", STATE)
        if name in ("strftime", "strptime", "format") and any(map(_says_words, node.args)):
            self._say(node, f"{name} with names of days or months", LOCALE)
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            root = alias.name.split(".")[0]
            if reason := MODULES.get(root) or QUIET_MODULES.get(root):
                self._say(node, ast.unparse(node), reason)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        root = (node.module or "").split(".")[0]
        for alias in node.names:
            reason = MODULES.get(root) or QUIET_MODULES.get(root) or METHODS.get((root, alias.name))
            if reason and not node.level:
                self._say(node, ast.unparse(node), reason)

    # numbers, words

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, float):
            self._say(node, f"the float {node.value}", FLOAT)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div) and self._whole(node.left) and self._whole(node.right):
            self._say(node, f"{ast.unparse(node)}, a fraction of whole numbers", FLOAT)
        self.generic_visit(node)

    def _whole(self, node: ast.expr) -> bool:
        """Is it a whole number, for all that can be seen?"""
        if isinstance(node, ast.Constant):
            return type(node.value) is int
        if isinstance(node, ast.Call):
            return self._resolve(node.func) in (int, len)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            of = self._row_class if node.value.id == "self" else self._hints.get(node.value.id)
            return isinstance(of, type) and _hints(of).get(node.attr) is int
        return False

    def visit_FormattedValue(self, node: ast.FormattedValue) -> None:
        spec = node.format_spec
        if isinstance(spec, ast.JoinedStr) and any(map(_says_words, spec.values)):
            self._say(node, "a format with names of days or months", LOCALE)
        self.generic_visit(node)

    # state

    def visit_Global(self, node: ast.Global) -> None:
        self._say(node, ast.unparse(node), STATE)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self._say(node, ast.unparse(node), STATE)

    def visit_Yield(self, node: ast.Yield) -> None:
        if self._handles:
            self._say(node, "a function that yields", _NOTHING_DONE)
        self.generic_visit(node)

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
        """Does the expression begin at a name of the module (or of an enclosing function), or at the row's class?"""
        while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
            if isinstance(node, ast.Call):
                return self._resolve(node.func) is type
            if isinstance(node, ast.Attribute) and self._of_class(node):
                return True
            node = node.value
        return isinstance(node, ast.Name) and self._resolve(node) is not NOTHING

    def _of_class(self, node: ast.Attribute) -> bool:
        """Is it something that all rows share: `self.__class__`, or an attribute of the class that is no column?"""
        if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            return False
        if node.attr == "__class__":
            return True
        return node.attr not in self._columns and self._resolve(node) is not NOTHING


def _says_words(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and bool(_LOCALE_WORDS.search(node.value))
    )


def _hints(of: object) -> dict[str, object]:
    try:
        return typing.get_type_hints(of)
    except (NameError, TypeError, AttributeError):
        return {}
