"""The published description of the API says what the code does."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema_rs import Draft202012Validator

from fairlead.api import openapi, problems_reference
from fairlead.api.application import route_options, routed
from fairlead.api.problems import status_of
from fairlead.app import PROJECTIONS

PAGES = Path(__file__).resolve().parents[3] / "docs" / "reference"
PROBLEM = "application/problem+json"


def operations() -> list[tuple[str, str, Any]]:
    return [
        (path, method.upper(), operation)
        for path, methods in openapi.document()["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_page_of_problems_is_fresh() -> None:
    assert (PAGES / "problems.md").read_text() == problems_reference.page(), "run make reference"


def test_the_openapi_document_is_fresh() -> None:
    assert (PAGES / "openapi.json").read_text() == openapi.text(), "run make reference"


def test_every_problem_has_a_meaning_and_a_code_of_its_own() -> None:
    meanings: dict[str, type] = {}
    for error in problems_reference.errors():
        assert (error.__doc__ or error.__mro__[1].__doc__ or "").strip(), f"{error.__name__} needs a docstring"
        assert meanings.setdefault(error.code, error) is error, f"{error.code} is there twice"
        assert 400 <= status_of(error) < 600


_SPOKEN_OTHERWISE = (
    *("/approve", "/approve/{link}", "/mcp", "/mcp/{workflow}"),
    *("/anthropic/v1/messages", "/openai/v1/chat/completions", "/openai/v1/models", "/openai/v1/responses"),
)


def test_every_route_is_described_and_every_read_model_it_names_exists() -> None:
    described = {(path, method) for path, method, _ in operations()}
    names = {projection.NAME for projection in PROJECTIONS} | {"ledger"}
    not_for_programs = (*("/metrics", "/openapi.json", "/v1/oauth/callback"), *_SPOKEN_OTHERWISE)
    for path, method, opt in route_options(routed()):
        assert path in not_for_programs or (path, method) in described
        assert set(opt.get("reads", ())) <= names


def test_what_a_handler_needs_is_given_without_tasks_of_its_own() -> None:
    models = [model for route in routed().routes for _, model in getattr(route, "route_handler_map", {}).values()]
    assert sum(len(model.dependency_batches) for model in models) > len(models), "most handlers need several things"
    assert all(len(batch) == 1 for model in models for batch in model.dependency_batches)


@pytest.mark.parametrize(("path", "method", "operation"), operations())
def test_an_operation_names_its_problems_and_its_credential(path: str, method: str, operation: Any) -> None:
    statuses = set(operation["responses"])
    assert operation["description"].endswith("."), f"{method} {path} needs a docstring"
    if path.startswith("/v1/") and not path.startswith("/v1/schemas/"):
        assert operation["security"] == [{"apiKey": []}]
        assert {"401", "403", "422", "429", "503"} <= statuses
    if method == "POST":
        assert {"$ref": "#/components/parameters/IdempotencyKey"} in operation["parameters"]
        assert {"409", "413", "415"} <= statuses


def test_every_example_of_a_body_fits_its_schema() -> None:
    document = openapi.document()
    schemas = document["components"]["schemas"]
    bodies = {
        content["schema"]["$ref"].rpartition("/")[2]
        for _, _, operation in operations()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if "$ref" in content["schema"]
    }
    for name in bodies:
        examples = schemas[name].get("examples")
        assert examples, f"{name} needs an example"
        rooted = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        for example in examples:
            assert Draft202012Validator(rooted).is_valid(example), name


def test_bodies_take_no_field_that_is_not_described() -> None:
    schemas = openapi.document()["components"]["schemas"]
    for _, _, operation in operations():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if "$ref" in content["schema"]:
                name = content["schema"]["$ref"].rpartition("/")[2]
                assert schemas[name].get("additionalProperties") is False or "anyOf" in schemas[name], name


def test_problem_documents_are_what_the_answers_refer_to() -> None:
    for name, answer in openapi.document()["components"]["responses"].items():
        content = answer["content"][PROBLEM]
        assert content["schema"] == {"$ref": "#/components/schemas/ProblemDocument"}
        assert str(content["example"]["status"]) == name.removeprefix("Problem")
        assert msgspec.json.encode(content["example"])
