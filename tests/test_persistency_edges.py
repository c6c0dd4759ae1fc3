"""Renewals where tables are odd: dates that slip, rows that are lost, names of ours, few who leave."""

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.persistency.discontinuity import price_discontinuity
from pricing.persistency.instrument import instrumented_price
from pricing.persistency.lapse_value import lapse_value
from pricing.persistency.persistency import cumulative_persistency, persistency, price_band
from pricing.persistency.renewal_model import fit_renewal, renewal_elasticity
from pricing.persistency.renewals import renewal_offers

WINDOW = (date(2022, 1, 1), date(2025, 1, 1))


def tables() -> dict[str, pl.DataFrame]:
    """Policy a lapses at its first anniversary, b and c stay, each with an offer a year."""
    start = date(2022, 5, 1)
    policies = pl.DataFrame({
        "policy_id": ["a", "b", "c"], "start": [start] * 3,
        "end": [date(2023, 5, 1), date(2025, 1, 1), date(2025, 1, 1)],
        "exit_cause": ["lapse", None, None],
    })  # fmt: skip
    years = pl.DataFrame({"policy_id": ["a", *"bbb", *"ccc"], "policy_year": [0, *(0, 1, 2) * 2]})
    renewals = years.with_columns(
        start=pl.lit(start).dt.offset_by(pl.col("policy_year").cast(pl.String) + "y"),
        health_group=pl.lit("G0"), standard_premium=pl.lit(100.0),
    )  # fmt: skip
    offers = pl.DataFrame({
        "policy_id": [*"abbcc"], "policy_year": [1, 1, 2, 1, 2], "health_group": "G0",
        "standard_premium": 110.0, "renewed": [False, True, True, True, True],
    })  # fmt: skip
    return {"policies": policies, "renewals": renewals, "offers": offers}


def ended(table: pl.DataFrame, policy: str, day: date, cause: str = "lapse") -> pl.DataFrame:
    own = pl.col("policy_id") == policy
    return table.with_columns(
        end=pl.when(own).then(pl.lit(day)).otherwise("end"),
        exit_cause=pl.when(own).then(pl.lit(cause)).otherwise("exit_cause"),
    )


def counted(found) -> dict[str, int]:
    table = found.account.table.filter(pl.col("policy_years") > 0)
    return dict(table.select("outcome", "policy_years").rows())


PLAIN = {"renewed": 4, "left_at_renewal": 1, "due_outside_window": 2}


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("renewals", {"policy_year": pl.lit(None, pl.Int64)}, "policy_year is null or below 0"),
        ("renewals", {"policy_year": pl.col("policy_year") - 1}, "null or below 0 in 3 rows"),
        ("renewals", {"policy_year": pl.col("policy_year").cast(pl.Float64)}, "policy_year is Float64, not a whole"),
        ("renewals", {"policy_year": pl.col("policy_year").cast(pl.String)}, "policy_year is String, not a whole"),
        ("renewals", {"start": pl.col("start").dt.offset_by("40d")}, "7 rows do not start at the anniversary"),
        ("renewals", {"start": pl.lit(None, pl.Date)}, "7 rows do not start at the anniversary"),
        ("renewals", {"start": pl.col("start").cast(pl.String)}, "renewals: start is String, not a date"),
        ("renewals", {"policy_id": pl.lit(1)}, "policy_id is Int32, in policies String|a whole number, in"),
        ("policies", {"policy_start": pl.lit(date(2021, 1, 1))}, "policies: policy_start has a name of ours"),
        ("renewals", {"policy_end": pl.lit(date(2021, 1, 1)), "_start": pl.lit(1)}, "renewals: policy_end, _start has"),
        ("policies", {"end": pl.col("end").cast(pl.String)}, "policies: end is String, not a date"),
        ("offers", {"renewed": pl.lit(None, pl.Boolean)}, "renewed is null, or neither 0 nor 1, in 5 rows"),
        ("offers", {"renewed": pl.lit("yes")}, "renewed is String, neither yes or no"),
        ("offers", {"policy_year": pl.lit(0)}, "offers: "),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read_are_refused(table, change, said):
    given = tables()
    given[table] = given[table].with_columns(**change)
    with pytest.raises(InputError, match=said):
        renewal_offers(*given.values(), observed=WINDOW)


@pytest.mark.parametrize(
    ("observed", "offered", "said"),
    [
        (("2022-01-01", "2025-01-01"), None, "observed is a first and a last day"),
        (WINDOW, 1.05, "offered= is a mapping"),
        (WINDOW, {"standard_premium": 105.0}, "offered= is a mapping"),
    ],
)
def test_requests_of_the_wrong_kind_are_refused(observed, offered, said):
    given = tables()
    with pytest.raises(InputError, match=said):
        renewal_offers(given["policies"], given["renewals"], observed=observed, offered=offered)
    with pytest.raises(InputError, match="policies is a LazyFrame"):
        renewal_offers(given["policies"].lazy(), given["renewals"], observed=WINDOW)  # type: ignore[arg-type]


def test_kinds_of_dates_and_of_names_change_nothing():
    given = tables()
    plain = renewal_offers(*given.values(), observed=WINDOW)
    assert counted(plain) == PLAIN
    other = tables()
    other["policies"] = other["policies"].with_columns(
        pl.col("start", "end").cast(pl.Datetime), pl.col("policy_id").cast(pl.Enum(["a", "b", "c"]))
    )
    other["renewals"] = other["renewals"].with_columns(pl.col("policy_year").cast(pl.UInt8))
    again = renewal_offers(*other.values(), observed=(datetime(2022, 1, 1), datetime(2025, 1, 1)))
    assert again.rows.equals(plain.rows)


def test_the_cause_of_the_exit_is_that_of_the_policy():
    """A column of that name among the policy years took its place unsaid."""
    given = tables()
    given["renewals"] = given["renewals"].with_columns(exit_cause=pl.lit("death"))
    assert counted(renewal_offers(*given.values(), observed=WINDOW)) == PLAIN


def test_policies_without_a_policy_year_are_told():
    given = tables()
    alone = given["policies"].head(1).with_columns(policy_id=pl.lit("z"))
    found = renewal_offers(
        pl.concat([given["policies"], alone]), given["renewals"], observed=WINDOW
    )
    assert any("1 policies have no policy year" in note for note in found.account.basis.notes)
    plain = renewal_offers(given["policies"], given["renewals"], observed=WINDOW)
    assert not any("no policy year in" in note for note in plain.account.basis.notes)


def test_policy_years_after_the_end_are_refused():
    given = tables()
    gone = ended(given["policies"], "b", date(2022, 9, 1))
    with pytest.raises(
        InputError, match="2 policy years begin on or after the end of their policy"
    ):
        renewal_offers(gone, given["renewals"], observed=WINDOW)


def test_lapses_close_to_an_anniversary_are_told():
    """Grace: who does not pay at the anniversary and lapses days later was counted as renewed unsaid."""
    given = tables()
    late = renewal_offers(ended(given["policies"], "b", date(2024, 5, 31)), given["renewals"], observed=WINDOW)  # fmt: skip
    assert counted(late)["renewed"] == 4
    assert counted(late).get("due_outside_window", 0) == 2
    window = (date(2022, 1, 1), date(2026, 1, 1))
    stay = given["policies"].with_columns(end=pl.when(pl.col("end") > date(2024, 1, 1)).then(pl.lit(date(2025, 5, 1))).otherwise("end"),
                                          exit_cause=pl.lit("lapse"))  # fmt: skip
    for day, said in (
        (date(2024, 5, 31), "1 lapses within 60 days after an anniversary count as renewed"),
        (date(2025, 4, 20), "1 lapses within 60 days before an anniversary count as no offer"),
    ):
        found = renewal_offers(ended(stay, "b", day), given["renewals"], observed=window)
        assert [n for n in found.account.basis.notes if said in n]
        assert counted(found)["ended_by_lapse"] == 1
    none = renewal_offers(ended(stay, "b", date(2024, 12, 1)), given["renewals"], observed=window)
    assert not [n for n in none.account.basis.notes if "within 60 days" in n]


@pytest.mark.parametrize("end", [date(2021, 2, 28), date(2021, 3, 1)])
def test_who_began_on_a_leap_day_may_end_on_either_day(end):
    policies = pl.DataFrame({"policy_id": ["a", "b"], "start": [date(2020, 2, 29)] * 2,
                             "end": [end, date(2022, 1, 1)], "exit_cause": ["lapse", "death"]})  # fmt: skip
    renewals = pl.DataFrame({
        "policy_id": ["a", "b", "b"], "policy_year": [0, 0, 1],
        "start": [date(2020, 2, 29), date(2020, 2, 29), end], "health_group": "G0",
        "standard_premium": 100.0,
    })  # fmt: skip
    found = renewal_offers(policies, renewals, observed=(date(2020, 1, 1), date(2021, 6, 1)))
    assert found.rows.select("policy_id", "renewed").rows() == [("a", 0), ("b", 1)]


@pytest.mark.parametrize("rise", [0.05, 0.10, 0.15, 0.20, -0.05, -0.10])
def test_a_round_rise_lies_in_the_band_that_begins_with_it(rise):
    """ln 1.1 rounded to 0.095 was below the edge at 10 %, and every such rise in the band under it."""
    given = tables()
    offered = {"standard_premium": pl.col("standard_premium") * (1 + rise)}
    found = renewal_offers(given["policies"], given["renewals"], observed=WINDOW, offered=offered)
    edges = (-0.10, -0.05, 0.0, 0.05, 0.10, 0.15, 0.20)
    for step in (0.001, 0.0):
        cells = found.cells(["price_change"], price_step=step)
        bands = cells.with_keys(price_band=price_band(edges, price_step=step))
        (name,) = persistency(bands, "price_band").table["price_band"].cast(pl.String).to_list()
        assert name.startswith((f"[{100 * rise:g}%", f"≥ {100 * rise:g}%"))


def test_edges_that_are_one_are_refused():
    with pytest.raises(InputError, match="agree in 10 digits"):
        price_band((0.1, 0.1 + 1e-14))
    with pytest.raises(InputError, match="price_step is a small fraction"):
        price_band(price_step=2.0)


@pytest.mark.parametrize("years", [[-1, 0], [0.0, 0.5]])
def test_policy_years_that_are_none_are_refused(years):
    rows = pl.DataFrame({"policy_year": years, "exposure": 1.0, "claims": 1})
    with pytest.raises(InputError, match="not everywhere a whole number"):
        cumulative_persistency(Experience.collect(rows, ["policy_year"]))


def drawn(n: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(5)
    return pl.DataFrame({
        "health_group": rng.choice(["G0", "G1"], n), "renewed": (rng.random(n) < 0.8).astype(int),
        "expected_amount": rng.gamma(2.0, 50.0, n), "premium_offered": 150.0,
    })  # fmt: skip


@pytest.mark.parametrize("name", ["total", "offers", "leavers", "risk_band", "e1", "m1", "_e", "_left"])  # fmt: skip
def test_who_leaves_by_a_factor_of_any_name(name):
    """A factor called total was overwritten: one level of all offers."""
    rows = drawn()
    expected = lapse_value(rows)
    found = lapse_value(rows.rename({"health_group": name}), name)
    assert found.table.drop("factor").equals(expected.table.drop("factor"))
    assert found.frames["risk_bands"].equals(expected.frames["risk_bands"])
    assert found.table["factor"].to_list() == ["total", name, name]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_who_leaves_is_said_where_there_is_no_interval(lang):
    rows = drawn()
    one = lapse_value(rows.with_columns(renewed=(pl.int_range(pl.len()) != 3).cast(pl.Int64)))
    assert one.facts["lower"] is None
    assert f"{one.facts['selection_index']:.2f}" in one.finding(lang)
    none = lapse_value(rows.with_columns(expected_amount=pl.lit(0.0)))
    assert none.facts["selection_index"] is None
    assert "12,150" in none.finding(lang)
    assert one.figure(lang).data
    assert none.figure(lang).data


@pytest.mark.parametrize(
    ("change", "by", "said"),
    [
        ({"renewed": pl.lit("yes")}, "health_group", "renewed is String"),
        ({"health_group": pl.lit("total")}, "health_group", "has a level called total"),
        ({}, [], "names no factor"),
    ],
)
def test_who_leaves_refusals(change, by, said):
    with pytest.raises(InputError, match=said):
        lapse_value(drawn().with_columns(**change), by)


def test_prices_asked_of_in_the_wrong_kind_are_refused():
    rng = np.random.default_rng(2)
    x, z = rng.choice([-0.05, 0.0, 0.05], 2_000), rng.choice([0.0, 0.05], 2_000)
    y = (rng.random(2_000) < 1 / (1 + np.exp(-1.5 + 5 * x))).astype(int)
    rows = pl.DataFrame({"price_change": x, "filed": z, "exposure": 1.0, "claims": y, "amount": y * 1.0, "renewed": y})  # fmt: skip
    cells = Experience.collect(rows, ["price_change", "filed"], amount="amount")
    model = fit_renewal(cells, "price_change")
    with pytest.raises(InputError, match="errors='nope' is not offered"):
        renewal_elasticity(model, cells, errors="nope")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="least_f is a number"):
        instrumented_price(cells, "filed", least_f="10")  # type: ignore[arg-type]
    for given, said in (({"level": "x"}, "a confidence level"), ({"bandwidth": "x"}, "bandwidth is a number")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            price_discontinuity(rows.with_columns(v=pl.int_range(pl.len())), "v", 1000, **given)
