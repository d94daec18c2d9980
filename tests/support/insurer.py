"""The insurer's project, mended, on whatever databases and log a test has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from examples.insurer.estate.generate import generate
from tests.support import Child, python_child
from toolkit.app import App, open_project

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "insurer"
SOURCE = "policy_admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Insurer:
    """A project folder with an estate behind it; `environment` is what its strangler.toml is filled from."""

    folder: Path
    legacy: str
    environment: Mapping[str, str]

    def strangler(self, *arguments: str) -> list[str]:
        """The arguments of a child process that runs the command on this project."""
        return ["-m", "toolkit.cli.app", *arguments, "--project", str(self.folder)]

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Child]:
        """A command as a process of its own."""
        with python_child(*self.strangler(*arguments), env={**os.environ, **self.environment}) as child:
            yield child


def make_insurer(
    folder: Path, environment: Mapping[str, str], *, size: int = 500, mended: bool = True
) -> Insurer:
    """Copy the project, put the mended files in, and generate the estate."""
    shutil.copytree(EXAMPLE / "project", folder, ignore=shutil.ignore_patterns("__pycache__"))
    if mended:
        for file in (EXAMPLE / "mended").glob("*.py"):
            shutil.copy(file, folder)
        shutil.copytree(EXAMPLE / "mended" / "golden", folder / "golden", dirs_exist_ok=True)
        settings = folder / "strangler.toml"
        text = settings.read_text(encoding="utf-8")
        settings.write_text(
            text.replace('"projections"]', '"projections", "customer_policy_v2"]'), encoding="utf-8"
        )
    _settle_quickly(folder / "strangler.toml")
    legacy = environment.get("LEGACY_URL", f"sqlite:///{folder / 'legacy.db'}")
    generate(legacy, size=size)
    return Insurer(folder=folder, legacy=legacy, environment=environment)


def _settle_quickly(settings: Path) -> None:
    """What differs by mistake does so for good: a short settling tells it from what heals as surely as a long one."""
    text = settings.read_text(encoding="utf-8").replace('settle = "7s"\n', "")
    settings.write_text(text.replace("\nfreshness = ", '\nsettle = "2s"\nfreshness = '), encoding="utf-8")


@contextmanager
def opened(insurer: Insurer) -> Iterator[App]:
    """The project, open in this process, with its environment."""
    former = {name: os.environ.get(name) for name in insurer.environment}
    os.environ.update(insurer.environment)
    try:
        with open_project(insurer.folder) as app:
            yield app
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
