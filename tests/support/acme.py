"""An engine of which the toolkit knows nothing: SQLite under another name, with its tables as they are."""

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite


class AcmeDialect(SQLiteDialect_pysqlite):
    name = "acme"
    driver = "acme"
    supports_statement_cache = True


registry.register("acme", __name__, "AcmeDialect")
