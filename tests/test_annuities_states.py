"""Benefits by state: closed forms, forward against backward, the book's scheme, bad input."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from pricing.annuities.cash_flow import cash_flow
from pricing.annuities.interest import Interest, as_interest, force_of_interest, spot_curve
from pricing.annuities.kolmogorov import Kolmogorov, kolmogorov
from pricing.annuities.payments import AtTime, OnMove, WhileIn
from pricing.annuities.semi_markov import semi_markov
from pricing.annuities.state_model import (
    state_model,
    state_model_of_matrices,
    state_model_of_rates,
)
from pricing.annuities.thiele import thiele
from pricing.data.transitions import disability_rates
from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, label

MOVES = {
    ("healthy", "sick"): lambda x: 0.01 * np.exp(0.05 * (x - 40)),
    ("sick", "healthy"): lambda x: 0.8 - 0.005 * (x - 40),
    ("healthy", "dead"): lambda x: 0.002 * np.exp(0.09 * (x - 40)),
    ("sick", "dead"): 0.05,
}
CURVE = spot_curve([0.02, 0.023, 0.025], [1, 3, 7])
EVERYTHING = [
    WhileIn("sick", 1000.0, start=0.5, end=8.25),
    WhileIn("sick", lambda t: 50 * 1.03**t),
    AtTime("healthy", 100.0, (0.0, 5.0, 10.0)),
    OnMove("healthy", "dead", lambda t: 5000 - 100 * t),
    OnMove("sick", "dead", 700.0, start=2.0),
    OnMove("sick", "healthy", 20.0),
]


def levels():
    """The same graph with intensities level over each year of age."""
    ages = np.arange(40, 60)
    matrices = np.array([state_model(MOVES).generator(age + 0.5) for age in ages])
    return state_model_of_matrices(["healthy", "sick", "dead"], ages, matrices)


# -- chances ----------------------------------------------------------------------------------------


def test_two_states_with_recovery_have_a_closed_form():
    model = state_model({("a", "b"): 0.3, ("b", "a"): 0.5})
    found = kolmogorov(model, age=0, years=5, start="a")
    t = np.linspace(0, 5, 61)
    p = (0.5 + 0.3 * np.exp(-0.8 * t)) / 0.8
    ours = found.table.filter(pl.col("in_state") == "a")
    assert ours["state_share"].to_numpy() == pytest.approx(p, abs=1e-13)
    years = 0.5 / 0.8 * t + 0.3 / 0.64 * (1 - np.exp(-0.8 * t))
    assert ours["years_in_state"].to_numpy() == pytest.approx(years, abs=1e-13)


@pytest.mark.parametrize("method", ["exact", "euler"])
@pytest.mark.parametrize("model", [state_model(MOVES), levels()])
def test_shares_add_to_one_and_years_to_time(model, method):
    found = kolmogorov(model, age=40, years=10, start={"healthy": 0.7, "sick": 0.3}, method=method)
    sums = found.table.group_by("years_since_start").agg(pl.sum("state_share", "years_in_state"))
    assert sums["state_share"].to_numpy() == pytest.approx(np.ones(121), abs=1e-11)
    assert sums["years_in_state"].to_numpy() == pytest.approx(
        sums["years_since_start"].to_numpy(), abs=1e-10
    )


def test_matrix_exponentials_equal_the_solver():
    """Level pieces by both methods: the solver is told of the jumps and agrees."""
    model = levels()
    solved = state_model(
        {(a, b): (lambda x, i=i, j=j: model.generator(x)[i, j]) for (a, b), (i, j) in
         {("healthy", "sick"): (0, 1), ("sick", "healthy"): (1, 0), ("healthy", "dead"): (0, 2),
          ("sick", "dead"): (1, 2)}.items()}, breaks=range(41, 60),
    )  # fmt: skip
    assert not solved.constant
    one, two = (kolmogorov(m, age=40.3, years=5, start="sick", step=0.5) for m in (model, solved))
    for column in ("state_share", "years_in_state"):
        assert two.table[column].to_numpy() == pytest.approx(
            one.table[column].to_numpy(), abs=1e-10
        )


def test_chapman_kolmogorov():
    model = state_model(MOVES)
    whole = kolmogorov(model, age=40, years=10, start="healthy", step=1.0)
    half = {
        s: kolmogorov(model, age=40, years=4, start="healthy").share(s, 4) for s in model.states
    }
    rest = kolmogorov(model, age=44, years=6, start=half)
    for state in model.states:
        assert rest.share(state, 6) == pytest.approx(whole.share(state, 10), abs=1e-12)


# -- values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [state_model(MOVES), levels()])
@pytest.mark.parametrize("interest", [0.03, CURVE])
@pytest.mark.parametrize("start", ["healthy", "sick"])
def test_thiele_is_the_forward_cash_flow(model, interest, start):
    back = thiele(model, EVERYTHING, age=40, years=10, interest=interest)
    ahead = cash_flow(model, EVERYTHING, age=40, years=10, interest=interest, start=start)
    assert back.reserve(start) == pytest.approx(ahead.value, rel=1e-10)
    assert ahead.table["discounted_benefit"].sum() == pytest.approx(ahead.value, rel=1e-14)


def test_constant_force_closed_forms():
    mu, delta, n = 0.04, 0.05, 12
    model = state_model({("alive", "dead"): mu})
    lived = (1 - np.exp(-(mu + delta) * n)) / (mu + delta)
    options = {"age": 30, "years": n, "interest": force_of_interest(delta)}
    for payment, value in (
        (WhileIn("alive", 1.0), lived),
        (OnMove("alive", "dead", 1.0), mu * lived),
        (AtTime("alive", 1.0, (12.0,)), np.exp(-(mu + delta) * n)),
        (
            WhileIn("alive", 1.0, waiting=3.0),
            lived - (1 - np.exp(-(mu + delta) * 3)) / (mu + delta),
        ),
    ):
        found = cash_flow(model, [payment], start="alive", **options)
        assert found.value == pytest.approx(value, rel=1e-13)
    assert thiele(model, [OnMove("alive", "dead", 1.0)], **options).reserve("alive") == (
        pytest.approx(mu * lived, rel=1e-12)
    )


def test_the_reserve_recursion_closes():
    """V_i(t) = what is expected in (t, t + s] + v Σ p_ij V_j(t + s), from every state."""
    model, interest = state_model(MOVES), 0.03
    run = [WhileIn("sick", 1000.0), OnMove("healthy", "dead", 5000.0)]
    premiums = [WhileIn("healthy", 1.0)]
    found = thiele(model, run, age=40, years=10, interest=interest, premiums=premiums)
    level = found.facts["level_premium"]
    assert found.reserve("healthy") == pytest.approx(0, abs=1e-9)
    net = [*run, WhileIn("healthy", -level)]
    for state in ("healthy", "sick"):
        for t in (0.0, 3.0, 9.0):
            then = kolmogorov(model, age=40 + t, years=1, start=state)
            paid = cash_flow(model, net, age=40 + t, years=1, interest=interest, start=state)
            later = sum(then.share(s, 1) * found.reserve(s, t + 1) for s in model.states)
            assert found.reserve(state, t) == pytest.approx(paid.value + later / 1.03, abs=1e-8)


def test_the_level_premium_is_the_same_both_ways():
    options = {
        "age": 40,
        "years": 10,
        "interest": CURVE,
        "premiums": [WhileIn("healthy", 1.0, end=5.0)],
    }
    ahead = cash_flow(state_model(MOVES), EVERYTHING, start="healthy", **options)
    back = thiele(state_model(MOVES), EVERYTHING, **options)
    assert ahead.level_premium == pytest.approx(back.facts["level_premium"], rel=1e-10)


@pytest.mark.parametrize("scheme", ["kolmogorov", "thiele"])
def test_the_books_steps_are_of_first_order(scheme):
    """Halving the step halves the error, and the error is there: the schemes are told apart."""
    model, sick = state_model(MOVES), [WhileIn("sick", 1000.0)]

    def value(method, step):
        if scheme == "thiele":
            return thiele(model, sick, age=40, years=10, interest=0.03, method=method, step=step).reserve("healthy")  # fmt: skip
        return cash_flow(model, sick, age=40, years=10, interest=0.03, start="healthy", method=method, step=step).value  # fmt: skip

    exact = value("exact", 1 / 12)
    coarse, fine = (value("euler", step) - exact for step in (1 / 12, 1 / 24))
    assert abs(coarse) > 1e-3 * exact
    assert coarse / fine == pytest.approx(2, rel=0.06)


def test_both_schemes_are_labelled():
    model, sick = state_model(MOVES), [WhileIn("sick", 1000.0)]
    for method, word, zh in (("exact", "exactly", "精确"), ("euler", "Euler", "欧拉")):
        for found in (
            kolmogorov(model, age=40, years=2, start="healthy", method=method),
            cash_flow(model, sick, age=40, years=2, interest=0.03, start="healthy", method=method),
            thiele(model, sick, age=40, years=2, interest=0.03, method=method),
        ):
            assert word in found.finding("en")
            assert zh in found.finding("zh")
            assert found.facts["method"] == method


# -- waiting and duration ---------------------------------------------------------------------------


def test_waiting_by_two_independent_ways():
    paid = [WhileIn("sick", 1000.0, waiting=0.25), OnMove("sick", "dead", 500.0), AtTime("healthy", 100.0, (5.0,))]  # fmt: skip
    moves = {
        ("healthy", "sick"): lambda x, z: MOVES["healthy", "sick"](x) + 0 * z,
        ("sick", "healthy"): 0.8,
        ("healthy", "dead"): lambda x, z: MOVES["healthy", "dead"](x) + 0 * z,
        ("sick", "dead"): 0.05,
    }
    model = state_model({**MOVES, ("sick", "healthy"): 0.8})
    options = {"age": 40, "years": 10, "interest": 0.03}
    grid = semi_markov(moves, paid, longest=1.0, **options)
    exact = cash_flow(model, paid, start="healthy", **options).value
    assert grid.reserve("healthy") == pytest.approx(exact, rel=1e-8)
    for duration in (0.0, 1 / 12, 0.25, 1.0):
        exact = cash_flow(model, paid, start="sick", duration=duration, **options).value
        assert grid.reserve("sick", duration) == pytest.approx(exact, rel=1e-8)
    assert grid.facts["scheme_gap"] < 0.1


def test_a_rate_that_falls_with_duration_has_a_closed_form():
    """μ(z) = 1/(1 + z): survival in the state is 1/(1 + z); from duration d (1 + d)/(1 + d + t)."""
    for step, within in ((1 / 12, 3e-7), (1 / 48, 1.5e-9)):  # of fourth order
        found = semi_markov(
            {("ill", "well"): lambda x, z: 1 / (1 + z)}, [WhileIn("ill", 1.0)],
            age=50, years=6, interest=0.0, longest=2.0, step=step,
        )  # fmt: skip
        for d in (0.0, 1.0, 2.0):
            closed = (1 + d) * np.log((7 + d) / (1 + d))
            assert found.reserve("ill", d) == pytest.approx(closed, rel=within)


def test_waiting_never_adds():
    model = levels()
    values = [
        cash_flow(model, [WhileIn("sick", 1.0, waiting=w)], age=40, years=10, interest=0.02, start="healthy").value
        for w in (0.0, 0.1, 0.5, 1.0, 10.0)
    ]  # fmt: skip
    assert all(a > b for a, b in pairwise(values))
    assert values[-1] == 0


# -- interest ---------------------------------------------------------------------------------------


def test_a_flat_curve_is_a_rate():
    flat = spot_curve([0.03] * 5)
    assert flat.discount([0.5, 3, 9]) == pytest.approx(1.03 ** -np.array([0.5, 3, 9]))
    assert as_interest(flat) is flat
    assert CURVE.discount([1, 3, 7]) == pytest.approx([1 / 1.02, 1.023**-3, 1.025**-7])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: as_interest(2.5), "interest of 2.5"),
        (lambda: as_interest(float("nan")), "interest of nan"),
        (lambda: as_interest("x"), "not str"),
        (lambda: as_interest(True), "not bool"),
        (lambda: spot_curve([]), "needs a term for each rate"),
        (lambda: spot_curve([0.02], [0.0]), "rise from above 0"),
        (lambda: spot_curve([-1.0]), "above -1"),
        (lambda: Interest((1.0,), (0.02,)), "rise from 0"),
        (lambda: Interest((0.0,), (0.02, 0.03)), "1 times and 2 forces"),
        (lambda: force_of_interest(float("inf")), "finite"),
    ],
)
def test_interest_that_is_none(wrong, said):
    with pytest.raises(InputError, match=said):
        wrong()


# -- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: state_model({}), "needs moves"),
        (lambda: state_model({("a", "a"): 1.0}), "a to itself"),
        (lambda: state_model({("a", "b"): 1.0}, states=["a"]), "'b' is no state"),
        (lambda: state_model({("a", "b"): 1.0}, states=["a", "b", "b"]), "named 2 times"),
        (lambda: state_model_of_matrices(["a"], [1, 2], [[[0]]]), "2 ages and 1 states"),
        (lambda: state_model_of_matrices(["a", "b"], [2, 2], np.zeros((2, 2, 2))), "rise"),
        (lambda: state_model_of_rates(pl.DataFrame({"age": [1]})), "from_state, to_state, rate"),
        (lambda: state_model_of_rates(disability_rates("clhls", [65, 66])), "given twice"),
    ],
)
def test_no_state_graph(wrong, said):
    with pytest.raises(InputError, match=said):
        wrong()


def test_rates_with_gaps_or_uneven_moves_are_refused():
    men = disability_rates("clhls", range(65, 70)).filter(pl.col("sex") == "male")
    with pytest.raises(InputError, match="without gaps"):
        state_model_of_rates(men.filter(pl.col("age") != 67))
    with pytest.raises(InputError, match="healthy to dead has 4 of 5 ages"):
        state_model_of_rates(
            men.filter(~((pl.col("age") == 67) & (pl.col("from_state") == "healthy") & (pl.col("to_state") == "dead")))
        )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"age": 40, "years": 25}, "known from 40 to 60"),
        ({"age": 39, "years": 5}, "from age 39 to 44"),
        ({"age": 40, "years": 0}, "a term of 0 years"),
        ({"age": 40, "years": 5, "start": "sik"}, "did you mean 'sick'"),
        ({"age": 40, "years": 5, "start": {"sick": 0.5}}, "add to 1"),
        ({"age": 40, "years": 5, "method": "eulr"}, "did you mean 'euler'"),
        ({"age": 40, "years": 5, "step": 0.3}, "no whole number of steps"),
    ],
)
def test_lives_that_cannot_be_followed(options, said):
    with pytest.raises(InputError, match=said):
        kolmogorov(levels(), **{"start": "healthy", **options})


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_intensities_are_checked_where_they_are_used(bad):
    model = state_model({("a", "b"): lambda x: 0.1 if x < 42 else bad})
    with pytest.raises(InputError, match=r"from a to b is .* at age 4"):
        kolmogorov(model, age=40, years=5, start="a")
    with pytest.raises(InputError, match="negative or not finite"):
        semi_markov({("a", "b"): bad}, [WhileIn("a", 1.0)], age=40, years=1, interest=0.02)


def test_every_fault_of_the_payments_is_said_at_once():
    wrong = [
        WhileIn("sik", 1.0), WhileIn("sick", float("nan")), AtTime("sick", 1.0, (11.0,)),
        AtTime("sick", 1.0, ()), OnMove("sick", "sick", 1.0), WhileIn("sick", 1.0, start=10.0),
        WhileIn("sick", 1.0, waiting=-1.0), 5.0, OnMove("dead", "sick", 1.0),
    ]  # fmt: skip
    for value in (
        lambda: cash_flow(levels(), wrong, age=40, years=10, interest=0.02, start="sick"),
        lambda: thiele(levels(), wrong, age=40, years=10, interest=0.02),
    ):
        with pytest.raises(InputError) as refused:
            value()
        assert len(refused.value.faults) == 9
        assert [f"payment {n}" in str(refused.value) for n in range(1, 10)] == [True] * 9


def test_values_that_cannot_be_given():
    one, options = [WhileIn("sick", 1.0)], {"age": 40, "years": 10, "interest": 0.02}
    waiting = [WhileIn("sick", 1.0, waiting=0.5)]
    for wrong, said in (
        (lambda: thiele(levels(), waiting, **options), "1 payments have a waiting period"),
        (lambda: cash_flow(levels(), waiting, start="sick", method="euler", **options), "takes no waiting"),
        (lambda: cash_flow(levels(), [], start="sick", **options), "no benefits"),
        (lambda: cash_flow(levels(), [WhileIn("sick", lambda t: np.inf)], start="sick", **options), "an amount is inf"),
        (lambda: thiele(levels(), [], **options), "no benefits"),
        (lambda: cash_flow(levels(), one, start="sick", premiums=[WhileIn("healthy", 0.0)], **options), "pays for nothing"),
        (lambda: thiele(levels(), one, premiums=[WhileIn("healthy", 0.0)], **options), "worth 0"),
        (lambda: cash_flow(levels(), one, start="sick", **options).level_premium, "no premiums were given"),
        (lambda: cash_flow(levels(), [WhileIn("sick", 1.0, end=1 / 12)], start="sick", method="euler", **options), "even number"),
        (lambda: cash_flow(levels(), [WhileIn("sick", 1.0, end=0.3)], start="sick", method="euler", **options), "between steps"),
        (lambda: thiele(levels(), [WhileIn("sick", 1.0, end=0.3)], method="euler", **options), "between steps"),
        (lambda: cash_flow(levels(), one, start="sick", duration=-1.0, **options), "duration of -1"),
        (lambda: semi_markov({("sick", "x"): 0.1}, [WhileIn("sick", 1.0, waiting=0.2)], **options), "between steps"),
        (lambda: semi_markov({("sick", "x"): lambda x, z: np.zeros(3)}, one, **options), "has shape"),
        (lambda: kolmogorov(state_model({("a", "b"): 30.0}), age=0, years=1, start="a", method="euler"), "negative"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            wrong()


# -- results ----------------------------------------------------------------------------------------


def test_results_speak_draw_and_come_back(tmp_path):
    model = levels()
    paid, unit = [WhileIn("sick", 1000.0)], [WhileIn("healthy", 1.0)]
    options = {"age": 40, "years": 5, "interest": 0.02}
    for n, found in enumerate((
        kolmogorov(model, age=40, years=5, start="healthy"),
        cash_flow(model, paid, start="healthy", premiums=unit, **options),
        thiele(model, paid, premiums=unit, **options),
        semi_markov({("healthy", "sick"): 0.1, ("sick", "healthy"): 1.0}, paid, longest=1.0, **options),
    )):  # fmt: skip
        found.save(tmp_path / str(n))
        back = Result.load(tmp_path / str(n))
        assert back.table.equals(found.table)
        for lang in LANGUAGES:
            assert back.finding(lang) == found.finding(lang)
            assert found.figure(lang).to_json() == back.figure(lang).to_json()
            assert all(label(c, lang) != c for c in found.table.columns)
        if n != 1:
            assert found.figure("zh").data[0].name in ("健康", "患病")
    same = semi_markov({("a", "b"): 0.1}, [WhileIn("a", 1.0)], longest=1.0, **options)
    assert "Time spent" not in same.finding("en")


def test_the_figure_is_the_table():
    found = kolmogorov(levels(), age=40, years=5, start="healthy", step=0.5)
    assert isinstance(found, Kolmogorov)
    for trace, state in zip(found.figure().data, ("healthy", "sick", "dead"), strict=True):
        part = found.table.filter(pl.col("in_state") == state)
        assert list(trace.y) == part["state_share"].to_list()
        assert trace.stackgroup == "states"
    with pytest.raises(InputError, match="no state 'x'"):
        found.share("x", 1.0)
