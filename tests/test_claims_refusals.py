"""Bad input of the models: named, counted and explained; and levels the fit never saw."""

from functools import cache

import numpy as np
import polars as pl
import pytest

from pricing.claims.models import fit_frequency
from pricing.claims.occurrence import fit_occurrence
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.severity import fit_severity
from pricing.claims.two_part import fit_two_part
from pricing.errors import InputError
from pricing.experience.cells import Experience

FITS = {
    "frequency": fit_frequency,
    "severity": fit_severity,
    "pure_premium": fit_pure_premium,
    "occurrence": fit_occurrence,
    "two_part": fit_two_part,
}


@cache
def book(rows: int = 1_500, seed: int = 41) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    n = rng.poisson(0.7, rows)
    return pl.DataFrame(
        {
            "tier": rng.choice(["a", "b", "c"], rows),
            "sex": rng.choice(["f", "m"], rows),
            "x": rng.integers(0, 5, rows) / 2,
            "exposure": rng.uniform(0.2, 1.0, rows),
            "claims": n,
            "amount": rng.gamma(2.0, 60.0, rows) * (n > 0),
        }
    )


def seen(rows: pl.DataFrame) -> Experience:
    return Experience.collect(rows, ["tier", "sex", "x"], amount="amount")


def nothing_at(level: str) -> pl.DataFrame:
    own = pl.col("tier") == level
    return book().with_columns(
        claims=pl.when(own).then(0).otherwise("claims"),
        amount=pl.when(own).then(0.0).otherwise("amount"),
    )


@pytest.mark.parametrize("kind", ["frequency", "pure_premium", "occurrence"])
def test_perfect_separation_is_named_with_its_weight(kind):
    rows = nothing_at("b")
    with pytest.raises(InputError, match="have no finite relativity") as refused:
        FITS[kind](seen(rows), "tier", base={"tier": "a"})
    own = rows.filter(tier="b")
    weight = own.height if kind == "occurrence" else own["exposure"].sum()
    assert "tier[b]: no" in str(refused.value)
    assert f"in {weight:,.1f}" in str(refused.value)
    with pytest.raises(InputError, match=r"tier\[b\] \(base\)"):
        FITS[kind](seen(rows), "tier", base={"tier": "b"})


def test_all_rows_with_an_amount_are_separation_too():
    rows = book().with_columns(amount=pl.when(pl.col("tier") == "b").then(9.0).otherwise("amount"))
    with pytest.raises(InputError, match="no finite relativity") as refused:
        fit_occurrence(seen(rows), "tier", base={"tier": "a"})
    own = rows.filter(tier="b").height
    assert f"tier[b]: only rows with an amount in {own:,.1f} rows" in str(refused.value)


def test_a_combination_that_separates_is_found_by_every_family():
    both = (pl.col("tier") == "a") & (pl.col("sex") == "m")
    rows = book().with_columns(
        claims=pl.when(both).then(0).otherwise("claims"),
        amount=pl.when(both).then(0.0).otherwise("amount"),
    )
    for kind in ("frequency", "pure_premium", "occurrence"):
        for base in ({"tier": "a", "sex": "m"}, {"tier": "b", "sex": "f"}):
            with pytest.raises(InputError, match=r"no finite|runs away"):
                FITS[kind](seen(rows), "tier * sex", base=base)


@pytest.mark.parametrize("kind", FITS)
def test_no_claims_at_all(kind):
    none = book().with_columns(claims=pl.lit(0), amount=pl.lit(0.0))
    with pytest.raises(InputError, match=r"there are no .* in [\d,.]+"):
        FITS[kind](seen(none), "tier")


@pytest.mark.parametrize("kind", FITS)
def test_one_cell_has_nothing_to_compare_but_a_mean(kind):
    rows = book().with_columns(tier=pl.lit("a"), sex=pl.lit("f"), x=pl.lit(1.0))
    with pytest.raises(InputError, match="there is nothing to compare"):
        FITS[kind](seen(rows), "tier")
    model = FITS[kind](seen(rows), "1")
    rate = model.score(rows)["rate"][0]
    mean = {
        "frequency": rows["claims"].sum() / rows["exposure"].sum(),
        "severity": rows["amount"].sum() / rows["claims"].sum(),
        "pure_premium": rows["amount"].sum() / rows["exposure"].sum(),
        "occurrence": (rows["amount"] > 0).mean(),
        "two_part": rows["amount"].mean(),
    }[kind]
    assert rate == pytest.approx(mean, rel=1e-9)


@pytest.mark.parametrize("kind", ["frequency", "severity", "pure_premium", "occurrence"])
def test_collinear_factors_are_reported_and_left_out(kind):
    rows = book().with_columns(zone=pl.col("tier").replace({"a": "n", "b": "n", "c": "s"}))
    cells = Experience.collect(rows, ["tier", "zone", "x"], amount="amount")
    model = FITS[kind](cells, "tier + zone + x")
    assert model.facts["aliased"] == 1
    aliased = model.table.filter(role="aliased")
    assert aliased["term"].to_list() == ["zone"]
    assert aliased["relativity"].null_count() == 1
    plain = FITS[kind](cells, "tier + x")
    np.testing.assert_allclose(model.score(rows)["rate"], plain.score(rows)["rate"], rtol=1e-9)
    if kind == "frequency":
        with pytest.raises(InputError, match="aliased with the terms before"):
            fit_frequency(cells, "tier + zone", bounds={"zone": (0.5, 2.0)})


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("amount", -50.0, "'amount' is null, not finite or negative in 1 of"),
        ("amount", float("nan"), "'amount' is null, not finite or negative in 1 of"),
        ("claims", -1, "'claims' is null, not finite or negative in 1 of"),
        ("exposure", 0.0, "'exposure' is null, not finite or not above zero in 1 of"),
        ("x", float("nan"), "'x' is null, NaN or infinite in 1 of"),
    ],
)
def test_rows_that_cannot_be_priced_never_become_cells(column, value, says):
    at = pl.int_range(pl.len()) == 7
    rows = book().with_columns(pl.when(at).then(value).otherwise(column).alias(column))
    with pytest.raises(InputError) as refused:
        seen(rows)
    assert says in str(refused.value)


def test_cells_with_claims_but_no_exposure_are_refused():
    cells = seen(book()).with_sums(
        exposure=pl.when(pl.col("tier") == "a").then(0.0).otherwise("exposure")
    )
    with pytest.raises(InputError, match=r"cells have claims [\d,.]+ but no exposure"):
        fit_frequency(cells, "sex")
    with pytest.raises(InputError, match=r"cells have amount [\d,.]+ but no exposure"):
        fit_pure_premium(cells, "sex")


def test_amounts_without_a_claim_are_refused_by_a_severity_with_their_total():
    rows = book().with_columns(claims=pl.when(pl.col("x") == 1.0).then(0).otherwise("claims"))
    lost = rows.filter(pl.col("claims") == 0)["amount"].sum()
    with pytest.raises(InputError, match="amounts of rows without a claim") as refused:
        fit_severity(seen(rows), "tier")
    assert f"{lost:,.2f} CNY" in str(refused.value)
    assert fit_pure_premium(seen(rows), "tier").facts["rows"] == rows.height
    assert fit_severity(seen(rows), "tier", per="row").facts["per"] == "row"


def test_amounts_are_asked_for():
    bare = Experience.collect(book(), ["tier"])
    for fit in (fit_severity, fit_pure_premium, fit_occurrence, fit_two_part):
        with pytest.raises(InputError, match=r"collect the experience with amount="):
            fit(bare, "tier")


@pytest.mark.parametrize(
    ("fit", "options", "says"),
    [
        (fit_frequency, {"family": "binomial"}, "is not offered"),
        (fit_frequency, {"family": "negative_binomial", "alpha": -1.0}, "above zero"),
        (fit_frequency, {"family": "negative_binomial", "alpha": "ml"}, "is not offered"),
        (fit_frequency, {"family": "negative_binomial", "alpha": "likelihood"}, "unlike"),
        (fit_frequency, {"weight": "tier"}, "not a numeric key"),
        (fit_frequency, {"weight": "x"}, "not above zero in"),
        (fit_frequency, {"offset": "nokey"}, "not a numeric key"),
        (fit_severity, {"family": "weibull"}, "is not offered"),
        (fit_severity, {"nil": "drop"}, "is not offered"),
        (fit_severity, {"family": "log_normal", "nil": "keep"}, "does not exist"),
        (fit_pure_premium, {"power": 0.5}, "from 1 to 3"),
        (fit_pure_premium, {"errors": "hc3"}, "is not offered"),
    ],
)
def test_options_that_are_not_offered_are_refused(fit, options, says):
    with pytest.raises(InputError, match=says):
        fit(seen(book()), "tier", **options)


def test_counts_that_are_not_over_dispersed_have_no_negative_binomial():
    rows = book().with_columns(claims=pl.lit(1), exposure=pl.lit(1.0))
    with pytest.raises(InputError, match="not over-dispersed"):
        fit_frequency(seen(rows), "tier", family="negative_binomial")


# -- levels never seen in the fit ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pl.String, pl.Enum(["a", "b", "c", "d"])])
def test_unseen_levels_are_an_error_or_the_base_or_the_mean(kind):
    model = fit_frequency(seen(book()), "tier * sex + x", base={"tier": "a", "sex": "f"})
    rows = pl.DataFrame(
        {"tier": ["a", "b", "d", "d"], "sex": ["f", "m", "f", "m"], "x": 1.0}
    ).with_columns(pl.col("tier").cast(kind))
    with pytest.raises(InputError, match="tier: 2 rows, such as 'd'"):
        model.score(rows)
    known = model.score(rows.head(2))["rate"].to_list()
    as_base = model.score(rows, unknown="base")
    assert as_base["rate"].to_list()[:2] == pytest.approx(known, rel=1e-13)
    at_base = model.score(rows.with_columns(tier=pl.lit("a")))["rate"].to_list()
    assert as_base["rate"].to_list()[2:] == pytest.approx(at_base[2:], rel=1e-13)
    t = model.relativities("tier")
    mean = (t["relativity"] * t["exposure"]).sum() / t["exposure"].sum()
    as_mean = model.score(rows, unknown="mean")["rate"].to_list()
    assert as_mean[2] == pytest.approx(at_base[2] * mean, rel=1e-12)
    assert as_mean[:2] == pytest.approx(known, rel=1e-13)
    with pytest.raises(InputError, match="is not offered"):
        model.score(rows, unknown="guess")


def test_a_null_is_never_let_pass():
    model = fit_frequency(seen(book()), "tier")
    rows = pl.DataFrame({"tier": ["a", None]})
    for unknown in ("error", "base", "mean"):
        with pytest.raises(InputError, match="tier: 1 rows"):
            model.score(rows, unknown=unknown)


def test_severity_knows_only_levels_with_claims():
    model = fit_severity(seen(nothing_at("b")), "tier")
    assert model.relativities("tier")["level"].to_list() == ["a", "c"]
    with pytest.raises(InputError, match=r"tier: .* rows, such as 'b'"):
        model.score(book())
    assert model.score(book(), unknown="mean")["rate"].is_finite().all()
