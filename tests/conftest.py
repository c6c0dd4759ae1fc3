"""Studies that many proofs look at, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

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
def huoli_text() -> str:
    """The bundled study of a simulated book, with few policies."""
    text = bundled("studies/huoli.toml").read_text(encoding="utf-8")
    assert "100_000" in text
    return text.replace("100_000", str(POLICIES))


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
