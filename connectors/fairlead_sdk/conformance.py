"""The suite every connector passes. An author subclasses it and runs pytest, or `fairlead connector check`.

class TestTickets(ConnectorSuite):
    connector = TicketsConnector
    counterpart = TicketDesk
    examples = (Example(tool="tickets.open_ticket", arguments={"title": "Leak"}),)
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from fairlead_sdk.checks import faults_of
from fairlead_sdk.contract import Connector, Effect, Manifest, Tool, input_schema, output_schema
from fairlead_sdk.testing import behaviour
from fairlead_sdk.testing.counterpart import Counterpart, Example
from fairlead_sdk.testing.trial import Findings, Subject, Trial, tried

_READING = frozenset(
    {"get", "list", "find", "read", "search", "fetch", "look", "count", "compare", "check", "show", "describe"}
)
_WRITING = frozenset(
    {"create", "add", "put", "set", "update", "send", "post", "pay", "stage", "store", "record", "write"}
)
_DESTROYING = frozenset({"delete", "remove", "drop", "purge", "erase", "destroy", "truncate", "wipe"})


class ConnectorSuite:
    """`connector` builds one without arguments, without an event loop and without reaching outside.

    `counterpart` makes the other side anew for each check. `secrets` are those in `settings`, which no output may hold.
    """

    connector: ClassVar[Callable[[], Connector]]
    counterpart: ClassVar[Callable[[], Counterpart]] = Counterpart
    examples: ClassVar[tuple[Example, ...]] = ()  # at least one of each tool
    settings: ClassVar[Mapping[str, str]] = {}
    config: ClassVar[Mapping[str, str]] = {}  # of the connection
    secrets: ClassVar[tuple[str, ...]] = ()
    shipped: ClassVar[bool] = False  # with the platform itself: it may reach out by itself
    limit_s: ClassVar[float] = 20.0  # for each check of one example

    def test_the_connector_check_finds_nothing(self) -> None:
        _nothing(str(fault) for fault in faults_of(self._manifest(), shipped=self.shipped))

    def test_it_is_a_connector(self) -> None:
        assert isinstance(type(self).connector(), Connector)

    def test_its_manifest_is_the_same_each_time_it_is_built(self) -> None:
        assert _described(self._manifest()) == _described(self._manifest())

    def test_two_of_it_share_no_object_that_serves_calls(self) -> None:
        """A tool is a plain function, or a method of something that belongs to this connector alone."""
        first, second = self._manifest(), self._manifest()
        for one, other in zip(first.tools, second.tools, strict=True):
            owner = getattr(one.run, "__self__", None)
            shared = owner is not None and owner is getattr(other.run, "__self__", None)
            assert not shared, f"{one.name} is a method of an object that two connectors share"

    def test_names_do_not_belittle_effects(self) -> None:
        for tool in self._manifest().tools:
            verb = tool.name.partition(".")[2].partition("_")[0]
            assert tool.effect in _effects_of(verb), f"{tool.name} is declared {tool.effect}"

    def test_descriptions_tell_the_tools_apart(self) -> None:
        tools = self._manifest().tools
        assert len({tool.description for tool in tools}) == len(tools), "two tools have the same description"
        assert len({tool.title for tool in tools}) == len(tools), "two tools have the same title"

    def test_only_tools_with_an_effect_are_previewed(self) -> None:
        previewed = [tool.name for tool in self._manifest().tools if tool.preview and tool.effect is Effect.READ]
        _nothing(f"{name} reads and has a preview" for name in previewed)

    def test_every_tool_has_an_example(self) -> None:
        shown = {example.tool for example in self.examples}
        _nothing(f"{tool.name} has no example" for tool in self._manifest().tools if tool.name not in shown)

    def test_examples_work_and_answer_what_the_schema_says(self) -> None:
        self._finds_nothing(behaviour.answers)

    def test_reads_change_nothing_and_writes_do(self) -> None:
        self._finds_nothing(behaviour.honest)

    def test_a_repeated_call_has_one_effect(self) -> None:
        self._finds_nothing(behaviour.repeats)

    def test_a_lost_answer_is_not_called_nothing(self) -> None:
        self._finds_nothing(behaviour.survives_lost_answers)

    def test_reading_back_tells_what_happened(self) -> None:
        self._finds_nothing(behaviour.reads_back)

    def test_compensation_restores(self) -> None:
        self._finds_nothing(behaviour.compensates)

    def test_previews_touch_nothing(self) -> None:
        self._finds_nothing(behaviour.previews)

    def test_batches_answer_every_call(self) -> None:
        self._finds_nothing(behaviour.batches)

    def test_secrets_stay_where_they_are(self) -> None:
        self._finds_nothing(behaviour.keeps_secrets)

    def test_errors_say_what_to_do_next(self) -> None:
        self._finds_nothing(behaviour.says_what_to_do_next)

    def test_a_call_is_over_when_its_time_is(self) -> None:
        self._finds_nothing(behaviour.ends_in_time)

    def test_only_declared_hosts_are_reached(self) -> None:
        self._finds_nothing(behaviour.stays_inside)

    def _finds_nothing(self, check: Callable[[Trial], Awaitable[Findings]]) -> None:
        tools, applies = self._manifest().by_name, behaviour.APPLIES.get(check)
        shown = [example for example in self.examples if applies is None or applies(tools[example.tool])]
        _nothing(finding for example in shown for finding in tried(check, self._subject(), example))

    def _subject(self) -> Subject:
        suite = type(self)
        return Subject(
            connector=suite.connector,
            counterpart=suite.counterpart,
            settings=self.settings,
            config=self.config,
            secrets=self.secrets,
            shipped=self.shipped,
            limit_s=self.limit_s,
        )

    def _manifest(self) -> Manifest:
        return type(self).connector().manifest


def _nothing(findings: Iterable[str]) -> None:
    """Says all of them: this module's asserts are not taken apart by pytest."""
    found = list(findings)
    assert not found, "\n".join(found)


def _effects_of(verb: str) -> tuple[Effect, ...]:
    """Which effects a verb can have. One that is not listed may have any."""
    if verb in _DESTROYING:
        return (Effect.DESTRUCTIVE,)
    if verb in _WRITING:
        return (Effect.WRITE, Effect.DESTRUCTIVE)
    return (Effect.READ,) if verb in _READING else tuple(Effect)


def _described(manifest: Manifest) -> list[Any]:
    return [manifest.name, manifest.title, manifest.version, manifest.settings, *map(list, map(_facts, manifest.tools))]


def _facts(tool: Tool[Any, Any]) -> Iterator[Any]:
    yield from (tool.name, tool.title, tool.description, tool.effect, tool.idempotency, tool.timeout_s)
    yield from (tool.scopes, tool.writes, tool.calls_per_minute, input_schema(tool), output_schema(tool))
