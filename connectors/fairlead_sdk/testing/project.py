"""Tries a connector's project as its author has it: what it is, what its manifest lacks, what its suites find.

`fairlead connector check` runs this in a process of its own, where the project's code may do what it likes.
"""

import importlib
import inspect
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import msgspec
import pluggy
from msgspec import Struct

from fairlead_sdk import hookspecs
from fairlead_sdk.checks import faults_of
from fairlead_sdk.conformance import ConnectorSuite
from fairlead_sdk.contract import Connector
from fairlead_sdk.description import ManifestDescription, described

_SDK = "fairlead"  # the distribution that has it


class Unfit(Exception):
    """Why a folder is no project of a connector."""


class Tried(Struct, frozen=True, kw_only=True):
    """`faults` is empty for a connector that may be packed; each is a line for its author."""

    module: str = ""
    manifest: ManifestDescription | None = None
    checks: int = 0
    faults: tuple[str, ...] = ()


class Project(Struct, frozen=True, kw_only=True):
    """What pyproject.toml says."""

    folder: Path
    name: str  # of the entry point
    module: str
    version: str
    dependencies: tuple[str, ...]


def project_in(folder: Path) -> Project:
    """Raises Unfit."""
    try:
        said = tomllib.loads((folder / "pyproject.toml").read_text())
    except (OSError, ValueError) as error:
        raise Unfit(f"{folder / 'pyproject.toml'} cannot be read") from error
    project = said.get("project", {})
    entries = project.get("entry-points", {}).get(hookspecs.ENTRY_POINT_GROUP, {})
    if len(entries) != 1:
        raise Unfit(f'pyproject.toml needs one entry point in the group "{hookspecs.ENTRY_POINT_GROUP}"')
    ((name, module),) = entries.items()
    return Project(
        folder=folder,
        name=name,
        module=module,
        version=str(project.get("version", "")),
        dependencies=tuple(project.get("dependencies", ())),
    )


def tried(folder: Path) -> Tried:
    """Never raises for what the project does."""
    try:
        project = project_in(folder)
        sys.path[:0] = [str(folder)]
        connector = _registered(project)
    except Unfit as unfit:
        return Tried(faults=(str(unfit),))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # an author's module may raise anything
        return Tried(faults=(f"loading it raised {type(error).__name__}: {error}",))
    faults = [*_project_faults(project, connector), *map(str, faults_of(connector.manifest))]
    if faults:
        return Tried(module=project.module, faults=tuple(faults))
    checks, found = _suites(project)
    return Tried(module=project.module, manifest=described(connector.manifest), checks=checks, faults=tuple(found))


def _registered(project: Project) -> Connector:
    manager = pluggy.PluginManager("fairlead")
    manager.add_hookspecs(hookspecs)
    module = importlib.import_module(project.module)
    if not Path(module.__file__ or "").resolve().is_relative_to(project.folder.resolve()):
        raise Unfit(f"the module {project.module} is another one: choose a name that nobody has")
    manager.register(module)
    manager.check_pending()
    found: list[Connector] = []
    manager.hook.register_connectors(register=found.append)
    if len(found) != 1:
        raise Unfit(f"it registers {len(found)} connectors, not one")
    return found[0]


def _project_faults(project: Project, connector: Connector) -> Iterator[str]:
    manifest = connector.manifest
    if manifest.name != project.name:
        yield f"the entry point is {project.name}, and the manifest's name {manifest.name}"
    if manifest.version != project.version:
        yield f"pyproject.toml has version {project.version}, and the manifest {manifest.version}"
    for dependency in project.dependencies:
        if dependency.replace("-", "_").partition("[")[0].split(" ")[0].rstrip("<>=!~.0123456789,") != _SDK:
            yield f"it depends on {dependency}, which is not there where it runs: put the code into the package"


def _suites(project: Project) -> tuple[int, list[str]]:
    """How many checks were made, and what they found."""
    made, found, suites = 0, list[str](), list[type[ConnectorSuite]]()
    for file in sorted((project.folder / "tests").glob("test_*.py")):
        suites += _suites_in(file)
    if not suites:
        found.append("there is no subclass of ConnectorSuite in tests/test_*.py")
    for suite in suites:
        for name, check in inspect.getmembers(suite, inspect.isfunction):
            if name.startswith("test_"):
                made += 1
                found += _failure(suite, name, check)
    return made, found


def _failure(suite: type[ConnectorSuite], name: str, check: Any) -> Iterator[str]:
    try:
        check(suite())
    except AssertionError as failed:
        for line in str(failed).splitlines() or ["failed"]:
            yield f"{name.removeprefix('test_').replace('_', ' ')}: {line}"
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a suite's fields may be anything
        yield f"{name.removeprefix('test_').replace('_', ' ')}: raised {type(error).__name__}: {error}"


def _suites_in(file: Path) -> list[type[ConnectorSuite]]:
    sys.path[:0] = [str(file.parent)]
    spec = spec_from_file_location(file.stem, file)
    assert spec is not None, "it is a file of Python"
    assert spec.loader is not None, "it is a file of Python"
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return [
        each
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, ConnectorSuite) and each.__module__ == file.stem
    ]


def main() -> None:
    """The answer is the only thing on standard output."""
    with redirect_stdout(sys.stderr):
        answer = tried(Path(sys.argv[1]))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
