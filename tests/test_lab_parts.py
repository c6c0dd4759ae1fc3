"""A book read in parts is prepared as the book at once: the same cells, errors and answers."""

import polars as pl
import pytest

from pricing.claims.clusters import cluster_errors
from pricing.claims.models import fit_frequency
from pricing.data import book as simulated
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.lab.answers import answer
from pricing.lab.opened import open_for_turning
from pricing.study import study_book
from pricing.study.chain import open_study
from pricing.study.prepared_book import prepare_book

POLICIES = 3_000


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The simulated book without its rate review, in 24 files."""
    folder = tmp_path_factory.mktemp("parts")
    text = bundled("studies/huoli.toml").read_text(encoding="utf-8")
    text = text.replace("policies = 100_000", f"policies = {POLICIES}")
    left_out = ("loss_ratio", "[loss_ratio", "regulation", "renewal]")
    kept = [one for one in text.split("\n[") if not one.startswith(left_out)]
    path = folder / "huoli.toml"
    path.write_text("\n[".join(kept), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated, "POLICIES_PER_PART", POLICIES // 24)
        assert open_study(path, work=folder / "books").book.is_dir()
    return path, folder


def in_parts(study, monkeypatch, many=100):
    monkeypatch.setattr(study_book, "MANY", many)
    return open_study(study[0], work=study[1] / "books")


def test_parts_add_to_the_book(study, monkeypatch):
    whole = prepare_book(open_study(study[0], work=study[1] / "books"))
    parted = in_parts(study, monkeypatch)
    assert len(parted.parts()) == 3
    steps = []
    parts = prepare_book(parted, progress=steps.append)
    assert steps[:4] == ["data", "data 1/3", "data 2/3", "data 3/3"]
    assert "person_years" not in parted.__dict__  # nothing of the whole was read
    for name, column in whole.money.cells.to_dict().items():
        other = parts.money.cells[name]
        same = column.to_list() if column.dtype == pl.Enum else pytest.approx(column.to_list(), rel=1e-12)  # fmt: skip
        assert other.to_list() == same, name
    for name in ("relativity", "lower", "upper", "fair_discount"):
        assert parts.effect.table[name].to_list() == pytest.approx(
            whole.effect.table[name].to_list(), rel=1e-9
        )
    wanted = parted.settings.discount
    assert parts.headline(wanted) == pytest.approx(whole.headline(wanted), rel=1e-9)
    assert whole.response is not None
    assert parts.response.sensitivity == pytest.approx(whole.response.sensitivity, rel=1e-9)


def test_a_page_on_parts_answers(study, monkeypatch, tmp_path):
    monkeypatch.setattr(study_book, "MANY", 100)
    opened = open_for_turning(study[0], kept=tmp_path, work=study[1] / "books")
    found = answer(opened, {"discount.cap": 0.05}, drawn=True)
    assert not found.faults
    assert set(found.results) == {"schedule", "discount_shift"}
    again = open_for_turning(study[0], kept=tmp_path, work=study[1] / "nowhere")
    assert again.headline({"discount.cap": 0.05}) == opened.headline({"discount.cap": 0.05})


def test_a_small_book_is_one_part(study):
    own = open_study(study[0], work=study[1] / "books")
    assert own.parts() == [own]
    real = open_study(bundled("studies/randhie.toml"))
    assert real.parts() == [real]


def test_errors_by_person_are_those_of_the_parts():
    rows = pl.DataFrame({"person": [1, 1, 2, 2, 3, 3, 4, 4], "sex": ["f"] * 4 + ["m"] * 4,
                         "exposure": [1.0] * 8, "claims": [3, 3, 1, 1, 1, 1, 0, 2]})  # fmt: skip
    model = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
    whole = cluster_errors(model, rows, by="person")
    parts = cluster_errors(model, [rows[:4], rows[4:].lazy()], by="person")
    assert parts.covariance("cluster") == pytest.approx(whole.covariance("cluster"), rel=1e-12)
    assert parts.facts["clusters"] == 4
    with pytest.raises(InputError, match="the rows hold"):
        cluster_errors(model, [rows[:4]], by="person")
    with pytest.raises(InputError, match="no rows to cluster"):
        cluster_errors(model, [], by="person")
    with pytest.raises(InputError, match="no column 'person'"):
        cluster_errors(model, [rows, rows.drop("person")], by="person")
