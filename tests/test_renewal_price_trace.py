"""The trace of one premium: every step, to the fen, as the whole book was priced."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from pricing.errors import InputError
from pricing.renewal.ledger import ledger_of
from pricing.renewal.price import price_renewals
from pricing.renewal.price_trace import PriceTrace, trace_price
from pricing.renewal.rules import RenewalRules
from pricing.result.shape import Result
from pricing.study.chain import open_study

RULES = RenewalRules(
    discounts={"G0": 0.0, "G1": 0.07}, adjustment=0.033, most_rise=0.05, most_fall=0.10, decimals=0
)
DUE = pl.DataFrame(
    {
        "policy_id": ["A1", "A2", "A3", "A4", "A5", "A5"],
        "due": [date(2026, 3, 1)] * 6,
        "health_group": ["G1", "G1", "G0", "G7", "G0", "G0"],
        "standard_premium": [1234.56, 999.99, 777.77, 500.0, 1.0, 2.0],
        "premium_before": [1000.0, None, 777.77, 500.0, 1.0, 2.0],
        "consent": [True, False, None, True, True, True],
    }
)


def test_steps_add_up_to_the_fen_and_are_those_of_the_book():
    priced = price_renewals(DUE, RULES).collect()
    for policy, trace in trace_price(priced, ["A3", "A1", "A2"], RULES).items():
        row = priced.filter(pl.col("policy_id") == policy).row(0, named=True)
        amounts = trace.table["step_amount"].to_list()
        fen = [round(100 * a) for a in amounts]
        assert sum(fen) == round(100 * row["premium"])
        assert (
            trace.table["premium_after"].to_list()[-1] == row["premium"] == trace.facts["premium"]
        )
        so_far = [sum(fen[: n + 1]) / 100 for n in range(len(fen))]
        assert trace.table["premium_after"].to_list() == so_far
        steps = (
            "standard_premium",
            "from_adjustment",
            "from_discount",
            "from_limits",
            "from_rounding",
        )
        assert amounts == [row[n] for n in steps]
    one = trace_price(priced, ["A1"], RULES)["A1"]
    assert one.facts["premium"] == 1050.0  # five per cent above last year
    assert one.table["step_rate"].to_list() == [None, 0.033, -0.07, None, None]


def test_the_rates_are_those_that_make_the_steps():
    trace = trace_price(price_renewals(DUE, RULES), ["A1"], RULES)["A1"]
    rows = {r["component"]: r for r in trace.table.iter_rows(named=True)}
    assert rows["from_adjustment"]["step_rate"] == 0.033
    assert rows["from_discount"]["step_rate"] == -0.07
    assert rows["from_limits"]["step_rate"] is None
    base = rows["standard_premium_due"]["step_amount"]
    assert rows["from_adjustment"]["step_amount"] == pytest.approx(0.033 * base, abs=0.0051)
    after = rows["from_adjustment"]["premium_after"]
    assert rows["from_discount"]["step_amount"] == pytest.approx(-0.07 * after, abs=0.0051)


def test_it_says_why_in_both_languages():
    traces = trace_price(price_renewals(DUE, RULES), ["A1", "A2"], RULES)
    assert "The limits on the change" in traces["A1"].finding("en")
    assert "幅度限制" in traces["A1"].finding("zh")
    assert "not in the programme" in traces["A2"].finding("en")
    assert "未参加计划" in traces["A2"].finding("zh")
    assert "The year before" not in traces["A2"].finding("en")
    assert "discount of 0.00%" in traces["A2"].finding("en")
    assert any("rise at most 5.0% and fall at most 10.0%" in n for n in traces["A1"].basis.notes)


def test_the_figure_is_the_table(tmp_path):
    trace = trace_price(price_renewals(DUE, RULES), ["A1"], RULES)["A1"]
    drawn = trace.figure("zh").data[0]
    assert list(drawn.y[:-1]) == trace.table["step_amount"].to_list()
    assert drawn.y[-1] == pytest.approx(trace.facts["premium"])
    assert drawn.text[-1] == f"{trace.facts['premium']:,.2f}"
    trace.save(tmp_path / "t")
    again = Result.load(tmp_path / "t")
    assert isinstance(again, PriceTrace)
    assert again.finding("en") == trace.finding("en")


@pytest.mark.parametrize(
    "policies, why",
    [
        (["A9"], "policy 'A9' has no renewal due"),
        (["A1", "A4"], "policy 'A4' has no price: unknown_group"),
        (["A5"], "policy 'A5' has 2 renewals due"),
        (["A9", "a1", ""], "policy 'a1' has no renewal due"),
    ],
)
def test_what_has_no_premium_is_refused(policies, why):
    with pytest.raises(InputError, match=why):
        trace_price(price_renewals(DUE, RULES), policies, RULES)


def test_whole_numbers_serve_as_policy_numbers():
    due = DUE.head(1).with_columns(policy_id=pl.Series([7], dtype=pl.Int64))
    assert trace_price(price_renewals(due, RULES), ["7"], RULES)["7"].facts["policy"] == "7"


# In a study


def test_the_bundled_study_traces_a_policy_as_its_ledger_priced_it(huoli):
    name = "price_trace:P000000002"
    trace, ledger = huoli.results[name], huoli.results["renewal_ledger"]
    assert trace.basis.source == "huoli"
    assert trace.finding("en") in huoli.page
    assert trace.finding("zh") in huoli.page
    assert f"{trace.facts['premium']:,.2f}" in huoli.page
    assert trace.table["component"].to_list()[0] == "standard_premium_due"
    assert ledger.facts["policies"] > 1


def test_an_unknown_policy_is_refused_before_anything_is_fitted(tmp_path, huoli_text):
    text = huoli_text.replace('"P000000002"', '"P000000002", "P9"').replace("3000", "300")
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    steps = []
    study = open_study(tmp_path / "s.toml", work=tmp_path / "books")
    with pytest.raises(InputError, match="1 of 2 premiums cannot be traced") as refused:
        study.run(progress=steps.append)
    assert "policy 'P9' has no renewal due" in str(refused.value)
    assert "renewal.trace" in str(refused.value)
    assert steps == ["data"]


@pytest.mark.parametrize(
    "trace", ['["P1", "P1"]', '"P1"', "[1]", str([f"P{n}" for n in range(21)]).replace("'", '"')]
)
def test_a_list_that_cannot_be_is_refused(tmp_path, huoli_text, trace):
    text = huoli_text.replace('["P000000002"]', trace)
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"renewal\.trace"):
        open_study(tmp_path / "s.toml")


def test_the_ledger_draws_as_before():
    rules = RenewalRules(discounts={"G0": 0.0, "G1": 0.07}, adjustment=0.033)
    ledger = ledger_of(price_renewals(DUE.head(3), rules), rules)
    total = ledger.table.row(-1, named=True)
    drawn = ledger.figure("en").data[0]
    assert list(drawn.measure) == ["absolute", "relative", "relative", "total"]
    assert drawn.y[-1] == pytest.approx(total["premium"])
    assert drawn.text[1] == f"{total['from_adjustment'] / total['standard_premium']:+.2%}"
