"""`make demo`: the whole way, from legacy rows to a capability that has moved, told with the real commands.

Everything printed is computed in this run, on a fresh estate in `.demo/`. Nothing is scripted but the order.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

from examples.insurer.estate.generate import generate
from toolkit.app import open_project
from toolkit.cli.app import run
from toolkit.questions.lagging import lagging

HERE = Path(__file__).resolve().parent
console = Console(highlight=False)


class Story:
    """A demo in progress: a folder, the commands given so far, and what must come of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.started = time.monotonic()

    def chapter(self, title: str, *text: str) -> None:
        """Begin a chapter: what is to be seen, and why."""
        console.print()
        console.print(
            Rule(f"[bold]{escape(title)}[/]  {time.monotonic() - self.started:.0f} s", align="left")
        )
        for line in text:
            console.print(escape(line), style="italic")

    def strangler(self, *arguments: str, expect: int = 0) -> None:
        """Run a command as a user would, and see that it ends as the story says."""
        console.print(f"\n[bold cyan]$ strangler {escape(' '.join(arguments))}[/]")
        code = run([*arguments])
        if code != expect:
            raise SystemExit(
                f"the story broke: strangler {' '.join(arguments)} ended with {code}, not {expect}"
            )

    def until_fresh(self, capability: str, within: float = 300) -> None:
        """Wait until the capability's view contains what is committed now."""
        began = time.monotonic()
        with open_project(self.project) as opened:
            while time.monotonic() - began < within:
                lag = lagging(opened.around, capability).lag
                if lag is not None and lag.total_seconds() < 3:
                    console.print(f"\nthe view of {capability} is {lag.total_seconds() * 1000:.0f} ms behind")
                    return
                time.sleep(0.2)
        raise SystemExit(f"the story broke: {capability} was not fresh within {within:g} s")

    @contextmanager
    def background(self, *command: str) -> Iterator[None]:
        """Keep a process running beside the story."""
        shown = " ".join(("python -m", *command)).replace("python -m toolkit.cli.app", "strangler")
        console.print(f"\n[bold cyan]$ {escape(shown)} &[/]", soft_wrap=True)
        log = self.folder / "background.log"
        with log.open("a", encoding="utf-8") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=Path.cwd(), stdout=output, stderr=subprocess.STDOUT
            )
            try:
                yield
                if child.poll() is not None:
                    raise SystemExit(f"the story broke: {shown} ended by itself; see {log}")
            finally:
                child.terminate()
                child.wait(timeout=30)


def main() -> None:
    """Tell the story."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".demo"))
    parser.add_argument("--size", type=int, default=2000, help="policies in the estate")
    parser.add_argument("--rate", type=float, default=25, help="business transactions a second")
    given = parser.parse_args()
    story = Story(given.folder.resolve())
    legacy = prepare(story, given.size)
    writer = ("examples.insurer.estate.writer", legacy, "--rate", str(given.rate), "--confirm-lag", "4")
    install(story)
    with story.background(*writer, "--seconds", "600"):
        with story.background("toolkit.cli.app", "run"):
            first_look(story)
        mend(story)
        with story.background("toolkit.cli.app", "run"):
            second_version(story)
            second_look(story)
            move(story)
    ending(story)


def prepare(story: Story, size: int) -> str:
    """Make the estate and the team's project."""
    story.chapter(
        "1  A legacy system, and a project",
        "An insurer's policy administration in SQLite: coded columns, padded keys, half of its foreign keys.",
        "The project beside it: events in the business's words, translators, projections, the old and the new SQL.",
    )
    shutil.rmtree(story.folder, ignore_errors=True)
    shutil.copytree(HERE / "project", story.project, ignore=shutil.ignore_patterns("__pycache__"))
    os.environ["STRANGLER_PROJECT"] = str(story.project)
    legacy = f"sqlite:///{story.project / 'legacy.db'}"
    rows = generate(legacy, size=size)
    console.print(
        f"\n{sum(rows.values()):,} rows: " + ", ".join(f"{name} {count:,}" for name, count in rows.items())
    )
    story.strangler("check")
    story.strangler("setup")
    return legacy


def install(story: Story) -> None:
    """Capture and backfill."""
    story.chapter(
        "2  Capture, and the history",
        "Triggers write each row change into one table, in the business's own transaction. `capture plan` prints every",
        "statement before, and how it is taken away again. Then the history is read in chunks, while work goes on.",
    )
    story.strangler("capture", "install", "--yes")
    story.strangler("backfill")


def first_look(story: Story) -> None:
    """The shadow run that finds the three mistakes of version 1."""
    story.chapter(
        "3  Events flow while business goes on; the shadow run compares",
        "Beside this story a writer commits business transactions, and `strangler run` relays and projects them.",
        "Version 1 of the portal's projection has three mistakes. Nobody knows yet.",
    )
    story.until_fresh("portal-policy")
    story.strangler(
        "route", "apply", "portal-policy", "shadow", "--why", "compare before anybody depends on it"
    )
    story.strangler("shadow", "run", "portal-policy", "--keys", "800", expect=1)
    console.print(
        "\n[italic]temporal: a released hold shows late, because version 1 waits for billing's confirmation.\n"
        "semantic: a cancellation in the future is shown as if it were today's.\n"
        "parked: endorsements from before 2023 have no reason, which version 1 takes for granted.[/]"
    )
    story.strangler("repair", "parked", "portal-policy", expect=1)
    story.chapter("4  The checklist refuses, and says why")
    story.strangler("checklist", "portal-policy", expect=1)
    story.strangler("route", "apply", "portal-policy", "canary", "--share", "10", expect=1)


def mend(story: Story) -> None:
    """Put the mended files into the project."""
    story.chapter(
        "5  The mend",
        "Two files: an upcaster says what an endorsement without a reason means, and version 2 of the projection",
        "overrides the two rules that were wrong. Version 1 keeps running beside it.",
    )
    for file in sorted((HERE / "mended").glob("*.py")):
        shutil.copy(file, story.project)
        console.print(f"  {'changed' if (HERE / 'project' / file.name).exists() else 'new    '} {file.name}")
    shutil.copytree(HERE / "mended" / "golden", story.project / "golden", dirs_exist_ok=True)
    console.print("  new     golden/EndorsementApplied/v2.m1.json, an example of the new version")
    settings = story.project / "strangler.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(
        text.replace('"projections"]', '"projections", "customer_policy_v2"]'), encoding="utf-8"
    )
    console.print("  changed strangler.toml: modules gets customer_policy_v2")
    story.strangler("check")


def second_version(story: Story) -> None:
    """Build version 2 beside version 1, prove it, compare, switch; replay what was parked."""
    story.until_fresh("portal-policy")
    story.chapter(
        "6  Version 2, built beside version 1 from the archive",
        "Replayed twice in different orders to prove that it is deterministic, compared with version 1, switched",
        "in one transaction. Version 1 stays, for the way back.",
    )
    story.strangler("rebuild", "customer_policy", "--version", "2")
    story.strangler("verify", "customer_policy", "--version", "2")
    story.strangler("compare", "customer_policy", "--old", "1", "--new", "2", expect=1)
    story.strangler("switch", "customer_policy", "--version", "2")
    story.strangler("repair", "events", "agent_case")


def second_look(story: Story) -> None:
    """Now the runs are clean."""
    story.chapter("7  The shadow run again")
    story.until_fresh("portal-policy")
    story.strangler("shadow", "run", "portal-policy", "--keys", "800")
    story.strangler("shadow", "run", "agent-case", "--keys", "800")
    story.chapter(
        "8  What the checklist still asks for", "Determinism of the other projection; the way back, walked."
    )
    story.strangler("verify", "customer_contact", "--version", "1")
    story.strangler("route", "rehearse", "portal-policy")
    story.strangler("checklist", "portal-policy")


def move(story: Story) -> None:
    """Canary, projection, back, and forward again."""
    story.chapter(
        "9  The route moves",
        "First a tenth of the policies, then all; legacy is now the one that is shadowed.",
    )
    story.strangler("route", "apply", "portal-policy", "canary", "--share", "10", "--why", "first tenth")
    story.strangler("route", "apply", "portal-policy", "projection", "--why", "canary was clean")
    story.strangler("read", "portal-policy", "P000000042")
    story.until_fresh("portal-policy")
    story.strangler("shadow", "run", "portal-policy", "--keys", "500")
    story.chapter(
        "10  The way back is real", "Back to legacy in one command, and forward again through the same gates."
    )
    story.strangler("route", "rollback", "portal-policy", "--to", "shadow", "--why", "show that it works")
    story.strangler("read", "portal-policy", "P000000042")
    story.strangler("route", "apply", "portal-policy", "canary", "--share", "50", "--why", "forward again")
    story.strangler("route", "apply", "portal-policy", "projection", "--why", "forward again")
    story.strangler("route", "history", "portal-policy")
    story.chapter(
        "11  What must not move",
        "Money leaves the house on claim-cover: it is authoritative, and stays on legacy. It may be compared.",
    )
    story.strangler("route", "apply", "claim-cover", "shadow", expect=1)
    story.strangler("shadow", "run", "claim-cover")
    story.chapter("12  Three questions, at any time")
    story.strangler("authority", "portal-policy")
    story.strangler("freshness", "portal-policy")
    story.strangler("repair", "show", "portal-policy")
    story.strangler("status")


def ending(story: Story) -> None:
    """Where to look next."""
    seconds = time.monotonic() - story.started
    console.print(f"\n[bold]Done in {seconds:.0f} s.[/] What to look at next:")
    for line in (
        f"  {os.path.relpath(story.project)}   the project of this story, with its databases: every command above works on it",
        "  examples/insurer/project    the project as it was; examples/insurer/mended: what was changed",
        "  README.md                   how to start on your own database",
    ):
        console.print(escape(line))


if __name__ == "__main__":
    main()
