"""Where a function's outcome takes the order of a set: another one in each process, so that no two replays are alike."""

from __future__ import annotations

import ast
import typing
from collections.abc import Callable, Iterator

from toolkit.loops.code import Code

_ORDERING = frozenset(
    [
        "list",
        "tuple",
        "iter",
        "next",
        "enumerate",
        "map",
        "filter",
        "zip",
        "reduce",
        "join",
        "str",
        "repr",
        "format",
        "fromkeys",
        "deque",
        "chain",
        "islice",
    ]
)
"""Functions whose outcome follows the order of what they are given."""
_INDIFFERENT = frozenset(["sorted", "set", "frozenset", "min", "max", "any", "all", "len", "Counter"])
"""Functions that do not care for it."""
_ALGEBRA = frozenset(["union", "intersection", "difference", "symmetric_difference"])
_SETS = (set, frozenset)


class Unordered:
    """Looks at one function."""

    def __init__(self, code: Code, resolve: Callable[[ast.AST], object]) -> None:
        self._tree, self._resolve = code.tree, resolve
        self._excused: set[int] = set()
        self._names: set[str] = set()
        for name, value in _assigned(code.tree):
            if self._is_set(value):
                self._names.add(name)

    def findings(self) -> Iterator[tuple[ast.AST, str]]:
        """Every place, with what was seen there."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call) and _name(node) in _INDIFFERENT:
                self._excused.update(id(argument) for argument in node.args)
        for node in ast.walk(self._tree):
            if id(node) not in self._excused:
                yield from self._at(node)

    def _at(self, node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
        if isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, (ast.ListComp, ast.DictComp)):
            yield from self._ordered(*(one.iter for one in node.generators))
        elif isinstance(node, ast.For):
            yield from self._ordered(node.iter)
        elif isinstance(node, ast.Starred):
            if isinstance(node.ctx, ast.Load) and not self._in_a_set(node):
                yield from self._ordered(node.value)
        elif isinstance(node, ast.FormattedValue) or (
            isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Tuple, ast.List))
        ):
            yield from self._ordered(node.value)

    def _call(self, node: ast.Call) -> Iterator[tuple[ast.AST, str]]:
        name = _name(node)
        if name in _ORDERING and any(map(self._follows, node.args)):
            yield node, f"{name}(...) over a set"
        if name == "pop" and isinstance(node.func, ast.Attribute) and self._is_set(node.func.value):
            yield node, f"{ast.unparse(node)}, any element of a set"

    def _follows(self, node: ast.expr) -> bool:
        if isinstance(node, ast.GeneratorExp):
            return any(self._is_set(one.iter) for one in node.generators)
        return self._is_set(node)

    def _ordered(self, *iterated: ast.expr) -> Iterator[tuple[ast.AST, str]]:
        for node in iterated:
            if self._is_set(node):
                yield node, f"the order of the set {ast.unparse(node)}"

    def _in_a_set(self, starred: ast.Starred) -> bool:
        """`{*a, *b}` asks for no order, nor does `max(*a)`."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Set) and starred in node.elts:
                return True
            if isinstance(node, ast.Call) and starred in node.args:
                return _name(node) in _INDIFFERENT | _ALGEBRA
        return False

    def _is_set(self, node: ast.AST) -> bool:
        if isinstance(node, (ast.Set, ast.SetComp)):
            return True
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)):
            return any(self._is_set(one) or _is_keys(one) for one in (node.left, node.right))
        if isinstance(node, ast.Call):
            return self._gives_a_set(node)
        if isinstance(node, ast.Name) and node.id in self._names:
            return True
        return isinstance(self._resolve(node), _SETS)

    def _gives_a_set(self, node: ast.Call) -> bool:
        called = self._resolve(node.func)
        if called in _SETS:
            return True
        if isinstance(node.func, ast.Attribute) and node.func.attr in _ALGEBRA:
            return self._is_set(node.func.value)
        try:
            hint = typing.get_type_hints(called).get("return")
        except (NameError, TypeError, AttributeError):
            return False
        return (typing.get_origin(hint) or hint) in _SETS


def _is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys"


def _name(node: ast.Call) -> str:
    called = node.func
    return called.attr if isinstance(called, ast.Attribute) else str(getattr(called, "id", ""))


def _assigned(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
