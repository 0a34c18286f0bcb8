"""Whether a reader asks to see what is sensitive, and may: without asking nobody is shown it, whatever they may do.

Routes take what they show from here, so that one which forgets to ask shows masks. That somebody looked is recorded as
an access of its own, before anything is sent.
"""

from typing import Annotated

from fairlead_tenants.access import Permission, Principal, may
from litestar.params import QueryParameter

from fairlead.api.commit_pages import Within
from fairlead.api.opened_commits import Show, opening
from fairlead.api.parts import ApiParts, Sight
from fairlead.api.run_access import RunPlace, within
from fairlead.domain.errors import Denied

LOOKS = "looks"  # in the scope's state: what is sensitive is about to be shown
NEEDED = Permission.CONTENT_UNMASK

Unmasked = Annotated[
    bool,
    QueryParameter(
        name="unmasked", description="With what is sensitive, for those who may. It is on record that you looked."
    ),
]


class Looking:
    """What one request is shown."""

    def __init__(self, parts: ApiParts, principal: Principal, *, unmasked: bool) -> None:
        self._parts = parts
        self._principal = principal
        self.unmasked = unmasked
        self.sight: Sight = parts.unmasked if unmasked else parts.masked

    def again(self, principal: Principal) -> "Looking":
        """The same for the principal as of now."""
        return Looking(self._parts, principal, unmasked=self.unmasked)

    def check(self, place: RunPlace) -> None:
        """Where what is shown is. Raises Denied."""
        if self.unmasked and not may(self._principal, NEEDED, place.workspace_id, place.environment_id):
            raise Denied(NEEDED)

    def within(self, permission: Permission) -> Within:
        """Where a list may look. Raises Denied where that would be nowhere."""
        seen = within(self._principal, permission)
        return both(seen, self.where()) if self.unmasked else seen

    def where(self) -> Within:
        """Raises Denied."""
        found = within(self._principal, NEEDED)
        if found.workspaces == ():
            raise Denied(NEEDED)
        return found

    @property
    def show(self) -> Show:
        """Opens what is sealed in the tenant's commits."""
        return opening(self.sight.contents, self._principal.tenant_id)

    @property
    def show_to_prove(self) -> Show:
        """For files whose content can be held against the ledger."""
        return opening(self.sight.contents, self._principal.tenant_id, to_prove=True)


def both(one: Within, other: Within) -> Within:
    """Of one principal, whose environment is the same in both."""
    if one.workspaces is None or other.workspaces is None:
        return other if one.workspaces is None else one
    return Within(workspaces=tuple(sorted({*one.workspaces} & {*other.workspaces})), environment=one.environment)
