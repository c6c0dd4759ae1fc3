"""Indicated rate change: re-adds, recovers what is true, refuses what it cannot use."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from pricing.data.lives import live
from pricing.data.truth import BookParameters
from pricing.errors import InputError
from pricing.estimate.pooled_relativities import pooled_relativities
from pricing.loss_ratio.complement import Complement, credibility_of, trended_present_rates
from pricing.loss_ratio.indication import WHOLE, Indication, indicate
from pricing.loss_ratio.large_charge import large_charge
from pricing.loss_ratio.permissible import permissible_loss_ratio
from pricing.loss_ratio.rating_period import rating_period
from pricing.losses.large import cap_claims
from pricing.premium.on_level import on_level
from pricing.reserving.completion import complete
from pricing.reserving.triangle import Triangle, claim_triangle
from pricing.result.shape import Result

VALUED = date(2023, 12, 31)
CHANGES = pl.DataFrame(
    {"day": [date(y, 1, 1) for y in range(2019, 2026)], "change": [BookParameters().inflation] * 7}
)
PERMISSIBLE = permissible_loss_ratio(commission=0.2, margin=0.05, fixed_expense=0.05)
CAP = 50_000.0


class Book:
    """A huoli book, cut at the valuation, with its future beside it."""

    def __init__(self, seed: int, policies: int, by: str = "tier") -> None:
        parts = [
            live(BookParameters(), policies=min(50_000, policies), seed=seed, part=part)
            for part in range(-(-policies // 50_000))
        ]
        years, claims = [], []
        for lives in parts:
            issued = lives.issued.select("policy", "tier", "region")
            terms = lives.years.drop("tier").join(issued, on="policy")
            years.append(terms)
            key = terms.select("policy", by, term="start", left="end")
            within = (pl.col("incurred") >= pl.col("term")) & (pl.col("incurred") < pl.col("left"))
            claims.append(lives.claims.join(key, on="policy").filter(within))
        self.by, self.years, self.claims = by, pl.concat(years), pl.concat(claims)
        self.known = self.claims.filter(pl.col("paid") <= VALUED)

    def premium(self) -> pl.DataFrame:
        terms = self.years.select("start", "end", self.by, premium="standard_premium")
        found = on_level(
            terms, CHANGES, valuation=VALUED, grain="month", by=[self.by], current=VALUED
        )
        return found.table

    def triangle(self, cap: float = CAP) -> Triangle:
        capped = cap_claims(self.known, cap).with_columns(amount="amount_capped")
        return claim_triangle(capped, valuation=VALUED, by=[self.by])

    def indication(self, **options: object) -> Indication:
        asked: dict[str, object] = {
            "effective": date(2024, 1, 1),
            "experience": (date(2021, 1, 1), date(2024, 1, 1)),
            "by": self.by,
            "large": large_charge(self.known["amount"], cap=CAP),
            "volume": self.in_force(),
            "draws": 1000,
        }
        return indicate(self.triangle(), self.premium(), PERMISSIBLE, **(asked | options))  # type: ignore[arg-type]

    def in_force(self) -> float:
        """Annual premium in force at the valuation, which is at current level but for renewals due."""
        covered = (pl.col("start") <= VALUED) & (pl.col("end") > VALUED)
        return float(self.years.filter(covered)["standard_premium"].sum())

    def future(self) -> dict[str, float]:
        """Loss ratio at the level of the valuation of the policy years that begin in 2024."""
        to_level = 1 / (1 + BookParameters().inflation)
        year = (pl.col("end") - pl.col("start")).dt.total_days() / 365.25
        terms = self.years.filter(pl.col("start").dt.year() == 2024)
        premium = terms.group_by(self.by).agg(
            premium=(pl.col("standard_premium") * to_level * year).sum()
        )
        paid = self.claims.filter(pl.col("term").dt.year() == 2024)
        both = premium.join(
            paid.group_by(self.by).agg(pl.col("amount").sum()), on=self.by, how="left"
        )
        total = both.select(pl.lit(WHOLE).alias(self.by), pl.col("premium", "amount").sum())
        whole = pl.concat([both, total])
        ratio = (whole["amount"] / whole["premium"]).to_list()
        return dict(zip(whole[self.by], ratio, strict=True))


@pytest.fixture(scope="module")
def book() -> Book:
    return Book(seed=3, policies=20_000)


@pytest.fixture(scope="module")
def indication(book: Book) -> Indication:
    return book.indication()


def test_the_indication_adds_up_to_the_cent(indication: Indication) -> None:
    steps = indication.frames["steps"]
    money = ["paid", "unpaid", "trend", "pooling", "credibility_effect"]
    assert steps["segment"].to_list() == [WHOLE, "basic", "premium", "standard"]
    apart = steps.select(pl.sum_horizontal(money) - pl.col("projected_claims")).to_series()
    assert apart.abs().max() < 0.005
    numbers = steps.drop("segment")
    gap = numbers[0].to_numpy() - numbers[1:].sum().to_numpy()
    assert np.abs(gap).max() < 0.005
    ratio = indication.table["loss_ratio"].to_numpy()
    held = steps["premium_at_current_level"].to_numpy()
    np.testing.assert_allclose(steps["projected_claims"].to_numpy(), ratio * held, rtol=1e-12)
    change = steps["change"].to_numpy() / held
    np.testing.assert_allclose(change, indication.table["indicated_change"].to_numpy(), rtol=1e-9)


def test_the_projected_ratio_is_the_textbook_s(book: Book, indication: Indication) -> None:
    """Completed, trended month by month, over premium at current level: by hand."""
    months = indication.frames["months"].filter(pl.col("month") >= date(2021, 1, 1))
    period = indication.frames["rating_period"]
    coefficients, axis = indication.details["coefficients"], indication.details["axis"]

    def line(month: date) -> float:
        last = date(month.year + month.month // 12, month.month % 12 + 1, 1)
        years = ((month - date(2000, 1, 1)).days + (last - month).days / 2) / 365.25
        return float(np.exp(coefficients[0] + coefficients[1] * (years - axis["centre"])))

    ahead = sum(s * line(m) for m, s in period.iter_rows())
    rate = np.array([line(m) for m in months["month"]])
    paid, premium, complete_ = (
        months[n].to_numpy() for n in ("paid", "premium_at_current_level", "complete")
    )
    level = (paid / rate).sum() / (premium * complete_).sum()
    completed = paid + (1 - complete_) * premium * level * rate
    projected = (completed * ahead / rate).sum() / premium.sum()
    charge = large_charge(book.known["amount"], cap=CAP).factor
    assert indication.facts["loss_ratio"] == pytest.approx(projected * charge, rel=1e-10)


def test_it_says_and_keeps_itself(indication: Indication, tmp_path: object) -> None:
    for lang in ("en", "zh"):
        assert "2024-01-01" in indication.finding(lang)  # type: ignore[arg-type]
        assert indication.figure(lang).data  # type: ignore[arg-type]
        assert indication.tornado.figure(lang).data  # type: ignore[arg-type]
    indication.save(f"{tmp_path}/kept")
    again = Result.load(f"{tmp_path}/kept")
    assert isinstance(again, Indication)
    assert again.table.equals(indication.table)
    assert again.finding("zh") == indication.finding("zh")


def test_same_seed_same_figures(book: Book, indication: Indication) -> None:
    assert book.indication().table.equals(indication.table)
    assert not book.indication(seed=2).table["lower"].equals(indication.table["lower"])


def test_units_and_order_do_not_matter(book: Book, indication: Indication) -> None:
    fen = book.known.with_columns(pl.col("amount") * 100).sample(fraction=1, shuffle=True, seed=1)
    capped = cap_claims(fen, CAP * 100).with_columns(amount="amount_capped")
    triangle = claim_triangle(capped, valuation=VALUED, by=["tier"])
    premium = book.premium().with_columns(pl.col("premium_at_current_level") * 100)
    again = indicate(
        triangle,
        premium.sample(fraction=1, shuffle=True, seed=2),
        PERMISSIBLE,
        effective=date(2024, 1, 1),
        experience=(date(2021, 1, 1), date(2024, 1, 1)),
        by="tier",
        large=large_charge(fen["amount"], cap=CAP * 100),
        volume=book.in_force() * 100,
        draws=1000,
    )
    for name in ("indicated_change", "lower", "upper", "std_error"):
        np.testing.assert_allclose(
            again.table[name].to_numpy(), indication.table[name].to_numpy(), rtol=1e-7
        )


def test_a_complement_pulls_and_widens_as_it_should(book: Book, indication: Indication) -> None:
    near = book.indication(complement=Complement("industry", 0.60, 0.02))
    z = near.facts["credibility"]
    assert 0 < z < 1
    own = near.facts["loss_ratio_own"]
    assert own == pytest.approx(indication.facts["loss_ratio"], rel=1e-12)
    assert near.facts["loss_ratio"] == pytest.approx(z * own + (1 - z) * 0.60, rel=1e-12)
    assert near.facts["std_error"] < indication.facts["std_error"]
    assert "credibility" in near.frames["sources"]["source"]
    assert "credibility" not in indication.frames["sources"]["source"]
    given = book.indication(complement=Complement("industry", 0.60, 0.02), credibility=0.25)
    assert given.facts["credibility"] == 0.25
    by_count = book.indication(
        complement=Complement("industry", 0.60, 0.02), credibility="limited_fluctuation"
    )
    assert 0 < by_count.facts["credibility"] <= 1
    steps = near.frames["steps"]
    money = ["paid", "unpaid", "trend", "pooling", "credibility_effect"]
    apart = steps.select(pl.sum_horizontal(money) - pl.col("projected_claims")).to_series()
    assert apart.abs().max() < 0.005


def test_each_source_alone_is_narrower_than_all(indication: Indication) -> None:
    sources = indication.frames["sources"]
    every = sources.filter(pl.col("source") == "all")["std_error"].item()
    assert sources.filter(pl.col("source") != "all")["std_error"].max() < every
    assert sources["share"].sum() == pytest.approx(1.0)
    assert sources["source"].to_list()[-1] == "all"


def test_a_known_trend_is_carried_forward() -> None:
    """Claims that grow 6 % a year against flat premium, paid at once, without chance."""
    months = pl.date_range(date(2020, 1, 1), date(2023, 12, 1), "1mo", eager=True)
    middle = [
        (m - date(2020, 1, 1)).days + (n - m).days / 2
        for m, n in zip(months, [*months[1:], date(2024, 1, 1)], strict=True)
    ]
    amount = [100.0 * 1.06 ** (d / 365.25) for d in middle]
    paid = pl.DataFrame({"incurred": months, "paid": months, "amount": amount})
    triangle = claim_triangle(paid, valuation=VALUED)
    premium = pl.DataFrame({"period": months, "premium_at_current_level": 200.0})
    found = indicate(triangle, premium, permissible_loss_ratio(commission=0.3),
                     effective=date(2024, 7, 1), draws=200)  # fmt: skip
    reach = sum(
        s * 1.06 ** (((m - date(2020, 1, 1)).days + 15.2) / 365.25)
        for m, s in found.frames["rating_period"].iter_rows()
    )
    assert found.facts["loss_ratio"] == pytest.approx(0.5 * reach, rel=2e-4)
    assert found.table.height == 1


def test_the_rating_period_is_the_parallelogram() -> None:
    weights = rating_period(date(2024, 1, 1))
    assert sum(weights.values()) == pytest.approx(1)
    quarter = sum(w for day, w in weights.items() if day < date(2024, 7, 1))
    assert quarter == pytest.approx((182 / 366) * (182 / 365) / 2, rel=1e-9)
    late = rating_period(date(2024, 2, 29), in_force_months=6, term_months=24)
    assert sum(late.values()) == pytest.approx(1)
    assert min(late) == date(2024, 2, 1)
    with pytest.raises(InputError, match="in_force_months = 0"):
        rating_period(date(2024, 1, 1), in_force_months=0)


def test_pooled_relativities_meet_their_limits() -> None:
    rng = np.random.default_rng(1)
    sure = pooled_relativities(np.array([0.5, 1.5]), np.full(2, 1e-8), draws=2000, rng=rng)
    np.testing.assert_allclose(sure.mean, [0.5, 1.5], atol=1e-4)
    nothing = pooled_relativities(np.array([0.2, 2.5]), np.full(2, 1e6), draws=2000, rng=rng)
    np.testing.assert_allclose(nothing.mean, 1.0, atol=1e-3)
    assert (nothing.credibility < 0.01).all()
    with pytest.raises(InputError, match="cannot be pooled"):
        pooled_relativities(np.array([np.nan]), np.ones(1), draws=10, rng=rng)


def test_pooled_relativities_hold_the_truth() -> None:
    """Segments drawn from the model: their 90 % interval holds them 90 % of the time."""
    rng = np.random.default_rng(5)
    inside = []
    for _ in range(300):
        between = np.abs(0.25 * rng.standard_normal())
        true = 1 + between * rng.standard_normal(4)
        variance = rng.uniform(0.002, 0.02, 4)
        seen = true + np.sqrt(variance) * rng.standard_normal(4)
        found = pooled_relativities(seen, variance, draws=400, rng=rng)
        low, high = np.quantile(found.draws, [0.05, 0.95], axis=0)
        inside += ((low <= true) & (true <= high)).tolist()
    assert 0.875 < np.mean(inside) < 0.925


def test_complements() -> None:
    with pytest.raises(InputError, match="std_error = 0"):
        Complement("industry", 0.7, 0)
    with pytest.raises(InputError, match="no name"):
        Complement(" ", 0.7, 0.1)
    owed = trended_present_rates(
        0.7, trend=0.0, trend_error=0.0, since=date(2022, 1, 1), to=date(2022, 1, 1),
        indicated=0.10, taken=0.04,
    )  # fmt: skip
    assert owed.loss_ratio == pytest.approx(0.7 * 1.1 / 1.04)
    full = credibility_of("limited_fluctuation", owed, own_error=1, claims=1e9, spread=3)
    assert full == 1
    with pytest.raises(InputError, match="credibility = 2"):
        credibility_of(2.0, owed, own_error=1, claims=10, spread=3)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"draws": 5}, "5 draws"),
        ({"level": 1.0}, "confidence level"),
        ({"volume": -1.0}, "must be above zero"),
        ({"experience": (date(2023, 1, 1), date(2022, 1, 1))}, "not after its start"),
        ({"experience": (date(2030, 1, 1), date(2031, 1, 1))}, "no period from"),
        ({"effective": date(2001, 1, 1)}, "lie before the experience"),
        ({"by": "region"}, "lacks 'region'"),
        ({"lags": 0}, "0 lags"),
        ({"recent": 0}, "0 recent"),
        ({"seasonality": "week"}, "week"),
    ],
)
def test_what_cannot_be_indicated_is_refused(
    book: Book, change: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        book.indication(**change)


def test_premium_that_cannot_be_used_is_refused(book: Book) -> None:
    triangle, premium = book.triangle(), book.premium()

    def asked(frame: pl.DataFrame, by: str | None = "tier") -> Indication:
        return indicate(triangle, frame, PERMISSIBLE, effective=date(2024, 1, 1), by=by, draws=200)

    with pytest.raises(InputError, match="origins have no exposure"):
        asked(premium.filter(pl.col("period") != date(2022, 5, 1)))
    with pytest.raises(InputError, match="claims of segments without premium"):
        asked(premium.filter(pl.col("tier") != "basic"))
    nothing = pl.when(pl.col("tier") == "basic").then(None).otherwise("premium_at_current_level")
    with pytest.raises(InputError, match="empty value"):
        asked(premium.with_columns(premium_at_current_level=nothing))
    minus = premium.with_columns(premium_at_current_level=-pl.col("premium_at_current_level"))
    with pytest.raises(InputError, match="negative or not finite"):
        asked(minus, None)
    with pytest.raises(InputError, match="were paid on origins before"):
        asked(premium.filter(pl.col("period") > date(2020, 1, 1)), None)


def test_completion_holds_what_was_still_to_come(book: Book) -> None:
    premium = book.premium().group_by(origin="period").agg(
        exposure=pl.col("premium_at_current_level").sum()
    )  # fmt: skip
    found = complete(book.triangle(), premium, draws=1000)
    true = book.claims.filter(pl.col("incurred") <= VALUED)["amount"].clip(upper_bound=CAP).sum()
    assert found.facts["lower"] < true < found.facts["upper"]
    assert found.facts["paid"] < true


def test_chance_of_the_rating_period_is_its_closed_form(book: Book) -> None:
    """√(φ · L / volume + L² τ² Σw²), φ of whole claims at the rating period's money, over 1 − V."""
    found = book.indication(draws=2000, volume=None, in_force_months=6)
    months = found.frames["months"]["premium_at_current_level"]
    volume = months.tail(12).sum() / 2  # of half a year, at the pace of the last twelve months
    plain = complete(
        book.triangle(),
        book.premium().group_by(origin="period").agg(exposure=pl.col("premium_at_current_level").sum()),
        dispersion=large_charge(book.known["amount"], cap=CAP).capped_dispersion,
        draws=100,
    )  # fmt: skip
    charge, ratio = large_charge(book.known["amount"], cap=CAP), found.facts["loss_ratio"]
    period, slope = found.frames["rating_period"], found.details["coefficients"][1]
    last = date(2023, 12, 16)
    ahead = np.array([(m - last).days + 15.2 for m in period["month"]]) / 365.25
    growth = (np.exp(slope * ahead) * period["share"].to_numpy()).sum()
    phi = plain.facts["dispersion"] * charge.dispersion / charge.capped_dispersion * growth
    common = plain.facts["between"] * (period["share"] ** 2).sum()
    wanted = np.sqrt(phi * ratio / volume + ratio**2 * common) / (1 - 0.25)
    said = found.frames["sources"].filter(pl.col("source") == "process")["std_error"].item()
    assert said == pytest.approx(wanted, rel=0.06)


def test_limited_fluctuation_credibility_counts_claims_by_hand(book: Book) -> None:
    """√(n / n₀), n₀ = (1.645 / 0.05)² · E[X²] / E[X]² of whole claims."""
    charge = large_charge(book.known["amount"], cap=CAP)
    amount = book.known["amount"].to_numpy()
    full = (1.6448536 / 0.05) ** 2 * (amount**2).mean() / amount.mean() ** 2
    found = book.indication(
        complement=Complement("industry", 0.60, 0.02),
        credibility="limited_fluctuation",
        draws=100,
    )
    paid = complete(
        book.triangle(),
        book.premium().group_by(origin="period").agg(exposure=pl.col("premium_at_current_level").sum()),
        draws=100,
    ).facts["paid"]  # fmt: skip
    assert paid * charge.factor == pytest.approx(amount.sum(), rel=1e-6)
    assert found.facts["credibility"] == pytest.approx(
        min(1.0, (charge.claims / full) ** 0.5), rel=1e-3
    )


def test_the_error_of_the_present_rates_grows_with_the_years() -> None:
    found = trended_present_rates(
        0.7, trend=0.05, trend_error=0.02, since=date(2020, 1, 1), to=date(2024, 1, 1), std_error=0.03
    )  # fmt: skip
    years = 1461 / 365.25
    assert found.loss_ratio == pytest.approx(0.7 * 1.05**years)
    assert found.std_error == pytest.approx(
        found.loss_ratio * np.hypot(0.02 * years, 0.03), rel=1e-12
    )


@pytest.mark.slow
def test_the_intervals_hold_the_known_future() -> None:
    """300 huoli books of 100,000 policies cut at the end of 2023: docs/proof.md has the figures."""
    held: dict[str, list[bool]] = {name: [] for name in ("80", "95", "u80", "u95", "s80", "s95")}
    for seed in range(300):
        one = Book(seed=seed, policies=100_000)
        found, future = one.indication(seed=seed), one.future()
        for row in found.table.iter_rows(named=True):
            change = PERMISSIBLE.required(future[row["segment"]]) - 1
            kind = "" if row["segment"] == WHOLE else "s"
            held[f"{kind}80"].append(row["lower_80"] <= change <= row["upper_80"])
            held[f"{kind}95"].append(row["lower"] <= change <= row["upper"])
        premium = one.premium().group_by(origin="period").agg(
            exposure=pl.col("premium_at_current_level").sum()
        )  # fmt: skip
        facts = complete(one.triangle(), premium, draws=1000, seed=seed).facts
        known = one.claims.filter(pl.col("incurred") <= VALUED)
        true = known["amount"].clip(upper_bound=CAP).sum()
        held["u80"].append(facts["lower_80"] <= true <= facts["upper_80"])
        held["u95"].append(facts["lower"] <= true <= facts["upper"])
    share = {name: float(np.mean(values)) for name, values in held.items()}
    print(share)
    for name in ("80", "u80"):  # 300 books: the standard error of a share is 2.3 points, or 1.3
        assert 0.75 < share[name] < 0.87, share
    for name in ("95", "u95"):
        assert 0.92 < share[name] < 0.98, share
    assert 0.77 < share["s80"] < 0.84, share  # 900 segments
    assert 0.93 < share["s95"] < 0.975, share
