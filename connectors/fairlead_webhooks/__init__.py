"""Tells an address of the tenant's that something has happened, signed by Standard Webhooks."""

from fairlead_sdk import Auth, AuthKind, ConfigField, Manifest, hookimpl
from fairlead_sdk.hookspecs import Register

from fairlead_webhooks.sending import send_event


class WebhooksConnector:
    """A connection is one receiver: its address, and the secret that both sides know."""

    manifest = Manifest(
        name="webhooks",
        title="Outgoing webhooks",
        version="1.0.0",
        tools=(send_event,),
        auth=Auth(kind=AuthKind.API_KEY, handed_over=True),  # it signs with the secret and never sends it
        config=(ConfigField(name="url", title="Address of the receiver, with https"),),
        egress=("{url}",),
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(WebhooksConnector())
