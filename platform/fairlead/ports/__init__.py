"""The Protocols that everything above is written against. Each has a real and a memory implementation
that pass the same suite in tests/contract."""

from fairlead.ports.brakes import Over, Passed, Switches, Throttle
from fairlead.ports.clock import Clock, Ids
from fairlead.ports.jobs import Jobs, Order, Timers, Unfinished
from fairlead.ports.ledger import HeadAnchor, HeadKeys
from fairlead.ports.log import (
    AnyCommit,
    AnyRecorded,
    Batches,
    Copy,
    CopyBatches,
    Delivery,
    Followed,
    Log,
    LogCopies,
    LogRemoval,
    Shares,
)
from fairlead.ports.mail import Mail, Mailer, MailRefused
from fairlead.ports.models import Answering, ModelOrder, Models, Recordings
from fairlead.ports.outside import (
    ConnectionDirectory,
    Credentials,
    Manifests,
    OAuthFlows,
    ObjectStores,
    Outbound,
    Results,
    StaleObjects,
    WayOut,
)
from fairlead.ports.sql import FoldTx, SqlDatabase, SqlSession, SqlSessions, SqlTx
from fairlead.ports.telemetry import SpanSink, SpansRefused
from fairlead.ports.vault import ContentKeys, KeyEncryption, Secret, Slips, Turn, Vault

__all__ = [
    "Answering",
    "AnyCommit",
    "AnyRecorded",
    "Batches",
    "Clock",
    "ConnectionDirectory",
    "ContentKeys",
    "Copy",
    "CopyBatches",
    "Credentials",
    "Delivery",
    "FoldTx",
    "Followed",
    "HeadAnchor",
    "HeadKeys",
    "Ids",
    "Jobs",
    "KeyEncryption",
    "Log",
    "LogCopies",
    "LogRemoval",
    "Mail",
    "MailRefused",
    "Mailer",
    "Manifests",
    "ModelOrder",
    "Models",
    "OAuthFlows",
    "ObjectStores",
    "Order",
    "Outbound",
    "Over",
    "Passed",
    "Recordings",
    "Results",
    "Secret",
    "Shares",
    "Slips",
    "SpanSink",
    "SpansRefused",
    "SqlDatabase",
    "SqlSession",
    "SqlSessions",
    "SqlTx",
    "StaleObjects",
    "Switches",
    "Throttle",
    "Timers",
    "Turn",
    "Unfinished",
    "Vault",
    "WayOut",
]
