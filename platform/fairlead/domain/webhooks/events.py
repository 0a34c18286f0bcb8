"""What has happened to a webhook. One stream for each; no secret is ever in it."""

from typing import Literal

from fairlead.domain.envelope import Event
from fairlead.domain.instant import Instant
from fairlead.domain.webhooks.filters import Filter


class WebhookCreated(Event, frozen=True, kw_only=True, tag="webhook.created.v1"):
    """Told of what is recorded from here on. `secret_version` is the vault's."""

    url: str
    description: str
    filter: Filter
    secret_version: int


class WebhookChanged(Event, frozen=True, kw_only=True, tag="webhook.changed.v1"):
    """Also what waits goes to the new address."""

    url: str
    description: str
    filter: Filter


class WebhookSecretRotated(Event, frozen=True, kw_only=True, tag="webhook.secret_rotated.v1"):
    """Until `overlap_until` what is sent carries a signature of each secret."""

    secret_version: int
    overlap_until: Instant


class WebhookTestRequested(Event, frozen=True, kw_only=True, tag="webhook.test_requested.v1"):
    """This very event is sent to the webhook, whatever its filter."""


class WebhookReplayRequested(Event, frozen=True, kw_only=True, tag="webhook.replay_requested.v1", omit_defaults=True):
    """Everything past `after_sequence` is sent again, in order, under the ids of the first time.

    `since` is the time that somebody named, where they named one.
    """

    after_sequence: int
    since: Instant | None = None


class WebhookRedeliveryRequested(Event, frozen=True, kw_only=True, tag="webhook.redelivery_requested.v1"):
    """One event is sent again, under the id of the first time."""

    sequence: int
    index: int


class WebhookDisabled(Event, frozen=True, kw_only=True, tag="webhook.disabled.v1", omit_defaults=True):
    """Nothing is sent, and what is recorded meanwhile waits. `gone` is the receiver's own word (410).

    `failing_since` is when it last failed to answer and has not answered after.
    """

    by: Literal["person", "failures", "gone"]
    reason: str
    failing_since: Instant | None = None


class WebhookEnabled(Event, frozen=True, kw_only=True, tag="webhook.enabled.v1"):
    """It goes on where it stood."""


class WebhookRemoved(Event, frozen=True, kw_only=True, tag="webhook.removed.v1"):
    """For good: its secret is erased, and what waited is not sent."""

    reason: str


WebhookEvent = (
    WebhookCreated
    | WebhookChanged
    | WebhookSecretRotated
    | WebhookTestRequested
    | WebhookReplayRequested
    | WebhookRedeliveryRequested
    | WebhookDisabled
    | WebhookEnabled
    | WebhookRemoved
)
