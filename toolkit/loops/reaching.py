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


class Reach:
    """Which events the rules for the tables of all sources can give: the code of each table's rules is read once."""

    def __init__(self, translators: Mapping[str, Translators], catalogue: Catalogue) -> None:
        self._translators, self._catalogue = translators, catalogue
        self._known: dict[tuple[str, str], frozenset[str] | None] = {}

    def of(self, source: str, table: str) -> frozenset[str] | None:
        """Names of the events; None when nobody can say."""
        if (source, table) not in self._known:
            rules = self._translators.get(source)
            told = None if rules is None else events_of(table, rules, self._catalogue)
            self._known[source, table] = told
        return self._known[source, table]

    def concerns(self, source: str, table: str, handled: Collection[str]) -> bool:
        """May a change of the table become one of these events? True when nobody can say."""
        events = self.of(source, table) if handled else None
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
