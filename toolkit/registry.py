"""Find an adapter by the scheme of its URL. Ours are declared in the same entry points as anybody else's."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from toolkit.core.errors import DriverMissing, UsageError

LEGACY = "strangler.legacy"
CAPTURE = "strangler.capture"
LOG = "strangler.log"
READ_STORE = "strangler.read_store"
ANY = "any"
"""The name under which an adapter serves every scheme that none is registered for (legacy sources: SQLAlchemy's dialects)."""
_MEANT = {
    **dict.fromkeys(("postgres", "pgsql", "psql"), "postgresql+psycopg"),
    **dict.fromkeys(("mysql2", "mysqldb"), "mysql+pymysql"),
    "sqlite3": "sqlite",
}
"""How others spell a scheme that we serve."""
_EXTRAS = {"psycopg": "postgres", "confluent_kafka": "kafka", "pymysql": "mysql"}


def scheme_of(url: str) -> str:
    """`postgresql+psycopg://...` is served by the adapter `postgresql`."""
    return url.split(":", 1)[0].split("+", 1)[0].lower()


def spelled(url: str) -> str:
    """How the URL's scheme has to be written, if it is one that only others know. Empty when it is none."""
    scheme = scheme_of(url)
    return (
        f"{scheme}:// is not how the driver is called: write {_MEANT[scheme]}://" if scheme in _MEANT else ""
    )


def names(group: str) -> list[str]:
    """The names that adapters of this kind are registered for."""
    return sorted(point.name for point in entry_points(group=group) if point.name != ANY)


def adapter(group: str, url: str) -> Any:
    """The factory registered for the URL's scheme.

    Raises UsageError that lists the known schemes, DriverMissing when its library is not installed.
    """
    scheme = scheme_of(url)
    known = {point.name: point for point in entry_points(group=group)}
    if scheme not in known and (advice := spelled(url)):
        raise UsageError(advice)
    chosen = known.get(scheme) or known.pop(ANY, None)
    if chosen is None:
        kind = group.removeprefix("strangler.").replace("_", " ")
        raise UsageError(
            f"no adapter of this installation is a {kind} for {scheme}: URLs; known are {', '.join(names(group))}"
        )
    return _load(chosen)


def capture(kind: str) -> Any:
    """The factory of a way to fetch changes, by its name in `[legacy.NAME] capture`. It is given a `Fetching`.

    Raises UsageError that lists the known ones, DriverMissing when its library is not installed.
    """
    known = {point.name: point for point in entry_points(group=CAPTURE)}
    if kind not in known:
        raise UsageError(
            f"no capture of this installation is called {kind}; known are trigger, outbox, {', '.join(sorted(known))}"
        )
    return _load(known[kind])


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "")
        if extra is None:
            raise
        raise DriverMissing(f"{point.name} ({error.name})", extra) from error
