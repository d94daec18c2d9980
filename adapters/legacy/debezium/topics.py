"""Which topic is what: the table that it carries, the transactions' metadata, heartbeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from toolkit.core.errors import UsageError
from toolkit.ports import CapturedTable
from toolkit.settings import DebeziumSection


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """What each topic is read for. `missing` are tables, or topics that the settings name, which are not there."""

    tables: dict[str, str]
    transactions: str = ""
    heartbeats: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def all(self) -> list[str]:
        """Every topic to read."""
        others = [one for one in (self.transactions, *self.heartbeats) if one]
        return [*self.tables, *(one for one in others if one not in self.tables)]


def roles(section: DebeziumSection, wanted: Sequence[CapturedTable], there: Iterable[str]) -> Roles:
    """Find the topics. Raises UsageError where two topics fit one table by the prefix alone."""
    known = set(there)
    tables = {topic: table.upper() for topic, table in section.topics.items()}
    named = set(tables.values())
    missing = [topic for topic in tables if topic not in known]
    for one in wanted:
        if one.table.upper() in named:
            continue
        found = sorted(topic for topic in known if _fits(topic, section.prefix, one.table))
        if len(found) > 1:
            raise UsageError(
                f"the topics {', '.join(found)} all fit the table {one.table}: "
                "say in [legacy.NAME.debezium.topics] which one is meant"
            )
        if found:
            tables[found[0]] = one.table.upper()
        else:
            missing.append(f"{section.prefix}.*.{one.table}")
    others = [one for one in (section.transactions, *section.heartbeat) if one]
    missing += [topic for topic in others if topic not in known]
    return Roles(
        tables={topic: table for topic, table in tables.items() if topic in known},
        transactions=section.transactions if section.transactions in known else "",
        heartbeats=tuple(topic for topic in section.heartbeat if topic in known),
        missing=tuple(missing),
    )


def _fits(topic: str, prefix: str, table: str) -> bool:
    """`prefix.schema.table` (or `prefix.database.schema.table`) carries `table`, or `schema.table`."""
    if not prefix or not topic.startswith(prefix + "."):
        return False
    parts = topic[len(prefix) + 1 :].upper().split(".")
    wanted = table.upper().split(".")
    return parts[-len(wanted) :] == wanted


def of_ours(collection: str, tables: Iterable[str]) -> bool:
    """Is a collection of data (`schema.table`, as transaction metadata calls it) one of these tables?"""
    parts = collection.upper().split(".")
    return any(parts[-len(names) :] == names for names in (table.split(".") for table in tables))
