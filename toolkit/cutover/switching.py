"""Which version serves: let another one, unless something stands against it, and write down who did.

Where a route has left legacy, its consumers read whatever the view shows: then a version has to be verified first, like
before the route moved, and somebody has to keep it up to date. What served before is the way back, and needs no proof.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence

from toolkit import commands
from toolkit.core.errors import Refused
from toolkit.core.routes import Stage
from toolkit.cutover.facts import Around, verified
from toolkit.cutover.gates import judge
from toolkit.loops import folding
from toolkit.loops.following import version_name
from toolkit.ports import LeaseList, ReadStore, Serving, ServingLedger, VersionState, serving_of

logger = logging.getLogger("strangler.project")

BEHIND = dt.timedelta(seconds=10)
"""How far a version may stand behind the serving one when reads are switched to it."""
_BY_THE_VIEW = (Stage.CANARY, Stage.PROJECTION, Stage.RETIRED)


def switch(store: ReadStore, projection: str, version: int, *, behind: dt.timedelta = BEHIND) -> int | None:
    """Let reads go to this version. Returns the one that served before, which keeps running for the way back.

    Raises Refused when the version was never complete, has failed, or is further behind the serving one than `behind`.
    """
    versions = store.versions(projection)
    serving = serving_of(versions)
    if serving == version:
        return None
    if reasons := _against(store, versions, projection, version, behind):
        raise Refused(f"{projection} v{version} cannot serve", reasons)
    store.switch(projection, version)
    return serving


def let_serve(
    around: Around,
    ledger: ServingLedger,
    projection: str,
    version: int,
    *,
    who: str,
    why: str,
    force: bool = False,
) -> Serving | None:
    """Switch, and note it; None: it serves already. Raises Refused with all that stands against it, unless `force`."""
    store, now = around.read_store, around.clock()
    versions = store.versions(projection)
    if serving_of(versions) == version:
        return None
    reasons = _against(store, versions, projection, version, BEHIND) if versions else []
    reasons += _gated(around, ledger, versions, projection, version)
    if reasons and not force:
        instead = f"or answer for it: `{commands.switch(projection, version)} --force --why WHY`"
        raise Refused(f"{projection} v{version} cannot serve", [*reasons, instead])
    if versions:
        store.switch(projection, version)
    for reason in reasons:
        logger.warning(
            "%s v%d serves by decision of %s (%s), although: %s", projection, version, who, why, reason
        )
    done = Serving(projection=projection, version=version, at=now, who=who, why=why, forced=reasons)
    ledger.note(done)
    return done


def unfollowed(
    leases: LeaseList, projection: str, serving: int | None, version: int, now: dt.datetime
) -> str:
    """Why a version will soon stand behind the one that serves: that one is followed, and this one is not. Or nothing."""
    live = [one.name for one in leases.leases() if one.expires_at > now]

    def followed(number: int) -> bool:
        name = version_name(projection, number)
        return any(one == name or one.startswith(f"{name}:") for one in live)

    if serving is None or followed(version) or not followed(serving):
        return ""
    return f"no process keeps v{version} up to date, as one does v{serving}: restart `{commands.RUN}` with the new code"


def _against(
    store: ReadStore, versions: Sequence[VersionState], projection: str, version: int, behind: dt.timedelta
) -> list[str]:
    """What stands against it in the read store. Raises Refused where there is nothing that could serve."""
    again = commands.rebuild(projection, version)
    one = _among(versions, version)
    if one is None:
        raise Refused(f"the read store has no {projection} v{version}", [f"run `{again}`"])
    if one.built_at is None:
        never = f"it is {one.state} and was never complete: run `{again}`"
        raise Refused(f"{projection} v{version} cannot serve", [never])
    if one.state != "running":
        return [f"it is {one.state}: {one.detail or 'see `strangler status`'}"]
    serving = serving_of(versions)
    return [] if serving is None else _stands_behind(store, projection, serving, version, behind)


def _among(versions: Sequence[VersionState], version: int) -> VersionState | None:
    return next((one for one in versions if one.version == version), None)


def _stands_behind(
    store: ReadStore, projection: str, serving: int, version: int, behind: dt.timedelta
) -> list[str]:
    """A reader would see time run backwards."""
    old = folding.places(store.checkpoints(projection, serving))
    new = folding.places(store.checkpoints(projection, version))
    reasons = []
    for place, one in old.items():
        mine = new[place].as_of if place in new else None
        if one.as_of is not None and (mine is None or mine + behind < one.as_of):
            reasons.append(
                f"{place[0]}[{place[1]}]: it is as of {mine or 'nothing'}, v{serving} as of {one.as_of}: "
                f"let `{commands.PROJECT}` run until it has caught up"
            )
    return reasons


def _gated(
    around: Around,
    ledger: ServingLedger,
    versions: Sequence[VersionState],
    projection: str,
    version: int,
) -> list[str]:
    """What stands against it because capabilities are served by the view."""
    capabilities = _served(around, projection)
    if not capabilities:
        return []
    state = _among(versions, version)
    if state is None:
        return [f"{', '.join(capabilities)}: what it would serve is not there yet, and cannot be verified"]
    reasons = []
    if not _served_before(ledger.history(projection), state, around.clock()):
        gates = {
            name: judge("determinism", verified(around, name, {projection: version}), _ANY)
            for name in capabilities
        }
        reasons += [f"{name} is served by it: {gate}" for name, gate in gates.items() if not gate.open]
    if around.leases is not None:
        unkept = unfollowed(around.leases, projection, serving_of(versions), version, around.clock())
        reasons += [unkept] if unkept else []
    return reasons


_ANY = (Stage.PROJECTION, 1)


def _served(around: Around, projection: str) -> list[str]:
    """The capabilities that somebody is answered from the view of this projection."""
    known = around.project.settings.capability
    moved = {one.capability for one in around.routes.all() if one.stage in _BY_THE_VIEW}
    return [name for name, section in known.items() if name in moved and projection in section.projections]


def _served_before(history: Sequence[Serving], state: VersionState, now: dt.datetime) -> bool:
    """Did it serve since it was built, without force? `history` is newest first."""
    until = now
    for line in history:
        if line.version == state.version and not line.forced:
            return state.built_at is not None and until >= state.built_at
        until = line.at
    return False
