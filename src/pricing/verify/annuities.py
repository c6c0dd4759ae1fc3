"""Published values of benefits by state, of annuities and assurances, and of critical illness."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp

import polars as pl

from pricing.annuities.cash_flow import cash_flow
from pricing.annuities.critical_illness import critical_illness
from pricing.annuities.interest import Interest, as_interest, force_of_interest
from pricing.annuities.kolmogorov import Method, kolmogorov
from pricing.annuities.life_law import STANDARD_ULTIMATE
from pricing.annuities.life_values import life_values
from pricing.annuities.payments import AtTime, OnMove, WhileIn
from pricing.annuities.state_model import StateModel, state_model, state_model_of_rates
from pricing.data.rates import rate_table
from pricing.data.tables import source_of
from pricing.data.transitions import disability_rates

__all__ = [
    "chinese_annuities",
    "chinese_critical_illness",
    "chinese_disability",
    "danish_values",
    "danish_values_at_five_percent",
    "sickness_death",
    "standard_ultimate",
]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
BOOK = "Dickson, Hardy and Waters (2013), Actuarial Mathematics for Life Contingent Risks, 2nd ed."
RECOMPUTED = "recomputed independently, 2026"


def sickness_death() -> list[Found]:
    """Disability income model, examples 8.4 to 8.6: exactly, and by the book's scheme.

    Examples
    --------
    >>> round(sickness_death()[0][2]["8.4 healthy after 10 years"], 5)
    0.58395
    """
    stays = kolmogorov(_sickness(0.0), age=60, years=10, start="healthy")
    ours = {f"8.4 {state} after 10 years": stays.share(state, 10) for state in ("healthy", "sick")}
    without = {"8.4 healthy after 10 years": "0.58395", "8.4 sick after 10 years": "0.20577"}
    digits = {"8.4 healthy after 10 years": "0.5839526", "8.4 sick after 10 years": "0.2057653"}
    book = {
        "8.5 healthy": "0.5875568", "8.5 sick": "0.2026324", "8.6 annuity healthy": "6.571382",
        "8.6 annuity sick": "0.663591", "8.6 assurance": "0.162315", "8.6 premium": "3254.65",
    }  # fmt: skip
    exact = {
        "8.5 healthy": "0.5868735", "8.5 sick": "0.2028445", "8.6 annuity healthy": "6.568243",
        "8.6 annuity sick": "0.665024", "8.6 assurance": "0.162269", "8.6 premium": "3260.22",
    }  # fmt: skip
    return [
        (f"{BOOK}, example 8.4", without, ours),
        (f"{BOOK}, example 8.4, solved exactly; {RECOMPUTED}", digits, ours),
        (f"{BOOK}, examples 8.5 and 8.6: Euler steps of 1/12, Simpson", book, _with_recovery("euler")),
        (f"{BOOK}, examples 8.5 and 8.6, solved exactly; {RECOMPUTED}", exact, _with_recovery("exact")),
    ]  # fmt: skip


def danish_values() -> Found:
    """Six values of the Danish G82 basis, a woman of 30, force of interest .05.

    Examples
    --------
    >>> round(danish_values()[2]["pure endowment, 35 years"], 9)
    0.143794697
    """
    printed = {
        "pure endowment, 35 years": "0.14379469738",
        "annuity of 10 years, deferred 35": "1.0265607675",
        "annuity of 35 years": "15.971767666",
        "term assurance of 35 years": "0.057616919318",
        "disability annuity to 65": "0.55552610797",
        "lump sum on disability to 65": "0.071418699003",
    }
    source = (
        "Danish technical basis G82, test problem of the public repository lamont-granquist/rkf45"
    )
    return f"{source}; {RECOMPUTED}", printed, _danish(force_of_interest(0.05))


def danish_values_at_five_percent() -> Found:
    """Give the six values of the Danish basis at a yearly rate of 5 %, a force of ln 1.05.

    Examples
    --------
    >>> round(danish_values_at_five_percent()[2]["annuity of 35 years, 5 %"], 9)
    16.211978277
    """
    printed = {
        "pure endowment, 35 years, 5 %": "0.1500143301",
        "annuity of 10 years, deferred 35, 5 %": "1.0766621622",
        "annuity of 35 years, 5 %": "16.2119782766",
        "term assurance of 35 years, 5 %": "0.0590005882",
        "disability annuity to 65, 5 %": "0.57209937",
        "lump sum on disability to 65, 5 %": "0.07340532",
    }
    ours = {f"{name}, 5 %": value for name, value in _danish(as_interest(0.05)).items()}
    return f"Danish technical basis G82; {RECOMPUTED}", printed, ours


def _danish(interest: Interest) -> Mapping[str, float]:
    def death(x: float) -> float:
        return float(0.0005 + 10 ** (5.728 - 10 + 0.038 * x))

    def disabled(x: float) -> float:
        return float(0.0006 + 10 ** (4.71609 - 10 + 0.06 * x))

    life = state_model({("alive", "dead"): death})
    three = state_model({("active", "disabled"): disabled, ("active", "dead"): death,
                         ("disabled", "dead"): death})  # fmt: skip

    def value(model: StateModel, payment: AtTime | WhileIn | OnMove, years: float) -> float:
        return cash_flow(
            model, [payment], age=30, years=years, interest=interest, start=model.states[0]
        ).value

    return {
        "pure endowment, 35 years": value(life, AtTime("alive", 1.0, (35.0,)), 35),
        "annuity of 10 years, deferred 35": value(life, WhileIn("alive", 1.0, start=35.0), 45),
        "annuity of 35 years": value(life, WhileIn("alive", 1.0), 35),
        "term assurance of 35 years": value(life, OnMove("alive", "dead", 1.0), 35),
        "disability annuity to 65": value(three, WhileIn("disabled", 1.0), 35),
        "lump sum on disability to 65": value(three, OnMove("active", "disabled", 1.0), 35),
    }


def standard_ultimate() -> list[Found]:
    """Annuities-due and assurances of the Standard Ultimate Survival Model at 5 %.

    Examples
    --------
    >>> round(standard_ultimate()[0][2]["annuity-due 60"], 4)
    14.9041
    """
    printed = {
        "annuity-due 20": "19.9664", "assurance 20": "0.04922", "annuity-due 40": "18.4578",
        "assurance 40": "0.12106", "annuity-due 60": "14.9041", "assurance 60": "0.29028",
        "annuity-due 65": "13.5498", "assurance 65": "0.35477",
    }  # fmt: skip
    ours: dict[str, float] = {}
    for age in (20, 40, 60, 65):
        facts = life_values(STANDARD_ULTIMATE, age=age, interest=0.05).facts
        ours |= {f"annuity-due {age}": facts["annuity_due"], f"assurance {age}": facts["assurance"]}
    names = ("annuity_immediate", "annuity_mthly_immediate", "annuity_due", "annuity_mthly_due")
    rows = {20: "18.966 19.338 19.966 19.588", 80: "7.548 7.917 8.548 8.167"}
    listed, quarterly = {}, {}
    for age, row in rows.items():
        facts = life_values(
            STANDARD_ULTIMATE, age=age, interest=0.05, per_year=4, within="exact"
        ).facts
        for name, text in zip(names, row.split(), strict=True):
            said = f"{name.replace('_', ' ')} {age}" + (", quarterly" if "mthly" in name else "")
            listed[said], quarterly[said] = text, facts[name]
    return [
        (f"{BOOK}, Standard Ultimate Survival Model at 5 %; {RECOMPUTED}", printed, ours),
        (f"{BOOK}, as held in the tests of LifeContingencies.jl (AMLCR.jl)", listed, quarterly),
    ]


def chinese_annuities() -> Found:
    """Annuity-due at 60 by the Chinese annuitants' tables at 2.5 %.

    Examples
    --------
    >>> round(chinese_annuities()[2]["2010-2013 cl5, men"], 5)
    18.78776
    """
    printed = {
        "2010-2013 cl5, men": "18.78776", "2010-2013 cl6, women": "20.80618",
        "2025 cl1, men": "19.65074", "2025 cl1, women": "21.26350",
    }  # fmt: skip
    tables = [
        rate_table("cn_life_2010_2013", "cl5").only("male"),
        rate_table("cn_life_2010_2013", "cl6").only("female"),
        rate_table("cn_life_2025", "cl1").only("male"),
        rate_table("cn_life_2025", "cl1").only("female"),
    ]
    found = [life_values(table, age=60, interest=0.025).facts["annuity_due"] for table in tables]
    source = f"{source_of('cn_life_2010_2013')} and {source_of('cn_life_2025')}; {RECOMPUTED}"
    return source, printed, dict(zip(printed, found, strict=True))


def chinese_critical_illness() -> Found:
    """Level premium of 100,000 on critical illness: CI4, K2, CL2 (2025), 2 %, claims at mid-year.

    Examples
    --------
    >>> round(chinese_critical_illness()[2]["men 30, 20 years"], 2)
    233.98
    """
    printed = {
        "men 30, 20 years": "233.98", "women 30, 20 years": "264.63", "men 30, 30 years": "408.30",
        "women 30, 30 years": "376.90", "men 40, 20 years": "604.94", "women 40, 20 years": "535.76",
        "men 30, 20 years: assurance": "0.038278", "men 30, 20 years: annuity": "16.359744",
    }  # fmt: skip
    ours = {}
    for name, sex in (("men", "male"), ("women", "female")):
        i = rate_table("cn_ci_2020", "ci4").only(sex)
        k = rate_table("cn_ci_2020_k", "k2").only(sex)
        q = rate_table("cn_life_2025", "cl2").only(sex)
        for age, years in ((30, 20), (30, 30), (40, 20)):
            said = f"{name} {age}, {years} years"
            found = critical_illness(i, k, q, age=age, years=years, interest=0.02)
            ours[said] = found.level_premium
            ours[f"{said}: assurance"] = found.facts["assurance"]
            ours[f"{said}: annuity"] = found.facts["annuity_due"]
    return f"{source_of('cn_ci_2020')} and {source_of('cn_life_2025')}; {RECOMPUTED}", printed, ours


def chinese_disability() -> Found:
    """Expected years, prevalence and values of care at 65, China, static model, its formula carried on to 120.

    Examples
    --------
    >>> round(chinese_disability()[2]["men, healthy at 65: years healthy"], 3)
    14.121
    """
    printed = {
        "men, healthy at 65: years healthy": "14.121", "men, healthy at 65: years disabled": "0.754",
        "men, disabled at 65: years healthy": "5.287", "men, disabled at 65: years disabled": "4.693",
        "men, disabled of the living at 70": "0.0297", "men, disabled of the living at 80": "0.0709",
        "men, disabled of the living at 90": "0.1262", "men, 7,200 a year while disabled": "3823",
        "men, level premium while healthy": "338", "men, disabled at 80, 7,200 a year": "22790",
        "women, healthy at 65: years healthy": "15.474", "women, healthy at 65: years disabled": "1.128",
        "women, disabled at 65: years healthy": "6.679", "women, disabled at 65: years disabled": "5.044",
        "women, disabled of the living at 70": "0.0362", "women, disabled of the living at 80": "0.0871",
        "women, disabled of the living at 90": "0.1548", "women, 7,200 a year while disabled": "5538",
        "women, level premium while healthy": "455", "women, disabled at 80, 7,200 a year": "25107",
    }  # fmt: skip
    known = disability_rates("clhls", range(65, 111))
    growth = pl.col("rate") * (pl.col("rate") / pl.col("rate").shift(1)) ** pl.col("years")
    beyond = [  # the logarithm of a rate is linear in age
        known.filter(pl.col("age") >= 109)
        .sort("age")
        .with_columns(years=pl.lit(n))
        .with_columns(rate=growth.over("sex", "from_state", "to_state"))
        .filter(pl.col("age") == 110)
        .with_columns(age=pl.lit(110 + n, dtype=pl.Int64))
        .drop("years")
        for n in range(1, 10)
    ]
    rates = pl.concat([known, *beyond])
    ours = {}
    for name, sex in (("men", "male"), ("women", "female")):
        model = state_model_of_rates(rates.filter(pl.col("sex") == sex))
        for start in ("healthy", "disabled"):
            stays = kolmogorov(model, age=65, years=55, start=start, step=1.0)
            for state in ("healthy", "disabled"):
                ours[f"{name}, {start} at 65: years {state}"] = stays.years(state)
            for age in (70, 80, 90) if start == "healthy" else ():
                living = 1 - stays.share("dead", age - 65)
                ours[f"{name}, disabled of the living at {age}"] = (
                    stays.share("disabled", age - 65) / living
                )
        care = [WhileIn("disabled", 7200.0)]
        found = cash_flow(
            model, care, age=65, years=55, interest=0.025, start="healthy",
            premiums=[WhileIn("healthy", 1.0)],
        )  # fmt: skip
        ours[f"{name}, 7,200 a year while disabled"] = found.value
        ours[f"{name}, level premium while healthy"] = found.level_premium
        later = cash_flow(model, care, age=80, years=40, interest=0.025, start="disabled")
        ours[f"{name}, disabled at 80, 7,200 a year"] = later.value
    return f"{source_of('disability_3state')}; values {RECOMPUTED}", printed, ours


def _sickness(recovery: float) -> StateModel:
    def falls_sick(x: float) -> float:
        return 0.0004 + 3.4674e-6 * exp(0.138155 * x)

    def dies(x: float) -> float:
        return 0.0005 + 7.5858e-5 * exp(0.087498 * x)

    return state_model({
        ("healthy", "sick"): falls_sick, ("sick", "healthy"): lambda x: recovery * falls_sick(x),
        ("healthy", "dead"): dies, ("sick", "dead"): dies,
    })  # fmt: skip


def _with_recovery(method: Method) -> Mapping[str, float]:
    model = _sickness(0.1)
    stays = kolmogorov(model, age=60, years=10, start="healthy", method=method)
    deaths = [("healthy", "dead"), ("sick", "dead")]

    def value(*payments: WhileIn | OnMove) -> float:
        return cash_flow(
            model, payments, age=60, years=10, interest=0.05, start="healthy", method=method
        ).value

    healthy, sick = value(WhileIn("healthy", 1.0)), value(WhileIn("sick", 1.0))
    both = value(WhileIn("sick", 20_000.0), *(OnMove(a, b, 50_000.0) for a, b in deaths))
    return {
        "8.5 healthy": stays.share("healthy", 10), "8.5 sick": stays.share("sick", 10),
        "8.6 annuity healthy": healthy, "8.6 annuity sick": sick,
        "8.6 assurance": value(*(OnMove(a, b, 1.0) for a, b in deaths)), "8.6 premium": both / healthy,
    }  # fmt: skip
