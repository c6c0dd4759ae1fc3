"""The chain of a study: results in order, the same each time, nothing dropped in silence."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from pricing.claims.recovery import recover
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.report.page import write
from pricing.result.shape import Result
from pricing.study.chain import open_study

HEAD = """
[study]
name = "{name}"
title = {{ en = "A study", zh = "研究" }}
source = {{ en = "made by a test", zh = "测试数据" }}
"""
MODEL = """
[model]
frequency = "sex + region"
one_way = ["health_group", "sex"]
[discount]
order = ["G0", "G1"]
[premium]
target_loss_ratio = 0.7
cost_per_claim = 100.0
"""
YEARS = """
[tables.person_years]
files = "years.csv"
[tables.person_years.factors]
health_group = ["G0", "G1"]
sex = ["female", "male"]
region = ["north", "south"]
"""


def person_years(rows=600, seed=1, **columns):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, rows)
    return pl.DataFrame(
        {
            "period": rng.integers(2021, 2024, rows),
            "exposure": rng.uniform(0.5, 1.0, rows).round(3),
            "claims": rng.poisson(0.8 - 0.3 * group),
            "health_group": np.array(["G0", "G1"])[group],
            "sex": np.array(["female", "male"])[rng.integers(0, 2, rows)],
            "region": np.array(["north", "south"])[rng.integers(0, 2, rows)],
        }
    ).with_columns(**columns)


@pytest.fixture
def study_of(tmp_path):
    def made(frame, text=YEARS + MODEL, name="made"):
        frame.write_csv(tmp_path / "years.csv")
        path = tmp_path / "study.toml"
        path.write_text(HEAD.format(name=name) + text, encoding="utf-8")
        return open_study(path)

    return made


def test_results_come_in_reading_order(huoli, randhie):
    names = list(huoli.results)
    views, checks = (
        huoli.study.settings.model.one_way,
        huoli.study.settings.model.actual_to_expected,
    )
    assert names == [
        *("data_check", "age_pyramid"),
        *(f"one_way:{n}" for n in views),
        *("frequency", "severity", "product"),
        *(f"actual_to_expected:{n}" for n in checks),
        *("group_effect", "schedule"),
        *("lift", "lorenz", "calibration", "murphy", "calibration:amount", "contest"),
        *("pooled_large", "mean_excess", "tail_fit", "aggregate_loss"),
        *("indication", "tornado", "permissible", "waterfall", "loss_ratio_monitor"),
        *("early_warning", "trend:loss_ratio", "trend:frequency", "trend:severity", "trend_break"),
        *(
            "completion",
            "completion_pattern",
            "development_fan",
            "statutory_ibnr",
            "ultimates:chain_ladder",
            "on_level",
        ),
        *("rate_adjustment_check", "regulatory_loss_ratio", "check:loading", "service_cost_check"),
        *("value_effect", *(n for n in names if n == "groups_later"), "renewal_offers"),
        *(f"persistency:{n}" for n in huoli.study.settings.persistency.by),
        *(
            "cumulative_persistency",
            "persistency:price_band",
            "renewal_model",
            "renewal_elasticity",
        ),
        *(
            n for n in names if n.startswith("price_") and "trace" not in n
        ),  # where a small book bears them
        *("lapse_value", "cumulative_incidence", "side_by_side"),
        *(n for n in names if n == "side_by_side:amount"),
        *("falsification", "mean_reversion", "covariate_balance", "overlap", "power_statement"),
        *("schedule_design", "discount_split", "group_moves", "projection", "stress"),
        *("renewal_ledger", "price_trace:P000000002"),
        *(n for n in names if n == "not_shown"),
        *("programme_effect", "recovery", "scenario_comparison", "scenario_steps:cap_15"),
        "evaluation_card",
    ]
    assert list(randhie.results)[-8:] == [
        *("group_effect", "schedule", "lift", "lorenz", "calibration", "murphy", "contest"),
        "aggregate_loss",
    ]
    for name, result in [*huoli.results.items(), *randhie.results.items()]:
        assert result.kind == name.partition(":")[0]
        assert result.basis.fingerprint, name
        for lang in ("en", "zh"):
            assert "{" not in result.finding(lang)
            assert "nan" not in result.finding(lang).lower().replace("finance", "")


def test_a_book_with_age_and_sex_shows_who_is_insured(huoli, randhie):
    pyramid = huoli.results["age_pyramid"]
    assert pyramid.table["share_exposure"].sum() == pytest.approx(1.0)
    views = huoli.results["one_way:sex"].table
    by_sex = pyramid.table.group_by("sex", maintain_order=True).agg(pl.col("exposure").sum())
    assert by_sex["exposure"].to_list() == pytest.approx(views["exposure"].to_list())
    assert "age_pyramid" not in randhie.results  # its ages are not banded


def test_progress_is_told_step_by_step(study_of):
    steps = []
    study_of(person_years()).run(progress=steps.append)
    assert steps == ["data", "claims", "health"]


def test_the_same_inputs_give_the_same_results(huoli, tmp_path):
    again = open_study(huoli.study.path, work=tmp_path / "elsewhere").run()
    assert list(again) == list(huoli.results)
    for name, result in huoli.results.items():
        assert again[name].table.equals(result.table), name
        assert again[name].facts == result.facts, name
        assert again[name].basis == result.basis, name


def test_the_fingerprint_is_the_same_in_another_process(study_of, tmp_path):
    study = study_of(person_years())
    code = "import pricing, sys; print(pricing.open(sys.argv[1]).fingerprint)"
    other = subprocess.run(
        [sys.executable, "-c", code, str(study.path)], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == study.fingerprint


def test_another_seed_gives_another_book(huoli, huoli_text, tmp_path):
    path = tmp_path / "huoli.toml"
    path.write_text(huoli_text.replace("20260101", "7"), encoding="utf-8")
    other = open_study(path, work=tmp_path / "books")
    assert other.fingerprint != huoli.study.fingerprint
    keys = ["sex", "health_group"]
    ours, theirs = huoli.study.experience(keys), other.experience(keys)
    assert ours.basis.fingerprint != theirs.basis.fingerprint
    assert ours.basis.claims != theirs.basis.claims


def test_two_rows_that_change_places_of_a_level_change_the_fingerprint(study_of):
    rows = person_years()
    first = study_of(rows).fingerprint
    assert study_of(rows).fingerprint == first
    # the same totals, other rows: the groups of all rows turned about by one
    moved = rows.with_columns(
        pl.Series("health_group", np.roll(rows["health_group"].to_numpy(), 1))
    )
    assert study_of(moved).fingerprint != first


def test_a_simulated_book_is_made_once(huoli, tmp_path):
    book = huoli.study.book
    stamp = (book / "truth.json").stat().st_mtime_ns
    again = open_study(huoli.study.path, work=book.parent)
    assert again.book == book
    assert (book / "truth.json").stat().st_mtime_ns == stamp


def test_years_are_kept_by_start_and_end(huoli, study_of):
    whole = huoli.study.experience(["sex"])
    parts = [
        huoli.study.experience(["sex"], end=2020),
        huoli.study.experience(["sex"], start=2021, end=2022),
        huoli.study.experience(["sex"], start=2023),
    ]
    assert parts[1].basis.filters == ("year >= 2021", "year <= 2022")
    assert (parts[0] + parts[1] + parts[2]).cells["claims"].equals(whole.cells["claims"])
    assert sum(p.basis.exposure for p in parts) == pytest.approx(whole.basis.exposure, rel=1e-12)
    rows = huoli.study.person_years.rows
    kept = rows.filter(pl.col("year").is_between(2021, 2022))
    assert parts[1].basis.rows == kept.height
    with pytest.raises(InputError, match="there are no rows"):
        huoli.study.experience(["sex"], start=2030)
    made = study_of(person_years())
    assert made.experience(["sex"], start=2022).basis.filters == ("period >= 2022",)


def test_rows_without_a_year_are_not_dropped_in_silence(randhie, study_of):
    gaps = person_years(period=pl.when(pl.col("claims") > 2).then(None).otherwise("period"))
    study = study_of(gaps)
    lost = gaps["period"].null_count()
    with pytest.raises(InputError, match=rf"{lost} of 600 person-years have no 'period'"):
        study.experience(["sex"], start=2022)
    assert study.experience(["sex"]).basis.rows == 600
    years = randhie.study.person_years.rows.columns
    assert "period" in years
    with pytest.raises(InputError, match="year"):
        randhie.study.experience(["health_group"], start=1980)


def test_premiums_come_from_the_tables_or_from_the_premium_section(study_of):
    bare = YEARS + MODEL.split("[premium]")[0]
    with pytest.raises(InputError) as caught:
        study_of(person_years(), bare).run()
    assert "the tables hold no ['amount', 'standard_premium']" in str(caught.value)
    assert "[premium] section with target_loss_ratio and cost_per_claim" in str(caught.value)
    with pytest.raises(InputError, match=r"hold no \['standard_premium'\]"):
        study_of(person_years(amount=pl.col("claims") * 90.0), bare).run()
    whole = person_years(amount=pl.col("claims") * 90.0, standard_premium=pl.lit(150.0))
    results = study_of(whole, bare).run()
    budget = results["schedule"].budget.row(0, named=True)
    assert budget["standard_premium"] == pytest.approx(600 * 150.0)
    assert budget["claims_cost"] == pytest.approx(whole["amount"].sum())
    # premiums of the tables stand, even where the section is given
    again = study_of(whole).run()["schedule"].budget
    assert again.equals(results["schedule"].budget)


def test_the_premium_section_sets_the_loss_ratio_of_the_standard_group(study_of):
    results = study_of(person_years(4_000)).run()
    first = results["schedule"].table.row(0, named=True)
    # the Poisson fit reproduces the claims of each level, so the standard group stands at target,
    # at its credible level
    level = results["group_effect"].facts["standard_level"]
    assert first["loss_ratio_before"] == pytest.approx(0.7 / level, rel=1e-9)
    assert level == pytest.approx(1.0, abs=0.05)


def test_rejected_rows_are_counted_and_kept(study_of, tmp_path):
    rows = person_years().with_columns(pl.col("exposure").cast(pl.String))
    bad = pl.int_range(pl.len()) < 5
    rows = rows.with_columns(
        exposure=pl.when(pl.int_range(pl.len()) < 2).then(pl.lit("-1")).otherwise("exposure"),
        sex=pl.when(bad).then(pl.lit("unknown")).otherwise("sex"),
    )
    study = study_of(rows)
    results = study.run()
    check = results["data_check"]
    assert (check.facts["rows"], check.facts["accepted"], check.facts["rejected"]) == (600, 595, 5)
    assert "5 rejected" in check.finding("en")
    assert sorted(check.frames["faults"]["rule"]) == ["exposure|min_exclusive", "sex|level"]
    for row in check.table.iter_rows(named=True):
        assert row["accepted"] + row["rejected"] == pytest.approx(row["input"], rel=1e-12)
    assert results["frequency"].basis.rows == 595
    write(study, results, tmp_path / "out")
    assert not (tmp_path / "out" / "rejected").exists()  # rows of persons stay in the house
    study.write_rejected(tmp_path / "rejected")
    kept = pl.read_csv(tmp_path / "rejected" / "rejected_person_years.csv")
    assert kept.height == 5
    assert kept["_rules"].str.contains("level").all()
    assert "Rows rejected" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_a_study_whose_rows_are_all_rejected_says_what_to_do(study_of, tmp_path):
    study = study_of(person_years(exposure=pl.lit(0.0)))
    with pytest.raises(InputError, match=r"no row of \['person_years'\] was accepted") as caught:
        study.run()
    assert "pricing check" in str(caught.value)
    assert study.data_check().facts["accepted"] == 0


def test_totals_of_the_data_check_are_those_of_the_tables(huoli):
    check = huoli.results["data_check"]
    totals = {(r["table"], r["quantity"]): r for r in check.table.iter_rows(named=True)}
    for table in ("policies", "renewals", "claims"):
        raw = pl.read_parquet(huoli.study.book / table)
        assert totals[table, "rows"]["input"] == raw.height
    claims = pl.read_parquet(huoli.study.book / "claims")
    assert totals["claims", "amount"]["input"] == pytest.approx(claims["amount"].sum(), rel=1e-12)
    for row in totals.values():
        assert row["accepted"] + row["rejected"] == pytest.approx(row["input"], rel=1e-12)
    facts = check.facts
    assert facts["rows"] == facts["accepted"] + facts["rejected"]
    seen = huoli.study.experience(["sex"])
    assert seen.basis.claims + facts["unmatched"] == claims.height


def test_a_claim_between_two_policy_years_is_kept_beside(tmp_path):
    def day(text):
        return dt.date.fromisoformat(text)

    n = 40
    ids = [f"P{i}" for i in range(n)]
    pl.DataFrame(
        {
            "policy_id": ids,
            "birth_date": [day("1980-01-01")] * n,
            "sex": ["female", "male"] * (n // 2),
            "start": [day("2022-01-01")] * n,
            "end": [day("2024-01-01")] * n,
        }
    ).write_csv(tmp_path / "policies.csv")
    pl.DataFrame(
        {
            "policy_id": ids,
            "policy_year": [0] * n,
            "start": [day("2022-01-01")] * n,
            "end": [day("2023-01-01")] * n,
            "health_group": ["G0", "G0", "G1", "G1"] * (n // 4),
            "standard_premium": [100.0] * n,
        }
    ).write_csv(tmp_path / "renewals.csv")
    pl.DataFrame(
        {
            "claim_id": range(31),
            "policy_id": [*ids[:30], "P0"],
            "incurred": [day("2022-05-01")] * 30 + [day("2023-05-01")],  # the last: no policy year
            "amount": [50.0] * 31,
        }
    ).write_csv(tmp_path / "claims.csv")
    tables = "".join(
        f'[tables.{t}]\nfiles = "{t}.csv"\n' for t in ("policies", "renewals", "claims")
    )
    factors = '[tables.renewals.factors]\nhealth_group = ["G0", "G1"]\n'
    text = tables + factors + '[model]\nfrequency = "sex"\n[discount]\norder = ["G0", "G1"]\n'
    path = tmp_path / "study.toml"
    window = "observed = [2022-01-01, 2024-01-01]\n"
    path.write_text(HEAD.format(name="made") + window + text, encoding="utf-8")
    study = open_study(path)
    check = study.data_check()
    assert check.facts["unmatched"] == 1
    assert "1 claims fall in no observed policy year" in check.finding("en")
    study.write_rejected(tmp_path / "aside")
    kept = pl.read_csv(tmp_path / "aside" / "unmatched_claims.csv")
    assert kept["claim_id"].to_list() == [30]
    assert kept["amount"].sum() + study.experience(["sex"]).cells["amount"].sum() == 31 * 50.0


def test_recovery_holds_the_truth_about_as_often_as_its_level_says(huoli):
    recovery = huoli.results["recovery"]
    assert recovery.facts["estimates"] == recovery.table.height == 15
    assert recovery.facts["inside"] == recovery.table["inside"].sum() >= 12
    # the same estimates against themselves are all inside
    model = huoli.results["frequency"]
    assert recover(model, model).facts == {
        "inside": 15, "estimates": 15, "level": 0.95, "largest": 0.0,
    }  # fmt: skip
    other = replace(model, details={**model.details, "base": {}})
    with pytest.raises(InputError, match="do not have the same coefficients"):
        recover(model, other)


@pytest.mark.slow
def test_recovery_over_forty_books(huoli_text, tmp_path):
    """95 % intervals hold the truth in about 95 of 100 estimates, over books of other seeds."""
    inside = estimates = 0
    for seed in range(40):
        path = tmp_path / f"{seed}.toml"
        path.write_text(
            huoli_text.replace("20260101", str(seed)).replace("3000", "10000"), encoding="utf-8"
        )
        try:
            facts = open_study(path, work=tmp_path / "books").run()["recovery"].facts
        except InputError as error:  # a small book may have a group without a claim
            assert "without a claim" in str(error)  # noqa: PT017
            continue
        inside, estimates = inside + facts["inside"], estimates + facts["estimates"]
    assert estimates > 400
    assert 0.91 < inside / estimates < 0.98


def test_every_result_is_read_back_as_it_was(huoli):
    for name, result in huoli.results.items():
        read = Result.load(huoli.folder / "results" / name.replace(":", "-"))
        assert type(read) is type(result)
        assert read.table.equals(result.table)
        assert dict(read.facts) == dict(result.facts)
        for lang in ("en", "zh"):
            assert read.finding(lang) == result.finding(lang)


def test_a_misspelt_base_and_a_group_without_claims_are_refused_by_name(study_of):
    with pytest.raises(InputError, match="base"):
        study_of(
            person_years(),
            YEARS + MODEL.replace("[discount]", 'base = { sex = "mal" }\n[discount]'),
        ).run()
    none = person_years(claims=pl.when(pl.col("health_group") == "G1").then(0).otherwise("claims"))
    with pytest.raises(InputError, match=r"health_group\[G1\]: no claim"):
        study_of(none).run()


# A book from an older Chinese system, end to end

CHINESE = """
[study]
name = "beijing"
title = { en = "Chinese files", zh = "中文数据" }
source = { en = "made by a test", zh = "测试数据" }

[tables.person_years]
files = "人年.csv"
encoding = "gb18030"
separator = ";"
covariates = []

[tables.person_years.columns]
exposure = "风险暴露"
claims = "赔付次数"
amount = "赔付金额"
standard_premium = "标准保费"
health_group = "健康组"
sex = "性别"
region = "地区"

[tables.person_years.levels.sex]
"男" = "male"
"女" = "female"

[tables.person_years.factors]
sex = ["female", "male"]
region = ["北京", "上海"]
health_group = ["标准", "良好", "优秀"]

[model]
frequency = "sex + region"
one_way = ["region", "sex", "health_group"]

[discount]
order = ["标准", "良好", "优秀"]
"""


def test_a_chinese_book_from_file_to_page(tmp_path):
    rng = np.random.default_rng(3)
    n = 3_000
    group = rng.integers(0, 3, n)
    claims = rng.poisson(np.array([1.0, 0.7, 0.5])[group])
    rows = pl.DataFrame(
        {
            "风险暴露": np.full(n, 1.0),
            "赔付次数": claims,
            "赔付金额": claims * 800.0,
            "标准保费": np.full(n, 1200.0),
            "健康组": np.array(["标准", "良好", "优秀"])[group],
            "性别": np.array(["男", "女"])[rng.integers(0, 2, n)],
            "地区": np.array(["北京", "上海"])[rng.integers(0, 2, n)],
        }
    ).with_columns(性别=pl.when(pl.int_range(n) == 7).then(pl.lit("不详")).otherwise("性别"))
    text = rows.write_csv(separator=";").encode("gb18030")
    (tmp_path / "人年.csv").write_bytes(text)
    path = tmp_path / "study.toml"
    path.write_text(CHINESE, encoding="utf-8")
    study = open_study(path)
    check = study.data_check()
    assert check.facts["rejected"] == 1
    assert study.checked["person_years"].rejected["sex"].to_list() == ["不详"]
    seen = study.experience(["sex", "region"])
    assert seen.levels("sex") == ["female", "male"]
    assert seen.basis.claims == claims.sum() - claims[7]
    results = study.run()
    schedule = results["schedule"]
    assert list(schedule.discounts) == ["标准", "良好", "优秀"]
    assert schedule.discounts["优秀"] == 0.20
    page = write(study, results, tmp_path / "out").read_text(encoding="utf-8")
    for word in ("中文数据", "北京", "上海", "良好", "优秀", ">女<", ">female<"):
        assert word in page, word
    study.write_rejected(tmp_path / "rejected")
    assert "不详" in (tmp_path / "rejected/rejected_person_years.csv").read_text("utf-8-sig")


def test_the_bundled_study_of_real_data_gives_the_figures_it_is_known_for(randhie):
    model = randhie.results["frequency"]
    assert model.basis.rows == 20_190
    assert model.basis.claims == 57_752
    assert bundled("studies/randhie.toml") == randhie.study.path
    effect = randhie.results["group_effect"].facts
    assert effect["best_fair"] < effect["best_unadjusted"] / 3
