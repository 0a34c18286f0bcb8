"""Commands that are clients of the REST API, as one group that the program's own group takes over."""

import rich_click as click

from fairlead.cli import exports, interventions
from fairlead.cli.approvals import approval
from fairlead.cli.program import Program
from fairlead.cli.runs import run

__all__ = ["client", "exports", "interventions"]


@click.group(cls=Program)
def client() -> None:
    """Work with runs, approvals and workflows through the REST API."""


for _noun in (run, approval, exports.export):
    client.add_command(_noun)
