"""A view's own definition, said over the projections: names and casts change, the meaning does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from toolkit.starting.facts import Database, View

_PARTS = re.compile(r"""('(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*"|`[^`]*`)""")
_CREATE = re.compile(r"^\s*create\b.*?\bas\b\s*(?=\(?\s*(?:select|with)\b)", re.IGNORECASE | re.DOTALL)
_CAST = re.compile(
    r'::\s*(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?'
    r"(?:\s+varying|\s+precision|\s+with(?:out)?\s+time\s+zone)?(?:\s*\(\s*\d+(?:\s*,\s*\d+)?\s*\))?(?:\[\])*"
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/|#[^\n]*", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z_]\w*\Z")
_ORIGIN = re.compile(r"\b(\w+)\.(\w+)\s+as\s+(\w+)", re.IGNORECASE)


def body(definition: str) -> str:
    """The SELECT of a view, without what makes it a view."""
    return _CREATE.sub("", definition).strip().rstrip(";").strip()


def mentions(text: str, names: Sequence[str]) -> list[str]:
    """Those of the names that the SQL speaks of."""
    words = {word.lower() for word in re.findall(r"\w+", text)}
    return [name for name in names if name.rsplit(".", 1)[-1].lower() in words]


def origins(definition: str) -> dict[str, str]:
    """Output column to the column it shows, as far as `alias.column AS name` says so."""
    return {name.lower(): column.lower() for _, column, name in _ORIGIN.findall(unquoted(body(definition)))}


def unquoted(sql: str) -> str:
    """The SQL without quotes around names that do not need any."""
    return "".join(_name(part) for part in _PARTS.split(_without_comments(sql)))


def rewritten(view: View, database: Database, projections: Mapping[str, str]) -> tuple[str, list[str]]:
    """The view's SELECT over projections (table name to projection), and the tables it speaks of; "" if it has no text.

    Views that it is built on come first, as common table expressions.
    """
    ordered = list(_closure(view, {one.name: one for one in database.views}))
    texts = {one.name: _translated(one.definition, database, projections) for one in ordered}
    if not all(texts.values()):
        return "", []
    whole = " ".join(texts.values())
    tables = mentions(" ".join(unquoted(body(one.definition)) for one in ordered), list(projections))
    below = [one for one in ordered if one.name != view.name]
    if not below:
        return texts[view.name], tables
    listed = ",\n".join(f"{one.name} AS (\n{texts[one.name]}\n)" for one in below)
    return (f"WITH {listed}\n{texts[view.name]}" if "WITH RECURSIVE" not in whole.upper() else ""), tables


def _closure(view: View, known: Mapping[str, View], below: tuple[str, ...] = ()) -> Iterator[View]:
    seen: set[str] = set()
    for name in mentions(unquoted(body(view.definition)), [one for one in known if one != view.name]):
        if name in below:
            continue
        for one in _closure(known[name], known, (*below, view.name)):
            if one.name not in seen:
                seen.add(one.name)
                yield one
    yield view


def _translated(definition: str, database: Database, projections: Mapping[str, str]) -> str:
    names = {table.rsplit(".", 1)[-1].lower(): projection for table, projection in projections.items()}
    schemas = {
        "public",
        "dbo",
        "main",
        *(table.split(".")[0].lower() for table in projections if "." in table),
    }
    if database.dialect in ("mysql", "mariadb"):
        schemas.add(database.name.lower())
    parts = _PARTS.split(_CAST.sub("", unquoted(body(definition))))
    return "".join(_renamed(part, names, schemas) for part in parts)


def _without_comments(sql: str) -> str:
    return "".join(
        part if part[:1] in ("'", '"', "`") else _COMMENT.sub(" ", part) for part in _PARTS.split(sql)
    )


def _name(part: str) -> str:
    if part[:1] not in ('"', "`"):
        return part
    return part[1:-1] if _PLAIN.match(part[1:-1]) else f'"{part[1:-1]}"'


def _renamed(part: str, names: Mapping[str, str], schemas: set[str]) -> str:
    """Outside of literals: no schemas, projections for tables. A colon would be taken for a parameter everywhere."""
    if part[:1] == "'":
        return part.replace(":", "\\:")
    if part[:1] == '"':
        return part

    def rename(match: re.Match[str]) -> str:
        prefix, word = match.group(1), match.group(2)
        if prefix and prefix[:-1].lower() in schemas:
            prefix = ""
        elif prefix:
            prefix = names.get(prefix[:-1].lower(), prefix[:-1]) + "."
        # What follows a dot is a column, whatever tables there are.
        before = part[: match.start()].rstrip()
        is_column = bool(prefix) or before.endswith(".")
        return f"{prefix or ''}{word if is_column else names.get(word.lower(), word)}"

    return re.sub(r"\b(\w+\.)?(\w+)\b", rename, part).replace(":", "\\:")
