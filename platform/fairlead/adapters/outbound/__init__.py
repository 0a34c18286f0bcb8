"""The one way out: HTTP to declared hosts at public addresses, bounded in time and size, the credential added."""

from fairlead.adapters.outbound.client import GuardedOutbound

__all__ = ["GuardedOutbound"]
