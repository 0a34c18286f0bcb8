"""What a connection says of its database, by dialect."""

from typing import Literal

from fairlead_sdk import Auth, AuthKind, ConfigField
from fairlead_sdk.auth import NO_AUTH

Dialect = Literal["postgresql", "sqlite"]

AUTH: dict[Dialect, Auth] = {"postgresql": Auth(kind=AuthKind.BASIC, handed_over=True), "sqlite": NO_AUTH}
CONFIG: dict[Dialect, tuple[ConfigField, ...]] = {
    "postgresql": (
        ConfigField(name="server", title="Server, host:port"),
        ConfigField(name="database", title="Database"),
        ConfigField(name="read_role", title="Role that statements which read are run as", required=False),
    ),
    "sqlite": (ConfigField(name="file", title="Name of the file in the tenant's folder"),),
}
EGRESS: dict[Dialect, tuple[str, ...]] = {"postgresql": ("{server}",), "sqlite": ()}
