"""The planner of runs that an outside agent drives: whatever was asked for is called, and nothing ends by itself."""

from fairlead.domain.planning.seam import CallTool, Decision, PlanView
from fairlead.domain.workflow.document import Retry


class OutsidePlanner:
    """Remembers nothing: what was asked for is in the view, in the order in which it was."""

    def plan(self, view: PlanView) -> list[Decision]:
        workflow = view.workflow
        return [
            CallTool(
                step=step,
                tool=asked.tool,
                arguments=asked.arguments,
                retry=Retry(),
                timeout_s=None,
                on_mismatch=workflow.on_mismatch,
                compensate=workflow.compensate,
                on_outage=workflow.on_outage,
            )
            for step, asked in view.asked.items()
            if step not in view.open
        ]
