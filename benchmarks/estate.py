"""The insurer's whole estate: backfilled, published, projected, rebuilt and verified, each by its own command.

Nobody's peer: what an estate of so many policies takes in time and memory, step by step, and whether it grows with it.
Every step is a process of its own, `strangler COMMAND`, so that its memory is seen alone; beginning to run is part of it.

- backfill: all rows of the eight captured tables into the archive
- publish: the archive into the log
- project: all eight views together, in one process, from the log
- rebuild: `customer_policy` v2 beside v1, from the archive into an empty table, and caught up
- verify: the same v2, replayed twice here and once in a second process, compared with its table

    python -m benchmarks.estate --json --servers --engine postgresql --log kafka --policies 20000
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from benchmarks import options
from benchmarks.figures import Figure
from benchmarks.places import places
from benchmarks.processes import Ran, ran
from tests.support.insurer import EXAMPLE, SOURCE, Insurer, opened
from toolkit.app import App

PATIENCE = 6 * 3600.0
LOOK_EVERY = 1.0
"""How often it is asked whether every view is there: seldom enough to cost nothing."""
VIEW, OLD, NEW = "customer_policy", "1", "2"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    chosen = options.read(".estate", "An estate of so many policies, step by step.", arguments)
    with places(chosen) as where:
        began = time.monotonic()
        with where.insurer(mended=False) as insurer:
            size = f"{chosen.policies:,} policies [{chosen.engine}+{chosen.log}]"
            generated = time.monotonic() - began
            Figure(figure=f"estate.generate {size}", value=generated, unit="s").show(chosen.json)
            for figure in figures(insurer, size):
                figure.show(chosen.json)
                sys.stdout.flush()


def figures(insurer: Insurer, size: str) -> Iterator[Figure]:
    """All figures, in the order of the steps."""
    shutil.copy(EXAMPLE / "mended" / "endorsements.py", insurer.folder)
    for words in (("setup",), ("capture", "install", "--yes")):
        _strangler(insurer, *words)
    back = _strangler(insurer, "backfill")
    rows, events = (_told(back)[SOURCE][one] for one in ("rows", "events"))
    yield from _figures(f"backfill {size}", back, rows, "rows")
    yield from _figures(f"publish {size}", _strangler(insurer, "relay", "--once"), events, "events")
    with opened(insurer) as app:
        project = _strangler(insurer, "project", until=_every(LOOK_EVERY, lambda: _projected(app, events)))
    yield from _figures(f"project all views {size}", project, events, "events")
    _second_version(insurer)
    with insurer.running("relay"):  # whose watermarks end a rebuild
        rebuild = _strangler(insurer, "rebuild", VIEW, "--version", NEW)
    yield from _figures(f"rebuild {VIEW} {size}", rebuild, _told(rebuild)["events"], "events")
    verify = _strangler(insurer, "verify", VIEW, "--version", NEW)
    yield from _figures(f"verify {VIEW} {size}", verify, _told(rebuild)["events"], "events")


def _figures(step: str, done: Ran, count: int, unit: str) -> Iterator[Figure]:
    for what, value, of in (
        ("count", count, unit),
        ("time", done.seconds, "s"),
        ("speed", count / done.seconds, f"{unit}/s"),
        ("processor time of the command", done.processor, "s"),
        ("peak memory", done.peak_mb, "MB"),
    ):
        yield Figure(figure=f"estate.{step}: {what}", value=value, unit=of)


def _strangler(insurer: Insurer, *words: str, until: Callable[[], bool] | None = None) -> Ran:
    arguments = insurer.strangler(*words, "--json")
    done = ran(arguments, insurer.environment, until=until, patience=PATIENCE)
    if done.code:
        raise SystemExit(f"strangler {' '.join(words)} ended with {done.code}: {done.output}")
    return done


def _told(done: Ran) -> Any:
    return msgspec.json.decode(done.output.splitlines()[-1])


def _every(seconds: float, asked: Callable[[], bool]) -> Callable[[], bool]:
    """The same question, asked no more often than that."""
    due = time.monotonic()

    def now() -> bool:
        nonlocal due
        if time.monotonic() < due:
            return False
        due = time.monotonic() + seconds
        return asked()

    return now


def _projected(app: App, events: int) -> bool:
    """Stands every view behind the last event?"""
    for definition in app.running_versions():
        if not any(one.version == definition.version for one in app.store.versions(definition.name)):
            return False
        checkpoints = app.store.checkpoints(definition.name, definition.version)
        if sum(one.sequence for one in checkpoints) < events:
            return False
    return True


def _second_version(insurer: Insurer) -> None:
    shutil.copy(EXAMPLE / "mended" / "customer_policy_v2.py", insurer.folder)
    settings = insurer.folder / "strangler.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(
        text.replace('"projections"]', '"projections", "customer_policy_v2"]'), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
