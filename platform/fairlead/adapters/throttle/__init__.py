"""Limits of rate and of calls at once that hold across processes."""

from fairlead.adapters.throttle.leasing import LeasingThrottle
from fairlead.adapters.throttle.ledgers import MemoryLedgers
from fairlead.adapters.throttle.nats_ledgers import NatsLedgers

__all__ = ["LeasingThrottle", "MemoryLedgers", "NatsLedgers"]
