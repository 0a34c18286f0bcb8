"""Documents in folders, one for each source: searched, and what is said of them checked. Nothing is ever written."""

from fairlead_sdk import Manifest, hookimpl
from fairlead_sdk.hookspecs import Register

from fairlead_library.shelves import SETTING
from fairlead_library.tools import TOOLS


class LibraryConnector:
    """Setting: `library_dir`, a folder with a folder of `.md` files for each source."""

    def __init__(self) -> None:
        self.manifest = Manifest(
            name="library", title="Document library", version="1.0.0", tools=TOOLS, settings=(SETTING,)
        )


@hookimpl
def register_connectors(register: Register) -> None:
    register(LibraryConnector())
