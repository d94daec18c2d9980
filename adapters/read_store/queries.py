"""The named `.sql` files beside this module."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import TextClause, text

_FOLDER = Path(__file__).parent / "sql"


@cache
def query(name: str) -> TextClause:
    """The statement in `sql/<name>.sql`."""
    return text((_FOLDER / f"{name}.sql").read_text(encoding="utf-8"))
