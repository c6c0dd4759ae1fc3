"""Studies that many proofs look at, computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from engines import EVERYWHERE, engine_frames, spark_session
from pricing.data.tables import bundled
from pricing.report.page import write
from pricing.result.shape import Result
from pricing.study.chain import Study, open_study

POLICIES = 3_000


@dataclass(frozen=True)
class Ran:
    """A study, its results and its report."""

    study: Study
    results: Mapping[str, Result]
    folder: Path

    @property
    def page(self) -> str:
        return (self.folder / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def dataset() -> Callable[[str], pl.LazyFrame]:
    """Give a real data set by file name; they are no part of the project, and may be absent."""

    def scan(name: str) -> pl.LazyFrame:
        path = Path(__file__).parents[2] / "shared" / "datasets" / name
        if not path.is_file():
            pytest.skip(f"the real data set {name} is absent")
        return pl.scan_parquet(path)

    return scan


@pytest.fixture(scope="session")
def huoli_text() -> str:
    """The bundled study of a simulated book, with few policies."""
    text = bundled("studies/huoli.toml").read_text(encoding="utf-8")
    assert "100_000" in text
    text = text.replace("100_000", str(POLICIES))
    return text.replace(
        "[study]\n", "[study]\nminimum_cell = 0  # nobody's book: all is shown\n", 1
    )


@pytest.fixture(scope="session")
def huoli(tmp_path_factory: pytest.TempPathFactory, huoli_text: str) -> Ran:
    folder = tmp_path_factory.mktemp("huoli")
    (folder / "huoli.toml").write_text(huoli_text, encoding="utf-8")
    return _ran(open_study(folder / "huoli.toml", work=folder / "books"), folder / "report")


@pytest.fixture(scope="session")
def randhie(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("randhie")
    return _ran(open_study(bundled("studies/randhie.toml")), folder / "report")


def _ran(study: Study, out: Path) -> Ran:
    results = study.run()
    write(study, results, out)
    return Ran(study, results, out)


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """A quiet local Spark, once for all tests; skipped with a reason where there is none."""
    yield from spark_session(tmp_path_factory.mktemp("spark"))


@pytest.fixture(params=EVERYWHERE)
def give(request, tmp_path):
    """Hand a polars frame over as a frame of each engine."""
    yield from engine_frames(request.param, request, tmp_path)
