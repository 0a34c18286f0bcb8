"""A description becomes a set of tools. Pure: the same bytes and hints always give the same set."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fairlead_sdk import Access, Effect
from fairlead_sdk.auth import NO_AUTH
from fairlead_sdk.importing import Import, ImportedTool, ImportProblem, LeftOut, Schema, ToolSet, references

from fairlead_http.hints import Hints, hints_of
from fairlead_http.operations import METHODS, Operation, operation_of, tool_of
from fairlead_http.pointing import CannotImport, pointer, resolved
from fairlead_http.reading import Document, document_of
from fairlead_http.schemas import Schemas
from fairlead_http.security import Need, Scheme, chosen, need_of, requirements_of, schemes_of, scopes_of
from fairlead_http.servers import Servers
from fairlead_http.undoing import CannotUndo, Made, with_undo

MAX_TOOLS = 2_000
MAX_LEFT_OUT = 1_000

_SET_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PATH = re.compile(r"/[A-Za-z0-9._~:@!$&'()*+,;=%{}/?-]*")
_UNSENT = ("options", "trace")


def read(name: str, description: bytes, given_hints: Mapping[str, Any]) -> Import:
    """Never raises: what is wrong is told, all of it at once."""
    problems: list[ImportProblem] = []
    if not _SET_NAME.fullmatch(name):
        problems.append(
            ImportProblem("/name", "bad_name", "a set's name is a lower-case word of at most 32 characters")
        )
    hints, document = hints_of(given_hints), document_of(description)
    problems += [each for each in (hints, document) if isinstance(each, ImportProblem)]
    if problems or isinstance(hints, ImportProblem) or isinstance(document, ImportProblem):
        return Import(tool_set=None, problems=tuple(problems))
    return _Reading(name, document, hints).result()


class _Reading:
    """Of one description."""

    def __init__(self, name: str, document: Document, hints: Hints) -> None:
        self._name = name
        self._document = document
        self._hints = hints
        self._problems: list[ImportProblem] = []
        self._left_out: list[LeftOut] = []
        self._schemas = Schemas(document)
        self._servers = Servers(document, hints)
        self._schemes = schemes_of(document)

    def result(self) -> Import:
        operations = [each for each in self._operations() if _is_wanted(each, self._hints)]
        self._check_hints(operations)
        scheme = self._scheme(operations)
        tools = self._tools(operations, scheme)
        if not tools and not self._problems:
            self._problems.append(ImportProblem("/paths", "no_operations", "no operation became a tool"))
        if len(tools) > MAX_TOOLS:
            message = f"a set has at most {MAX_TOOLS} tools, not {len(tools)}: choose with `only` and `without`"
            self._problems.append(ImportProblem("/paths", "too_many", message))
        left_out = tuple(self._left_out[:MAX_LEFT_OUT])
        if self._problems:
            return Import(tool_set=None, problems=tuple(self._problems), left_out=left_out)
        return Import(tool_set=self._set(tools, scheme), left_out=left_out)

    def _operations(self) -> Iterator[Operation]:
        for path, each in self._document["paths"].items():
            if path.startswith("x-"):
                continue
            try:
                item, _ = resolved(self._document, each, pointer("paths", path))
                if not _PATH.fullmatch(path):
                    raise CannotImport(pointer("paths", path), "bad_path", "a path is /, and what an address may hold")
            except CannotImport as fault:
                self._leave_out(path, fault)
                continue
            yield from self._of_item(path, item)

    def _of_item(self, path: str, item: dict[str, Any]) -> Iterator[Operation]:
        for method in METHODS:
            if method in item:
                try:
                    yield operation_of(path, method, item, self._hints)
                except CannotImport as fault:
                    self._leave_out(f"{method.upper()} {path}", fault)
        for method in _UNSENT:
            if method in item:
                where = pointer("paths", path, method)
                self._leave_out(
                    f"{method.upper()} {path}",
                    CannotImport(where, "method", f"{method.upper()} does nothing that a workflow needs"),
                )

    def _check_hints(self, operations: list[Operation]) -> None:
        known = {each for operation in operations for each in (operation.id, operation.key)}
        for key in self._hints.operations:
            if key not in known:
                path = f"/hints{pointer('operations', key)}"
                self._problems.append(ImportProblem(path, "unknown_operation", "no imported operation is called so"))

    def _scheme(self, operations: list[Operation]) -> Scheme | None:
        schemes = self._schemes
        asked = [requirements_of(self._document, each.given) for each in operations]
        scheme = chosen(schemes, asked, self._hints.security)
        if self._hints.security is not None and scheme is None:
            fault = schemes.get(self._hints.security)
            message = fault.message if isinstance(fault, CannotImport) else "there is no scheme of this name"
            self._problems.append(ImportProblem("/hints/security", "security", message))
        return scheme

    def _tools(self, operations: list[Operation], scheme: Scheme | None) -> list[ImportedTool]:
        taken: set[str] = set()
        found: list[Made] = []
        for operation in operations:
            try:
                found.append((operation, self._tool(operation, scheme, taken)))
            except CannotImport as fault:
                self._leave_out(operation.key, fault, operation.place)
        self._schemas.finish()
        tools: list[ImportedTool] = []
        for operation, tool in found:
            if unusable := self._schemas.fault_of(tool.input):
                self._leave_out(operation.key, unusable, operation.place)
            else:
                tools.append(self._undone(operation, tool, found))
        return tools

    def _undone(self, operation: Operation, tool: ImportedTool, found: list[Made]) -> ImportedTool:
        if operation.hints.undo is None:
            return tool
        try:
            return with_undo(tool, operation.hints.undo, found)
        except CannotUndo as fault:
            key = next(key for key in (operation.id, operation.key) if key in self._hints.operations)
            path = f"/hints{pointer('operations', key, 'undo')}"
            self._problems.append(ImportProblem(path, "bad_hints", str(fault)))
            return tool

    def _tool(self, operation: Operation, scheme: Scheme | None, taken: set[str]) -> ImportedTool:
        alternatives = requirements_of(self._document, operation.given)
        need: Need = need_of(alternatives, scheme, self._schemes, operation.place)
        return tool_of(
            operation,
            document=self._document,
            schemas=self._schemas,
            prefix=self._name,
            taken=taken,
            need=need,
            server=self._servers.of(operation),
            hints=self._hints,
        )

    def _set(self, tools: list[ImportedTool], scheme: Scheme | None) -> ToolSet:
        info = self._document.get("info", {})
        title = self._hints.title or info.get("title")
        return ToolSet(
            name=self._name,
            title=(title if isinstance(title, str) and title.strip() else self._name)[:200],
            tools=tuple(tools),
            definitions=_used(self._schemas, tools),
            auth=scheme.auth if scheme else NO_AUTH,
            scopes=scopes_of(scheme, _opened(tools), self._hints.access) if scheme else (),
            egress=self._servers.egress(has_accounts=scheme is not None),
            config=self._servers.config(has_accounts=scheme is not None),
        )

    def _leave_out(self, operation: str, fault: CannotImport, place: str = "") -> None:
        self._left_out.append(LeftOut(operation, fault.path or place, fault.code, fault.message))


def _is_wanted(operation: Operation, hints: Hints) -> bool:
    if hints.only and not _matches(operation, hints.only):
        return False
    return not _matches(operation, hints.without)


def _matches(operation: Operation, names: tuple[str, ...]) -> bool:
    own = {operation.key, *operation.tags, *([operation.id] if operation.id else [])}
    return any(name in own or (name.startswith("/") and operation.path.startswith(name)) for name in names)


def _opened(tools: list[ImportedTool]) -> dict[str, Access]:
    """What each scope opens, by what needs it."""
    found: dict[str, Access] = {}
    for tool in tools:
        for name in tool.scopes:
            if tool.effect is not Effect.READ or name not in found:
                found[name] = Access.READ if tool.effect is Effect.READ else Access.WRITE
    return found


def _used(schemas: Schemas, tools: list[ImportedTool]) -> dict[str, Schema]:
    """Only definitions that a tool reaches."""
    waiting = list(
        dict.fromkeys(name for tool in tools for side in (tool.input, tool.output) for name in references(side))
    )
    seen = set(waiting)
    found: dict[str, Schema] = {}
    for name in waiting:  # grows while it is walked
        if name in schemas.definitions:
            found[name] = schemas.definitions[name]
            reached = [each for each in dict.fromkeys(references(found[name])) if each not in seen]
            waiting += reached
            seen.update(reached)
    return found
