"""`fairlead switch` and `fairlead drill`: stopping things, as a tenant through the API or as whoever runs it all."""

import asyncio
import os
from functools import wraps
from typing import Any

import msgspec
import rich_click as click
from fairlead_tenants.ids import TenantId

from fairlead.cli import switches
from fairlead.cli.output import Column, Format, Printer, View, output_option
from fairlead.cli.switches import life_option, lifetime, mode_option, off_option, why_option
from fairlead.cli.views.brakes import SWITCH
from fairlead.domain.switches.board import Mode, read_target
from fairlead.logs import configure
from fairlead.settings import Settings, from_environment

_DRILLED = View(
    identity="set_at",
    columns=(
        Column("STOPPED", lambda drilled: ":".join(filter(None, drilled["target"].values()))),
        Column("LAST CALL AFTER MS", "last_effect_ms", right=True),
        Column("CALLS BEFORE", "calls_before", right=True),
        Column("CALLS AFTER", "calls_after", right=True),
        Column("WORKERS", "workers", right=True),
        Column("SET", "set_at"),
    ),
)
installation_option = click.option(
    "--installation",
    is_flag=True,
    help="As whoever runs the installation, on its engines: for all tenants, or `tenant:ID` for one.",
)
target_argument = click.argument("target")


@click.group()
def switch() -> None:
    """Stop what may happen, at once and everywhere, and let it go on.

    TARGET is tenant, or one of environment, workspace, workflow, connector and tool with a colon and its id or name:
    `connector:github`, `tool:github.create_issue`. With --installation also `installation`.
    """


@switch.command("on")
@target_argument
@mode_option
@why_option
@life_option
@installation_option
@wraps(switches.on, assigned=())  # its options; what it says is its own
def on(installation: bool, **given: Any) -> None:
    """Stop TARGET: before the next effect, in every process."""
    if not installation:
        switches.on(**given)
        return
    from fairlead import stopping

    target, modes = read_target(given["target"]), _modes(given["modes"])
    row = asyncio.run(stopping.switch_on(_settings(), target, modes, given["reason"], lifetime(given["life"])))
    Printer(given["output"]).one(_shown(row), SWITCH)


@switch.command("off")
@target_argument
@off_option
@installation_option
@wraps(switches.off, assigned=())  # its options; what it says is its own
def off(installation: bool, **given: Any) -> None:
    """Let TARGET go on. Runs that it paused go on by themselves."""
    if not installation:
        switches.off(**given)
        return
    from fairlead import stopping

    asyncio.run(stopping.switch_off(_settings(), read_target(given["target"]), given["reason"]))


@switch.command("list")
@installation_option
@wraps(switches.listed, assigned=())  # its options; what it says is its own
def list_switches(installation: bool, **given: Any) -> None:
    """List the switches that are on: yours, and those of the installation that stop you too."""
    if not installation:
        switches.listed(**given)
        return
    from fairlead import stopping

    rows = asyncio.run(stopping.switches_on(_settings()))
    Printer(given["output"]).many([_shown(row) for row in rows], SWITCH)


@switch.command("drills")
@wraps(switches.drills, assigned=())  # its options; what it says is its own
def list_drills(**given: Any) -> None:
    """List how fast switches stopped what they are for, when that was tried: the newest first."""
    switches.drills(**given)


@click.group()
def drill() -> None:
    """Try on the running installation what must work on a bad day."""


@drill.command("stop")
@click.option("--target", default="installation", show_default=True, help="What is stopped, as for `switch on`.")
@click.option("--tenant", help="Set the tenant's own switch: for its environments, workspaces and workflows.")
@click.option("--mode", "modes", multiple=True, default=("pause_runs",), show_default=True, help="May be repeated.")
@click.option("--load", "load_s", default=5.0, show_default=True, help="Seconds in which calls are counted before.")
@click.option("--quiet", "quiet_s", default=2.0, show_default=True, help="Seconds without a call that end it.")
@output_option
def stop(
    target: str, tenant: str | None, modes: tuple[str, ...], load_s: float, quiet_s: float, output: Format
) -> None:
    """Stop a target under its load, and measure the time from the switch to the last call. It is recorded.

    With pause_runs, which is what it does unless told otherwise, everything goes on afterwards as if nothing had been.
    With deny_writes and deny_all calls are really denied. With stop_starts alone, runs that begin are watched.
    """
    from fairlead import drilling
    from fairlead.domain.connectors.catalogue import INSTALLATION

    wanted = drilling.Drill(
        target=read_target(target),
        modes=_modes(modes),
        load_s=load_s,
        quiet_s=quiet_s,
        holder=INSTALLATION if tenant is None else TenantId(tenant),
    )
    drilled = asyncio.run(drilling.drill_stop(_settings(), wanted))
    Printer(output).one(msgspec.to_builtins(drilled), _DRILLED)


def _modes(given: tuple[str, ...]) -> tuple[Mode, ...]:
    return msgspec.convert(given, tuple[Mode, ...])


def _shown(row: Any) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(row)
    return {"held_by": "installation", **shown}


def _settings() -> Settings:
    configure("warning")
    return from_environment(os.environ)
