"""A replay in another process: with other hashes, in another time zone and language, in another folder (R5).

What a handler takes from its process is the same each time it is asked there, so two replays in one process agree on it.
`python -m toolkit.cli.elsewhere FOLDER PROJECTION VERSION` is the other process; it speaks over its pipes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

import toolkit
from toolkit.app import open_project
from toolkit.core.projections import Definition, row_json
from toolkit.loops.verify import Asked, Told, replay_of

_AGREED = b"agreed\n"
OTHER = {"PYTHONHASHSEED": "271828", "TZ": "Pacific/Chatham", "LANG": "C", "LC_ALL": "C"}


class Elsewhere:
    """The other process. It works while the caller replays, too; `told` waits for it."""

    def __init__(self, folder: Path, definition: Definition) -> None:
        self._words = [str(folder.resolve()), definition.name, str(definition.version)]
        self._room = tempfile.TemporaryDirectory(prefix="strangler-elsewhere-")
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, asked: Asked) -> None:
        """Begin."""
        path = os.pathsep.join(
            filter(None, (str(Path(toolkit.__file__).parents[1]), os.environ.get("PYTHONPATH")))
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "toolkit.cli.elsewhere", *self._words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **OTHER, "PYTHONPATH": path},
            cwd=self._room.name,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(asked) + b"\n")
        self._process.stdin.flush()

    def told(self, digest: str) -> Told:
        """What came of it: nothing but agreement, the rows of its own, or why there are none."""
        assert self._process is not None
        out, err = self._process.communicate(digest.encode() + b"\n")
        self._room.cleanup()
        if self._process.returncode:
            said = err.decode(errors="replace").strip().splitlines()
            return Told(failed=said[-1] if said else f"it ended with {self._process.returncode}")
        return Told() if out == _AGREED else Told(rows=out.splitlines())


def main(folder: str, name: str, version: str) -> None:
    """Replay, and compare with the digest of the one who asked."""
    asked = msgspec.json.decode(sys.stdin.buffer.readline(), type=Asked)
    with open_project(folder) as opened:
        definition = opened.project.definition(name, int(version))
        done = replay_of(definition, opened.project.catalogue, opened.state.archive, opened.clock, asked)
    if done.digest() == sys.stdin.readline().strip():
        sys.stdout.buffer.write(_AGREED)
        return
    for key in sorted(done.rows):  # type: ignore[type-var]
        sys.stdout.buffer.write(row_json(done.rows[key]) + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
