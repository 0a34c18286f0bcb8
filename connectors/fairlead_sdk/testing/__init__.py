"""For the tests of connectors: a counterpart in memory, examples, and what the conformance suite tries with them.

Unlike the rest of the SDK it runs tasks, waits, and looks at the interpreter. Nothing that serves calls imports it.
"""

from fairlead_sdk.testing.counterpart import Counterpart, Example, Request

__all__ = ["Counterpart", "Example", "Request"]
