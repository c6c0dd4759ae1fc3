"""Iterative and hierarchical credibility, and shrunken relativities: textbook, truth, invariance."""

import numpy as np
import polars as pl
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from pricing.claims.models import fit_frequency
from pricing.data.tables import reference_table
from pricing.errors import InputError
from pricing.estimate.credibility import buhlmann_straub, credibility_of_cells, pseudo_between
from pricing.estimate.hierarchy import hierarchical, hierarchy_of_cells
from pricing.estimate.shrinkage import credible_relativities, shrunken_effects
from pricing.experience.cells import Experience
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, catalogue

METHODS = ["iterative", "buhlmann_gisler", "ohlsson"]


def hachemeister():
    return reference_table("hachemeister").with_columns(
        cohort=pl.col("state").replace_strict({1: "a", 2: "b", 3: "a", 4: "b", 5: "b"})
    )


def tree(seed, regions=12, firms=8, years=5, within=4.0, a=0.5, b=0.3, uneven=True):
    """Observations whose variance components are known."""
    rng = np.random.default_rng(seed)
    region = np.repeat(np.arange(regions), firms * years)
    firm = np.tile(np.repeat(np.arange(firms), years), regions)
    of_region = rng.normal(10, np.sqrt(b), regions)[region]
    of_firm = rng.normal(0, np.sqrt(a), (regions, firms))[region, firm]
    weight = rng.uniform(0.5, 8.0, len(region)) if uneven else np.full(len(region), 3.0)
    x = of_region + of_firm + rng.normal(0, np.sqrt(within / weight))
    return pl.DataFrame({"region": region, "firm": firm, "x": x, "w": weight})


def found_in(frame, method="iterative", groups=("region", "firm")):
    return hierarchical(frame, groups=list(groups), value="x", weight="w", method=method)


# -- one level --------------------------------------------------------------------------------------


def test_the_iterative_estimator_solves_its_equation():
    frame = hachemeister()
    found = buhlmann_straub(
        frame, group="state", value="ratio", weight="weight", estimator="iterative"
    )
    z, mean = found.table["credibility"], found.table["mean"]
    centre = (z * mean).sum() / z.sum()
    assert found.facts["collective"] == pytest.approx(centre, rel=1e-12)
    solved = (z * (mean - centre) ** 2).sum() / 4
    assert found.facts["between"] == pytest.approx(solved, rel=1e-10)
    # iterating from the unbiased estimate comes to the same
    plain = buhlmann_straub(frame, group="state", value="ratio", weight="weight")
    a, s2, w = plain.facts["between"], plain.facts["within"], plain.table["weight"]
    for _ in range(400):
        z = w * a / (w * a + s2)
        a = float((z * (mean - (z * mean).sum() / z.sum()) ** 2).sum()) / 4
    assert found.facts["between"] == pytest.approx(a, rel=1e-9)
    assert found.facts["within"] == s2
    assert found.facts["complement"] == "collective mean"
    assert any("iterative" in note for note in found.basis.notes)
    assert any("the collective mean of 'state'" in note for note in plain.basis.notes)


def test_for_equal_weights_both_estimators_are_one_and_both_vanish_together():
    frame = hachemeister()
    one, two = (
        buhlmann_straub(frame, group="state", value="ratio", estimator=e)
        for e in ("unbiased", "iterative")
    )
    assert one.facts["between"] == pytest.approx(two.facts["between"], rel=1e-10)
    near = pl.DataFrame(
        {"g": ["a", "a", "b", "b"], "x": [0.0, 2.0, 0.1, 2.1], "w": [1.0, 1.0, 2.0, 2.0]}
    )
    for estimator in ("unbiased", "iterative"):
        none = buhlmann_straub(near, group="g", value="x", weight="w", estimator=estimator)
        assert none.facts["between"] == 0.0
    sure = pl.DataFrame({"g": ["a", "a", "b", "b"], "x": [1.0, 1.0, 3.0, 3.0]})
    found = buhlmann_straub(sure, group="g", value="x", estimator="iterative")
    assert found.facts["between"] == pytest.approx(2.0)
    assert found.table["premium"].to_list() == [1.0, 3.0]
    with pytest.raises(InputError, match="did you mean 'iterative'"):
        buhlmann_straub(sure, group="g", value="x", estimator="iterativ")


def test_the_iterative_estimate_from_cells_is_that_of_the_rows():
    rng = np.random.default_rng(2)
    group, exposure = rng.integers(0, 6, 4_000), rng.uniform(0.1, 1, 4_000)
    rate = np.exp(rng.normal(-1, 0.4, 6))[group]
    rows = pl.DataFrame(
        {"g": group, "exposure": exposure, "claims": rng.poisson(rate * exposure)}
    ).with_columns(pl.col("g").cast(pl.String))
    cells = credibility_of_cells(
        Experience.collect(rows, ["g"]), pl.lit(0.4), "g", estimator="iterative"
    )
    plain = buhlmann_straub(
        rows.with_columns(w=0.4 * pl.col("exposure")).with_columns(x=pl.col("claims") / pl.col("w")),
        group="g", value="x", weight="w", estimator="iterative",
    )  # fmt: skip
    assert cells.facts["between"] == pytest.approx(plain.facts["between"], rel=1e-9)
    np.testing.assert_allclose(cells.table["premium"], plain.table["premium"], rtol=1e-9)


def test_the_root_is_the_only_one():
    rng = np.random.default_rng(0)
    for _ in range(200):
        size = int(rng.integers(3, 30))
        u, x = rng.uniform(0.01, 3, size), rng.normal(0, rng.uniform(0.1, 3), size)
        a = pseudo_between(u, x)
        v = 1 / u
        unbiased = (v * (x - (v * x).sum() / v.sum()) ** 2).sum() - (size - 1)
        assert (a > 0) == (unbiased > 0)
        if a > 0:
            v = 1 / (u + a)
            assert (v * (x - (v * x).sum() / v.sum()) ** 2).sum() == pytest.approx(size - 1)


# -- levels above levels ----------------------------------------------------------------------------


def test_one_level_is_buhlmann_straub():
    frame = hachemeister()
    for method, estimator in (
        ("iterative", "iterative"), ("ohlsson", "unbiased"), ("buhlmann_gisler", "unbiased"),
    ):  # fmt: skip
        tall = hierarchical(frame, groups=["state"], value="ratio", weight="weight", method=method)
        flat = buhlmann_straub(
            frame, group="state", value="ratio", weight="weight", estimator=estimator
        )
        for name in ("mean", "credibility", "premium", "weight"):
            np.testing.assert_allclose(tall.table[name], flat.table[name], rtol=1e-10)
        assert tall.facts["between_lowest"] == pytest.approx(flat.facts["between"], rel=1e-10)
        assert tall.facts["collective"] == pytest.approx(flat.facts["collective"], rel=1e-12)
        assert tall.facts["complement"] == "collective"


def test_the_textbook_written_out_in_loops():
    """Bühlmann and Gisler (2005), chapter 6, node by node."""
    frame = tree(4, regions=4, firms=3)
    for method in METHODS:
        found = found_in(frame, method)
        parts = {
            key: (p["w"].to_numpy(), p["x"].to_numpy())
            for key, p in frame.group_by(["region", "firm"])
        }
        w = {k: v[0].sum() for k, v in parts.items()}
        x = {k: (v[0] * v[1]).sum() / v[0].sum() for k, v in parts.items()}
        s2 = sum((v[0] * (v[1] - x[k]) ** 2).sum() for k, v in parts.items()) / (4 * 3 * 4)
        regions = sorted({k[0] for k in parts})
        top, bottom = [], []
        for i in regions:
            held = [k for k in parts if k[0] == i]
            total = sum(w[k] for k in held)
            centre = sum(w[k] * x[k] for k in held) / total
            top.append(sum(w[k] * (x[k] - centre) ** 2 for k in held) - 2 * s2)
            bottom.append(total - sum(w[k] ** 2 for k in held) / total)
        if method == "buhlmann_gisler":
            a = np.mean([max(t / c, 0) for t, c in zip(top, bottom, strict=True)])
        elif method == "ohlsson":
            a = sum(top) / sum(bottom)
        else:
            a = found.details["between"]["firm"]
        z = {k: w[k] / (w[k] + s2 / a) for k in parts}
        zi = {i: sum(z[k] for k in parts if k[0] == i) for i in regions}
        xi = {i: sum(z[k] * x[k] for k in parts if k[0] == i) / zi[i] for i in regions}
        if method == "iterative":
            solved = sum(z[k] * (x[k] - xi[k[0]]) ** 2 for k in parts) / (4 * 2)
            assert a == pytest.approx(solved, rel=1e-9)
            b = found.details["between"]["region"]
        else:
            total = sum(zi.values())
            centre = sum(zi[i] * xi[i] for i in regions) / total
            excess = sum(zi[i] * (xi[i] - centre) ** 2 for i in regions) - 3 * a
            b = max(excess / (total - sum(v**2 for v in zi.values()) / total), 0)
        q = {i: zi[i] / (zi[i] + a / b) if b > 0 else 0.0 for i in regions}
        share = q if b > 0 else zi
        m = sum(share[i] * xi[i] for i in regions) / sum(share.values())
        pi = {i: q[i] * xi[i] + (1 - q[i]) * m for i in regions}
        assert found.facts["within"] == pytest.approx(s2, rel=1e-10)
        assert found.facts["collective"] == pytest.approx(m, rel=1e-9)
        assert found.details["between"] == pytest.approx({"region": b, "firm": a}, rel=1e-9)
        for row in found.table.iter_rows(named=True):
            k = (row["region"], row["firm"])
            assert row["complement"] == pytest.approx(pi[k[0]], rel=1e-9)
            assert row["premium"] == pytest.approx(z[k] * x[k] + (1 - z[k]) * pi[k[0]], rel=1e-9)
        np.testing.assert_allclose(found.frames["region"]["weight"], list(zi.values()), rtol=1e-9)


def test_a_mixed_model_agrees_on_a_balanced_tree():
    """For equal weights, REML of statsmodels: the same premiums of firms and regions."""
    frame = tree(9, regions=15, firms=6, years=4, b=1.0, a=0.8, uneven=False)
    found = found_in(frame)
    data = frame.to_pandas()
    model = MixedLM.from_formula(
        "x ~ 1", data, groups="region", vc_formula={"firm": "0 + C(firm)"}, re_formula="1"
    ).fit(reml=True)
    assert found.facts["collective"] == pytest.approx(model.params["Intercept"], rel=1e-6)
    assert found.facts["within"] / 3 == pytest.approx(model.scale, rel=1e-3)
    assert found.details["between"]["region"] == pytest.approx(model.cov_re.iloc[0, 0], rel=1e-3)
    assert found.details["between"]["firm"] == pytest.approx(model.vcomp[0], rel=1e-3)
    effect = [float(model.random_effects[i].iloc[0]) for i in range(15)]
    regional = found.frames["region"]["premium"] - found.facts["collective"]
    np.testing.assert_allclose(regional, effect, atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_variance_components_are_recovered(method):
    """150 simulated trees: the mean estimate is the truth within its own error."""
    found = [found_in(tree(seed), method) for seed in range(150)]
    within = np.array([one.facts["within"] for one in found])
    a = np.array([one.details["between"]["firm"] for one in found])
    b = np.array([one.details["between"]["region"] for one in found])
    for values, truth in ((within, 4.0), (a, 0.5), (b, 0.3)):
        error = values.std(ddof=1) / np.sqrt(len(values))
        # the max with zero of each region lifts Bühlmann and Gisler's estimate a little
        bias = 0.03 if method == "buhlmann_gisler" else 0.01
        assert abs(values.mean() - truth) < 3.5 * error + bias


def test_premiums_come_closer_to_the_truth_than_own_means():
    gain = []
    for seed in range(30):
        frame, again = tree(seed), np.random.default_rng(seed)  # the truth, drawn once more
        region = again.normal(10, np.sqrt(0.3), 12)
        truth = (region[:, None] + again.normal(0, np.sqrt(0.5), (12, 8))).ravel()
        t = found_in(frame).table
        gain.append(((t["mean"] - truth) ** 2).mean() - ((t["premium"] - truth) ** 2).mean())
    assert min(gain) > -0.01
    assert np.mean(gain) > 0.02


@pytest.mark.parametrize("method", METHODS)
def test_units_order_names_and_shifts_do_not_matter(method):
    frame = tree(3)
    plain = found_in(frame, method).table
    names = ["credibility", "premium", "complement"]
    for changed in (
        frame.with_columns(pl.col("w") * 1000),
        frame.sample(fraction=1.0, shuffle=True, seed=1),
    ):
        np.testing.assert_allclose(
            found_in(changed, method).table.select(names), plain.select(names), rtol=1e-8
        )
    dear = found_in(frame.with_columns(pl.col("x") * 7), method)
    np.testing.assert_allclose(dear.table["premium"], 7 * plain["premium"], rtol=1e-8)
    np.testing.assert_allclose(dear.table["credibility"], plain["credibility"], rtol=1e-8)
    up = found_in(frame.with_columns(pl.col("x") + 100), method).table
    np.testing.assert_allclose(up["premium"], plain["premium"] + 100, rtol=1e-8)
    path = frame.with_columns(firm=pl.col("region") * 100 + pl.col("firm"))
    np.testing.assert_allclose(
        found_in(path, method).table["premium"], plain["premium"], rtol=1e-12
    )


def test_three_levels_and_a_level_that_tells_nothing():
    frame = pl.concat(
        [tree(seed, regions=4).with_columns(land=pl.lit(f"l{seed}")) for seed in range(5)]
    )
    found = found_in(frame, groups=("land", "region", "firm"))
    assert set(found.frames) == {"land", "region"}
    assert found.table.height == 5 * 4 * 8
    assert set(found.details["between"]) == {"land", "region", "firm"}
    # a level above of no effect: its variance is zero, premiums are those without it
    flat = tree(8, b=0.0).with_columns(half=pl.col("region") % 2)
    wide = found_in(flat, groups=("half", "region", "firm"))
    if wide.details["between"]["half"] == 0.0:
        assert wide.frames["half"]["credibility"].to_list() == [0.0, 0.0]
        assert wide.frames["half"]["premium"].n_unique() == 1
        bare = found_in(flat)
        np.testing.assert_allclose(
            wide.table.sort("region", "firm")["premium"], bare.table["premium"], rtol=1e-8
        )


def test_no_variance_below_falls_back_to_natural_weights():
    """Firms alike within regions: Z of firms is zero, a region's mean is its weighted mean."""
    rng = np.random.default_rng(0)
    base = np.repeat([1.0, 5.0, 9.0], 40)
    x = base + np.tile(np.repeat([-1, 1], 20), 3) * 1e-3 + np.tile([1.0, -1.0], 60)
    frame = pl.DataFrame(
        {"region": np.repeat([0, 1, 2], 40), "firm": np.tile(np.repeat([0, 1], 20), 3),
         "x": x, "w": rng.uniform(1, 2, 120)}
    )  # fmt: skip
    for method in METHODS:
        found = found_in(frame, method)
        assert found.details["between"]["firm"] == pytest.approx(0.0, abs=0.05)
        if found.details["between"]["firm"] == 0.0:
            assert found.table["credibility"].to_list() == [0.0] * 6
            own = frame.group_by("region").agg(
                (pl.col("x") * pl.col("w")).sum() / pl.col("w").sum()
            )
            np.testing.assert_allclose(found.frames["region"]["mean"], own.sort("region")["x"])
        assert found.frames["region"]["credibility"].min() > 0.95


def test_cells_are_as_good_as_rows():
    rng = np.random.default_rng(7)
    size = 8_000
    region, firm = rng.integers(0, 5, size), rng.integers(0, 4, size)
    effect = (
        np.exp(rng.normal(0, 0.3, 5))[region] * np.exp(rng.normal(0, 0.2, (5, 4)))[region, firm]
    )
    exposure = rng.uniform(0.1, 1, size)
    rows = pl.DataFrame(
        {"region": region, "firm": firm, "exposure": exposure,
         "claims": rng.poisson(rng.gamma(0.5, 2.0, size) * effect * exposure)}
    ).with_columns(pl.col("region", "firm").cast(pl.String))  # fmt: skip
    seen = Experience.collect(rows, ["region", "firm"])
    cells = hierarchy_of_cells(seen, pl.lit(0.9), ["region", "firm"])
    plain = found_in(
        rows.with_columns(w=0.9 * pl.col("exposure")).with_columns(x=pl.col("claims") / pl.col("w"))
    )
    np.testing.assert_allclose(
        cells.table["premium"].to_numpy(), plain.table["premium"].to_numpy(), rtol=1e-9
    )
    assert cells.basis.claims == rows["claims"].sum()


def test_trees_that_cannot_be_estimated_are_refused():
    frame = tree(0, regions=3, firms=2)
    with pytest.raises(InputError, match="did you mean 'ohlsson'"):
        found_in(frame, "olsson")
    with pytest.raises(InputError, match="different columns, coarsest first"):
        found_in(frame, groups=("firm", "firm"))
    with pytest.raises(InputError, match="'regoin'; did you mean 'region'"):
        found_in(frame, groups=("regoin", "firm"))
    with pytest.raises(InputError, match="'region' has 1 group"):
        found_in(frame.filter(pl.col("region") == 0))
    with pytest.raises(InputError, match=r"'firm' has 3 group.* none beside another"):
        found_in(frame.filter(pl.col("firm") == 0))
    with pytest.raises(InputError, match="no group of 'firm' has two observations"):
        found_in(frame.unique(["region", "firm"], keep="first"))
    with pytest.raises(InputError, match="do not spread within any group"):
        found_in(frame.with_columns(x=pl.col("firm").cast(pl.Float64)))
    with pytest.raises(InputError, match="1 of 30 observations have no group"):
        found_in(frame.with_columns(x=pl.when(pl.int_range(pl.len()) > 0).then("x")))


# -- shrunken relativities --------------------------------------------------------------------------


def test_independent_effects_are_buhlmann_with_known_variances():
    rng = np.random.default_rng(3)
    for _ in range(20):
        u, x = rng.uniform(0.05, 0.5, 9), rng.normal(0, 0.9, 9)
        found, z, between, mean = shrunken_effects(x, np.diag(u))
        assert between == pytest.approx(pseudo_between(u, x), rel=1e-9)
        if between == 0.0:
            assert set(z) == {0.0}
            continue
        own = between / (between + u)
        centre = (own * x).sum() / own.sum()
        assert mean == pytest.approx(centre, abs=1e-12)
        np.testing.assert_allclose(found, own * x + (1 - own) * centre, rtol=1e-9, atol=1e-12)
        assert np.all(np.diff(z[np.argsort(u)]) <= 1e-12)  # less is believed of what is less sure


def test_reml_is_the_mixed_models():
    """Levels with many equal observations: the variance statsmodels finds by REML."""
    rng = np.random.default_rng(5)
    groups, years = 12, 30
    x = rng.normal(0, 0.7, groups)[:, None] + rng.normal(0, 1, (groups, years))
    data = pl.DataFrame({"x": x.ravel(), "g": np.repeat(np.arange(groups), years)}).to_pandas()
    model = MixedLM.from_formula("x ~ 1", data, groups="g").fit(reml=True)
    within = x.var(axis=1, ddof=1).mean()
    for spread in ("reml", "moment"):
        found, _, between, mean = shrunken_effects(
            x.mean(axis=1), np.eye(groups) * within / years, spread=spread
        )
        assert between == pytest.approx(float(model.cov_re.iloc[0, 0]), rel=1e-4)
        assert mean == pytest.approx(float(model.params["Intercept"]), abs=1e-6)
        effect = [float(model.random_effects[i].iloc[0]) for i in range(groups)]
        np.testing.assert_allclose(found - mean, effect, atol=1e-4)


def books(rows=6_000, seed=5, levels=14, spread=0.3, dispersion=2.0):
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(levels, 0.8)) * 0.98 + 0.02 / levels
    region = rng.choice(levels, rows, p=share / share.sum())
    sex, exposure = rng.integers(0, 2, rows), rng.uniform(0.2, 1, rows)
    effect = np.exp(rng.normal(0, spread, levels))
    mean = exposure * effect[region] * np.exp(-0.5 + 0.3 * sex)
    claims = rng.poisson(rng.gamma(mean / (dispersion - 1), dispersion - 1))
    frame = pl.DataFrame({"region": region, "sex": sex, "exposure": exposure, "claims": claims})
    text = frame.with_columns(
        pl.col("region").cast(pl.String).str.zfill(2), pl.col("sex").cast(pl.String)
    )
    return text, effect


def test_the_total_is_kept_exactly_and_the_expression_says_so():
    rows, _ = books()
    seen = Experience.collect(rows, ["region", "sex"])
    model = fit_frequency(seen, "region + sex")
    for spread in ("moment", "reml"):
        found = credible_relativities(model, seen, "region", spread=spread)
        expected = rows.select((found.rate(model) * pl.col("exposure")).sum()).item()
        assert expected == pytest.approx(rows["claims"].sum(), rel=1e-12)
        assert found.facts["total"] == pytest.approx(1.0, rel=1e-12)
        # other factors keep their relativities
        by_sex = (
            rows.filter(region=rows["region"][0])
            .group_by("sex")
            .agg(found.rate(model).first().alias("r"), old=model.rate().first())
        )
        ratio = by_sex["r"] / by_sex["old"]
        assert ratio[0] == pytest.approx(ratio[1], rel=1e-12)
        base = found.table.filter(level=model.details["base"]["region"])
        assert base["relativity"].item() == base["credible_relativity"].item() == 1.0


def test_it_does_not_matter_which_level_is_the_base():
    rows, _ = books()
    seen = Experience.collect(rows, ["region", "sex"])
    rates, credibility = [], []
    for base in ("00", "03", "07"):
        model = fit_frequency(seen, "region + sex", base={"region": base})
        found = credible_relativities(model, seen, "region")
        rates.append(seen.cells.select(found.rate(model)).to_series())
        assert found.facts["between"] == pytest.approx(0.09, abs=0.09)
        credibility.append(found.table["credibility"])
    for other in (1, 2):
        np.testing.assert_allclose(rates[other], rates[0], rtol=1e-7)
        np.testing.assert_allclose(credibility[other], credibility[0], atol=1e-7)


def test_shrunken_is_closer_to_the_truth_and_the_spread_is_found():
    """40 books of thin regions: less squared error on the log scale; τ² right on average."""
    better, spread = [], []
    for seed in range(40):
        rows, effect = books(seed=seed, rows=3_000)
        seen = Experience.collect(rows, ["region", "sex"])
        try:
            model = fit_frequency(seen, "region + sex", errors="quasi")
        except InputError:  # a region without a claim
            continue
        found = credible_relativities(model, seen, "region", errors="quasi")
        at = [int(level) for level in found.table["level"]]
        truth, weight = np.log(effect[at]), found.table["exposure"].to_numpy()

        def error(column, found=found, truth=truth, weight=weight):
            gap = np.log(found.table[column].to_numpy()) - truth
            gap -= (gap * weight).sum() / weight.sum()
            return (gap**2).mean()

        better.append(error("relativity") - error("credible_relativity"))
        spread.append(found.facts["between"])
    assert len(better) > 20
    assert np.mean(better) > 0.01
    assert np.mean(np.array(better) > 0) > 0.8
    assert np.mean(spread) == pytest.approx(0.09, abs=0.04)


def test_a_level_of_few_rows_is_not_taken_for_certain():
    """Three rows of one claim each have no spread, and no certainty either."""
    rows, _ = books()
    odd = pl.DataFrame(
        {"region": ["99"] * 3, "sex": ["0", "0", "1"], "exposure": [0.5] * 3, "claims": [1] * 3}
    )
    seen = Experience.collect(pl.concat([rows, odd]), ["region", "sex"])
    model = fit_frequency(seen, "region + sex")
    at = [c.levels for c in model.columns].index(("99",))
    robust, plain = (model.covariance(e)[at, at] for e in ("robust", "model"))
    assert robust < plain / 4
    for errors in ("robust", "model"):
        found = credible_relativities(model, seen, "region", errors=errors)
        row = found.table.filter(level="99").row(0, named=True)
        assert row["credibility"] < 0.5
        assert np.log(row["upper"] / row["relativity"]) >= 1.95 * np.sqrt(plain)


def test_levels_that_differ_by_chance_only_become_one():
    rows, _ = books(spread=0.0, dispersion=1.5, seed=1)
    seen = Experience.collect(rows, ["region", "sex"])
    model = fit_frequency(seen, "region + sex")
    found, z, between, _ = shrunken_effects(np.array([0.0, 0.1, -0.1, 0.05]), 0.5 * np.eye(4))
    assert (between, z.tolist()) == (0.0, [0.0] * 4)
    assert len(set(found)) == 1
    told = credible_relativities(model, seen, "region", errors="quasi")
    if told.facts["between"] == 0.0:
        assert set(told.table["credible_relativity"]) == {1.0}
        assert told.facts["total"] == pytest.approx(1.0, rel=1e-12)


def test_factors_that_cannot_be_shrunk_are_refused():
    rows, _ = books()
    seen = Experience.collect(rows, ["region", "sex"])
    model = fit_frequency(seen, "region + sex")
    with pytest.raises(InputError, match="'regoin' is not a factor of the model; did you mean"):
        credible_relativities(model, seen, "regoin")
    with pytest.raises(InputError, match="2 levels are too few"):
        credible_relativities(model, seen, "sex")
    with pytest.raises(InputError, match="did you mean 'moment'"):
        credible_relativities(model, seen, "region", spread="momnt")
    with pytest.raises(InputError, match="confidence level"):
        credible_relativities(model, seen, "region", level=2)
    few = rows.filter(pl.col("region").is_in(["00", "01", "02", "03"]))
    few = few.filter(pl.len().over("region") > 200)
    both = fit_frequency(Experience.collect(few, ["region", "sex"]), "region + sex + region:sex")
    with pytest.raises(InputError, match="is in an interaction"):
        credible_relativities(both, Experience.collect(few, ["region", "sex"]), "region")
    twice = rows.with_columns(copy=pl.col("region"))
    held = Experience.collect(twice, ["region", "copy"])
    with pytest.raises(InputError, match="levels of 'copy' without a coefficient"):
        credible_relativities(fit_frequency(held, "region + copy"), held, "copy")
    with pytest.raises(InputError, match="not finite"):
        shrunken_effects(np.array([0.0, np.nan, 1.0]), np.eye(3))


# -- what all results owe ---------------------------------------------------------------------------


def test_both_speak_draw_and_save(tmp_path):
    rows, _ = books()
    seen = Experience.collect(rows, ["region", "sex"])
    results = [
        found_in(tree(1)),
        credible_relativities(fit_frequency(seen, "region + sex"), seen, "region"),
    ]
    for i, result in enumerate(results):
        said = {lang: result.finding(lang) for lang in LANGUAGES}
        assert said["en"] != said["zh"]
        figure = result.figure("zh")
        name = "premium" if i == 0 else "relativity"
        assert list(figure.data[1].y) == result.table[name].to_list()
        known = {*catalogue()}
        own = {"firm"}
        for column in result.table.columns:
            assert f"term.{column}" in known or column in own, column
        result.save(tmp_path / str(i))
        assert Result.load(tmp_path / str(i)).table.equals(result.table)
        assert result.facts["complement"]
