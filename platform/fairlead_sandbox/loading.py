"""Finds the connector in its folder, and loads it."""

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from fairlead_sdk.contract import Manifest


class Unloadable(Exception):
    """Why there is no connector. The text quotes nothing but names and places."""


def load(module: str, folders: Sequence[str]) -> Manifest:
    """Raises Unloadable. Its own folders come first: what it brings along is what it gets."""
    sys.path[:0] = folders
    found: list[Any] = []
    try:
        hook = getattr(importlib.import_module(module), "register_connectors", None)
        if hook is None:
            raise Unloadable("it implements no hook register_connectors")
        hook(register=found.append)
        manifests = [connector.manifest for connector in found]
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a stranger's module may raise anything
        raise _reason(error) from None
    if len(manifests) != 1:
        raise Unloadable(f"it registers {len(manifests)} connectors, not one")
    if not isinstance(manifests[0], Manifest):
        raise Unloadable("what it calls its manifest is none")
    return manifests[0]


def _reason(error: BaseException) -> Unloadable:
    """Where, but not what it said: a message may quote a secret."""
    if isinstance(error, Unloadable):
        return error
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Unloadable(
        f"loading it raised {type(error).__name__} in line {last.lineno} of {PurePath(last.filename).name}"
    )
