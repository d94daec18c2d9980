"""Names in Python and in the business's words, made from names in a database."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection

_STORAGE = ("row", "record", "table", "column", "field", "entity", "db", "database")
"""Words of storage: an event may not be called after them (`toolkit.core.events.storage_names`)."""
_PREFIXES, _SUFFIXES = ("tbl", "t"), ("tbl", "t", "table")
# What a class of events or projections could not be called by without hiding what its annotations or its base need.
_TAKEN = frozenset(
    (
        "acl",
        "bool",
        "business",
        "codes",
        "definition",
        "dict",
        "dt",
        "e",
        "int",
        "list",
        "object",
        "on",
        "self",
        "str",
        "as_row",
        "v",
    )
)
_LONGEST = 48
"""Of a projection: its table has the version in its name besides."""


def words(name: str) -> list[str]:
    """`CUST_MASTER`, `custMaster` and `cust-master` are the words cust, master."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unicodedata.normalize("NFKC", name))
    spelled = "".join(char if f"_{char}".isidentifier() else "_" for char in parted)
    found = [word.lower() for word in spelled.split("_") if word]
    return found or ["unnamed"]


def field_name(name: str) -> str:
    """A name that a field of an event and a column of a read model may have."""
    made = "_".join(words(name))
    if made[0].isdigit():
        made = f"n_{made}"
    if keyword.iskeyword(made) or keyword.issoftkeyword(made) or made in _TAKEN:
        made = f"{made}_"
    return made


def noun(table: str) -> str:
    """What one row of the table is, as a class is called: `order_items` holds an `OrderItem`."""
    bare = table.rsplit(".", 1)[-1]
    parts = words(bare)
    if len(parts) > 1 and parts[0] in _PREFIXES:
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] in _SUFFIXES:
        parts = parts[:-1]
    parts = [*parts[:-1], singular(parts[-1])]
    made = "".join(part.capitalize() for part in _without_storage(parts))
    made = made if made[0].isalpha() else f"N{made}"
    while len(snake(made)) > _LONGEST:
        made = made[:-1]
    return made


def _without_storage(parts: list[str]) -> list[str]:
    """Join a word of storage to its neighbour, so that it is not one of its own: `MedicalRecord`, `Medicalrecord`."""
    joined: list[str] = []
    for part in parts:
        if joined and (part in _STORAGE or joined[-1] in _STORAGE):
            joined[-1] += part
        else:
            joined.append(part)
    return [f"{part}s" if part in _STORAGE else part for part in joined]


def singular(word: str) -> str:
    """One of what an English plural names; other words stay as they are."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + instead
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


def snake(class_name: str) -> str:
    """The name that a projection has by itself."""
    return "".join(
        f"_{char.lower()}" if char.isupper() and at else char.lower() for at, char in enumerate(class_name)
    )


def kebab(name: str) -> str:
    """A name as a capability or a context is called."""
    return "-".join(words(name))


def unique(wanted: str, taken: Collection[str]) -> str:
    """The name, or the name with the first number that makes it one of its own."""
    folded = {name.lower() for name in taken}
    made, number = wanted, 2
    while made.lower() in folded:
        made, number = f"{wanted}{number}", number + 1
    return made


def pascal(name: str) -> str:
    """Words of a column as part of a class's name."""
    return "".join(part.capitalize() for part in words(name))
