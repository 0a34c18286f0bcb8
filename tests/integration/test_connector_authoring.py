"""From nothing to a signed package, by the commands that an author has."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairlead.__main__ import main
from fairlead.cli.authoring import template_folder
from fairlead.cli.exits import Exit
from fairlead.domain.connectors.package import opened

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """In a folder of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return lambda *words: CliRunner().invoke(main, list(words))


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    assert run("connector", "new", "acme_tickets").exit_code == Exit.OK
    return tmp_path / "acme_tickets"


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_a_new_connector_passes_the_check_and_is_packed_and_read_back(run: Run, project: Path, tmp_path: Path) -> None:
    made = run("connector", "keygen")
    author = made.stdout.strip()
    checked = run("connector", "check", "acme_tickets")
    assert (checked.exit_code, checked.stdout) == (Exit.OK, "acme_tickets 0.1.0: 20 checks, nothing found\n")
    assert run("connector", "pack", "acme_tickets").stdout == "acme_tickets-0.1.0.fairlead\n"
    body = (tmp_path / "acme_tickets-0.1.0.fairlead").read_bytes()
    package = opened(body, [author])
    assert sorted(package.files) == ["acme_tickets_connector/__init__.py"]
    assert [tool.name for tool in package.manifest.tools] == ["acme_tickets.create_note", "acme_tickets.get_note"]
    assert run("connector", "pack", "acme_tickets", "--out", "again").exit_code == Exit.OK
    assert (tmp_path / "again").read_bytes() == body
    shown = run("connector", "show", "again", "-o", "json")
    assert f'"author_key": "{author}"' in shown.stdout
    assert run("connector", "unpack", "again", "code").exit_code == Exit.OK
    unpacked = (tmp_path / "code/acme_tickets_connector/__init__.py").read_text()
    assert unpacked == (project / "acme_tickets_connector/__init__.py").read_text()


def test_nothing_of_the_template_is_left_in_what_was_made(project: Path) -> None:
    texts = [file.read_text() for file in project.rglob("*") if file.is_file()]
    assert len(texts) == 4
    assert not any("sample" in text.lower() for text in texts)


def test_what_the_template_says_of_itself_is_what_is_made(run: Run, tmp_path: Path) -> None:
    assert run("connector", "new", "sample").exit_code == Exit.OK
    for file in (tmp_path / "sample").rglob("*"):
        if file.is_file():
            assert file.read_text() == (template_folder() / file.relative_to(tmp_path / "sample")).read_text()


INIT = "acme_tickets_connector/__init__.py"
TEST = "tests/test_acme_tickets.py"


@pytest.mark.parametrize(
    ("file", "before", "after", "found"),
    [
        (INIT, 'egress=("api.example.com",)', 'egress=("https://api",)', "'https://api' is no host"),
        (INIT, '"idempotency-key": call.idempotency_key', "", "KeyError"),
        (INIT, 'version="0.1.0"', 'version="0.2.0"', "pyproject.toml has version 0.1.0, and the manifest 0.2.0"),
        (INIT, "import msgspec", "import no_such_module", "loading it raised ModuleNotFoundError"),
        (INIT, "def register_connectors(", "def register_conectors(", "loading it raised PluginValidationError"),
        (INIT, "import msgspec", "import msgspec, os; os._exit(3)", "ended the check early"),
        (INIT, "    register(", "    print(", "it registers 0 connectors"),
        (TEST, "(ConnectorSuite)", "", "no subclass of ConnectorSuite"),
        (TEST, 'NOTE, Example(tool="acme_tickets.get_note"', 'NOTE, *(), Example(tool="other"', "has no example"),
        ("pyproject.toml", '["fairlead"]', '["fairlead", "requests>=2"]', "it depends on requests>=2"),
        ("pyproject.toml", "fairlead.connectors", "other.connectors", "needs one entry point"),
        ("pyproject.toml", "[project]", "[project", "cannot be read"),
        ("pyproject.toml", '= "acme_tickets_connector"', '= "json"', "is another one"),
    ],
)
def test_what_is_wrong_with_a_project_is_said(
    run: Run, project: Path, file: str, before: str, after: str, found: str
) -> None:
    edit(project / file, before, after)
    checked = run("connector", "check", "acme_tickets")
    assert checked.exit_code == Exit.INVALID
    assert found in checked.stderr


def test_what_does_not_pass_is_not_packed(run: Run, project: Path, tmp_path: Path) -> None:
    run("connector", "keygen")
    edit(project / INIT, "notes.write", "notes.read")
    assert run("connector", "pack", "acme_tickets").exit_code == Exit.INVALID
    assert list(tmp_path.glob("*.fairlead")) == []


def test_without_a_key_of_ones_own_nothing_is_packed(run: Run, project: Path, tmp_path: Path) -> None:
    refused = run("connector", "pack", "acme_tickets")
    assert (refused.exit_code, "connector keygen" in refused.stderr) == (Exit.USAGE, True)
    key = tmp_path / "config/fairlead/author-key.pem"
    assert run("connector", "keygen").exit_code == Exit.OK
    assert key.stat().st_mode & 0o077 == 0
    assert run("connector", "keygen").exit_code == Exit.REFUSED
    key.chmod(0o644)
    assert run("connector", "pack", "acme_tickets").exit_code == Exit.USAGE
    key.write_text("no key")
    key.chmod(0o600)
    assert run("connector", "pack", "acme_tickets").exit_code == Exit.USAGE


def test_a_link_is_not_packed(run: Run, project: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden")
    (project / "acme_tickets_connector/data.txt").symlink_to(tmp_path / "secret")
    run("connector", "keygen")
    assert "is a link" in run("connector", "pack", "acme_tickets").stderr


@pytest.mark.parametrize("name", ["Acme", "1a", "a-b", "a__b", "../x", "a" * 33])
def test_a_name_that_no_connector_can_have_is_refused(run: Run, name: str) -> None:
    assert run("connector", "new", name).exit_code == Exit.USAGE


def test_a_folder_with_something_in_it_is_left_alone(run: Run, project: Path) -> None:
    assert run("connector", "new", "acme_tickets").exit_code == Exit.REFUSED
    shutil.rmtree(project)
    project.mkdir()
    assert run("connector", "new", "acme_tickets").exit_code == Exit.OK


def test_a_file_that_is_no_package_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.fairlead").write_bytes(b"no package")
    assert run("connector", "show", "x.fairlead").exit_code == Exit.REFUSED
    assert run("connector", "unpack", "x.fairlead", "code").exit_code == Exit.REFUSED
    assert not (tmp_path / "code").exists()
