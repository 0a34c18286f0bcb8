"""What a tool may raise. The class says what happens next; anything else counts as an unknown outcome of a write."""


class ToolError(Exception):
    """Root. `code` is short, stable and safe to show; the message must hold no secret."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).__name__


class TryLater(ToolError):
    """Nothing happened; the same call may work later. `retry_after_s` is what the counterpart asked for."""

    def __init__(self, message: str, code: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, code)
        self.retry_after_s = retry_after_s


class Refused(ToolError):
    """Nothing happened and the same call will never work: a business rule, a missing object."""


class BadArguments(ToolError):
    """The arguments fit the schema but make no sense to the counterpart. Nothing happened."""


class NeedsReconnect(ToolError):
    """The connection's grant is gone; a person has to give it again. Nothing happened."""


class OutcomeUnknown(ToolError):
    """The request went out, no answer came. The platform asks again under the same key, reads back or asks people."""


class AnswerTooLarge(OutcomeUnknown):
    """The answer was cut off past the limit. A write may have happened all the same."""
