"""Routes in a SQL database: compare-and-set, and one history line per move, in one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from adapters.engines import reading, writing
from migrations.schema import state
from toolkit.core.errors import Refused, UsageError
from toolkit.core.routes import ANY_CONSUMER, HASHES, Action, Move, Moved, Route, Stage, pick


class SqlRoutes:
    """The route table of a project and its append-only history. Implements `toolkit.ports.RouteStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, capability: str, consumer: str = ANY_CONSUMER) -> Route:
        """The consumer's own route, else that of `*`, else the default (legacy, revision 0)."""
        mine = [route for route in self.all() if route.capability == capability]
        return pick({(route.capability, route.consumer): route for route in mine}, capability, consumer)

    def all(self) -> list[Route]:
        """Every route that was ever moved. Capabilities without one are at their default."""
        table = state.route
        with reading(self._engine) as connection:
            rows = connection.execute(select(table).order_by(table.c.capability, table.c.consumer))
            return [_route(row) for row in rows.mappings()]

    def apply(self, move: Move, now: dt.datetime) -> Route:
        """Write the move and its history line in one transaction. Applying the same move again changes nothing.

        Raises Refused when the route is no longer as `move.was` says: plan again.
        """
        try:
            with writing(self._engine) as connection:
                return _apply(connection, move, now)
        except IntegrityError:
            # Another process wrote the same revision between our look and our write: look again, and say so.
            with writing(self._engine) as connection:
                return _apply(connection, move, now)

    def history(self, capability: str, limit: int = 20) -> list[Moved]:
        """The latest moves, newest first."""
        table = state.route_history
        query = select(table).where(table.c.capability == capability).order_by(table.c.id.desc()).limit(limit)
        with reading(self._engine) as connection:
            return [_moved(row) for row in connection.execute(query).mappings()]


def _apply(connection: Connection, move: Move, now: dt.datetime) -> Route:
    was, becomes = move.was, move.becomes
    table = state.route
    query = select(table).where(table.c.capability == becomes.capability).with_for_update()
    routes = {
        (row["capability"], row["consumer"]): _route(row) for row in connection.execute(query).mappings()
    }
    found = pick(routes, becomes.capability, becomes.consumer)
    if found == becomes and _made(connection, move):
        return becomes
    if found != was:
        raise Refused(
            f"the route of {becomes.capability} for {becomes.consumer} has moved since this was planned",
            [
                f"it was {was.label} (revision {was.revision} of {was.consumer})",
                f"it is {found.label} (revision {found.revision} of {found.consumer})",
                "plan again, and look at the history",
            ],
        )
    _write(connection, becomes, exists=(becomes.capability, becomes.consumer) in routes)
    _note(connection, move, now)
    return becomes


def _made(connection: Connection, move: Move) -> bool:
    """Is this very move the latest of its route? Then a former run of ours committed it and never heard of it."""
    table = state.route_history
    query = select(table).where(
        table.c.capability == move.becomes.capability,
        table.c.consumer == move.becomes.consumer,
        table.c.revision == move.becomes.revision,
    )
    row = connection.execute(query).mappings().one_or_none()
    return row is not None and _identity(_moved(row).move) == _identity(move)


def _identity(move: Move) -> tuple[object, ...]:
    return (move.action, move.was, move.becomes, move.who, move.why)


def _write(connection: Connection, route: Route, *, exists: bool) -> None:
    table = state.route
    values = _stored(route)
    if not exists:
        connection.execute(insert(table).values(values))
        return
    done = connection.execute(
        update(table)
        .where(
            table.c.capability == route.capability,
            table.c.consumer == route.consumer,
            table.c.revision == route.revision - 1,
        )
        .values(values)
    )
    if done.rowcount != 1:
        raise Refused(f"the route of {route.capability} for {route.consumer} is moving in another process")


def _note(connection: Connection, move: Move, now: dt.datetime) -> None:
    connection.execute(
        insert(state.route_history).values(
            at=now,
            capability=move.becomes.capability,
            consumer=move.becomes.consumer,
            revision=move.becomes.revision,
            action=str(move.action),
            was=_stored(move.was),
            becomes=_stored(move.becomes),
            who=move.who,
            why=move.why,
            evidence=msgspec.to_builtins(move.evidence),
            config_hash=move.config_hash,
        )
    )


def _stored(route: Route) -> dict[str, Any]:
    """By the names of the columns, which a history of any age has, too."""
    return {name: msgspec.to_builtins(value) for name, value in msgspec.structs.asdict(route).items()}


def _told(stored: Mapping[str, Any]) -> Route:
    return Route(**{**stored, "stage": Stage(stored["stage"])})


def _route(row: RowMapping) -> Route:
    values: dict[str, Any] = dict(row)
    if values["hash_version"] not in HASHES:
        raise UsageError(
            f"the route of {values['capability']} for {values['consumer']} places subjects with hash version "
            f"{values['hash_version']}, which this version of the toolkit does not have: upgrade it"
        )
    return Route(**{**values, "stage": Stage(values["stage"])})


def _moved(row: RowMapping) -> Moved:
    return Moved(
        at=row["at"],
        move=Move(
            action=Action(row["action"]),
            was=_told(row["was"]),
            becomes=_told(row["becomes"]),
            who=row["who"],
            why=row["why"],
            evidence=row["evidence"],
            config_hash=row["config_hash"],
        ),
    )
