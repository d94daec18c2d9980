"""What every benchmark may be told on its command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from toolkit.cli.tuning import tune


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """The options that all benchmarks share; the defaults need no server."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks{name}", description=description)
    made.add_argument("--json", action="store_true", help="one JSON object a line")
    made.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    made.add_argument("--log", choices=("sql", "kafka"), default="sql")
    made.add_argument("--seconds", type=float, default=20.0, help="how long the legacy writer writes")
    made.add_argument("--policies", type=int, default=2000, help="size of the insurer's estate")
    made.add_argument("--samples", type=int, default=200, help="commits whose latency is measured")
    made.add_argument("--rate", type=float, default=20.0, help="background transactions a second meanwhile")
    made.add_argument("--events", type=int, default=200_000, help="events that a projector projects")
    made.add_argument("--keys", type=int, default=100_000, help="rows that these events are about")
    made.add_argument("--servers", action="store_true", help="start a private PostgreSQL and Kafka as needed")
    made.add_argument(
        "--postgres-url",
        default=os.environ.get("BENCH_POSTGRES_URL"),
        help="SQLAlchemy URL of a user who may create databases (default $BENCH_POSTGRES_URL)",
    )
    made.add_argument(
        "--kafka",
        default=os.environ.get("BENCH_KAFKA"),
        metavar="HOST:PORT",
        help="bootstrap server (default $BENCH_KAFKA)",
    )
    return made


def read(name: str, description: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse, and see that what was chosen can be reached."""
    return checked(parser(name, description), arguments)


def checked(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The same with a parser that knows options of its own. The interpreter is tuned as that of a command."""
    tune()
    options = made.parse_args(arguments)
    if options.engine == "postgresql" and not (options.servers or options.postgres_url):
        made.error("--engine postgresql needs --servers, --postgres-url or $BENCH_POSTGRES_URL")
    if options.log == "kafka" and not (options.servers or options.kafka):
        made.error("--log kafka needs --servers, --kafka or $BENCH_KAFKA")
    return options
