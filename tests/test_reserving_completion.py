"""Completion: closed forms by hand, the error against a simulation, and what is refused."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.loss_ratio.complement import Complement
from pricing.loss_ratio.control_limits import watch
from pricing.loss_ratio.indication import indicate
from pricing.loss_ratio.large_charge import large_charge
from pricing.loss_ratio.permissible import permissible_loss_ratio
from pricing.premium.on_level import on_level
from pricing.reserving.bootstrap import odp_bootstrap
from pricing.reserving.completion import complete, history, interval_columns
from pricing.reserving.expected_loss import (
    benktander,
    bornhuetter_ferguson,
    cape_cod,
    expected_loss,
)
from pricing.reserving.triangle import Triangle, claim_triangle
from pricing.result.shape import Result

VALUED = date(2023, 12, 31)
SMALL = [[60, 30, 10], [80, 50, 5], [70, 20], [90]]
NOTHING_OFF = permissible_loss_ratio()
ROOM = {"month": 1, "quarter": 3, "year": 12}


def shifted(day: date, months: int) -> date:
    at = day.year * 12 + day.month - 1 + months
    return date(at // 12, at % 12 + 1, 1)


def rows_of(
    cells: list[list[float]] | np.ndarray, grain: str = "month", **more: Any
) -> pl.DataFrame:
    """One payment for each cell that is not zero; the last row is the origin of the valuation."""
    size, step = len(cells), ROOM[grain]
    last = date(2023, {"month": 12, "quarter": 10, "year": 1}[grain], 1)
    origins = [shifted(last, -step * (size - 1 - i)) for i in range(size)]
    rows = [
        (origin, shifted(origin, step * lag), float(amount))
        for i, origin in enumerate(origins)
        for lag, amount in enumerate(list(cells[i])[: size - i])
        if amount
    ]
    frame = pl.DataFrame(rows, schema=["incurred", "paid", "amount"], orient="row")
    return frame.with_columns(**more)


def triangle_of(cells: list[list[float]] | np.ndarray, grain: str = "month") -> Triangle:
    return claim_triangle(rows_of(cells, grain), valuation=VALUED, grain=grain)  # type: ignore[arg-type]


def behind(triangle: Triangle, exposure: Any) -> pl.DataFrame:
    return pl.DataFrame({"origin": triangle.origins, "exposure": exposure})


def steady(months: int, share: tuple[float, ...] = (0.5, 0.3, 0.2), size: float = 100) -> Triangle:
    return triangle_of([[size * s for s in share] for _ in range(months)])


def test_full_weight_is_chain_ladder_by_hand() -> None:
    """Mack (1991): volume-weighted factors, as fractions."""
    factors = [
        Fraction(60 + 30 + 80 + 50 + 70 + 20, 60 + 80 + 70),
        Fraction(60 + 30 + 10 + 80 + 50 + 5, 60 + 30 + 80 + 50),
    ]
    ultimates = [100, 135, 90 * factors[1], 90 * factors[0] * factors[1]]
    triangle = triangle_of(SMALL)
    found = complete(triangle, behind(triangle, 100.0), weighting="chain_ladder", draws=100)
    np.testing.assert_allclose(
        found.table["ultimate"].to_numpy(), [float(u) for u in ultimates], rtol=1e-13
    )
    share = [float(1 / (factors[0] * factors[1])), float(1 / factors[1]), 1.0, 1.0]
    np.testing.assert_allclose(found.pattern.table["complete"].to_numpy(), share, rtol=1e-13)
    latest = complete(triangle, behind(triangle, 100.0), weighting="chain_ladder", recent=1,
                      draws=100).table["ultimate"].to_list()  # fmt: skip
    alone = Fraction(90, 70) * Fraction(135, 130)
    assert latest[-1] == pytest.approx(float(90 * alone), rel=1e-13)


def test_no_weight_is_cape_cod_by_hand() -> None:
    """Stanard (1985): one rate, Σ paid over Σ exposure · share complete; unpaid by exposure alone."""
    exposure = [100, 140, 90, 120]
    q = [Fraction(1), Fraction(1), Fraction(220, 235), Fraction(210, 310) * Fraction(220, 235)]
    paid = [100, 135, 90, 90]
    rate = sum(paid) / sum(e * share for e, share in zip(exposure, q, strict=True))
    ultimates = [p + (1 - s) * e * rate for p, s, e in zip(paid, q, exposure, strict=True)]
    triangle = triangle_of(SMALL)
    found = complete(
        triangle, behind(triangle, exposure), weighting="bornhuetter_ferguson", draws=100
    )
    wanted = [float(u) for u in ultimates]
    np.testing.assert_allclose(found.table["ultimate"].to_numpy(), wanted, rtol=1e-12)
    assert found.facts["ultimate"] == pytest.approx(sum(wanted), rel=1e-12)


def test_the_estimated_weight_is_buhlmann_s_and_lies_between() -> None:
    rng = np.random.default_rng(3)
    months = rng.gamma(4, 0.25, 18)
    triangle = triangle_of([[1000 * g * s for s in (0.5, 0.3, 0.2)] for g in months])
    exposure = behind(triangle, 1000.0)
    found, chain, fixed = (
        complete(triangle, exposure, weighting=w, dispersion=10.0, draws=100)  # type: ignore[arg-type]
        for w in ("credibility", "chain_ladder", "bornhuetter_ferguson")
    )
    tau, phi = found.facts["between"], found.facts["dispersion"]
    assert tau > 0.05
    t = found.table
    money = np.exp(np.array(found.details["coefficients"])[1] * np.arange(-17, 1) / 12)
    due = (t["complete"] * t["a_priori"]).to_numpy()
    np.testing.assert_allclose(
        t["credibility"].to_numpy(), tau * due / (tau * due + phi * money), rtol=5e-3
    )
    mixed = (
        t["credibility"] * chain.table["unpaid"] + (1 - t["credibility"]) * fixed.table["unpaid"]
    )
    np.testing.assert_allclose(t["unpaid"].to_numpy(), mixed.to_numpy(), rtol=1e-10, atol=1e-9)


def test_a_tail_is_still_to_come_of_every_origin() -> None:
    triangle = steady(4)
    found = complete(
        triangle, behind(triangle, 100.0), tail=1.25, weighting="chain_ladder", draws=100
    )
    np.testing.assert_allclose(found.table["ultimate"].to_numpy(), 125.0, rtol=1e-12)
    assert found.table["complete"].to_list() == pytest.approx([0.8, 0.8, 0.64, 0.4])


def test_without_chance_there_is_no_error() -> None:
    """Exact multiples of one pattern and claims of nearly no size: the interval closes."""
    triangle = steady(12)
    for weighting in ("credibility", "chain_ladder", "bornhuetter_ferguson"):
        found = complete(triangle, behind(triangle, 50.0), dispersion=1e-10,
                         weighting=weighting, draws=200)  # type: ignore[arg-type]  # fmt: skip
        np.testing.assert_allclose(found.table["ultimate"].to_numpy(), 100.0, rtol=1e-9)
        for name in ("lower", "lower_80", "upper_80", "upper"):
            np.testing.assert_allclose(found.table[name].to_numpy(), 100.0, rtol=1e-4)
        assert found.facts["between"] == 0.0


@pytest.mark.parametrize("weighting", ["chain_ladder", "bornhuetter_ferguson"])
def test_the_error_is_that_of_a_direct_simulation(weighting: str) -> None:
    """Known compound Poisson books: the spread of estimate less outcome is the error that is said."""
    rng = np.random.default_rng(11)
    size, pattern, phi, mean = 12, np.array([0.4, 0.35, 0.25]), 4.0, 1000.0
    seen = np.arange(3)[None, :] < np.arange(size, 0, -1)[:, None]
    gaps, said = [], []
    for number in range(200):
        whole = phi * rng.standard_gamma(mean * np.tile(pattern, (size, 1)) / phi)
        triangle = triangle_of(np.where(seen, whole, 0.0))
        model = history(triangle, behind(triangle, mean), dispersion=phi)
        weight = np.full(size, float(weighting == "chain_ladder"))
        gaps.append(model.ultimate(weight).sum() - whole.sum())
        if number < 20:
            found = complete(triangle, behind(triangle, mean), dispersion=phi, draws=400,
                             weighting=weighting, seed=number)  # type: ignore[arg-type]  # fmt: skip
            said.append(found.facts["std_error"])
    actual, error = float(np.std(gaps)), float(np.std(gaps) / np.sqrt(2 * len(gaps)))
    assert np.mean(said) == pytest.approx(actual, abs=3 * error + 0.05 * actual)
    assert abs(np.mean(gaps)) < 3 * actual / np.sqrt(len(gaps))


def test_the_interval_holds_the_estimate_where_claims_come_back() -> None:
    """Recoveries after the payments: drawn histories must have them too."""
    rng = np.random.default_rng(2)
    cells = np.array([[70.0, 60.0, -20.0, -10.0]] * 24) * rng.gamma(100, 0.01, (24, 4))
    triangle = triangle_of(cells)
    for weighting in ("credibility", "chain_ladder", "bornhuetter_ferguson"):
        found = complete(triangle, behind(triangle, 100.0), weighting=weighting, draws=1000)  # type: ignore[arg-type]
        facts, pattern = found.facts, found.pattern.table
        assert facts["lower_80"] < facts["ultimate"] < facts["upper_80"]
        assert (pattern["lower"] <= pattern["complete"] + 1e-12).all()
        assert (pattern["complete"] <= pattern["upper"] + 1e-12).all()
        assert facts["unpaid"] == pytest.approx(found.table["unpaid"].sum())
        unsure = found.table.tail(3)
        assert (unsure["lower"] < unsure["ultimate"]).all()
        assert (unsure["ultimate"] < unsure["upper"]).all()


def test_exposure_of_finer_periods_is_not_dropped_in_silence() -> None:
    quarters = triangle_of([[50.0, 50.0]] * 8, "quarter")
    months = pl.DataFrame({"origin": [shifted(quarters.origins[0], m) for m in range(24)]})
    with pytest.raises(InputError, match=r"16 of 24 origins .* first day of a quarter"):
        complete(quarters, months.with_columns(exposure=1.0))
    held = pl.DataFrame({"origin": months["origin"], "premium": 1.0})
    for found in (
        lambda: bornhuetter_ferguson(quarters, held, rate=0.7),
        lambda: cape_cod(quarters, held),
        lambda: expected_loss(quarters, held, rate=0.7),
    ):
        with pytest.raises(InputError, match=r"16 of 24 origins .* first day of a quarter"):
            found()
    triangle = steady(8)
    stray = behind(triangle, 10.0)
    stray = pl.concat([stray, stray.with_columns(pl.col("origin").dt.offset_by("14d"))])
    with pytest.raises(InputError, match="first day of a month"):
        complete(triangle, stray)


def test_terms_of_the_rate_that_nothing_tells_apart_are_refused() -> None:
    triangle = steady(7)
    exposure = behind(triangle, 100.0)
    with pytest.raises(InputError, match="cannot be told apart"):
        complete(triangle, exposure, seasonality="quarter")  # three quarters seen
    longer = steady(12)
    for day in (date(2025, 1, 1), date(2023, 1, 1), date(2023, 6, 15)):
        with pytest.raises(InputError, match="no first day of a month after the first"):
            complete(longer, behind(longer, 100.0), breaks=[day])
    with pytest.raises(InputError, match="trend_break 2023-12-01"):
        complete(longer, behind(longer, 100.0), breaks=[date(2023, 12, 1)])
    years = triangle_of([[50.0, 50.0]] * 15, "year")
    with pytest.raises(InputError, match="season"):
        complete(years, behind(years, 100.0), seasonality="month")


def test_lags_that_end_before_the_claims_do_are_refused() -> None:
    triangle = steady(12, (0.4, 0.3, 0.2, 0.1))
    exposure = behind(triangle, 100.0)
    with pytest.raises(InputError, match=r"10\.0% of the claims are paid after lag 2"):
        complete(triangle, exposure, lags=3)
    found = complete(triangle, exposure, lags=4, weighting="chain_ladder", draws=100)
    np.testing.assert_allclose(found.table["ultimate"].to_numpy(), 100.0, rtol=1e-12)


def test_draws_that_come_to_nothing_are_not_an_interval() -> None:
    with pytest.raises(InputError, match="1 of 3 draws come to no figure"):
        interval_columns(np.array([[1.0], [np.nan], [2.0]]), 0.9)
    with pytest.raises(InputError, match="beyond all bounds"):
        interval_columns(np.array([[1.0], [1e200], [2.0]]), 0.9)


def test_order_and_the_splitting_of_payments_do_not_matter() -> None:
    cells = np.random.default_rng(1).gamma(2, 50, (15, 3))
    rows = rows_of(cells)
    exposure = behind(triangle_of(cells), 100.0)
    halves = pl.concat([rows, rows]).with_columns(pl.col("amount") / 2)

    def found(frame: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
        triangle = claim_triangle(frame, valuation=VALUED)
        return complete(triangle, held, dispersion=60.0, draws=200).table.drop("origin")

    plain = found(rows, exposure).to_numpy()
    mixed = found(halves.sample(fraction=1, shuffle=True, seed=1), exposure.reverse())
    np.testing.assert_allclose(mixed.to_numpy(), plain, rtol=1e-9)
    lazy = claim_triangle(rows.lazy(), valuation=VALUED)
    cents = rows.with_columns(pl.col("amount").round(2).cast(pl.Decimal(18, 2)))
    decimal = complete(claim_triangle(cents, valuation=VALUED), exposure, draws=200)
    assert complete(lazy, exposure, dispersion=60.0, draws=200).facts["ultimate"] == pytest.approx(
        plain[:, 5].sum()
    )
    assert decimal.facts["paid"] == pytest.approx(plain[:, 1].sum(), abs=1.0)


def test_same_seed_same_table_and_it_keeps_itself(tmp_path: object) -> None:
    triangle = triangle_of(np.random.default_rng(4).gamma(2, 50, (18, 3)))
    exposure = behind(triangle, 100.0)
    first = complete(triangle, exposure, draws=200, seed=5)
    assert complete(triangle, exposure, draws=200, seed=5).table.equals(first.table)
    assert not complete(triangle, exposure, draws=200, seed=6).table.equals(first.table)
    first.save(f"{tmp_path}/kept")
    again = Result.load(f"{tmp_path}/kept")
    assert again.table.equals(first.table)
    assert again.pattern.table.equals(first.pattern.table)  # type: ignore[attr-defined]
    for weighting in ("credibility", "chain_ladder", "bornhuetter_ferguson"):
        one = complete(triangle, exposure, draws=200, weighting=weighting, recent=6, tail=1.01,
                       seasonality="quarter", breaks=[date(2023, 1, 1)])  # type: ignore[arg-type]  # fmt: skip
        for lang in ("en", "zh"):
            for what in (one, one.pattern):
                assert what.finding(lang)  # type: ignore[arg-type]
                assert what.figure(lang).data  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"draws": 200.5}, "draws give no interval"),
        ({"draws": True}, "draws give no interval"),
        ({"seed": -1}, "is no seed"),
        ({"seed": "1"}, "is no seed"),
        ({"level": "95%"}, "confidence level"),
        ({"lags": 2.5}, "2.5 lags"),
        ({"recent": 1.5}, "1.5 recent"),
        ({"tail": float("nan")}, "tail factor"),
        ({"dispersion": 0.0}, "a dispersion of 0"),
        ({"weighting": "mack"}, "no weighting"),
        ({"seasonality": "weekly"}, "no seasonality"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], said: str) -> None:
    triangle = steady(12)
    with pytest.raises(InputError, match=said):
        complete(triangle, behind(triangle, 100.0), **options)


def test_exposure_that_is_no_table_is_refused() -> None:
    triangle = steady(12)
    with pytest.raises(InputError, match="LazyFrame, not a DataFrame"):
        complete(triangle, behind(triangle, 100.0).lazy())  # type: ignore[arg-type]
    premium = behind(triangle, 100.0).rename({"exposure": "premium_at_current_level"})
    for frame, wrong in (
        (premium.rename({"origin": "period"}).lazy(), "LazyFrame, not a DataFrame"),
        (premium.select(period=pl.col("origin").cast(pl.String), premium_at_current_level=1.0),
         "period must be a date"),
        (premium.select(period="origin", premium_at_current_level=pl.lit("9")), "a number"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=wrong):
            indicate(triangle, frame, NOTHING_OFF, effective=date(2024, 1, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("grain", ["month", "quarter", "year"])
def test_the_trend_reaches_the_months_that_are_earned(grain: str) -> None:
    """Rates of one month for terms of one month from December on: not the middle of a year."""
    size = {"month": 48, "quarter": 16, "year": 8}[grain]
    step = ROOM[grain]
    last = date(2023, {"month": 12, "quarter": 10, "year": 1}[grain], 1)
    firsts = [shifted(last, -step * (size - 1 - i)) for i in range(size)]
    middles = [(d - date(2024, 1, 1)).days / 365.25 + step / 24 for d in firsts]
    amount = [100.0 * 1.08**m for m in middles]
    paid = pl.DataFrame({"incurred": firsts, "paid": firsts, "amount": amount})
    triangle = claim_triangle(paid, valuation=VALUED, grain=grain)  # type: ignore[arg-type]
    premium = pl.DataFrame({"period": firsts, "premium_at_current_level": 100.0})
    found = indicate(triangle, premium, NOTHING_OFF, effective=date(2024, 12, 1),
                     in_force_months=1, term_months=1, draws=200)  # fmt: skip
    assert found.facts["loss_ratio"] == pytest.approx(1.08 ** (366 / 365.25), rel=2e-3)
    period = found.frames["rating_period"]
    assert period["month"].to_list() == [date(2024, 12, 1), date(2025, 1, 1)]


def test_options_of_the_wrong_kind_are_said_not_thrown() -> None:
    triangle = steady(4)
    premium = pl.DataFrame({"origin": triangle.origins, "premium": 100.0})
    with pytest.raises(InputError, match=r"1\.5 iterations"):
        benktander(triangle, premium, rate=0.7, iterations=1.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'1' samples"):
        odp_bootstrap(triangle, samples="1")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="loss_ratio = True"):
        Complement("industry", True, 0.1)
    months = pl.DataFrame({"month": triangle.origins, "actual": 9.0, "expected": 9.0})
    with pytest.raises(InputError, match="-1 is no seed"):
        watch(months, seed=-1)
    terms = pl.DataFrame({"start": [date(2023, 1, 1)], "end": [date(2024, 1, 1)], "premium": [9.0]})
    changes = pl.DataFrame({"day": [date(2023, 7, 1)], "change": [0.1]})
    with pytest.raises(InputError, match="current is a str"):
        on_level(terms, changes, valuation=VALUED, current="start")  # type: ignore[arg-type]


def keyed(levels: list[Any]) -> tuple[Triangle, pl.DataFrame]:
    rows = rows_of([[50.0, 50.0]] * 12).join(pl.DataFrame({"k": levels}), how="cross")
    triangle = claim_triangle(rows, valuation=VALUED, by=["k"])
    premium = pl.DataFrame({"period": triangle.origins, "premium_at_current_level": 100.0})
    return triangle, premium.join(pl.DataFrame({"k": levels}), how="cross")


@pytest.mark.parametrize(
    "levels, names",
    [
        ([True, False], ["no", "yes"]),
        ([10, 2, 1], ["1", "2", "10"]),
        (["乙", "甲"], ["乙", "甲"]),
        (["one"], ["one"]),
    ],
)
def test_segments_of_any_kind_of_key(levels: list[Any], names: list[str]) -> None:
    triangle, premium = keyed(levels)
    found = indicate(triangle, premium, NOTHING_OFF, effective=date(2024, 1, 1), by="k", draws=200)
    assert found.table["segment"].to_list() == ["whole book", *names]
    np.testing.assert_allclose(found.table["indicated_change"].to_numpy(), 0.0, atol=1e-9)


def test_claims_of_a_segment_without_its_premium_are_refused() -> None:
    triangle, premium = keyed(["a", "b"])
    lapsed = (pl.col("k") == "b") & (pl.col("period") == date(2023, 3, 1))
    amount = pl.when(lapsed).then(0.0).otherwise("premium_at_current_level")
    with pytest.raises(InputError, match="1 periods of segments have claims and no premium, such"):
        indicate(triangle, premium.with_columns(premium_at_current_level=amount), NOTHING_OFF,
                 effective=date(2024, 1, 1), by="k", draws=200)  # fmt: skip


def test_experience_of_which_nothing_is_known_is_refused() -> None:
    triangle = claim_triangle(
        rows_of([[0.0, 100.0]] * 12), valuation=VALUED, start=date(2023, 1, 1)
    )
    premium = pl.DataFrame({"period": triangle.origins, "premium_at_current_level": 100.0})

    def asked(**options: Any) -> object:
        given = {"effective": date(2024, 1, 1), "draws": 200} | options
        return indicate(triangle, premium, NOTHING_OFF, **given)

    with pytest.raises(InputError, match="nothing can be known of 2023-12-01"):
        asked(experience=(date(2023, 12, 1), date(2024, 1, 1)))
    for wrong in (("2023-01-01", "2024-01-01"), (date(2023, 1, 1),)):
        with pytest.raises(InputError, match="not a pair of dates"):
            asked(experience=wrong)
    for day in ("2024-01-01", None):
        with pytest.raises(InputError, match="the effective date is a"):
            asked(effective=day)
    with pytest.raises(InputError, match="rating period must be above zero, got 'much'"):
        asked(volume="much")


def test_a_closed_book_must_say_its_volume() -> None:
    cells = [[50.0, 50.0] if row < 12 else [0.0, 0.0] for row in range(24)]
    triangle = claim_triangle(rows_of(cells), valuation=VALUED, start=date(2022, 1, 1))
    premium = pl.DataFrame(
        {"period": triangle.origins, "premium_at_current_level": [100.0] * 12 + [0.0] * 12}
    )
    with pytest.raises(InputError, match="give volume="):
        indicate(triangle, premium, NOTHING_OFF, effective=date(2024, 1, 1), draws=200)
    found = indicate(triangle, premium, NOTHING_OFF, effective=date(2024, 1, 1), draws=200,
                     volume=1200.0)  # fmt: skip
    assert found.facts["loss_ratio"] == pytest.approx(1.0, rel=1e-9)


def test_a_history_too_short_for_a_trend_is_completed_but_not_projected() -> None:
    triangle = steady(5)
    premium = pl.DataFrame({"period": triangle.origins, "premium_at_current_level": 100.0})
    with pytest.raises(InputError, match="5 months with premium carry no trend"):
        indicate(triangle, premium, NOTHING_OFF, effective=date(2024, 1, 1), draws=200)
    exposure = pl.DataFrame({"origin": triangle.origins, "exposure": 100.0})
    found = complete(triangle, exposure, draws=200)
    assert any("too short a history for a trend" in note for note in found.basis.notes)


def test_the_same_payments_give_the_same_bytes() -> None:
    """Threads add in any order; the sums must not show it, or no seed gives a table twice."""
    rng = np.random.default_rng(1)
    size = 400_000
    days = pl.Series(np.datetime64("2023-01-01") + rng.integers(0, 365, size)).cast(pl.Date)
    rows = pl.DataFrame({"incurred": days, "paid": days, "amount": rng.gamma(1, 1000.0, size)})
    made = [claim_triangle(rows, valuation=VALUED).table for _ in range(5)]
    made.append(claim_triangle(rows.reverse(), valuation=VALUED).table)
    assert all(one.equals(made[0]) for one in made)
    plain = rows.group_by(origin=pl.col("incurred").dt.truncate("1mo")).agg(
        amount=pl.col("amount").sum(), squared=(pl.col("amount") ** 2).sum()
    ).sort("origin")  # fmt: skip
    for ours, theirs in (("amount", "amount"), ("amount_squared", "squared")):
        np.testing.assert_allclose(made[0][ours].to_numpy(), plain[theirs].to_numpy(), rtol=1e-13)
    tiny = rows.with_columns(pl.col("amount") * 1e-9)
    small = claim_triangle(tiny, valuation=VALUED).table["amount_squared"]
    np.testing.assert_allclose(small.to_numpy(), 1e-18 * plain["squared"].to_numpy(), rtol=1e-12)


def test_months_that_move_together_do_so_in_the_rating_period() -> None:
    """On a very large book the chance left is τ of the months: L · τ · √Σw²."""
    rng = np.random.default_rng(6)
    cells = 1000 * rng.gamma(16, 1 / 16, (36, 1))
    triangle = triangle_of(cells)
    premium = pl.DataFrame({"period": triangle.origins, "premium_at_current_level": 1000.0})
    charge = large_charge(pl.Series([1.0]))  # claims of one yuan: no chance but the months'
    found = indicate(triangle, premium, NOTHING_OFF, effective=date(2024, 1, 1), large=charge,
                     volume=1e9, draws=5000)  # fmt: skip
    between = history(triangle, behind(triangle, 1000.0), dispersion=1.0).model.between
    assert between == pytest.approx(1 / 16, rel=0.5)
    shares = found.frames["rating_period"]["share"]
    wanted = found.facts["loss_ratio"] * (between * (shares**2).sum()) ** 0.5
    said = found.frames["sources"].filter(pl.col("source") == "process")["std_error"].item()
    assert said == pytest.approx(wanted, rel=0.05)
