"""Options and arguments that several commands share, spelled once."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from toolkit.app import App
from toolkit.core.errors import UsageError

CapabilityArgument = Annotated[str, typer.Argument(help="A capability of strangler.toml.")]
OptionalCapability = Annotated[str, typer.Argument(help="A capability; all of them when left out.")]
SourceOption = Annotated[str, typer.Option("--source", help="A legacy source; all of them when left out.")]
ProjectionArgument = Annotated[str, typer.Argument(help="A projection of the project.")]
VersionOption = Annotated[
    int, typer.Option("--version", "-v", help="Which version; 0: the newest in the code.")
]
ConsumerOption = Annotated[
    str, typer.Option("--consumer", help="The consumer (user journey); * is everybody else.")
]
TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds to wait at most.", min=0)]
WhoOption = Annotated[str, typer.Option("--who", help="Who decides; your login by default.")]
WhyOption = Annotated[str, typer.Option("--why", help="The reason, for the history.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def login() -> str:
    """The person at the keyboard, for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def sources_of(opened: App, source: str) -> list[str]:
    """The legacy source that was named, or all of them. Raises UsageError."""
    known = list(opened.project.settings.legacy)
    if source and source not in known:
        raise UsageError(f"there is no [legacy.{source}] in strangler.toml; there are: {', '.join(known)}")
    return [source] if source else known
