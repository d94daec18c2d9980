"""The `strangler` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import toolkit
from toolkit.cli import (
    archives,
    catalogue,
    doctor,
    flow,
    init,
    moves,
    projections,
    questions,
    repairs,
    shadows,
    starting,
)
from toolkit.cli.output import fail
from toolkit.core.errors import ExitCode, StranglerError

app = typer.Typer(
    name="strangler",
    help="Move reads off a legacy database to event-fed projections: safely, with evidence, and with a way back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    init,
    starting,
    catalogue,
    doctor,
    flow,
    projections,
    shadows,
    moves,
    questions,
    repairs,
    archives,
):
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"strangler {toolkit.__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Exit codes: 0 clean, 1 findings or a refused gate, 2 usage or configuration, 3 infrastructure."""


def run(arguments: list[str]) -> int:
    """Run a command; turn our errors into a message and an exit code, never a traceback."""
    try:
        app(arguments)
    except StranglerError as error:
        return fail(error, "--json" in arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ExitCode.USAGE
    except KeyboardInterrupt:
        return ExitCode.INFRASTRUCTURE
    return ExitCode.CLEAN


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
