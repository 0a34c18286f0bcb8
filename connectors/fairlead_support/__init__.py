"""A shop's support desk in one SQLite file: customers, orders, refunds. The counterpart of the refund agent."""

from fairlead_sdk import Access, Manifest, Scope, hookimpl
from fairlead_sdk.hookspecs import Register

from fairlead_support.desk import SETTING
from fairlead_support.tools import TOOLS

SCOPES = (
    Scope(name="desk:read", access=Access.READ, title="Look up customers and orders"),
    Scope(name="refunds:write", access=Access.WRITE, title="Refund orders"),
    Scope(name="customers:delete", access=Access.ADMIN, title="Delete customers"),
)


class SupportConnector:
    """Setting: `desk_file`, the SQLite file (see schema.sql)."""

    def __init__(self) -> None:
        self.manifest = Manifest(
            name="support", title="Support desk", version="1.0.0", tools=TOOLS, settings=(SETTING,), scopes=SCOPES
        )


@hookimpl
def register_connectors(register: Register) -> None:
    register(SupportConnector())
