"""Commands to a webhook, and what follows from them."""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.errors import Invalid, NotFound, Problem, Rejected
from fairlead.domain.instant import Instant
from fairlead.domain.redaction import redact_text
from fairlead.domain.webhooks import events as e
from fairlead.domain.webhooks.filters import Filter

MAX_URL = 2_000
MAX_DESCRIPTION = 200
MAX_REASON = 500
MAX_PER_TENANT = 50


class CreateWebhook(Struct, frozen=True, kw_only=True):
    url: str
    description: str
    filter: Filter
    secret_version: int


class ChangeWebhook(Struct, frozen=True, kw_only=True):
    url: str
    description: str
    filter: Filter


class RotateWebhookSecret(Struct, frozen=True, kw_only=True):
    secret_version: int
    overlap_until: Instant


class SendTestEvent(Struct, frozen=True, kw_only=True):
    pass


class ReplayWebhook(Struct, frozen=True, kw_only=True):
    after_sequence: int
    since: Instant | None = None


class RedeliverEvent(Struct, frozen=True, kw_only=True):
    sequence: int
    index: int


class DisableWebhook(Struct, frozen=True, kw_only=True):
    by: Literal["person", "failures", "gone"]
    reason: str
    failing_since: Instant | None = None


class EnableWebhook(Struct, frozen=True, kw_only=True):
    pass


class RemoveWebhook(Struct, frozen=True, kw_only=True):
    reason: str


WebhookCommand = (
    CreateWebhook
    | ChangeWebhook
    | RotateWebhookSecret
    | SendTestEvent
    | ReplayWebhook
    | RedeliverEvent
    | DisableWebhook
    | EnableWebhook
    | RemoveWebhook
)


class NoSuchWebhook(NotFound):
    """There is none of this id, or it was removed."""

    code = "webhook_not_found"


class WebhookIsDisabled(Rejected):
    """Nothing is sent to it: enable it first."""

    code = "webhook_disabled"


class TooManyWebhooks(Rejected):
    """The tenant has as many webhooks as it may have."""

    code = "too_many_webhooks"


class NotYet(Struct, frozen=True):
    pass


class Subscription(Struct, frozen=True, kw_only=True):
    url: str
    description: str
    filter: Filter
    secret_version: int
    is_enabled: bool = True


class Removed(Struct, frozen=True):
    pass


WebhookState = NotYet | Subscription | Removed


def initial() -> WebhookState:
    return NotYet()


def decide(command: WebhookCommand, state: WebhookState) -> list[e.WebhookEvent]:
    """Say what happens. Raises NoSuchWebhook, WebhookIsDisabled, Invalid."""
    match command, state:
        case CreateWebhook(), NotYet():
            _check_url(command.url)
            return [
                e.WebhookCreated(
                    url=command.url,
                    description=redact_text(command.description),
                    filter=command.filter,
                    secret_version=command.secret_version,
                )
            ]
        case RemoveWebhook(), Removed():
            return []
        case _, NotYet() | Removed():
            raise NoSuchWebhook("no such webhook")
        case _, Subscription():
            return _of_existing(command, state)
    raise AssertionError("every pair is above")


def _of_existing(command: WebhookCommand, state: Subscription) -> list[e.WebhookEvent]:
    match command:
        case CreateWebhook():
            return []  # the same request, carried out again
        case ChangeWebhook():
            return _changed(command, state)
        case RotateWebhookSecret(secret_version=version, overlap_until=until):
            return [e.WebhookSecretRotated(secret_version=version, overlap_until=until)]
        case DisableWebhook(by=by, failing_since=since):
            reason = redact_text(command.reason)[:MAX_REASON]
            return [e.WebhookDisabled(by=by, reason=reason, failing_since=since)] if state.is_enabled else []
        case EnableWebhook():
            return [] if state.is_enabled else [e.WebhookEnabled()]
        case RemoveWebhook():
            return [e.WebhookRemoved(reason=redact_text(command.reason)[:MAX_REASON])]
        case SendTestEvent() | ReplayWebhook() | RedeliverEvent():
            return [_asked_for(command, state)]


def _asked_for(command: SendTestEvent | ReplayWebhook | RedeliverEvent, state: Subscription) -> e.WebhookEvent:
    if not state.is_enabled:
        raise WebhookIsDisabled("the webhook is disabled")
    match command:
        case SendTestEvent():
            return e.WebhookTestRequested()
        case ReplayWebhook(after_sequence=after, since=since):
            return e.WebhookReplayRequested(after_sequence=after, since=since)
        case RedeliverEvent(sequence=sequence, index=index):
            return e.WebhookRedeliveryRequested(sequence=sequence, index=index)


def _changed(command: ChangeWebhook, state: Subscription) -> list[e.WebhookEvent]:
    _check_url(command.url)
    description = redact_text(command.description)
    if (command.url, description, command.filter) == (state.url, state.description, state.filter):
        return []
    return [e.WebhookChanged(url=command.url, description=description, filter=command.filter)]


def _check_url(url: str) -> None:
    """Addresses are in the history for ever. Whether one may be reached is asked whenever something is sent."""
    if redact_text(url) != url:
        problem = Problem(path="/url", message="holds a secret; what is sent is signed instead", code="secret_in_url")
        raise Invalid([problem], "the address cannot be used")


def evolve(state: WebhookState, event: e.WebhookEvent) -> WebhookState:
    """Apply a fact."""
    if isinstance(event, e.WebhookCreated):
        return Subscription(
            url=event.url,
            description=event.description,
            filter=event.filter,
            secret_version=event.secret_version,
        )
    assert isinstance(state, Subscription), "it was created first, and nothing follows its removal"
    match event:
        case e.WebhookChanged(url=url, description=description, filter=wanted):
            return replace(state, url=url, description=description, filter=wanted)
        case e.WebhookSecretRotated(secret_version=version):
            return replace(state, secret_version=version)
        case e.WebhookDisabled() | e.WebhookEnabled():
            return replace(state, is_enabled=isinstance(event, e.WebhookEnabled))
        case e.WebhookRemoved():
            return Removed()
        case e.WebhookTestRequested() | e.WebhookReplayRequested() | e.WebhookRedeliveryRequested():
            return state
