"""Whose budgets a call of a run is counted in."""

from fairlead.domain.budgets.scopes import Spender
from fairlead.domain.runs.states import Active


def spender_of(run: Active, what: str) -> Spender:
    start = run.start
    return Spender(
        run_id=run.run_id,
        workflow_id=start.workflow_id,
        workspace_id=start.workspace_id,
        principals=(start.agent_principal_id, start.started_by),
        what=what,
        run_ends_at=run.deadline_at,
    )
