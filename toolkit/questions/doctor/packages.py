"""Other distributions that install packages under our names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from toolkit.core.ailments import Ailment

DISTRIBUTION = "strangler-toolkit"
ROOTS = ("toolkit", "adapters", "shadow", "migrations")


def foreign_owners(owners: Mapping[str, Iterable[str]]) -> list[Ailment]:
    """Other distributions that install a package of one of our names: whoever came last overwrote the other."""
    found = []
    for root in ROOTS:
        others = sorted(
            {one for one in owners.get(root, ()) if one.replace("_", "-").lower() != DISTRIBUTION}
        )
        if others:
            found.append(
                Ailment(
                    where=f"import name {root}",
                    what=f"is installed by {', '.join(others)}, too",
                    next=f"install {DISTRIBUTION} in an environment of its own (pipx, uv tool install)",
                    evidence={"distributions": ", ".join(others)},
                )
            )
    return found
