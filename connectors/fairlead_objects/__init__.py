"""Objects in a bucket of any store that speaks like Amazon S3."""

from fairlead_sdk import Auth, AuthKind, ConfigField, Manifest, hookimpl
from fairlead_sdk.hookspecs import Register

from fairlead_objects.reading import get_object, list_objects
from fairlead_objects.writing import delete_object, put_object


class ObjectsConnector:
    """A connection is one bucket, or one prefix of it. The account's name is the id of its access key."""

    manifest = Manifest(
        name="objects",
        title="Object storage",
        version="1.0.0",
        tools=(delete_object, get_object, list_objects, put_object),
        auth=Auth(kind=AuthKind.BASIC, handed_over=True),  # requests are signed with the secret, which is never sent
        config=(
            ConfigField(name="url", title="Address of the store, with https and without the bucket"),
            ConfigField(name="bucket", title="Bucket"),
            ConfigField(name="region", title="Region, us-east-1 if left out", required=False),
            ConfigField(name="prefix", title="What the key of every object begins with", required=False),
        ),
        egress=("{url}",),
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(ObjectsConnector())
