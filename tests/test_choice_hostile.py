"""Offers that cannot be read, choices that cannot be fitted: refused by name, with counts."""

import polars as pl
import pytest

from pricing.choice.choice_model import fit_choice
from pricing.choice.offers import collect_offers
from pricing.data.check import check
from pricing.data.offers_book import OfferParameters, offered_persons, simulate_offers
from pricing.errors import InputError


@pytest.fixture(scope="module")
def book():
    return offered_persons(600, seed=4, parameters=OfferParameters(aware=1.0))


FIRST = pl.col("person_id") == "E000000001"
BASIC = pl.col("alternative") == "basic"


def at_first(column, value, where=BASIC):
    return {column: pl.when(FIRST & where).then(value).otherwise(pl.col(column))}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (at_first("price", None), "price is null, not finite or below zero in 1 of 1,800"),
        (at_first("price", float("nan")), "price is null, not finite"),
        (at_first("price", float("inf")), "price is null, not finite"),
        (at_first("price", -500.0), "price is null, not finite or below zero"),
        (at_first("subsidy", -1.0), "subsidy is null, not finite or below zero"),
        (at_first("subsidy", None), "subsidy is null"),
        (at_first("subsidy", 99999.0), "subsidy is above the price"),
        (at_first("chosen", None), "neither true nor false"),
        (at_first("alternative", None), "alternative is empty"),
        (at_first("person_id", None), "not named"),
        (at_first("risk_band", None), "'risk_band' is null"),
        (at_first("risk", float("nan")), "expected cost is null"),
        ({"chosen": pl.lit(True)}, "other than one alternative is chosen in 600 persons of 600"),
        ({"chosen": pl.lit(False)}, "other than one alternative is chosen"),
        ({"alternative": pl.col("alternative").replace({"premium": "basic"})}, "stands twice"),
        (
            {"alternative": pl.col("alternative").replace({"none": "nothing"})},
            "outside option 'none'",
        ),
        ({"alternative": pl.lit("none")}, "only alternative"),
        (at_first("age_band", pl.lit("other")), "differ between rows of one person in 1 persons"),
        ({"price": pl.lit("dear")}, "not a number"),
        ({"chosen": pl.lit("yes")}, "not true or false"),
        ({"alternative": pl.lit(3)}, "not text"),
        ({"person_id": pl.lit(1.5)}, "named by text or a whole number"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(book, change, said):
    with pytest.raises(InputError, match=said):
        collect_offers(book.with_columns(**change), ["risk_band", "age_band"], cost="risk")


def test_every_fault_is_said_at_once(book):
    odd = book.with_columns(**at_first("price", -1.0), **at_first("subsidy", float("nan")))
    with pytest.raises(InputError) as refused:
        collect_offers(odd)
    assert len(refused.value.faults) == 3  # the price below zero is below its subsidy too
    assert "E000000001" in str(refused.value)


def test_frames_that_are_no_offers(book):
    with pytest.raises(InputError, match="no offers"):
        collect_offers(book.clear())
    with pytest.raises(InputError, match="'price'; did you mean 'prize'"):
        collect_offers(book.rename({"price": "prize"}))
    with pytest.raises(InputError, match="'sexx'; did you mean 'sex'"):
        collect_offers(book, ["sexx"])
    with pytest.raises(InputError, match="polars frame"):
        collect_offers([1, 2, 3])
    with pytest.raises(InputError, match="name of one of ours"):
        collect_offers(book, ["chosen"])


def test_alternatives_that_are_named_must_be_those_on_offer(book):
    with pytest.raises(InputError, match="'premium' is no alternative"):
        collect_offers(book, alternatives=["basic"])
    with pytest.raises(InputError, match="nobody was offered 'gold'"):
        collect_offers(book, alternatives=["basic", "premium", "gold"])
    with pytest.raises(InputError, match="named twice"):
        collect_offers(book, alternatives=["basic", "basic", "premium"])
    assert collect_offers(book, alternatives=["premium", "basic"]).tiers == ("premium", "basic")
    assert collect_offers(book.lazy()).tiers == ("basic", "premium")


def test_the_unaware_take_none(book):
    odd = book.with_columns(aware=~FIRST, chosen=pl.when(FIRST).then(BASIC).otherwise("chosen"))
    with pytest.raises(InputError, match="does not know of the plan has taken a tier"):
        collect_offers(odd, aware="aware")
    with pytest.raises(InputError, match="nobody knew"):
        collect_offers(
            book.with_columns(aware=False, chosen=pl.col("alternative") == "none"), aware="aware"
        )


def test_menus_may_differ_between_persons(book):
    late = book.filter(
        ~((pl.col("alternative") == "premium") & (pl.col("price") > 1600) & ~pl.col("chosen"))
    )
    fitted = fit_choice(collect_offers(late))
    assert fitted.facts["persons"] == 600
    with pytest.raises(InputError, match="no tier is on offer"):
        collect_offers(book.filter(~FIRST | (pl.col("alternative") == "none")).with_columns(
            chosen=pl.when(FIRST).then(True).otherwise("chosen")))  # fmt: skip
    with pytest.raises(InputError, match="'none' is not on offer"):
        collect_offers(book.filter(~FIRST | (pl.col("alternative") != "none")).with_columns(
            chosen=pl.when(FIRST).then(BASIC).otherwise("chosen")))  # fmt: skip


def test_offers_of_another_shape_do_not_add(book):
    with pytest.raises(InputError, match="another shape"):
        collect_offers(book, ["sex"]) + collect_offers(book)
    with pytest.raises(TypeError):
        collect_offers(book) + 1


def chose(book, name):
    return book.with_columns(chosen=pl.col("alternative") == name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: chose(b, "none"), "nobody took 'basic'"),
        (lambda b: chose(b, "premium"), "nobody took 'none'"),
        (
            lambda b: b.with_columns(
                price=pl.when(BASIC)
                .then(500.0)
                .when(pl.col("alternative") == "none")
                .then(0.0)
                .otherwise(2000.0),
                subsidy=pl.lit(0.0),
            ),
            "price paid never varies",
        ),
        (lambda b: b.filter(FIRST), "nobody took"),
    ],
)
def test_choices_that_cannot_be_fitted_are_refused(book, change, said):
    with pytest.raises(InputError, match=said):
        fit_choice(collect_offers(change(book)))


def test_prices_that_follow_an_attribute_are_not_told_apart(book):
    rated = book.with_columns(
        price=pl.when(pl.col("alternative") == "none").then(0.0)
        .when(BASIC).then(400.0 + 100 * (pl.col("sex") == "male"))
        .otherwise(1500.0 + 100 * (pl.col("sex") == "male")),
        subsidy=pl.lit(0.0),
    )  # fmt: skip
    with pytest.raises(InputError, match="do not tell these apart") as refused:
        fit_choice(collect_offers(rated, ["sex"]), "sex", dissimilarity=1.0)
    assert any("price paid" in f for f in refused.value.faults)


def test_a_level_nobody_of_which_took_a_tier_is_named(book):
    men = pl.col("sex") == "male"
    odd = book.with_columns(
        chosen=pl.when(men).then(pl.col("alternative") == "none").otherwise("chosen")
    )
    with pytest.raises(InputError, match=r"nobody of sex.male. took 'basic'"):
        fit_choice(collect_offers(odd, ["sex"]), "sex", base={"sex": "female"})
    with pytest.raises(InputError):
        fit_choice(collect_offers(odd, ["sex"]), "sex", base={"sex": "male"})


def test_one_tier_has_no_nest(book):
    single = book.filter(pl.col("alternative") != "premium").with_columns(
        chosen=pl.when(pl.col("chosen").sum().over("person_id") == 1).then("chosen").otherwise(pl.col("alternative") == "none")
    )  # fmt: skip
    fitted = fit_choice(collect_offers(single))
    assert fitted.facts["dissimilarity"] == 1
    assert fitted.facts["iia_p"] is None
    assert "no nest" in fitted.finding("en")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"formula": "sexx"}, "not a key"),
        ({"formula": "sex +"}, "cannot be read"),
        ({"price_by": "nosuch"}, "not a key"),
        ({"dissimilarity": 0.0}, "λ is a number above 0"),
        ({"dissimilarity": "one"}, "λ is a number above 0"),
        ({"awareness": 1.2}, "above 0, up to 1"),
        ({"awareness": 0.01}, "took a tier, more than the 1.0%"),
        ({"errors": "bootstrap"}, "no errors"),
        ({"level": 95}, "between 0 and 1"),
        ({"base": {"sex": "other"}, "formula": "sex"}, "base 'other'"),
    ],
)
def test_options_that_cannot_be(book, options, said):
    with pytest.raises(InputError, match=said):
        fit_choice(collect_offers(book, ["sex"]), **options)


def test_rows_are_collected_first(book):
    with pytest.raises(InputError, match="collect_offers"):
        fit_choice(book)


def test_awareness_that_is_counted_is_not_given_too(book):
    with pytest.raises(InputError, match="say who knew"):
        fit_choice(collect_offers(book, aware="aware"), awareness=0.5)


def test_the_contract_takes_whole_persons_or_none():
    rows = pl.DataFrame({
        "person_id": ["甲", "甲", "乙", "乙", "丙", "丙", "丁", "戊", "戊", "己", "己"],
        "alternative": ["none", "基础"] * 3 + ["none"] + ["none", "基础"] * 2,
        "price": ["0", "500", "0", "500", "0", "-5", "0", "10", "500", "0", "500"],
        "chosen": [True, False, True, True, True, False, True, True, False, False, True],
        "aware": [True] * 9 + [False] * 2,
    })  # fmt: skip
    seen = check(rows, "tier_offers")
    assert seen.accepted["person_id"].unique().to_list() == ["甲"]
    rules = dict(seen.faults.select("rule", "meaning").iter_rows())
    assert {
        "one_choice",
        "whole_person",
        "none_is_offered",
        "none_is_free",
        "unaware_takes_none",
    } <= set(rules)
    assert "exactly one alternative" in rules["one_choice"]


def test_what_is_simulated_keeps_the_contract_and_repeats(tmp_path):
    folder = simulate_offers(tmp_path / "a", persons=300, seed=6)
    rows = pl.read_parquet(folder / "tier_offers")
    assert check(rows, "tier_offers").rejected.is_empty()
    simulate_offers(tmp_path / "b", persons=300, seed=6)
    one, two = ((tmp_path / n / "tier_offers" / "part-0000.parquet").read_bytes() for n in "ab")
    assert one == two
    assert rows.filter(pl.col("chosen"))["aware"].mean() == pytest.approx(0.3, abs=0.09)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.txt").write_text("years", encoding="utf-8")
    with pytest.raises(InputError):
        simulate_offers(tmp_path / "c", persons=3, seed=6)


@pytest.mark.parametrize(
    "odd",
    [
        {"aware": 0.0}, {"aware": 1.5}, {"price": float("nan")}, {"dissimilarity": 1.5}, {"subsidies": (9999.0,)},
        {"basic_prices": ()}, {"communities": 0}, {"risk_median": 0.0}, {"basic_prices": (-1.0,)},
    ],
)  # fmt: skip
def test_parameters_that_cannot_be(odd):
    with pytest.raises(InputError, match="cannot be"):
        OfferParameters(**odd)


@pytest.mark.parametrize(("persons", "seed"), [(0, 1), (-1, 1), (2.5, 1), (10, -1), (True, 1)])
def test_sizes_that_cannot_be(persons, seed):
    with pytest.raises(InputError, match="whole number"):
        offered_persons(persons, seed=seed)
