"""Every error of the toolkit, as one tree.

StranglerError                     exit code
├── ProjectError                   2  the project folder is at fault (all faults at once)
├── UsageError                     2  the command or call asks for what does not exist
│   ├── NotSetUp                   2  the toolkit's own tables are not there
│   ├── BadValue                   2  a database refuses a value: no value of its column's type
│   └── FaultySql                  2  a database refuses a statement of the project's
├── Refused                        1  a gate or a guard says no, with its reasons
│   └── NotYet                     1  the view did not come so far in time
│   └── HistoryGone                1  events that are asked for were pruned from the archive
├── NotAll                         -  some of several pieces of work failed: the gravest code of theirs
├── Fenced                         3  somebody else leads now; stop
├── LeaseHeld                      3  somebody else leads; try later
├── Infrastructure                 3  a server, a driver or a network is not there
│   ├── DriverMissing
│   └── ReadTimeout
├── OffsetLost                     1  the log no longer holds what a consumer still needs
├── Untranslatable                 1  a change no translator can turn into events (parked)
└── Unprojectable                  1  an event a projection cannot apply (parked)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What a scheduler sees: the only four endings a command has."""

    CLEAN = 0
    FINDINGS = 1
    USAGE = 2
    INFRASTRUCTURE = 3


class StranglerError(Exception):
    """Base of all errors that the toolkit raises on purpose."""

    exit_code = ExitCode.INFRASTRUCTURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a project: where, what, and what to do next."""

    where: str
    what: str
    next: str = ""

    def __str__(self) -> str:
        """Render as one line: `where: what (next)`."""
        return f"{self.where}: {self.what}" + (f" ({self.next})" if self.next else "")


class ProjectError(StranglerError):
    """The project cannot be loaded. Carries every fault found, not only the first."""

    exit_code = ExitCode.USAGE

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        head = f"{count} fault{'s' if count != 1 else ''} in the project"
        super().__init__("\n".join([head, *(f"  {fault}" for fault in self.faults)]))


class UsageError(StranglerError):
    """The command, or the call, asks for something that does not exist or does not fit."""

    exit_code = ExitCode.USAGE


class NotSetUp(UsageError):
    """The toolkit's own tables are not in the database: `strangler setup` makes them."""


class FaultySql(UsageError):
    """A database refuses a statement of the project's, whatever it is asked with.

    `file` names the statement's file once it is known; `reason` is what the engine says, which may quote values.
    """

    def __init__(self, reason: str, file: str = "the read SQL") -> None:
        self.reason, self.file = reason, file
        self.head = f"{file} cannot be run"
        super().__init__(f"{self.head}: {reason}")


class BadValue(UsageError):
    """A database refuses a value that is none of its column's type: a caller's key, or the statement's own."""


class Refused(StranglerError):
    """A gate or a guard says no; the reasons are what has to change first."""

    exit_code = ExitCode.FINDINGS

    def __init__(self, message: str, reasons: Sequence[str] = ()) -> None:
        self.reasons = tuple(reasons)
        super().__init__("\n".join([message, *(f"  - {reason}" for reason in self.reasons)]))


class HistoryGone(Refused):
    """The archive was pruned: it no longer has the events that an answer would have to begin with."""


class NotYet(Refused):
    """The view did not come as far as the read asked for in the time it was given: there is no answer yet."""


class NotAll(StranglerError):
    """Some of several pieces of work failed, after all others were done. Carries every failure, by what it is of."""

    def __init__(self, message: str, failures: Mapping[str, Exception]) -> None:
        self.failures = dict(failures)
        self.exit_code = max(
            one.exit_code if isinstance(one, StranglerError) else ExitCode.INFRASTRUCTURE
            for one in failures.values()
        )
        told = (
            f"{name}: {one if isinstance(one, StranglerError) else f'{type(one).__name__}: {one}'}"
            for name, one in failures.items()
        )
        super().__init__("\n".join([message, *(f"  - {one}" for one in told)]))


class Fenced(StranglerError):
    """Another process has taken over this work (a higher epoch): this one must stop at once."""


class LeaseHeld(StranglerError):
    """Another process leads this work and its lease has not run out.

    The advice is for who cannot go on without it, and no part of the message: who stands by takes over by itself.
    """

    def __init__(self, held: str, advice: str = "") -> None:
        self.advice = advice
        super().__init__(held)
        if advice:
            self.add_note(advice)


class Infrastructure(StranglerError):
    """A server, a driver or a network is not there. Nothing was lost; run again once it is."""


class DriverMissing(Infrastructure):
    """The driver for a URL is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs a driver: pip install 'strangler-toolkit[{extra}]'")


class ReadTimeout(Infrastructure):
    """A read took longer than its limit and was cancelled on the server."""


class OffsetLost(StranglerError):
    """The log does not hold the offset a consumer asks for: retention has passed it, or the topic was made anew."""

    exit_code = ExitCode.FINDINGS

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        bounds: tuple[int, int],
        advice: str = "If the archive still has what is missing (`strangler archive status`), build a new version from it "
        "with `strangler rebuild`",
        who: str = "",
    ) -> None:
        self.place = (topic, partition, offset, bounds)
        first, end = bounds
        why = (
            "the log's retention has removed it"
            if offset < first
            else "the log ends before it: was the topic deleted and made anew, or restored from a backup?"
        )
        super().__init__(
            f"{who and who + ' stands still: '}{topic}[{partition}]: offset {offset} is asked for, but the log holds "
            f"{first} to {end} (exclusive): {why}. {advice}"
        )


class Untranslatable(StranglerError):
    """A translator's way to say: these rows mean nothing I know. The change is parked, never dropped."""

    exit_code = ExitCode.FINDINGS


class Unprojectable(StranglerError):
    """A projection's way to say: I cannot apply this event. The event is parked, never dropped."""

    exit_code = ExitCode.FINDINGS
