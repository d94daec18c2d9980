"""Capture and relay: how fast, how late, and at what cost to the legacy writer; from PostgreSQL to Kafka.

Each part says in its own module what it measures and what its peer leaves out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

from benchmarks import capture_cost, capture_wal, options, relaying
from benchmarks.figures import Figure
from benchmarks.places import Places, places

Part = Callable[[Places], Iterator[Figure]]
PARTS: tuple[Part, ...] = (
    relaying.backlogs,
    relaying.sharded,
    relaying.lags,
    lambda where: capture_cost.figures(where.server),
    lambda where: capture_wal.figures(where.server, WAL_ROWS),
)
WAL_ROWS = 100_000


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    chosen = options.read(".capture", "From legacy rows to the log.", arguments)
    if not chosen.servers and not (chosen.postgres_url and chosen.kafka):
        sys.stderr.write(
            "benchmarks.capture needs --servers, or --postgres-url and --kafka: nothing measured\n"
        )
        return
    chosen.engine, chosen.log = "postgresql", "kafka"
    with places(chosen) as where:
        for part in PARTS:
            for figure in part(where):
                figure.show(chosen.json)


if __name__ == "__main__":
    main()
