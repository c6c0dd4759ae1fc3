"""A book run in parts: what adds is that of the whole book, what follows persons rests on a sample and says so."""

import math
import re
import shutil
import weakref
from datetime import date

import polars as pl
import pytest

from pricing.cli import main
from pricing.data import book as simulated
from pricing.data.check import check
from pricing.data.checked import added_up
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.health.moves import observed_transitions
from pricing.premium.on_level import on_level
from pricing.result.shape import Basis
from pricing.study import book_parts, study_book
from pricing.study.book_parts import read_parts
from pricing.study.chain import open_study
from pricing.study.large_study import LargeStudy
from pricing.study.rated_book import Book
from pricing.study.renewed import renew_study
from pricing.study.sections import RateReview

POLICIES = 6_000
PERSONS = (  # what follows single persons through their years
    "side_by_side", "side_by_side:amount", "falsification", "mean_reversion", "overlap", "power_statement",
    "covariate_balance", "renewal_offers", "renewal_model", "renewal_elasticity", "lapse_value",
    "cumulative_incidence", "value_effect", "discount_split", "schedule_design", "projection", "stress",
    "evaluation_card",
)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The bundled study on a small book in 24 files, and its results with all rows at hand."""
    folder = tmp_path_factory.mktemp("large")
    text = bundled("studies/huoli.toml").read_text(encoding="utf-8")
    path = folder / "huoli.toml"
    path.write_text(text.replace("policies = 100_000", f"policies = {POLICIES}"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated, "POLICIES_PER_PART", POLICIES // 24)
        assert open_study(path, work=folder / "books").book.is_dir()
    return path, folder / "books"


@pytest.fixture(scope="module")
def whole(study):
    opened = open_study(study[0], work=study[1])
    assert not isinstance(opened, LargeStudy)
    return opened.run()


@pytest.fixture
def large(study, monkeypatch):
    monkeypatch.setattr(study_book, "MANY", 100)
    opened = open_study(study[0], work=study[1])
    assert isinstance(opened, LargeStudy)
    assert len(opened.parts()) == 3
    return opened


def unlike(one, other, rel=1e-9):
    """Columns of a result's table, and facts, that differ by more than rounding."""
    assert one.table.columns == other.table.columns
    assert one.table.height == other.table.height
    for name in one.table.columns:
        a, b = one.table[name].to_list(), other.table[name].to_list()
        if not all(_near(x, y, rel) for x, y in zip(a, b, strict=True)):
            yield name
    for name, value in one.facts.items():
        if not _near(value, other.facts[name], rel):
            yield name


def _near(a, b, rel):
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=rel, abs_tol=1e-6) or (math.isnan(a) and math.isnan(b))
    return a == b


def test_with_every_person_drawn_a_book_in_parts_gives_what_the_whole_gives(
    whole, large, monkeypatch
):
    monkeypatch.setattr(study_book, "SAMPLE", POLICIES)
    steps = []
    parts = large.run(progress=steps.append)
    assert steps[:4] == ["data", "data 1/3", "data 2/3", "data 3/3"]
    assert list(parts) == list(whole)
    drawn = {"development_fan"}  # random numbers drawn of figures that differ in their last bit
    rounded = {"waterfall": {"remainder"}}  # nought but for rounding
    found = {n: {*unlike(whole[n], parts[n])} - rounded.get(n, set()) for n in whole}
    assert {n for n, columns in found.items() if columns} <= drawn


def test_what_adds_does_not_depend_on_the_persons_drawn(whole, large, monkeypatch):
    monkeypatch.setattr(study_book, "SAMPLE", POLICIES // 2)
    parts = large.run()
    told = "a sample of (2,9|3,0)"
    assert {"discount_split", "schedule_design", "projection", "stress"} <= {*parts}
    for name in PERSONS:
        if name in parts:
            said = " ".join([*parts[name].basis.notes, *parts[name].basis.filters])
            assert re.search(told, said), name
    adds = ["data_check", "frequency", "severity", "group_effect", "schedule", "one_way:age_band", "completion",
            "indication", "on_level", "regulatory_loss_ratio", "renewal_ledger", "group_moves", "tail_fit",
            "pooled_large", "recovery", "age_pyramid"]  # fmt: skip
    for name in adds:
        assert not [*unlike(whole[name], parts[name])], name
        assert "sample" not in " ".join(parts[name].basis.notes), name
    assert parts["side_by_side"].basis.rows < 0.7 * whole["side_by_side"].basis.rows
    rows = large.persons.person_years.rows
    years = pl.concat([part.lazy().collect() for part in large.row_parts])
    of_drawn = years.filter(pl.col("policy_id").is_in(rows["policy_id"].implode()))
    assert of_drawn.height == rows.height  # all years of a person, or none


def test_renewals_of_a_book_in_parts_are_those_of_the_whole(study, large, tmp_path, monkeypatch):
    change = {"renewal.schedule": "present", "renewal.adjustment": 0.02}  # known without a run
    ledger = renew_study(large.but(change), tmp_path / "parts.parquet")
    monkeypatch.setattr(study_book, "MANY", 10**9)
    again = renew_study(open_study(study[0], work=study[1]).but(change), tmp_path / "whole.parquet")
    assert ledger.facts["premium"] == pytest.approx(again.facts["premium"], rel=1e-12)
    one, other = (pl.read_parquet(tmp_path / f"{n}.parquet") for n in ("parts", "whole"))
    assert one.sort("policy_id").equals(other.sort("policy_id"))


def test_rows_of_a_book_in_parts_are_not_at_hand(large):
    with pytest.raises(InputError, match="not held as a whole"):
        large.person_years  # noqa: B018
    assert large.checked["policies"].accepted.is_empty()
    assert large.checked["policies"].rows_accepted == POLICIES
    with pytest.raises(InputError, match="no person-year is left"):
        large.experience(["tier"], start=2090)


def test_another_engine_does_not_read_parts(study, monkeypatch):
    monkeypatch.setattr(study_book, "MANY", 100)
    with pytest.raises(InputError, match="not read in parts by duckdb"):
        open_study(study[0], work=study[1], engine="duckdb")


def test_a_policy_in_two_parts_is_refused(study, tmp_path):
    book = study_book.StudyBook(study[0], work=study[1])
    with pytest.raises(InputError, match="stand in two parts"):
        read_parts([book, book], tmp_path / "rows", person="policy_id", share=1.0)


def test_rejected_rows_of_every_part_are_told(study, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "reports" / "books"
    monkeypatch.chdir(tmp_path)
    opened = open_study(study[0], work=folder)
    monkeypatch.setattr(simulated, "POLICIES_PER_PART", POLICIES // 24)
    for number in (3, 17):
        file = opened.book / "claims" / f"part-{number:04d}.parquet"
        claims = pl.read_parquet(file)
        amount = pl.when(pl.int_range(pl.len()) == 0).then(-1.0).otherwise("amount")
        claims.with_columns(amount=amount).write_parquet(file)
    monkeypatch.setattr(study_book, "MANY", 100)
    with pytest.raises(SystemExit, match="1"):
        main(["check", str(study[0])])
    said = capsys.readouterr().out
    assert "claims: rows set aside" in said
    kept = pl.read_csv(tmp_path / "reports" / "check" / "huoli" / "rejected_claims.csv")
    assert kept.height == 2
    assert kept["_file"].n_unique() == 2


def test_checks_add_up():
    one = check(pl.DataFrame({"exposure": [1.0, 0.0], "claims": [0, 1]}), "person_years")
    two = check(pl.DataFrame({"exposure": [0.5], "claims": [2]}), "person_years")
    both = added_up([one, two], ["a", "b"])
    assert both.totals.filter(quantity="exposure").row(0)[1:] == (1.5, 0.0, 1.5, 0)
    assert (both.rows_accepted, both.rejected.height, both.faults.height) == (2, 1, 1)
    assert both.marks == ("a", "b")


def test_premium_of_two_parts_adds_to_that_of_both():
    terms = pl.DataFrame({
        "start": [date(2022, 1, 1), date(2022, 7, 1), date(2023, 1, 1), date(2023, 3, 1)],
        "end": [date(2023, 1, 1), date(2023, 7, 1), date(2024, 1, 1), date(2024, 3, 1)],
        "tier": ["a", "b", "b", "c"], "premium": [100.0, 50.0, 110.0, 70.0],
    })  # fmt: skip
    changes = pl.DataFrame({"day": [date(2023, 1, 1)], "change": [0.1]})
    asked = {"valuation": date(2023, 12, 31), "by": ["tier"]}
    both = on_level(terms[:2], changes, **asked) + on_level(terms[2:], changes, **asked)
    at_once = on_level(terms, changes, **asked)
    keys = [pl.col("period"), pl.col("tier").cast(pl.String)]
    joined = at_once.table.with_columns(keys).join(
        both.table.with_columns(keys), on=["period", "tier"], how="left", suffix="_parts"
    )
    for name in ("exposure", "written", "earned", "unearned", "premium_at_current_level"):
        other = (
            joined[f"{name}_parts"].fill_null(0.0).to_list()
        )  # a part starts with its first term
        assert joined[name].to_list() == pytest.approx(other, abs=1e-9), name
    assert both.facts["factor"] == pytest.approx(at_once.facts["factor"], rel=1e-12)
    assert both.basis.rows == 4
    assert both.basis.notes == at_once.basis.notes
    with pytest.raises(InputError, match="by the same segments"):
        both + on_level(terms, changes, valuation=date(2023, 9, 30), by=["tier"])


def test_a_part_that_a_rate_change_or_the_valuation_does_not_meet_is_no_fault():
    terms = pl.DataFrame({
        "start": [date(2022, 1, 1), date(2023, 1, 1), date(2022, 7, 1), date(2024, 5, 1)],
        "end": [date(2023, 1, 1), date(2024, 1, 1), date(2023, 7, 1), date(2025, 5, 1)],
        "tier": ["basic", "basic", "premium", "basic"], "premium": [100.0, 50.0, 110.0, 70.0],
        "health_group": "G0",
    }).with_columns(policy_start="start")  # fmt: skip
    change = {"day": date(2023, 1, 1), "change": 0.1, "where": {"tier": "premium"}}
    wanted = RateReview(
        valuation=date(2023, 12, 31), effective=date(2024, 7, 1), by="tier", rate_changes=[change]
    )
    whole, parts = (
        Book(wanted, held, pl.DataFrame(), "health_group", None, Basis()).premium
        for held in ([terms], [terms[:2], terms[2:3].lazy(), terms[3:]])
    )
    for name, value in whole.facts.items():
        assert _near(parts.facts[name], value, 1e-12), name
    assert parts.basis.rows == whole.basis.rows == 3
    late = [terms[3:], terms[3:]]
    with pytest.raises(InputError, match="no term begins"):
        Book(wanted, late, pl.DataFrame(), "health_group", None, Basis()).premium  # noqa: B018
    wrong = wanted.model_copy(
        update={
            "rate_changes": [wanted.rate_changes[0].model_copy(update={"where": {"tier": "prem"}})]
        }
    )
    with pytest.raises(InputError, match="meet no term"):
        Book(wrong, [terms[:2], terms[2:3]], pl.DataFrame(), "health_group", None, Basis()).premium  # noqa: B018


def test_moves_of_parts_are_those_of_the_book():
    seen = pl.DataFrame({
        "policy_id": ["a", "a", "b", "b", "c", "c"], "policy_year": [0, 1] * 3,
        "health_group": ["G0", "G1", "G0", "G0", "G1", "G1"],
    })  # fmt: skip
    at_once = observed_transitions(seen)
    parts = observed_transitions([seen[:2], seen[2:].lazy()])
    assert parts.table.equals(at_once.table)
    assert parts.basis == at_once.basis


@pytest.fixture(scope="module")
def own_files(study, tmp_path_factory):
    """The same book as files of one's own: three of each table, whole policies in each."""
    folder = tmp_path_factory.mktemp("own")
    book = open_study(study[0], work=study[1]).book
    for table in ("policies", "renewals", "claims"):
        (folder / table).mkdir()
        for number in range(3):
            files = [book / table / f"part-{8 * number + k:04d}.parquet" for k in range(8)]
            pl.read_parquet(files).write_parquet(folder / table / f"region-{number}.parquet")
    text = study[0].read_text(encoding="utf-8")
    head, _, rest = text.partition("\n[simulate]")
    rest = rest.partition("\n[bands")[2]
    wanted = ("bands", "model", "discount")
    kept = [
        s
        for s in ("bands" + rest).split("\n[")
        if s.startswith(wanted) and "latent_band" not in s and "limits" not in s
    ]
    levels = {
        "policies": 'sex = ["female", "male"]\nregion = ["beijing", "shanghai", "guangdong", "shandong", '
        '"sichuan"]\ntier = ["basic", "standard", "premium"]\nchannel = ["agent", "app", "group"]\nchronic = ["no", "yes"]',
        "renewals": 'health_group = ["G0", "G1", "G2", "G3", "G4"]',
    }
    tables = "".join(
        f'\n[tables.{n}]\nfiles = "{n}/*.parquet"\n'
        + (f"[tables.{n}.factors]\n{levels[n]}\n" if n in levels else "")
        for n in ("policies", "renewals", "claims")
    )
    for name, parts in (("whole", "false"), ("parts", "true")):
        said = head.replace("[study]", f"[study]\nparts = {parts}", 1)
        path = folder / f"{name}.toml"
        path.write_text(f"{said}\n{tables}\n[" + "\n[".join(kept), encoding="utf-8")
    return folder


def test_files_of_ones_own_are_read_in_parts(own_files, monkeypatch):
    monkeypatch.setattr(study_book, "SAMPLE", 3_000)
    whole, parts = (open_study(own_files / f"{n}.toml") for n in ("whole", "parts"))
    assert isinstance(parts, LargeStudy)
    assert len(parts.parts()) == 3
    one, other = whole.run(), parts.run()
    assert list(one) == list(other)
    for name in ("data_check", "frequency", "group_effect", "schedule", "age_pyramid"):
        assert not [*unlike(one[name], other[name])], name
    assert parts.share == 0.5


def test_files_that_are_no_parts_are_refused(own_files):
    stray = own_files / "claims" / "region-9.parquet"
    pl.read_parquet(own_files / "claims" / "region-0.parquet").write_parquet(stray)
    try:
        with pytest.raises(InputError, match="not in parts") as error:
            open_study(own_files / "parts.toml").parts()
    finally:
        stray.unlink()
    assert "policies: no file named 'region-9'" in error.value.faults
    stray = own_files / "claims" / "region-2.parquet"
    held = pl.read_parquet(stray)
    pl.concat([held, pl.read_parquet(own_files / "claims" / "region-0.parquet")]).write_parquet(
        stray
    )
    try:
        checked = open_study(own_files / "parts.toml").checked  # claims of policies of another file
    finally:
        held.write_parquet(stray)
    assert checked["claims"].rejected["_rules"].unique().to_list() == ["policy_id|unknown_policy"]


def test_two_files_of_one_name_are_refused_not_read_as_one(own_files):
    stray = own_files / "claims" / "older" / "region-0.parquet"
    stray.parent.mkdir()
    shutil.copy(own_files / "claims" / "region-0.parquet", stray)
    text = (own_files / "parts.toml").read_text(encoding="utf-8")
    path = own_files / "deep.toml"
    path.write_text(text.replace("claims/*.parquet", "claims/**/*.parquet"), encoding="utf-8")
    try:
        with pytest.raises(InputError, match="not in parts") as error:
            open_study(path).parts()
    finally:
        shutil.rmtree(stray.parent)
    assert [*error.value.faults] == ["claims: more than one file named 'region-0'"]


def with_consents(folder, name="consents.toml"):
    """The files of one's own with a ledger of consents, every second person's, beside."""
    (folder / "consents").mkdir(exist_ok=True)
    for file in sorted((folder / "policies").glob("*.parquet")):
        persons = pl.read_parquet(file).select("person_id").unique(maintain_order=True)
        agreed = pl.lit(date(2019, 1, 1)).alias("agreed")
        persons.gather_every(2).with_columns(agreed, purpose=pl.lit("discount")).write_parquet(
            folder / "consents" / file.name
        )
    for kind in ("whole", "parts"):
        text = (folder / f"{kind}.toml").read_text(encoding="utf-8")
        text += '\n[renewal]\nschedule = "present"\nadjustment = 0.02\n'
        text += '[tables.consents]\nfiles = "consents/*.parquet"\n'
        (folder / f"{kind}-{name}").write_text(text, encoding="utf-8")
    return [folder / f"{kind}-{name}" for kind in ("whole", "parts")]


def test_consents_of_every_part_hold_for_renewals_of_a_file(own_files, tmp_path):
    whole, parts = (open_study(path) for path in with_consents(own_files))
    policies = pl.read_parquet(own_files / "policies" / "*.parquet").select(
        "policy_id", "person_id"
    )
    due = whole.due().collect().drop("consent").join(policies, on="policy_id", how="left")
    due.write_parquet(tmp_path / "due.parquet")
    one, other = (
        renew_study(s, tmp_path / f"{k}.parquet", due=tmp_path / "due.parquet")
        for k, s in enumerate((whole, parts))
    )
    assert one.facts["mean_discount"] > 0
    assert other.facts == pytest.approx(one.facts)


def test_a_person_with_consents_in_two_parts_is_refused(own_files):
    _, path = with_consents(own_files)
    file = own_files / "policies" / "region-1.parquet"
    held = pl.read_parquet(file)
    stranger = pl.read_parquet(own_files / "policies" / "region-0.parquet")["person_id"][0]
    first = pl.int_range(pl.len()) == 0
    held.with_columns(
        person_id=pl.when(first).then(pl.lit(stranger)).otherwise("person_id")
    ).write_parquet(file)
    try:
        with pytest.raises(InputError, match=r"1 of .* keys of the persons stand in two parts"):
            open_study(path).checked  # noqa: B018
    finally:
        held.write_parquet(file)


def test_a_cluster_in_two_parts_is_refused_not_counted_twice():
    from pricing.claims.clusters import cluster_errors
    from pricing.claims.models import fit_frequency
    from pricing.experience.cells import Experience

    rows = pl.DataFrame({"person": [1, 1, 2, 2, 3, 3, 4, 4], "sex": ["f"] * 4 + ["m"] * 4,
                         "exposure": [1.0] * 8, "claims": [3, 3, 1, 1, 1, 1, 0, 0]})  # fmt: skip
    model = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
    assert cluster_errors(model, [rows[:4], rows[4:]], by="person").facts["clusters"] == 4
    with pytest.raises(InputError, match="1 of 4 clusters of 'person' have rows in two parts"):
        cluster_errors(model, [rows[:3], rows[3:]], by="person")


def test_no_more_than_one_part_is_held(own_files, tmp_path, monkeypatch):
    kept, held = [], book_parts._keep

    def keep(part, *args):
        kept.extend([weakref.ref(part.person_years), weakref.ref(part.checked["renewals"])])
        held(part, *args)

    alive = []
    monkeypatch.setattr(book_parts, "_keep", keep)
    read_parts(
        open_study(own_files / "parts.toml").parts(),
        tmp_path / "rows",
        person="policy_id",
        share=0.1,
        progress=lambda step: alive.append(sum(ref() is not None for ref in kept)),
    )
    assert alive == [0, 0, 0]


def test_a_fault_of_one_part_is_told_of_that_part_and_of_the_whole(own_files):
    claims, renewals = (own_files / n / "region-1.parquet" for n in ("claims", "renewals"))
    held = {file: pl.read_parquet(file) for file in (claims, renewals)}
    try:
        held[claims].clear().write_parquet(claims)
        with pytest.raises(InputError, match=r"part 'region-1' of the book.*no rows"):
            open_study(own_files / "parts.toml").checked  # noqa: B018
        held[claims].write_parquet(claims)
        unpriced = held[renewals].with_columns(premium=pl.lit(None, pl.Float64))
        unpriced.write_parquet(renewals)
        with pytest.raises(InputError, match="money that only some person-years have") as error:
            open_study(own_files / "parts.toml").experience(["tier"])
        (fault,) = error.value.faults
        assert re.fullmatch(r"premium: empty in [\d,]+ of [\d,]+ rows", fault)
    finally:
        for file, rows in held.items():
            rows.write_parquet(file)


def test_a_plan_is_not_read_in_parts(tmp_path):
    from pricing.plans.open_file import open_file

    text = bundled("studies/taiankang.toml").read_text(encoding="utf-8")
    path = tmp_path / "plan.toml"
    path.write_text(text.replace("[study]", "[study]\nparts = true", 1), encoding="utf-8")
    with pytest.raises(InputError, match="a plan is not read in parts"):
        open_file(path)
