"""A third-party connector for tests, connected to by OAuth. It sees no credential: its requests get one added."""

from fairlead_sdk import (
    Access,
    Auth,
    AuthKind,
    Call,
    ConfigField,
    Effect,
    HttpAnswer,
    Idempotency,
    Manifest,
    NeedsReconnect,
    OAuthGrant,
    OAuthServer,
    Refused,
    Scope,
    TryLater,
    hookimpl,
    tool,
)
from fairlead_sdk.hookspecs import Register
from msgspec import Struct, json


class Nothing(Struct, forbid_unknown_fields=True):
    pass


class Account(Struct, forbid_unknown_fields=True):
    """Whose records these are, by what the token says, and how many there are."""

    owner: str
    records: int


async def _ask(call: Call, method: str) -> HttpAnswer:
    assert call.connection is not None, "the manifest asks for an account"
    answer = await call.http.send(method, f"{call.connection.config['base_url']}/records")
    match answer.status:
        case 200:
            return answer
        case 401:
            raise NeedsReconnect("the records do not take the token", "credential_refused")
        case 403:
            raise Refused("the token does not reach so far", "forbidden")
        case _:
            raise TryLater("the records are not there")


def _account(answer: HttpAnswer) -> Account:
    return json.decode(answer.body, type=Account)


@tool(
    "records.count_records",
    title="Count records",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    timeout_s=20.0,
    scopes=("records:read",),
)
async def count_records(arguments: Nothing, call: Call) -> Account:
    """Count the records of the connected account."""
    return _account(await _ask(call, "GET"))


@tool(
    "records.recall_count",
    title="Recall the count",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    timeout_s=20.0,
    scopes=("records:read",),
    cache_s=3_600,
)
async def recall_count(arguments: Nothing, call: Call) -> Account:
    """Count the records of the connected account; an answer may be an hour old."""
    return _account(await _ask(call, "GET"))


@tool(
    "records.add_record",
    title="Add a record",
    effect=Effect.WRITE,
    idempotency=Idempotency.KEY,
    timeout_s=20.0,
    scopes=("records:write",),
    writes=("record",),
)
async def add_record(arguments: Nothing, call: Call) -> Account:
    """Add a record to the connected account."""
    return _account(await _ask(call, "POST"))


_ISSUED = OAuthServer(
    issuer="{issuer}",
    resource="https://records.test/",
    grants=tuple(OAuthGrant),
)


class _Records:
    manifest = Manifest(
        name="records",
        title="Records",
        version="1.0.0",
        tools=(count_records, recall_count, add_record),
        auth=Auth(kind=AuthKind.OAUTH2, oauth=_ISSUED),
        scopes=(
            Scope(name="records:read", access=Access.READ, title="Look into records"),
            Scope(name="records:write", access=Access.WRITE, title="Add records"),
        ),
        egress=("{base_url}",),
        config=(
            ConfigField(name="issuer", title="Who signs people in"),
            ConfigField(name="base_url", title="Where the records are"),
        ),
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(_Records())
