"""The book a page holds: prepared once, the premium of one policy traced, who pays more and who less."""

import json

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.health.price_response import PriceResponse
from pricing.lab.opened import open_for_turning
from pricing.result.shape import Result
from pricing.study.chain import open_study
from pricing.study.prepared_book import PreparedBook, files_key, saved_book
from pricing.study.shifted import discount_shift

GROUPS = ["G0", "G1", "G2"]


@pytest.fixture(scope="module")
def money():
    draw = np.random.default_rng(5)
    rows = pl.DataFrame({
        "health_group": draw.choice(GROUPS, 600), "sex": draw.choice(["f", "m"], 600),
        "exposure": draw.uniform(0.2, 1, 600), "claims": draw.poisson(0.2, 600),
        "amount": draw.gamma(2, 100, 600), "standard_premium": draw.uniform(300, 900, 600),
    })  # fmt: skip
    keys = ["health_group", "sex"]
    return rows, Experience.collect(rows, keys, amount="amount", sums=["standard_premium"])


def test_who_pays_more_is_the_sum_over_the_rows(money):
    rows, cells = money
    old, new = {"G0": 0.0, "G1": 0.1, "G2": 0.2}, {"G0": 0.0, "G1": 0.15, "G2": 0.1}
    response = PriceResponse.elastic(retention=0.85, elasticity=-0.5)
    found = discount_shift(cells, old, new, response=response)
    kept = rows.with_columns(
        a=pl.col("standard_premium") * (1 - pl.col("health_group").replace_strict(old)),
        b=pl.col("standard_premium") * (1 - pl.col("health_group").replace_strict(new)),
    )
    assert found.table["level"].to_list() == ["G0", "G1", "G2", "f", "m"]
    for factor, level in found.table.select("factor", "level").iter_rows():
        own = kept.filter(pl.col(factor) == level)
        row = found.table.filter(factor=factor, level=level).row(0, named=True)
        assert row["charged_before"] == pytest.approx(own["a"].sum())
        assert row["charged_after"] == pytest.approx(own["b"].sum())
        p = expit(
            response.intercept - response.sensitivity * np.log((own["b"] / own["a"]).to_numpy())
        )
        assert row["renewed_share"] == pytest.approx(np.average(p, weights=own["exposure"]))
    share = {g: rows.filter(health_group=g)["standard_premium"].sum() / rows["standard_premium"].sum() for g in GROUPS}  # fmt: skip
    assert found.facts["loses"] == pytest.approx(share["G2"])
    assert found.facts["wins"] == pytest.approx(share["G1"])
    for lang in ("en", "zh"):
        assert found.finding(lang)
        assert len(found.figure(lang).data[0].x) == 5


def test_nothing_changes_where_the_discounts_are_the_same(money):
    same = dict.fromkeys(GROUPS, 0.1)
    found = discount_shift(money[1], same, same)
    assert found.table["relative_difference"].to_list() == [0.0] * 5
    assert found.facts["loses"] == found.facts["wins"] == 0
    assert "renewed_share" not in found.table.columns
    with pytest.raises(InputError, match="no discount for the group 'G2'"):
        discount_shift(money[1], {"G0": 0.0, "G1": 0.1}, same)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    text = bundled("studies/huoli.toml").read_text(encoding="utf-8")
    text = text.replace("policies = 100_000", "policies = 2_000")
    text = text.replace("[loss_ratio]\n", "[loss_ratio]\ndraws = 200\n")
    path = folder / "huoli.toml"
    path.write_text(text, encoding="utf-8")
    return path, folder, open_for_turning(path, kept=folder / "kept", work=folder / "books")


def test_a_prepared_book_is_read_back_the_same(book):
    path, folder, opened = book
    again = PreparedBook.load(folder / "kept" / "huoli")
    wanted = opened.study.settings.discount
    assert again.headline(wanted) == opened.book.headline(wanted)
    assert set(again.checks) >= {"rate_adjustment_check", "regulatory_loss_ratio"}
    steps = []
    saved_book(
        open_study(path, work=folder / "books"), folder / "kept" / "huoli", progress=steps.append
    )
    assert not steps


def test_a_changed_file_is_prepared_anew_a_scenario_is_none(book, tmp_path):
    path, _, opened = book
    text = path.read_text(encoding="utf-8")
    other = tmp_path / "huoli.toml"
    other.write_text(text.replace("cap_15", "cap_16"), encoding="utf-8")
    assert files_key(open_study(other)) == files_key(opened.study)
    other.write_text(text.replace('errors = "robust"', "") + "\n", encoding="utf-8")
    other.write_text(text.replace("seed = 20260101", "seed = 7"), encoding="utf-8")
    assert files_key(open_study(other)) != files_key(opened.study)


def test_files_are_told_apart_by_size_and_time(tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("a\n1\n", encoding="utf-8")
    text = bundled("studies/randhie.toml").read_text(encoding="utf-8")
    path = tmp_path / "own.toml"
    path.write_text(text.replace('loader = "randhie"', 'files = "rows.csv"'), encoding="utf-8")
    first = files_key(open_study(path))
    rows.write_text("a\n1\n2\n", encoding="utf-8")
    assert files_key(open_study(path)) != first


def test_the_trace_of_the_book_is_what_the_renewal_charges(book):
    _, _, opened = book
    assert opened.traces
    for policy in opened.book.due.select("policy_id").head(5).collect()["policy_id"].cast(str):
        plain = opened.trace(policy, {})
        assert round(100 * plain.table["step_amount"].sum()) == round(100 * plain.facts["premium"])
        assert plain.facts["adjustment"] == opened.book.adjustment
        assert opened.trace(policy, {"discount.cap": 0.05}).facts["discount"] <= 0.05
    with pytest.raises(InputError, match="no renewal due"):
        opened.trace("nobody", {})


def test_a_broken_prepared_book_is_said_and_made_anew(tmp_path):
    folder = tmp_path / "randhie"
    study = open_study(bundled("studies/randhie.toml"))
    saved_book(study, folder)
    for said in ("{", "[]", json.dumps({"version": 99})):
        (folder / "book.json").write_text(said, encoding="utf-8")
        with pytest.raises(InputError, match="not a prepared book"):
            PreparedBook.load(folder)
    steps = []
    saved_book(study, folder, progress=steps.append)
    assert steps
    assert isinstance(Result.load(folder / "effect"), Result)


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "randhie").mkdir()
    (tmp_path / "randhie" / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="not a prepared book"):
        saved_book(open_study(bundled("studies/randhie.toml")), tmp_path / "randhie")
