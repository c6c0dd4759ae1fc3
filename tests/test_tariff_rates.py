"""The tariff: by hand and from a model, traced to the cent, written and read, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import polars as pl
import pytest

from pricing.claims.models import fit_frequency
from pricing.claims.occurrence import fit_occurrence
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.severity import fit_severity
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.result.shape import Result
from pricing.tariff.fitted import tariff_of
from pricing.tariff.rates import Tariff, tariff_from
from pricing.tariff.terms import Loading
from pricing.tariff.written import read_tariff, write_tariff

SEX = {"f": 1.0, "m": 1.17}
TIER = {"basic": 0.8, "standard": 1.0, "premium": 1.9}
BOTH = {(s, t): 1.0 + 0.01 * i for i, (s, t) in enumerate((s, t) for s in SEX for t in TIER)}


def by_hand(**terms):
    factors = {"sex": SEX, "tier": TIER, "sex:tier": BOTH}
    return tariff_from(1234.56, factors, base={"tier": "standard"}, **terms)


def policies(n=2_000, seed=1):
    draw = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "sex": draw.choice(list(SEX), n),
            "tier": draw.choice(list(TIER), n),
            "exposure": draw.uniform(0.1, 1.0, n),
            "claims": draw.poisson(0.9, n),
        }
    ).with_columns(
        amount=pl.Series(draw.gamma(2.0, 100.0, n)) * pl.col("claims"),
    )


def experience(rows):
    return Experience.collect(rows, ["sex", "tier"], amount="amount")


FULL = {
    "relativity_limits": (0.85, 1.8),
    "premium_limits": (1200.0, 2400.0),
    "loadings": (Loading("expenses", "times", 1.07), Loading("fee", "plus", 33.3)),
    "valid_from": "2026-07-01",
    "currency": "EUR",
}


def multiplied(priced, tariff):
    """Multiply a trace out in plain Python, row by row, in the order the class states."""
    out = []
    for row in priced.iter_rows(named=True):
        running = row["base_premium"]
        for factor in tariff.factors:
            running *= row[f"relativity:{factor.term}"]
        running *= row.get("relativity_cap", 1.0)
        for loading in tariff.terms.loadings:
            value = row[f"loading:{loading.name}"]
            running = running * value if loading.kind == "times" else running + value
        running *= row["premium_cap"]
        exact = Decimal(running) + Decimal("1e-9")
        out.append(float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP)))
    return out


@pytest.mark.parametrize("terms", [{}, FULL])
def test_the_trace_multiplies_out_for_every_row(terms):
    tariff, rows = by_hand(**terms), policies()
    priced = tariff.price(rows, trace=True)
    assert priced["premium"].to_list() == multiplied(priced, tariff)
    assert priced["premium"].to_list() == tariff.price(rows)["premium"].to_list()
    if terms:
        assert priced["premium"].min() == 1200.0
        assert priced["premium"].max() == 2400.0
        held = priced.select(
            pl.col("relativity:sex") * pl.col("relativity:tier") * pl.col("relativity:sex:tier")
        ).to_series()
        inside = held.is_between(0.85, 1.8)
        assert inside.any()
        assert not inside.all()
        assert (priced["relativity_cap"].filter(inside) == 1.0).all()
        capped = (held * priced["relativity_cap"]).filter(~inside).round(12)
        assert set(capped) <= {0.85, 1.8}


def test_every_kind_of_column_and_every_frame_gets_the_same_premium():
    tariff, rows = by_hand(**FULL), policies()
    enum = rows.cast({"sex": pl.Enum(["m", "x", "f"]), "tier": pl.Enum(list(TIER))})
    want = tariff.price(rows)["premium"]
    assert want.null_count() == 0
    assert tariff.price(enum)["premium"].equals(want)
    assert tariff.price(rows.lazy()).collect()["premium"].equals(want)
    assert tariff.price(enum.lazy()).collect(engine="streaming")["premium"].equals(want)
    assert rows.select(tariff.premium())["premium"].equals(want)
    assert tariff.price(rows.reverse())["premium"].equals(want.reverse())
    flags = tariff_from(10.0, {"smoker": {"yes": 2.0, "no": 1.0}})
    assert flags.price(pl.DataFrame({"smoker": [True, False]}))["premium"].to_list() == [20.0, 10.0]
    flat = tariff_from(10.0, {})
    assert flat.price(pl.DataFrame({"a": [1, 2]}))["premium"].to_list() == [10.0, 10.0]
    assert "10.00" in flat.finding("en")


def test_rounding_is_half_up_and_may_be_left_out():
    rows = pl.DataFrame({"a": ["x", "y", "z"]})
    factors = {"a": {"x": 1.0, "y": 1.005, "z": 0.99499}}
    for decimals, want in (
        (2, [1.0, 1.01, 0.99]),
        (0, [1.0, 1.0, 1.0]),
        (None, [1.0, 1.005, 0.99499]),
    ):
        assert tariff_from(1.0, factors, decimals=decimals).price(rows)["premium"].to_list() == want
    assert tariff_from(2.5, {}, decimals=0).price(rows)["premium"].to_list() == [3.0] * 3


def test_what_is_not_known_is_refused_with_counts_or_taken_as_base():
    tariff = by_hand()
    rows = pl.DataFrame({"sex": ["f", "x", "x"], "tier": ["gold", "basic", "basic"]})
    with pytest.raises(InputError) as refused:
        tariff.price(rows, trace=True)
    assert "sex: 2 rows, such as 'x'" in str(refused.value)
    assert "tier: 1 rows, such as 'gold'" in str(refused.value)
    based = tariff.price(rows, unknown="base")["premium"].to_list()
    known = pl.DataFrame({"sex": ["f", "f", "f"], "tier": ["standard", "basic", "basic"]})
    assert based == tariff.price(known)["premium"].to_list()
    assert rows.select(tariff.premium())["premium"].to_list() == [None] * 3
    enum = rows.cast({"sex": pl.Enum(["f", "x"]), "tier": pl.Enum(["gold", "basic"])})
    assert tariff.price(enum, unknown="base")["premium"].to_list() == based
    for unknown in ("error", "base"):
        with pytest.raises(InputError, match="sex: 1 rows, such as None"):
            tariff.price(pl.DataFrame({"sex": [None, "f"], "tier": ["basic"] * 2}), unknown=unknown)
    with pytest.raises(InputError, match=r"1 column.s. are missing"):
        tariff.price(pl.DataFrame({"sex": ["f"]}))
    with pytest.raises(InputError, match="not offered"):
        tariff.price(rows, unknown="mean")
    with pytest.raises(InputError, match="columns of the trace already: base_premium"):
        tariff.price(rows[:0].with_columns(base_premium=1.0), trace=True)
    assert tariff.price(rows[:0], trace=True).height == 0


@pytest.mark.parametrize("formula", ["1", "sex", "sex + tier", "sex * tier"])
def test_a_models_tariff_prices_as_the_model_scores(formula):
    rows = policies()
    seen = experience(rows)
    frequency = fit_frequency(seen, formula)
    severity = fit_severity(seen, "tier")
    for model in (frequency, fit_pure_premium(seen, formula), frequency * severity):
        tariff = tariff_of(model, decimals=None)
        want = model.score(rows)["rate"].to_numpy()
        np.testing.assert_allclose(tariff.price(rows)["premium"].to_numpy(), want, rtol=1e-12)
        assert tariff.basis.rows == rows.height
    cents = tariff_of(frequency * severity).price(rows)["premium"].to_numpy()
    np.testing.assert_allclose(cents, want, atol=0.00501)
    log_normal = fit_severity(seen, "tier", family="log_normal", per="row")
    np.testing.assert_allclose(
        tariff_of(log_normal, decimals=None).price(rows)["premium"].to_numpy(),
        log_normal.score(rows)["rate"].to_numpy(),
        rtol=1e-12,
    )


def test_a_model_that_is_no_table_is_refused():
    rows = policies().with_columns(age=pl.int_range(pl.len()) % 50 + 20.0, off=pl.lit(0.1))
    seen = Experience.collect(rows, ["sex", "tier", "age", "off"], amount="amount")
    for formula in ("age", "sex + ns(age, 3)", "sex * age"):
        with pytest.raises(InputError, match="continuous"):
            tariff_of(fit_frequency(seen, formula))
    with pytest.raises(InputError, match="offset 'off' is no factor"):
        tariff_of(fit_frequency(seen, "sex", offset="off"))
    with pytest.raises(InputError, match="logit link"):
        tariff_of(fit_occurrence(seen, "sex"))
    with pytest.raises(InputError, match="a int is not a product"):
        tariff_of(3)
    with pytest.raises(InputError, match="no term 'colour'"):
        tariff_of(fit_frequency(seen, "sex"), colour="red")


@pytest.mark.parametrize("factors, terms, said", [
    ({"sex": {}}, {}, "sex: there are no levels"),
    ({"sex": [("f", 1.0), ("f", 2.0)]}, {}, "sex: level 'f' stands 2 times"),
    ({"sex": {"f": 0.0}}, {}, "relativity of 'f' is 0.0, not a number above zero"),
    ({"sex": {"f": -1.0}}, {}, "relativity of 'f' is -1.0"),
    ({"sex": {"f": float("nan")}}, {}, "relativity of 'f' is nan"),
    ({"sex": {"f": float("inf")}}, {}, "relativity of 'f' is inf"),
    ({"sex": {"f": None}}, {}, "relativity of 'f' is None"),
    ({"sex": {"f": "1"}}, {}, "relativity of 'f' is '1'"),
    ({"sex": {"f": True}}, {}, "relativity of 'f' is True"),
    ({"sex": {"": 1.0}}, {}, "level '' is not a text"),
    ({"sex": {3: 1.0}}, {}, "level 3 is not a text"),
    ({"a:b:c": {"f": 1.0}}, {}, "is not one column or two"),
    ({"a:b": {("x", "y"): 1.0, ("z", "w"): 1.0}}, {}, "a:b: 2 pairs have no relativity"),
    ({"a:b": {("x",): 1.0}}, {}, "is not a pair of texts"),
    ({"sex": SEX}, {"base": {"sex": "male"}}, "base 'male' is not a level"),
    ({"sex": SEX}, {"base": {"sx": "f"}}, "base: 'sx' is not a factor; did you mean 'sex'"),
    ({"sex": SEX}, {"decimals": 9}, "decimals is 9, not 0 to 6 or None"),
    ({"sex": SEX}, {"decimals": 1.5}, "decimals is 1.5"),
    ({"sex": SEX}, {"valid_from": "2026-13-01"}, "valid_from is '2026-13-01'"),
    ({"sex": SEX}, {"currency": ""}, "currency is ''"),
    ({"sex": SEX}, {"premium_limits": (5.0, 5.0)}, "least 5.0 is not below most 5.0"),
    ({"sex": SEX}, {"relativity_limits": (0.0, None)}, "relativity_limits: 0.0 is not above zero"),
    ({"sex": SEX}, {"relativity_limits": 3}, "relativity_limits is 3"),
    ({"sex": SEX}, {"loadings": (Loading("a", "times", 0.0),)}, "loading 'a' has the value 0.0"),
    ({"sex": SEX}, {"loadings": (Loading("a", "over", 1.0),)}, "'over', not times or plus"),
    ({"sex": SEX}, {"loadings": (Loading("a", "plus", 1.0),) * 2}, "stands twice"),
    ({"sex": SEX}, {"currencies": "EUR"}, "no term 'currencies'; did you mean 'currency'"),
])  # fmt: skip
def test_a_table_that_cannot_be_used_is_refused(factors, terms, said):
    with pytest.raises(InputError) as refused:
        tariff_from(1.0, factors, **terms)
    assert said in str(refused.value)


def test_all_faults_are_said_at_once():
    with pytest.raises(InputError) as refused:
        tariff_from(-1.0, {"a": {"x": -1.0}, "b": {}}, decimals=-1)
    assert len(refused.value.faults) == 4


def test_it_is_frozen_saved_and_read_to_the_same_premiums(tmp_path):
    tariff, rows = by_hand(**FULL), policies()
    with pytest.raises(FrozenInstanceError):
        tariff.details = {}
    want = tariff.price(rows)["premium"]
    tariff.save(tmp_path / "folder")
    tariff.write_json(tmp_path / "rates.json")
    for back in (Result.load(tmp_path / "folder"), read_tariff(tmp_path / "rates.json")):
        assert isinstance(back, Tariff)
        assert back.price(rows)["premium"].equals(want)
        assert back.details == tariff.details
        assert back.terms == tariff.terms
        assert back.table.equals(tariff.table)
        assert back.basis.fingerprint == tariff.basis.fingerprint
    dearer = tariff.having(currency="CNY", premium_limits=(None, None))
    assert dearer.basis.currency == "CNY"
    assert dearer.price(rows)["premium"].max() > 2400
    with pytest.raises(InputError, match="'colour'"):
        tariff.having(colour="red")
    with pytest.raises(InputError, match="decimals is -3"):
        tariff.having(decimals=-3)


def test_it_speaks_both_languages_and_draws():
    tariff = by_hand(**FULL)
    assert "1,234.56 EUR" in tariff.finding("en")
    assert "档" in tariff.finding("zh")
    assert list(tariff.figure("zh").data[0].y) == [0.8, 1.0, 1.9]
    assert tariff.figure(factor="sex:tier").data[0].x[0] == "f × basic"
    with pytest.raises(InputError, match="'sx' is not in the tariff; did you mean 'sex'"):
        tariff.relativities("sx")


def test_a_file_with_faults_has_all_of_them_said(tmp_path):
    path = tmp_path / "rates.json"
    write_tariff(by_hand(), path)
    good = json.loads(path.read_text(encoding="utf-8"))
    bad = json.loads(json.dumps(good))
    bad["colour"] = "red"
    bad["decimals"] = "two"
    del bad["base_premium"]
    bad["factors"][0]["relativities"]["f"] = -1
    bad["factors"].append({"factor": "tier", "relativities": {"x": 1}})
    bad["factors"].append({"relativities": [], "mood": 1})
    path.write_text(json.dumps(bad), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_tariff(path)
    text = str(refused.value)
    for said in (
        "unknown key 'colour'", "decimals is 'two'", "'base_premium' is missing",
        "relativity of 'f' is -1", "factor 4: stands twice", "factor 5: has no name",
        "factor 5: unknown key 'mood'", "factor 5: has no levels",
    ):  # fmt: skip
        assert said in text, text
    for text, said in (
        ("", "cannot be used"),
        ("[]", "is no tariff"),
        (json.dumps(good | {"version": 2}), "format 2, this reads 1"),
        (json.dumps(good | {"factors": 3}), "factors is not a list"),
        (json.dumps(good | {"loadings": [{"a": 1}]}), "a loading is not"),
        (json.dumps(good).replace('"f": 1.0', '"f": 1.0, "f": 2.0'), "'f' stands twice"),
        (json.dumps(good).replace("1234.56", "NaN"), "NaN is no number"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=said):
            read_tariff(path)
