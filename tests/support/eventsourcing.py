"""Applications of the `eventsourcing` library on the test engine, each test in a namespace of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventsourcing.utils import Environment
from uuid_utils.compat import uuid7

from fairlead.adapters.eventsourcing import JetStreamFactory

MODULE = "fairlead.adapters.eventsourcing"


def settings(nats_url: str) -> dict[str, str]:
    """Environment variables of an empty log."""
    return {
        "PERSISTENCE_MODULE": MODULE,
        JetStreamFactory.NATS_URL: nats_url,
        JetStreamFactory.NAMESPACE: uuid7().hex,
    }


@contextmanager
def factory(env: dict[str, str], name: str = "Orders") -> Iterator[JetStreamFactory]:
    """As one process of the application `name` has it."""
    with JetStreamFactory(Environment(name, env)) as opened:
        try:
            yield opened
        finally:
            opened.close()
