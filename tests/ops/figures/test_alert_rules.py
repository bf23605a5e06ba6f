"""The alert rules: Prometheus takes them, they name metrics that there are, and fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rookery.ops.colony import Watch
from rookery.ops.colony import families as colony_families
from rookery.tests.projections.colony import Colony

RULES = Path(__file__).resolve().parents[3] / "ops" / "prometheus" / "rules.yml"
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())
CASES = Path(__file__).parent / "alerts.test.yml"


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool: install Prometheus (Debian: apt-get install prometheus) to check the alert rules")
    return found


def test_prometheus_takes_the_rules(promtool: str) -> None:
    done = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def test_alerts_fire_when_they_should_and_not_before(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(RULES.read_text())
    (tmp_path / "alerts.test.yml").write_text(CASES.read_text())
    command = [promtool, "test", "rules", "alerts.test.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    fired = re.findall(r'alertname="(\w+)"}', CASES.read_text())
    assert set(fired) == set(ALERTS)


def test_the_rules_about_the_colony_name_metrics_that_there_are(busy: Colony) -> None:
    figures = Watch(busy.projections).look()
    known = {sample.name for family in colony_families(figures) for sample in family.samples}
    _, about_colony = RULES.read_text().split("- name: rookery-colony")
    named = set(re.findall(r"\brookery_\w+", about_colony))
    assert named
    assert named <= known
