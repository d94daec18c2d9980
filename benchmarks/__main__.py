"""All benchmarks of this folder, one after another: every module of it that has a `main(arguments)`."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main(arguments: list[str]) -> None:
    """Pass the same arguments to each."""
    for module in pkgutil.iter_modules(benchmarks.__path__, "benchmarks."):
        if not module.name.endswith(".__main__"):
            run = getattr(importlib.import_module(module.name), "main", None)
            if run is not None:
                run(arguments)


main(sys.argv[1:])
