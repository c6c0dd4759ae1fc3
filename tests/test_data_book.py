"""A simulated book holds what it says: the same bytes, sound tables, and the truth beside them."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.data import book as book_module
from pricing.data.book import BookParameters, simulate, true_parameters
from pricing.data.lives import live
from pricing.errors import InputError

TABLES = ("policies", "renewals", "claims", "activity", "truth", "offers")
WINDOW_END = dt.date(2026, 1, 1)
SCORES = ("activity_score", "habit_score", "prevention_score", "marker_score")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("book") / "huoli", policies=60_000, seed=7)


@pytest.fixture(scope="module")
def book(folder: Path) -> dict[str, pl.DataFrame]:
    return {name: pl.read_parquet(folder / name) for name in TABLES}


@pytest.fixture(scope="module")
def years(book: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Policy years with their truth, exposure, claims and the year before."""
    keys = ["policy_id", "policy_year"]
    of_year = book["claims"].join(book["renewals"].select(*keys, "start", "end"), on="policy_id")
    of_year = of_year.filter(pl.col("incurred").is_between("start", "end", closed="left"))
    counts = of_year.group_by(keys).agg(claims=pl.len(), amount=pl.col("amount").sum())
    renewal = pl.col("issue").dt.offset_by(pl.format("{}y", pl.col("policy_year") + 1))
    return (
        book["renewals"]
        .join(book["truth"], on=keys)
        .join(counts, on=keys, how="left")
        .join(book["policies"].select("policy_id", "tier", issue="start"), on="policy_id")
        .with_columns(pl.col("claims", "amount").fill_null(0))
        .with_columns(exposure=_days("start", "end") / (renewal - pl.col("start")).dt.total_days())
        .sort(keys)
        .with_columns(
            was=pl.col("in_programme").shift(1).over("policy_id"),
            group=pl.col("health_group").str.tail(1).cast(pl.Int32),
        )
        .with_columns(group_before=pl.col("group").shift(1).over("policy_id"))
    )


def _days(start: str, end: str) -> pl.Expr:
    return (pl.col(end) - pl.col(start)).dt.total_days()


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _levels() -> dict[str, set[str]]:
    return {
        "sex": {"female", "male"},
        "region": {"beijing", "shanghai", "guangdong", "shandong", "sichuan"},
        "tier": {"basic", "standard", "premium"},
        "channel": {"agent", "app", "group"},
    }


def _read(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / name)


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first = _hashes(simulate(tmp_path / "a", policies=2_000, seed=3))
    assert first == _hashes(simulate(tmp_path / "deep" / "b", policies=2_000, seed=3))
    other = _hashes(simulate(tmp_path / "c", policies=2_000, seed=4))
    assert first.keys() == other.keys()
    assert not set(first.values()) & set(other.values())


@pytest.mark.parametrize("policies", [99, 100, 101, 250])
def test_parts_meet_and_a_smaller_book_is_the_head_of_a_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policies: int
) -> None:
    monkeypatch.setattr(book_module, "POLICIES_PER_PART", 100)
    small = simulate(tmp_path / "small", policies=policies, seed=5)
    large = simulate(tmp_path / "large", policies=300, seed=5)
    assert len(list((small / "policies").iterdir())) == -(-policies // 100)
    last = f"P{policies:09d}"
    for name in TABLES:
        head = _read(large, name).filter(pl.col("policy_id") <= last)
        assert head.equals(_read(small, name)), name
    numbers = _read(small, "policies")["policy_id"]
    assert numbers.to_list() == [f"P{i:09d}" for i in range(1, policies + 1)]
    assert _read(large, "claims")["claim_id"].is_unique().all()


def test_progress_counts_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "POLICIES_PER_PART", 10)
    seen: list[tuple[int, int]] = []
    simulate(tmp_path / "b", policies=25, seed=0, progress=lambda *at: seen.append(at))
    assert seen == [(10, 25), (20, 25), (25, 25)]


def test_books_of_one_policy_have_the_columns_of_large_ones(
    tmp_path: Path, book: dict[str, pl.DataFrame]
) -> None:
    for seed in range(3):
        one = simulate(tmp_path / "one", policies=1, seed=seed)  # replaces the one before
        for name in TABLES:
            assert _read(one, name).schema == book[name].schema


def test_a_stopped_run_leaves_the_book_that_was_there(tmp_path: Path) -> None:
    target = simulate(tmp_path / "b", policies=20, seed=1)
    before = _hashes(target)

    def stop(done: int, policies: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(target, policies=30, seed=2, progress=stop)
    assert _hashes(target) == before
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    "policies, seed", [(0, 1), (-3, 1), (1.5, 1), (True, 1), (5, -1), (5, 0.5), (5, None)]
)
def test_policies_and_seed_out_of_range_are_refused(tmp_path: Path, policies, seed) -> None:
    with pytest.raises(InputError):
        simulate(tmp_path / "b", policies=policies, seed=seed)
    assert not list(tmp_path.iterdir())


def test_what_is_not_a_book_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work", encoding="utf-8")
    for target in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(InputError, match="not a simulated book"):
            simulate(target, policies=5, seed=1)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "ten years of work"


def test_an_unwritable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pricing.files.os.access", lambda path, mode: False)
    with pytest.raises(InputError, match="not writable"):
        simulate(tmp_path / "b", policies=5, seed=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"male_share": -0.1},
        {"region_share": (0.5, 0.5)},
        {"region_share": (0.5, 0.5, 0.5, 0.5, 0.5)},
        {"tier_effect": 0.1},
        {"severity_mean": 0.0},
        {"severity_cv": float("nan")},
        {"rate_age": "high"},
        {"rate_age": (0.1, 0.2)},
        {"programme_rate_ratio": 0.0},
        {"cutoffs": (400.0, 400.0, 700.0, 850.0)},
        {"discounts": (0.05, 0.05, 0.10, 0.15, 0.20)},
        {"discounts": (0.0, 0.05, 0.10, 0.15, 1.0)},
        {"inflation": -1.0},
        {"minutes_elasticity": -0.5},
    ],
    ids=str,
)
def test_parameters_out_of_their_domain_are_refused(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        BookParameters(**wrong)


def test_all_faults_are_listed_at_once_and_absurd_rates_refused() -> None:
    with pytest.raises(InputError, match="2 of") as refusal:
        BookParameters(male_share=2.0, day_icc=0.0)
    assert len(refusal.value.faults) == 2
    with pytest.raises(InputError, match="beyond 100 a year"):
        live(BookParameters(rate_intercept=10.0), policies=10, seed=1)


def test_truth_is_kept_and_every_parameter_is_said_in_words(folder: Path) -> None:
    truth = true_parameters(folder)
    assert (truth["policies"], truth["seed"]) == (60_000, 7)
    names = [field.name for field in fields(BookParameters)]
    assert list(truth["parameters"]) == names == list(truth["definitions"])
    assert all(len(words) > 20 for words in truth["definitions"].values())
    assert truth["parameters"]["programme_rate_ratio"] == 0.97
    kept = {k: tuple(v) if isinstance(v, list) else v for k, v in truth["parameters"].items()}
    assert BookParameters(**kept) == BookParameters()


def test_a_folder_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"truth\.json"):
        true_parameters(tmp_path)
    (tmp_path / "truth.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"truth\.json"):
        true_parameters(tmp_path)


def test_policies_are_sound(book: dict[str, pl.DataFrame]) -> None:
    policies = book["policies"]
    assert policies["policy_id"].is_unique().all()
    assert policies["person_id"].is_unique().all()
    assert policies.drop("exit_cause").null_count().sum_horizontal().item() == 0
    assert policies["start"].is_between(dt.date(2018, 1, 1), dt.date(2024, 12, 31)).all()
    assert (policies["end"] > policies["start"]).all()
    assert (policies["end"] <= WINDOW_END).all()
    in_force = policies["exit_cause"].is_null()
    assert (policies.filter(in_force)["end"] == WINDOW_END).all()
    assert (policies.filter(~in_force)["end"] < WINDOW_END).all()
    eighteen = policies["birth_date"].dt.offset_by("18y")
    sixty_six = policies["birth_date"].dt.offset_by("66y")
    assert ((eighteen <= policies["start"]) & (policies["start"] < sixty_six)).all()
    for column, levels in _levels().items():
        assert set(policies[column].unique()) == levels
    assert abs((policies["sex"] == "male").mean() - 0.48) < 4 * (0.25 / 60_000) ** 0.5


def test_policy_years_cover_the_policy_without_gap(book: dict[str, pl.DataFrame]) -> None:
    renewals = book["renewals"]
    again = renewals.sort("policy_id", "policy_year")
    assert again.equals(renewals)
    covers = renewals.group_by("policy_id").agg(
        first=pl.col("start").min(),
        last=pl.col("end").max(),
        years=pl.len(),
        top=pl.col("policy_year").max(),
        gaps=(pl.col("start").shift(-1) != pl.col("end")).sum(),
    )
    covers = covers.join(book["policies"], on="policy_id", how="full", coalesce=True)
    assert (covers["first"] == covers["start"]).all()
    assert (covers["last"] == covers["end"]).all()
    assert (covers["top"] + 1 == covers["years"]).all()
    assert covers["gaps"].sum() == 0
    issue = renewals.join(book["policies"].select("policy_id", issue="start"), on="policy_id")
    due = pl.col("issue").dt.offset_by(pl.format("{}y", pl.col("policy_year")))
    assert issue.select((pl.col("start") == due).all()).item()


def test_exits_fall_where_their_cause_says(book: dict[str, pl.DataFrame]) -> None:
    last = book["renewals"].group_by("policy_id").agg(years=pl.len(), began=pl.col("start").max())
    exits = book["policies"].join(last, on="policy_id").drop_nulls("exit_cause")
    due = exits["start"].dt.offset_by(exits.select(pl.format("{}y", "years")).to_series())
    lapsed = exits["exit_cause"] == "lapse"
    assert (exits["end"] == due).filter(lapsed).all()
    assert (exits["end"] < due).filter(~lapsed).all()
    assert (exits["end"] > exits["began"]).all()
    assert set(exits["exit_cause"]) == {"lapse", "death", "cancelled"}


def test_leap_day_starts_renew_on_the_28th_of_common_years(
    book: dict[str, pl.DataFrame],
) -> None:
    leap = book["policies"].filter(start=dt.date(2020, 2, 29)).select("policy_id")
    assert leap.height > 5
    covers = leap.join(book["renewals"], on="policy_id").filter(policy_year=1)["start"]
    assert covers.unique().to_list() == [dt.date(2021, 2, 28)]
    fifth = leap.join(book["renewals"], on="policy_id").filter(policy_year=4)["start"]
    assert set(fifth) <= {dt.date(2024, 2, 29)}


def test_full_years_have_exposure_one(years: pl.DataFrame) -> None:
    assert years["exposure"].is_between(0, 1, closed="right").all()
    assert (years["exposure"] == 1).mean() > 0.5


def test_premium_is_the_standard_less_the_discount_of_the_group(years: pl.DataFrame) -> None:
    discount = pl.Series(BookParameters().discounts).gather(years["group"])
    owed = years["standard_premium"] * (1 - discount)
    assert (years["premium"] - owed).abs().max() <= 0.0051
    assert (years["standard_premium"] > 0).all()


def test_groups_move_by_one_and_are_standard_outside_the_programme(years: pl.DataFrame) -> None:
    assert (years.filter(~pl.col("in_programme"))["group"] == 0).all()
    stayed = years.filter("in_programme", "was")
    assert (stayed["group"] - stayed["group_before"]).abs().max() == 1
    assert (years.filter("in_programme", ~pl.col("was"))["group"] == 0).all()
    held = stayed.filter(pl.col("valid_days") < 180)
    assert held.height > 20
    assert (held["group"] == held["group_before"]).all()
    assert not years.filter(policy_year=0)["in_programme"].any()


def test_members_who_leave_do_not_come_back(years: pl.DataFrame) -> None:
    spells = years.group_by("policy_id").agg(
        (pl.col("in_programme") & ~pl.col("was").fill_null(False)).sum().alias("joined")
    )
    assert spells["joined"].max() == 1


def test_groups_follow_cutoffs_with_hysteresis(years: pl.DataFrame) -> None:
    stayed = years.filter("in_programme", "was", pl.col("valid_days") >= 180)
    cutoffs = [-1e9, 400.0, 550.0, 700.0, 850.0, 1e9]
    lower = pl.Series(cutoffs).gather(stayed["group_before"])
    upper = pl.Series(cutoffs).gather(stayed["group_before"] + 1)
    move = (stayed["health_value"] >= upper + 25).cast(pl.Int32)
    move -= (stayed["health_value"] < lower - 25).cast(pl.Int32)
    assert (stayed["group"] - stayed["group_before"] == move).all()


def test_health_values_are_measured_for_last_years_members_only(years: pl.DataFrame) -> None:
    was = years["was"].fill_null(False)
    for column in (*SCORES, "health_value"):
        assert years.filter(~was)[column].is_null().all()
        assert years.filter(was)[column].is_not_null().mean() > 0.999
    assert (years.filter(~was)["valid_days"] == 0).all()
    assert years["valid_days"].max() <= 366
    assert years.select(pl.col(SCORES).drop_nulls().is_between(0, 1).all()).row(0) == (True,) * 4
    weights = dict(zip(SCORES, (0.40, 0.15, 0.15, 0.30), strict=True))
    seen = 1000 * sum(pl.col(name) * weight for name, weight in weights.items())
    z = pl.col("valid_days") / (pl.col("valid_days") + 60)
    off = years.select((pl.col("health_value") - (z * seen + (1 - z) * 430)).abs().max())
    assert off.item() < 0.0051


def test_activity_follows_membership_and_makes_the_activity_score(
    book: dict[str, pl.DataFrame], years: pl.DataFrame
) -> None:
    activity = book["activity"]
    assert activity.select(pl.struct("policy_id", "month").is_unique().all()).item()
    cover = years.select(
        *("policy_id", "policy_year", "start", "end", "in_programme", "exposure", "issue")
    )
    months = activity.join(cover, on="policy_id")
    months = months.filter(pl.col("month").is_between("start", "end", closed="left"))
    assert months.height == activity.height
    assert months["in_programme"].all()
    assert activity["valid_days"].is_between(1, 31).all()
    assert activity.select(pl.col("mean_daily_steps", "active_minutes_per_week").min() > 0).row(0)

    number = 12 * (months["month"].dt.year() - months["issue"].dt.year())
    number += months["month"].dt.month().cast(pl.Int32) - months["issue"].dt.month()
    steps = np.interp(months["mean_daily_steps"], (0, 3000, 6000, 8000), (0, 0, 6, 8)) / 8
    minutes = np.interp(months["active_minutes_per_week"], (0, 75, 150), (0, 0.5, 1))
    measured = (
        months.with_columns(
            renewal=((number + 2) // 12 + 1).cast(pl.Int32),
            score=pl.Series(0.737 * steps + 0.263 * minutes),
        )
        .group_by("policy_id", policy_year="renewal")
        .agg(
            days=pl.col("valid_days").sum(),
            points=(pl.col("score") * pl.col("valid_days")).sum(),
        )
    )
    both = years.filter("was").join(measured, on=["policy_id", "policy_year"])
    assert both.height == years.filter(pl.col("valid_days") > 0).height
    assert (both["days"] == both["valid_days"]).all()
    assert (both["points"] / both["days"] - both["activity_score"]).abs().max() < 1e-6


def test_claims_are_incurred_in_cover_and_paid_afterwards(
    book: dict[str, pl.DataFrame], years: pl.DataFrame
) -> None:
    claims = book["claims"].join(book["policies"], on="policy_id")
    assert claims["claim_id"].is_unique().all()
    assert claims.null_count().drop("exit_cause").sum_horizontal().item() == 0
    assert ((claims["incurred"] >= claims["start"]) & (claims["incurred"] < claims["end"])).all()
    assert (claims["paid"] >= claims["incurred"]).all()
    assert (claims["amount"] > 0).all()
    assert years["claims"].sum() == claims.height


def test_claims_agree_with_their_expectation_in_all_and_by_cell(years: pl.DataFrame) -> None:
    cells = [[], ["health_group"], ["in_programme"], ["policy_year"], ["tier"]]
    for by in cells:
        sums = years.with_columns(all=pl.lit(0)).group_by(by or ["all"])
        seen = sums.agg(pl.col("claims", "expected_claims").sum())
        off = (seen["claims"] - seen["expected_claims"]) / seen["expected_claims"] ** 0.5
        assert off.abs().max() < 4, by
    # Var of an aggregate amount: Σ expected claims × mean² × (1 + cv²), mean = amount / claims
    mean = years["expected_amount"] / years["expected_claims"]
    error = (years["expected_claims"] * mean**2 * (1 + 1.5**2)).sum() ** 0.5
    assert abs(years["amount"].sum() - years["expected_amount"].sum()) < 4 * error


def test_the_expected_claims_are_the_stated_rate(
    book: dict[str, pl.DataFrame], years: pl.DataFrame
) -> None:
    people = book["policies"].select("policy_id", "birth_date", "sex", "region", "chronic")
    rows = years.join(people, on="policy_id").head(20_000)
    turned = rows["start"].dt.to_string("%m%d") >= rows["birth_date"].dt.to_string("%m%d")
    age = rows["start"].dt.year() - rows["birth_date"].dt.year() - (~turned).cast(pl.Int32)
    region = {"beijing": 0.10, "shanghai": 0.06, "guangdong": 0.0, "shandong": -0.04}
    log_rate = (
        -2.4
        + 0.045 * (age - 45)
        + 0.05 * (rows["sex"] == "male")
        - 0.30 * rows["latent_health"]
        + 0.45 * rows["chronic"]
        + rows["region"].replace_strict(region, default=-0.08)
        + rows["tier"].replace_strict({"basic": 0.0, "standard": 0.03, "premium": 0.08})
    )
    effect = rows.select(pl.when("in_programme").then(0.97).otherwise(1.0)).to_series()
    ratio = rows["expected_claims"] / (log_rate.exp() * effect * rows["exposure"])
    assert (ratio - 1).abs().max() < 1e-12


def test_latent_health_is_stationary_and_persistent() -> None:
    latent = live(BookParameters(renew_intercept=50.0), policies=20_000, seed=2).years
    wide = latent.filter(policy_year=0).join(latent.filter(policy_year=1), on="policy")
    now, then = wide["latent_health_right"].to_numpy(), wide["latent_health"].to_numpy()
    assert abs(now.mean()) < 0.03
    assert abs(now.std() - 1) < 0.03
    assert abs(np.corrcoef(now, then)[0, 1] - 0.8) < 0.015


def test_the_healthier_join_and_the_naive_ratio_is_far_below_the_truth(
    years: pl.DataFrame,
) -> None:
    open_to = years.filter(pl.col("policy_year") > 0)
    free = open_to.filter(~pl.col("was"))
    health = free.group_by("in_programme").agg(pl.col("latent_health").mean()).sort("in_programme")
    assert health["latent_health"][1] - health["latent_health"][0] > 0.4
    rates = open_to.group_by("in_programme").agg(
        rate=pl.col("claims").sum() / pl.col("exposure").sum()
    )
    outside, inside = rates.sort("in_programme")["rate"]
    assert 0.70 < inside / outside < 0.90
    # before they joined, later members already claimed less: the mark of selection
    joins = pl.col("in_programme").any().over("policy_id")
    before = years.with_columns(joins=joins).filter(policy_year=0).group_by("joins")
    rate = before.agg(rate=pl.col("claims").sum() / pl.col("exposure").sum()).sort("joins")["rate"]
    assert rate[1] / rate[0] < 0.92


def test_shares_are_as_designed(years: pl.DataFrame) -> None:
    lives = years.group_by("policy_id").agg(pl.len(), pl.col("in_programme").any())
    assert 0.42 < lives.filter(pl.col("len") > 2)["in_programme"].mean() < 0.48
    members = years.filter("in_programme", pl.col("start") >= dt.date(2025, 1, 1))
    shares = members["group"].value_counts(normalize=True).sort("group")["proportion"]
    assert len(shares) == 5
    assert shares.min() > 0.025
    value = years.filter("was").select(pl.corr("health_value", "latent_health")).item()
    assert 0.45 < value < 0.65


def test_loss_ratio_of_the_standard_premium_is_near_the_target(years: pl.DataFrame) -> None:
    first = years.filter(policy_year=0)
    earned = (first["standard_premium"] * first["exposure"]).sum()
    assert first["expected_amount"].sum() / earned == pytest.approx(0.70, abs=0.02)


def test_no_discount_and_no_effect_leave_nothing_to_find() -> None:
    plain = BookParameters(programme_rate_ratio=1.0, discounts=(0.0,) * 5)
    with_effect = live(BookParameters(discounts=(0.0,) * 5), policies=500, seed=6).years
    without = live(plain, policies=500, seed=6).years
    ratio = with_effect["expected_claims"] / without["expected_claims"]
    expected = pl.select(pl.when(with_effect["in_programme"]).then(0.97).otherwise(1.0))
    assert (ratio - expected.to_series()).abs().max() < 1e-12
    assert (without["premium"] == without["standard_premium"]).all()


def test_renewal_answers_the_premium_with_the_stated_elasticity() -> None:
    def renewed(inflation: float) -> float:
        years = live(
            BookParameters(inflation=inflation, rate_age=0.0, rate_chronic=0.0, death_rate=0.0),
            policies=40_000,
            seed=8,
        ).years
        due = years.filter(
            pl.col("policy_year") == 0,
            pl.col("start") < dt.date(2024, 1, 1),
            _days("start", "end") >= 365,
        )
        return (
            years.filter(policy_year=1)["policy"].is_in(due["policy"].implode()).sum() / due.height
        )

    level, dearer = renewed(0.0), renewed(0.02)
    assert level == pytest.approx(0.88, abs=0.01)
    assert np.log(dearer / level) / np.log(1.02) == pytest.approx(-0.62, abs=0.25)
