"""The application and projection test cases that the `eventsourcing` library publishes, run on JetStream.

`LEFT_OUT` names every published case that is not run here, and why.
"""

import inspect
import os
from collections.abc import Iterator
from unittest import TestCase, mock
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.dcb import tests as dcb
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.tests import application, persistence, projection
from eventsourcing.utils import get_topic

from fairlead.adapters.eventsourcing import JetStreamFactory
from fairlead.adapters.eventsourcing.recorders import JetStreamProcessRecorder
from tests.contract import test_eventsourcing_recorders as recorders
from tests.support import eventsourcing as support

LEFT_OUT = {
    persistence.TranscoderTestCase: "exercises JSON transcoding in memory and never meets a persistence module",
    projection.TaggedDecisionCountersProjectionTestCase: "runs on a DCB recorder, see the next",
    dcb.DCBRecorderTestCase: (
        "dynamic consistency boundaries are another interface with persistence modules of its own: events have tags "
        "in place of an originator and a version, and there are no aggregates to keep apart"
    ),
}


class InEnvironment(TestCase):
    """Applications find the module by environment variables alone, as their authors would set them."""

    @pytest.fixture(autouse=True)
    def an_empty_log(self, nats_url: str) -> Iterator[None]:
        with mock.patch.dict(os.environ, support.settings(nats_url)):
            yield


class TestExampleApplication(InEnvironment, application.ExampleApplicationTestCase):
    expected_factory_topic = get_topic(JetStreamFactory)


@pytest.mark.filterwarnings("always::DeprecationWarning")  # one case is that a deprecated property warns
class TestApplication(InEnvironment, application.ApplicationTestCase):
    pass


class TestEventSourcedProjection(InEnvironment, projection.EventSourcedProjectionTestCase):
    pass


class EventCounters(JetStreamProcessRecorder, projection.EventCountersView):
    """A view that is itself a log: each count is an event, recorded in one commit with the tracking."""

    def get_created_event_counter(self) -> int:
        return len(self.select_events("created"))

    def get_subsequent_event_counter(self) -> int:
        return len(self.select_events("subsequent"))

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        self._count("created", tracking)

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        self._count("subsequent", tracking)

    def _count(self, what: str, tracking: Tracking) -> None:
        version = len(self.select_events(what)) + 1
        self.insert_events([StoredEvent(what, version, "counted", b"{}")], tracking=tracking)


class TestEventCountersView(recorders.OnJetStream, projection.EventCountersViewTestCase):
    def construct_event_counters_view(self) -> projection.EventCountersView:
        view = self.factory.tracking_recorder(EventCounters)
        assert isinstance(view, EventCounters)
        return view


class TestEventCountersProjection(InEnvironment, projection.AggregateEventCountersProjectionTestCase):
    view_class = EventCounters


class Parcel(Aggregate):
    """As an author writes it who wants events to outlive class names."""

    TOPIC = "parcel"

    class Created(Aggregate.Created):
        TOPIC = "parcel.posted.v1"

    class Delivered(Aggregate.Event):
        TOPIC = "parcel.delivered.v1"


class TestPermanentTags(InEnvironment):
    def test_an_event_is_stored_under_its_tag(self) -> None:
        with Application[UUID]() as app:
            parcel = Parcel()
            parcel.trigger_event(Parcel.Delivered)
            app.save(parcel)
            stored = app.recorder.select_events(parcel.id)
            assert [event.topic for event in stored] == ["parcel.posted.v1", "parcel.delivered.v1"]
            found: Parcel = app.repository.get(parcel.id)
            assert found.version == 2


def test_every_published_case_is_run_or_left_out_for_a_stated_reason() -> None:
    published = {
        case
        for module in (application, persistence, projection, dcb)
        for _, case in inspect.getmembers(module, inspect.isclass)
        if issubclass(case, TestCase) and case.__module__ == module.__name__
    }
    here = [*vars(recorders).values(), *globals().values()]
    run = {base for case in here if inspect.isclass(case) for base in case.__mro__}
    assert published - run == LEFT_OUT.keys()
