"""Which events the rules for a legacy table can give, read from their code: what a parked change of it is missing from."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping

from toolkit.core.events import Catalogue
from toolkit.core.translators import Translators
from toolkit.loops.code import code_behind, resolve


def events_of(table: str, translators: Translators, catalogue: Catalogue) -> frozenset[str] | None:
    """Names of the events that the rules for a table mention, themselves or through what they call.

    None when nobody can say: a rule whose code mentions none, or cannot be read, may give any.
    """
    names = {kind.cls: name for name, kind in catalogue.types.items()}
    found: set[str] = set()
    for rule in translators.rules:
        if table not in rule.tables:
            continue
        mentioned = {names[one] for one in _mentioned(rule.function) if one in names}
        if not mentioned:
            return None
        found |= mentioned
    return frozenset(found) or None


def concerns(
    table: str, translators: Translators | None, catalogue: Catalogue, handled: Collection[str]
) -> bool:
    """May a change of the table become one of these events? True when nobody can say."""
    events = None if translators is None or not handled else events_of(table, translators, catalogue)
    return events is None or not events.isdisjoint(handled)


def _mentioned(function: object) -> Iterator[type]:
    """Classes that the code behind a function names, also those in the tables that it looks into."""
    if not callable(function):
        return
    for code in code_behind([function]):
        for node in ast.walk(code.tree):
            if isinstance(node, ast.Name | ast.Attribute):
                yield from _classes(resolve(code.function, node, object))


def _classes(value: object) -> Iterator[type]:
    if isinstance(value, type):
        yield value
    elif isinstance(value, Mapping):
        yield from (one for one in value.values() if isinstance(one, type))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (one for one in value if isinstance(one, type))
