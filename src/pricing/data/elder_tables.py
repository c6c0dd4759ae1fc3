"""The tables of an elder medical plan: offers of tiers and who took which, alarms of watches."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.columns import about, key, money, text

__all__ = ["TABLES", "TierOffers"]


class TierOffers(dy.Schema):
    """One row per person and alternative offered: the tiers of a plan, and `none` for taking none."""

    person_id = key("The person's number")
    alternative = dy.String(
        primary_key=True, **about("The tier offered, or `none`, which every person has")
    )
    price = money("Premium of the alternative a year, before any subsidy; 0 for `none`")
    subsidy = money("Subsidy to the person if this is taken, a year", optional=True)
    chosen = dy.Bool(**about("Whether the person took this alternative"))
    aware = dy.Bool(nullable=True, **about("Whether the person knew of the plan", optional=True))
    community = text("Community in which the price was set", optional=True)
    sex = text("Sex", optional=True)
    age = dy.Float64(
        min=0.0, max=120.0, nullable=True, **about("Age at the offer", "years", optional=True)
    )
    risk = money("Expected cost of the person a year under the plan's benefits", optional=True)

    @dy.rule()
    def whole_person(cls) -> pl.Expr:
        """`price` and alternative must read in every row of a person, each alternative once."""
        good = (pl.col("price") >= 0) & pl.col("price").is_finite() & pl.col("chosen").is_not_null()
        whole = good.fill_null(False).all() & pl.col("alternative").is_not_null().all()
        return (whole & (pl.col("alternative").n_unique() == pl.len())).over("person_id")

    @dy.rule()
    def subsidy_at_most_price(cls) -> pl.Expr:
        """`subsidy` must be at most the price, in every row of a person."""
        return (pl.col("subsidy") <= pl.col("price")).all().over("person_id")

    @dy.rule()
    def none_is_free(cls) -> pl.Expr:
        """`price` must be 0 for the alternative none; else every row of the person goes."""
        return ((pl.col("alternative") != "none") | (pl.col("price") == 0)).all().over("person_id")

    @dy.rule()
    def one_choice(cls) -> pl.Expr:
        """`chosen` must be true for exactly one alternative of a person."""
        return pl.col("chosen").sum().over("person_id") == 1

    @dy.rule()
    def none_is_offered(cls) -> pl.Expr:
        """`alternative` must hold none and a tier for each person."""
        none = pl.col("alternative") == "none"
        return none.any().over("person_id") & (~none).any().over("person_id")

    @dy.rule()
    def unaware_takes_none(cls) -> pl.Expr:
        """`chosen` must not be a tier for a person who did not know of the plan."""
        tier = pl.col("chosen") & (pl.col("alternative") != "none")
        return (pl.col("aware") | ~tier).all().over("person_id")


TABLES: dict[str, type[dy.Schema]] = {"tier_offers": TierOffers}
