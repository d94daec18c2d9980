"""A capability as tests like to have it: small, with what is given changed."""

import datetime as dt
from typing import Any

from shadow.normalise import Rules, compile_rules
from toolkit.core.columns import Column, ColumnType
from toolkit.core.freshness import ReadClass
from toolkit.settings import CapabilitySection, CompareRule

CAPABILITY = "portal-policy"


def section(**changes: Any) -> CapabilitySection:
    values: dict[str, Any] = {
        "projection": "customer_policy",
        "legacy_sql": "legacy.sql",
        "read_sql": "read.sql",
        "keys_sql": "keys.sql",
        "key": ["policy_no"],
        "read_class": ReadClass.OPERATIONAL,
    }
    return CapabilitySection(**values | changes)


def rules(
    columns: tuple[Column, ...] = (), rows: tuple[str, ...] = (), redact: tuple[str, ...] = (), **compare: Any
) -> Rules:
    """Rules of a capability with these compare rules: `rules(status={"legacy": "STAT_CD"})`."""
    declared = {name: CompareRule(**rule) for name, rule in compare.items()}
    made = section(compare=declared, rows=list(rows), redact=list(redact))
    return compile_rules(CAPABILITY, made, columns)


def column(name: str, kind: ColumnType, *vocabulary: str) -> Column:
    return Column(name=name, type=kind, nullable=True, vocabulary=vocabulary)


def naive(text: str) -> dt.datetime:
    """An instant without a zone, as legacy databases have them."""
    return dt.datetime.fromisoformat(text)
