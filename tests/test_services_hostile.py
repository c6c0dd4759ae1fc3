"""Services, read by a hostile second reader: errors that go together, cells nobody uses, text for numbers."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.services.break_even import service_break_even
from pricing.services.cost import service_cost
from pricing.services.price import service_price
from pricing.services.queue import busy_rate, erlang_b, erlang_c, servers_needed
from pricing.services.service import Service, ServicePlan
from pricing.services.staffing import ResponseStandard, staff_for, waiting_by_staff
from pricing.services.use import service_use

START, END = date(2023, 1, 1), date(2024, 1, 1)
EDGES = [18, 40, 60]


def book(n=400, seed=5):
    """Members of whom some are heavy users of both services."""
    random = np.random.default_rng(seed)
    heavy = random.gamma(0.5, 2.0, n)
    members = pl.DataFrame({
        "policy_id": [f"m{i}" for i in range(n)], "sex": np.where(random.random(n) < 0.5, "male", "female"),
        "birth_date": pl.Series(random.integers(-9000, 12000, n)).cast(pl.Int32).cast(pl.Date),
        "start": [START] * n, "end": [END] * n,
    })  # fmt: skip
    who = [np.repeat(np.arange(n), random.poisson(2.0 * heavy)) for _ in "ab"]
    uses = pl.concat([
        pl.DataFrame({"policy_id": [f"m{i}" for i in w], "service": name, "day": date(2023, 6, 1), "cost": 30.0},
                     schema_overrides={"policy_id": pl.String})
        for name, w in zip("ab", who, strict=True)
    ])  # fmt: skip
    return members, uses


def counted(members, uses, names):
    return service_use(members, uses, services=names, start=START, end=END, edges=EDGES)


def plan(*names, unit_cost=30.0):
    return ServicePlan(
        name="p", services=[Service(name=n, use=0.0, unit_cost=unit_cost) for n in names]
    )


PEOPLE = pl.DataFrame({"sex": ["male", "female", "male"], "age": [30, 50, 65], "insured": [7, 5, 3]})  # fmt: skip


def test_the_error_of_the_whole_is_that_of_the_services_as_one():
    members, uses = book()
    apart = service_cost(plan("a", "b"), PEOPLE, use=counted(members, uses, ["a", "b"]), edges=EDGES)  # fmt: skip
    one = uses.with_columns(service=pl.lit("ab"))
    whole = service_cost(plan("ab"), PEOPLE, use=counted(members, one, ["ab"]), edges=EDGES)
    for name in ("cost_per_insured", "cost_lower", "cost_upper"):
        assert apart.facts[name] == pytest.approx(whole.facts[name], rel=1e-9)
    own = apart.frames["services"].select(pl.col("cost_upper") - pl.col("cost_per_insured"))
    alone = float((own.to_series() ** 2).sum()) ** 0.5
    assert apart.facts["cost_upper"] - apart.facts["cost_per_insured"] > 1.2 * alone


def test_a_cell_nobody_used_is_not_known_exactly():
    members, uses = book(60)
    seen = counted(members, uses.filter(pl.col("service") == "a"), ["a", "b"])
    none = seen.table.filter(pl.col("service") == "b")
    assert none["cost_upper"].null_count() == none.height
    found = service_cost(plan("a", "b"), PEOPLE, use=seen, edges=EDGES).table
    exposure = none.select("age_band", "sex", e="exposure").with_columns(pl.col("sex").cast(pl.String))  # fmt: skip
    held = found.filter(pl.col("service") == "b").join(exposure, on=["age_band", "sex"])
    np.testing.assert_allclose(held["cost_upper"], 30 * 1.959964 / held["e"], rtol=1e-6)
    assert held["cost_lower"].to_list() == [0.0] * held.height
    nobody = counted(members, uses.clear(), ["a"])
    assert "0.00" in nobody.finding("en")


def test_a_thousand_servers_near_their_limit():
    from scipy.special import gammaincc
    from scipy.stats import poisson

    for c, load in ((1, 0.999999), (5000, 4999.0), (5000, 4999.9999), (5000, 4000.0)):
        b = poisson.pmf(c, load) / gammaincc(c + 1, load)
        assert erlang_b(load, c)[0] == pytest.approx(b, rel=1e-6, abs=1e-300)
        assert erlang_c(load, c)[0] == pytest.approx(c * b / (c - load * (1 - b)), rel=1e-6)
    need = int(servers_needed(4999.9999, time=0.5, handling=8.0, share=0.8)[0])
    for c, good in ((need, True), (need - 1, False)):
        late = erlang_c(4999.9999, c)[0] * np.exp(-(c - 4999.9999) * 0.5 / 8.0)
        assert bool(late <= 0.2) is good


def test_text_and_the_impossible_are_refused():
    standard = ResponseStandard(within=0.5, share=0.8, handling=8.0)
    cost = service_cost(plan("a"), PEOPLE, edges=EDGES)
    members, uses = book(10)
    text = pl.DataFrame({"age_band": ["18-39", "40-59", "60+"], "claims_cost": ["9", "x", "1"]})
    premiums = text.rename({"claims_cost": "gross_premium"})
    for said, wrong in (
        ("must be a number", lambda: erlang_c("10", 12)),
        ("must be a number", lambda: erlang_c([True], 12)),
        ("nobody calls", lambda: busy_rate(100.0, cv=40.0, quantile=0.5)),
        ("24 numbers", lambda: staff_for(1e6, standard, pattern=["1"] * 24)),
        ("whole number", lambda: waiting_by_staff(60.0, standard, most="9")),
        ("content must be", lambda: plan("a").scaled("2")),
        ("level must lie", lambda: service_cost(plan("a"), PEOPLE, level="0.95")),
        ("not a number", lambda: service_break_even(cost, text)),
        ("not a number", lambda: service_price(cost, premiums, loading=0.3, on=START)),
        ("not a number", lambda: counted(members, uses.cast({"cost": pl.String}), ["a", "b"])),
    ):
        with pytest.raises(InputError, match=said):
            wrong()
