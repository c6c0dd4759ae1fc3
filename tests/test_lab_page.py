"""The page in a browser: turned, kept, compared, exported, opened again; and its server's door."""

import json
import re
import threading
from shutil import which
from zipfile import ZipFile

import polars as pl
import pytest

from pricing.cli import app as run
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.lab.answers import Answer, compare
from pricing.lab.blocks import Faces
from pricing.lab.desk import Desk, State, acted, answered, start
from pricing.lab.door import guard
from pricing.lab.export import as_changed, compared
from pricing.lab.headline import take_up_still
from pricing.lab.opened import heads_of, studies_in
from pricing.lab.page import tab_body, tabs_of
from pricing.lab.serve import make_app, serve
from pricing.lab.session import Kept, Session
from pricing.renewal.price import price_renewals
from pricing.renewal.price_trace import trace_price
from pricing.renewal.rules import RenewalRules
from pricing.report.page import write
from pricing.report.sections import ASIDE
from pricing.report.tables import kinds_of, words_of
from pricing.report.workbook import write_workbook
from pricing.result.shape import Result
from pricing.result.words import label

FACES = Faces(kinds_of, words_of, write_workbook, write, ASIDE)
CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-default-browser-check",
)  # fmt: skip


SMALL = {"anjia": "members = 12_000", "green_channel": "members = 20_000"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """The bundled studies, two of them small."""
    folder = tmp_path_factory.mktemp("lab")
    own = {}
    for name, members in SMALL.items():
        text = bundled(f"studies/{name}.toml").read_text(encoding="utf-8")
        assert members in text
        first = text.split("[[tiers.tier]]")[
            :2
        ]  # of the elder plan one tier: few fields, a quick page
        own[name] = folder / f"{name}.toml"
        few = "[[tiers.tier]]".join(first).replace(members, "members = 1_000")
        own[name].write_text(few, encoding="utf-8")
    own["two_tiers"] = two_tiers(folder)
    return Desk({**studies_in(), **own}, folder / "kept", folder / "books")


def two_tiers(folder):
    """The elder plan with both tiers and those who choose them, small."""
    text = bundled("studies/anjia.toml").read_text(encoding="utf-8")
    path = folder / "two_tiers.toml"
    small = text.replace(SMALL["anjia"], "members = 1_000").replace('"anjia"', '"two_tiers"')
    path.write_text(small.partition("[[scenarios]]")[0], encoding="utf-8")
    return path


# -- without a browser ------------------------------------------------------------------------------


def test_actions_without_a_browser(desk):
    opened = desk.study("home_care")
    keys = list(opened.fields)
    state = State.read({"study": "home_care", "lang": "zh", "session": acted_session()}, desk)[0]
    number = {"type": "number", "n": keys.index("care.uptake")}
    turned, _ = acted(state, opened, number, "0.4", "")
    assert turned.session.change == {"care.uptake": 0.4}
    wrong, _ = acted(turned, opened, number, "many", "")
    assert wrong.bad == {"care.uptake": "many"}
    assert wrong.session == turned.session
    mended, _ = acted(wrong, opened, number, "0.3", "")
    assert not mended.bad
    kept, message = acted(mended, opened, "keep", 1, "甲")
    assert "甲" in message
    back, _ = acted(kept, opened, "undo", 1, "")
    assert back.session.change == {"care.uptake": 0.4}
    name = kept.session.scenarios[0].name
    loaded, _ = acted(back, opened, {"type": "load", "name": name}, 1, "")
    assert loaded.session.change == {"care.uptake": 0.3}
    assert not acted(loaded, opened, {"type": "drop", "name": name}, 1, "")[0].session.scenarios
    _, refused = acted(State(state.session, "zh"), opened, "keep", 1, "x")
    assert refused == "尚未调整，没有可保存的方案。"


def test_the_figures_are_those_of_a_tier(desk):
    opened = desk.study("two_tiers")
    names = list(opened.fields)
    state = State.read({"study": "two_tiers", "session": session_of("two_tiers")}, desk)[0]
    assert (state.tier, opened.tiers) == ("basic", ("basic", "premium"))
    number = {"type": "number", "n": names.index("tiers.tier.premium.premium")}
    dear, _ = acted(state, opened, number, "2500", "")
    assert dear.tier == "premium"
    moved = answered(dear, opened)[0].figures.filter(quantity="loss_ratio").row(0, named=True)
    assert moved["after"] == pytest.approx(moved["before"] * 2000 / 2500)
    picked, _ = acted(dear, opened, "tier", "basic", "")
    assert (
        answered(picked, opened)[0].figures.filter(quantity="loss_ratio")["difference"].item() == 0
    )
    assert next(iter(opened.at_once(dear.session.change, "premium"))) == "tier_cost:premium"
    assert acted(picked, opened, "tier", "nobody", "")[0].tier == "basic"
    assert acted(picked, opened, "undo", 1, "")[0].tier == "premium"
    assert State.read(dear.written(), desk)[0].tier == "premium"
    assert State.read({**dear.written(), "tier": "nobody"}, desk)[0].tier == "premium"
    said = compared(opened, [Kept(name="a", title="A", change=dear.session.change)], "premium")
    assert "“premium”" in said["scenario_comparison"].finding("en")
    assert "高端档" in said["scenario_comparison"].finding("zh")
    steps = said["scenario_steps:a"]
    assert "“premium”" in steps.finding("en")
    assert (
        as_changed(opened, dear.session.change, "premium").settings.plans["tiers"].compared
        == "premium"
    )


def test_a_wrong_entry_leaves_the_figures_before_it(desk):
    opened = desk.study("home_care")
    names = list(opened.fields)
    number = {"type": "number", "n": names.index("care.uptake")}
    state = State.read({"study": "home_care", "session": acted_session()}, desk)[0]
    good, _ = acted(state, opened, number, "0.4", "")
    before = answered(good, opened)[0]
    found = answered(acted(good, opened, number, "many", "")[0], opened, drawn=True)[0]
    assert (found.stale, before.stale) == (True, False)
    assert found.faults[0].sentence == "not_a_number"
    assert found.figures.equals(before.figures)
    assert found.results
    refused = State(Session("home_care", {"care.uptake": 1.5}, (good.session.change,)), "en")
    assert answered(refused, opened)[0].figures.equals(before.figures)
    alone = State(Session("home_care", {"care.uptake": 1.5}), "en")
    assert (
        answered(alone, opened)[0].figures["difference"].to_list() == [0.0] * before.figures.height
    )


def test_take_up_is_said_to_stand_still_where_terms_are_turned():
    assert take_up_still({"tiers.tier.basic.limit": 1.0})
    assert not take_up_still({"tiers.tier.basic.premium": 1.0, "take_up.aware": 0.5})


def test_a_price_trace_is_offered_where_renewals_can_be(desk, monkeypatch):
    opened = desk.study("home_care")
    assert "trace" not in tabs_of(opened)
    monkeypatch.setattr(type(opened), "renews", True)
    assert "trace" in tabs_of(opened)
    shown = tab_body("trace", opened, Session("home_care"), Answer(compare({}, {})), "en", FACES)
    assert "[renewal]" in str(shown)


def acted_session():
    return session_of("home_care")


def session_of(name):
    return json.dumps({"kind": "pricing-lab", "version": 1, "study": name})


@pytest.mark.parametrize("data", [None, {}, {"study": "nobody"}, {"study": "home_care", "session": "{"},
                                  {"study": "home_care", "session": "x" * 300_000}])  # fmt: skip
def test_a_state_that_is_none_is_refused(desk, data):
    with pytest.raises(InputError):
        State.read(data, desk)


def test_the_page_says_what_to_do_without_a_study(desk):
    pytest.importorskip("dash", reason="the page needs Dash")
    page, state = start(desk, {"lang": "zh"}, "")
    assert state is None
    assert "尚未打开研究" in str(page)
    page, state = start(desk, {"study": "nobody"}, "")
    assert state is None
    assert "no study" in str(page)


def test_a_remembered_session_that_no_longer_fits_is_let_go(desk):
    pytest.importorskip("dash", reason="the page needs Dash")
    old = json.loads(acted_session()) | {"change": {"care.gone": 1}}
    _, state = start(desk, {"study": "home_care", "saved": json.dumps(old), "change": "{"}, "")
    assert state.session.change == {}
    _, state = start(desk, {"study": "home_care", "change": '{"care.uptake": 0.25}'}, "")
    assert state.session.change == {"care.uptake": 0.25}
    assert state.session.undone().change == {}


def test_a_study_file_that_is_not_there_is_said_before_the_page_opens(tmp_path):
    pytest.importorskip("dash", reason="the page needs Dash")
    with pytest.raises(InputError, match="no such study file"):
        serve(tmp_path / "none.toml", FACES)
    broken = tmp_path / "broken.toml"
    broken.write_text("[study", encoding="utf-8")
    with pytest.raises(InputError, match="not a readable TOML"):
        serve(broken, FACES, port=0)


# -- in a browser -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(desk):
    pytest.importorskip("dash", reason="the page needs Dash")
    from werkzeug.serving import make_server

    app = make_app(desk, FACES, default="anjia")
    guard(app.server, host="127.0.0.1")
    server = make_server("127.0.0.1", 0, app.server, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    driver = pytest.importorskip("playwright.sync_api", reason="no Playwright to drive a browser")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with driver.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def opened_page(browser, address):
    """One page for the module: what it says on its console and what it asks for is written down."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    said, outside = [], []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None)  # fmt: skip
    yield page, said, outside
    context.close()


@pytest.fixture
def page(opened_page):
    page, said, outside = opened_page
    said.clear()
    outside.clear()
    page.set_viewport_size({"width": 1280, "height": 900})
    yield page
    page.evaluate("window.localStorage.clear()")
    assert not said
    assert not outside  # nothing leaves the machine


DEDUCTIBLE = "tiers.tier.basic.benefit.outpatient.deductible"


def opened_at(page, address, study="anjia", lang="en"):
    page.goto("about:blank")
    page.goto(f"{address}?study={study}&lang={lang}")
    page.wait_for_selector("#figures table")


def field(page, key=DEDUCTIBLE):
    box = page.locator(f"[data-key='{key}']")
    page.evaluate("document.querySelectorAll('#fields details').forEach(d => d.open = true)")
    return box


def enter(page, text, key=DEDUCTIBLE):
    typed = field(page, key).locator("input[type=text]")
    typed.fill(text)
    typed.press("Enter")


def number(text):
    return float(text.replace(",", "").rstrip("%"))


def figure(page, name, column, table="#figures"):
    row = page.locator(f"{table} tr", has=page.locator("th span", has_text=re.compile(f"^{re.escape(name)}$")))  # fmt: skip
    return number(row.locator("td").nth(column).inner_text())


def moved(page, table="#figures"):
    page.wait_for_selector(f"{table} tr.moved")


def still(page):
    page.wait_for_selector("#figures tr.moved", state="detached")


def tab(page, name):
    page.locator(".tabs label", has_text=name).click()


def keep(page, title):
    page.fill("#keep-title", title)
    page.click("#keep")
    page.wait_for_selector(f"#said:has-text('{title}')")


def pick(page, which, shown):
    page.locator(f"#{which}").click()
    page.get_by_text(shown, exact=True).last.click()


def download(page, button):
    with page.expect_download() as got:
        page.click(button)
    return got.value


@pytest.mark.browser
def test_a_deductible_is_turned_kept_compared_undone_shared_and_found_again(
    page, address, tmp_path
):
    opened_at(page, address)
    premium = "Required premium"
    before = figure(page, premium, 0)
    page.wait_for_selector("#tab-body .js-plotly-plot")  # the result is drawn
    tab(page, "Scenarios")
    enter(page, "60")
    moved(page)
    after = figure(page, premium, 1)
    assert after < before
    assert field(page).locator("input[type=range]").input_value() == "60"
    assert "CNY" in page.locator("#figures tr", has_text=premium).inner_text()
    assert "≥ 0" in field(page).inner_text()  # its domain stands at the field
    keep(page, "Deductible 60")
    enter(page, "120")
    page.wait_for_selector(f"#figures tr.moved >> text={premium}")
    page.wait_for_selector("#undo:not([disabled])")
    keep(page, "免赔额 120")
    lower = figure(page, premium, 1)
    assert lower < after
    moved(page, "#comparison")
    pick(page, "left", "Deductible 60")
    page.wait_for_selector("#comparison th:has-text('Deductible 60')")
    page.wait_for_selector("#comparison th:has-text('免赔额 120')")
    shown = [figure(page, premium, place, "#comparison") for place in (0, 1)]
    assert shown == [after, lower]

    page.click("#undo")
    page.wait_for_selector(f"[data-key='{DEDUCTIBLE}'] input[type=range][value='60']", state="attached")  # fmt: skip
    assert field(page).locator("input[type=text]").input_value() == "60"

    tab(page, "Share and export")
    saved = tmp_path / "lab.json"
    download(page, "#save-file").save_as(saved)
    assert [one["title"] for one in json.loads(saved.read_text("utf-8"))["scenarios"]] == ["Deductible 60", "免赔额 120"]  # fmt: skip
    link = page.input_value("#link")

    page.reload()
    moved(page)
    assert figure(page, premium, 1) == after
    assert field(page).locator("input[type=text]").input_value() == "60"
    page.click("#undo")
    still(page)
    assert field(page).locator("input[type=text]").input_value() == "0"
    page.click("#redo")
    moved(page)
    page.click("#reset")
    still(page)
    assert page.locator("#reset").is_disabled()

    page.evaluate("window.localStorage.clear()")  # as somebody else's browser
    page.goto("about:blank")
    page.goto(link)
    moved(page)
    assert figure(page, premium, 1) == after
    page.click("#reset")
    still(page)
    tab(page, "Share and export")
    page.set_input_files("#open-file input[type=file]", str(saved))
    moved(page)
    assert figure(page, premium, 1) == after
    tab(page, "Scenarios")
    page.wait_for_selector(".kept-title:has-text('免赔额 120')")


@pytest.mark.browser
def test_the_exported_files_are_real_and_a_run_of_the_study_says_the_same(page, address, desk, tmp_path):  # fmt: skip
    opened_at(page, address, "green_channel")
    said = {}
    tab(page, "Scenarios")
    for title, value in (("More come", "0.5"), ("Fewer come", "0.3")):
        enter(page, value, "services.channel.uptake")
        page.wait_for_selector(f"[data-key='services.channel.uptake'] input[type=range][value='{value}']", state="attached")  # fmt: skip
        moved(page)
        keep(page, title)
    moved(page, "#comparison")
    pick(page, "left", "More come")
    page.wait_for_selector("#comparison th:has-text('More come')")
    rows = page.locator("#comparison tbody tr")
    for place in range(rows.count()):
        row = rows.nth(place)
        name = row.locator("th span").inner_text()
        said[name] = {title: row.locator("td").nth(i).inner_text() for i, title in enumerate(("More come", "Fewer come"))}  # fmt: skip
    assert len(said) == 8
    tab(page, "Share and export")
    study = tmp_path / "exported.toml"
    download(page, "#export-study").save_as(study)
    book = tmp_path / "exported.xlsx"
    download(page, "#export-excel").save_as(book)
    page.click("#export-report")
    page.wait_for_selector("#exported:has-text('index.html')")
    report = desk.kept / "reports" / "green_channel" / "index.html"
    assert str(report.parent) in page.inner_text("#exported")
    assert "Fewer come" in report.read_text("utf-8")
    with ZipFile(book) as parts:
        assert "Fewer come" in parts.read("xl/sharedStrings.xml").decode()

    run(["run", str(study), "--out", str(tmp_path / "out")], result_action="return_value")
    found = Result.load(tmp_path / "out" / "results" / "scenario_comparison")
    titles = {"more_come": "More come", "fewer_come": "Fewer come"}
    checked = 0
    for row in found.table.filter(pl.col("scenario").is_in(list(titles))).iter_rows(named=True):
        shown = said[label(row["quantity"], "en")][titles[row["scenario"]]]
        digits = len(shown.rstrip("%").partition(".")[2])
        expected = 100 * row["after"] if shown.endswith("%") else row["after"]
        assert number(shown) == pytest.approx(expected, abs=0.5 * 10**-digits + 1e-9)
        checked += 1
    assert checked == 16


@pytest.mark.browser
def test_a_bad_value_gets_its_message_and_nothing_is_computed(page, address):
    opened_at(page, address, lang="zh")
    tab(page, "分享与导出")
    for text, said in (("很多", "不是数字"), ("-5", "不得小于 0")):
        enter(page, text)
        page.wait_for_selector(f"[data-key='{DEDUCTIBLE}'] .fault:has-text('{said}')")
        page.wait_for_selector("#notice .fault:has-text('错误输入之前')")
        page.wait_for_selector("#figures .stale th:has-text('错误输入之前')")
        assert not page.locator("#figures tr.moved").count()
    enter(page, "30")
    moved(page)
    page.wait_for_selector("#figures .stale", state="detached")
    good = page.locator("#figures tbody").inner_text()
    key = "tiers.tier.basic.benefit.outpatient.year_limit"
    enter(page, "20000", key)  # above the tier's own limit
    page.wait_for_selector(f"[data-key='{key}'] .fault:has-text('lies above the tier')")
    page.wait_for_selector("#figures .stale")
    assert page.locator("#figures tbody").inner_text() == good  # those of the deductible alone
    enter(page, "", key)
    page.wait_for_selector("#figures .stale", state="detached")
    assert page.locator("#figures tbody").inner_text() == good


@pytest.mark.browser
def test_the_headline_names_its_tier_and_follows_the_one_turned(page, address):
    opened_at(page, address, "two_tiers")
    heads = "#figures tr.part th"
    assert page.locator(heads).all_inner_texts() == ["Tier: basic", "All tiers together"]
    assert page.locator("summary").first.inner_text() == "Elder medical tiers · basic"
    before = figure(page, "Required premium", 0)
    tab(page, "Scenarios")
    key = "tiers.tier.premium.benefit.outpatient.deductible"
    enter(page, "60", key)
    moved(page)
    assert page.locator(heads).first.inner_text() == "Tier: premium"
    assert page.locator("#tier input:checked").input_value() == "premium"
    assert figure(page, "Required premium", 1) < figure(page, "Required premium", 0)
    assert (
        "Take-up does not react"
        in page.locator("#figures tr", has_text="Take-up").first.inner_text()
    )
    keep(page, "Deductible 60")
    assert "premium · outpatient · Deductible 60" in page.locator(".kept").inner_text()
    page.locator("#tier label", has_text="basic").click()
    page.wait_for_selector(f"{heads}:has-text('Tier: basic')")
    assert figure(page, "Required premium", 1) == before  # untouched by the other tier's change
    page.click("#undo")
    page.wait_for_selector(f"{heads}:has-text('Tier: premium')")
    still(page)

    page.fill("#find", "deductible")
    page.wait_for_selector("#fields.searched")
    shown = page.locator(".field:visible label:first-child").all_inner_texts()
    assert len(shown) == len(set(shown)) == 8  # each says whose it is
    assert shown[0] == "Deductible · basic"
    assert "Deductible · premium · outpatient" in shown
    assert "Price trace" not in page.locator(".tabs").inner_text()  # a plan renews nothing


@pytest.mark.browser
def test_it_works_by_keyboard_in_both_languages_and_on_a_tablet(page, address):
    opened_at(page, address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"  # first of all: past the fields
    slide = field(page).locator("input[type=range]")
    slide.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    moved(page)
    assert field(page).locator("input[type=text]").input_value() == "30"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.name") == DEDUCTIBLE
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.locator(".tabs input").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#tab-body h3")
    page.set_viewport_size({"width": 820, "height": 1180})
    for lang, title in (("zh", "方案试算"), ("en", "The lab")):
        page.locator("#language").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(f"h1:has-text('{title}')")
        moved(page)  # the change went with it
        assert page.evaluate("document.documentElement.lang") == (
            "zh-Hans" if lang == "zh" else "en"
        )
        wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert page.evaluate(wide)
        fields, answer = (page.locator(one).bounding_box() for one in ("aside", "#answer"))
        assert fields["y"] + fields["height"] <= answer["y"] + 1  # one above the other
        if lang == "zh":
            texts = page.locator("aside label, aside summary").all_inner_texts()
            assert not [t for t in texts if re.search(r"[a-z]{3}", t)]  # no English left


LOOKS = """() => {
  const faults = [], wide = document.documentElement;
  if (wide.scrollWidth > wide.clientWidth) faults.push("the page is wider than the window");
  for (const table of document.querySelectorAll("#tab-body table")) {
    const below = [...table.querySelector("tbody tr").children];
    [...table.querySelectorAll("thead th")].forEach((head, place) => {
      const said = head.textContent, own = getComputedStyle(head), cell = getComputedStyle(below[place]);
      if (own.textAlign.replace("start", "left") !== cell.textAlign.replace("start", "left")) faults.push(`${said}: not above its column`);
      const letters = (head.clientWidth - parseFloat(own.paddingLeft) - parseFloat(own.paddingRight)) / parseFloat(own.fontSize);
      if (/^[\u4e00-\u9fff]{2}/.test(said) && letters < 1.9) faults.push(`${said}: a character a line`);
    });
  }
  for (const figure of document.querySelectorAll("#tab-body .js-plotly-plot")) {
    const box = figure.getBoundingClientRect();
    for (const text of figure.querySelectorAll("svg text")) {
      const own = text.getBoundingClientRect();
      if (own.width && (own.left < box.left - 2 || own.right > box.right + 2 || own.top < box.top - 2 || own.bottom > box.bottom + 2)) faults.push(`${text.textContent}: cut`);
    }
  }
  return faults;
}"""


@pytest.mark.browser
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_nothing_is_cut_and_numbers_stand_under_their_heads(page, address, lang):
    opened_at(page, address, "home_care", lang)
    for wide in (1280, 820):
        page.set_viewport_size({"width": wide, "height": 1180})
        page.wait_for_selector("#tab-body .js-plotly-plot .main-svg")
        page.wait_for_timeout(500)  # figures follow the window a moment later
        assert page.evaluate(LOOKS) == []


@pytest.mark.browser
def test_the_price_of_a_policy_is_traced(page, address, desk, monkeypatch):
    opened = desk.study("taiankang")
    due = pl.DataFrame({"policy_id": ["P1"], "health_group": ["G1"], "standard_premium": [1800.0]})
    rules = RenewalRules(discounts={"G0": 0, "G1": 0.05}, adjustment=0.1)

    def trace(policy, change):
        del change
        if policy != "P1":
            raise InputError("no renewal of P9 is due")
        return trace_price(price_renewals(due, rules), [policy], rules)[policy]

    monkeypatch.setattr(type(opened), "traces", True)
    monkeypatch.setattr(opened, "trace", trace, raising=False)
    opened_at(page, address, "taiankang", "zh")
    tab(page, "保费溯源")
    page.wait_for_selector("#policy")
    page.fill("#policy", "P9")
    page.keyboard.press("Enter")
    page.wait_for_selector("#trace .fault:has-text('P9')")
    page.fill("#policy", "P1")
    page.keyboard.press("Enter")
    page.wait_for_selector("#trace table")
    cells = page.locator("#trace tbody tr").last.locator("td")
    assert number(cells.last.inner_text()) == 1881.0  # 1,800 and 10 % more, 5 % less


@pytest.mark.browser
def test_no_study_says_what_to_do_and_one_can_be_picked(browser, desk):
    from werkzeug.serving import make_server

    app = make_app(desk, FACES)
    guard(app.server, host="0.0.0.0", token="t0ken")
    server = make_server("127.0.0.1", 0, app.server, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    page = browser.new_page()
    page.set_default_timeout(60_000)
    address = f"http://127.0.0.1:{server.server_port}/"
    assert page.goto(f"{address}?lang=en").status == 401
    assert "token" in page.inner_text("body")
    page.goto(f"{address}?lang=en&token=t0ken")
    page.wait_for_selector("text=No study is open")
    assert "t0ken" not in page.url  # the cookie holds it from here on
    pick(page, "study", heads_of(desk.paths["home_care"])["en"])
    page.wait_for_selector("#figures table")
    page.close()
    server.shutdown()
    thread.join()
    server.server_close()
