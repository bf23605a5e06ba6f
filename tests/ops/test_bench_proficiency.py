"""The measures and the methods that ratings are compared by: against published numbers, and by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

glicko2 = pytest.importorskip("glicko2")
trueskill = pytest.importorskip("trueskill")

from rookery.ops.bench.outcome_sets import SETS  # noqa: E402
from rookery.ops.bench.proficiency import auc, calibration_error, log_loss, proficiency, reliability  # noqa: E402
from rookery.ops.bench.rating_methods import METHODS, Beta, Elo, Glicko2, Jeffreys, TrueSkill  # noqa: E402

# Expected, and what came: two of four pairs of a success and a failure are in order, and one is a tie.
PAIRS = [(0.2, 0.0), (0.6, 1.0), (0.6, 0.0), (0.4, 1.0)]


def test_auc_is_the_share_of_pairs_in_order_and_ties_count_half() -> None:
    assert auc(PAIRS) == pytest.approx((1 + 0.5 + 1 + 0) / 4)
    assert auc([(0.1, 0.0), (0.9, 1.0)]) == 1
    assert math.isnan(auc([(0.5, 1.0)]))


def test_log_loss_is_the_mean_surprise_and_stays_finite() -> None:
    assert log_loss(PAIRS) == pytest.approx(-(math.log(0.8) + math.log(0.6) + 2 * math.log(0.4)) / 4)
    assert log_loss([(0.0, 1.0)]) < 100


def test_calibration_compares_what_came_with_what_was_expected_class_by_class() -> None:
    classes = [(0.2, 0.0, 1), (0.4, 1.0, 1), (0.6, 0.5, 2)]
    assert [pytest.approx(one) for one in classes] == list(reliability(PAIRS))
    assert calibration_error(PAIRS) == pytest.approx((0.2 + 0.6 + 2 * 0.1) / 4)
    assert list(reliability([(1.0, 1.0)])) == [(1.0, 1.0, 1)], "what was certain has a class, too"


def test_glicko_2_gives_what_its_author_published() -> None:
    # M. Glickman, "Example of the Glicko-2 system", 2012: 1464.06, 151.52 and 0.05999.
    player = glicko2.Player(1500, 200, 0.06)
    player.update_player([1400, 1550, 1700], [30, 100, 300], [1, 0, 0])
    assert (player.rating, player.rd) == (pytest.approx(1464.06, abs=0.02), pytest.approx(151.52, abs=0.01))
    assert player.vol == pytest.approx(0.05999, abs=1e-5)
    method = Glicko2()
    assert method.take("ada", "lint", 1.0, 0.0, "t") == 0.5
    assert method._players["ada", "lint"].rating == pytest.approx(3_000 - method._players["task", "t"].rating)


def test_trueskill_gives_what_its_package_published() -> None:
    # trueskill.org: after one game of strangers without draws, 29.396 and 7.171 for who won.
    won, _ = trueskill.rate_1vs1(trueskill.Rating(), trueskill.Rating())
    assert (won.mu, won.sigma) == (pytest.approx(29.396, abs=1e-3), pytest.approx(7.171, abs=1e-3))
    method = TrueSkill()
    assert method.take("ada", "lint", 1.0, 0.0, "t") == pytest.approx(0.5)
    assert method.take("ada", "lint", 1.0, 0.0, "t") > 0.5


def test_elo_and_the_betas_step_as_their_rules_say() -> None:
    elo = Elo()
    assert [elo.take("ada", "lint", 1.0, 0.0, "t"), elo.take("ada", "lint", 1.0, 0.0, "t")] == [
        0.5,
        pytest.approx(1 / (1 + math.exp(-0.4))),
    ]
    jeffreys = Jeffreys()
    assert [jeffreys.take("ada", "lint", score, 0.0) for score in (1.0, 0.0, 1.0)] == [0.5, 0.75, 0.5]
    beta = Beta(kept=0.5)
    assert beta.take("ada", "lint", 1.0, 0.0) == 0.5
    assert beta.take("ada", "lint", 0.0, 0.0) == pytest.approx((1 + 3 * 2 / 3) / 4)


def test_every_set_at_hand_is_compared_and_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ROOKERY_TEST_DATA", raising=False)
    assert proficiency() == []
    for name, of, outcomes in (("train", "1", 6), ("test", "2", 4)):
        rows = [f"{of}\t{index % 3}\t0\t{index % 2}\t7" for index in range(outcomes)]
        file = tmp_path / "assistments09" / f"preprocessed_data_{name}.csv"
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(["user_id\titem_id\ttimestamp\tcorrect\tskill_id", *rows, ""]))
    monkeypatch.setenv("ROOKERY_TEST_DATA", str(tmp_path))
    capsys.readouterr()
    found = {figure.name: figure for figure in proficiency()}
    said = capsys.readouterr().err
    assert all((f"skipped {name}:" in said) == (name != "assistments09") for name in SETS)
    for method in METHODS:
        assert found[f"proficiency.assistments09.{method}.speed"].value > 0
        assert {
            f"proficiency.assistments09.new_agents.{method}.{m}" for m in ("auc", "log_loss", "ece")
        } <= found.keys()
    ours = found["proficiency.assistments09.rookery.auc"]
    assert (ours.rival, ours.rival_value) == ("elo", found["proficiency.assistments09.elo.auc"].value)
    assert sum(int(f.unit.removeprefix("of ")) for f in found.values() if ".came_of_" in f.name) == 10


def test_ratings_beat_elo_on_a_recorded_agent(recorded_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOKERY_TEST_DATA", str(recorded_data))
    found = {figure.name: figure.value for figure in proficiency(["tau_bench"])}
    assert found["proficiency.tau_bench.rookery.auc"] > found["proficiency.tau_bench.elo.auc"]
    assert found["proficiency.tau_bench.rookery.log_loss"] < found["proficiency.tau_bench.beta.log_loss"]
