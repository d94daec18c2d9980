"""Python source as formatters leave it, whatever line length they are told: 88 and 110 give the same."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_WIDTH = 88
_DOCUMENT = 100
"""Of words, which formatters leave as they are."""


def call(head: str, arguments: Sequence[str], tail: str = ")", *, indent: int = 0) -> list[str]:
    """A call, a tuple or a list on one line where it fits, else an argument a line with a trailing comma."""
    pad = " " * indent
    one = f"{pad}{head}{', '.join(arguments)}{tail}"
    if len(one) <= _WIDTH:
        return [one]
    return [f"{pad}{head}", *(f"{pad}    {argument}," for argument in arguments), f"{pad}{tail}"]


def comment(text: str, *, indent: int = 0) -> list[str]:
    """A comment, in lines of words."""
    lead = " " * indent + "# "
    width = _DOCUMENT - len(lead)
    return [
        lead + line for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    ]


def docstring(text: str, *, indent: int = 0) -> list[str]:
    """A docstring of one paragraph."""
    pad = " " * indent
    safe = " ".join(text.replace("\\", "\\\\").replace('"""', "'''").split())
    safe = safe.removesuffix('"') + "'" if safe.endswith('"') else safe
    if len(pad) + len(safe) + 6 <= _DOCUMENT:
        return [f'{pad}"""{safe}"""']
    first, *rest = textwrap.wrap(safe, _DOCUMENT - len(pad) - 3, break_long_words=False)
    return [f'{pad}"""{first}', *(f"{pad}{line}" for line in rest), f'{pad}"""']


def source(*blocks: Sequence[str]) -> str:
    """A module: its blocks, two blank lines between them."""
    return "\n\n\n".join("\n".join(block) for block in blocks if block) + "\n"
