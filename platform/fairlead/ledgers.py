"""The ledger, put together: who keeps it, who signs its heads, and where these are laid down."""

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.ledger_anchors import anchors
from fairlead.adapters.ledger_keys import LedgerKeys, ledger_keys
from fairlead.consumers.ledger_heads import HeadSigner
from fairlead.consumers.ledger_runner import LedgerRunner
from fairlead.ports import Clock, LogCopies, Outbound, SqlSessions
from fairlead.settings import Settings


def keys_of(settings: Settings) -> LedgerKeys:
    """Made at first use where no file is named."""
    return ledger_keys(settings.ledger_keys_file, settings.data_dir, SystemClock().now())


def keeper(log: LogCopies, sessions: SqlSessions) -> LedgerRunner:
    return LedgerRunner(log, sessions)


def signer(settings: Settings, sessions: SqlSessions, outbound: Outbound, clock: Clock) -> HeadSigner:
    laid_down = anchors(
        settings.ledger_anchor_file, settings.ledger_anchor_url, settings.ledger_anchor_secret, outbound, clock
    )
    return HeadSigner(sessions, keys_of(settings), laid_down, clock, every_s=settings.ledger_head_interval_s)
