"""Refinement: each step does what it says, its effect is audited, and a file of steps does it again."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

from pricing.claims.models import fit_frequency
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.severity import fit_severity
from pricing.errors import InputError
from pricing.estimate.families import saturated_amount
from pricing.experience.cells import Experience
from pricing.result.shape import Result
from pricing.tariff.rates import tariff_from
from pricing.tariff.refine import Refinement, refine
from pricing.tariff.steps import (
    CapChange,
    Group,
    KeepTotal,
    Rebase,
    Refit,
    Restrict,
    SetLevel,
    Smooth,
)
from pricing.tariff.steps_file import read_steps, write_steps

AGES = ["20-29", "30-39", "40-49", "50-59", "60-69", "70+"]
ZIPS = {"0": 0.90, "1": 0.95, "2": 1.00, "3": 1.10}
SAID = {"who": "Li Wei", "when": "2026-05-01", "why": "filed with the regulator"}
KEYS = ["age", "sex", "zip", "tier"]


def policies(n=6_000, seed=7):
    draw = np.random.default_rng(seed)
    rows = pl.DataFrame(
        {
            "age": draw.choice(AGES, n),
            "sex": draw.choice(["f", "m"], n, p=[0.6, 0.4]),
            "zip": draw.choice(list(ZIPS), n),
            "tier": draw.choice(["basic", "premium"], n, p=[0.7, 0.3]),
            "exposure": draw.uniform(0.2, 1.0, n),
        }
    ).with_columns(age=pl.col("age").cast(pl.Enum(AGES)))
    rate = (
        0.3
        * np.exp(0.25 * rows["age"].to_physical().to_numpy())
        * np.where(rows["sex"] == "m", 1.3, 1.0)
        * np.where(rows["tier"] == "premium", 1.5, 1.0)
    )
    claims = draw.poisson(rate * rows["exposure"].to_numpy())
    return rows.with_columns(
        claims=pl.Series(claims),
        amount=pl.Series(np.where(claims > 0, draw.gamma(2.0 * np.maximum(claims, 1), 50.0), 0.0)),
    )


ROWS = policies()


def collected(rows=ROWS):
    rows = rows.with_columns(saturated_amount(1.5))
    return Experience.collect(rows, KEYS, amount="amount", sums=["amount_saturated_1.5"])


SEEN = collected()
RESTRICT = Restrict(**SAID, factor="zip", relativities=ZIPS)


def rates(found, factor):
    return dict(found.tariff.relativities(factor).select("level", "relativity").iter_rows())


# -- the published closed form, and the refit against an oracle on rows ------------------------------


def test_with_the_only_factor_fixed_the_base_is_claims_over_exposure_times_relativity():
    """The README's example of insurancerating fixes zip at .90, .95, 1.00 and 1.10."""
    model = fit_frequency(SEEN, "zip")
    found = refine(model, SEEN, [RESTRICT], refit=True, decimals=None)
    weighed = ROWS["exposure"] * ROWS["zip"].replace_strict(ZIPS, return_dtype=pl.Float64)
    want = ROWS["claims"].sum() / weighed.sum()
    assert found.tariff.base_premium == pytest.approx(want, rel=1e-13)
    assert rates(found, "zip") == ZIPS
    assert [s.kind for s in found.steps] == ["restrict", "refit"]
    assert found.table["balance"][-1] == pytest.approx(1.0, abs=1e-13)


FAMILIES = {
    "poisson": (fit_frequency, {}, "claims", "exposure", sm.families.Poisson()),
    "gamma": (fit_severity, {}, "amount", "claims", sm.families.Gamma(sm.families.links.Log())),
    "tweedie": (
        fit_pure_premium, {"power": 1.5}, "amount", "exposure",
        sm.families.Tweedie(sm.families.links.Log(), var_power=1.5, eql=False),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_the_refit_is_the_fit_on_rows_with_an_offset(name):
    fit, options, total, weight, family = FAMILIES[name]
    base = {"sex": "f", "tier": "basic", "zip": "2", "age": "40-49"}
    model = fit(SEEN, "age + sex + zip + sex:tier + tier", base=base, **options)
    young = Group(**SAID, factor="age", groups={"young": ["20-29", "30-39"]})
    found = refine(model, SEEN, [young, RESTRICT], refit=True, decimals=None)
    rows = ROWS.filter(pl.col(weight) > 0).with_columns(
        y=pl.col(total) / pl.col(weight),
        band=pl.col("age").cast(pl.String).replace({"20-29": "young", "30-39": "young"}),
        off=pl.col("zip").replace_strict(ZIPS, return_dtype=pl.Float64).log(),
    )
    oracle = smf.glm(
        "y ~ C(band, Treatment('40-49')) + sex * tier",
        data=pd.DataFrame(rows.to_dict(as_series=False)),
        family=family,
        offset=rows["off"].to_numpy(),
        var_weights=rows[weight].to_numpy(),
    ).fit(tol=1e-14, maxiter=200)
    said = {
        re.sub(r".*\[T\.(.*)\]$", r"\1", k): v for k, v in oracle.params.items() if ":" not in k
    }
    got = rates(found, "age") | rates(found, "sex") | rates(found, "tier")
    assert np.log(found.tariff.base_premium) == pytest.approx(said.pop("Intercept"), abs=1e-8)
    assert got["20-29"] == got["30-39"]
    got["young"] = got["20-29"]
    for level, value in said.items():
        assert np.log(got[level]) == pytest.approx(value, abs=1e-8), level
    pair = oracle.params["sex[T.m]:tier[T.premium]"]
    both = rates(found, "sex:tier")
    assert np.log(both.pop("m × premium")) == pytest.approx(pair, abs=1e-8)
    assert set(both.values()) == {1.0}
    assert found.table["deviance"][0] == pytest.approx(model.facts["deviance"], rel=1e-12)
    if name != "tweedie":  # statsmodels' Tweedie deviance leaves out a constant
        assert found.table["deviance"][-1] == pytest.approx(oracle.deviance, rel=1e-10)
    assert found.table["what"][1] == "young = 20-29, 30-39"
    charged = found.tariff.relativities("age")["charged_as"].to_list()
    assert charged == ["young", "young", *AGES[2:]]


def test_a_split_row_and_another_order_of_rows_change_nothing():
    half = ROWS.with_columns(pl.col("exposure") / 2)
    nothing = half.with_columns(claims=pl.lit(0, pl.Int64), amount=pl.lit(0.0))
    split = collected(pl.concat([half, nothing]).sample(fraction=1.0, shuffle=True, seed=3))
    steps = [RESTRICT, Smooth(**SAID, factor="age", smoothing=50.0)]
    one, other = (
        refine(fit_frequency(seen, "age + sex + zip"), seen, steps, refit=True, decimals=None)
        for seen in (SEEN, split)
    )
    np.testing.assert_allclose(
        one.tariff.table["relativity"], other.tariff.table["relativity"], rtol=1e-9
    )
    assert one.table["total_premium"][-1] == pytest.approx(other.table["total_premium"][-1])


# -- six steps, from a file, bit for bit -------------------------------------------------------------


CURRENT = tariff_from(
    330.0,
    {
        "age": dict(zip(AGES, [0.8, 1.0, 1.1, 1.3, 1.6, 2.0], strict=True)),
        "sex": {"f": 1.0, "m": 1.1},
        "zip": ZIPS,
        "tier": {"basic": 1.0, "premium": 1.35},
    },
    decimals=None,
)
SIX = [
    Group(who="陈静", when="2026-03-02", why="too few in each", factor="age",
          groups={"under 40": ["20-29", "30-39"]}),
    Restrict(who="Li Wei", when="2026-03-05", why="filed", factor="zip", relativities=ZIPS),
    Smooth(who="Li Wei", when="2026-03-06", why="no jump at a birthday", factor="age"),
    SetLevel(who="Wang Fang", when="2026-03-09", why="sex counts for little here", factor="sex",
             level="m", relativity=1.1234567890123456),
    CapChange(who="Board", when="2026-03-20", why="no customer pays 10% more", up=0.1, down=0.05),
    KeepTotal(who="Board", when="2026-03-20", why='keep "the" total\n\ttoo = yes', to="current"),
]  # fmt: skip


@pytest.mark.parametrize("suffix", [".toml", ".json"])
@pytest.mark.parametrize("refit", [False, True])
def test_six_steps_replayed_from_their_file_give_every_policy_the_same_premium(
    tmp_path, suffix, refit
):
    model = fit_frequency(SEEN, "age + sex + zip + tier")
    terms = {"current": CURRENT, "per_unit": 830.0, "decimals": None}
    found = refine(model, SEEN, SIX, refit=refit, **terms)
    path = tmp_path / f"steps{suffix}"
    found.write_steps(path)
    assert read_steps(path) == found.steps
    assert len(found.steps) == 6 + refit
    again = refine(fit_frequency(collected(), "age + sex + zip + tier"), collected(), path, **terms)
    want = found.tariff.price(ROWS)["premium"]
    assert again.tariff.price(ROWS)["premium"].to_list() == want.to_list()  # bit for bit
    assert again.table.equals(found.table)
    assert want.null_count() == 0
    found.save(tmp_path / "saved")
    back = Result.load(tmp_path / "saved")
    assert isinstance(back, Refinement)
    assert back.tariff.price(ROWS)["premium"].to_list() == want.to_list()
    assert back.steps == found.steps
    # the audit names who, what, when, why and the effect
    audit = found.table.filter(pl.col("step_kind") != "refit")
    assert audit["who"].to_list()[1:] == [s.who for s in SIX]
    assert audit["when"].to_list()[1:] == [s.when for s in SIX]
    assert audit["why"].to_list()[1:] == [s.why for s in SIX]
    assert audit["what"].to_list()[1:] == [s.what() for s in SIX]
    assert audit["step_kind"].to_list()[1:] == [s.kind for s in SIX]
    own = found.table
    assert own.slice(1).select("deviance_change", "premium_change").null_count().row(0) == (0, 0)
    assert (own["deviance"].diff() - own["deviance_change"]).slice(1).abs().max() < 1e-8
    ratio = own["total_premium"] / own["total_premium"].shift() - 1
    assert (ratio - own["premium_change"]).slice(1).abs().max() < 1e-12
    # and what it says of the effect is so, policy by policy
    paid = (want * ROWS["exposure"]).sum()
    assert own["total_premium"][-1] == pytest.approx(paid, rel=1e-12)
    assert own["balance"][-1] == pytest.approx(paid / (830.0 * ROWS["claims"].sum()), rel=1e-12)
    now = (CURRENT.price(ROWS)["premium"] * ROWS["exposure"]).sum()
    assert paid == pytest.approx(now, rel=1e-12)
    mean = want / 830.0 * ROWS["exposure"]
    deviance = sm.families.Poisson().deviance(ROWS["claims"].to_numpy(), mean.to_numpy())
    assert own["deviance"][-1] == pytest.approx(deviance, rel=1e-9)


def test_the_refinement_speaks_and_draws():
    model = fit_frequency(SEEN, "age + sex + zip + tier")
    found = refine(model, SEEN, SIX, current=CURRENT, per_unit=830.0)
    assert "陈静, Li Wei, Wang Fang, Board between 2026-03-02 and 2026-03-20" in found.finding("en")
    assert "陈静、Li Wei" in found.finding("zh")
    figure = found.figure("zh", "age")
    assert [t.name for t in figure.data] == ["风险暴露（保单年）", "拟合相对系数", "调整后相对系数"]
    assert list(figure.data[2].y) == found.relativities("age")["refined_relativity"].to_list()
    assert found.frames["relativities"]["exposure"].sum() == pytest.approx(
        4 * ROWS["exposure"].sum()
    )
    assert found.fitted.base_premium == pytest.approx(830 * np.exp(model.coefficients[0]))


# -- each step --------------------------------------------------------------------------------------


def plain(steps, formula="age + sex + zip", **options):
    model = fit_frequency(SEEN, formula)
    return refine(model, SEEN, steps, decimals=None, **options)


def test_a_group_charges_alike_and_keeps_the_total():
    found = plain([Group(**SAID, factor="age", groups={"a": AGES[:2], "b": AGES[3:5]})])
    got = rates(found, "age")
    assert got["20-29"] == got["30-39"] != got["40-49"]
    assert got["50-59"] == got["60-69"] != got["70+"]
    assert found.table["premium_change"][1] == pytest.approx(0, abs=1e-13)
    assert found.table["deviance_change"][1] > 0  # a constraint never fits better
    wider = plain([
        Group(**SAID, factor="age", groups={"a": AGES[:2]}),
        Group(**SAID, factor="age", groups={"c": AGES[:3]}),
        SetLevel(**SAID, factor="age", level="c", relativity=0.7),
    ])  # fmt: skip
    assert list(rates(wider, "age").values())[:3] == [0.7] * 3
    assert wider.tariff.relativities("age")["charged_as"].to_list() == ["c"] * 3 + AGES[3:]
    parted = plain([
        Group(**SAID, factor="age", groups={"a": AGES[:2]}),
        Smooth(**SAID, factor="age", smoothing=1.0),
    ])  # fmt: skip
    assert parted.tariff.relativities("age")["charged_as"].to_list() == AGES


def test_a_smooth_curve_is_that_of_whittaker_and_of_least_squares():
    fitted = plain([Rebase(**SAID, factor="age", level="20-29")])
    logs = np.log(list(rates(fitted, "age").values()))
    paid = ROWS.with_columns(p=fitted.tariff.price(ROWS)["premium"] * pl.col("exposure"))
    weights = paid.group_by("age").agg(pl.col("p").sum()).sort("age")["p"].to_numpy()
    steps = [Rebase(**SAID, factor="age", level="20-29")]
    d = np.diff(np.eye(6), n=2, axis=0)
    want = np.linalg.solve(np.diag(weights) + 80.0 * d.T @ d, weights * logs)
    found = plain([*steps, Smooth(**SAID, factor="age", smoothing=80.0)])
    np.testing.assert_allclose(np.log(list(rates(found, "age").values())), want, atol=1e-10)
    for order in (1, 3):
        found = plain([*steps, Smooth(**SAID, factor="age", method="polynomial", order=order)])
        line = np.polyval(np.polyfit(np.arange(6), logs, order, w=np.sqrt(weights)), np.arange(6))
        np.testing.assert_allclose(np.log(list(rates(found, "age").values())), line, atol=1e-10)
    chosen = plain([*steps, Smooth(**SAID, factor="age")])
    assert np.all(np.diff(list(rates(chosen, "age").values())) > 0)


def test_a_capped_change_stays_within_its_limits():
    for factor in (None, "age"):
        found = plain([CapChange(**SAID, up=0.05, down=0.02, factor=factor)], current=CURRENT)
        for f in found.tariff.factors:
            base = f.place(f.at_base)
            now = CURRENT.factor(f.term).values
            change = (f.values / f.values[base]) / (now / now[base]) - 1
            if factor in (None, f.term):
                assert change.max() <= 0.05 + 1e-12
                assert change.min() >= -0.02 - 1e-12
            else:
                assert f == found.fitted.factor(f.term)
    loose = plain([CapChange(**SAID, up=9.0, down=0.99)], current=CURRENT)
    assert loose.tariff.table.equals(loose.fitted.table)
    partly = tariff_from(1.0, {"sex": {"f": 1.0, "x": 3.0}})
    found = plain([CapChange(**SAID, up=0.0)], current=partly)
    assert rates(found, "sex")["m"] == found.fitted.factor("sex").values[1]


def test_a_new_base_changes_no_premium_and_a_kept_total_is_kept():
    found = plain(
        [Rebase(**SAID, factor="age", level="70+"), Rebase(**SAID, factor="zip", level="3")]
    )
    was = found.fitted.price(ROWS)["premium"].to_numpy()
    np.testing.assert_allclose(found.tariff.price(ROWS)["premium"].to_numpy(), was, rtol=1e-14)
    assert rates(found, "age")["70+"] == 1.0
    assert found.tariff.factor("age").at_base == "70+"
    assert found.tariff.base_premium > found.fitted.base_premium
    steps = [SetLevel(**SAID, factor="sex", level="m", relativity=3.0)]
    for to, want in (
        ("fitted", (was * ROWS["exposure"].to_numpy()).sum()),
        ("observed", ROWS["claims"].sum()),
        ("current", (CURRENT.price(ROWS)["premium"] * ROWS["exposure"]).sum()),
    ):
        kept = plain([*steps, KeepTotal(**SAID, to=to)], current=CURRENT)
        paid = (kept.tariff.price(ROWS)["premium"] * ROWS["exposure"]).sum()
        assert paid == pytest.approx(want, rel=1e-12)
        assert kept.table["total_premium"][-1] == pytest.approx(want, rel=1e-12)


def test_an_interaction_and_a_product_are_refined():
    pair = SetLevel(**SAID, factor="sex:tier", level="m × premium", relativity=1.2)
    model = fit_frequency(SEEN, "sex * tier", base={"sex": "f", "tier": "basic"})
    found = refine(model, SEEN, [pair], refit=True, decimals=None)
    assert rates(found, "sex:tier")["m × premium"] == 1.2
    assert found.table["balance"][-1] == pytest.approx(1, abs=1e-12)
    held = [SetLevel(**SAID, factor="sex", level="m", relativity=1.2), Refit(**SAID)]
    found = refine(model, SEEN, held, decimals=None)
    was = found.fitted.factor("sex:tier")
    assert found.tariff.factor("sex:tier") == was  # held with its main effect
    bare = Experience.collect(ROWS, KEYS, amount="amount")
    both = fit_frequency(bare, "age + sex") * fit_severity(bare, "sex")
    found = refine(both, bare, [SetLevel(**SAID, factor="sex", level="m", relativity=1.0)])
    assert found.table["deviance"].null_count() == 2
    assert found.table["deviance_change"][1] > 0
    assert "Tweedie of power 1.5" in found.basis.notes[-1]
    assert found.table["balance"][0] == pytest.approx(1, abs=0.01)


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("steps, said", [
    ([], "there are no steps"),
    (["group"], "steps that are none: str"),
    ([SetLevel(**SAID, factor="zp", level="1", relativity=1.0)], "'zp' is not in the tariff; did you mean 'zip'"),
    ([SetLevel(**SAID, factor="zip", level="9", relativity=1.0)], "zip has no level '9'"),
    ([Rebase(**SAID, factor="zip", level="9")], "zip has no level '9'"),
    ([Restrict(**SAID, factor="zip", relativities={"0": 1.0, "9": 1.0})], "3 levels of zip have no relativity"),
    ([Restrict(**SAID, factor="zip", relativities={**ZIPS, "9": 1.0})], "zip has no level '9'"),
    ([Group(**SAID, factor="zip", groups={"a": ["0", "9"]})], "zip has no level '9'"),
    ([Group(**SAID, factor="zip", groups={"3": ["0", "1"]})], "has the name of a level that is not in it"),
    ([Smooth(**SAID, factor="sex")], "sex has 2 levels, too few for order 2"),
    ([CapChange(**SAID, up=0.1)], "needs the current tariff: give current="),
    ([KeepTotal(**SAID, to="current")], "needs the current tariff"),
    ([Group(**SAID, factor="zip", groups={"a": ["0", "1"]}),
      SetLevel(**SAID, factor="zip", level="0", relativity=1.0)], "level '0' is charged in group 'a'"),
    ([Group(**SAID, factor="zip", groups={"a": ["0", "1"]}),
      Group(**SAID, factor="zip", groups={"b": ["1", "2"]})], "parts the group of '0'"),
])  # fmt: skip
def test_steps_that_cannot_be_taken_are_refused(steps, said):
    with pytest.raises(InputError) as refused:
        plain(steps)
    assert said in str(refused.value)


def test_every_fault_of_every_step_is_said_at_once():
    steps = [
        SetLevel(**SAID, factor="zp", level="1", relativity=1.0),
        Rebase(**SAID, factor="zip", level="9"),
        CapChange(**SAID, up=0.1),
    ]
    with pytest.raises(InputError) as refused:
        plain(steps)
    assert [f[:6] for f in refused.value.faults] == ["step 1", "step 2", "step 3"]


def test_a_current_tariff_that_does_not_fit_is_refused():
    cap = CapChange(**SAID, up=0.1)
    with pytest.raises(InputError, match="none of the factors"):
        plain([cap], current=tariff_from(1.0, {"other": {"a": 1.0}}))
    with pytest.raises(InputError, match="the current tariff has no level"):
        plain([cap], current=tariff_from(1.0, {"sex": {"x": 1.0}}))
    with pytest.raises(InputError, match="'age' is not in the current tariff"):
        plain(
            [CapChange(**SAID, up=0.1, factor="age")], current=tariff_from(1.0, {"sex": {"f": 1.0}})
        )
    keep = KeepTotal(**SAID, to="current")
    with pytest.raises(InputError, match=r"step 1 .keep_total.: cannot score"):
        plain([keep], current=tariff_from(1.0, {"other": {"a": 1.0}}))


def test_a_model_that_cannot_be_refitted_or_cells_it_does_not_know_are_refused():
    both = fit_frequency(SEEN, "sex") * fit_severity(SEEN, "sex")
    with pytest.raises(InputError, match="is not refitted"):
        refine(both, SEEN, [Refit(**SAID)])
    bound = fit_frequency(SEEN, "sex", bounds={"sex": (0.5, 1.01)})
    with pytest.raises(InputError, match="would not keep what the model was fitted under"):
        refine(bound, SEEN, [Refit(**SAID)])
    fewer = SEEN.where(pl.col("zip") != "0")
    with pytest.raises(InputError, match=r"zip: \d+ cells, [\d,.]+ policy-years, such as 0"):
        refine(fit_frequency(fewer, "zip"), SEEN, [KeepTotal(**SAID)])
    with pytest.raises(InputError, match="no key 'zip'"):
        refine(
            fit_frequency(SEEN, "zip"), SEEN.by("sex"), [Rebase(**SAID, factor="zip", level="0")]
        )
    log_normal = fit_severity(SEEN, "sex", family="log_normal", per="row")
    with pytest.raises(InputError, match="log_normal model is not refined"):
        refine(log_normal, SEEN, [Rebase(**SAID, factor="sex", level="m")])
    gone = SEEN.with_sums(claims=pl.when(pl.col("sex") == "m").then(0).otherwise("claims"))
    with pytest.raises(InputError, match=r"step 2 .refit.*levels without a claim") as refused:
        refine(fit_frequency(SEEN, "sex + zip"), gone, [RESTRICT], refit=True)
    assert "sex[m]: no claim" in str(refused.value)


@pytest.mark.parametrize("make, said", [
    (lambda: Refit(who="", when="2026-05-01", why="x"), "who is ''"),
    (lambda: Refit(who="a", when="2026-05-01", why=" "), "why is ' '"),
    (lambda: Refit(who="a", when="1.5.2026", why="x"), "when is '1.5.2026'"),
    (lambda: SetLevel(**SAID, factor="a", level="b", relativity=0.0), "relativity is 0.0"),
    (lambda: SetLevel(**SAID, factor="a", level="b", relativity=float("nan")), "relativity is nan"),
    (lambda: SetLevel(**SAID, factor="", level="b", relativity=1.0), "factor is ''"),
    (lambda: Restrict(**SAID, factor="a", relativities={}), "relativities names no level"),
    (lambda: Restrict(**SAID, factor="a", relativities={"x": -1.0}), "relativity of 'x' is -1.0"),
    (lambda: Group(**SAID, factor="a", groups={}), "groups names no group"),
    (lambda: Group(**SAID, factor="a", groups={"g": ["x"]}), "fewer than two levels"),
    (lambda: Group(**SAID, factor="a", groups={"g": ["x", "y"], "h": ["y", "z"]}), "'y' is grouped more than once"),
    (lambda: Group(**SAID, factor="a", groups={"g": ["h", "y"], "h": ["g", "z"]}), "a circle or a chain"),
    (lambda: Group(**SAID, factor="a", groups={"g": "xy"}), "is no list of levels"),
    (lambda: Smooth(**SAID, factor="a", method="spline"), "method is 'spline'"),
    (lambda: Smooth(**SAID, factor="a", order=4), "order is 4, not 1 to 3"),
    (lambda: Smooth(**SAID, factor="a", smoothing=-1.0), "smoothing is -1.0"),
    (lambda: Smooth(**SAID, factor="a", method="polynomial", smoothing=1.0), "takes no smoothing"),
    (lambda: CapChange(**SAID, up=-0.1), "up is -0.1"),
    (lambda: CapChange(**SAID, up=0.1, down=1.0), "down is 1.0"),
    (lambda: KeepTotal(**SAID, to="last"), "to is 'last'"),
])  # fmt: skip
def test_a_step_that_cannot_be_is_refused(make, said):
    with pytest.raises(InputError) as refused:
        make()
    assert said in str(refused.value)


def test_a_file_of_steps_with_faults_has_all_of_them_said(tmp_path):
    path = tmp_path / "steps.toml"
    path.write_text(
        """
colour = "red"
[[step]]
step = "set_level"
who = "Li"
when = 2026-05-01
why = "filed"
factor = "sex"
level = "m"
relativity = -1
mood = "good"
[[step]]
step = "smoth"
[[step]]
step = "cap_change"
who = ""
when = "May"
""",
        encoding="utf-8",
    )
    with pytest.raises(InputError) as refused:
        read_steps(path)
    for said in (
        "unknown key 'colour'", "step 1 (set_level): relativity is -1", "step 1 (set_level): unknown key 'mood'",
        "step 2: no kind 'smoth'; did you mean 'smooth'", "step 3 (cap_change): 'up' is missing",
        "step 3 (cap_change): 'why' is missing",
    ):  # fmt: skip
        assert said in str(refused.value), refused.value
    assert "when is datetime" not in str(refused.value)  # a date of TOML is a date
    for text, said in (
        ("", "has no list of steps"),
        ("step = 3", "has no list"),
        ("[[", "cannot be used"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=said):
            read_steps(path)
    with pytest.raises(InputError, match=r"is not \.toml or \.json"):
        write_steps(SIX, tmp_path / "steps.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_steps(tmp_path / "none.toml")
    twice = tmp_path / "steps.json"
    twice.write_text('{"step": [{"step": "refit", "who": "a", "who": "b"}]}', encoding="utf-8")
    with pytest.raises(InputError, match="'who' stands twice"):
        read_steps(twice)
    write_steps(SIX, twice)
    assert json.loads(twice.read_text(encoding="utf-8"))["step"][0]["who"] == "陈静"
