"""Regressions of lives whatever columns are called and however their times came about."""

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.survival.accelerated import fit_aft
from pricing.survival.concordance import concordance
from pricing.survival.cox import fit_cox
from pricing.survival.discrete import discrete_cells, fit_discrete_hazard
from pricing.survival.fine_gray import fine_gray_rows, fit_fine_gray
from pricing.survival.follow_up import follow_up
from pricing.survival.horizon import brier
from pricing.survival.piecewise import fit_hazard, hazard_cells
from pricing.survival.proportional_hazards import proportional_hazards

NAMES = ("a", "d", "e", "n", "t", "at", "first", "last", "ends", "whole", "number", "risk", "until", "_at")  # fmt: skip


def lives(n: int = 240, seed: int = 3) -> pl.DataFrame:
    """Lives in whole months with one factor and one number."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame({
        "exit": rng.integers(1, 13, n), "event": rng.integers(0, 2, n), "x": rng.integers(1, 4, n),
        "sex": rng.choice(["f", "m"], n), "cause": rng.integers(0, 3, n),
    })  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_factor_may_have_any_name(name):
    """Names of columns within are no names of ours: 'risk' and 'first' were overwritten unsaid."""
    plain, named = lives(), lives().rename({"x": name})
    assert follow_up(named, [name]).rename({name: "x"}).equals(follow_up(plain, ["x"]))
    for make in (lambda f, by: hazard_cells(f, [3, 6], by), discrete_cells):
        assert make(named, [name]).cells.rename({name: "x"}).equals(make(plain, ["x"]).cells)
    for fit in (fit_aft, fit_cox):
        expected = fit(plain, "x").table["coefficient"]
        assert fit(named, name).table["coefficient"].equals(expected)


@pytest.mark.parametrize("name", ["g", "g0", "cut", "before", "other"])
def test_fine_and_gray_take_a_factor_of_any_name(name):
    plain = lives().drop("event").rename({"cause": "event"})
    expected = fit_fine_gray(plain, "x", "1").table["coefficient"][0]
    found = fit_fine_gray(plain.rename({"x": name}), name, "1").table["coefficient"][0]
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["exposure", "claims", "claims_squared"])
def test_a_key_called_like_a_measure_is_refused(name):
    named = lives().rename({"x": name})
    for make in (lambda f, by: hazard_cells(f, [3, 6], by), discrete_cells):
        with pytest.raises(InputError, match="name of one of ours"):
            make(named, [name])
    with pytest.raises(InputError, match="twice"):
        discrete_cells(lives(), ["x", "x"])


@pytest.mark.parametrize("name", ["events", "hazard", "drift", "end", "std_error"])
def test_a_stratum_called_like_a_column_of_the_baseline_is_refused(name):
    with pytest.raises(InputError, match="name of a column of ours"):
        fit_cox(lives().rename({"sex": name}), "x", strata=[name])


def test_a_stratum_of_yes_and_no_is_predicted_from():
    rows = lives().with_columns(new=pl.col("sex") == "f")
    cox = fit_cox(rows, "x", strata=["new"])
    text = fit_cox(lives(), "x", strata=["sex"])
    found = cox.predict(pl.DataFrame({"x": [2, 2], "new": [True, False]}), [5])
    expected = text.predict(pl.DataFrame({"x": [2, 2], "sex": ["f", "m"]}), [5])
    assert found["survival"].to_list() == pytest.approx(expected["survival"].to_list(), rel=1e-12)


def test_decimals_are_numbers():
    rows = lives()
    decimal = rows.with_columns(pl.col("x", "exit").cast(pl.Decimal(12, 2)))
    for fit in (fit_aft, fit_cox):
        expected = fit(rows, "x").table["coefficient"].to_list()
        assert fit(decimal, "x").table["coefficient"].to_list() == pytest.approx(expected)


def apart(rows: pl.DataFrame) -> pl.DataFrame:
    """Times in tenths, half of them with what arithmetic leaves: 0.1 + 0.2 for 0.3."""
    tenth = pl.col("exit") / 10
    off = pl.when(pl.int_range(pl.len()) % 2 == 0).then(tenth * (1 + 4e-16)).otherwise(tenth)
    return rows.with_columns(exit=off)


def test_times_that_differ_by_the_last_bit_are_ties():
    """As R's ``timefix`` has it, and as :class:`Lives` does: those who leave together tie."""
    exact = lives().with_columns(exit=pl.col("exit") / 10)
    near = apart(lives())
    assert near["exit"].n_unique() > exact["exit"].n_unique()
    for ties in ("efron", "breslow"):
        a, b = (fit_cox(f, "x + sex", ties=ties) for f in (exact, near))
        assert b.table["coefficient"].to_list() == pytest.approx(
            a.table["coefficient"].to_list(), rel=1e-9
        )
        assert b.frames["baseline"].height == a.frames["baseline"].height
    a, b = (concordance(f, "x").table.row(0) for f in (exact, near))
    assert a == b
    score = pl.lit(0.5).alias("s")
    a, b = (brier(f.with_columns(score), {0.6: "s"}).table["brier"][0] for f in (exact, near))
    assert a == pytest.approx(b, rel=1e-12)
    a, b = (
        fit_fine_gray(f.with_columns(event="cause"), "x", "1").table["coefficient"][0]
        for f in (exact, near)
    )
    assert a == pytest.approx(b, rel=1e-9)


def test_an_exit_that_rounding_puts_after_its_entry_is_refused():
    rows = pl.DataFrame({"entry": [0.3, 0.0], "exit": [0.1 + 0.2, 1.0], "event": [1, 1], "x": [1, 2]})  # fmt: skip
    for call in (follow_up, lambda f, **k: fit_cox(f, "x", **k)):
        with pytest.raises(InputError, match="'exit' is not after 'entry' in 1 of 2 rows"):
            call(rows, entry="entry")


def test_cut_points_below_a_ten_thousandth_are_told():
    rows = lives().with_columns(pl.col("exit") * 1e-5)
    found = fit_hazard(hazard_cells(rows, [3e-5, 6e-5], ["sex"]), "time_interval + sex")
    plain = fit_hazard(hazard_cells(lives(), [3, 6], ["sex"]), "time_interval + sex")
    assert found.survival()["time"].to_list() == [0.0, 3e-5, 6e-5]
    assert found.survival()["survival"].to_list() == pytest.approx(
        plain.survival()["survival"].to_list()
    )
    with pytest.raises(InputError, match="agree in 12 digits"):
        hazard_cells(rows, [1.0, 1.0 + 1e-14])


def test_more_pieces_than_can_be_held_are_refused(monkeypatch):
    monkeypatch.setattr("pricing.survival.fine_gray.MOST_PIECES", 100)
    rows = lives().drop("event").rename({"cause": "event"})
    with pytest.raises(InputError, match=r"split into [\d,]+ pieces, 100 are the most"):
        fine_gray_rows(rows, "1")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: fit_cox(f, "x", cause=1), "the cause is text, got 1"),
        (lambda f: fit_fine_gray(f, "x", 1), "the cause is text, got 1"),
        (lambda f: fit_aft(f, 3), "the formula is text, got 3"),
        (lambda f: fit_cox(f, "x", level="95%"), "a confidence level lies between"),
        (lambda f: discrete_cells(f, period="month"), "a period is a length above 0"),
        (lambda f: discrete_cells(f, period=None), "a period is a length above 0"),
    ],
)
def test_requests_of_the_wrong_kind_are_refused(call, said):
    with pytest.raises(InputError, match=said):
        call(lives())


def test_hazards_of_a_factor_called_risk_are_those_of_any_other():
    plain, named = lives(), lives().rename({"sex": "risk"})
    expected = fit_discrete_hazard(discrete_cells(plain, ["sex"]), "duration_band + sex")
    found = fit_discrete_hazard(discrete_cells(named, ["risk"]), "duration_band + risk")
    assert found.table["coefficient"].equals(expected.table["coefficient"])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_errors_of_clusters_across_strata_are_the_infinitesimal_jackknife(ties):
    """Σ_cluster (∂β/∂ln w_cluster)², with ties, late entries, strata and weights; others leave ties out."""
    rng = np.random.default_rng(2)
    n, many, step = 90, 15, 1e-4
    rows = pl.DataFrame({
        "entry": rng.integers(0, 4, n), "x": rng.normal(size=n).round(1), "s": rng.choice(["a", "b"], n),
        "k": rng.integers(0, 2, n), "w": rng.choice([0.3, 0.7, 1.0, 2.5], n), "person": rng.integers(0, many, n),
    }).with_columns(exit=pl.col("entry") + rng.integers(1, 8, n), event=pl.Series(rng.integers(0, 2, n)))  # fmt: skip
    given = {"entry": "entry", "weight": "w", "strata": ["s"], "ties": ties}

    def moved(person: int, by: float) -> np.ndarray:
        w = pl.when(pl.col("person") == person).then(pl.col("w") * (1 + by)).otherwise("w")
        return fit_cox(rows.with_columns(w=w), "x + k", **given).coefficients

    slopes = [(moved(i, step) - moved(i, -step)) / (2 * step) for i in range(many)]
    found = fit_cox(rows, "x + k", cluster="person", **given).covariance("robust")
    assert found == pytest.approx(np.sum([np.outer(d, d) for d in slopes], axis=0), rel=1e-6)


def test_weights_in_another_order_are_the_same_rows():
    """Sums of fractions differ in their last bits: the rows of the fit were refused as others."""
    rng = np.random.default_rng(1)
    n = 30_000
    rows = pl.DataFrame({
        "exit": rng.integers(1, 200, n), "event": rng.integers(0, 2, n), "x": rng.integers(0, 4, n),
        "w": rng.random(n) * 1000 + 0.001,
    })  # fmt: skip
    cox = fit_cox(rows, "x", weight="w")
    expected = proportional_hazards(cox, rows).table["chi_squared"].to_list()
    for seed in range(3):
        mixed = rows.sample(fraction=1.0, shuffle=True, seed=seed)
        assert fit_cox(mixed, "x", weight="w").basis.fingerprint == cox.basis.fingerprint
        found = proportional_hazards(cox, mixed).table["chi_squared"].to_list()
        assert found == pytest.approx(expected, rel=1e-6)
    for other in (rows.head(n - 1), rows.with_columns(x=pl.col("x").reverse())):
        with pytest.raises(InputError, match="not the rows the model was fitted on"):
            proportional_hazards(cox, other)


def test_the_rows_of_fine_and_gray_are_tested_for_proportional_hazards():
    rows = lives().drop("event").rename({"cause": "event"})
    cox = fit_fine_gray(rows, "x", "1")
    assert proportional_hazards(cox, fine_gray_rows(rows, "1")).table.height == 2


@pytest.mark.parametrize("x", [-1e6, 1e6])
def test_covariates_far_off_are_predicted_without_a_warning(x):
    cox, far = fit_cox(lives(), "x"), pl.DataFrame({"x": [x]})
    found = cox.predict(far, [0, 5])
    assert found["survival"].to_list() in ([1.0, 0.0], [1.0, 1.0])
    assert found["std_error"].is_finite().all()
    assert cox.relative_hazard(far)["hazard_ratio"][0] in (0.0, float("inf"))
