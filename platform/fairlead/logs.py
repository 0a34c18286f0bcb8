"""Structured logs: one JSON object a line on standard error, with the ids that were bound when it was written."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

from fairlead.domain.redaction import redact_text

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str, *, for_good: bool = False) -> None:
    """Once per process, before anything logs. Libraries that use the standard module are held to warnings.

    `for_good`: loggers are made once, as suits a process that serves; a later call would not reach them any more.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _without_secrets,
            structlog.processors.JSONRenderer(serializer=_serialize),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=for_good,
    )
    logging.basicConfig(level=max(LEVELS[level], logging.WARNING), stream=sys.stderr, format="%(message)s")


def _without_secrets(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An error of somebody else's code may quote what it was given."""
    if "exception" in line:
        line["exception"] = redact_text(str(line["exception"]))
    return line


def _serialize(line: dict[str, Any], **_: Any) -> bytes:
    return msgspec.json.encode(line, enc_hook=str)
