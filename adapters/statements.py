"""SQL that is long lives in named files, in the folder `sql` beside the module that uses it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import TextClause, text


class Statements:
    """The files of one such folder, each read once. `module` is the `__file__` of the module beside it."""

    def __init__(self, module: str) -> None:
        self._folder = Path(module).parent / "sql"
        self._texts: dict[str, str] = {}
        self._queries: dict[str, TextClause] = {}

    def statement(self, name: str) -> str:
        """The text of `sql/<name>.sql`."""
        if name not in self._texts:
            self._texts[name] = (self._folder / f"{name}.sql").read_text(encoding="utf-8").strip()
        return self._texts[name]

    def query(self, name: str) -> TextClause:
        """The same, to be executed with parameters."""
        if name not in self._queries:
            self._queries[name] = text(self.statement(name))
        return self._queries[name]
