"""Annuities and assurances of one life, critical illness: identities, recursion, bad input."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pricing.annuities.critical_illness import critical_illness
from pricing.annuities.interest import spot_curve
from pricing.annuities.life_law import STANDARD_ULTIMATE, MakehamLaw, survival
from pricing.annuities.life_values import life_values
from pricing.data.mortality import close_share
from pricing.data.rates import RateTable, rate_table
from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, label
from pricing.verify import annuities as published

MEN = rate_table("cn_life_2025", "cl2").only("male")
CONTRACTS = {"whole_life": None, "term": 20, "endowment": 20, "pure_endowment": 20}


@pytest.mark.parametrize("mortality", [MEN, STANDARD_ULTIMATE])
@pytest.mark.parametrize("interest", [0.025, 0.0, spot_curve([0.02, 0.022, 0.03])])
def test_assurance_and_annuity_belong_together(mortality, interest):
    """A + dä = 1 for the endowment; with a curve Σ (v(t) − v(t + 1)) ₜpₓ in the place of dä."""
    found = life_values(mortality, age=40, interest=interest, contract="endowment", years=25)
    alive = found.table["in_force_share"].to_numpy()
    v = 1.025 ** -np.arange(26) if interest == 0.025 else None
    if v is None:
        v = np.ones(26) if interest == 0.0 else interest.discount(np.arange(26))
    assert found.facts["assurance"] + ((v[:-1] - v[1:]) * alive[:-1]).sum() == pytest.approx(1, abs=1e-14)  # fmt: skip


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_reserve_recursion_closes(contract):
    """(V + P)(1 + i) = q S + p V', with what is insured at the end."""
    found = life_values(MEN, age=40, interest=0.03, contract=contract, years=CONTRACTS[contract],
                        premium_years=10, amount=1000.0)  # fmt: skip
    table = found.table
    reserve, premium = table["net_reserve"].to_numpy(), table["premium_due"].to_numpy()
    alive = table["in_force_share"].to_numpy()
    p = alive[1:] / alive[:-1]
    insured = 0.0 if contract == "pure_endowment" else 1000.0
    assert reserve[0] == pytest.approx(0, abs=1e-10)
    left = (reserve[:-1] + premium[:-1]) * 1.03
    assert left == pytest.approx((1 - p) * insured + p * reserve[1:], abs=1e-8)
    ends = {"term": 0.0, "endowment": 1000.0, "pure_endowment": 1000.0}
    assert contract not in ends or reserve[-1] == pytest.approx(ends[contract], abs=1e-9)


def test_natural_premiums_pay_for_the_assurance():
    found = life_values(MEN, age=40, interest=0.03, contract="term", years=20, amount=1000.0)
    t = found.table
    paid = (t["natural_premium"] * t["in_force_share"] * 1.03 ** -t["year"].cast(pl.Float64)).sum()
    assert paid == pytest.approx(found.facts["value"], rel=1e-13)
    q = MEN.rates.filter(pl.col("age") == 40)["rate"][0]
    assert t["natural_premium"][0] == pytest.approx(1000 * q / 1.03, rel=1e-13)
    whole = [life_values(MEN, age=40, interest=0.03, contract=c, years=20).facts["assurance"]
             for c in ("term", "pure_endowment", "endowment")]  # fmt: skip
    assert whole[0] + whole[1] == pytest.approx(whole[2], rel=1e-14)


def test_a_table_made_of_the_law_gives_the_laws_values():
    ages = np.arange(20, 131)
    q = 1 - np.array([float(STANDARD_ULTIMATE.survive(x, 1.0)) for x in ages])
    q[-1] = 1.0
    table = RateTable(name="ultimate", rates=pl.DataFrame({"age": ages, "rate": q}))
    for age in (20, 60):
        one, two = (
            life_values(m, age=age, interest=0.05).facts for m in (table, STANDARD_ULTIMATE)
        )
        for name in ("annuity_due", "assurance", "level_premium"):
            assert one[name] == pytest.approx(two[name], rel=1e-12)


def test_m_thly_payments_by_each_assumption():
    def due(within, m=4, **more):
        return life_values(STANDARD_ULTIMATE, age=60, interest=0.05, per_year=m, within=within, **more).facts["annuity_mthly_due"]  # fmt: skip

    i, m = 0.05, 4
    i_m, d, d_m = m * (1.05 ** (1 / m) - 1), i / 1.05, m * (1 - 1.05 ** (-1 / m))
    alpha, beta = i * d / (i_m * d_m), (i - i_m) / (i_m * d_m)
    found = life_values(STANDARD_ULTIMATE, age=60, interest=0.05, contract="term", years=10).facts
    formula = alpha * found["annuity_due"] - beta * (1 - found["pure_endowment"])
    term = {"contract": "term", "years": 10}
    assert due("uniform", **term) == pytest.approx(formula, rel=1e-13)
    exact = due("exact")
    assert due("uniform") == pytest.approx(exact, abs=2e-3)
    assert due("woolhouse") == pytest.approx(exact, abs=2e-6)
    assert due("uniform") != pytest.approx(exact, abs=1e-6)
    assert due("woolhouse", **term) == pytest.approx(due("exact", **term), abs=2e-6)
    assert due("constant_force") == pytest.approx(exact, abs=3e-3)
    for within in ("uniform", "constant_force", "exact", "woolhouse"):
        yearly = life_values(STANDARD_ULTIMATE, age=60, interest=0.05, within=within).facts
        assert yearly["annuity_mthly_due"] == pytest.approx(yearly["annuity_due"], rel=1e-13)
        assert yearly["annuity_immediate"] == pytest.approx(yearly["annuity_due"] - 1, rel=1e-12)


def test_constant_force_is_geometric():
    law = MakehamLaw(0.04, 0.0, 1.1)
    found = life_values(law, age=30, interest=0.05, contract="term", years=12).facts
    x = np.exp(-0.04) / 1.05
    assert found["annuity_due"] == pytest.approx((1 - x**12) / (1 - x), rel=1e-13)
    assert survival(law, 30, 3) == pytest.approx(np.exp(-0.04 * np.arange(4)))
    assert survival(MakehamLaw(0.0, 0.02, 1.0), 30, 3, fraction="exact") == pytest.approx(
        np.exp(-0.02 * np.arange(4))
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mortality": rate_table("cn_life_2025", "cl2")}, 'keep one sex: table.only'),
        ({"mortality": rate_table("cn_ci_2020_k", "k2").only("male")}, "got shares"),
        ({"mortality": rate_table("cn_ci_2020", "ci4").only("male")}, "must have the rate 1"),
        ({"mortality": MakehamLaw(0.04, 0.0, 1.1)}, "alive at 150"),
        ({"age": 106}, "asked for 106"),
        ({"age": 40.5}, "whole years"),
        ({"contract": "wholelife"}, "did you mean 'whole_life'"),
        ({"contract": "term"}, "term needs a term"),
        ({"years": 10}, "has no term"),
        ({"contract": "term", "years": 100}, "asked for 40 to 139"),
        ({"contract": "term", "years": 2.5}, "whole years from 1"),
        ({"premium_years": 0}, "premiums over 0"),
        ({"amount": -1.0}, "sum insured of -1"),
        ({"per_year": 0}, "0 parts"),
        ({"within": "exact"}, "no law within the year"),
        ({"within": "udd"}, "no assumption 'udd'"),
        ({"within": "woolhouse", "per_year": 4, "interest": spot_curve([0.02, 0.03])}, "one rate"),
        ({"interest": 3.0}, "0.025 for 2.5 %"),
    ],
)  # fmt: skip
def test_lives_that_cannot_be_valued(options, said):
    with pytest.raises(InputError, match=said):
        life_values(**{"mortality": MEN, "age": 40, "interest": 0.025, **options})


@pytest.mark.parametrize(
    "wrong", [(-0.1, 0.1, 1.1), (0.0, 0.0, 1.1), (0.1, 0.1, 0.0), (float("nan"), 1, 1)]
)
def test_no_law(wrong):
    with pytest.raises(InputError, match="no law of mortality"):
        MakehamLaw(*wrong)


# -- critical illness -------------------------------------------------------------------------------


def tables(sex="male"):
    i, q = rate_table("cn_ci_2020", "ci4").only(sex), rate_table("cn_life_2025", "cl2").only(sex)
    return i, rate_table("cn_ci_2020_k", "k2").only(sex), q


@pytest.mark.parametrize("sex", ["male", "female"])
def test_illness_death_and_survival_are_all_there_is(sex):
    """A_CI + A_other + v^n p_n = 1 − d ä with claims at the end of the year."""
    found = critical_illness(
        *tables(sex), age=30, years=40, interest=0.02, paid="end_of_year"
    ).facts
    total = found["assurance"] + found["death_assurance"] + 1.02**-40 * found["survival"]
    assert total == pytest.approx(1 - 0.02 / 1.02 * found["annuity_due"], abs=1e-14)


def test_the_reserve_of_a_cover_closes():
    found = critical_illness(*tables(), age=30, years=30, interest=0.02, death_amount=20_000.0,
                             premium_years=10)  # fmt: skip
    t = found.table
    i, other = (t[name].to_numpy()[:-1] for name in ("illness_rate", "other_death_rate"))
    reserve, premium = t["net_reserve"].to_numpy(), t["premium_due"].to_numpy()
    claims = (100_000 * i + 20_000 * other) * 1.02**-0.5
    next_one = (1 - i - other) * reserve[1:] / 1.02
    assert reserve[:-1] + premium[:-1] == pytest.approx(claims + next_one, abs=1e-7)
    assert reserve[0] == pytest.approx(0, abs=1e-9)
    assert reserve[-1] == 0
    assert t["premium_due"].to_list()[10:] == [0.0] * 21


def test_without_illness_it_is_a_term_assurance():
    i, k, q = tables()
    none = RateTable(name="none", rates=i.rates.with_columns(rate=pl.lit(0.0)))
    no_share = RateTable(name="none", rates=k.rates.with_columns(rate=pl.lit(0.0)), measure="share")
    found = critical_illness(none, no_share, q, age=40, years=20, interest=0.02, amount=0.0,
                             death_amount=1000.0, paid="end_of_year")  # fmt: skip
    life = life_values(q, age=40, interest=0.02, contract="term", years=20, amount=1000.0)
    assert found.level_premium == pytest.approx(life.facts["level_premium"], rel=1e-12)


def test_to_the_last_age_with_the_closed_share():
    i, k, q = tables()
    with pytest.raises(InputError, match=r"has 5 of the 6 ages from 100 to 105"):
        critical_illness(i, k, q, age=100, years=6, interest=0.02)
    found = critical_illness(i, close_share(k, i, q), q, age=100, years=6, interest=0.02)
    assert found.facts["survival"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"paid": "monthly"}, "mid_year or end_of_year"),
        ({"years": 0}, "both must be whole"),
        ({"premium_years": 21}, "premiums over 21"),
        ({"amount": 0.0}, "sums insured"),
        ({"amount": float("nan")}, "sums insured"),
        ({"share": MEN}, "expects shares by age alone, got rates"),
        ({"incidence": rate_table("cn_ci_2020", "ci4")}, "got rates by sex, age"),
    ],
)
def test_covers_that_cannot_be_priced(options, said):
    i, k, q = tables()
    given = {"incidence": i, "share": k, "mortality": q, "age": 30, "years": 20, "interest": 0.02}
    with pytest.raises(InputError, match=said):
        critical_illness(**{**given, **options})


def test_more_than_everyone_is_refused():
    i, k, q = tables()
    much = RateTable(name="much", rates=i.rates.with_columns(rate=pl.lit(0.99)))
    with pytest.raises(InputError, match="more than everyone"):
        critical_illness(much, k, q, age=80, years=5, interest=0.02)


# -- published figures and results ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "ours", "within"),
    [
        (*published.danish_values()[1:], 1e-9),
        (*published.chinese_annuities()[1:], 5.1e-6),
        (*published.chinese_critical_illness()[1:], 5.1e-3),
    ],
)
def test_published_figures(printed, ours, within):
    for name, text in printed.items():
        assert ours[name] == pytest.approx(float(text), abs=within), name


def test_results_speak_draw_and_come_back(tmp_path):
    found = [life_values(MEN, age=40, interest=0.02, contract=c, years=n, amount=1e5) for c, n in CONTRACTS.items()]  # fmt: skip
    found.append(critical_illness(*tables(), age=30, years=20, interest=0.02))
    for n, one in enumerate(found):
        one.save(tmp_path / str(n))
        back = Result.load(tmp_path / str(n))
        assert back.table.equals(one.table)
        for lang in LANGUAGES:
            assert back.finding(lang) == one.finding(lang)
            assert [t.name for t in back.figure(lang).data] == [
                label(c, lang) for c in ("natural_premium", "net_reserve", "premium_due")
            ]
            assert all(label(c, lang) != c for c in one.table.columns)
        for trace, name in zip(one.figure().data, ("natural_premium", "net_reserve", "premium_due"), strict=True):  # fmt: skip
            assert list(trace.y) == one.table[name].to_list()
