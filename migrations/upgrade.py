"""Bring a database to the tables this version of the toolkit needs, take them away again, or print how."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, literal, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.schema import DropTable

from migrations.environment import ENVIRONMENTS, Environment
from migrations.urls import one_dialect
from toolkit.core.errors import Infrastructure, UsageError

HEAD = "head"
BASE = "base"
_WAIT = 60


def upgrade(target: Engine | Connection | str, which: str, revision: str = HEAD) -> None:
    """Create or upgrade one set of tables. Does nothing when they are there already.

    A connection keeps its transaction: the caller commits.
    """
    environment = _environment(which)
    with _connection(target) as connection, _alone(connection):
        _unfinished(connection, environment)
        command.upgrade(_config(environment, connection=connection), revision)


def downgrade(target: Engine | Connection | str, which: str, revision: str = BASE) -> None:
    """Take tables back to a revision; at `base` nothing of the environment is left, not even its version table."""
    environment = _environment(which)
    with _connection(target) as connection:
        if _current(connection, environment) is None:
            return
        command.downgrade(_config(environment, connection=connection, down=True), revision)
        if revision == BASE:
            for statement in _leftovers(environment, connection.dialect.name):
                connection.exec_driver_sql(statement)


def current(target: Engine | Connection | str, which: str) -> str | None:
    """The revision a database is at; None when it has none of these tables."""
    with _connection(target) as connection:
        return _current(connection, _environment(which))


def head(which: str) -> str:
    """The newest revision this version of the toolkit knows."""
    script = ScriptDirectory.from_config(_config(_environment(which)))
    found = script.get_current_head()
    assert found is not None
    return found


def offline_sql(dialect: str, which: str, *, down: bool = False) -> tuple[str, ...]:
    """The statements that `upgrade` (or `downgrade`) would execute on an empty (or a full) database, one each."""
    environment = _environment(which)
    output = io.StringIO()
    config = _config(environment, dialect=dialect, down=down, output=output)
    if down:
        command.downgrade(config, f"{HEAD}:{BASE}", sql=True)
    else:
        command.upgrade(config, HEAD, sql=True)
    statements = [one.strip() for one in output.getvalue().split(";\n")]
    # The caller has a transaction of its own, and Alembic's comments tell nothing to whom the plan is for.
    kept = [_uncommented(one).split(" RETURNING ")[0] for one in statements]
    kept = [one for one in kept if one and one.upper() not in ("BEGIN", "COMMIT")]
    return (*kept, *(_leftovers(environment, dialect) if down else ()))


def _environment(which: str) -> Environment:
    try:
        return ENVIRONMENTS[which]
    except KeyError:
        raise UsageError(
            f"there are no tables called {which!r}; there are: {', '.join(ENVIRONMENTS)}"
        ) from None


def _config(environment: Environment, **attributes: object) -> Config:
    output = attributes.pop("output", None)
    config = Config(output_buffer=output) if isinstance(output, io.StringIO) else Config()
    config.set_main_option("script_location", str(environment.folder).replace("%", "%%"))
    config.attributes.update(attributes)
    return config


@contextmanager
def _connection(target: Engine | Connection | str) -> Iterator[Connection]:
    if isinstance(target, Connection):
        if not target.in_transaction():
            target.begin()
        yield target
        return
    engine = create_engine(one_dialect(make_url(target))) if isinstance(target, str) else target
    try:
        with engine.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError) as error:
        where = engine.url.render_as_string(hide_password=True)
        raise Infrastructure(f"{where} cannot be used: {str(error.orig).strip()}") from error
    finally:
        if isinstance(target, str):
            engine.dispose()


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Where each CREATE commits, nobody else may look at what is half done. Others have a lock of their transaction's."""
    if connection.dialect.name != "mysql":
        yield
        return
    database = connection.engine.url.database
    name = {"name": f"strangler {database}"}
    if not connection.scalar(text("SELECT GET_LOCK(MD5(:name), :wait)"), {**name, "wait": _WAIT}):
        raise Infrastructure(
            f"another process has set {database} up for {_WAIT} s: try again when it has ended"
        )
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(MD5(:name))"), name)


def _unfinished(connection: Connection, environment: Environment) -> None:
    """Take away what a first migration left that failed where each CREATE commits, so that this one can make it whole.

    Only tables of ours, and only if none of them has a row: what is in use, a migration has noted.
    """
    if connection.dialect.name != "mysql" or _current(connection, environment) is not None:
        return
    known = environment.metadata(connection.dialect.name).sorted_tables
    there = [one for one in known if inspect(connection).has_table(one.name, schema=one.schema)]
    if any(connection.execute(select(literal(1)).select_from(one).limit(1)).first() for one in there):
        return
    for one in there:
        connection.execute(DropTable(one))


def _current(connection: Connection, environment: Environment) -> str | None:
    schema = environment.schema(connection.dialect.name)
    if not inspect(connection).has_table(environment.version_table, schema=schema):
        return None
    options = {"version_table": environment.version_table, "version_table_schema": schema}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _leftovers(environment: Environment, dialect: str) -> Iterator[str]:
    """What Alembic's own downgrade leaves behind."""
    schema = environment.schema(dialect)
    prefix = f"{schema}." if schema else ""
    yield f"DROP TABLE {prefix}{environment.version_table}"
    if schema:
        yield f"DROP SCHEMA {schema}"


def _uncommented(statement: str) -> str:
    return "\n".join(line for line in statement.splitlines() if not line.startswith("--")).strip()
