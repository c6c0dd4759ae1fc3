"""XTbML: the archive's structure with figures of our own, and files that must not be read."""

from xml.sax.saxutils import escape

import polars as pl
import pytest

from pricing.data import markup, read_xtbml
from pricing.errors import InputError

AGES = (20, 23)


def axis(name, low, high, step=1):
    return f"""<AxisDef id="{name}"><ScaleType tc="3">{name}</ScaleType><AxisName>{name}</AxisName>
        <MinScaleValue>{low}</MinScaleValue><MaxScaleValue>{high}</MaxScaleValue>
        <Increment>{step}</Increment></AxisDef>"""


def ys(values, first=0):
    return "".join(f'<Y t="{first + n}">{v}</Y>' for n, v in enumerate(values))


def table(axes, values, scaling="0", description="Basis: Age Nearest Birthday."):
    return f"""<Table><MetaData><ScalingFactor>{scaling}</ScalingFactor>
        <DataType tc="2">Floating Point</DataType><Nation tc="1">Nowhere</Nation>
        <TableDescription>{description}</TableDescription>{axes}</MetaData>
        <Values>{values}</Values></Table>"""


def document(*tables, name="Invented – Male", root="XTbML", head=""):
    return f"""{head}<{root}>
        <ContentClassification><TableIdentity>99901</TableIdentity>
        <ProviderDomain>example.org</ProviderDomain><ProviderName>Nobody</ProviderName>
        <TableReference>Nobody, “Invented figures”, (2026) Exhibit I.</TableReference>
        <ContentType tc="78">Annuitant Mortality</ContentType><TableName>{escape(name)}</TableName>
        <TableDescription>Own figures in the archive's structure</TableDescription>
        <Comments>None &amp; none</Comments><KeyWord>Aggregate</KeyWord></ContentClassification>
        {"".join(tables)}</{root}>"""


ULTIMATE = table(axis("Age", *AGES), f"<Axis>{ys(['0.001', '0.0012', '1.5E-03', '1'], 20)}</Axis>")
# by age at issue 19 to 21 and policy year 1 to 2; the youngest first year is blank
SELECT = table(
    axis("Age", 19, 21) + axis("Duration", 1, 2),
    f"""<Axis t="19"><Axis>{ys(["", "0.0005"], 1)}</Axis></Axis>
        <Axis t="20"><Axis>{ys(["0.0004", "0.0006"], 1)}</Axis></Axis>
        <Axis t="21"><Axis>{ys(["0.0005", "0.0007"], 1)}</Axis></Axis>""",
)


@pytest.fixture
def save(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "t99901.xml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


def test_an_ultimate_table(save):
    found = read_xtbml(save(document(ULTIMATE, head='<?xml version="1.0" encoding="utf-8"?>')))
    assert (found.identity, found.name, found.provider) == ("99901", "Invented – Male", "Nobody")
    assert found.content == "Annuitant Mortality"
    assert found.reference.startswith("Nobody, “Invented figures”")
    assert found.tables[0].axes == (("age", 20, 23, 1),)
    assert found.tables[0].description == "Basis: Age Nearest Birthday."
    assert found.tables[0].values.rows() == [(20, 0.001), (21, 0.0012), (22, 0.0015), (23, 1.0)]
    rates = found.rates(sex="male")
    assert rates.keys == ("sex", "age")
    assert rates.source.endswith("(XTbML table 99901)")
    lives = pl.DataFrame({"sex": ["male", "male", "female"], "age": [22, 24, 22]})
    assert lives.select(rates.rate()).to_series().to_list() == [0.0015, None, None]
    everyone = found.rates()
    assert everyone.keys == ("age",)
    assert lives.select(everyone.rate()).to_series().to_list() == [0.0015, None, 0.0015]


def test_a_select_and_ultimate_table_is_by_attained_age_and_policy_year(save):
    found = read_xtbml(save(document(SELECT, ULTIMATE)))
    assert [t.values.height for t in found.tables] == [5, 4]
    rates = found.rates()
    assert rates.keys == ("age", "duration")
    cases = {
        (20, 1): 0.0004, (20, 2): 0.0005, (21, 1): 0.0005, (21, 2): 0.0006, (22, 2): 0.0007,
        (20, 3): 0.001, (23, 3): 1.0, (22, 30): 0.0015, (22, 1): None, (19, 1): None,
    }  # fmt: skip
    lives = pl.DataFrame(list(cases), schema=["age", "duration"], orient="row")
    assert lives.select(rates.rate()).to_series().to_list() == list(cases.values())


def test_a_select_table_alone_ends_with_its_last_policy_year(save):
    rates = read_xtbml(save(document(SELECT))).rates()
    lives = pl.DataFrame({"age": [22, 22], "duration": [2, 3]})
    assert lives.select(rates.rate()).to_series().to_list() == [0.0007, None]


def test_tables_that_share_the_ages_between_them_are_joined(save):
    old = table(axis("Age", 24, 25), f"<Axis>{ys(['0.2', '0.3'], 24)}</Axis>")
    both = read_xtbml(save(document(ULTIMATE, old))).rates()
    assert both.rates["age"].to_list() == list(range(20, 26))
    with pytest.raises(InputError, match="more than once in 8 of 8 rows"):
        read_xtbml(save(document(ULTIMATE, ULTIMATE))).rates()
    far = table(axis("Age", 30, 30), '<Axis><Y t="30">0.2</Y></Axis>')
    with pytest.raises(InputError, match="1 gaps in the ages: before 30"):
        read_xtbml(save(document(ULTIMATE, far))).rates()


def test_other_axes_are_read_but_are_no_rates(save):
    scale = table(
        axis("Age", 20, 21) + axis("Calendar Year", 2000, 2005, 5),
        '<Axis t="20"><Axis><Y t="2000">-0.01</Y><Y t="2005">0.02</Y></Axis></Axis>'
        '<Axis t="21"><Axis><Y t="2000">0.01</Y><Y t="2005">0.03</Y></Axis></Axis>',
    )
    found = read_xtbml(save(document(scale)))
    assert found.tables[0].values.columns == ["age", "calendar_year", "value"]
    assert found.tables[0].values["value"].to_list() == [-0.01, 0.02, 0.01, 0.03]
    with pytest.raises(InputError, match="these tables are by age, calendar_year"):
        found.rates()
    three = table(
        axis("Age", 20, 20) + axis("Duration", 1, 1) + axis("Class", 1, 2),
        '<Axis t="20"><Axis t="1"><Axis><Y t="1">0.1</Y><Y t="2">0.2</Y></Axis></Axis></Axis>',
    )
    assert read_xtbml(save(document(three))).tables[0].values.rows() == [
        (20, 1, 1, 0.1),
        (20, 1, 2, 0.2),
    ]


def test_ages_apart_and_ages_without_a_value_are_no_rates(save):
    apart = table(
        axis("Age", 20, 30, 5), '<Axis><Y t="20">.1</Y><Y t="25">.2</Y><Y t="30">.3</Y></Axis>'
    )
    found = read_xtbml(save(document(apart)))
    assert found.tables[0].values.height == 3
    with pytest.raises(InputError, match="ages are 5 apart"):
        found.rates()
    for values in (["0.1", "", "0.3", "0.4"], ["0.1", "0.2"]):
        short = table(axis("Age", *AGES), f"<Axis>{ys(values, 20)}</Axis>")
        with pytest.raises(
            InputError, match=r"ages of the axis \(20 to 23\) have no value, first 2[12]"
        ):
            read_xtbml(save(document(short))).rates()


def test_values_that_are_no_rates_are_refused_as_rates_only(save):
    high = table(axis("Age", 20, 21), f"<Axis>{ys(['1.2', '-0.1'], 20)}</Axis>")
    found = read_xtbml(save(document(high)))
    with pytest.raises(InputError, match="below 0 or above 1 in 2 of 2 rows"):
        found.rates()
    with pytest.raises(InputError, match="did you mean 'male'"):
        read_xtbml(save(document(ULTIMATE))).rates(sex="males")


def test_a_scaling_factor_needs_a_word_of_the_reader(save):
    scaled = document(table(axis("Age", 20, 21), f"<Axis>{ys(['1', '2'], 20)}</Axis>", scaling="3"))
    with pytest.raises(InputError, match=r"scaling factor of '3'(.|\n)*scale=0\.001"):
        read_xtbml(save(scaled))
    assert read_xtbml(save(scaled), scale=0.001).tables[0].values["value"].to_list() == [
        0.001,
        0.002,
    ]
    for scale in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="must be above 0"):
            read_xtbml(save(scaled), scale=scale)
    for said in ("", "0", "1"):
        plain = document(table(axis("Age", 20, 20), '<Axis><Y t="20">.5</Y></Axis>', scaling=said))
        assert read_xtbml(save(plain)).tables[0].values["value"].to_list() == [0.5]


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("windows-1252", "windows-1252"),
    ],
)
def test_encodings(save, encoding, declared):
    text = document(ULTIMATE, head=f'<?xml version="1.0" encoding="{declared}"?>')
    assert read_xtbml(save(text, encoding)).name == "Invented – Male"


@pytest.mark.parametrize("declared", ["utf-8", "gbk", "no-such-encoding"])
def test_an_encoding_that_does_not_fit_is_refused(save, declared):
    text = document(ULTIMATE, name="中国", head=f'<?xml version="1.0" encoding="{declared}"?>')
    with pytest.raises(InputError, match=r"not well-formed XML(.|\n)*another encoding"):
        read_xtbml(save(text, "gbk"))


def test_a_namespace_and_comments_do_not_matter(save):
    text = document(ULTIMATE).replace(
        "<XTbML>", '<XTbML xmlns="http://example.org/xtbml"><!-- a -->'
    )
    assert (
        read_xtbml(save(text.replace("<Values>", "<?x y?><Values>"))).tables[0].values.height == 4
    )


LAUGHS = """<?xml version="1.0"?><!DOCTYPE XTbML [<!ENTITY a "ha">"""
for inner, outer in zip("abcdefghi", "bcdefghij", strict=True):
    LAUGHS += f'<!ENTITY {outer} "{10 * f"&{inner};"}">'
LAUGHS += "]>"


@pytest.mark.parametrize(
    "head",
    [
        LAUGHS,
        '<!DOCTYPE XTbML [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE XTbML SYSTEM "http://127.0.0.1:9/none.dtd">',
        '<!DOCTYPE XTbML [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>',
        "<!DOCTYPE XTbML>",
    ],
)
def test_document_types_and_entities_are_refused_before_they_are_read(save, head):
    for name in ("plain", "&x;", "&j;"):
        text = document(ULTIMATE, head=head).replace("Invented – Male", name)
        with pytest.raises(InputError, match="declares a document type"):
            read_xtbml(save(text))


def test_entities_of_nowhere_are_not_well_formed(save):
    with pytest.raises(InputError, match="undefined entity"):
        read_xtbml(save(document(ULTIMATE).replace("Invented – Male", "&x;")))


def test_files_cut_off_anywhere_are_refused(save):
    whole = document(SELECT, ULTIMATE).encode()
    for end in range(0, len(whole) - 1, 97):
        with pytest.raises(InputError, match="not well-formed"):
            read_xtbml(save(whole[:end]))


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x00", b"age,rate\n20,0.1\n", b"PK\x03\x04rest", b"{}", b"\xff\xfe<"]
)
def test_what_is_no_xml_is_refused(save, content):
    with pytest.raises(InputError, match="not well-formed XML"):
        read_xtbml(save(content))


def test_large_deep_and_missing_files_are_refused(save, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_xtbml(tmp_path / "none.xml")
    with pytest.raises(InputError, match="cannot be read: it is a folder"):
        read_xtbml(tmp_path)
    deep = table(axis("Age", 20, 20), "<Axis>" * 100_000 + "</Axis>" * 100_000)
    with pytest.raises(InputError, match="nested deeper than 16"):
        read_xtbml(save(document(deep)))
    monkeypatch.setattr(markup, "LARGEST", 1000)
    with pytest.raises(InputError, match="no table takes more than 1,000"):
        read_xtbml(save(document(ULTIMATE)))


def values(*cells):
    return table(axis("Age", *AGES), "<Axis>" + "".join(cells) + "</Axis>")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (document(ULTIMATE, root="html"), "not an XTbML file: its root is 'html'"),
        (document(), "holds no Table"),
        (document(values()), "table 1: holds no values"),
        (document(values('<Y t="20"></Y>', '<Y t="21"/>')), "every value is blank"),
        (document(values('<Y t="20">n/a</Y>')), r"the value at \(20,\) is not a number: 'n/a'"),
        (document(values('<Y t="20">nan</Y>')), "not a number: 'nan'"),
        (document(values('<Y t="20">1_0</Y>')), "not a number"),
        (document(values('<Y t="20">0,001</Y>')), "not a number"),
        (document(values('<Y t="20">0.1<b/></Y>')), "not a number"),
        (document(values('<Y t="20">1e999</Y>')), r"too large, first at \(20,\)"),
        (document(values("<Y>0.1</Y>")), "has 0 places on 1 axes"),
        (document(values('<Axis t="20"><Y t="1">0.1</Y></Axis>')), "has 2 places on 1 axes"),
        (document(values('<Y t="x">0.1</Y>')), "place 'x' on an axis is not a whole number"),
        (document(values('<Y t="20.5">0.1</Y>')), "'20.5' on an axis is not a whole number"),
        (document(values('<Y t="99999999999999999999">0.1</Y>')), "is not a whole number"),
        (document(values('<Y t="19">0.1</Y>')), r"1 values are off axis 'age' \(20 to 23 by 1\)"),
        (document(values('<Y t="20">0.1</Y>', '<Y t="20">0.1</Y>')), "2 values share a place"),
        (document(values("<Z/>")), "unknown element 'Z'"),
        (document(ULTIMATE, table("", "<Axis><Y>1</Y></Axis>")), "table 2: needs axes"),
        (document(table(axis("Age", 20, 21) * 2, "<Axis/>")), "needs axes of different names"),
        (document(table(axis("Age", 21, 20), "<Axis/>")), "runs from 21 to 20"),
        (document(table(axis("Age", 0, 999_999_999), "<Axis/>")), "runs from 0 to 999999999"),
        (document(table(axis("Age", 0, 9, 0), "<Axis/>")), "runs from 0 to 9 by 0"),
        (document(table(axis("Age", "a", "b"), "<Axis/>")), "needs a name and whole numbers"),
        (document(table(axis("", 0, 1), "<Axis/>")), "axis '' needs a name"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(save, text, said):
    path = save(text)
    with pytest.raises(InputError, match=said) as caught:
        read_xtbml(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_in_a_multi_byte_encoding_says_what_to_save_it_as(tmp_path):
    path = tmp_path / "t1.xml"
    path.write_bytes('<?xml version="1.0" encoding="GB18030"?><XTbML>表</XTbML>'.encode("gb18030"))
    with pytest.raises(InputError, match="save GB18030 and other multi-byte ones as UTF-8"):
        read_xtbml(path)
