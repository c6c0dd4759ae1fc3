"""The study file: every fault in it said at once, each with its place and what was meant."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.study import sections as sections_room
from pricing.study.chain import open_study
from pricing.study.settings import read_settings

RANDHIE = bundled("studies/randhie.toml").read_text(encoding="utf-8")
HUOLI = bundled("studies/huoli.toml").read_text(encoding="utf-8")


@pytest.fixture
def read(tmp_path):
    def from_text(text, *changes):
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "study.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_settings(path)

    return from_text


@pytest.fixture
def faults(read):
    def found(text, *changes):
        with pytest.raises(InputError) as caught:
            read(text, *changes)
        assert f"{len(caught.value.faults)} fault(s)" in caught.value.problem
        assert "study.toml" in caught.value.where
        return caught.value.faults

    return found


def test_the_bundled_studies_are_sound(read):
    assert read(HUOLI).simulate.policies == 100_000
    assert read(RANDHIE).premium.target_loss_ratio == 0.70


def test_every_fault_is_said_at_once(faults):
    found = faults(
        RANDHIE,
        ("cap = 0.20", 'cap = "a fifth"'),
        ("[premium]", "[premum]"),
        ("deductible + limitation + chronic_band", "deductable + limitation + chronic_band"),
    )
    assert len(found) == 3
    cap, premium, formula = sorted(
        found,
        key=lambda f: ("cap", "premum", "model").index(
            next(word for word in ("cap", "premum", "model") if word in f)
        ),
    )
    assert cap.startswith("discount.cap: ")
    assert "got 'a fifth'" in cap
    assert premium == "premum: unknown key; did you mean 'premium'?"
    assert formula == ("model.frequency: 'deductable' is not a column; did you mean 'deductible'?")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("step = 0.05", "steps = 0.05", "discount.steps: unknown key; did you mean 'step'?"),
        ("currency =", "curency =", "study.curency: unknown key; did you mean 'currency'?"),
        ("covariates =", "covariate =", "covariate: unknown key; did you mean 'covariates'?"),
        ("one_way =", "one_ways =", "model.one_ways: unknown key; did you mean 'one_way'?"),
        ("edges = [0, 5", "edge = [0, 5", "bands.chronic_band.edge: unknown key; did you mean 'edges'?"),
        ("cost_per_claim", "cost_by_claim", "premium.cost_by_claim: unknown key; did you mean 'cost_per_claim'?"),
        ('", zh = "兰德健康保险实验：', '", zn = "', "study.title.zn: unknown key; there are: en, zh"),
    ],
)  # fmt: skip
def test_an_unknown_key_names_the_nearest(faults, old, new, said):
    assert any(said in fault for fault in faults(RANDHIE, (old, new)))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("cap = 0.20", "cap = 1.2", "discount.cap"),
        ("cap = 0.20", "cap = 0", "discount.cap"),
        ("cap = 0.20", "cap = nan", "discount.cap"),
        ("cap = 0.20", "cap = 0.04", "discount.step: 0.05 is larger than the cap 0.04"),
        ("step = 0.05", "step = -1", "discount.step"),
        ("step = 0.05", "step = inf", "discount.step"),
        ("target_loss_ratio = 0.70", "target_loss_ratio = 70", "premium.target_loss_ratio"),
        ("cost_per_claim = 1.0", "cost_per_claim = inf", "premium.cost_per_claim"),
        ("cost_per_claim = 1.0", "cost_per_claim = 0", "premium.cost_per_claim"),
        ('name = "randhie"', 'name = "a/b"', "study.name"),
        ('name = "randhie"', "name = 7", "study.name"),
        ('currency = "USD"', "currency = [1]", "study.currency"),
        ('title = {', 'titel = {', "study.title: Field required"),
        ('hold_out = "person"', 'hold_out = "month"', "validation.hold_out"),
        ('hold_out = "person"', 'hold = "person"', "validation.hold: unknown key; did you mean 'hold_out'?"),
        ('cluster = "person_id"', "", "validation.hold_out: \"person\" needs model.cluster"),
        ("line = 0.70", "line = 0", "losses.line"),
        ("line = 0.70", "level = 1", "losses.level"),
        ("line = 0.70", "large = -5", "losses.large"),
        ("line = 0.70", "trend = inf", "losses.trend"),
        ("line = 0.70", "lines = 0.7", "losses.lines: unknown key; did you mean 'line'?"),
        ('frequency = "', 'severity = "deductable"\nfrequency = "', "model.severity: 'deductable' is not a column; did you mean 'deductible'?"),
        ("edges = [0, 5, 10, 15, 20, 30]", 'edges = "0-5"', "bands.chronic_band.edges"),
        ("edges = [0, 5, 10, 15, 20, 30]", "edges = []", "bands.chronic_band.edges"),
        ("edges = [0, 5, 10, 15, 20, 30]", "edges = [0, 5, 5]", "bands.chronic_band.edges: band edges must be finite and increasing"),
        ("edges = [0, 5, 10, 15, 20, 30]", "edges = [5, 0]", "bands.chronic_band.edges: band edges must be finite and increasing"),
        ('column = "chronic_diseases"', 'column = "chronic_disease"', "bands.chronic_band.column: 'chronic_disease' is not a column; did you mean 'chronic_diseases'?"),
        ('one_way = ["health_group"', 'one_way = ["helth_group"', "model.one_way: 'helth_group' is not a column; did you mean 'health_group'?"),
        ('actual_to_expected = ["incentive_band"', 'actual_to_expected = ["incentive_bond"', "model.actual_to_expected: 'incentive_bond' is not a column; did you mean 'incentive_band'?"),
        ('one_way = [', 'base = { coinsurence = "0%" }\none_way = [', "model.base: 'coinsurence' is not a column; did you mean 'coinsurance'?"),
        ('group = "health_group"', 'group = "healthgroup"', "discount.group: 'healthgroup' is not a column; did you mean 'health_group'?"),
        ('frequency = "', 'frequency = "a ~ ', "model.frequency"),
        ('frequency = "', 'frequency = "(((', "model.frequency: the formula cannot be read"),
        ('order = ["poor", "fair", "good", "excellent"]', 'order = ["poor", "fair", "good"]', "discount.order: ['poor', 'fair', 'good'] is not the levels of 'health_group'"),
        ('order = ["poor", "fair", "good", "excellent"]', 'order = ["poor"]', "discount.order"),
        ('order = ["poor", "fair", "good", "excellent"]', 'order = "poor"', "discount.order"),
        ("[premium]", "[discount.present]\npoor = 0.0\ngood = 0.1\n[premium]", "discount.present: names ['good', 'poor']"),
        ('loader = "randhie"', 'loader = "randhie"\nfiles = "x.csv"', "give exactly one of files, duckdb, database_env or loader"),
        ('loader = "randhie"', "", "give exactly one of files, duckdb, database_env or loader, got none"),
        ('loader = "randhie"', 'duckdb = "x.duckdb"', "duckdb and table go together"),
        ("[tables.person_years]", "[tables.person_year]", "tables.person_year"),
        ("[premium]", "[simulate]\npolicies = 1\nseed = 1\n[premium]", "file: give either [simulate] or [tables.…], one of the two"),
        ("[premium]", '[tables.claims]\nfiles = "c.csv"\n[premium]', "tables: give person_years, or policies, renewals and claims; not both"),
    ],
)  # fmt: skip
def test_each_fault_has_its_place(faults, old, new, place):
    found = faults(RANDHIE, (old, new))
    assert any(place in fault for fault in found), found


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("policies = 100_000", "policies = 0", "simulate.policies"),
        ("seed = 20260101", "seed = -1", "simulate.seed"),
        ("seed = 20260101", "seed = 1.5", "simulate.seed"),
        ('indicator = "in_programme"', 'indicator = "in_program"', "programme_effect.indicator: 'in_program' is not a column; did you mean 'in_programme'?"),
        ('oracle = "age_band', 'oracle = "age_bnd', "programme_effect.oracle: 'age_bnd' is not a column; did you mean 'age_band'?"),
        ('"age and sex" = "age_band + sex"', '"age and sex" = "age_band + sx"', "programme_effect.ladder.age and sex: 'sx' is not a column; did you mean 'sex'?"),
        ('column = "latent_health"', 'column = "latent_helth"', "did you mean 'latent_health'?"),
        ("G4 = 0.20", "G5 = 0.20", "discount.present"),
        ("G4 = 0.20", 'G4 = "lots"', "discount.present.G4"),
        ('order = ["G0"', 'order = ["G9"', "discount.order"),
    ],
)  # fmt: skip
def test_each_fault_of_a_simulated_study_has_its_place(faults, old, new, place):
    found = faults(HUOLI, (old, new))
    assert any(place in fault for fault in found), found


def test_neither_tables_nor_simulate_is_a_fault(faults):
    text = HUOLI.split("[simulate]")[0] + HUOLI[HUOLI.index("[bands.age_band]") :]
    assert any("give either [simulate] or [tables" in fault for fault in faults(text))


def test_a_book_needs_its_three_tables(faults):
    start, stop = HUOLI.index("[simulate]"), HUOLI.index("[bands.age_band]")
    text = HUOLI[:start] + '[tables.policies]\nfiles = "p.csv"\n' + HUOLI[stop:]
    assert any("['renewals', 'claims'] missing" in fault for fault in faults(text))


def test_latent_health_is_known_only_where_the_book_is_simulated(faults):
    start, stop = HUOLI.index("[simulate]"), HUOLI.index("[bands.age_band]")
    tables = "".join(
        f'[tables.{t}]\nfiles = "{t}.csv"\n' for t in ("policies", "renewals", "claims")
    )
    found = faults(HUOLI[:start] + tables + HUOLI[stop:])
    assert any(f.startswith("bands.latent_band.column: 'latent_health'") for f in found)


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "huoli.toml").write_text(HUOLI, encoding="utf-8")
    with pytest.raises(InputError, match=r"no such study file; did you mean .*huoli\.toml"):
        read_settings(tmp_path / "houli.toml")
    with pytest.raises(InputError, match="no such study file"):
        read_settings(tmp_path / "nowhere" / "x.toml")
    with pytest.raises(InputError, match="not a readable TOML file"):
        read_settings(tmp_path)


def test_broken_toml_names_its_line(read):
    with pytest.raises(InputError, match=r"not a readable TOML file.*line 3"):
        read("[study]\nname = 'a'\ntitle = = 2\n")
    with pytest.raises(InputError, match="not a readable TOML file"):
        read(RANDHIE.encode("gb18030"))
    with pytest.raises(InputError, match="fault"):
        read("")


def test_a_byte_order_mark_does_no_harm(read):
    assert read(codecs.BOM_UTF8 + RANDHIE.encode()).study.name == "randhie"


def test_sections_of_the_wrong_kind_are_faults_and_no_tracebacks(faults):
    for text in (
        "study = 1",
        "study = 1\nmodel = 2\ndiscount = 3\ntables = 4\nbands = 5\nprogramme_effect = 6",
        "tables = {person_years = 3}\nbands = {a = 3}\nmodel = {frequency = 3, base = 4}",
        "simulate = {factors = {policies = 3}}\ndiscount = {order = 3, present = 4, cap = 'x'}",
        "programme_effect = {ladder = 3, indicator = 4, oracle = 5}",
        "programme_effect = {ladder = {a = 3}}",
        "[study]\nnotes = [1, {en = 2}]",
    ):
        assert faults(text)


def test_settings_do_not_change(read):
    settings = read(RANDHIE)
    with pytest.raises(ValueError, match="frozen"):
        settings.discount.cap = 0.3


def test_the_page_of_keys_names_every_key():
    page = (Path(__file__).parents[1] / "docs" / "study_file.md").read_text(encoding="utf-8")
    sections = [member for member in vars(sections_room).values() if isinstance(member, type)]
    models = [m for m in sections if issubclass(m, sections_room.Strict)]
    keys = {key for model in models for key in model.model_fields}
    assert {key for key in keys if f"`{key}`" not in page} == set()


def test_the_study_file_of_the_readme_is_whole_and_runs(tmp_path):
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    text = readme.split("```toml\n")[1].split("```")[0]
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    (tmp_path / "extract").mkdir()
    rows = "earned_years,visits,sex,age,health_group,person_id,paid,premium\n"
    for i in range(600):
        sex, group = "男女"[i % 2], f"G{i % 3}"
        rows += f"1.0,{(i // 6 + i) % 4},{sex},{20 + (i * 11) % 50},{group},p{i // 2},{(i % 3) * 10},90\n"
    (tmp_path / "extract" / "2024-01.csv").write_bytes(rows.encode("gb18030"))
    results = open_study(tmp_path / "study.toml").run()
    assert results["data_check"].facts["accepted"] == 600
    assert results["frequency"].facts["clusters"] == 300
