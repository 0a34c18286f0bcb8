"""What becomes of an operation: its name, its effect, whether it may be repeated, and what it touches."""

import pytest
from fairlead_sdk import Access, AuthKind, Effect, Idempotency
from fairlead_sdk.importing import ImportedTool

from tests.support.openapi import described, imported, one, tools

KEY = {"name": "Idempotency-Key", "in": "header", "required": True, "schema": {"type": "string"}}


def only(document: dict[str, object], hints: dict[str, object] | None = None) -> ImportedTool:
    (tool,) = tools(document, hints).values()
    return tool


@pytest.mark.parametrize(
    ("operation_id", "method", "path", "name"),
    [
        ("listPets", "get", "/pets", "list_pets"),
        ("repos/create-release", "post", "/repos", "repos_create_release"),
        ("getHTTPStatus", "get", "/status", "get_http_status"),
        ("2fa.enable", "post", "/2fa", "call_2fa_enable"),
        ("ünïcode", "get", "/x", "n_code"),
        (None, "get", "/pets", "list_pets"),
        (None, "get", "/pets/{id}", "get_pets_by_id"),
        (None, "post", "/v1/pets", "create_v1_pets"),
        (None, "put", "/pets/{petId}", "replace_pets_by_pet_id"),
        (None, "patch", "/pets/{id}", "update_pets_by_id"),
        (None, "delete", "/pets/{id}/toys/{toy}", "delete_pets_toys_by_toy"),
        ("日本", "get", "/pets", "list_pets"),
        (None, "get", "/", "list"),
        ("x" * 100, "get", "/pets", "x" * 71 + "_"),
    ],
)
def test_a_name_is_made_of_the_operations_id_or_of_what_it_does(
    operation_id: str | None, method: str, path: str, name: str
) -> None:
    in_path = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    parameters = [{"name": each, "in": "path", "schema": {"type": "string"}} for each in in_path]
    identified = {"operationId": operation_id} if operation_id else {}
    (found,) = tools(one({**identified, "parameters": parameters}, method, path))
    assert found.startswith(name)
    assert len(found) <= 80


def test_two_operations_of_one_name_are_told_apart_in_the_same_way_each_time() -> None:
    done = {"operationId": "do", "responses": {}}
    document = described({"/a": {"post": done, "put": done}, "/b": {"post": done}})
    assert list(tools(document)) == list(tools(document)) == ["do", "replace_a", "create_b"]


@pytest.mark.parametrize(
    ("method", "effect", "idempotency"),
    [
        ("get", Effect.READ, Idempotency.NATURAL),
        ("head", Effect.READ, Idempotency.NATURAL),
        ("post", Effect.WRITE, Idempotency.NONE),
        ("put", Effect.WRITE, Idempotency.NATURAL),
        ("patch", Effect.WRITE, Idempotency.NONE),
        ("delete", Effect.DESTRUCTIVE, Idempotency.NATURAL),
    ],
)
def test_the_method_says_what_an_operation_does_and_whether_it_may_be_repeated(
    method: str, effect: Effect, idempotency: Idempotency
) -> None:
    tool = only(one({"operationId": "do"}, method))
    assert (tool.effect, tool.idempotency) == (effect, idempotency)
    assert tool.writes == (() if effect is Effect.READ else ("crm.things",))


def test_whoever_imports_may_know_better() -> None:
    said: dict[str, object] = {
        "effect": "destructive",
        "idempotency": "key",
        "idempotency_header": "X-Once",
        "writes": ["ledger.entry"],
    }
    said |= {"name": "wipe_all", "title": "Wipe", "description": "Everything.", "timeout_s": 5}
    tool = only(one({"operationId": "do"}), {"operations": {"do": said}})
    assert (tool.name, tool.title, tool.description, tool.timeout_s) == ("crm.wipe_all", "Wipe", "Everything.", 5.0)
    assert (tool.effect, tool.idempotency, tool.writes) == (Effect.DESTRUCTIVE, Idempotency.KEY, ("ledger.entry",))
    assert tool.recipe["key_header"] == "X-Once"


def test_the_description_itself_cannot_belittle_what_an_operation_does() -> None:
    tool = only(one({"operationId": "do", "x-fairlead-effect": "read", "x-effect": "read"}, "delete"))
    assert tool.effect is Effect.DESTRUCTIVE


def test_an_operation_that_takes_an_idempotency_key_is_given_the_calls_own() -> None:
    tool = only(one({"operationId": "pay", "parameters": [KEY]}))
    assert (tool.idempotency, tool.recipe["key_header"]) == (Idempotency.KEY, "Idempotency-Key")
    assert tool.input["properties"] == {}


def test_a_record_kind_is_the_first_tag_or_what_the_path_is_about() -> None:
    assert only(one({"operationId": "do", "tags": ["Sales Orders", "x"]})).writes == ("crm.sales_orders",)
    parameters = [{"name": "id", "in": "path", "schema": {}}]
    assert only(one({"operationId": "do", "parameters": parameters}, "put", "/v1/orders/{id}")).writes == (
        "crm.orders",
    )


def test_operations_are_chosen_by_id_method_and_path_tag_or_beginning_of_the_path() -> None:
    paths = {f"/{each}/x": {"get": {"operationId": each, "tags": [f"tag {each}"], "responses": {}}} for each in "abcd"}
    document = described(paths)
    assert list(tools(document, {"only": ["a", "GET /b/x", "tag c"]})) == ["a", "b", "c"]
    assert list(tools(document, {"without": ["/a/", "tag b"]})) == ["c", "d"]


def test_the_way_to_sign_in_that_opens_most_is_used_and_scopes_open_what_needs_them() -> None:
    flows = {"clientCredentials": {"tokenUrl": "https://id.example.com/token", "scopes": {"see": "See", "act": "Act"}}}
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}, "o": {"type": "oauth2", "flows": flows}}
    paths = {
        "/a": {"get": {"operationId": "a", "responses": {}, "security": [{"o": ["see"]}]}},
        "/b": {"post": {"operationId": "b", "responses": {}, "security": [{"key": []}, {"o": ["act", "see"]}]}},
        "/c": {"get": {"operationId": "c", "responses": {}, "security": []}},
        "/d": {"get": {"operationId": "d", "responses": {}, "security": [{"key": []}]}},
        "/e": {"get": {"operationId": "e", "responses": {}, "security": [{}, {"o": ["see"]}]}},
    }
    result = imported(described(paths, components={"securitySchemes": schemes}))
    assert result.tool_set is not None
    assert result.tool_set.auth.kind is AuthKind.OAUTH2
    assert {scope.name: (scope.access, scope.title) for scope in result.tool_set.scopes} == {
        "see": (Access.WRITE, "See"),
        "act": (Access.WRITE, "Act"),
    }
    found = {tool.name: (tool.scopes, tool.recipe.get("authorized", True)) for tool in result.tool_set.tools}
    assert found == {
        "crm.a": (("see",), True),
        "crm.b": (("act", "see"), True),
        "crm.c": ((), False),
        "crm.e": ((), True),
    }
    ((left),) = result.left_out
    assert (left.operation, left.code) == ("GET /d", "security")


def test_a_scheme_that_signs_in_alike_opens_as_well() -> None:
    bearer = {"type": "http", "scheme": "bearer"}
    schemes = {"user": bearer, "admin": bearer, "other": {"type": "http", "scheme": "basic"}}
    paths = {f"/{each}": {"get": {"operationId": each, "responses": {}, "security": [{each: []}]}} for each in schemes}
    result = imported(described(paths, components={"securitySchemes": schemes}))
    assert result.tool_set is not None
    assert [tool.name for tool in result.tool_set.tools] == ["crm.user", "crm.admin"]
    assert [left.operation for left in result.left_out] == ["GET /other"]


@pytest.mark.parametrize(
    ("scheme", "kind", "where"),
    [
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, AuthKind.API_KEY, ("X-Key", "", "")),
        ({"type": "apiKey", "in": "query", "name": "key"}, AuthKind.API_KEY, ("Authorization", "Bearer ", "key")),
        ({"type": "http", "scheme": "Bearer"}, AuthKind.API_KEY, ("Authorization", "Bearer ", "")),
        ({"type": "http", "scheme": "basic"}, AuthKind.BASIC, ("Authorization", "Bearer ", "")),
        (
            {"type": "openIdConnect", "openIdConnectUrl": "https://id.example.com/.well-known/openid-configuration"},
            AuthKind.OAUTH2,
            ("Authorization", "Bearer ", ""),
        ),
    ],
)
def test_security_schemes_become_ways_to_sign_in(
    scheme: dict[str, str], kind: AuthKind, where: tuple[str, str, str]
) -> None:
    document = one({"operationId": "do"}, components={"securitySchemes": {"s": scheme}}, security=[{"s": []}])
    tool_set = imported(document).tool_set
    assert tool_set is not None
    auth = tool_set.auth
    assert (auth.kind, (auth.header, auth.prefix, auth.query)) == (kind, where)
    assert auth.oauth is None or auth.oauth.issuer == "https://id.example.com"


@pytest.mark.parametrize(
    "scheme",
    [
        {"type": "apiKey", "in": "cookie", "name": "sid"},
        {"type": "apiKey", "in": "header", "name": "X\r\nY"},
        {"type": "mutualTLS"},
        {"type": "http", "scheme": "digest"},
        {"type": "oauth2", "flows": {"implicit": {"authorizationUrl": "https://a.example", "scopes": {}}}},
        {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "http://a.example", "scopes": {}}}},
        {},
    ],
)
def test_an_operation_that_needs_another_way_to_sign_in_is_left_out_with_the_reason(scheme: dict[str, object]) -> None:
    document = one({"operationId": "do"}, components={"securitySchemes": {"s": scheme}}, security=[{"s": []}])
    result = imported(document)
    assert [(left.operation, left.code) for left in result.left_out] == [("POST /things", "security")]
    assert [problem.code for problem in result.problems] == ["no_operations"]


@pytest.mark.parametrize(
    ("servers", "egress", "is_needed"),
    [
        ([{"url": "https://api.example.com/v1"}], ("api.example.com", "{base_url}"), False),
        ([{"url": "https://API.example.com:8443"}], ("api.example.com:8443", "{base_url}"), False),
        ([{"url": "http://api.example.com"}], ("api.example.com:80", "{base_url}"), False),
        (
            [{"url": "https://{region}.example.com/{v}", "variables": {"region": {"default": "eu"}}}],
            ("eu.example.com", "{base_url}"),
            False,
        ),
        ([{"url": "/v1"}], ("{base_url}",), True),
        ([{"url": "https://user:password@api.example.com/"}], ("{base_url}",), True),
        ([{"url": "file:///etc/passwd"}], ("{base_url}",), True),
        ([], ("{base_url}",), True),
    ],
)
def test_hosts_that_are_reached_are_those_of_the_servers_and_of_the_account(
    servers: list[object], egress: tuple[str, ...], is_needed: bool
) -> None:
    components = {"securitySchemes": {"s": {"type": "http", "scheme": "bearer"}}}
    tool_set = imported(
        one({"operationId": "do", "security": [{"s": []}]}, servers=servers, components=components)
    ).tool_set
    assert tool_set is not None
    assert tool_set.egress == egress
    assert [(field.name, field.required) for field in tool_set.config] == [("base_url", is_needed)]


def test_a_service_that_anybody_may_call_and_that_says_where_it_is_needs_no_connection() -> None:
    tool_set = imported(one({"operationId": "do"})).tool_set
    assert tool_set is not None
    assert (tool_set.egress, tool_set.config) == (("crm.example.com",), ())
    asked = imported(one({"operationId": "do"}, servers=[])).tool_set
    assert asked is not None
    assert (asked.egress, [field.required for field in asked.config]) == (("{base_url}",), [True])
