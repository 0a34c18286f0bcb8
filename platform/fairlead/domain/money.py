"""Money is a whole number of millionths of a US dollar."""

from typing import NewType

UsdMicros = NewType("UsdMicros", int)
