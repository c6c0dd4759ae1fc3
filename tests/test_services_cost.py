"""What services cost: by hand, by simulation with known truth, under every kind of bad input."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2

from pricing.data.check import check
from pricing.data.rates import RateTable, rate_table
from pricing.data.service_book import EDGES, SERVICES, ServiceTruth, simulate_services
from pricing.errors import InputError
from pricing.experience.lexis import Lexis
from pricing.experience.split import split_exposure
from pricing.result.words import catalogue
from pricing.services.activation import activated_service, activation_rates
from pricing.services.cost import service_cost
from pricing.services.green_channel import Channel, ChannelStep, green_channel
from pricing.services.service import Service, ServicePlan, require_population
from pricing.services.uptake import channel_uptake
from pricing.services.use import service_use

START, END = date(2024, 1, 1), date(2026, 1, 1)
COUNTED = ("video_consultation", "booking_help", "online_pharmacy", "check_up")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = simulate_services(
        tmp_path_factory.mktemp("services") / "book", members=12_000, seed=11
    )
    return tuple(pl.read_parquet(folder / n) for n in ("service_members", "service_uses"))


@pytest.fixture(scope="module")
def used(book):
    members, uses = book
    return service_use(
        members, uses, services=SERVICES, start=START, end=END, edges=EDGES, source="book"
    )


def people(*rows):
    return pl.DataFrame(rows, schema=["sex", "age", "insured"], orient="row")


def plan(*services):
    return ServicePlan(name="泰家医", services=services)


# -- use, counted -----------------------------------------------------------------------------------


def test_rates_hold_the_truth_that_made_the_rows(used):
    truth = ServiceTruth()
    inside = total = 0
    for i, service in enumerate(SERVICES):
        if service == "green_channel":
            continue
        part = used.table.filter(pl.col("service") == service)
        for row in part.iter_rows(named=True):
            band = part["age_band"].dtype.categories.to_list().index(row["age_band"])
            true = truth.rates[i] * truth.by_age[band]
            true *= truth.female[i] if row["sex"] == "female" else 1.0
            total += 1
            inside += row["rate_lower"] <= true <= row["rate_upper"]
    assert total == 48
    assert inside >= 42  # of 95 % intervals; 45.6 expected


def test_heavy_users_widen_the_interval(used):
    video = used.table.filter(pl.col("service") == "video_consultation")
    assert (video["use_dispersion"] > 1.5).all()
    n, e = video["uses"].to_numpy(), video["exposure"].to_numpy()
    plain = chi2.ppf(0.975, 2 * n + 2) / 2 / e
    assert (video["rate_upper"].to_numpy() > plain).all()


def test_poisson_use_has_the_exact_interval():
    members = pl.DataFrame(
        {
            "policy_id": [f"m{i}" for i in range(400)],
            "birth_date": [date(1980, 1, 1)] * 400,
            "sex": ["male"] * 400,
            "start": [START] * 400,
            "end": [date(2024, 12, 31)] * 400,
        }
    )
    uses = pl.DataFrame(
        {
            "policy_id": [f"m{i}" for i in range(9)],
            "service": ["陪诊"] * 9,
            "day": [date(2024, 3, 1)] * 9,
            "cost": [100.0] * 9,
        }
    )
    found = service_use(members, uses, services=["陪诊", "体检"], start=START, end=END)
    row = found.table.filter(pl.col("service") == "陪诊").row(0, named=True)
    e = row["exposure"]
    assert row["rate_lower"] == pytest.approx(chi2.ppf(0.025, 18) / 2 / e, rel=1e-6)
    assert row["rate_upper"] == pytest.approx(chi2.ppf(0.975, 20) / 2 / e, rel=1e-6)
    none = found.table.filter(pl.col("service") == "体检").row(0, named=True)
    assert (none["uses"], none["use_rate"], none["rate_lower"]) == (0, 0.0, 0.0)
    assert none["rate_upper"] == pytest.approx(-math.log(0.025) / e, rel=1e-6)
    assert none["unit_cost_seen"] is None


def test_order_of_rows_and_split_members_change_nothing(book, used):
    members, uses = book
    again = service_use(
        members.sample(fraction=1, shuffle=True, seed=1),
        uses.sample(fraction=1, shuffle=True, seed=2),
        services=SERVICES, start=START, end=END, edges=EDGES,
    )  # fmt: skip
    for name in ("exposure", "uses", "use_rate", "rate_upper", "cost_per_insured"):
        assert np.allclose(again.table[name].to_numpy(), used.table[name].to_numpy())


def test_uses_outside_cover_are_set_aside_and_counted(book):
    members, uses = book
    late = uses.head(5).with_columns(day=date(2031, 1, 1))
    strange = uses.head(3).with_columns(policy_id=pl.lit("nobody"))
    found = service_use(
        members,
        pl.concat([uses.head(1000), late, strange]),
        services=SERVICES,
        start=START,
        end=END,
    )
    assert found.facts["unmatched"] == found.frames["unmatched"]["uses"].sum() == 8
    assert found.facts["uses"] + found.facts["unmatched"] == 1008


def test_an_unknown_service_is_named(book):
    members, uses = book
    with pytest.raises(InputError, match="not in the plan; did you mean 'check_ups'") as said:
        service_use(members, uses, services=["check_ups", *SERVICES[:4]], start=START, end=END)
    assert "name every service of the rows" in str(said.value)
    with pytest.raises(InputError, match="named twice"):
        service_use(members, uses, services=["a", "a"], start=START, end=END)
    with pytest.raises(InputError, match="no members"):
        service_use(members.head(0), uses.head(0), services=SERVICES, start=START, end=END)
    with pytest.raises(InputError, match="'birth_date'"):
        service_use(members.drop("birth_date"), uses, services=SERVICES, start=START, end=END)
    with pytest.raises(InputError, match="below the first band"):
        service_use(members, uses, services=SERVICES, start=START, end=END, edges=[60, 70])


def test_one_age_band_is_enough(book):
    members, uses = book
    found = service_use(members, uses, services=SERVICES, start=START, end=END, edges=[0])
    assert found.table["age_band"].unique().to_list() == ["0+"]


def test_the_contract_holds_bad_rows_with_their_reason(book):
    members, uses = book
    bad = members.head(3).with_columns(
        end=pl.Series([date(2000, 1, 1), None, date(2027, 1, 1)]),
        birth_date=pl.Series([date(1980, 1, 1), date(1980, 1, 1), date(1800, 1, 1)]),
    )
    held = check(pl.concat([bad, members.slice(3, 5)]), "service_members")
    assert (held.accepted.height, held.rejected.height) == (5, 3)
    wrong = uses.head(2).with_columns(cost=pl.Series([-1.0, math.nan]))
    assert check(wrong, "service_uses").rejected.height == 2


# -- cost -------------------------------------------------------------------------------------------


def test_cost_is_use_times_cost_less_the_users_share():
    rates = RateTable(
        name="ours",
        rates=pl.DataFrame({"sex": ["female", "male"], "age": [40, 40], "rate": [0.5, 0.25]}),
    )
    found = service_cost(
        plan(
            Service(name="体检", use=rates, unit_cost=200.0, uptake=0.5, user_share=0.25),
            Service(name="问诊", use=2.0, unit_cost=10.0, scope=1.5, fixed_cost=300.0),
        ),
        people(("female", 40, 10), ("male", 40, 20)),
    )
    check_up = 150 * 0.5 * (10 * 0.5 + 20 * 0.25)
    assert found.facts["cost_total"] == pytest.approx(check_up + 30 * 3 * 10 + 300)
    assert found.facts["cost_per_insured"] * 30 == pytest.approx(found.facts["cost_total"])
    bands = found.frames["bands"]
    assert (bands["service_cost"] * bands["insured"]).sum() == pytest.approx(
        found.facts["cost_total"]
    )
    assert found.table["cost_lower"].null_count() == found.table.height
    for lang in ("en", "zh"):
        assert "体检" in [trace.name for trace in found.figure(lang).data]
        assert found.finding(lang)


def test_a_cell_split_in_two_is_the_same_cell():
    one = service_cost(
        plan(Service(name="a", use=1.0, unit_cost=7.0)), people(("male", 40, 10), ("male", 60, 4))
    )
    two = service_cost(
        plan(Service(name="a", use=1.0, unit_cost=7.0)),
        people(("male", 60, 4), ("male", 40, 3), ("male", 40, 7)),
    )
    assert one.table.equals(two.table)
    assert one.basis.fingerprint == two.basis.fingerprint


def test_counted_use_gives_cost_an_interval(used):
    services = [Service(name=n, use=0.0, unit_cost=10.0) for n in COUNTED]
    cells = people(("female", 35, 100), ("female", 38, 100), ("male", 65, 50))
    found = service_cost(plan(*services), cells, use=used, edges=EDGES)
    table = found.table
    assert (table["cost_lower"] < table["cost_per_insured"]).all()
    row = table.filter(service="check_up", age_band="30-39").row(0, named=True)
    seen = used.table.filter(service="check_up", age_band="30-39", sex="female").row(0, named=True)
    assert row["cost_per_insured"] == pytest.approx(10 * seen["use_rate"])
    wide = 1.959963985 * 10 * math.sqrt(seen["rate_variance"])
    assert row["cost_upper"] - row["cost_per_insured"] == pytest.approx(wide)
    with pytest.raises(InputError, match="other age bands"):
        service_cost(plan(*services), cells, use=used, edges=[0, 50])


def test_an_age_no_table_has_is_named_and_nothing_computed():
    channel = activated_service("重疾绿通", unit_cost=1000.0, uptake=0.5)
    with pytest.raises(InputError, match="no rate for") as said:
        service_cost(plan(channel), people(("male", 40, 10), ("female", 110, 1)))
    assert "重疾绿通: 1 cells, such as female aged 110" in str(said.value)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (people(), "there are no rows"),
        (people(("male", 40, 0)), "'insured' is not finite or not above zero in 1 of 1"),
        (people(("male", 40, math.nan)), "'insured'"),
        (people(("other", 40, 1)), "'sex' is neither"),
        (people((None, 40, 1)), "'sex' is neither"),
        (people(("male", 40.5, 1)), "'age' is not a whole number"),
        (
            people(("male", None, 1), ("male", 40, 1)),
            "'age' is not a whole number from 0 to 120 in 1",
        ),
        (people(("male", "forty", 1)), "'age' is String, not a number"),
        (people(("male", 40, 1)).drop("insured"), "'insured' is missing"),
    ],
)
def test_a_population_that_cannot_be_priced(frame, said):
    with pytest.raises(InputError, match="cannot be priced") as refused:
        require_population(frame)
    assert said in str(refused.value)
    with pytest.raises(InputError):
        service_cost(plan(Service(name="a", use=1.0, unit_cost=1.0)), frame)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"unit_cost": -1.0}, "unit_cost must be zero or more"),
        ({"unit_cost": "ten"}, "unit_cost must be zero or more, got 'ten'"),
        ({"unit_cost": math.nan}, "unit_cost"),
        ({"use": math.inf}, "use must be"),
        ({"use": -0.1}, "use must be"),
        ({"uptake": 1.01}, "uptake must lie in 0 to 1"),
        ({"user_share": 2.0}, "user_share must lie"),
        ({"fixed_cost": -5.0}, "fixed_cost"),
        ({"name": " "}, "needs a name"),
    ],
)
def test_terms_that_contradict_are_named(more, said):
    with pytest.raises(InputError, match="contradict") as refused:
        Service(**{"name": "a", "use": 1.0, "unit_cost": 1.0} | more)
    assert said in str(refused.value)


def test_a_service_named_twice_is_refused():
    one = Service(name="视频问诊", use=1.0, unit_cost=1.0)
    with pytest.raises(InputError, match="named twice: 视频问诊"):
        plan(one, one)
    with pytest.raises(InputError, match="one or more services"):
        plan()
    with pytest.raises(InputError, match="did you mean '视频问诊'"):
        plan(one).only(["视频问珍"])


# -- the green channel ------------------------------------------------------------------------------


def test_activation_is_the_tables_incidence():
    severe, minor = rate_table("cn_ci_2020", "ci4"), rate_table("cn_ci_2020_minor")
    cells = pl.DataFrame({"sex": ["male", "female"] * 3, "age": [30, 30, 45, 45, 60, 60]})
    found = cells.select(activation_rates(severe_scope=1.2, mild_scope=0.5).rate()).to_series()
    by_hand = cells.select(severe.rate() * (1.2 + 0.5 * minor.rate())).to_series()
    assert found.to_list() == pytest.approx(by_hand.to_list())


def test_minor_illnesses_beyond_60_are_said():
    at = pl.DataFrame({"sex": ["male"] * 2, "age": [60, 70]})
    last, none = (
        at.select(activation_rates(mild_beyond=how).rate()).to_series().to_list()
        for how in ("last", "none")
    )
    assert last[0] == none[0]
    assert last[1] == pytest.approx(0.031498 * 1.0548)
    assert none[1] == pytest.approx(0.031498)
    with pytest.raises(InputError, match="mild_beyond"):
        activation_rates(mild_beyond="guess")
    with pytest.raises(InputError, match="severe_scope"):
        activation_rates(severe_scope=-1)
    with pytest.raises(InputError):
        activation_rates(severe_scope=1000.0)  # incidence beyond 1


def channel(**more):
    steps = [
        ChannelStep(name="专家门诊", share=0.9, unit_cost=1000.0),
        ChannelStep(name="陪诊", share=0.5, unit_cost=400.0, user_share=0.5),
    ]
    return Channel(**{"steps": steps, "uptake": 0.4, "fixed_cost": 500.0} | more)


def test_the_channel_is_its_plan_of_services():
    cells = people(("male", 40, 1000), ("female", 55, 500), ("male", 70, 20))
    found = green_channel(channel(), cells, exchange_rate=7.0)
    cost = service_cost(channel().plan(), cells)
    assert found.facts["cost_per_insured"] == pytest.approx(cost.facts["cost_per_insured"])
    assert channel().cost_per_case == pytest.approx(0.9 * 1000 + 0.5 * 200)
    assert found.facts["cost_per_case_all_in"] == pytest.approx(
        found.facts["cost_per_case"] + 500 / found.facts["cases"]
    )
    assert found.facts["us_lower"] == pytest.approx(12 * 1.5 * 7)
    assert found.facts["us_upper"] == pytest.approx(12 * 8 * 7)
    assert any("no Chinese source" in note for note in found.basis.notes)
    assert any("28 severe" in note for note in found.basis.notes)


def test_cost_is_in_proportion_to_uptake():
    cells = people(("male", 40, 1000))
    low, high = (
        green_channel(channel(uptake=u, fixed_cost=0.0), cells, exchange_rate=7.0)
        for u in (0.2, 0.6)
    )
    assert high.facts["cost_per_insured"] == pytest.approx(3 * low.facts["cost_per_insured"])
    assert high.facts["ceiling"] == pytest.approx(low.facts["ceiling"])
    none = green_channel(channel(uptake=0.0), cells, exchange_rate=7.0)
    assert none.facts["cost_per_case_all_in"] is None
    none.finding("zh")


def test_what_is_no_channel_is_refused():
    with pytest.raises(InputError, match="uptake of a channel"):
        channel(uptake=1.2)
    with pytest.raises(InputError, match="shares of cases"):
        channel(steps=[ChannelStep(name="a", share=1.5, unit_cost=1.0)])
    with pytest.raises(InputError, match="named twice"):
        channel(steps=[ChannelStep(name="a", share=0.5, unit_cost=1.0)] * 2)
    with pytest.raises(InputError, match="exchange rate"):
        green_channel(channel(), people(("male", 40, 1)), exchange_rate=0)
    with pytest.raises(InputError, match="without incidence"):
        green_channel(channel(), people(("male", 106, 1)), exchange_rate=7)


def test_every_column_has_a_label(used, tmp_path):
    cells = people(("male", 40, 1000), ("female", 40, 10))
    done = [
        used,
        service_cost(plan(Service(name="a", use=1.0, unit_cost=7.0)), cells),
        green_channel(channel(), cells, exchange_rate=7.0),
    ]
    for one in done:
        for frame in (one.table, *one.frames.values()):
            assert [n for n in frame.columns if f"term.{n}" not in catalogue()] == []
        one.save(tmp_path / one.kind)
        assert type(one).load(tmp_path / one.kind).finding("zh") == one.finding("zh")
        for lang in ("en", "zh"):
            assert one.figure(lang).data


def test_the_uptake_seen_holds_the_one_that_made_the_rows(book, used):
    members, _ = book
    lexis = Lexis(start=START, end=END, dims=["age"])
    exposure = split_exposure(members, ["sex"], lexis).cells.select(
        "sex", "age", insured="exposure"
    )
    found = channel_uptake(channel(), exposure, used, service="green_channel")
    facts = found.facts
    assert facts["lower"] < ServiceTruth().rates[1] < facts["upper"]
    assert facts["uses"] == found.table["uses"].sum()
    assert facts["uptake"] * facts["expected"] == pytest.approx(facts["uses"])
    n = facts["uses"]
    garwood = chi2.ppf(0.025, 2 * n) / 2, chi2.ppf(0.975, 2 * n + 2) / 2
    assert facts["lower"] * facts["expected"] == pytest.approx(garwood[0], rel=0.02)
    assert facts["upper"] * facts["expected"] == pytest.approx(garwood[1], rel=0.02)
    assert [n for n in found.table.columns if f"term.{n}" not in catalogue()] == []
    assert found.figure("zh").data
    assert found.finding("en")
    with pytest.raises(InputError, match="did you mean 'green_channel'"):
        channel_uptake(channel(), exposure, used, service="green_chanel")
