"""What `PERSISTENCE_MODULE` finds here: recorders on JetStream, configured by the application's environment."""

from threading import Lock
from typing import TypeVar

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    InfrastructureFactoryError,
    ProcessRecorder,
)
from eventsourcing.utils import Environment, EnvType, resolve_topic, strtobool

from fairlead.adapters.eventsourcing.connection import Connection, NatsSettings
from fairlead.adapters.eventsourcing.encoding import escaped
from fairlead.adapters.eventsourcing.engine import Engine, StreamPlace
from fairlead.adapters.eventsourcing.log import CommitLog
from fairlead.adapters.eventsourcing.recorders import (
    JetStreamAggregateRecorder,
    JetStreamApplicationRecorder,
    JetStreamProcessRecorder,
    JetStreamRecorder,
    JetStreamTrackingRecorder,
)
from fairlead.adapters.ids import UuidIds

TRACKING_MESSAGES = 1024  # only the newest counts; the others let a lost answer be looked up

R = TypeVar("R", bound=JetStreamRecorder)


class JetStreamFactory(InfrastructureFactory[JetStreamTrackingRecorder]):
    """One connection for all recorders of one application, opened when the first of them is asked for.

    Variables may carry the application's name in front, like all of the library's.
    """

    NATS_URL = "FAIRLEAD_NATS_URL"
    NATS_CREDENTIALS_FILE = "FAIRLEAD_NATS_CREDENTIALS_FILE"
    NATS_CA_FILE = "FAIRLEAD_NATS_CA_FILE"
    NAMESPACE = "FAIRLEAD_EVENTSOURCING_NAMESPACE"  # separates installations that share an engine
    REPLICAS = "FAIRLEAD_EVENTSOURCING_REPLICAS"
    CREATE_TABLE = "CREATE_TABLE"  # the library's word; here it is a stream

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get(self.NATS_URL)
        if not url:
            keys = ", ".join(self.env.create_keys(self.NATS_URL))
            raise OSError(f"the environment names no NATS server; looked for {keys}")
        self._settings = NatsSettings(
            url=url,
            credentials_file=self.env.get(self.NATS_CREDENTIALS_FILE),
            ca_file=self.env.get(self.NATS_CA_FILE),
        )
        self._replicas = _whole_number(self.REPLICAS, self.env.get(self.REPLICAS, "1"))
        self._connection: Connection | None = None
        self._logs: dict[str, CommitLog] = {}
        self._lock = Lock()

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        return self._recorder(JetStreamAggregateRecorder, purpose)

    def application_recorder(self) -> ApplicationRecorder:
        topic = self.env.get(self.APPLICATION_RECORDER_TOPIC)
        return self._recorder(_resolved(topic, JetStreamApplicationRecorder))

    def tracking_recorder(
        self, tracking_recorder_class: type[JetStreamTrackingRecorder] | None = None
    ) -> JetStreamTrackingRecorder:
        topic = self.env.get(self.TRACKING_RECORDER_TOPIC)
        return self._recorder(tracking_recorder_class or _resolved(topic, JetStreamTrackingRecorder))

    def process_recorder(self) -> ProcessRecorder:
        topic = self.env.get(self.PROCESS_RECORDER_TOPIC)
        return self._recorder(_resolved(topic, JetStreamProcessRecorder))

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _recorder(self, recorder_class: type[R], purpose: str | None = None) -> R:
        recorder = recorder_class(*self._log(purpose or recorder_class.purpose))
        if strtobool(self.env.get(self.CREATE_TABLE, "yes") or "yes"):
            recorder.create_stream()
        return recorder

    def _log(self, purpose: str) -> tuple[Connection, CommitLog]:
        """Recorders of one purpose share what their log remembers."""
        with self._lock:
            if self._connection is None:
                self._connection = Connection(self._settings)
                self._engine = Engine(self._connection.nats)
            if purpose not in self._logs:
                self._logs[purpose] = CommitLog(self._engine, self._place(purpose), UuidIds())
            return self._connection, self._logs[purpose]

    def _place(self, purpose: str) -> StreamPlace:
        namespace = self.env.get(self.NAMESPACE, "es") or "es"
        tokens = [escaped(part) for part in (namespace, self.env.name or "stored", purpose)]
        return StreamPlace(
            name="-".join(token.replace("-", "%2D") for token in tokens),
            prefix=".".join(tokens),
            replicas=self._replicas,
            max_messages=TRACKING_MESSAGES if purpose == JetStreamTrackingRecorder.purpose else -1,
        )


def _resolved(topic: str | None, base: type[R]) -> type[R]:
    if not topic:
        return base
    found = resolve_topic(topic)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InfrastructureFactoryError(f"{topic} is not a {base.__name__}")
    return found


def _whole_number(name: str, text: str | None) -> int:
    if not (text and text.isdecimal() and int(text) > 0):
        raise OSError(f"{name} is not a whole number above zero: {text!r}")
    return int(text)
