"""What the demonstration shows: progress while it runs, and a table at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.story import Chapter
from fairlead.settings import Settings

STYLE_OF = {"completed": "green", "impossible": "yellow", "running": "cyan"}


class Screen:
    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, line: str, style: str = "") -> None:
        self.console.print(line, style=style, highlight=False)

    def show_difference(self, chapter: Chapter, approval: Mapping[str, Any]) -> None:
        """What a reviewer is asked to sign: the call, and what it would change at the counterpart."""
        if not chapter.shows_difference:
            return
        before, after = approval["evidence"]["before"], approval["evidence"]["after"]
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        for heading in ("", "now", "afterwards"):
            table.add_column(heading, no_wrap=True)
        for name in sorted({*before, *after}):
            table.add_row(name, str(before.get(name, "")), Text(str(after.get(name, "")), style="bold"))
        title = f"{chapter.document}: may {approval['tool']} be called?"
        self.console.print(Panel(Group(Text(approval["reason"], style="dim"), table), title=title, expand=False))

    def table(self, runs: Mapping[str, Chapter], seen: Mapping[str, Mapping[str, Any]]) -> Table:
        table = Table(title="Twelve invoices", title_justify="left", box=None, pad_edge=False)
        for heading in ("document", "", "status", "outcome", "calls", "run"):
            table.add_column(heading, no_wrap=True)
        for run_id, chapter in runs.items():
            run = seen.get(run_id, {})
            status = str(run.get("status", "starting"))
            output = run.get("output") or {}
            table.add_row(
                chapter.document,
                Text(chapter.about, style="dim"),
                Text(status, style=STYLE_OF.get(status, "magenta")),
                str(output.get("outcome") or run.get("reason_code") or ""),
                str(run.get("tool_calls", "")),
                Text(run_id, style="dim"),
            )
        return table

    def ending(self, key_file: Path, exports: Path, data_dir: Path) -> Group:
        url = f"http://{Settings().host}:{Settings().port}"  # where `make dev` answers
        return Group(
            Text(f"\nTimelines as JSON and CSV: {exports}/", style="bold"),
            Text(
                "Go on by hand: the data stays. Start it again with\n"
                f"  FAIRLEAD_DATA_DIR={data_dir} make dev\n"
                "and ask, for instance\n"
                f'  curl -H "Authorization: Bearer $(cat {key_file})" {url}/v1/runs'
            ),
        )
