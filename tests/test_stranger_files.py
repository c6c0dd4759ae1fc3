"""A stranger's files: where a plan's programme and rules are read from, and that they count."""

from __future__ import annotations

import json

import polars as pl
import pytest

from pricing.activity.pseudonym import Key
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.files import replacing
from pricing.lab.export import study_file
from pricing.lab.opened import open_for_turning
from pricing.lab.session import Session
from pricing.plans.plan_file import read_plan
from pricing.plans.plan_study import PlanStudy
from pricing.privacy.pseudonymise import pseudonymise, read_folder
from pricing.report.provenance import inputs_of

STUDY = bundled("studies/huoli_members.toml").read_text(encoding="utf-8")
PROGRAMME = bundled("programmes/huoli.toml").read_text(encoding="utf-8")


def plan_in(folder, said="own.toml", programme=PROGRAMME):
    folder.mkdir(parents=True, exist_ok=True)
    text = STUDY.replace('file = "huoli"', f'file = "{said}"')
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    if programme is not None:
        (folder / "own.toml").write_text(programme, encoding="utf-8")
    return folder / "plan.toml"


def test_a_programme_is_read_from_the_study_files_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "own.toml").write_text("wrong = 1\n", encoding="utf-8")
    study = PlanStudy(plan_in(tmp_path / "study"), work=tmp_path / "work")
    assert study.headline() == study.but({"programme.askers": 100}).headline()
    assert study.headline({"programme.kappa": 5.0}) != study.headline()


def test_what_lies_in_the_working_folder_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text(PROGRAMME, encoding="utf-8")
    (tmp_path / "huoli.toml").write_text("wrong = 1\n", encoding="utf-8")
    path = plan_in(tmp_path / "study", programme=None)
    with pytest.raises(InputError):
        PlanStudy(path, work=tmp_path / "work").headline()
    bundled_one = plan_in(tmp_path / "other", said="huoli", programme=None)
    assert PlanStudy(bundled_one, work=tmp_path / "work").headline()


def test_rules_of_mutual_aid_are_read_from_the_study_files_folder(tmp_path, monkeypatch):
    text = bundled("studies/mutual_aid.toml").read_text(encoding="utf-8")
    rules = bundled("mutual_aid/xiang_hu_bao.toml").read_text(encoding="utf-8")
    assert 'rules = "xiang_hu_bao"' in text
    (tmp_path / "study" / "rules").mkdir(parents=True)
    path = tmp_path / "study" / "plan.toml"
    path.write_text(text.replace('rules = "xiang_hu_bao"', 'rules = "rules/own.toml"'), "utf-8")
    own = tmp_path / "study" / "rules" / "own.toml"
    own.write_text(rules, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    section = read_plan(path).plans["mutual_aid"]
    assert section.plan().fee == 0.08
    own.unlink()
    with pytest.raises(InputError):
        read_plan(path)


def test_what_a_programme_file_says_enters_the_fingerprint_and_the_record(tmp_path):
    first = PlanStudy(plan_in(tmp_path / "a"), work=tmp_path / "work")
    other = PlanStudy(
        plan_in(tmp_path / "b", programme=PROGRAMME + "# changed\n"), work=tmp_path / "work"
    )
    assert first.fingerprint != other.fingerprint
    assert first.data_fingerprint == other.data_fingerprint
    files = [inputs_of(study)["files"] for study in (first, other)]
    assert list(files[0]) == ["own.toml"]
    assert files[0] != files[1]


def test_a_link_in_a_folder_of_versions_reaches_nowhere(tmp_path):
    path = plan_in(tmp_path / "study", said="versions/", programme=None)
    (tmp_path / "study" / "versions").mkdir()
    (tmp_path / "secret.toml").write_text(PROGRAMME, encoding="utf-8")
    (tmp_path / "study" / "versions" / "a.toml").symlink_to(tmp_path / "secret.toml")
    with pytest.raises(InputError, match="outside = true"):
        read_plan(path)


def test_an_empty_name_of_a_file_is_no_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text(PROGRAMME, encoding="utf-8")
    with pytest.raises(InputError):
        PlanStudy(plan_in(tmp_path / "s", said="", programme=None), work=tmp_path / "w").headline()


def test_the_lab_exports_a_study_that_names_a_file(tmp_path):
    opened = open_for_turning(plan_in(tmp_path / "study"), work=tmp_path / "work")
    session = Session(opened.name, {"programme.kappa": 5.0}).keep("Small kappa")
    assert "small_kappa" in study_file(opened, session)


def test_a_record_of_a_run_opens_no_file_outside_the_folder_given(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "own.toml").write_text(PROGRAMME, encoding="utf-8")
    settings = json.loads(read_plan(plan_in(tmp_path / "s")).model_dump_json(exclude_unset=True))
    settings["programme"]["file"] = str(tmp_path / "own.toml")
    with pytest.raises(InputError, match="lies outside"):
        PlanStudy.of(settings, folder=tmp_path / "data", work=tmp_path / "work")


def test_a_lock_that_is_a_link_empties_no_file(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("not to be lost", encoding="utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".report.lock").symlink_to(mine)
    with (
        pytest.raises(InputError, match="is a link"),
        replacing(tmp_path / "out" / "report") as beside,
    ):
        beside.write_text("x", encoding="utf-8")
    assert mine.read_text(encoding="utf-8") == "not to be lost"


@pytest.mark.parametrize(
    "kind", [pl.Categorical, pl.Float64, pl.Int64, pl.String, pl.Decimal(20, 0)]
)
def test_a_telephone_number_is_found_however_it_is_kept(kind):
    numbers = pl.Series("note", ["13812345678", "13912345678"])
    whole = kind if kind in (pl.Categorical, pl.String) else pl.Int64
    table = pl.DataFrame({"policy_id": ["a", "b"], "note": numbers.cast(whole).cast(kind)})
    with pytest.raises(InputError, match="without a key") as seen:
        pseudonymise({"policies": table}, Key(bytes(range(32))))
    assert "2 of 2 look like a mobile number" in seen.value.faults[0]


def test_a_file_that_is_named_like_a_pattern_is_that_file(tmp_path):
    for name, value in (("a[b].csv", "1"), ("ab.csv", "2")):
        (tmp_path / name).write_text(f"policy_id\n{value}\n", encoding="utf-8")
    found = read_folder(tmp_path)
    assert found["a[b].csv"]["policy_id"].to_list() == ["1"]
