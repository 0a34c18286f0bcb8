"""Reads the folder: names of sources and documents are plain words, so no path leads out of it."""

from pathlib import Path

from fairlead_sdk import Call, Refused, TryLater
from msgspec import Struct

SETTING = "library_dir"
MAX_DOCUMENTS = 500
MAX_DOCUMENT_BYTES = 200_000


class Document(Struct, frozen=True):
    """`title` is its first line, `body` the rest."""

    id: str
    title: str
    body: str


def documents(call: Call, source: str) -> list[Document]:
    """In order of name. Raises Refused for a source that is not there, TryLater for one that cannot be read."""
    folder = _folder(call) / source
    if not folder.is_dir():
        raise Refused(f"there is no source {source}", code="source_unknown")
    if (folder / ".closed").exists():
        raise TryLater(f"the source {source} does not answer", code="source_unavailable")
    return [_read(source, file) for file in sorted(folder.glob("*.md"))[:MAX_DOCUMENTS]]


def document(call: Call, document_id: str) -> Document | None:
    source, _, name = document_id.partition("/")
    file = _folder(call) / source / f"{name}.md"
    return _read(source, file) if file.is_file() else None


def _folder(call: Call) -> Path:
    if not (folder := call.settings.get(SETTING)):
        raise Refused(f"the connector's setting {SETTING} is missing", code="not_configured")
    return Path(folder)


def _read(source: str, file: Path) -> Document:
    with file.open("rb") as opened:
        text = opened.read(MAX_DOCUMENT_BYTES).decode(errors="replace")
    title, _, body = text.partition("\n")
    return Document(id=f"{source}/{file.stem}", title=title.lstrip("# ").strip(), body=body.strip())
