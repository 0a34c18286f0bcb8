"""Objects in the platform's own store: nothing to set up, and nobody else's."""

from fairlead_sdk import Manifest, hookimpl
from fairlead_sdk.hookspecs import Register

from fairlead_storage.tools import delete_object, get_object, list_objects, put_object


class StorageConnector:
    """Each tenant has a place for each of its workspaces and environments."""

    manifest = Manifest(
        name="storage",
        title="Fairlead's object store",
        version="1.0.0",
        tools=(delete_object, get_object, list_objects, put_object),
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(StorageConnector())
