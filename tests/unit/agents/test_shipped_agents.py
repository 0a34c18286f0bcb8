"""The shipped agents with what was recorded for them: each scenario ends as it should, and they are of now."""

from pathlib import Path

import msgspec
import pytest

from fairlead.adapters.models import FileRecordings
from fairlead.domain.planning.seam import DeclareImpossible, Finish
from tests.support.agent_scenarios import SCENARIOS, Play, Scenario, settings_in


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_scenario_ends_as_it_should_and_is_recorded(scenario: Scenario, tmp_path: Path) -> None:
    play = Play(scenario, settings_in(tmp_path))
    ending = await play.to_its_end()
    if scenario.ends == "impossible":
        assert isinstance(ending, DeclareImpossible)
    else:
        assert ending == Finish(output=scenario.output)
    assert "support.delete_customer" not in play.calls
    recordings = FileRecordings(scenario.folder / "recordings")
    for name, (_, answer) in play.asked.items():
        found = await recordings.find(name)
        assert msgspec.to_builtins(found) == msgspec.to_builtins(answer), "python -m tests.support.agent_scenarios"
