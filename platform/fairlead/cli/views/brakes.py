"""What holds calls back: breakers and switches."""

from fairlead.cli.output import Column, View

BREAKER = View(
    identity="breaker_id",
    columns=(
        Column("CONNECTOR", "connector"),
        Column("CONNECTION", "connection_id"),
        Column("STATE", "state"),
        Column("SINCE", "changed_at"),
        Column("PROBE", "probe_at"),
        Column("IN A ROW", "in_a_row", right=True),
        Column("CODE", "error_code"),
    ),
    details=(
        Column("ENVIRONMENT", "environment_id"),
        Column("OPENINGS", "openings", right=True),
        Column("FAILURES", "failures", right=True),
        Column("OF CALLS", "calls", right=True),
        Column("CLASS", "error_class"),
        Column("CLOSED BY", "closed_by"),
        Column("REASON", "reason"),
    ),
)


BREAKER_RESET = View(identity="breaker_id", columns=(Column("BREAKER", "breaker_id"),))


SWITCH = View(
    identity="target",
    columns=(
        Column("TARGET", "target"),
        Column("STOPS", lambda switch: ", ".join(switch["modes"])),
        Column("HELD BY", "held_by"),
        Column("SINCE", "set_at"),
        Column("UNTIL", "expires_at"),
        Column("REASON", "reason"),
    ),
)


DRILL = View(
    identity="set_at",
    columns=(
        Column("TARGET", "target"),
        Column("STOPPED", lambda drill: ", ".join(drill["modes"])),
        Column("HELD BY", "held_by"),
        Column("SET", "set_at"),
        Column("LAST EFFECT AFTER MS", "last_effect_ms", right=True),
        Column("CALLS BEFORE", "calls_before", right=True),
    ),
)
