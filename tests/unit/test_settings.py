"""The environment is read whole, and what is wrong with it is said at once, without a value."""

from pathlib import Path

import pytest

from fairlead.domain.errors import Invalid
from fairlead.settings import Settings, from_environment, variable
from fairlead.settings_reference import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "configuration.md"
ENGINES = {
    "FAIRLEAD_DATABASE_URL": "postgresql://fairlead_app:hush1@db/fairlead",
    "FAIRLEAD_DATABASE_ENGINE_URL": "postgresql://fairlead_engine:hush2@db/fairlead",
    "FAIRLEAD_NATS_URL": "nats://fairlead:hush3@nats:4222",
}


def problems(environment: dict[str, str]) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        from_environment(environment)
    return {problem.path: problem.message for problem in refused.value.problems}


def test_an_empty_environment_means_embedded_engines() -> None:
    assert from_environment({}) == Settings()
    assert Settings().embedded


def test_named_engines_are_used() -> None:
    settings = from_environment(ENGINES)
    assert not settings.embedded
    assert settings.nats_url == ENGINES["FAIRLEAD_NATS_URL"]


def test_an_empty_variable_is_an_unset_one() -> None:
    assert from_environment({"FAIRLEAD_PORT": "", "FAIRLEAD_NATS_URL": ""}) == Settings()


def test_lists_are_separated_by_commas() -> None:
    assert from_environment({"FAIRLEAD_CONNECTORS": "basics, invoices"}).connectors == ("basics", "invoices")


def test_private_networks_are_none_until_listed_and_have_no_bits_beside_their_own() -> None:
    name = "FAIRLEAD_OUTBOUND_PRIVATE_NETWORKS"
    assert Settings().outbound_private_networks == ()
    assert from_environment({name: "10.1.0.0/16, fd12::/32"}).outbound_private_networks == ("10.1.0.0/16", "fd12::/32")
    for wrong in ("10.1.0.1/16", "10.0.0.0/33", "localhost", "::/129"):
        assert set(problems({name: wrong})) == {name}


def test_headers_of_a_receiver_of_traces_are_never_shown_and_cannot_be_two_lines() -> None:
    name = "FAIRLEAD_TELEMETRY_HEADERS"
    settings = from_environment({name: "authorization=Bearer hush4,x-team=t"})
    assert settings.telemetry_headers == "authorization=Bearer hush4,x-team=t"
    assert "hush4" not in repr(settings)
    for wrong in ("authorization", "a=b\r\nc: d", "=x", "a=", "a b=c"):
        assert set(problems({name: wrong})) == {name}


def test_other_programs_variables_are_none_of_our_business() -> None:
    others = {"PATH": "/bin", "FAIRLEAD_CONNECTOR_INVOICES_DATABASE": "x", "FAIRLEAD_API_KEY": "flk_live_x"}
    assert from_environment(others) == Settings()


def test_every_problem_is_reported_at_once() -> None:
    found = problems(
        {
            "FAIRLEAD_PORT": "many",
            "FAIRLEAD_LOG_LEVEL": "loud",
            "FAIRLEAD_CONNECTORS": "../evil",
            "FAIRLEAD_NATS_URL": "http://nats",
            "FAIRLEAD_NATS_CERT_FILE": "/nowhere/cert.pem",
            "FAIRLEAD_DATABSE_URL": "postgresql://db/fairlead",
        }
    )
    assert set(found) == {
        "FAIRLEAD_PORT",
        "FAIRLEAD_LOG_LEVEL",
        "FAIRLEAD_CONNECTORS",
        "FAIRLEAD_NATS_URL",
        "FAIRLEAD_NATS_CERT_FILE",
        "FAIRLEAD_NATS_KEY_FILE",
        "FAIRLEAD_DATABSE_URL",
    }
    assert "FAIRLEAD_DATABASE_URL was meant" in found["FAIRLEAD_DATABSE_URL"]


@pytest.mark.parametrize("left_out", ENGINES)
def test_engines_are_named_completely_or_not_at_all(left_out: str) -> None:
    assert set(problems({name: url for name, url in ENGINES.items() if name != left_out})) == {left_out}


@pytest.mark.parametrize(
    ("name", "below", "at", "above"),
    [
        ("FAIRLEAD_PORT", None, ("0", "65535"), "65536"),
        ("FAIRLEAD_NATS_REPLICAS", "0", ("1", "5"), "6"),
        ("FAIRLEAD_BACKLOG_LIMIT", "0", ("1",), None),
        ("FAIRLEAD_WORKER_CONCURRENCY", "0", ("1", "1000"), "1001"),
        ("FAIRLEAD_DATABASE_CONNECTIONS", "0", ("1", "200"), "201"),
        ("FAIRLEAD_SHUTDOWN_TIMEOUT_S", "0", ("1", "600"), "601"),
    ],
)
def test_each_bound_holds(name: str, below: str | None, at: tuple[str, ...], above: str | None) -> None:
    for value in at:
        assert getattr(from_environment({name: value}), name.removeprefix("FAIRLEAD_").lower()) == int(value)
    for refused in filter(None, (below, above)):
        assert set(problems({name: refused})) == {name}


def test_no_secret_is_shown() -> None:
    assert "hush" not in repr(from_environment(ENGINES))
    broken = {name: url.replace("://", ":/") for name, url in ENGINES.items()}
    assert not any("hush" in message for message in problems(broken).values())


def test_the_reference_page_is_fresh() -> None:
    assert PAGE.read_text() == page(), "run make reference"


@pytest.mark.parametrize("field", Settings.__struct_fields__)
def test_every_setting_is_described(field: str) -> None:
    row = next(line for line in page().splitlines() if line.startswith(f"| `{variable(field)}`"))
    assert row.rstrip(" |").endswith(".")
