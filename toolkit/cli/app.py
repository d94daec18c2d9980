"""The `strangler` command."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

import toolkit
from toolkit.cli import (
    archives,
    catalogue,
    doctor,
    flow,
    init,
    log,
    moves,
    projections,
    questions,
    repairs,
    shadows,
    starting,
)
from toolkit.cli.output import fail
from toolkit.cli.tuning import tune
from toolkit.core.errors import ExitCode, StranglerError, UsageError

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
    log,
    projections,
    shadows,
    moves,
    questions,
    repairs,
    archives,
):
    module.register(app)


_MISUSE: Any = typer.BadParameter.__base__
"""Every way to use a command wrongly: an option that there is not, an argument that is missing, a value that does not fit."""


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
    as_json = "--json" in arguments
    try:
        ended = app(arguments, standalone_mode=not as_json)
    except StranglerError as error:
        return fail(error, as_json, _help(arguments))
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else ExitCode.USAGE
    except KeyboardInterrupt:
        return ExitCode.INFRASTRUCTURE
    except typer.Abort:
        return ExitCode.FINDINGS
    except _MISUSE as refused:
        return fail(UsageError(refused.format_message()), as_json, _help(arguments))
    return ended if isinstance(ended, int) else ExitCode.CLEAN


def _help(arguments: list[str]) -> str:
    """The command that lists what the one that was given takes: its name is as much of it as there is."""
    command: Any = typer.main.get_command(app)
    names = ["strangler"]
    for one in arguments:
        if one not in getattr(command, "commands", {}):
            break
        command = command.commands[one]
        names.append(one)
    return " ".join([*names, "--help"])


def main() -> None:
    """The console script."""
    tune()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
