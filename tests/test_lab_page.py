"""The page in a browser: turned, kept, compared, exported, opened again; and its server's door."""

import json
import re
import threading
from pathlib import Path
from shutil import which

import pytest

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.lab.blocks import Faces
from pricing.lab.desk import Desk, State, acted, start
from pricing.lab.door import guard
from pricing.lab.opened import studies_in
from pricing.lab.serve import make_app, serve
from pricing.report.page import write
from pricing.report.sections import ASIDE
from pricing.report.tables import kinds_of, words_of
from pricing.report.workbook import write_workbook

FACES = Faces(kinds_of, words_of, write_workbook, write, ASIDE)
CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-default-browser-check",
)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The elder plan with few members."""
    folder = tmp_path_factory.mktemp("lab")
    text = bundled("studies/anjia.toml").read_text(encoding="utf-8")
    path = folder / "anjia.toml"
    path.write_text(text.replace("members = 12_000", "members = 1_500"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def desk(study):
    return Desk({**studies_in(), "anjia": study}, study.parent / "kept", study.parent / "books")


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


def acted_session():
    return json.dumps({"kind": "pricing-lab", "version": 1, "study": "home_care"})


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


@pytest.fixture
def page(browser, address):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    said, outside = [], []
    page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None)  # fmt: skip
    yield page
    assert not said
    assert not outside  # nothing leaves the machine
    context.close()


DEDUCTIBLE = "tiers.tier.basic.benefit.outpatient.deductible"


def opened_at(page, address, lang="en"):
    page.goto(f"{address}?study=anjia&lang={lang}")
    page.wait_for_selector("#figures table")


def field(page, key=DEDUCTIBLE):
    box = page.locator(f"[data-key='{key}']")
    page.evaluate("document.querySelectorAll('#fields details').forEach(d => d.open = true)")
    return box


def enter(page, text, key=DEDUCTIBLE):
    typed = field(page, key).locator("input[type=text]")
    typed.fill(text)
    typed.press("Enter")


def figure(page, name, column):
    row = page.locator(".figures tr", has=page.get_by_role("rowheader", name=name, exact=True))
    return float(row.locator("td").nth(column).inner_text().replace(",", "").rstrip("%"))


def moved(page):
    page.wait_for_selector(".figures tr.moved")


def tab(page, name):
    page.locator(".tabs label", has_text=name).click()


@pytest.mark.browser
def test_a_deductible_is_turned_kept_compared_exported_and_found_again(page, address, tmp_path):
    opened_at(page, address)
    before = figure(page, "Required premium", 0)
    enter(page, "60")
    moved(page)
    after = figure(page, "Required premium", 1)
    assert after < before
    assert field(page).locator("input[type=range]").input_value() == "60"

    page.fill("#keep-title", "Deductible 60")
    page.click("#keep")
    page.wait_for_selector("#said:has-text('Scenario kept')")
    tab(page, "Scenarios")
    page.wait_for_selector("#comparison .figures tr.moved")
    rows = page.locator("#comparison .figures tr", has_text="Required premium").locator("td")
    shown = [rows.nth(i).inner_text() for i in range(2)]
    assert [float(s) for s in shown] == [before, after]

    tab(page, "Share and export")
    with page.expect_download() as got:
        page.click("#export-study")
    text = Path(got.value.path()).read_text(encoding="utf-8")
    assert f'change = {{ "{DEDUCTIBLE}" = 60.0 }}' in text
    with page.expect_download() as got:
        page.click("#export-excel")
    assert Path(got.value.path()).read_bytes()[:2] == b"PK"
    with page.expect_download() as got:
        page.click("#save-file")
    saved = tmp_path / "lab.json"
    saved.write_bytes(Path(got.value.path()).read_bytes())
    link = page.input_value("#link")

    page.reload()
    moved(page)
    assert figure(page, "Required premium", 1) == after
    assert field(page).locator("input[type=text]").input_value() == "60"

    page.click("#undo")
    page.wait_for_selector(".figures tr.moved", state="detached")
    assert field(page).locator("input[type=text]").input_value() == "0"
    page.click("#redo")
    moved(page)

    page.click("#reset")
    page.wait_for_selector(".figures tr.moved", state="detached")
    tab(page, "Share and export")
    page.set_input_files("#open-file input[type=file]", str(saved))
    moved(page)
    assert figure(page, "Required premium", 1) == after
    page.click("#reset")
    page.wait_for_selector(".figures tr.moved", state="detached")
    page.goto("about:blank")
    page.goto(link)
    moved(page)
    assert figure(page, "Required premium", 1) == after


@pytest.mark.browser
def test_a_bad_value_gets_its_message_and_nothing_is_computed(page, address):
    opened_at(page, address, "zh")
    for text, said in (("很多", "不是数字"), ("-5", "不得小于 0")):
        enter(page, text)
        page.wait_for_selector(f"[data-key='{DEDUCTIBLE}'] .fault:has-text('{said}')")
        page.wait_for_selector("#notice .fault")
        assert not page.locator("#figures table").count()
    enter(page, "30")
    moved(page)
    key = "tiers.tier.basic.benefit.outpatient.year_limit"
    enter(page, "20000", key)  # above the tier's own limit
    page.wait_for_selector(f"[data-key='{key}'] .fault:has-text('lies above the tier')")
    assert not page.locator("#figures table").count()
    enter(page, "", key)
    moved(page)


@pytest.mark.browser
def test_it_works_by_keyboard_and_in_both_languages(page, address):
    opened_at(page, address)
    slide = field(page).locator("input[type=range]")
    slide.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    moved(page)
    assert field(page).locator("input[type=text]").input_value() == "30"
    page.locator(".tabs input").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#tab-body h3")
    page.locator("#language").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('方案试算')")
    moved(page)  # the change went with it
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    texts = page.locator("aside label, aside summary").all_inner_texts()
    assert not [t for t in texts if re.search(r"[a-z]{3}", t)]  # no English left


@pytest.mark.browser
def test_no_study_says_what_to_do_and_one_can_be_picked(browser, desk):
    from werkzeug.serving import make_server

    app = make_app(desk, FACES)
    server = make_server("127.0.0.1", 0, app.server, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/?lang=en")
    page.wait_for_selector("text=No study is open")
    page.locator("#study").click()
    page.get_by_text("home_care", exact=True).last.click()
    page.wait_for_selector("#figures table")
    page.close()
    server.shutdown()
    thread.join()
    server.server_close()
