"""Schemas that others wrote, as they were published: SQL files of `tests/data`, each beside its licence."""

import re
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"


def statements(name: str) -> list[str]:
    """The statements of a file, without its comments."""
    script = (DATA / f"{name}.sql").read_text(encoding="utf-8")
    bare = re.sub(r"(?m)^(--|#).*$", "", script)
    return [one.strip() for one in bare.split(";") if one.strip()]
