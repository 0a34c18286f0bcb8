"""The suite every connector passes. An author subclasses it in three lines and runs pytest.

class TestGithub(ConnectorSuite):
    connector = GithubConnector
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from fairlead_sdk.checks import faults_of
from fairlead_sdk.contract import Connector, Effect, Manifest, Tool, input_schema, output_schema

_READING = frozenset(
    {"get", "list", "find", "read", "search", "fetch", "look", "count", "compare", "check", "show", "describe"}
)
_WRITING = frozenset(
    {"create", "add", "put", "set", "update", "send", "post", "pay", "stage", "store", "record", "write"}
)
_DESTROYING = frozenset({"delete", "remove", "drop", "purge", "erase", "destroy", "truncate", "wipe"})


class ConnectorSuite:
    """`connector` builds one without arguments, without an event loop and without reaching outside."""

    connector: ClassVar[Callable[[], Connector]]
    shipped: ClassVar[bool] = False  # with the platform itself

    def test_the_connector_check_finds_nothing(self) -> None:
        assert [str(fault) for fault in faults_of(self._manifest(), shipped=self.shipped)] == []

    def test_it_is_a_connector(self) -> None:
        assert isinstance(type(self).connector(), Connector)

    def test_its_manifest_is_the_same_each_time_it_is_built(self) -> None:
        assert _described(self._manifest()) == _described(self._manifest())

    def test_two_of_it_share_no_object_that_serves_calls(self) -> None:
        """A tool is a plain function, or a method of something that belongs to this connector alone."""
        first, second = self._manifest(), self._manifest()
        for one, other in zip(first.tools, second.tools, strict=True):
            owner = getattr(one.run, "__self__", None)
            assert owner is None or owner is not getattr(other.run, "__self__", None), one.name

    def test_names_do_not_belittle_effects(self) -> None:
        for tool in self._manifest().tools:
            verb = tool.name.partition(".")[2].partition("_")[0]
            assert tool.effect in _effects_of(verb), f"{tool.name} is declared {tool.effect}"

    def test_descriptions_tell_the_tools_apart(self) -> None:
        tools = self._manifest().tools
        assert len({tool.description for tool in tools}) == len(tools)
        assert len({tool.title for tool in tools}) == len(tools)

    def test_only_tools_with_an_effect_are_previewed(self) -> None:
        assert [tool.name for tool in self._manifest().tools if tool.preview and tool.effect is Effect.READ] == []

    def _manifest(self) -> Manifest:
        return type(self).connector().manifest


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
