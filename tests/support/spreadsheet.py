"""LibreOffice without a screen: what a spreadsheet makes of a CSV file."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from defusedxml.ElementTree import parse
from msgspec import Struct

PROGRAM = shutil.which("soffice")
# Comma, quotation mark, UTF-8, from the first line, no column formats, any language, quoted fields as text.
OPTIONS = "CSV:44,34,76,1,,0,true,true"
PATIENCE_S = 120.0
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"


class Cell(Struct, frozen=True):
    text: str
    formula: str | None


async def opened(folder: Path, *files: Path) -> list[list[list[Cell]]]:
    """The rows of each as LibreOffice has them once it has read it; empty cells at the end of a row are left out."""
    assert PROGRAM is not None, "whoever asks has looked"
    profile, out = folder / "profile", folder / "out"
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, f"-env:UserInstallation={profile.as_uri()}", "--headless", f"--infilter={OPTIONS}"),
        *("--convert-to", "fods", "--outdir", str(out), *map(str, files)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return [list(_rows(out / f"{file.stem}.fods")) for file in files]


def _rows(document: Path) -> Iterator[list[Cell]]:
    for row in parse(document).iter(f"{_TABLE}table-row"):
        cells = [cell for node in row.iter(f"{_TABLE}table-cell") for cell in _cells(node)]
        while cells and cells[-1] == Cell("", None):
            cells.pop()
        if cells:
            yield cells


def _cells(node: Any) -> list[Cell]:
    paragraphs = [_text(paragraph) for paragraph in node.findall(f"{_TEXT}p")]
    cell = Cell("\n".join(paragraphs), node.get(f"{_TABLE}formula"))
    repeated = int(node.get(f"{_TABLE}number-columns-repeated", "1"))
    return [cell] * (repeated if node.get(f"{_OFFICE}value-type") else min(repeated, 100))


def _text(node: Any) -> str:
    match node.tag.removeprefix(_TEXT):
        case "s":
            inner = " " * int(node.get(f"{_TEXT}c", "1"))
        case "tab":
            inner = "\t"
        case "line-break":
            inner = "\n"
        case _:
            inner = node.text or ""
    return inner + "".join(_text(child) + (child.tail or "") for child in node)
