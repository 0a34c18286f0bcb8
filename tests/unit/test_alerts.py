"""The shipped alert rules and the dashboard speak of metrics that there are, and each rule leads to a runbook."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from fairlead.api import metrics, model_metrics

ROOT = Path(__file__).parent.parent.parent
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "infra/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
BOARD: dict[str, Any] = json.loads((ROOT / "infra/grafana/fairlead.json").read_text())
SUFFIX = re.compile(r"_(total|bucket)$")  # what a counter and a histogram are called once they are scraped
NAME = re.compile(r"fairlead_[a-z_]+")


def known() -> set[str]:
    counted = metrics.Metrics()
    counted.answered("/v1/runs", "GET", 200, 0.01)
    shown = set(NAME.findall(generate_latest(counted.registry).decode()))
    sources = [inspect.getsource(module) for module in (metrics, model_metrics)]
    return shown.union(*(NAME.findall(source) for source in sources))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_measures_what_there_is_and_names_its_runbook(rule: dict[str, Any]) -> None:
    assert set(NAME.findall(rule["expr"])) <= known()
    assert (ROOT / rule["annotations"]["runbook"]).is_file()
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_a_missed_schedule_alerts() -> None:
    assert any('queue="timers"' in rule["expr"] for rule in RULES)


@pytest.mark.parametrize("panel", BOARD["panels"], ids=lambda panel: str(panel["title"]))
def test_a_panel_shows_what_there_is(panel: dict[str, Any]) -> None:
    (target,) = panel["targets"]
    names = NAME.findall(target["expr"])
    assert names
    assert {SUFFIX.sub("", name) for name in names} <= {SUFFIX.sub("", name) for name in known()}
    for opening, closing in ("()", "{}", "[]"):
        assert target["expr"].count(opening) == target["expr"].count(closing)


def test_panels_have_places_and_numbers_of_their_own() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
