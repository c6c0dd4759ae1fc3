from pathlib import Path

import pytest

from pricing.data import data_dictionary, data_dictionary_markdown
from pricing.data.delivered import TABLES
from pricing.errors import InputError

PAGE = Path(__file__).parents[1] / "docs" / "data_dictionary.md"
REWRITE = """.venv/bin/python -c "from pathlib import Path; from pricing.data import \
data_dictionary_markdown as page; \
Path('docs/data_dictionary.md').write_text(page(), encoding='utf-8')\""""


def test_the_dictionary_lists_every_column_once():
    listed = data_dictionary()
    assert listed.height == sum(len(schema.column_names()) for schema in TABLES.values())
    assert listed.select("table", "column").is_unique().all()
    row = data_dictionary("person_years").row(3, named=True)
    assert (row["column"], row["unit"], row["domain"]) == (
        "exposure",
        "policy-years",
        "> 0, finite",
    )
    assert data_dictionary("policies")["optional"].to_list().count(True) == 2
    with pytest.raises(InputError, match="did you mean 'claims'"):
        data_dictionary("claim")


def test_the_page_holds_the_dictionary():
    page = data_dictionary_markdown()
    for row in data_dictionary().iter_rows(named=True):
        assert f"| `{row['column']}` | {row['type']} |" in page
        assert row["description"] in page
    assert "- premium must be at most standard_premium (discounts only)" in page
    widths = {line.count("|") for line in page.splitlines() if line.startswith("|")}
    assert widths == {8}


def test_the_written_page_is_that_of_the_contracts():
    written = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    if written != data_dictionary_markdown():
        pytest.fail(f"{PAGE.name} is not what the contracts say now; rewrite it:\n{REWRITE}")
