"""What may be asked of a webhook, and what follows."""

from datetime import timedelta

import pytest

from fairlead.domain.catalogue import EVENTS
from fairlead.domain.errors import Invalid
from fairlead.domain.webhooks import events as e
from fairlead.domain.webhooks.filters import Filter, RunPlace, problems_of
from fairlead.domain.webhooks.secrets import Signing
from fairlead.domain.webhooks.subscription import (
    ChangeWebhook,
    CreateWebhook,
    DisableWebhook,
    EnableWebhook,
    NoSuchWebhook,
    RedeliverEvent,
    RemoveWebhook,
    ReplayWebhook,
    RotateWebhookSecret,
    SendTestEvent,
    WebhookCommand,
    WebhookIsDisabled,
    WebhookState,
    decide,
    evolve,
    initial,
)
from fairlead.domain.workflows import workflow_id
from tests.support.clock import T0
from tests.support.given import Spec, given
from tests.support.tenancy import DEFAULT, LIVE, SECOND, TENANT, TEST

WEBHOOKS: Spec[WebhookCommand, WebhookState, e.WebhookEvent] = Spec(decide, evolve, initial)
URL = "https://hooks.example/in"
ALL_RUNS = Filter(events=("run.*",))
CREATE = CreateWebhook(url=URL, description="", filter=ALL_RUNS, secret_version=1)
DISABLE = DisableWebhook(by="person", reason="moves house")
WORKFLOW = workflow_id(TENANT, DEFAULT, "invoice-check")
HERE = RunPlace(workspace_id=DEFAULT, environment_id=LIVE, workflow_id=WORKFLOW)


def test_the_same_request_carried_out_again_creates_nothing() -> None:
    assert given(WEBHOOKS).after(CREATE).when(CREATE) == []


@pytest.mark.parametrize(
    "command",
    [
        ChangeWebhook(url=URL, description="x", filter=ALL_RUNS),
        SendTestEvent(),
        ReplayWebhook(after_sequence=1),
        RotateWebhookSecret(secret_version=2, overlap_until=T0),
        DISABLE,
        EnableWebhook(),
    ],
)
def test_nothing_is_asked_of_a_webhook_that_is_not_there_or_was_removed(command: WebhookCommand) -> None:
    for before in (given(WEBHOOKS), given(WEBHOOKS).after(CREATE, RemoveWebhook(reason="gone"))):
        with pytest.raises(NoSuchWebhook):
            before.when(command)


@pytest.mark.parametrize(
    "command", [SendTestEvent(), ReplayWebhook(after_sequence=1), RedeliverEvent(sequence=1, index=0)]
)
def test_what_would_be_sent_needs_a_webhook_that_is_enabled(command: WebhookCommand) -> None:
    disabled = given(WEBHOOKS).after(CREATE, DISABLE)
    with pytest.raises(WebhookIsDisabled):
        disabled.when(command)
    assert len(disabled.after(EnableWebhook()).when(command)) == 1


def test_what_is_so_already_is_no_news() -> None:
    created = given(WEBHOOKS).after(CREATE)
    assert created.when(EnableWebhook()) == []
    assert created.after(DISABLE).when(DISABLE) == []
    assert created.when(ChangeWebhook(url=URL, description="", filter=ALL_RUNS)) == []


@pytest.mark.parametrize("url", ["https://anna:parole@hooks.example/", "https://hooks.example/in?token=abcdefgh1234"])
def test_an_address_that_holds_a_secret_is_refused(url: str) -> None:
    for command in (
        CreateWebhook(url=url, description="", filter=ALL_RUNS, secret_version=1),
        ChangeWebhook(url=url, description="", filter=ALL_RUNS),
    ):
        before = given(WEBHOOKS) if isinstance(command, CreateWebhook) else given(WEBHOOKS).after(CREATE)
        with pytest.raises(Invalid) as raised:
            before.when(command)
        assert raised.value.problems[0].code == "secret_in_url"


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("run.completed.v1", True),
        ("run.completed", True),
        ("run.*", True),
        ("*", True),
        ("run.completed.v2", False),
        ("run.complete", False),
        ("runs.*", False),
        ("tool_call.*", False),
    ],
)
def test_a_pattern_is_a_tag_with_or_without_its_version_or_what_it_begins_with(pattern: str, wanted: bool) -> None:
    assert Filter(events=(pattern,)).wants("run.completed.v1") is wanted


def test_a_pattern_that_fits_no_event_there_is_is_named() -> None:
    patterns = ["run.*", "run.compleated", "webhook.disabled", "*.completed", "run.completed.v9", "*", "approval.*"]
    assert [problem.path for problem in problems_of(patterns, EVENTS)] == ["/events/1", "/events/3", "/events/4"]


def test_a_place_narrows_and_what_is_nowhere_goes_only_to_those_who_are_told_of_everywhere() -> None:
    assert Filter(events=("*",)).covers(HERE)
    assert Filter(events=("*",)).covers(None)
    assert Filter(events=("*",), workspace_id=DEFAULT, environment_id=LIVE, workflow_id=WORKFLOW).covers(HERE)
    for narrow in (
        Filter(events=("*",), workspace_id=SECOND),
        Filter(events=("*",), environment_id=TEST),
        Filter(events=("*",), workflow_id=workflow_id(TENANT, DEFAULT, "other")),
    ):
        assert not narrow.covers(HERE)
        assert not narrow.covers(None)


def test_the_old_secret_signs_beside_the_new_one_until_its_end() -> None:
    signing = Signing(current="new", made_by="cmd_1", previous="old", previous_until=T0)
    assert signing.valid_at(T0 - timedelta(seconds=1)) == ["new", "old"]
    assert signing.valid_at(T0) == ["new"]
    assert Signing(current="only", made_by="cmd_1").valid_at(T0) == ["only"]
    assert "new" not in repr(signing)
