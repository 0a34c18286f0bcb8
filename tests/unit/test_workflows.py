from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId, TenantId, WorkspaceId

from fairlead.domain import workflows as w
from fairlead.domain.envelope import Actor, Commit, Recorded, Sequence
from fairlead.domain.errors import NotFound
from fairlead.domain.ids import CommandId
from fairlead.domain.workflow.plain import document_hash
from tests.support.clock import T0
from tests.support.documents import document
from tests.support.given import Spec, given

WORKFLOWS = Spec(w.decide, w.evolve, w.initial)
WORKSPACE = WorkspaceId("wsp_1")
FIRST, SECOND = document(goal="First."), document(goal="Second.")
TOOL_VERSIONS = {"test.read": "1.0.0/00"}
ARCHIVED, RESTORED = w.WorkflowArchived(reason="unused"), w.WorkflowRestored(reason="needed")


def publish(data: dict[str, Any] = FIRST, expected: int | None = None, **fields: Any) -> w.PublishWorkflow:
    settled: dict[str, Any] = {"reason": "begin", "tool_versions": TOOL_VERSIONS, **fields}
    return w.PublishWorkflow(
        workspace_id=WORKSPACE,
        name="invoice-check",
        document=data,
        agent_principal_id=PrincipalId("prn_agent"),
        expected_version=expected,
        **settled,
    )


def published(version: int = 1, data: dict[str, Any] = FIRST, **fields: Any) -> w.WorkflowPublished:
    settled: dict[str, Any] = {"reason": "begin", "tool_versions": TOOL_VERSIONS, **fields}
    return w.WorkflowPublished(
        workspace_id=WORKSPACE,
        name="invoice-check",
        version=version,
        document=data,
        document_hash=document_hash(data),
        agent_principal_id=PrincipalId("prn_agent"),
        **settled,
    )


def test_the_first_publication_is_version_1() -> None:
    assert given(WORKFLOWS).when(publish()) == [published()]


def test_another_document_is_the_next_version() -> None:
    assert given(WORKFLOWS, published()).when(publish(SECOND)) == [published(2, SECOND)]


def test_the_same_document_again_changes_nothing() -> None:
    reordered = dict(reversed(FIRST.items()))
    assert given(WORKFLOWS, published()).when(publish(reordered, reason="again")) == []


def test_going_back_to_an_older_document_is_a_new_version() -> None:
    assert given(WORKFLOWS, published(), published(2, SECOND)).when(publish(FIRST)) == [published(3, FIRST)]


def test_the_same_document_on_other_tools_is_a_new_version() -> None:
    newer = {"test.read": "2.0.0/11"}
    assert given(WORKFLOWS, published()).when(publish(tool_versions=newer)) == [published(2, tool_versions=newer)]


@pytest.mark.parametrize(("expected", "accepted"), [(None, True), (0, False), (1, True), (2, False)])
def test_an_author_who_saw_another_version_is_refused(expected: int | None, accepted: bool) -> None:
    history = given(WORKFLOWS, published())
    if accepted:
        assert history.when(publish(SECOND, expected)) == [published(2, SECOND)]
    else:
        with pytest.raises(w.VersionMismatch) as refused:
            history.when(publish(SECOND, expected))
        assert (refused.value.expected, refused.value.actual) == (expected, 1)


def test_expecting_none_holds_only_before_the_first() -> None:
    assert given(WORKFLOWS).when(publish(expected=0)) == [published()]
    with pytest.raises(w.VersionMismatch):
        given(WORKFLOWS).when(publish(expected=1))


def test_an_archived_workflow_takes_no_version_until_it_is_restored() -> None:
    archived = given(WORKFLOWS, published(), ARCHIVED)
    with pytest.raises(w.WorkflowIsArchived):
        archived.when(publish(SECOND))
    assert archived.when(w.RestoreWorkflow(reason="needed")) == [RESTORED]
    assert given(WORKFLOWS, published(), ARCHIVED, RESTORED).when(publish(SECOND)) == [published(2, SECOND)]


def test_asking_twice_is_not_an_error() -> None:
    assert given(WORKFLOWS, published()).when(w.ArchiveWorkflow(reason="unused")) == [ARCHIVED]
    assert given(WORKFLOWS, published(), ARCHIVED).when(w.ArchiveWorkflow(reason="unused")) == []
    assert given(WORKFLOWS, published()).when(w.RestoreWorkflow(reason="needed")) == []


@pytest.mark.parametrize("command", [w.ArchiveWorkflow(reason="x"), w.RestoreWorkflow(reason="x")])
def test_what_was_never_published_is_not_found(command: w.WorkflowCommand) -> None:
    with pytest.raises(NotFound):
        given(WORKFLOWS).when(command)


def test_the_id_follows_from_tenant_workspace_and_name() -> None:
    def id_of(tenant: str, workspace: str, name: str) -> str:
        return w.workflow_id(TenantId(tenant), WorkspaceId(workspace), name)

    first = id_of("tnt_1", "wsp_1", "invoice-check")
    assert first == id_of("tnt_1", "wsp_1", "invoice-check")
    assert first.startswith("wfl_")
    assert len(first) == 30
    assert first == first.lower()
    assert len({first, id_of("tnt_2", "wsp_1", "invoice-check"), id_of("tnt_1", "wsp_2", "invoice-check")}) == 3


def test_the_history_says_who_published_what_and_why() -> None:
    author = Actor(kind="person", id=PrincipalId("prn_ann"))

    def recorded(number: int, event: w.WorkflowEvent) -> Recorded[w.WorkflowEvent]:
        commit: Commit[w.WorkflowEvent] = Commit(
            commit_id=CommandId(f"cmd_{number}"),
            tenant_id=TenantId("tnt_1"),
            kind="workflow",
            stream_id="wfl_1",
            first_version=number,
            at=T0,
            actor=author,
            events=(event,),
        )
        return Recorded(Sequence(number), commit, b"")

    history = [
        recorded(1, published()),
        recorded(2, ARCHIVED),
        recorded(3, RESTORED),
        recorded(4, published(2, SECOND)),
    ]
    assert [(v.published.version, v.published.reason, v.author, v.at) for v in w.versions(history)] == [
        (1, "begin", author, T0),
        (2, "begin", author, T0),
    ]
