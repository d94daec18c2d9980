"""docs/commands.md, made from the command line itself: `python -m tests.docs.commands` writes it."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer.main

from toolkit.cli.app import app

TARGET = Path(__file__).parents[2] / "docs" / "commands.md"
HEAD = """# The command line

Made from the commands themselves by `make docs`. `strangler COMMAND --help` says the same.

| exit code | meaning |
|---|---|
| 0 | clean |
| 1 | findings, a refused gate, or work that was stopped before its end |
| 2 | wrong usage or configuration |
| 3 | infrastructure: a database, a server or a driver is not there |

Every command takes these, and they are not repeated below:

| option | meaning |
|---|---|
| `--project`, `-C` | folder with strangler.toml; `STRANGLER_PROJECT` in the environment, else the current one |
| `--json` | print one JSON document instead of tables; an error is one, too. Nothing is asked then |
| `--help`, `-h` | say what the command does |

`strangler --version` prints the version.
"""
EVERYWHERE = frozenset(("--project", "--json", "--help"))


def commands() -> dict[str, Any]:
    """Every command that does something, by its full name."""
    return dict(_below(typer.main.get_command(app), "strangler"))


def _below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None or getattr(command, "invoke_without_command", False):
        yield name, command
    if inner is None:
        return
    for word, one in inner.items():
        yield from _below(one, f"{name} {word}")


def takes_value(command: Any, option: Any) -> bool:
    """Does a word follow the option?"""
    return _kinds(command, option) != (bool,)


def _kinds(command: Any, parameter: Any) -> tuple[Any, ...]:
    """The types of a parameter as its function declares it: what is inside of `Stage | None`, too."""
    hint = typing.get_type_hints(command.callback)[parameter.name]
    return typing.get_args(hint) or (hint,)


def _members(kind: Any) -> list[Enum]:
    return list(kind) if isinstance(kind, type) and issubclass(kind, Enum) else []


def render() -> str:
    """The whole document."""
    return "\n".join([HEAD, *(_section(name, command) for name, command in commands().items())])


def _section(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [
        one
        for one in command.params
        if one.param_type_name == "option" and not EVERYWHERE.intersection(one.opts)
    ]
    usage = " ".join([name, *(_usage(one) for one in arguments), *(["[OPTIONS]"] if options else [])])
    help_text = " ".join((command.help or "").split())
    rows = [_row(f"`{one.name.upper()}`", command, one) for one in arguments]
    rows += [_row(", ".join(f"`{opt}`" for opt in one.opts), command, one) for one in options]
    table = ["| | |", "|---|---|", *rows, ""] if rows else []
    return "\n".join([f"## `{name}`", "", help_text, "", "```sh", usage, "```", "", *table])


def _usage(argument: Any) -> str:
    word = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return word if argument.required else f"[{word}]"


def _row(name: str, command: Any, parameter: Any) -> str:
    told = [parameter.help or ""]
    if choices := [f"`{one.value}`" for kind in _kinds(command, parameter) for one in _members(kind)]:
        told.append(f" One of {', '.join(choices)}.")
    default = getattr(parameter.default, "value", parameter.default)
    if parameter.required and parameter.param_type_name == "option":
        told.append(" Required.")
    elif not parameter.required and isinstance(default, str | int | float) and default not in ("", False):
        told.append(f" Default: `{default}`.")
    return f"| {name} | {''.join(told)} |"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
