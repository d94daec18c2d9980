"""Legacy databases: guarded reads, and capture by triggers in the legacy transaction.

No driver is imported here; the engine's module is, when a source of its kind is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from toolkit.core.errors import UsageError
from toolkit.settings import LegacySection

if TYPE_CHECKING:
    from toolkit.ports import LegacySource


def open_legacy(name: str, url: str, section: LegacySection) -> LegacySource:
    """Open a legacy source by its URL. Raises UsageError for an engine that capture does not know."""
    backend = make_url(url).get_backend_name()
    if backend == "sqlite":
        from adapters.legacy.sqlite import SqliteSource

        return SqliteSource(name, url, section)
    if backend == "postgresql":
        from adapters.legacy.postgresql import PostgresSource

        return PostgresSource(name, url, section)
    if backend in ("mysql", "mariadb"):
        from adapters.legacy.mariadb import MariadbSource

        return MariadbSource(name, url, section)
    raise UsageError(
        f"legacy source {name}: {backend} is not an engine that capture knows (sqlite, postgresql, mariadb, mysql)"
    )
