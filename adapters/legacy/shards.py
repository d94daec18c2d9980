"""Which captured changes belong to a shard: the partition of a subject, as each database computes it from the text."""

from __future__ import annotations

import sqlite3

from toolkit.core.records import partition_of
from toolkit.core.shards import Shard

_FUNCTION = "strangler_hash"
_HASHES = 2**32
# The first four bytes of the MD5 of its UTF-8, as `partition_of` has it.
_HASH = {
    "postgresql": "CAST(CAST('x' || left(md5(convert_to(c.subject, 'UTF8')), 8) AS bit(32)) AS bigint)",
    "mysql": "CAST(CONV(LEFT(MD5(c.subject), 8), 16, 10) AS UNSIGNED)",
    "sqlite": f"{_FUNCTION}(c.subject)",
}


def share(dialect: str, shard: Shard) -> str:
    """Condition on captured changes (alias `c`): those of the shard."""
    modulo = "(({0}) % {1})" if dialect == "sqlite" else "MOD({0}, {1})"
    partition = modulo.format(_HASH[dialect], shard.partitions)
    # A bare comparison PostgreSQL takes for rare, and sorts the whole table instead of reading it in the order of its key.
    return f"CASE WHEN {modulo.format(partition, shard.of)} = {shard.number} THEN 1 = 1 ELSE 1 = 0 END"


def teach(connection: sqlite3.Connection) -> None:
    """SQLite has no hash of its own: its connections get ours."""
    connection.create_function(
        _FUNCTION, 1, lambda subject: partition_of(subject, _HASHES), deterministic=True
    )
