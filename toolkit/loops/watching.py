"""Watch handlers while they run: what a pure function of (row, event) would not call (R5).

The interpreter tells every call, whatever name it was made by; nothing is patched, so nothing can be missed by an
import that came before. What is seen is noted, not raised: a handler that catches everything must not hide it.
"""

from __future__ import annotations

import sys
from types import FrameType, TracebackType
from typing import Any, Self

from toolkit.core.projections import Definition
from toolkit.loops.code import short
from toolkit.loops.forbidden import BUILTINS, METHODS, MODULES, reason_against

_EXCUSED = frozenset(("_strptime",))
"""Modules of the standard library that ask the machine, but whose answer does not depend on it as they are used."""
_CALLERS = frozenset(("toolkit.core.projections", "toolkit.core.events", "toolkit.core.meanings"))
"""Where the toolkit calls handlers, upcasters and mappings; what else runs meanwhile (a clock, a driver) is not theirs."""


class Watch:
    """A context manager; `seen` says where, what and why, each once."""

    def __init__(self, definition: Definition) -> None:
        self._package = definition.row_class.__module__.split(".")[0]
        self._told: dict[str, None] = {}
        self._former: Any = None

    @property
    def seen(self) -> list[str]:
        """What was called, in the order it was first seen."""
        return list(self._told)

    def __enter__(self) -> Self:
        self._former = sys.getprofile()
        sys.setprofile(self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(self._former)

    def _look(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call":
            reason, name = reason_against(called), getattr(called, "__qualname__", str(called))
            direct = getattr(called, "__name__", "") in BUILTINS
            caller: FrameType | None = frame
        elif event == "call":
            module, name = _module(frame), frame.f_code.co_name
            reason = MODULES.get(module.split(".")[0]) or METHODS.get((module, name), "")
            name, direct, caller = f"{module}.{name}", False, frame.f_back
        else:
            return
        if reason and caller is not None:
            self._note(caller, name, reason, direct)

    def _note(self, frame: FrameType, name: str, reason: str, direct: bool) -> None:
        """Note it if a handler or an upcaster is behind it; `direct`: only if the user's code made the call itself."""
        at: FrameType | None = frame
        where = ""
        while at is not None:
            module = _module(at)
            root = module.split(".")[0]
            if module in _EXCUSED:
                return
            if root == "toolkit":
                if where and module in _CALLERS:
                    self._told.setdefault(f"{where}: called {name}: {reason}")
                return
            if root == self._package:
                where = where or f"{short(at.f_code.co_filename)}:{at.f_lineno}"
            elif direct and not where:
                return
            at = at.f_back


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
