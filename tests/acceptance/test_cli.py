"""A newcomer's first hour at the command line, against all that `fairlead dev` runs; beside them another tenant."""

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fairlead_ledger.reading import SIDECAR

from fairlead.adapters.dev_file import read_dev_file
from fairlead.adapters.postgres import Database
from fairlead.cli.exits import Exit
from tests.support.api import in_a_task_of_its_own
from tests.support.command_line import Shell, development, newcomer
from tests.support.documents import document

ECHO = "basics.echo"
RULE = {
    "id": "sign",
    "tools": [ECHO],
    "verdict": "require_approval",
    "reason": "a person is to see this",
    "approvals": {"count": 1, "roles": ["reviewer"], "deadline_s": 3600},
}
QUESTION = {"id": "ask", "ask": {"question": "Which word?", "schema": {"type": "string"}, "timeout_s": 3600}}
CALL = {"id": "echo", "call": ECHO, "with": {"text": "hello"}}
# As the process manager parks a commit: here the request for an approval.
_PARK_THE_REQUEST = """
INSERT INTO parked_commits (tenant_id, name, build, sequence, shard, kind, stream_id, error_class, message)
SELECT tenant_id, 'executor', 0, sequence, 0, kind, stream_id, 'ValueError', 'a test'
  FROM run_commits
 WHERE tenant_id = %(tenant)s AND run_id = %(run)s AND kind = 'approval'
"""


class Scene:
    def __init__(self, newcomer: Shell, url: str) -> None:
        self.newcomer = newcomer
        self.url = url

    async def publish(self, name: str, *steps: object, **fields: object) -> None:
        plain = document(*steps, **{"name": name, "tools": [ECHO], "writes": [], "output": {}, **fields})  # type: ignore[arg-type]
        file = self.newcomer.folder / f"{name}.json"
        file.write_text(json.dumps(plain))
        published = await self.newcomer.run("workflow", "publish", str(file), "--reason", "first", "-o", "json")
        assert published.code == Exit.OK, published.err
        assert published.json["version"] == 1

    async def started(self, name: str) -> str:
        began = await self.newcomer.run("run", "start", name, "-o", "id")
        assert began.code == Exit.OK, began.err
        return began.out.strip()

    async def stranger(self) -> Shell:
        """The owner of another tenant of the same installation."""
        made = await self.newcomer.run("tenant", "create", "other", "--owner-email", "o@other.example", "-o", "json")
        assert made.code == Exit.OK, made.err
        return self.newcomer.with_key(self.url, made.json["key"])

    async def person(self, name: str, role: str) -> tuple[str, Shell]:
        """Another person of the newcomer's tenant."""
        person = (await self.newcomer.run("person", "create", f"{name}@dev.example", "-o", "id")).out.strip()
        assert (await self.newcomer.run("principal", "grant", person, role)).code == Exit.OK
        tenant = (await self.newcomer.run("whoami", "-o", "json")).json["tenant_id"]
        issued = await self.newcomer.run("tenant", "issue-key", tenant, person)
        assert issued.code == Exit.OK, issued.err
        return person, self.newcomer.with_key(self.url, issued.out.strip())


@pytest.fixture(scope="module")
async def scene() -> AsyncIterator[Scene]:
    with newcomer() as shell:
        async with in_a_task_of_its_own(development(shell)) as url:
            yield Scene(shell, url)


async def test_the_first_command_needs_neither_address_nor_key(scene: Scene) -> None:
    me = await scene.newcomer.run("whoami", "-o", "json")
    assert me.code == Exit.OK, me.err
    assert me.json["grants"][0]["role"] == "owner"


async def test_the_development_files_are_for_their_owner_only(scene: Scene) -> None:
    for name in ("dev.json", "dev-key", "pepper"):
        assert (scene.newcomer.folder / ".fairlead" / name).stat().st_mode & 0o777 == 0o600


async def test_a_run_is_started_waited_for_answered_and_exported(scene: Scene) -> None:
    await scene.publish("question", QUESTION)
    begun = await scene.newcomer.run("run", "start", "question", "--wait", "--stop-for-person", "-o", "json")
    assert begun.code == Exit.NEEDS_PERSON, begun.err
    assert "run.question_asked" in begun.err
    run_id = begun.json["run_id"]
    waiting = await scene.newcomer.start("run", "wait", run_id, "-o", "json")
    answered = await scene.newcomer.run("run", "answer", run_id, '"blue"')
    assert answered.code == Exit.OK, answered.err
    out, err = await waiting.communicate()
    assert waiting.returncode == Exit.OK
    assert json.loads(out)["status"] == "completed"
    assert b"run.completed" in err
    file = scene.newcomer.folder / "run.csv"
    exported = await scene.newcomer.run("run", "export", run_id, "-f", str(file))
    assert exported.code == Exit.OK, exported.err
    timeline = await scene.newcomer.run("run", "timeline", run_id, "-o", "json")
    with file.open(newline="", encoding="utf-8-sig") as rows:
        assert [row["position"] for row in csv.DictReader(rows)] == [event["position"] for event in timeline.json]
    await _one_changed_byte_is_caught(scene.newcomer, file)


async def _one_changed_byte_is_caught(shell: Shell, file: Path) -> None:
    """With the keys alone. The log and its ledger agree, and are not mended while engines are at work."""
    for written in (("keys", "-f", "keys.json"), ("head", "--sign", "-f", "receipt.json")):
        assert (await shell.run("ledger", *written)).code == Exit.OK
    verify = ("ledger", "verify", str(file), "--keys", "keys.json")
    sound = await shell.run(*verify)
    assert sound.code == Exit.OK, sound.out + sound.err
    assert (await shell.run("ledger", "verify", str(file))).code == 2
    changed = file.with_name("changed.csv")
    await asyncio.to_thread(_changed, file, changed)
    caught = await shell.run("ledger", "verify", str(changed), "--keys", "keys.json", "-o", "json")
    assert (caught.code, {finding["kind"] for finding in caught.json["findings"]}) == (Exit.FAILED, {"changed"})
    checked = await shell.run("ledger", "check", "--receipt", "receipt.json", "-o", "json")
    assert {json.loads(line)["kind"] for line in checked.out.splitlines()} <= {"ledger_behind"}, checked.out
    assert (await shell.run("ledger", "restore")).code == Exit.REFUSED


def _changed(file: Path, changed: Path) -> None:
    changed.write_bytes(file.read_bytes().replace(b"Which word?", b"Which ward?", 1))
    proof = file.with_name(file.name + SIDECAR)
    changed.with_name(changed.name + SIDECAR).write_bytes(proof.read_bytes())


async def test_a_wait_can_be_bounded_and_a_cancelled_run_says_so(scene: Scene) -> None:
    await scene.publish("patience", QUESTION)
    run_id = await scene.started("patience")
    waited = await scene.newcomer.run("run", "wait", run_id, "--timeout", "0.5", "-q", "-o", "id")
    assert (waited.code, waited.out.strip(), waited.err) == (Exit.WAIT_OVER, run_id, "")
    assert (await scene.newcomer.run("run", "cancel", run_id, "--reason", "enough")).code == Exit.OK
    assert (await scene.newcomer.run("run", "wait", run_id, "-q")).code == Exit.RUN_CANCELLED
    again = await scene.newcomer.run("run", "resume", run_id, "--reason", "after all")
    assert again.code == Exit.REFUSED


async def test_another_person_signs_what_they_have_seen(scene: Scene) -> None:
    await scene.publish("signed", CALL, policy={"rules": [RULE]})
    begun = await scene.newcomer.run("run", "start", "signed", "--wait", "--stop-for-person", "-o", "json")
    assert begun.code == Exit.NEEDS_PERSON, begun.err
    reviewer_id, reviewer = await scene.person("rea", "reviewer")
    [pending] = (await reviewer.run("approval", "list", "-o", "json")).json
    own = await scene.newcomer.run("approval", "approve", pending["approval_id"], "--digest", pending["digest"])
    assert own.code == Exit.NOT_PERMITTED, own.err
    unseen = await reviewer.run("approval", "approve", pending["approval_id"])
    assert unseen.code == Exit.USAGE
    deputy_id, deputy = await scene.person("dep", "developer")
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    lent = await reviewer.run("delegation", "create", deputy_id, "--until", until, "--reason", "on leave", "-o", "id")
    assert lent.code == Exit.OK, lent.err
    sign = ("approval", "approve", pending["approval_id"], "--digest", pending["digest"])
    assert (await deputy.run(*sign)).code == Exit.NOT_PERMITTED
    signed = await deputy.run(*sign, "--for", reviewer_id)
    assert signed.code == Exit.OK, signed.err
    ended = await scene.newcomer.run("run", "wait", begun.json["run_id"], "-q", "-o", "json")
    assert (ended.code, ended.json["status"]) == (Exit.OK, "completed")
    shown = await reviewer.run("approval", "show", pending["approval_id"])
    assert f"{deputy_id} for {reviewer_id}: yes" in " ".join(shown.out.split())
    back = await reviewer.run("delegation", "revoke", lent.out.strip(), "--reason", "back", "-o", "json")
    assert (back.code, back.json["status"]) == (Exit.OK, "revoked")
    assert [each["status"] for each in (await deputy.run("delegation", "list", "--mine", "-o", "json")).json] == [
        "revoked"
    ]
    file = scene.newcomer.folder / "oversight.csv"
    report = await scene.newcomer.run("report", "oversight", "--workflow", "signed", "--file", str(file))
    assert report.code == Exit.OK, report.err
    [row] = csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines())
    assert (row["review_share"], row["override_rate"], row["granted"]) == ("1.0", "0.0", "1")


async def test_prices_are_published_and_looked_up_and_costs_reported(scene: Scene) -> None:
    rates = {"provider": "acme", "model": "m-*", "valid_from": "2026-01-01T00:00:00Z", "input": 3, "output": 4}
    file = scene.newcomer.folder / "prices.json"
    file.write_text(json.dumps({"fairlead_prices": 1, "rates": [rates]}))
    published = await scene.newcomer.run(
        "price", "publish", str(file), "--reason", "ours", "--follows", "0", "-o", "id"
    )
    assert (published.code, published.out.strip()) == (Exit.OK, "1"), published.err
    found = await scene.newcomer.run("price", "lookup", "acme", "m-1", "-o", "json")
    assert (found.json["price_version"], found.json["rates"]["output"]) == ("own-1", 4)
    shipped = await scene.newcomer.run("price", "lookup", "openai_compatible", "gpt-5", "--host", "api.openai.com")
    assert (shipped.code, "genai-prices" in shipped.out) == (Exit.OK, True), shipped.err
    unknown = await scene.newcomer.run("price", "lookup", "acme", "x-1")
    assert (unknown.code == Exit.OK, "acme" in unknown.err) == (False, True)
    for report in ("costs", "success-costs", "margins"):
        target = scene.newcomer.folder / f"{report}.csv"
        written = await scene.newcomer.run("report", report, "--file", str(target))
        assert written.code == Exit.OK, written.err
        assert target.read_text(encoding="utf-8-sig").startswith(("key,", "workflow_id,"))
        assert (await scene.newcomer.run("report", report, "--file", str(target))).code == Exit.REFUSED
    assert (await scene.newcomer.run("report", "margins", "--gate")).code == Exit.OK


async def test_another_tenant_finds_nothing(scene: Scene) -> None:
    await scene.publish("secret", QUESTION)
    run_id = await scene.started("secret")
    stranger = await scene.stranger()
    assert (await stranger.run("run", "list", "-o", "json")).json == []
    assert (await stranger.run("workflow", "list", "-o", "json")).json == []
    for arguments in (
        ("run", "show", run_id),
        ("run", "timeline", run_id),
        ("run", "wait", run_id),
        ("run", "cancel", run_id, "--reason", "x"),
        ("run", "export", run_id, "-f", "stolen.csv"),
        ("workflow", "show", "secret"),
    ):
        refused = await stranger.run(*arguments)
        assert (refused.code, run_id in refused.out) == (Exit.NOT_FOUND, False), arguments
    assert not list(scene.newcomer.folder.glob("stolen.csv*"))


async def test_every_problem_of_a_document_is_named_with_its_place(scene: Scene) -> None:
    broken = json.dumps({**document(QUESTION), "goal": "", "trigger": {"kind": "magic"}})
    found = await scene.newcomer.run("workflow", "validate", "-", stdin=broken)
    assert found.code == Exit.INVALID
    assert "/goal: " in found.err
    assert "/trigger/kind: " in found.err


async def test_a_key_is_issued_rotated_and_revoked_at_once(scene: Scene) -> None:
    issued = await scene.newcomer.run("key", "issue", "ci", "--scope", "run:read", "-o", "json")
    program = scene.newcomer.with_key(scene.url, issued.json["secret"])
    assert (await program.run("run", "list")).code == Exit.OK
    denied = await program.run("run", "start", "question", "-o", "json")
    assert denied.code == Exit.NOT_PERMITTED
    rotated = await scene.newcomer.run("key", "rotate", issued.json["key_id"], "--to-file", "key", "-o", "json")
    assert rotated.code == Exit.OK, rotated.err
    file = scene.newcomer.folder / "key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await scene.newcomer.run("run", "list", "--url", scene.url, "--key-file", str(file))).code == Exit.OK
    revoked = await scene.newcomer.run("key", "revoke", issued.json["key_id"], "--reason", "done")
    assert revoked.code == Exit.OK, revoked.err
    assert (await program.run("run", "list")).code == Exit.NOT_PERMITTED


async def test_a_saved_server_is_used_by_name_until_it_is_forgotten(scene: Scene) -> None:
    key = (scene.newcomer.folder / ".fairlead" / "dev-key").read_text()
    saved = await scene.newcomer.run("login", "--url", scene.url, "--profile", "here", stdin=key)
    assert saved.code == Exit.OK, saved.err
    elsewhere = Shell(Path("/"), {"HOME": str(scene.newcomer.folder / "home")})
    assert (await elsewhere.run("whoami", "--profile", "here")).code == Exit.OK
    assert (await scene.newcomer.run("logout", "--profile", "here")).code == Exit.OK
    assert (await elsewhere.run("whoami", "--profile", "here")).code == Exit.USAGE


async def test_an_operator_finds_the_running_engines(scene: Scene) -> None:
    examined = await scene.newcomer.run("doctor", "-o", "json")
    assert (examined.code, {each["status"] for each in examined.json}) == (Exit.OK, {"ok"})
    assert (await scene.newcomer.run("migrate")).out == "nothing to do\n"
    assert "dev" in [each["name"] for each in (await scene.newcomer.run("tenant", "list", "-o", "json")).json]
    rebuilt = await scene.newcomer.run("rebuild", "run_board")
    assert (rebuilt.code, rebuilt.out) == (Exit.OK, "rebuilt run_board\n")
    assert (await scene.newcomer.run("rebuild", "no_such_thing")).code == Exit.NOT_FOUND


async def test_an_operator_replays_what_was_parked(scene: Scene) -> None:
    await scene.publish("parked", CALL, policy={"rules": [RULE]})
    begun = await scene.newcomer.run("run", "start", "parked", "--wait", "--stop-for-person", "-o", "json")
    tenant_id = (await scene.newcomer.run("whoami", "-o", "json")).json["tenant_id"]
    instance = read_dev_file(scene.newcomer.folder / ".fairlead")
    assert instance is not None
    async with Database(instance.engines.database_engine) as database, database.tenant(tenant_id) as tx:
        await tx.run(_PARK_THE_REQUEST, {"tenant": tenant_id, "run": begun.json["run_id"]})
    replayed = await scene.newcomer.run("replay", "executor", "--tenant", tenant_id, "-o", "json")
    assert replayed.code == Exit.OK, replayed.err
    assert replayed.json == [{"name": "executor", "tenant_id": tenant_id, "done": 1, "left": 0, "error": None}]
    assert (await scene.newcomer.run("replay", "--all", "-o", "json")).json == []
    assert (await scene.newcomer.run("replay", "no_such_thing")).code == Exit.NOT_FOUND
    assert (await scene.newcomer.run("replay")).code == Exit.USAGE


async def test_an_account_is_connected_looked_into_and_revoked(scene: Scene) -> None:
    here = scene.newcomer
    made = await here.run("connection", "create", "webhooks", "hooks", "--set", "url=https://receiver.example/in")
    assert made.code == Exit.OK, made.err
    given = await here.run("connection", "secret", "hooks", "-o", "json", stdin="a planted secret\n")
    assert (given.code, given.json["standing"]) == (Exit.OK, "connected"), given.err
    assert "planted" not in made.out + given.out + given.err
    [listed] = (await here.run("connection", "list", "--connector", "webhooks", "-o", "json")).json
    found = listed["connection_id"]
    stranger = await scene.stranger()
    assert (await stranger.run("connection", "revoke", found, "--reason", "mine")).code == Exit.NOT_FOUND
    revoked = await here.run("connection", "revoke", "hooks", "--reason", "it leaked", "-o", "json")
    assert (revoked.json["standing"], revoked.json["secret_erased"]) == ("revoked", True)
    assert (await here.run("connection", "delete", "hooks")).code == Exit.OK
    uses = await here.run("connection", "uses", found, "--since", "1h", "-o", "json")
    assert (uses.code, uses.json) == (Exit.OK, [])


async def test_the_keys_of_the_vault_are_changed_while_everything_runs(scene: Scene) -> None:
    keys = scene.newcomer.folder / ".fairlead" / "vault_keys"
    before = keys.read_text()
    rotated = await scene.newcomer.run("vault", "rotate", "--new-key")
    assert rotated.code == Exit.OK, rotated.err
    first, rest = keys.read_text().split("\n", 1)
    assert rest == before
    assert f"are now sealed with {first.split()[0]}\n" in rotated.out
    line = (await scene.newcomer.run("vault", "new-key")).out
    assert line.split()[0] != first.split()[0]
    assert line.split()[1] not in keys.read_text()


async def test_a_second_instance_in_the_same_folder_is_refused(scene: Scene) -> None:
    second = await scene.newcomer.run("dev")
    assert second.code == Exit.FAILED
    assert "is in use by process" in second.err


async def test_an_instance_comes_back_with_its_data_and_its_key() -> None:
    with newcomer() as shell:
        async with development(shell):
            first = (await shell.run("whoami", "-o", "json")).json
        assert not (shell.folder / ".fairlead" / "dev.json").exists()
        assert (await shell.run("whoami")).code == Exit.USAGE
        examined = await shell.run("doctor")
        assert examined.code == Exit.OK, examined.out
        async with development(shell):
            assert (await shell.run("whoami", "-o", "json")).json == first


async def test_an_instance_whose_port_is_taken_says_so() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port = str(server.sockets[0].getsockname()[1])
        with newcomer() as shell:
            refused = await Shell(shell.folder, {"FAIRLEAD_PORT": port}).run("dev")
    assert refused.code == Exit.REFUSED
    assert "set FAIRLEAD_PORT" in refused.err
