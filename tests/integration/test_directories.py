"""Read models of tenants, workflows and approvals: what lists and look-ups are answered from."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk import Effect
from fairlead_tenants.access import Grant, Role
from fairlead_tenants.ids import ApiKeyId, PrincipalId, TenantId, WorkspaceId

from fairlead.adapters import connection_directory
from fairlead.adapters.connection_directory import PostgresConnectionDirectory
from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.postgres import Database
from fairlead.consumers import access_directory, approvals, connections, toolset_versions, workflow_versions
from fairlead.consumers.projection import Projection
from fairlead.domain import approvals as a
from fairlead.domain import workflows as w
from fairlead.domain.connections.clients import OAuthClientRegistered, OAuthClientRemoved
from fairlead.domain.connections.events import (
    ConnectionDeleted,
    ConnectionReconnectNeeded,
    ConnectionRefreshed,
    ConnectionRevoked,
    ConnectionScopesChanged,
    ConnectionSecretErased,
)
from fairlead.domain.envelope import Kind, Sequence, StreamRef
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import CallId, OAuthClientId, RunId
from fairlead.domain.tenants import events as t
from fairlead.domain.toolsets import ToolsetDefined, ToolsetImported
from tests.support.clock import T0
from tests.support.connections import ADMIN, DESK, MAIN, READ, WRITE, authorized, created
from tests.support.connections import LIVE as CONNECTED_IN
from tests.support.database import columns
from tests.support.given import given
from tests.support.histories import ANN, CODEC, Writer
from tests.support.tenancy import CREATE, LIVE, OWNER, TENANT, TENANTS

ALICE = TenantId("tnt_alice")
SOON = T0 + timedelta(days=1)


async def _projected(database: Database, projection: Projection, kind: Kind, stream: StreamRef, *facts: Any) -> None:
    assert stream.kind == kind
    log = MemoryLog(CODEC)
    writer = Writer(log)
    for fact in facts:
        await writer.append(stream, *(fact if isinstance(fact, list) else [fact]), actor=ANN)
    async with database.tenant(stream.tenant_id) as tx:
        batch = await log.read(stream)
        await projection.project(batch, tx)
        await projection.project(batch, tx)


async def _rows(database: Database, tenant: TenantId, statement: Any) -> list[dict[str, Any]]:
    async with database.read(tenant) as tx:
        return await tx.rows(statement, None, columns)


async def test_the_directory_passes_over_what_is_said_of_connectors(engine_database: Database) -> None:
    stream = StreamRef(TENANT, "tenant", TENANT)
    said = [
        t.TenantCreated(tenant_id=TENANT, name="Harbour"),
        t.ConnectorEnabled(connector="desk", major=1),
        t.ConnectorPinned(connector="desk", version="1.0.0"),
        t.ConnectorDisabled(connector="desk", reason="a hole"),
        t.ToolCapChanged(cap=9),
    ]
    await _projected(engine_database, access_directory, "tenant", stream, *said)
    assert [row["tool_cap"] for row in await _rows(engine_database, TENANT, "SELECT tool_cap FROM tenants")] == [9]


async def test_the_directory_knows_principals_roles_and_keys(engine_database: Database) -> None:
    stream = StreamRef(TENANT, "tenant", TENANT)
    bob, key, later = PrincipalId("prn_bob"), ApiKeyId("key_1"), ApiKeyId("key_2")
    issued = t.KeyIssued(
        key_id=key,
        principal_id=bob,
        name="ci",
        hash="a" * 64,
        last_four="wxyz",
        scopes=None,
        environment_id=LIVE,
        issued_at=T0,
        expires_at=T0 + timedelta(days=9),
    )
    rotated = t.KeyRotated(
        key_id=key,
        principal_id=bob,
        new_key_id=later,
        hash="b" * 64,
        last_four="abcd",
        rotated_at=T0,
        expires_at=T0 + timedelta(days=30),
        overlap_until=SOON,
    )
    await _projected(
        engine_database,
        access_directory,
        "tenant",
        stream,
        list(given(TENANTS).when(CREATE)),
        t.ServiceAccountCreated(principal_id=bob, name="robot"),
        [t.RoleGranted(principal_id=bob, grant=Grant(Role.DEVELOPER)), issued],
        t.RoleWithdrawn(principal_id=bob, grant=Grant(Role.DEVELOPER)),
        rotated,
        t.KeyRevoked(key_id=later, principal_id=bob, reason="leaked", revoked_at=SOON),
        t.PrincipalDisabled(principal_id=bob, reason="left"),
        t.ToolCapChanged(cap=20),
    )
    people = await _rows(
        engine_database, TENANT, "SELECT principal_id, kind, disabled_reason FROM principals ORDER BY 1"
    )
    assert people == [
        {"principal_id": bob, "kind": "service_account", "disabled_reason": "left"},
        {"principal_id": OWNER, "kind": "person", "disabled_reason": None},
    ]
    held = await _rows(engine_database, TENANT, "SELECT principal_id, role FROM grants WHERE held")
    assert held == [{"principal_id": OWNER, "role": "owner"}]
    keys = await _rows(
        engine_database, TENANT, "SELECT key_id, name, expires_at, revoked_reason, replaced_by FROM api_keys ORDER BY 1"
    )
    assert [(k["key_id"], k["name"], k["replaced_by"], k["revoked_reason"]) for k in keys] == [
        (key, "ci", later, None),
        (later, "ci", None, "leaked"),
    ]
    assert keys[0]["expires_at"] == SOON
    assert await _rows(engine_database, TENANT, "SELECT tool_cap FROM tenants") == [{"tool_cap": 20}]
    assert await _rows(engine_database, ALICE, "SELECT tenant_id FROM principals") == []


async def test_every_version_of_a_workflow_is_kept_with_its_author(engine_database: Database) -> None:
    stream = StreamRef(ALICE, "workflow", "wfl_pay")
    versions = [
        w.WorkflowPublished(
            workspace_id=WorkspaceId("wsp_1"),
            name="pay",
            version=number,
            document={"goal": f"pay {number}"},
            document_hash=f"h{number}",
            reason="because",
            agent_principal_id=PrincipalId("prn_agent"),
            tool_versions={},
        )
        for number in (1, 2)
    ]
    await _projected(
        engine_database, workflow_versions, "workflow", stream, *versions, w.WorkflowArchived(reason="old")
    )
    kept = await _rows(
        engine_database, ALICE, "SELECT version, document, author_kind, author_id FROM workflow_versions ORDER BY 1"
    )
    author = {"author_kind": "person", "author_id": ANN.id}
    assert kept == [{"version": number, "document": {"goal": f"pay {number}"}, **author} for number in (1, 2)]
    [workflow] = await _rows(engine_database, ALICE, "SELECT newest_version, archived_at FROM workflows")
    assert workflow["newest_version"] == 2
    assert workflow["archived_at"] is not None


async def test_every_version_of_an_imported_set_is_kept_with_its_author_and_not_its_content(
    engine_database: Database,
) -> None:
    versions = [
        ToolsetImported(
            name="crm",
            version=number,
            title="CRM",
            importer="http",
            importer_version="1.0.0",
            source_sha256="a" * 64,
            definition_sha256="b" * 64,
            hints={"only": ["/v1"]},
            tools_by_effect={Effect.READ: number},
            left_out=2,
            reason="wanted",
        )
        for number in (1, 2)
    ]
    stream = StreamRef(ALICE, "toolset", "crm")
    await _projected(engine_database, toolset_versions, "toolset", stream, *versions)
    content = StreamRef(ALICE, "toolset", "crm-" + "b" * 32)
    defined = ToolsetDefined(name="crm", sha256="b" * 64, definition={})
    await _projected(engine_database, toolset_versions, "toolset", content, defined)
    kept = await _rows(
        engine_database, ALICE, "SELECT name, version, tools_by_effect, author_id FROM toolset_versions ORDER BY 2"
    )
    expected = {"name": "crm", "author_id": ANN.id}
    assert kept == [{**expected, "version": number, "tools_by_effect": {"read": number}} for number in (1, 2)]
    assert await _rows(engine_database, TENANT, "SELECT name FROM toolset_versions") == []


async def test_an_approval_shows_its_evidence_its_answers_and_its_outcome(engine_database: Database) -> None:
    run, call = RunId("run_1"), CallId("tcl_1-1")
    asked = a.ApprovalRequested(
        run_id=run,
        call_id=call,
        workspace_id=WorkspaceId("wsp_1"),
        workflow_name="pay",
        tool="invoices.stage_payment",
        arguments={"amount": 12},
        rule_id="high",
        reason="a high amount",
        evidence={"before": None, "after": {"paid\x00": True}},
        fingerprint="f",
        digest="d",
        count=2,
        roles=("reviewer",),
        requested_by=(OWNER,),
        deadline_at=SOON,
    )
    signed = a.ApprovalSigned(signed_by=ANN.id, comment="fine", missing=1)
    denied = a.ApprovalDenied(run_id=run, call_id=call, denied_by=PrincipalId("prn_bob"), comment="not \x00 fine")
    await _projected(
        engine_database, approvals, "approval", StreamRef(ALICE, "approval", "apr_1-2"), asked, signed, denied
    )
    [row] = await _rows(engine_database, ALICE, "SELECT * FROM approvals")
    assert (row["status"], row["count"], row["evidence"]["after"]) == (
        "denied",
        2,
        {"paid\N{REPLACEMENT CHARACTER}": True},
    )
    assert [(answer["principal_id"], answer["approves"]) for answer in row["answers"]] == [
        ("prn_ann", True),
        ("prn_bob", False),
    ]


async def test_a_connection_shows_its_newest_life_and_what_is_granted_in_it(engine_database: Database) -> None:
    stream = StreamRef(ALICE, "connection", MAIN)
    changed = ConnectionScopesChanged(granted=(READ, WRITE), added=(WRITE,), withdrawn=())
    await _projected(
        engine_database,
        connections,
        "connection",
        stream,
        created(),
        authorized(1, READ),
        [ConnectionRefreshed(secret_version=2, expires_at=SOON), changed],
        ConnectionReconnectNeeded(secret_version=2, reason="invalid_grant"),
        ConnectionRevoked(reason="leaked \x00"),
        ConnectionSecretErased(told_provider=True),
        ConnectionDeleted(reason="moved"),
        created(config={"base_url": "https://other.example"}, scopes=(WRITE,)),
        [authorized(7, WRITE, ADMIN), ConnectionReconnectNeeded(secret_version=7, reason="expired")],
    )
    [row] = await _rows(engine_database, ALICE, "SELECT * FROM connections")
    assert (row["standing"], row["reason"], row["secret_version"]) == ("reconnect_needed", "expired", 7)
    assert (row["requested"], row["granted"]) == ([WRITE, ADMIN], [WRITE, ADMIN])
    assert (row["config"], row["expires_at"]) == ({"base_url": "https://other.example"}, None)
    assert (row["created_by"], row["authorized_by"]) == (ANN.id, ANN.id)


async def test_a_registration_is_shown_until_it_is_removed(engine_database: Database) -> None:
    stream = StreamRef(ALICE, "oauth_client", "oac_1")
    registered = OAuthClientRegistered(
        oauth_client_id=OAuthClientId("oac_1"),
        workspace_id=DESK,
        environment_id=CONNECTED_IN,
        connector="ledger",
        client_id="ours",
        secret_version=1,
    )
    removed = OAuthClientRemoved(reason="moved")
    await _projected(engine_database, connections, "oauth_client", stream, registered, removed)
    [row] = await _rows(engine_database, ALICE, "SELECT client_id, has_secret, removed_at FROM oauth_clients")
    assert (row["client_id"], row["has_secret"]) == ("ours", True)
    assert row["removed_at"] is not None


_REACHED = "INSERT INTO projection_positions (shard, name, sequence) VALUES (0, 'connections', 5)"


async def test_whoever_asks_for_connections_as_of_now_is_told_nothing_older(
    engine_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_directory, "PAUSE_S", 0)
    directory, place = PostgresConnectionDirectory(engine_database), (ALICE, DESK, CONNECTED_IN, "ledger")
    with pytest.raises(Unavailable):
        await directory.of_connector(*place, Sequence(1))
    async with engine_database.platform() as tx:
        await tx.run(_REACHED)
    await _projected(engine_database, connections, "connection", StreamRef(ALICE, "connection", MAIN), created())
    assert await directory.of_connector(*place, Sequence(5)) == [MAIN]
    assert await directory.of_connector(TENANT, *place[1:], Sequence(5)) == []
    with pytest.raises(Unavailable):
        await directory.of_connector(*place, Sequence(6))
