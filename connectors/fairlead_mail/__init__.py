"""Mail of one account: sends by SMTP, finds and reads by IMAP."""

from fairlead_sdk import Auth, AuthKind, ConfigField, Manifest, hookimpl
from fairlead_sdk.hookspecs import Register

from fairlead_mail.reading import find_messages, read_message
from fairlead_mail.sending import send_message


class MailConnector:
    """A connection is one account: its servers, its address, and its password."""

    manifest = Manifest(
        name="mail",
        title="Mail",
        version="1.0.0",
        tools=(find_messages, read_message, send_message),
        settings=("ca_file",),
        auth=Auth(kind=AuthKind.BASIC, handed_over=True),
        config=(
            ConfigField(name="address", title="The account's own address, which messages come from"),
            ConfigField(name="smtp", title="Server that takes messages, host:port"),
            ConfigField(name="imap", title="Server that keeps messages, host:port"),
            ConfigField(name="smtp_tls", title="implicit (usual for 465) or starttls (for others)", required=False),
            ConfigField(name="imap_tls", title="implicit (usual for 993) or starttls (for others)", required=False),
        ),
        egress=("{smtp}", "{imap}"),
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(MailConnector())
