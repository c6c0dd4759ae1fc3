"""Who is let in, and that nothing a user writes becomes a path, a formula or a part of the page."""

import io
import json
import tomllib
from base64 import b64decode, b64encode
from pathlib import Path
from zipfile import ZipFile

import pytest

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.lab.blocks import Faces
from pricing.lab.desk import Desk, State, exported, start, uploaded
from pricing.lab.door import MOST_REQUEST, guard, needs_token, own_names, shown_address
from pricing.lab.opened import studies_in
from pricing.lab.serve import make_app, serve
from pricing.lab.session import MOST_BYTES, Session, read_session
from pricing.plans.plan_file import read_plan
from pricing.plans.plan_study import PlanStudy
from pricing.report.page import write
from pricing.report.sections import ASIDE
from pricing.report.tables import kinds_of, words_of
from pricing.report.workbook import write_workbook

FACES = Faces(kinds_of, words_of, write_workbook, write, ASIDE)
TOKEN = "a-long-token"
NASTY = [
    "<script>alert(1)</script>", "../../etc/passwd", '=HYPERLINK("http://evil.example","x")',
    "+1+1", "@SUM(A1)", '"; rm -rf / #', "a\\b\tc", "'''x'''", "‮gnp.exe", "\x00\x7f\x1b[31mred",
]  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    return Desk(studies_in(), folder / "kept", folder / "books")


@pytest.fixture
def client(desk):
    """A client of the page on this machine, or with a token on every address."""
    pytest.importorskip("dash", reason="the page needs Dash")

    def made(host="127.0.0.1", token=""):
        app = make_app(desk, FACES)
        guard(app.server, host=host, token=token)
        asked = app.server.test_client()
        opened = asked.open  # a file that is served is read and closed
        asked.open = lambda *args, **given: opened(*args, buffered=True, **given)
        return asked

    return made


@pytest.mark.parametrize(("called", "status"), [
    ("127.0.0.1:8050", 200), ("localhost:8050", 200), ("LOCALHOST:8050", 200), ("[::1]:8050", 200),
    ("evil.example:8050", 403), ("localhost.evil.example", 403), ("127.0.0.1.nip.io", 403),
    ("10.0.0.5:8050", 403), ("", 403), ("[::1", 403), ("0.0.0.0", 403), ("user@localhost", 403),
])  # fmt: skip
def test_only_names_of_this_machine_are_answered(client, called, status):
    answer = client().get("/", headers={"Host": called})
    # the server itself refuses what is no name at all, before the page is asked
    assert answer.status_code == status or (status == 403 and answer.status_code == 400)


@pytest.mark.parametrize(("called", "status"), [
    ("10.0.0.5:8050", 200), ("[fe80::1]:8050", 200), ("127.0.0.1:8050", 200), ("evil.example:8050", 403),
])  # fmt: skip
def test_on_every_address_numbers_are_answered_and_foreign_names_are_not(client, called, status):
    answer = client("0.0.0.0", TOKEN).get(f"/?token={TOKEN}", headers={"Host": called})
    assert answer.status_code == status
    assert "printed" in client("0.0.0.0", TOKEN).get("/", headers={"Host": "x.example"}).text


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 200), ({"Origin": "http://127.0.0.1:1"}, 200), ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403), ({"Origin": "http://127.0.0.1:2"}, 403), ({"Origin": ""}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
])  # fmt: skip
def test_another_page_cannot_post(client, headers, status):
    body = {"output": "fields.className", "outputs": {"id": "fields", "property": "className"},
            "inputs": [], "changedPropIds": []}  # fmt: skip
    answer = client().post("/_dash-update-component", json=body, base_url="http://127.0.0.1:1", headers=headers)  # fmt: skip
    assert (answer.status_code == 403) == (status == 403)


@pytest.mark.parametrize(
    "path", ["/", "/_dash-layout", "/_dash-dependencies", "/assets/lab.js", "/none"]
)
@pytest.mark.parametrize("given", ["", "?token=", "?token=wrong", f"?token={TOKEN}x", "?token=令牌", "?token=%ff"])  # fmt: skip
def test_without_the_token_nothing_is_shown(client, path, given):
    answer = client("0.0.0.0", TOKEN).get(f"{path}{given}", base_url="http://10.0.0.5:1/")
    assert answer.status_code == 401
    assert "token" in answer.text
    assert "令牌" in answer.text
    assert TOKEN not in answer.text
    assert "Set-Cookie" not in answer.headers
    assert "<script" not in answer.text


def test_the_token_is_asked_once_and_then_kept_in_a_cookie(client):
    asked = client("0.0.0.0", TOKEN)
    answer = asked.get(f"/?token={TOKEN}", base_url="http://10.0.0.5:1/")
    assert answer.status_code == 200
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Expires" not in cookie  # gone with the browser
    assert asked.get("/_dash-layout", base_url="http://10.0.0.5:1/").status_code == 200
    asked.set_cookie("pricing-lab", "another", domain="10.0.0.5")
    assert asked.get("/", base_url="http://10.0.0.5:1/").status_code == 401
    post = asked.post("/_dash-update-component", json={}, base_url="http://10.0.0.5:1/")
    assert post.status_code == 401


def test_the_token_is_long_printed_once_and_another_each_time(monkeypatch, desk, tmp_path):
    pytest.importorskip("dash", reason="the page needs Dash")
    import werkzeug.serving

    class Server:
        server_port = 8050

        def serve_forever(self):
            pass

        def server_close(self):
            pass

    listened = []
    monkeypatch.setattr(werkzeug.serving, "make_server", lambda host, *a, **k: listened.append(host) or Server())  # fmt: skip
    said = []
    for host in ("0.0.0.0", "0.0.0.0", "127.0.0.1"):
        serve(None, FACES, host=host, kept=tmp_path, ready=said.append)
    first, second, own = said
    tokens = [one.partition("token=")[2].partition(" ")[0] for one in said]
    assert len(tokens[0]) >= 32
    assert first != second
    assert tokens[2] == ""
    assert "http://127.0.0.1:8050/ " in own
    serve(None, FACES, kept=tmp_path, ready=said.append)
    assert listened == [
        "0.0.0.0",
        "0.0.0.0",
        "127.0.0.1",
        "127.0.0.1",
    ]  # without --host: this machine only


def test_hosts_and_addresses():
    assert not needs_token("localhost")
    assert all(needs_token(host) for host in ("0.0.0.0", "::", "", "192.168.1.5", "lab.example"))
    assert "lab.example" in own_names("Lab.Example")
    assert "" not in own_names("")
    assert shown_address("0.0.0.0", 1, "t").startswith("http://")
    assert "0.0.0.0" not in shown_address("0.0.0.0", 1)  # nobody can open that one


@pytest.mark.parametrize("path", ["/", "/_dash-layout", "/assets/lab.css", "/none"])
def test_every_answer_is_sealed(client, path):
    heads = client().get(path, base_url="http://127.0.0.1:1/").headers
    policy = heads["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    scripts = next(p for p in policy.split("; ") if p.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "sha256-" in scripts
    assert "http" not in policy  # nothing from elsewhere
    assert heads["X-Content-Type-Options"] == "nosniff"
    assert heads["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", [
    "/assets/../serve.py", "/assets/..%2f..%2fserve.py", "/assets/%2e%2e/serve.py",
    "/_dash-component-suites/dash/../../etc/passwd", "/assets//etc/passwd",
])  # fmt: skip
def test_no_address_reaches_another_file(client, path):
    answer = client().get(path, base_url="http://127.0.0.1:1/")
    assert answer.status_code in (301, 308, 400, 404, 500) or "<!DOCTYPE html>" in answer.text
    assert "root:" not in answer.text
    assert "make_app" not in answer.text


def test_a_large_request_is_refused(client):
    answer = client().post("/_dash-update-component", data=b" " * (MOST_REQUEST + 1),
                           content_type="application/json", base_url="http://127.0.0.1:1/")  # fmt: skip
    assert answer.status_code == 413


@pytest.mark.parametrize("name", ["../home_care", "/etc/passwd", "home_care/../anjia", "", "home_care.toml", "\x00"])  # fmt: skip
def test_a_study_is_named_and_never_a_path(desk, name):
    with pytest.raises(InputError, match="no study"):
        State.read({"study": name, "session": "{}"}, desk)


@pytest.mark.parametrize("content", [
    b"PK\x03\x04", b"[study]\nname = 'x'", b"\xff\xfe", b"[" * 5_000, b"null", b'"x"', b"{}", b"1e999",
    b'{"kind": "pricing-lab", "version": 2, "study": "home_care"}',
    b'{"kind": "pricing-lab", "version": 1, "study": "../home_care"}',
    b'{"kind": "pricing-lab", "version": 1, "study": "home_care", "path": "/etc/passwd"}',
    b'{"kind": "pricing-lab", "version": 1, "study": "home_care", "change": {"care.uptake": NaN}}',
    b'{"kind": "pricing-lab", "version": 1, "study": "home_care", "change": {"__class__": 1}}',
    b'{"kind": "pricing-lab", "version": 1, "study": "home_care", "scenarios": [{"name": "../x", "title": "x", "change": {}}]}',
    b'{"kind": "pricing-lab", "version": 1, "study": "home_care", "scenarios": [{"name": "x", "title": "\\ud800", "change": {}}]}',
    b'{"kind": "pricing-lab", "version": 1, "study": "home_care", "scenarios": [{"name": "x", "title": "a\\u0000", "change": {}}]}',
    b" " * (MOST_BYTES + 1),
])  # fmt: skip
def test_only_our_own_scenario_file_is_taken(desk, content):
    sent = "data:application/json;base64," + b64encode(content).decode()
    with pytest.raises(InputError):
        read_session(uploaded(sent), desk.study("home_care"))


@pytest.mark.parametrize(
    "sent", ["", "data:,", "data:application/json;base64,***", "x" * (3 * MOST_BYTES)]
)
def test_an_upload_that_is_no_file_is_refused(desk, sent):
    with pytest.raises(InputError):
        read_session(uploaded(sent), desk.study("home_care"))


@pytest.fixture(scope="module")
def nasty(desk):
    """A session whose scenarios are named as badly as can be."""
    session = Session("home_care", {"care.uptake": 0.4})
    for title in NASTY:
        session = session.keep(title)
    return session


def test_names_are_kept_as_text_and_shortened_to_letters(nasty, desk):
    assert len(nasty.scenarios) == len(NASTY)
    for one in nasty.scenarios:
        assert one.title.isprintable()
        assert one.name.replace("_", "").replace("-", "").isalnum()
        assert one.name.isascii()
    assert read_session(nasty.written(), desk.study("home_care")) == nasty


def test_a_study_file_holds_the_names_as_text(nasty, desk, tmp_path):
    pytest.importorskip("dash", reason="the page needs Dash")
    sent, said = exported("export-study", State(nasty, "en"), desk.study("home_care"), desk, FACES, None)  # fmt: skip
    assert said == ""
    assert sent["filename"] == "home_care_lab.toml"
    there = tmp_path / sent["filename"]
    there.write_text(sent["content"], encoding="utf-8")
    titles = [one["title"]["en"] for one in tomllib.loads(sent["content"])["scenarios"]]
    assert titles[-len(NASTY) :] == [one.title for one in nasty.scenarios]
    assert len(read_plan(there).scenarios) >= len(NASTY)


def test_a_workbook_holds_no_formula(nasty, desk):
    pytest.importorskip("dash", reason="the page needs Dash")
    sent, _ = exported("export-excel", State(nasty, "zh"), desk.study("home_care"), desk, FACES, None)  # fmt: skip
    assert Path(sent["filename"]).name == sent["filename"]
    with ZipFile(io.BytesIO(b64decode(sent["content"]))) as book:
        parts = {name: book.read(name).decode() for name in book.namelist() if name.endswith((".xml", ".rels"))}  # fmt: skip
    sheets = [text for name, text in parts.items() if "/worksheets/sheet" in name]
    assert sheets
    assert not [text for text in sheets if "<f>" in text or "<f " in text]
    assert not [text for text in parts.values() if "evil.example" in text and "TargetMode" in text]
    assert any("HYPERLINK" in text for text in parts.values())  # it is there, as text


def test_a_report_escapes_the_names_and_stands_in_its_own_folder(nasty, desk, monkeypatch):
    pytest.importorskip("dash", reason="the page needs Dash")
    monkeypatch.setattr(PlanStudy, "run", lambda study: {})  # the scenarios alone
    sent, said = exported("export-report", State(nasty, "en"), desk.study("home_care"), desk, FACES, None)  # fmt: skip
    assert sent is None
    page = desk.kept / "reports" / "home_care" / "index.html"
    assert str(page.parent) in said
    text = page.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert {p.name for p in (desk.kept / "reports").iterdir()} == {"home_care"}


def test_an_address_with_anything_in_it_opens_the_study_unchanged(desk):
    pytest.importorskip("dash", reason="the page needs Dash")
    for change in (
        "<script>",
        '{"care.uptake": "<b>"}',
        "[" * 9_999,
        '{"a": {"b": 1}}',
        "9" * 5_000,
    ):
        _, state = start(desk, {"study": "home_care", "change": change}, "")
        assert state.session.change == {}
    page, state = start(desk, {"study": "<script>alert(1)</script>", "lang": "<b>"}, "")
    assert state is None
    assert json.loads(json.dumps(page.to_plotly_json(), default=str))  # parts of text, never markup
    assert bundled("studies/home_care.toml").exists()
