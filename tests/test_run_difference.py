"""Two runs of a study: what moved is divided among its causes, adds up, and is never made up."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.plans.input_groups import GROUPS, changed_inputs, group_of, mixed
from pricing.plans.open_file import open_file
from pricing.plans.plan_file import PLANS, plan_of
from pricing.plans.run_difference import PARTS, RunInputs, run_difference
from pricing.report.page import write
from pricing.report.run_record import read_record
from pricing.report.two_runs import compare_runs
from pricing.study.chain import open_study
from pricing.study.settings import Settings

STUDIES = sorted(bundled("studies/huoli.toml").parent.glob("*.toml"))


def run(data="d", code="c", files="f", *, cap=0.2, price=100.0, formula="a", rows=1.0, bias=0.0):
    settings = {
        "discount": {"cap": cap},
        "premium": {"target": price},
        "model": {"frequency": formula},
    }
    made = RunInputs("s", "", {}, data, files, code, settings, kept=rows)
    return replace(made, headline={k: v + bias for k, v in figures(made, settings).items()})


def figures(one, settings):
    weight = {"a": 1.0, "b": 1.5}[settings["model"]["frequency"]]
    income = one.kept * weight * settings["premium"]["target"] * (1 - settings["discount"]["cap"])
    return {"income": income}


def parts(found):
    row = found.table.row(0, named=True)
    assert sum(row[n] for n in PARTS) == pytest.approx(row["difference"], rel=1e-12)
    return {n: row[n] for n in PARTS if row[n]}


def test_the_same_run_twice_is_the_same():
    found = run_difference(run(), run(), figures)
    assert found.facts["same"]
    assert found.facts["inputs"] == []
    assert "same results" in found.finding("en")
    assert "完全相同" in found.finding("zh")
    with pytest.raises(InputError, match="no figure moved"):
        found.figure()


@pytest.mark.parametrize(
    ("change", "cause"),
    [({"cap": 0.1}, "from_rule"), ({"price": 90.0}, "from_rate"), ({"formula": "b"}, "from_model"),
     ({"data": "e", "rows": 2.0}, "from_data"), ({"code": "x", "bias": 3.0}, "from_code"),
     ({"files": "g", "bias": 3.0}, "from_rule")],
)  # fmt: skip
def test_one_cause_has_the_whole_without_any_computation(change, cause):
    def never(*_):
        raise AssertionError("nothing needs to be computed")

    found = run_difference(run(), run(**change), never)
    assert list(parts(found)) == [cause]


def test_four_causes_add_up_and_know_no_direction():
    one, other = run(), run("e", cap=0.1, price=90.0, formula="b", rows=2.0)
    forth, back = (
        parts(run_difference(one, other, figures)),
        parts(run_difference(other, one, figures)),
    )
    assert list(forth) == ["from_data", "from_model", "from_rule", "from_rate"]
    for name, value in forth.items():
        assert back[name] == pytest.approx(-value)


def test_two_factors_are_divided_as_by_hand():
    found = parts(run_difference(run(), run(cap=0.1, price=90.0), figures))
    # income = price × (1 − cap): each change at the mean of the other's two values
    assert found["from_rule"] == pytest.approx(0.1 * (100 + 90) / 2)
    assert found["from_rate"] == pytest.approx(-10 * (0.8 + 0.9) / 2)


def test_what_the_code_moves_is_what_the_inputs_do_not():
    found = parts(run_difference(run(), run(code="x", cap=0.1, bias=3.0), figures))
    assert found == {"from_rule": pytest.approx(10.0), "from_code": pytest.approx(3.0)}


def test_what_cannot_be_computed_again_is_left_whole_and_said():
    def gone(*_):
        raise InputError("the tables are not kept")

    both = run(), run(cap=0.1, price=90.0)
    for again in (None, gone):
        found = run_difference(*both, again)
        assert list(parts(found)) == ["undivided"]
        assert "not divided" in found.finding("en")
        assert any("not kept" in n or "keep nothing" in n for n in found.basis.notes)
    # the same code, and yet the record's figure is not found again: no split is made up
    found = run_difference(both[0], replace(both[1], headline={"income": 1.0}), figures)
    assert list(parts(found)) == ["undivided"]
    # nothing recorded differs, and yet the figure does
    found = run_difference(both[0], replace(both[0], headline={"income": 1.0}), figures)
    assert list(parts(found)) == ["undivided"]
    # a figure the mixes do not give, beside one they do
    more = [
        replace(r, headline={**r.headline, "other": v})
        for r, v in zip(both, (1.0, 2.0), strict=True)
    ]
    found = run_difference(*more, figures)
    assert found.facts["undivided"] == 1
    assert found.table.filter(quantity="other")["undivided"].item() == 1.0


def test_runs_without_a_common_figure_are_refused():
    with pytest.raises(InputError, match="share no figure"):
        run_difference(run(), replace(run(), headline={}))


def leaves(value, key=""):
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for place, one in enumerate(value):
            yield from leaves(one, f"{key}.{one.get('name', place)}")
    else:
        yield key


def test_every_key_of_every_section_belongs_to_one_kind():
    for name in Settings.model_fields:
        group_of(name)
    for name, (_, section) in PLANS.items():
        for key in getattr(plan_of(name), section).model_fields:
            assert group_of(f"{name}.{key}") in (*GROUPS, None)
    with pytest.raises(KeyError):
        group_of("unheard.of")


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_a_mix_of_two_studies_is_one_or_the_other_at_its_ends(path):
    settings = open_file(path).settings.model_dump(mode="json")
    keys = [k for k in leaves(settings) if group_of(k) is not None]
    assert keys
    other = json.loads(json.dumps(settings))
    for section in other:
        if section not in ("study", "scenarios") and isinstance(other[section], dict):
            other[section]["a_new_key"] = 1
    gone = set(GROUPS)
    assert mixed(settings, other, gone) == other
    assert mixed(settings, other, set()) == settings
    told = changed_inputs(settings, other)
    assert sum(map(len, told.values())) == sum("a_new_key" in str(v) for v in other.values())


@pytest.fixture(scope="module")
def folder(randhie, tmp_path_factory):
    """The report of the study, and one with another rule and another rate."""
    place = tmp_path_factory.mktemp("runs")
    shutil.copytree(randhie.folder, place / "one")
    text = randhie.study.text
    assert "cap = 0.20" in text
    assert "target_loss_ratio = 0.70" in text
    text = text.replace("cap = 0.20", "cap = 0.10").replace("ratio = 0.70", "ratio = 0.60")
    (place / "other.toml").write_text(text, encoding="utf-8")
    study = open_study(place / "other.toml")
    write(study, study.run(), place / "two")
    return place


def test_a_books_runs_are_divided_from_the_cells_they_keep(folder):
    found = compare_runs(folder / "one", folder / "two" / "run.json")
    assert found.facts["inputs"] == ["rule", "rate"]
    assert found.facts["undivided"] == 0
    table = found.table
    total = table.select(PARTS).sum_horizontal()
    assert np.allclose(total, table["difference"], rtol=1e-12, atol=1e-9)
    rows = {row["quantity"]: row for row in table.iter_rows(named=True)}
    assert rows["standard_premium"]["from_rule"] == pytest.approx(0.0, abs=1e-6)
    assert rows["standard_premium"]["from_rate"] > 0
    assert rows["mean_discount"]["from_rate"] == pytest.approx(0.0, abs=1e-12)
    assert found.figure("zh").data


def test_a_run_of_older_data_or_of_none_is_told_from_another(folder, tmp_path):
    shutil.copytree(folder / "two", tmp_path / "two")
    found = compare_runs(tmp_path / "two", folder / "one")
    assert found.facts["undivided"] > 0
    assert any("not kept" in note for note in found.basis.notes)
    record = read_record(folder / "one")
    record.pop("contents")
    (tmp_path / "two" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match="older version"):
        compare_runs(tmp_path / "two", folder / "one")
    for wrong in (tmp_path, tmp_path / "nothing", folder / "other.toml"):
        with pytest.raises(InputError, match="no record of a run"):
            compare_runs(wrong, folder / "one")


def test_a_plan_without_tables_is_computed_again(tmp_path):
    text = bundled("studies/dezhou.toml").read_text("utf-8")
    runs = {"one": text, "two": text.replace("contribution = 90.0", "contribution = 100.0")
            .replace("monthly = 600.0", "monthly = 650.0")}  # fmt: skip
    for name, said in runs.items():
        (tmp_path / f"{name}.toml").write_text(said, encoding="utf-8")
        study = open_file(tmp_path / f"{name}.toml")
        write(study, {}, tmp_path / name)
    found = compare_runs(tmp_path / "one", tmp_path / "two")
    assert found.facts["inputs"] == ["rule", "rate"]
    assert found.facts["undivided"] == 0
    assert found.facts["moved"] > 0
    total = found.table.select(PARTS).sum_horizontal()
    assert np.allclose(total, found.table["difference"], rtol=1e-12, atol=1e-9)
