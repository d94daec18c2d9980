"""Projections whose rows can be written apart, by several processes: each row is fed by the events of one subject.

A subject has one partition, and a partition one reader. So where the key of a row tells the subject, no two processes
ever write the same row; where it does not, one has to write them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toolkit.core.columns import ColumnType
from toolkit.core.errors import Fault, ProjectError
from toolkit.core.events import Catalogue
from toolkit.core.families import as_tuple
from toolkit.core.handlers import Handler
from toolkit.core.projections import Definition
from toolkit.core.subjects import columns_of, subject_text

EXACT = (ColumnType.TEXT, ColumnType.INTEGER, ColumnType.DATE)
"""Types of which two values that are equal in a key have one text: an instant has as many as there are zones."""


class Apart:
    """How a projection's keys tell the subject, and the one source that its events come from.

    Raises ProjectError, with every reason why several processes cannot write it. `sources` are all sources of the
    project, each with its context.
    """

    def __init__(self, definition: Definition, catalogue: Catalogue, sources: Mapping[str, str]) -> None:
        self._definition = definition
        told = len(definition.parent) or len(definition.key)
        faults: list[Fault] = []
        ways = {
            name: way
            for name, handler in definition.handlers.items()
            if (way := _way(definition, catalogue, handler, told, faults)) is not None
        }
        if not faults and len(set(ways.values())) > 1:
            said = ", ".join(f"{name} by {_names(definition, way)}" for name, way in ways.items())
            faults.append(_fault(definition, f"its events tell their subjects by different columns: {said}"))
        self.source = _source(definition, catalogue, sources, faults)
        if faults:
            raise ProjectError(faults)
        self._way = next(iter(ways.values()), ())

    def subject(self, key: object) -> str:
        """The subject of the events that feed the row with this key; in a projection with a parent, its parent's."""
        values = as_tuple(key)
        return subject_text([str(values[at]) for at in self._way])


def _way(
    definition: Definition, catalogue: Catalogue, handler: Handler, told: int, faults: list[Fault]
) -> tuple[int, ...] | None:
    """The places in the key, one for each part of the subject, in the subject's order."""
    event = handler.event.__name__
    if event not in catalogue.types:
        return None  # told where events are looked for
    parts, fields = columns_of(catalogue.types[event].subject), handler.key[:told]
    lacking = [part for part in parts if part not in fields]
    if lacking:
        what = f"{event} is about the subject {', '.join(parts)}, which does not stand in the key of its rows ({', '.join(handler.key)}): rows would be fed from several partitions"
        wider = f"in a new version, put {', '.join(lacking)} into its key, a row for each subject, and let the read add them up; or {_ALONE}"
        faults.append(_fault(definition, what, wider))
        return None
    way = tuple(fields.index(part) for part in parts)
    vague = [one.name for one in (definition.key_columns[at] for at in way) if one.type not in EXACT]
    if vague:
        faults.append(
            _fault(
                definition, f"an instant has more than one text, so that {', '.join(vague)} tells no subject"
            )
        )
    return way


def _source(
    definition: Definition, catalogue: Catalogue, sources: Mapping[str, str], faults: list[Fault]
) -> str:
    """Its events come from one source: partitions of two topics fall to processes as it happens."""
    if len(sources) == 1:
        return next(iter(sources))
    types = [catalogue.types[name] for name in definition.handlers if name in catalogue.types]
    contexts = sorted({one.context for one in types})
    found = [source for source, context in sources.items() if context in contexts]
    if len(found) == 1 and len(contexts) == 1:
        return found[0]
    what = f"its events are those of {', '.join(contexts) or 'no context'}, which {_come(found)}: the partitions of two topics are not read by one process"
    faults.append(_fault(definition, what))
    return ""


def _come(found: Sequence[str]) -> str:
    return f"come from {', '.join(found)}" if found else "no [legacy] section names as its context"


def _names(definition: Definition, way: Sequence[int]) -> str:
    return ", ".join(definition.key[at] for at in way)


_ALONE = "take it out of read_store.shared: one process follows it then"


def _fault(definition: Definition, what: str, advice: str = _ALONE) -> Fault:
    return Fault(
        where=f"read_store.shared, projection {definition.identity}",
        what=what,
        next=advice,
    )
