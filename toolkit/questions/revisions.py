"""The catalogue of another time: of a file that was exported, or of a revision in the version control."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from toolkit.core.contracts import Contracts, contracts, decoded
from toolkit.core.errors import ProjectError, UsageError
from toolkit.loader import Project, load


def contracts_of(project: Project) -> Contracts:
    """The document of a loaded project."""
    definitions = [one for versions in project.projections.values() for one in versions.values()]
    return contracts(project.settings.project.name, project.catalogue, definitions)


def contracts_at(folder: Path, given: str) -> Contracts:
    """What a file or a git revision says. Raises UsageError when it is neither, or holds no project."""
    path = Path(given)
    if path.is_file():
        return decoded(path.read_bytes(), given)
    with tempfile.TemporaryDirectory(prefix="strangler-catalogue-") as made:
        _extract(folder, given, Path(made))
        try:
            return contracts_of(load(Path(made)))
        except ProjectError as error:
            raise UsageError(f"the project of revision {given} does not load: {error}") from error


def _extract(folder: Path, revision: str, into: Path) -> None:
    """The folder as it was at a revision."""
    prefix = _git(folder, revision, "rev-parse", "--show-prefix").decode().strip()
    commit = (
        _git(folder, revision, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        .decode()
        .strip()
    )
    tree = f"{commit}:{prefix}" if prefix else commit
    top = Path(_git(folder, revision, "rev-parse", "--show-toplevel").decode().strip())
    archive = _git(top, revision, "archive", "--format=tar", tree)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(into, filter="data")


def _git(folder: Path, revision: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError(f"{revision} is no file, and there is no git to ask for a revision") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(
            f"{revision} is no file, and no revision of {folder}: {said[-1] if said else 'git failed'}"
        )
    return done.stdout
