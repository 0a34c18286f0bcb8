"""Commands that are clients of the REST API, as one group that the program's own group takes over."""

import rich_click as click


@click.group()
def client() -> None:
    """Work with runs, approvals and workflows through the REST API."""
