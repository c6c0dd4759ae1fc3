"""What a run will lack for want of money is said by the check, and is no fault."""

import polars as pl
import pytest

from pricing.cli import main
from pricing.data.check import check
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.study.chain import open_study
from pricing.study.missing_money import missing_money
from pricing.study.settings import read_settings

STUDY = """
[study]
name = "own"
title = { en = "Own", zh = "自有" }
source = { en = "Own", zh = "自有" }
period = "2024"

[tables.person_years]
files = "years.csv"
factors = { group = ["G0", "G1"] }

[model]
frequency = "group"
errors = "robust"

[discount]
group = "group"
order = ["G0", "G1"]
cap = 0.2
"""
PREMIUM = "\n[premium]\ntarget_loss_ratio = 0.7\ncost_per_claim = 100\n"


@pytest.fixture
def own(tmp_path):
    def made(money="", values="", more=""):
        rows = [f"G{i % 2},1.0,{i % 3}{values}" for i in range(60)]
        (tmp_path / "years.csv").write_text("\n".join([f"group,exposure,claims{money}", *rows]))
        (tmp_path / "own.toml").write_text(STUDY + more, encoding="utf-8")
        return tmp_path / "own.toml"

    return made


def said(path, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["check", str(path), "--out", str(tmp_path / "out")])
    assert end.value.code == 0  # a warning, no fault
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]


def test_the_check_says_what_the_report_will_lack(own, tmp_path, capsys):
    path = own(more=PREMIUM)
    first, second = said(path, tmp_path, capsys)
    assert "no amount is mapped; severity, large claims" in first
    assert "no standard_premium is mapped" in second
    results = open_study(path).run()
    assert "schedule" in results  # and it runs
    one = said(own(",amount", ",5", PREMIUM), tmp_path, capsys)
    assert len(one) == 1
    assert "standard_premium" in one[0]
    assert not said(own(",amount,standard_premium", ",5,9", PREMIUM), tmp_path, capsys)


def test_without_a_premium_section_the_run_would_stop_and_the_check_says_so(own, tmp_path, capsys):
    path = own()
    found = said(path, tmp_path, capsys)
    assert len(found) == 2
    assert all("the run will stop" in line and "[premium]" in line for line in found)
    with pytest.raises(InputError, match="the tables hold no"):
        open_study(path).run()


def test_a_column_with_gaps_is_not_used_and_that_is_said():
    settings = read_settings(bundled("studies/randhie.toml"))
    rows = pl.DataFrame({"exposure": [1.0, 1.0], "claims": [1, 0], "amount": [80.0, None], "standard_premium": [9.0, 9.0]})  # fmt: skip
    seen = check(rows, "person_years")
    (line,) = missing_money(settings, {"person_years": seen})
    assert "amount is empty in 1 of 2 rows" in line
    assert missing_money(settings, {"policies": seen}) == ()
