"""JetStream as a persistence module of the `eventsourcing` library.

An application written with that library runs on it with `PERSISTENCE_MODULE=fairlead.adapters.eventsourcing`.
"""

from fairlead.adapters.eventsourcing.factory import JetStreamFactory

__all__ = ["JetStreamFactory"]
