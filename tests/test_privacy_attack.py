"""An attacker with linear programmes: he adds and subtracts all that one report shows."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from pricing.claims.models import Frequency, fit_frequency
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.privacy.small_cells import suppressed
from pricing.result.shape import Result

M = 10
NAMES = "abc"


def shape_of(base, names):
    return [NAMES.index(n) for n in names]


def rows_of(base, names):
    """Every cell of the margin of some factors: its levels and the cells of the base it adds up."""
    axes = shape_of(base, names)
    for levels in np.ndindex(*(base.shape[k] for k in axes)):
        index = [slice(None)] * base.ndim
        for axis, level in zip(axes, levels, strict=True):
            index[axis] = level
        mask = np.zeros(base.shape, dtype=bool)
        mask[tuple(index)] = True
        yield levels, mask


def report(bases, views):
    """Views of one book: cross tables by columns, or by term and level as a model's segments are."""
    results, cells = {}, {}
    for k, (names, as_terms) in enumerate(views):
        cell = list(rows_of(next(iter(bases.values())), names))
        figures = {n: [float(base[mask].sum()) for _, mask in cell] for n, base in bases.items()}
        if as_terms:
            keys = {
                "term": [":".join(names)] * len(cell),
                "level": [" × ".join(f"{n}{v}" for n, v in zip(names, ls, strict=True)) for ls, _ in cell],
            }  # fmt: skip
        else:
            keys = {n: [f"{n}{ls[j]}" for ls, _ in cell] for j, n in enumerate(names)}
        results[f"view{k}"] = Result(table=pl.DataFrame(keys | figures))
        cells[f"view{k}"] = [mask for _, mask in cell]
    return results, cells


def attacked(base, column, shown, cells, *, told=True):
    """What each hidden small cell may hold, for somebody who knows all that is shown and the whole book."""
    flat = base.ravel()
    rows, sums = [np.ones(flat.size)], [flat.sum()]
    above, most = [], []
    wanted = []
    for name, masks in cells.items():
        table = shown[name].table
        marks = (
            table["cell_hidden"].to_list()
            if "cell_hidden" in table.columns
            else [None] * len(masks)
        )
        for mask, value, mark in zip(masks, table[column].to_list(), marks, strict=True):
            own = mask.ravel().astype(float)
            if value is not None:
                rows.append(own)
                sums.append(value)
                continue
            if mark == f"<{M}" and told:
                above += [own, -own]
                most += [M - 1.0, -1.0]
            if 0 < base[mask].sum() < M:
                wanted.append(own)
    found = []
    for own in wanted:
        ends = []
        for sign in (1, -1):
            end = linprog(
                sign * own, A_eq=np.array(rows), b_eq=sums,
                A_ub=np.array(above) if above else None, b_ub=most or None, method="highs",
            )  # fmt: skip
            assert end.status in (0, 3), end.message
            ends.append(sign * end.fun if end.status == 0 else np.inf)
        lower, upper = np.ceil(ends[0] - 1e-6), np.floor(min(ends[1], 1e9) + 1e-6)
        found.append((float(flat @ own), lower, upper))
    return found


VIEWS = [c for size in (1, 2, 3) for c in combinations(NAMES, size)]


@st.composite
def books(draw):
    shape = tuple(draw(st.integers(2, 3)) for _ in NAMES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    base = rng.choice([0, 1, 3, 8, 12, 30, 90], size=shape, p=[0.2, 0.1, 0.1, 0.1, 0.1, 0.2, 0.2])
    if draw(st.booleans()):  # a row that is small as a whole
        base[0] = rng.choice([0, 0, 1, 2], size=base[0].shape)
    chosen = draw(st.lists(st.sampled_from(VIEWS), min_size=1, max_size=5, unique=True))
    return base, [(names, draw(st.booleans())) for names in chosen]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(books())
def test_no_sum_of_what_is_shown_gives_a_small_cell_back(book):
    base, views = book
    results, cells = report({"members": base}, views)
    shown = suppressed(results, M)
    for true, lower, upper in attacked(base, "members", shown, cells):
        assert lower < upper, (true, lower, upper)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(books())
def test_nor_a_few_claims_of_many_persons(book):
    claims, views = book
    exposure = claims * 7 + 30
    results, cells = report({"exposure": exposure, "claims": claims}, views)
    shown = suppressed(results, M)
    for true, lower, upper in attacked(claims, "claims", shown, cells):
        assert lower < upper, (true, lower, upper)


def test_the_segments_of_a_model_do_not_give_a_level_back():
    """Whatever group is hidden beside G2 and its 3 claims: its two segments add up to its claims."""
    levels = {"G0": (400, 500), "G1": (14, 11), "G2": (2, 1)}
    cells = {f"{tier} × {g}": n[k] for g, n in levels.items() for k, tier in enumerate(("a", "b"))}
    groups = pl.DataFrame({
        "health_group": list(levels), "exposure": [900.0] * 3, "claims": [sum(n) for n in levels.values()]
    })  # fmt: skip
    segments = pl.DataFrame({
        "term": ["tier:health_group"] * 6, "level": list(cells), "exposure": [450.0] * 6,
        "claims": list(cells.values()),
    })  # fmt: skip
    shown = suppressed({"one": Result(table=groups), "model": Result(table=segments)}, M)
    groups = dict(shown["one"].table.select("health_group", "claims").iter_rows())
    of = dict(shown["model"].table.select("level", "claims").iter_rows())
    beside = [g for g in ("G0", "G1") if groups[g] is None]
    assert groups["G2"] is None
    assert beside
    assert all(None in (of[f"a × {g}"], of[f"b × {g}"]) for g in beside)


def test_one_figure_added_up_in_another_order_is_one_cell():
    parts = pl.DataFrame({
        "tier": ["a", "a", "b", "b", "c", "c"], "sex": ["f", "m"] * 3,
        "exposure": [1.1, 2.2, 30.1, 40.2, 50.3, 60.4],
    })  # fmt: skip
    sums = [3.3 * (1 + 4e-9), 70.3 * (1 - 4e-9), 110.7]
    one = pl.DataFrame({"tier": ["a", "b", "c"], "exposure": sums})
    shown = suppressed({"cross": Result(table=parts), "one": Result(table=one)}, M)
    assert shown["one"].table["exposure"].to_list()[:2] == [None, None]
    assert shown["cross"].table["exposure"].head(4).null_count() >= 3


def test_a_single_long_line_of_many_rows_needs_no_square_of_memory():
    """Each row was bound to each other one: 30,000 of them took seven gigabytes."""
    frame = pl.DataFrame({"lag_days": range(30_000), "claims": [3] + [50] * 29_999})
    shown = suppressed({"delays": Result(table=frame)}, M)["delays"].table
    assert shown["claims"].null_count() in (2, 30_000)


def test_a_relativity_goes_with_its_claims_and_so_does_a_fact_of_it():
    levels, exposure, claims = ["a", "b", "c", "d"], [500.0, 300.0, 200.0, 400.0], [60, 30, 3, 15]
    ratio = [n / e / (60 / 500) for n, e in zip(claims, exposure, strict=True)]
    frame = pl.DataFrame({
        "tier": levels, "exposure": exposure, "claims": claims, "relativity": ratio, "discount": [0.0] * 4
    })  # fmt: skip
    told = Result(table=frame, facts={"best_unadjusted": 1 - ratio[2], "other": 0.5})
    shown = suppressed({"effect": told}, M)["effect"]
    assert shown.table["relativity"].is_null().to_list() == [False, True, True, False]
    assert shown.table["discount"].null_count() == 0  # everybody is charged it
    assert dict(shown.facts) == {"best_unadjusted": None, "other": 0.5}


def test_a_probability_of_moves_goes_with_their_number():
    frame = pl.DataFrame({
        "from_group": ["a", "a", "b", "b"], "to_group": ["a", "b"] * 2, "moves": [4.0, 0.0, 90.0, 80.0],
        "probability": [1.0, 0.0, 0.53, 0.47], "credibility": [4 / 24, 4 / 24, 0.9, 0.9],
    })  # fmt: skip
    shown = suppressed({"moves": Result(table=frame)}, M)["moves"].table
    assert shown["credibility"].to_list()[:2] == [None, None]  # 4 / (4 + 20) of a move nobody made
    assert shown["probability"].to_list()[0] is None


def test_the_file_of_a_model_holds_nothing_of_its_hidden_levels(tmp_path):
    rows = pl.DataFrame({
        "tier": ["a", "b", "c", "d"] * 2, "exposure": [250.0, 150.0, 100.0, 200.0] * 2,
        "claims": [30, 15, 1, 8, 30, 15, 2, 7],
    })  # fmt: skip
    model = fit_frequency(Experience.collect(rows, ["tier"]), "tier")
    kept = model.table.filter(pl.col("level") == "c")["relativity"].item()
    assert round(kept * 200 * 60 / 500) == 3  # what it would have given
    shown = suppressed({"frequency": model}, M)["frequency"]
    shown.save(tmp_path / "model")
    loaded = Frequency.load(tmp_path / "model")
    hidden = loaded.table.filter(pl.col("cell_hidden").is_not_null())["level"].to_list()
    assert "c" in hidden
    text = (tmp_path / "model" / "result.json").read_text()
    assert str(kept)[:8] not in text
    assert "covariance" not in text
    with pytest.raises(InputError, match="has no errors"):
        loaded.covariance()
    good = [level for level in "abcd" if level not in hidden]
    priced = loaded.score(rows.filter(pl.col("tier").is_in(good)))
    assert priced["rate"].to_list() == pytest.approx(
        model.score(rows)["rate"].filter(rows["tier"].is_in(good)).to_list()
    )
    with pytest.raises(InputError, match="c"):
        loaded.score(rows)
