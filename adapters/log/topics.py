"""What every log says when a topic is not as the project wants it."""

from __future__ import annotations

from toolkit.core.errors import Fault, ProjectError, UsageError


def no_topic(topic: str) -> UsageError:
    """There is no such topic."""
    return UsageError(f"there is no topic {topic} in the log: run `strangler setup`")


def other_partitions(topic: str, found: int, asked: int) -> ProjectError:
    """A topic has another number of partitions than the project asks for."""
    return ProjectError(
        [
            Fault(
                where="log.partitions",
                what=f"the project asks for {asked}, but topic {topic} has {found}",
                next=f"set it to {found}: another number would move subjects to other partitions and break their "
                "order; for more partitions begin anew under another project.name and state.url",
            )
        ]
    )
