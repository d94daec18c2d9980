"""How the URL of a database is spelled for SQLAlchemy, wherever an engine is made from it."""

from __future__ import annotations

from sqlalchemy.engine import URL

MYSQL = ("mysql", "mariadb")


def one_dialect(url: URL) -> URL:
    """MySQL and MariaDB are one dialect, which finds out which of them answers: types, lengths and statements are said for it."""
    if url.get_backend_name() not in MYSQL:
        return url
    return url.set(drivername=f"mysql+{url.drivername.partition('+')[2] or 'pymysql'}")
