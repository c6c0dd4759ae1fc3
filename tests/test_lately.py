"""Answers kept by what was asked: made once, the oldest let go, failures not kept, threads wait."""

import threading
import time

import pytest

from pricing.data.tables import bundled
from pricing.lab.opened import open_for_turning
from pricing.plans.lately import Lately


def test_the_oldest_goes_and_what_is_asked_for_stays():
    made, kept = [], Lately(most=2)
    for key in "abacab":
        kept.of(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "c", "b"]


def test_a_failure_is_not_kept():
    kept = Lately()
    with pytest.raises(ZeroDivisionError):
        kept.of("x", lambda: 1 / 0)
    assert kept.of("x", lambda: 2) == 2
    assert not kept._under_way


def test_who_asks_the_same_meanwhile_waits():
    made, kept, found = [], Lately(), []

    def slow():
        time.sleep(0.05)
        made.append(1)
        return len(made)

    threads = [threading.Thread(target=lambda: found.append(kept.of("x", slow))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [1] * 4


def test_a_change_computed_once_is_what_it_is_alone():
    path = bundled("studies/home_care.toml")
    opened = open_for_turning(path)
    for change in ({"care.monthly": 700.0}, {"care.insured": 900_000.0}, {"care.years": 20}, {}):
        alone = open_for_turning(path)
        assert opened.headline(change) == alone.headline(change)
        shown, own = opened.at_once(change), alone.at_once(change)
        assert {n: r.table.equals(own[n].table) for n, r in shown.items()} == dict.fromkeys(
            own, True
        )
    figures = opened.headline({})
    figures.clear()
    assert opened.headline({})  # what a reader does to an answer does not reach the next


def test_cut_offs_are_tried_on_points_added_up_once(tmp_path, monkeypatch):
    from pricing.plans import health_programme

    text = bundled("studies/huoli_members.toml").read_text(encoding="utf-8")
    path = tmp_path / "huoli_members.toml"
    path.write_text(text.replace("members = 3_000", "members = 300"), encoding="utf-8")
    counted, own = [], health_programme.earned_points
    monkeypatch.setattr(
        health_programme, "earned_points", lambda *a, **k: counted.append(1) or own(*a, **k)
    )
    opened = open_for_turning(path, work=tmp_path)
    change = {"programme.cut_offs.G1": 300.0}
    first = opened.headline(change)
    opened.headline({"programme.cut_offs.G1": 320.0})
    assert len(counted) == 1
    assert open_for_turning(path, work=tmp_path).headline(change) == pytest.approx(first, rel=1e-12)
