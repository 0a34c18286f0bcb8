"""Commands that are clients of the REST API."""

import rich_click as click


@click.group()
def client() -> None:
    """Work with runs, approvals and workflows through the REST API."""
