"""A connector whose code runs elsewhere: its manifest was read there, and each of its functions asks there."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from fairlead_sandbox import wire as w
from fairlead_sandbox.faults import error_of
from fairlead_sdk.contract import Call, JsonSchema, Manifest, Tool
from fairlead_sdk.description import ManifestDescription, ToolDescription
from fairlead_sdk.outbound import Connection

from fairlead.adapters.sandbox.faults import ConnectorRaised
from fairlead.adapters.sandbox.packages import Unpacked
from fairlead.adapters.sandbox.pool import Pool

NOBODY = ""  # whose processes serve no tenant: a check by the connector's author

_encode = msgspec.json.encode


class SandboxedConnector:
    """`tool` gives a tool whose calls run in processes of that tenant alone; those of `manifest` are nobody's."""

    def __init__(self, code: Unpacked, said: ManifestDescription, pool: Pool) -> None:
        self._code = code
        self._pool = pool
        self._said = {tool.name: tool for tool in said.tools}
        self.manifest = Manifest(
            name=said.name,
            title=said.title,
            version=said.version,
            tools=tuple(self._tool(tool, NOBODY) for tool in said.tools),
            settings=said.settings,
            auth=said.auth,
            scopes=said.scopes,
            egress=said.egress,
            config=said.config,
            calls_per_minute=said.calls_per_minute,
            max_concurrent=said.max_concurrent,
            models=said.models,
        )

    def tool(self, name: str, tenant_id: str) -> Tool[Any, Any] | None:
        said = self._said.get(name)
        return self._tool(said, tenant_id) if said else None

    def _tool(self, said: ToolDescription, tenant_id: str) -> Tool[Any, Any]:
        def asks(part: Literal["verify", "preview"]) -> Callable[[Any, Call], Awaitable[Any]] | None:
            return self._asking(said.name, part, tenant_id) if part in said.parts else None

        return Tool(
            name=said.name,
            title=said.title,
            description=said.description,
            input=JsonSchema(said.input_schema),
            output=JsonSchema(said.output_schema),
            run=self._asking(said.name, "run", tenant_id),
            verify=asks("verify"),
            preview=asks("preview"),
            compensate=self._undoing(said.name, tenant_id) if "compensate" in said.parts else None,
            effect=said.effect,
            idempotency=said.idempotency,
            timeout_s=said.timeout_s,
            scopes=said.scopes,
            writes=said.writes,
            calls_per_minute=said.calls_per_minute,
            max_concurrent=said.max_concurrent,
            cache_s=said.cache_s,
            on_outage=said.on_outage,
            cost_usd_micros=said.cost_usd_micros,
            max_batch=said.max_batch,
            run_many=self._asking_many(said.name, tenant_id) if "run_many" in said.parts else None,
        )

    def _asking(self, tool: str, part: w.Part, tenant_id: str) -> Callable[[Any, Call], Awaitable[Any]]:
        async def ask(arguments: Any, call: Call) -> Any:
            return await self._ask(tool, part, tenant_id, arguments, None, call)

        return ask

    def _asking_many(self, tool: str, tenant_id: str) -> Callable[[list[Any], list[Call]], Awaitable[list[Any]]]:
        async def ask_many(arguments: list[Any], calls: list[Call]) -> list[Any]:
            """All on the way out of the first: they are of one run, through one account."""
            many = [
                w.OneOfMany(call_id=call.call_id, attempt=call.attempt, idempotency_key=call.idempotency_key)
                for call in calls
            ]
            returned = await self._returned(tool, "run_many", tenant_id, arguments, None, calls[0], many)
            return [_said(answered) for answered in w.answers_of(returned, len(calls))]

        return ask_many

    def _undoing(self, tool: str, tenant_id: str) -> Callable[[Any, Any, Call], Awaitable[None]]:
        async def compensate(arguments: Any, output: Any, call: Call) -> None:
            await self._ask(tool, "compensate", tenant_id, arguments, output, call)

        return compensate

    async def _ask(self, tool: str, part: w.Part, tenant_id: str, arguments: Any, output: Any, call: Call) -> Any:
        return msgspec.json.decode(await self._returned(tool, part, tenant_id, arguments, output, call, []))

    async def _returned(
        self,
        tool: str,
        part: w.Part,
        tenant_id: str,
        arguments: Any,
        output: Any,
        call: Call,
        many: list[w.OneOfMany],
    ) -> msgspec.Raw:
        ask = w.Ask(
            ticket="",
            part=part,
            tool=tool,
            arguments=msgspec.Raw(_encode(arguments)),
            output=msgspec.Raw(_encode(output)),
            call_id=call.call_id,
            attempt=call.attempt,
            idempotency_key=call.idempotency_key,
            settings=dict(call.settings),
            connection=_account(call.connection),
            many=many,
        )
        return await self._pool.call(self._code, tenant_id, ask, call.http)


def _said(answered: w.Answered) -> Any:
    """An output, or the error that is this call's own."""
    if answered.fault is not None:
        return error_of(answered.fault)
    return ConnectorRaised(answered.broke) if answered.broke else msgspec.json.decode(answered.output)


def _account(connection: Connection | None) -> w.Account | None:
    """Without its credential, whatever the manifest asks for."""
    if connection is None:
        return None
    return w.Account(connection_id=connection.connection_id, config=dict(connection.config))
