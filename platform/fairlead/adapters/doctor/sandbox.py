"""What contains other people's connectors on this machine: found by trying to get out, not by looking at versions."""

from collections.abc import Sequence

from fairlead.adapters.doctor.finding import Finding, fail, ok, warn
from fairlead.adapters.sandbox.choosing import Tested, Wanted, choose
from fairlead.adapters.sandbox.limits import Limits

_NAME = "sandbox"
_INSTALL = "install bubblewrap (`apt-get install bubblewrap`) and let it make user namespaces"


async def examine_sandbox(wanted: Wanted) -> Finding:
    if wanted == "off":
        return ok(_NAME, "switched off: other people's connectors are refused")
    chosen, tried = await choose(wanted, Limits())
    if chosen is None:
        detail = f"nothing holds other people's connectors, so they are refused ({_flaws(tried)})"
        return (warn if wanted == "auto" else fail)(_NAME, detail, f"{_INSTALL}, or set FAIRLEAD_SANDBOX=off")
    detail = f"{chosen.name} holds: every attempt to get out failed"
    if chosen.scratch is None and wanted == "auto":
        mend = f"{_INSTALL}: it hides the names of files as well, and gives connectors a folder to write in"
        return warn(_NAME, f"{detail}; weaker than bubblewrap ({_flaws(tried)})", mend)
    return ok(_NAME, detail)


def _flaws(tried: Sequence[Tested]) -> str:
    return "; ".join(f"{each.name}: {each.flaw}" for each in tried if each.flaw)
