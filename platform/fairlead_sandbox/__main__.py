"""Start here: nothing can be imported yet but the standard library, and the packages that are named on the way in.

`python -I -S __main__.py '[{"msgspec": "/app/msgspec", …}, {…}]' FD`. There is no site-packages: a connector finds its
own folder and these few packages, whatever else the platform has installed. The second are only for the connector: what
we import would try to have them, and start later. `FD` is the socket that is the way out.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType


class Provided(MetaPathFinder):
    """Packages, and modules of one file, by the place where each lies."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  # the protocol of the import system
        target: ModuleType | None = None,  # noqa: ARG002  # the same
    ) -> ModuleSpec | None:
        place = self._places.get(fullname)
        if place is None:
            return None
        if place.endswith(".py"):
            return spec_from_file_location(fullname, place)
        return spec_from_file_location(fullname, f"{place}/__init__.py", submodule_search_locations=[place])


if __name__ == "__main__":
    needed, offered = json.loads(sys.argv[1])
    sys.meta_path.append(Provided(needed))
    from fairlead_sandbox.serving import main

    sys.meta_path.append(Provided(offered))
    main(int(sys.argv[2]))
