"""Reference rates: the files as shipped, exact lookup, what they refuse, and what follows from them."""

import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.data import (
    RateTable,
    close_share,
    disability_matrices,
    disability_rates,
    illustrative_duration_rates,
    life_expectancy,
    provenance,
    rate_table,
    reference_table,
    reference_tables_markdown,
    source_of,
)
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.expected_rates import expected_rate
from pricing.experience.views import actual_to_expected

PAGE = Path(__file__).parents[1] / "docs" / "reference_tables.md"
REWRITE = """.venv/bin/python -c "from pathlib import Path; from pricing.data import \
reference_tables_markdown as page; \
Path('docs/reference_tables.md').write_text(page(), encoding='utf-8')\""""
RATED = [name for name, entry in provenance().items() if "measure" in entry]


def several(name):
    return reference_table(name)["table"].unique(maintain_order=True).to_list()


def of(name, table, sex, ages):
    rates = rate_table(name, table).only(sex).rates
    return rates.filter(pl.col("age").is_in(list(ages)))["rate"].to_numpy()


# --- the files ---------------------------------------------------------------------------------


def test_every_file_has_an_entry_and_every_entry_a_file():
    folder = bundled("tables/SOURCES.toml").parent
    assert {p.stem for p in folder.iterdir()} - {"SOURCES"} == set(provenance())


@pytest.mark.parametrize("name", list(provenance()))
def test_an_entry_describes_the_columns_of_its_file_in_order(name):
    entry = provenance(name)
    described = [text.split(" ")[0].rstrip(":") for text in entry["columns"].split("; ")]
    assert described == reference_table(name).columns
    assert entry["source"] == source_of(name)
    assert set(entry) <= {"source", "columns", "unit", "measure", "warning", "checks"}
    if "unit" in entry:
        assert entry["warning"]
        assert entry["checks"]


def test_the_page_is_that_of_the_entries():
    written = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    if written != reference_tables_markdown():
        pytest.fail(f"{PAGE.name} is not what SOURCES.toml says now; rewrite it:\n{REWRITE}")
    with bundled("tables/SOURCES.toml").open("rb") as file:
        for name, entry in tomllib.load(file).items():
            assert f"## {name}\n" in written
            for text in (entry["source"], entry.get("warning", ""), *entry.get("checks", [])):
                assert text in written


@pytest.mark.parametrize(
    ("name", "ages", "last"),
    [
        ("cn_life_2010_2013", (0, 105), {}),
        ("cn_life_2025", (0, 105), {}),
        ("cn_ci_2020", (0, 105), {"ci5": 65, "ci6": 65, "ci8": 75, "ci9": 75}),
        ("cn_ci_2020_k", (0, 104), {}),
        ("cn_ci_2020_minor", (0, 60), {}),
    ],
)
def test_ages_run_without_gaps_as_the_entry_says(name, ages, last):
    for table in several(name):
        by = (
            rate_table(name, table)
            .rates.group_by("sex")
            .agg(low=pl.min("age"), high=pl.max("age"), ages=pl.len())
        )
        low = 50 if table == "ci10" else ages[0]
        for row in by.iter_rows(named=True):
            assert (row["low"], row["high"]) == (low, last.get(table, ages[1]))
            assert row["ages"] == row["high"] - row["low"] + 1


def test_units_are_those_of_the_print():
    at = {"sex": "male", "age": 60}
    printed = {
        "cn_life_2010_2013": ("cl1", "fraction", 0.009161, 1),
        "cn_life_2025": ("cl2", "per_mille", 7.952, 1000),
        "cn_ci_2020": ("ci4", "per_mille", 14.865, 1000),
        "cn_ci_2020_k": ("k2", "percent", 64.36, 100),
    }
    for name, (table, column, value, per) in printed.items():
        row = reference_table(name).filter(table=table, **at)
        assert row[column].to_list() == [value]
        assert rate_table(name, table).rates.filter(**at)["rate"][0] == value / per
    minor = rate_table("cn_ci_2020_minor")
    assert minor.rates.filter(sex="female", age=30)["rate"][0] == 1.4276
    assert minor.measure == "ratio"


def test_tables_keep_their_order_by_severity_of_the_business():
    life = {
        t: rate_table("cn_life_2025", t).rates["rate"].to_numpy() for t in several("cn_life_2025")
    }
    below = rate_table("cn_life_2025", "cl1").rates["age"].to_numpy() < 105
    for lower, upper in (("cl1", "cl3"), ("cl3", "cl2"), ("cl1", "cl4"), ("cl4", "cl2")):
        assert (life[lower] < life[upper])[below].all()
    ci = reference_table("cn_ci_2020").pivot(on="table", index=["sex", "age"], values="per_mille")
    for lower, upper in (
        ("ci1", "ci2"),
        ("ci3", "ci4"),
        *((f"ci{n}", "ci3") for n in (7, 8, 9, 10)),
    ):
        both = ci.drop_nulls([lower, upper])
        assert (both[lower] < both[upper]).all()


# --- expectation of life, k, and prices that were computed apart ------------------------------


@pytest.mark.parametrize(
    ("table", "sex", "years"),
    [
        ("cl1", "male", 85.22),
        ("cl1", "female", 89.19),
        ("cl4", "male", 81.18),
        ("cl4", "female", 85.47),
    ],
)
def test_expectation_of_life_equals_the_loop_over_ages(table, sex, years):
    rates = rate_table("cn_life_2025", table).only(sex)
    found = life_expectancy(rates)
    q = rates.rates["rate"].to_list()
    for age in (0, 60, 104, 105):
        alive, lived = 1.0, 0.5
        for value in q[age:]:
            alive *= 1 - value
            lived += alive
        assert found["years"][age] == pytest.approx(lived, rel=1e-12)
    assert round(found["years"][0], 2) == years


def test_expectation_of_life_of_two_sexes_is_that_of_each():
    both = life_expectancy(rate_table("cn_life_2025", "cl3"))
    for sex in ("female", "male"):
        alone = life_expectancy(rate_table("cn_life_2025", "cl3").only(sex))
        assert both.filter(sex=sex)["years"].to_list() == alone["years"].to_list()


def test_expectation_of_life_refuses_open_and_early_ends():
    frame = pl.DataFrame({"age": [0, 1, 2], "rate": [0.1, 0.2, 0.9]})
    with pytest.raises(InputError, match=r"the rate 1 at its last age and only there; it is 0\.9"):
        life_expectancy(RateTable(name="open", rates=frame))
    early = frame.with_columns(rate=pl.Series([0.1, 1.0, 1.0]))
    with pytest.raises(InputError, match="at age 1"):
        life_expectancy(RateTable(name="early", rates=early))
    with pytest.raises(InputError, match="probabilities of death"):
        life_expectancy(rate_table("cn_ci_2020_k", "k1"))


@pytest.mark.parametrize(("k", "ci"), [("k1", "ci1"), ("k2", "ci4"), ("k3", "ci7")])
def test_k_at_105_closes_the_table(k, ci):
    share, i = rate_table("cn_ci_2020_k", k), rate_table("cn_ci_2020", ci)
    q = rate_table("cn_life_2025", "cl2")
    closed = close_share(share, i, q)
    assert closed.rates.height == share.rates.height + 2
    for sex in ("female", "male"):
        at = {"sex": sex, "age": 105}
        values = [t.rates.filter(**at)["rate"][0] for t in (i, q, closed)]
        assert values[0] + values[1] - values[2] * values[1] == pytest.approx(1, abs=1e-15)
    with pytest.raises(InputError, match="nothing to add"):
        close_share(closed, i, q)
    with pytest.raises(InputError, match="different keys"):
        close_share(share, i.only("male"), q)


@pytest.mark.parametrize(
    ("sex", "age", "years", "premium"),
    [
        ("male", 30, 20, 233.98), ("female", 30, 20, 264.63), ("male", 30, 30, 408.30),
        ("female", 30, 30, 376.90), ("male", 40, 20, 604.94), ("female", 40, 20, 535.76),
    ],
)  # fmt: skip
def test_a_level_premium_from_three_tables(sex, age, years, premium):
    """Critical illness only, 100,000, i = 2 %, paid in mid-year: computed apart from this code."""
    ages = range(age, age + years)
    q, i, k = (
        of(name, table, sex, ages)
        for name, table in (("cn_life_2025", "cl2"), ("cn_ci_2020", "ci4"), ("cn_ci_2020_k", "k2"))
    )
    in_force = np.cumprod(np.r_[1, 1 - i - q * (1 - k)])[:-1]
    discount = 1.02 ** -np.arange(years)
    claims = (in_force * i * discount).sum() * 1.02**-0.5
    assert round(1e5 * claims / (in_force * discount).sum(), 2) == premium


@pytest.mark.parametrize(
    ("name", "table", "sex", "value"),
    [
        ("cn_life_2010_2013", "cl5", "male", 18.78776), ("cn_life_2010_2013", "cl6", "female", 20.80618),
        ("cn_life_2025", "cl1", "male", 19.65074), ("cn_life_2025", "cl1", "female", 21.26350),
    ],
)  # fmt: skip
def test_an_annuity_due_at_60(name, table, sex, value):
    alive = np.cumprod(np.r_[1, 1 - of(name, table, sex, range(60, 106))])[:-1]
    assert (alive * 1.025 ** -np.arange(46)).sum() == pytest.approx(value, abs=6e-6)


def test_critical_illness_before_80():
    for sex, chance in (("male", 0.550), ("female", 0.424)):
        assert 1 - np.prod(1 - of("cn_ci_2020", "ci4", sex, range(30, 80))) == pytest.approx(
            chance, abs=5e-4
        )


# --- lookup ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RATED)
def test_lookup_equals_a_join_at_every_key(name):
    for table in several(name):
        rates = rate_table(name, table)
        frame = rates.rates.rename({"rate": "joined"}).sample(fraction=1, shuffle=True, seed=3)
        found = frame.with_columns(rates.rate())
        assert found["rate"].to_list() == found["joined"].to_list()


@pytest.mark.parametrize(
    "kind", [pl.Int8, pl.UInt8, pl.Int16, pl.UInt32, pl.Int64, pl.Float32, pl.Float64]
)
def test_lookup_takes_any_number(kind):
    lives = pl.DataFrame({"sex": ["male"] * 3, "age": pl.Series([0, 40, 105], dtype=kind)})
    found = lives.select(rate_table("cn_ci_2020", "ci4").rate()).to_series().to_list()
    assert found == [0.438 / 1000, 2.299 / 1000, 197.7 / 1000]


def test_lookup_gives_null_beside_the_table_and_never_the_rate_beside():
    table = rate_table("cn_ci_2020", "ci10")
    ages = [49.0, 106.0, 60.5, -1.0, 1060.0, 1e18, float("nan"), float("inf"), None]
    lives = pl.DataFrame({"sex": ["male"] * len(ages), "age": ages})
    assert lives.select(table.rate()).to_series().null_count() == len(ages)
    strange = pl.DataFrame({"sex": ["M", "", None, "Female"], "age": [60] * 4})
    assert strange.select(table.rate()).to_series().null_count() == 4


def test_lookup_of_banded_text_is_refused_by_the_engine():
    table = rate_table("cn_ci_2020", "ci4")
    for kind in (pl.String, pl.Enum(["40-44"])):
        lives = pl.DataFrame({"sex": ["male"], "age": pl.Series(["40-44"], dtype=kind)})
        with pytest.raises(pl.exceptions.PolarsError):
            lives.select(table.rate())


def test_lookup_works_lazily_and_on_columns_of_other_names():
    table = rate_table("cn_life_2025", "cl2")
    lives = pl.LazyFrame({"s": ["female", "male"], "a": [40, 80]}).cast(
        {"s": pl.Enum(["male", "female"])}
    )
    expression = table.rate(sex="s", age=pl.col("a") - 1)
    assert lives.select(expression).collect(engine="streaming").to_series().to_list() == [
        table.rates.filter(sex="female", age=39)["rate"][0],
        table.rates.filter(sex="male", age=79)["rate"][0],
    ]


def test_a_select_and_ultimate_table_keeps_its_last_duration():
    frame = pl.DataFrame(
        {"age": [40, 41, 41, 42], "duration": [1, 1, 2, 2], "rate": [0.1, 0.2, 0.3, 0.4]}
    )
    lives = pl.DataFrame({"age": [41, 41, 41, 1041], "duration": [1, 2, 9, 0]})
    capped = RateTable(name="s", rates=frame, ultimate=True)
    assert lives.select(capped.rate()).to_series().to_list() == [0.2, 0.3, 0.3, None]
    strict = RateTable(name="s", rates=frame)
    assert lives.select(strict.rate()).to_series().to_list() == [0.2, 0.3, None, None]


# --- what is refused ---------------------------------------------------------------------------


def test_names_that_do_not_ship_give_the_nearest():
    with pytest.raises(InputError, match="did you mean 'cn_ci_2020'"):
        rate_table("cn_ci_2021", "ci4")
    with pytest.raises(InputError, match="did you mean 'ci4'"):
        rate_table("cn_ci_2020", "c4")
    with pytest.raises(InputError, match="name one of cl1, cl2, cl3, cl4"):
        rate_table("cn_life_2025")
    with pytest.raises(InputError, match=r"no rate table 'ships'"):
        rate_table("ships", "A")
    for verb in (reference_table, source_of, provenance):
        with pytest.raises(InputError, match="did you mean 'ships'"):
            verb("ship")
    with pytest.raises(InputError, match="did you mean 'male'"):
        rate_table("cn_life_2025", "cl2").only("Male")


def test_two_tables_of_one_sex_are_refused():
    with pytest.raises(InputError, match="keys given more than once in 212 of 212 rows"):
        rate_table("cn_life_2010_2013", "cl1", "cl3")
    assert rate_table("cn_life_2010_2013", "cl1", "cl2").rates.height == 212


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"age": [1]}, "'rate' is missing"),
        ({"rate": [0.1]}, "'age' is missing"),
        ({"age": [1.0], "rate": [0.1]}, "'age' is Float64, not whole numbers"),
        ({"age": ["1"], "rate": [0.1]}, "'age' is String, not whole numbers"),
        ({"age": [1], "rate": ["0.1"]}, "'rate' is String, not a number"),
        ({"age": [1], "rate": [0.1], "region": ["x"]}, "'region' is none of"),
        ({"age": [1, 2], "rate": [0.1, 1.5]}, "above 1 in 1 of 2 rows: 2, 1.5"),
        ({"age": [1, 2], "rate": [0.1, -0.5]}, "below 0 or above 1 in 1 of 2 rows"),
        ({"age": [1, 2], "rate": [0.1, None]}, "null or not finite in 1 of 2 rows"),
        ({"age": [1, 2], "rate": [0.1, float("nan")]}, "null or not finite in 1 of 2 rows"),
        ({"age": [1, 1], "rate": [0.1, 0.1]}, "more than once in 2 of 2 rows"),
        ({"age": [1, None], "rate": [0.1, 0.1]}, "an age that is null"),
        ({"age": [1, 200], "rate": [0.1, 0.1]}, "not in 0 to 150"),
        ({"age": [-1, 0], "rate": [0.1, 0.1]}, "not in 0 to 150"),
        ({"age": [1, 3, 9], "rate": [0.1] * 3}, "2 gaps in the ages: before 3, before 9"),
        ({"age": [1], "sex": ["m"], "rate": [0.1]}, "a sex other than female and male"),
        ({"age": [1], "duration": [0], "rate": [0.1]}, "a duration that is null or not in 1"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(columns, said):
    with pytest.raises(InputError) as caught:
        RateTable(name="ours", rates=pl.DataFrame(columns, strict=False))
    assert said in str(caught.value)
    assert str(caught.value).startswith("ours: ")


def test_a_table_without_rows_and_an_unknown_measure_are_refused():
    empty = pl.DataFrame(schema={"age": pl.Int64, "rate": pl.Float64})
    with pytest.raises(InputError, match="there are no rates"):
        RateTable(name="ours", rates=empty)
    with pytest.raises(InputError, match="did you mean 'ratio'"):
        RateTable(name="ours", rates=pl.DataFrame({"age": [1], "rate": [2.0]}), measure="ration")


def test_gaps_are_looked_for_within_each_sex():
    frame = pl.DataFrame({"sex": ["female", "male"], "age": [10, 50], "rate": [0.1, 0.1]})
    assert RateTable(name="ours", rates=frame).rates.height == 2


# --- expected claims ---------------------------------------------------------------------------


def cells(rows=5_000, seed=1):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "sex": rng.choice(["female", "male"], rows),
            "age": rng.integers(30, 70, rows),
            "region": rng.choice(["east", "west"], rows),
            "exposure": rng.uniform(0.2, 1, rows),
            "claims": rng.integers(0, 2, rows),
        }
    )


def test_expected_claims_equal_the_sum_over_rows():
    rows, table = cells(), rate_table("cn_ci_2020", "ci4")
    seen = Experience.collect(rows, ["sex", "age", "region"])
    found = actual_to_expected(seen, expected_rate(seen, table), "region").table
    by_hand = (
        rows.join(table.rates.cast({"sex": pl.String}), on=["sex", "age"])
        .group_by("region")
        .agg(expected=(pl.col("rate") * pl.col("exposure")).sum(), claims=pl.sum("claims"))
        .sort("region")
    )
    assert found["expected"].to_list() == pytest.approx(by_hand["expected"].to_list(), rel=1e-12)
    assert found["claims"].to_list() == by_hand["claims"].to_list()


def test_expected_claims_go_into_sums_and_add_over_shards():
    rows, table = cells(), rate_table("cn_ci_2020", "ci4")

    def expected(frame):
        seen = Experience.collect(frame, ["sex", "age"])
        rate = expected_rate(seen, table)
        return seen.with_sums(expected=rate * pl.col("exposure"))

    whole, parts = expected(rows), expected(rows[:2000]) + expected(rows[2000:])
    assert whole.cells["expected"].sum() == pytest.approx(parts.cells["expected"].sum(), rel=1e-12)


def test_single_ages_may_be_a_factor_but_bands_are_refused():
    table = rate_table("cn_ci_2020", "ci4")
    rows = cells().with_columns(age=pl.col("age").cast(pl.String))
    factor = Experience.collect(rows, ["sex", "age"])
    number = Experience.collect(cells(), ["sex", "age"])
    assert (
        actual_to_expected(factor, expected_rate(factor, table), "sex").table["expected"].to_list()
        == actual_to_expected(number, expected_rate(number, table), "sex")
        .table["expected"]
        .to_list()
    )
    banded = Experience.collect(rows.with_columns(age=pl.lit("30-69")), ["sex", "age"])
    with pytest.raises(
        InputError, match=r"1 of 1 levels of 'age' are no single year, first '30-69'"
    ):
        expected_rate(banded, table)


def test_ages_beyond_the_table_are_named_with_counts():
    rows = cells().with_columns(
        pl.when(pl.col("age") > 60).then(pl.col("age") + 40).otherwise("age").alias("age")
    )
    seen = Experience.collect(rows, ["sex", "age", "region"])
    with pytest.raises(InputError) as caught:
        expected_rate(seen, rate_table("cn_life_2025", "cl2"))
    said = str(caught.value)
    assert "cn_life_2025 cl2 has no rate for 16 of 160 cells" in said
    assert "ages 0 to 105" in said
    assert "sex female, age 106: 2 cells" in said
    assert "and 3 more" in said
    kept = seen.where(pl.col("age") <= 105)
    assert expected_rate(kept, rate_table("cn_life_2025", "cl2")).meta.root_names()


def test_ages_between_two_years_are_named():
    rows = cells().with_columns(age=pl.col("age") + 0.5)
    seen = Experience.collect(rows, ["sex", "age"])
    with pytest.raises(InputError, match=r"age 30\.5"):
        expected_rate(seen, rate_table("cn_ci_2020", "ci4"))


def test_other_words_for_the_sexes_are_named():
    rows = cells().with_columns(sex=pl.col("sex").replace_strict({"female": "F", "male": "M"}))
    seen = Experience.collect(rows, ["sex", "age"])
    with pytest.raises(InputError, match="sex F, age 30"):
        expected_rate(seen, rate_table("cn_ci_2020", "ci4"))


def test_keys_that_lack_and_tables_that_are_no_rates_are_refused():
    seen = Experience.collect(cells(), ["region", "age"])
    with pytest.raises(InputError, match="no key 'sex'"):
        expected_rate(seen, rate_table("cn_ci_2020", "ci4"))
    alone = expected_rate(seen, rate_table("cn_ci_2020", "ci4").only("male"))
    assert set(alone.meta.root_names()) == {"age"}
    with pytest.raises(InputError, match="did you mean 'age'"):
        expected_rate(seen, rate_table("cn_ci_2020", "ci4").only("male"), age="aged")
    with pytest.raises(InputError, match="k2, male is a share, not a rate"):
        expected_rate(seen, rate_table("cn_ci_2020_k", "k2").only("male"))
    with pytest.raises(InputError, match="did you mean 'central'"):
        expected_rate(seen, rate_table("cn_ci_2020", "ci4").only("male"), exposed="centrl")


def test_central_exposure_takes_the_force_of_transition():
    rows = pl.DataFrame({"age": [104], "exposure": [1.0], "claims": [1]})
    seen, table = Experience.collect(rows, ["age"]), rate_table("cn_life_2025", "cl2").only("male")
    q = table.rates.filter(age=104)["rate"][0]
    force = seen.cells.select(expected_rate(seen, table, exposed="central")).item()
    assert force == pytest.approx(-np.log(1 - q), rel=1e-14)
    assert 1 - np.exp(-force) == pytest.approx(q, rel=1e-14)


# --- disability --------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 3])
def test_rows_of_the_matrices_add_to_one_but_for_rounding(horizon):
    found = disability_matrices(horizon)
    sums = found.group_by("age_band", "sex", "from_state").agg(pl.sum("probability"), pl.len())
    assert sums.height == 7 * 2 * 3
    assert (sums["len"] == 4).all()
    assert (sums["probability"] - 1).abs().max() <= 0.001 + 1e-12


def test_the_cube_of_a_year_is_off_three_years_in_the_blocks_named():
    off = {}
    for (band, sex), _ in disability_matrices().group_by("age_band", "sex"):
        one, three = (
            np.vstack([p / p.sum(1, keepdims=True), [0, 0, 0, 1]])
            for p in (
                disability_matrices(h)
                .filter(pl.col("age_band") == band, pl.col("sex") == sex)
                .sort("from_state", "to_state")["probability"]
                .to_numpy()
                .reshape(3, 4)
                for h in (1, 3)
            )
        )
        gap = np.abs(np.linalg.matrix_power(one, 3) - three).max()
        if gap > 0.01:
            off[band, sex] = gap
    noted = {("70-75", "male"): 0.088, ("75-80", "male"): 0.017, ("85-90", "male"): 0.088,
             ("70-75", "female"): 0.118, ("95+", "female"): 0.015}  # fmt: skip
    assert set(off) == set(noted)
    assert all(off[block] == pytest.approx(noted[block], abs=1.5e-3) for block in noted)


def test_rates_follow_age_sex_and_time_as_the_paper_has_it():
    static = disability_rates("clhls", [65, 75]).filter(
        sex="male", from_state="healthy", to_state="dead"
    )
    assert np.log(static["rate"][1] / static["rate"][0]) == pytest.approx(0.7669)
    both = disability_rates("clhls", [70], model="trend", year=2008).filter(to_state="healthy")
    assert np.log(
        both.filter(sex="female")["rate"][0] / both.filter(sex="male")["rate"][0]
    ) == pytest.approx(0.1167)
    at = [
        disability_rates("clhls", [70], model="trend", year=year).filter(
            sex="male", to_state="disabled"
        )["rate"][0]
        for year in (1998, 2008)
    ]
    assert np.log(at[1] / at[0]) == pytest.approx(-0.5349)
    shocked = [
        disability_rates("hrs", [70], model="frailty", year=2000, latent=v).filter(
            sex="male", to_state="disabled"
        )["rate"][0]
        for v in (0.0, 2.0)
    ]
    assert np.log(shocked[1] / shocked[0]) == pytest.approx(2 * -0.0641)


def test_the_trend_counts_from_1998_in_decades_and_in_waves():
    def rate(study, to, year):
        found = disability_rates(study, [70], model="trend", year=year)
        return found.filter(sex="male", from_state="healthy", to_state=to)["rate"][0]

    assert np.log(rate("clhls", "disabled", 1998)) == pytest.approx(
        -4.3794 + 0.5810 * 0.5 - 0.5349 * 0.1
    )
    assert np.log(rate("hrs_5", "ill", 2012)) == pytest.approx(-4.8565 + 0.0251 * 70 + 0.0306 * 8)


def test_five_states_die_faster_the_worse_they_are():
    deaths = disability_rates("hrs_5", [65]).filter(sex="male", to_state="dead")
    rate = dict(deaths.select("from_state", "rate").iter_rows())
    assert [round(rate[s], 3) for s in ("healthy", "ill", "disabled", "ill_disabled")] == [
        0.010, 0.022, 0.042, 0.083,
    ]  # fmt: skip
    found = disability_rates("hrs_5", [65, 66], model="trend", year=2012)
    assert found.height == 2 * 2 * 12
    assert not found.filter(from_state="ill", to_state="healthy").height


def test_rates_by_duration_are_those_of_the_scripts():
    found = illustrative_duration_rates([40.0], [0, 0.2291667, 0.23, 2, 2.1, 5, 5.1])
    ours = found.filter(sex="female", to_state="active")["rate"].to_list()
    x, logs = 40.0, [
        0.8694878, 0.8694878 + 1.8228841 * 0.2291667, 1.517019 - 1.0027067 * 0.23,
        1.517019 - 1.0027067 * 2, 0.4279071 - 0.4581508 * 2.1, 0.4279071 - 0.4581508 * 5,
    ]  # fmt: skip
    assert ours[:-1] == pytest.approx(np.exp(np.array(logs) - 0.0314083 * x).tolist())
    assert ours[-1] == pytest.approx(np.exp(0.5640359 - 0.1035612 * x))


def test_a_disabled_life_annuity_from_the_rates_by_duration():
    """To 67, i = 2 %, onset at 40: computed apart, in continuous time, when the table was taken in."""
    step = 1 / 2000
    z = np.arange(0, 27, step) + step / 2
    rates = pl.concat(
        illustrative_duration_rates([40 + part[0]], [part[0]]) for part in z[::200].reshape(-1, 1)
    )
    assert rates.height == len(z[::200]) * 4
    pieces = reference_table("danish_disability")
    for sex, printed in (("female", 5.40629), ("male", 10.36937)):
        total = np.zeros_like(z)
        for row in pieces.filter(sex=sex).iter_rows(named=True):
            end = row["duration_to"] or np.inf
            held = (z > row["duration_above"]) & (z <= end)
            total += held * np.exp(row["constant"] + row["age"] * (40 + z) + row["duration"] * z)
        stays = np.exp(-(np.cumsum(total) - total / 2) * step)
        assert (stays * 1.02**-z).sum() * step == pytest.approx(printed, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("clhl", [65]), {}, "did you mean 'clhls'"),
        (("clhls", [65]), {"model": "trends", "year": 2010}, "did you mean 'trend'"),
        (("clhls", [64]), {}, r"from 65 to 110, got \[64\]"),
        (("clhls", []), {}, "from 65 to 110"),
        (("clhls", [65]), {"year": 2010}, "the static model takes no year"),
        (("clhls", [65]), {"model": "trend"}, "need one"),
        (("clhls", [65]), {"model": "trend", "year": 1990}, "starts in 1998"),
        (("clhls", [65]), {"model": "trend", "year": 2010, "latent": 1.0}, "only the frailty"),
    ],
)
def test_disability_rates_refuse(arguments, options, said):
    with pytest.raises(InputError, match=said):
        disability_rates(*arguments, **options)


def test_matrices_and_durations_refuse():
    with pytest.raises(InputError, match="1 or 3 years, not 2"):
        disability_matrices(2)
    for ages, durations in (
        ([10], [1]),
        ([], [1]),
        ([40], [-1]),
        ([40], [float("inf")]),
        ([40], []),
    ):
        with pytest.raises(InputError):
            illustrative_duration_rates(ages, durations)


def test_policy_years_from_nought_are_not_taken_for_durations_from_one():
    select = pl.DataFrame(
        {"age": [40, 41] * 2, "duration": [1, 1, 2, 2], "rate": [0.1, 0.2, 0.3, 0.4]}
    )
    table = RateTable(name="ours", rates=select, ultimate=True)
    rows = pl.DataFrame(
        {"age": [40, 41], "policy_year": [1, 2], "exposure": [1.0, 1.0], "claims": [0, 1]}
    )
    seen = Experience.collect(rows, ["age", "policy_year"])
    with pytest.raises(InputError, match=r"counts policy years from 0 .* the lowest here is 1"):
        expected_rate(seen, table, duration="policy_year")
    ours = seen.with_keys(duration=pl.col("policy_year") + 1)
    assert ours.cells.select(expected_rate(ours, table)).to_series().to_list() == [0.3, 0.4]
    early = Experience.collect(
        rows.select(pl.exclude("policy_year"), duration=pl.Series([0, 1])), ["age", "duration"]
    )
    with pytest.raises(InputError, match="'duration' counts policy years from 0"):
        expected_rate(early, table)


def test_central_exposure_at_a_rate_of_one_is_refused_by_name():
    rows = pl.DataFrame(
        {"sex": ["male"] * 2, "age": [40, 105], "exposure": [9.0, 2.5], "claims": [0, 2]}
    )
    seen, table = Experience.collect(rows, ["sex", "age"]), rate_table("cn_life_2025", "cl2")
    with pytest.raises(
        InputError, match=r"for 1 cells \(2\.5 policy-years\), first sex male, age 105"
    ):
        expected_rate(seen, table, exposed="central")
    young = seen.where(pl.col("age") < 105)
    assert young.cells.select(expected_rate(young, table, exposed="central")).item() > 0
    assert seen.cells.select(expected_rate(seen, table)).to_series()[1] == 1.0
