"""Watch handlers while they run: what a pure function of (row, event) would not call (R5).

The interpreter tells every call, whatever name it was made by; nothing is patched, so nothing can be missed by an
import that came before. What is seen is noted, not raised: a handler that catches everything must not hide it.
"""

from __future__ import annotations

import gc
import sys
from types import FrameType, ModuleType, TracebackType
from typing import Any, Self

from toolkit.core.projections import Definition
from toolkit.loops.code import short
from toolkit.loops.forbidden import BUILTINS, METHODS, MODULES, reason_against

_EXCUSED = frozenset(("_strptime",))
"""Modules of the standard library that ask the machine, but whose answer does not depend on it as they are used."""
_CALLERS = frozenset(("toolkit.core.handlers", "toolkit.core.events", "toolkit.core.meanings"))
"""Where the toolkit calls handlers, upcasters and mappings; what else runs meanwhile (a clock, a driver) is not theirs."""


class Watch:
    """A context manager, entered as often as handlers run; `seen` says where, what and why, each once."""

    def __init__(self, definition: Definition) -> None:
        self._package = definition.row_class.__module__.split(".")[0]
        self._told: dict[str, None] = {}
        self._former: Any = None
        self._collects = True
        self._judged: dict[object, tuple[str, bool]] = {}

    @property
    def seen(self) -> list[str]:
        """What was called, in the order it was first seen."""
        return list(self._told)

    def __enter__(self) -> Self:
        self._former, self._collects = sys.getprofile(), gc.isenabled()
        # What is collected ends where it is found: somebody else's end, in the midst of a handler, would pass for its own.
        gc.disable()
        sys.setprofile(self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(self._former)
        if self._collects:
            gc.enable()

    def _look(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call":
            reason, direct = self._of_c(called)
            if reason:
                self._note(frame, getattr(called, "__qualname__", str(called)), reason, direct)
        elif event == "call":
            named = _module(frame), frame.f_code.co_name
            if named not in self._judged:
                self._judged[named] = MODULES.get(named[0].split(".")[0]) or METHODS.get(named, ""), False
            reason, _ = self._judged[named]
            if reason and frame.f_back is not None:
                self._note(frame.f_back, ".".join(named), reason, direct=False)

    def _of_c(self, called: Any) -> tuple[str, bool]:
        """What is said of a function written in C, found out once: bound to an object, it is a new one at each call."""
        owner = getattr(called, "__self__", None)
        if owner is None:
            known: object = called
        else:
            known = (owner if isinstance(owner, type | ModuleType) else type(owner), called.__name__)
        if known not in self._judged:
            self._judged[known] = reason_against(called), getattr(called, "__name__", "") in BUILTINS
        return self._judged[known]

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
