"""The page of GET /ui in a real browser: what it shows is so, live, and whoever looks at it
(without a mouse, without seeing it, on a telephone, in the dark) can use it.

CHROMATID_SCREENSHOTS=1 also makes the pictures of the documentation (docs/ui*.png).
"""

import base64
import hashlib
import os
import re
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from compare import converged
from world import COLLECTIONS, ROOT, Proxy, World, wait_until

CHROMIUM = os.environ.get("CHROMATID_CHROMIUM", "/usr/bin/chromium")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
HOSTILE = [
    "<img src=x onerror=\"window.broken=1\">",
    "'\"><script>window.broken=1</script>{{7*7}}${7*7}",
    "\u202egnp.exe \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "w" * 512,
]


@pytest.fixture(scope="module")
def world(postgres, tmp_path_factory):
    """Nothing heals by itself here."""
    with World(postgres, tmp_path_factory.mktemp("ui"), WRITE_WAIT="10s", REPAIR="report") as world:
        yield world


@pytest.fixture(autouse=True)
def all_there(world):
    world.revive()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


class Watched:
    """A page, what it asked for, and what its browser had to refuse it."""

    def __init__(self, browser, url, **options):
        self.context = browser.new_context(viewport=WIDE, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        expect.set_options(timeout=20_000)
        self.asked, self.broken = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.broken.append(str(error)))
        self.page.on("console", self.on_console)
        self.url = url
        # a page that navigates forgets a variable of its own, so it says it aloud
        self.context.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP: ' + e.violatedDirective));"
        )

    def on_console(self, message):
        if message.type == "error" and ("CSP" in message.text or "Content Security" in message.text):
            self.broken.append(message.text)

    def open(self):
        self.page.goto(self.url + "/ui")
        expect(self.page.locator("#three")).to_be_visible()
        return self.page

    def check(self):
        assert self.broken == []
        elsewhere = [u for u in self.asked if not u.startswith((self.url + "/", "data:"))]
        assert elsewhere == []


@pytest.fixture
def watched(browser, world):
    watched = Watched(browser, world.proxy.url)
    yield watched
    watched.context.close()
    watched.check()


@pytest.fixture
def page(watched):
    return watched.open()


def wait_for(page, expression):
    """Playwright's own way needs eval, which the page forbids."""
    wait_until(lambda: page.evaluate(expression), 20, expression)


def headline(page):
    return page.locator("#headline")


def cell(page, server, column):
    return page.locator(f"#instances tr:has(th:has-text('{server}')) >> css=td >> nth={column}")


def collection(world, name, records=1):
    c = world.client().get_or_create_collection(name, embedding_function=None)
    c.upsert(ids=[str(n) for n in range(records)], embeddings=[[n, 1] for n in range(records)])
    converged(world)
    return c


@pytest.fixture
def quarantined(world):
    """The replica refuses what the primary takes: somebody gave it another dimension."""
    c = world.client().create_collection("odd", embedding_function=None)
    converged(world)
    mappings = world.http.get("/collection/mappings").json()["mappings"]
    local = next(m for m in mappings if m["collection_name"] == "odd")["locations"]["replica"]
    path = f"{COLLECTIONS}/{local}/add"
    world.replica.http.post(path, json={"ids": ["x"], "embeddings": [[1, 2, 3]]}).raise_for_status()
    c.add(ids=["1"], embeddings=[[1, 2]])
    yield wait_until(lambda: world.proxy.status()["quarantine"], 20, "it is in quarantine")[0]
    world.client().delete_collection("odd")
    converged(world)


# --- how it is served -----------------------------------------------------------------


def test_it_is_one_file_that_may_do_nothing_but_ask_us(world):
    answer = world.http.get("/ui")
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (ROOT / "http/ui.html").read_bytes()
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    assert not re.search(r"\son[a-z]+=|\sstyle=|innerHTML|insertAdjacent|document\.write|eval\(", answer.text)


def test_a_browser_keeps_it_until_it_changes(world):
    answer = world.http.get("/ui")
    again = world.http.get("/ui", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == answer.headers["content-security-policy"]
    assert world.http.get("/ui", headers={"If-None-Match": '"another"'}).status_code == 200
    assert world.http.head("/ui").headers["content-length"] == str(len(answer.content))
    assert world.http.post("/ui").status_code == 405


def test_it_can_be_switched_off(world, tmp_path):
    settings = {k: v for k, v in world.proxy.settings.items() if k != "PORT"}
    second = Proxy(tmp_path, {**settings, "UI": "off"}, "second")
    try:
        second.start(wait="listening")
        answer = second.http.get("/ui")
        assert answer.status_code == 404 and "UI" in answer.json()["message"]
        assert "collections" in second.http.get("/status/collections").json()
        second.terminate()
    finally:
        second.kill()


def test_what_the_browser_forbids_it_is_noticed(watched):
    """Else `broken` would be empty whatever happens."""
    page = watched.open()
    page.evaluate("() => { const i = new Image(); i.src = 'http://127.0.0.1:1/x.png'; document.body.append(i); }")
    wait_until(lambda: page.evaluate("1") and any("img-src" in b for b in watched.broken), 10, "a violation is seen")
    markup = "() => { try { document.body.innerHTML = '<b>x</b>'; return 'taken'; } catch (e) { return e.name; } }"
    assert page.evaluate(markup) == "TypeError"
    wait_until(lambda: page.evaluate("1") and any("trusted-types" in b for b in watched.broken), 10, "and another")
    watched.broken.clear()
    watched.asked.clear()


def test_collections_that_need_somebody_are_listed_first(world, quarantined):
    ask = lambda query="": world.http.get("/status/collections" + query).raise_for_status().json()
    world.client().create_collection("newer", embedding_function=None).add(ids=["1"], embeddings=[[1, 2]])
    wait_until(lambda: ask()["collections"][1]["well"], 10, "both have it")
    everything = ask()
    assert everything["total"] == everything["listed"] == len(everything["collections"]) >= 2
    first, second = everything["collections"][:2]
    assert (first["collection"], first["well"], second["collection"], second["well"]) == ("odd", False, "newer", True)
    assert first["instances"] == [
        {"name": "primary", "state": "current", "pending_writes": 0},
        {"name": "replica", "state": "quarantine", "pending_writes": 1},
    ]
    assert second["tenant"] == "default_tenant" and second["verification"] is None
    assert ask("?limit=1") == {"total": everything["total"], "listed": 1, "age_seconds": 0, "collections": [first]}
    world.http.post("/admin/verify", json={"collection": "newer"}).raise_for_status()
    found = wait_until(lambda: ask()["collections"][1]["verification"], 20, "it was compared")
    assert (found["result"], found["items"], found["differences"]) == ("equal", 1, 0) and found["last_equal_at"]


# --- for everybody --------------------------------------------------------------------


def check_axe(page):
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def fits(page):
    """Only what is meant to be scrolled sideways can be."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_no_violation_in_light_and_dark_narrow_and_wide(browser, world, quarantined):
    """The policy would forbid what axe does; other tests hold the page to it."""
    watched = Watched(browser, world.proxy.url, bypass_csp=True)
    page = watched.open()
    expect(page.locator("#quarantine tr")).to_have_count(1)
    expect(page.locator("#collections tr")).not_to_have_count(0)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for size in (WIDE, NARROW):
            page.set_viewport_size(size)
            assert fits(page)
            check_axe(page)
    page.locator("#quarantine button", has_text="Skip").click()
    page.get_by_role("button", name="Token").dispatch_event("click")
    check_axe(page)
    page.locator("#dialog-no").click()
    page.route("**/status", lambda route: route.abort())
    expect(headline(page)).to_contain_text("The proxy does not answer")
    check_axe(page)
    page.unroute("**/status")
    page.route("**/status", lambda route: route.fulfill(status=401, json={"message": "A token is needed"}))
    expect(headline(page)).to_have_text("A token is needed")
    check_axe(page)
    watched.context.close()


def press_until(page, key, condition, most=80):
    for _ in range(most):
        page.keyboard.press(key)
        if page.evaluate(condition):
            return
    raise AssertionError(f"{condition}: not after {most} times {key}")


def test_everything_can_be_reached_and_done_by_keyboard(page, world, quarantined):
    expect(page.locator("#quarantine tr")).to_have_count(1)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "instances-title"
    skip = "document.activeElement.textContent === 'Skip'"
    press_until(page, "Tab", skip)
    page.keyboard.press("Enter")
    expect(page.locator("#dialog")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "dialog-input"
    page.keyboard.press("Enter")
    expect(page.locator("#dialog")).to_be_visible()  # a reason is needed
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()
    assert page.evaluate(skip), "back where it was opened"
    wait_for(page, f"page.status.timestamp > '{world.proxy.status()['timestamp']}'")
    assert page.evaluate(skip), "and stays there while the page goes on"


def test_a_screen_reader_hears_a_change_once(page, world):
    expect(page.locator("#announce")).to_have_text("All is well")
    count = """() => { window.heard = []; new MutationObserver(() => heard.push(announce.textContent))
        .observe(announce, { childList: true, characterData: true, subtree: true }); }"""
    page.evaluate(count)
    world.replica.kill()
    expect(page.locator("#announce")).to_have_text("replica is down")
    world.replica.start()
    expect(page.locator("#announce")).to_have_text("All is well")
    heard = page.evaluate("heard")
    assert heard[0] == "replica is down" and heard[-1] == "All is well" and len(heard) <= 4, heard


def test_the_timeline_remembers_also_what_was_short(world):
    """Shorter than the time between two samples."""
    read = lambda more="": world.http.get("/status/timeline" + more).json()
    before = read()["last"]
    world.replica.kill()
    world.wait_down(world.replica)
    world.replica.start()
    wait_until(world.all_healthy, 30, "it is back")
    timeline = wait_until(lambda: (t := read())["last"] > before and t, 15, "the next sample")
    seen = timeline["last"] - before
    assert "down" in timeline["instances"][1]["state"][-seen:]
    assert set(timeline["instances"][0]["state"][-seen:]) == {"up"}
    newer = read(f"?after={timeline['last'] - 1}")
    assert newer["first"] == timeline["last"] and newer["at_ms"][:1] == timeline["at_ms"][-1:]
    assert timeline["interval_ms"] == 5000 and len(timeline["at_ms"]) <= timeline["kept"] == 720


def changed(document, **changes):
    """The replica is otherwise, or the document is."""
    primary, replica = document["instances"]
    there = {k: v for k, v in changes.items() if k in replica}
    rest = {k: v for k, v in changes.items() if k not in replica}
    return {**document, **rest, "instances": [primary, {**replica, **there}]}


DOWN = {"healthy": False, "state": "down"}
STATES = [
    ("good", "All is well", {}),
    ("warn", "replica is down", {**DOWN, "reason": "no answer"}),
    ("warn", "replica is down", {**DOWN, "identity": "foreign"}),
    ("warn", "replica is detached", {**DOWN, "detached": True}),
    ("note", "replica was taken out", {"healthy": False, "state": "taken_out"}),
    ("warn", "replica takes no writes", {"state": "read_only", "reason": "disk full"}),
    ("note", "replica is catching up", {"pending_writes": 900, "lag_seconds": 60}),
    ("good", "All is well", {"pending_writes": 9, "lag_seconds": 0.1}),
    ("warn", "replica does not catch up", {"pending_writes": 9, "lag_seconds": 60, "last_error": "500"}),
    ("warn", "This proxy is shutting down", {"status": "draining"}),
    ("note", "This proxy is starting", {"status": "starting"}),
    ("note", "This proxy does not lead", {"leader": False, "ready": False}),
    ("note", "Nobody is known to lead", {"leader": False, "figures_from": None}),
    ("good", "All is well", {"leader": False, "figures_from": {"proxy": "other", "age_seconds": 1.4}}),
    ("bad", "PostgreSQL does not answer", {"postgres": {"connected": False, "last_error": "gone"}}),
    ("warn", "A comparison found differences", {"verification": {"differing": 1}}),
    ("note", "A server holds collections nobody made here", {"strangers": {"collections": 2}}),
    ("warn", "Memory is nearly used up", {"memory": {"percent": 95}}),
    ("warn", "The log is filling up", {"wal": {"log_bytes": 75, "log_limit_bytes": 100}}),
]


def test_each_state_has_its_words(page, world):
    converged(world)
    status = world.proxy.status()
    for level, head, changes in STATES:
        verdict = page.evaluate("judge", changed(status, **changes))
        assert (verdict["level"], verdict["head"]) == (level, head), changes
        assert verdict["wrong"] and verdict["safe"] and verdict["todo"]
        text = " ".join(verdict["wrong"] + verdict["safe"] + verdict["todo"])
        assert not re.search(r"undefined|null|NaN|\[object", text), text
    worst = page.evaluate("judge", changed(status, **DOWN, postgres={"connected": False, "last_error": ""}))
    assert worst["head"] == "PostgreSQL does not answer" and len(worst["wrong"]) == 2


def test_it_says_whose_page_it_is_and_who_leads(page, world):
    expect(page.locator("#proxy")).to_have_text(re.compile(".+ on .+, leading$"))
    told = lambda told: page.evaluate("leading", {"leader": False, "figures_from": told})
    assert told({"proxy": "other", "age_seconds": 1.4}) == ", following other (told 1 s ago)"
    assert told({"proxy": None, "age_seconds": 0.2}) == ", following ? (told 0 s ago)"
    assert told(None) == ", not leading"


# --- names and texts of strangers -----------------------------------------------------


def make_hostile(document):
    """Everything that somebody else has chosen, as bad as can be."""
    for n, instance in enumerate(document["instances"]):
        instance["reason"] = instance["last_error"] = HOSTILE[n]
    entry = {"collection_id": "x", "seq": 1, "cause": "refused", "http": 400, "attempts": 1,
             "pending_writes": 1, "since": document["timestamp"], "next_try": None}  # fmt: skip
    names = [{"collection": h, "tenant": h, "database": h, "instance": "replica"} for h in HOSTILE]
    document["quarantine"] = [{**entry, **name, "collection_id": str(n), "error": name["tenant"]} for n, name in enumerate(names)]
    resync = {"donor": "primary", "step": "copying", "items": 1, "total": 2, "progress": 0.5, "eta_seconds": None}
    document["resync"] = [{**resync, **name, "collection_id": str(n), "error": name["tenant"]} for n, name in enumerate(names)]
    document["recent_events"] = [{"time": document["timestamp"], "event": "health", "text": h, "times": 1} for h in HOSTILE]
    return document


def make_tenant(world, name):
    """A Chroma takes any name for a tenant; those of databases and collections are plain."""
    databases = f"/api/v2/tenants/{quote(name, safe='')}/databases"
    world.http.post("/api/v2/tenants", json={"name": name}).raise_for_status()
    world.http.post(databases, json={"name": "plain"}).raise_for_status()
    world.http.post(f"{databases}/plain/collections", json={"name": "n" * 512}).raise_for_status()


def test_hostile_names_are_only_text(watched, world):
    page = watched.page
    for name in HOSTILE[:3]:
        make_tenant(world, name)
    page.route("**/status", lambda route: route.fulfill(json=make_hostile(route.fetch().json())))
    watched.open()
    expect(page.locator("#quarantine tr")).to_have_count(len(HOSTILE))
    expect(page.locator("#collections tr")).not_to_have_count(0)
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        assert fits(page)
        assert page.locator("#quarantine tr").first.bounding_box()["height"] < 500
    assert page.evaluate("window.broken") is None
    assert page.locator("main img, main script").count() == 0
    shown = page.locator("#quarantine th .name").all_text_contents()
    visible = [h.replace("\u202e", "\\u202e") for h in HOSTILE]  # what turns the rest round is shown
    assert shown[::2] == visible, "to the letter"
    assert "\u202e" not in page.locator("body").inner_text()
    tenants = page.locator("#collections th small").all_text_contents()
    assert all(any(name in t for t in tenants) for name in visible[:3])
    page.locator("#quarantine button").first.click()
    expect(page.locator("#dialog-text")).to_contain_text(HOSTILE[0])
    assert page.evaluate("window.broken") is None


# --- live -----------------------------------------------------------------------------


def picture(page, name, **options):
    if os.environ.get("CHROMATID_SCREENSHOTS"):
        page.screenshot(path=ROOT / "docs" / name, **options)


def test_an_outage_and_the_catch_up_are_watched_live(browser, page, world):
    c = collection(world, "books", 50)
    loads = []
    page.on("load", lambda _: loads.append(1))
    expect(headline(page)).to_contain_text("All is well")
    expect(cell(page, "replica", 0)).to_contain_text("up")
    expect(page.locator("#chart polyline")).to_have_count(2)

    world.replica.kill()
    expect(cell(page, "replica", 0)).to_contain_text("down")
    expect(headline(page)).to_contain_text("replica is down")
    expect(page.locator("#todo")).to_contain_text("Start replica again")
    expect(page.locator("#safe")).to_contain_text("primary")
    for n in range(40):
        c.upsert(ids=[str(n)], embeddings=[[n, 2]])
    expect(cell(page, "replica", 1)).to_contain_text("40")
    expect(page.locator("#legend")).to_contain_text("replica: 40 now, at most 40")
    expect(page.locator("#chart .fall")).not_to_have_count(0)
    wait_for(page, "page.timeline.instances[1].pending_writes.at(-1) === 40")
    picture(page, "ui.png")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size(NARROW)
    picture(page, "ui-dark.png")
    page.set_viewport_size(WIDE)

    world.replica.start()
    expect(cell(page, "replica", 0)).to_contain_text("up")
    expect(cell(page, "replica", 1)).to_contain_text("0up to date")
    expect(headline(page)).to_contain_text("All is well")
    expect(page.locator("#legend")).to_contain_text("at most 40")
    expect(cell(page, "replica", 4)).to_contain_text("down")
    assert loads == []
    later = Watched(browser, world.proxy.url)  # who opens it only now
    expect(later.open().locator("#chart .rise")).not_to_have_count(0)
    expect(later.page.locator("#event-list")).to_contain_text("instance replica: up -> down")
    expect(later.page.locator("#legend")).to_contain_text("at most 40")
    later.context.close()
    later.check()
    converged(world)


def test_the_proxy_goes_and_comes_back(page, world):
    c = collection(world, "kept")
    expect(page.locator("#collections")).to_contain_text("kept")
    world.proxy.terminate()
    expect(headline(page)).to_contain_text("The proxy does not answer")
    expect(page.locator("#asof")).to_contain_text("old")
    expect(page.locator("#asof")).to_have_class("old")
    expect(page.locator("#collections")).to_contain_text("kept")  # the last good data
    expect(page.get_by_role("button", name="Compare all")).to_be_disabled()
    world.proxy.start()
    expect(headline(page)).to_contain_text("All is well")
    expect(page.locator("#asof")).not_to_contain_text("old")
    expect(page.get_by_role("button", name="Compare all")).to_be_enabled()
    c.upsert(ids=["1"], embeddings=[[3, 3]])
    converged(world)


def test_both_servers_down(page, world):
    for chroma in world.instances:
        chroma.pause()
    try:
        expect(headline(page)).to_contain_text("No server answers")
        expect(page.locator("#state")).to_have_class("bad")
        expect(page.locator("#todo")).to_contain_text("One is enough")
    finally:
        for chroma in world.instances:
            chroma.resume()
    expect(headline(page)).to_contain_text("All is well")


def test_postgres_away(page, world):
    world.postgres.stop()
    try:
        expect(headline(page)).to_contain_text("PostgreSQL does not answer")
        expect(page.locator("#safe")).to_contain_text("Reads go on")
    finally:
        world.postgres.start()
    expect(headline(page)).to_contain_text("All is well")


# --- doing something ------------------------------------------------------------------


def confirm(page):
    expect(page.locator("#dialog")).to_be_visible()
    page.locator("#dialog-yes").click()
    expect(page.locator("#dialog")).to_be_hidden()


def test_quarantine_is_retried_and_skipped_on_the_page(page, world, quarantined):
    expect(headline(page)).to_contain_text("Collections are in quarantine on replica")
    row = page.locator("#quarantine tr")
    expect(row).to_contain_text("refused here, accepted elsewhere")
    expect(row).to_contain_text("1 attempt")
    expect(page.locator("#collections tr", has_text="odd")).to_contain_text("quarantine")

    row.get_by_role("button", name="Retry").click()
    page.locator("#dialog-no").click()
    expect(page.locator("#dialog")).to_be_hidden()
    assert world.proxy.status()["quarantine"][0]["attempts"] == 1, "cancelled"
    row.get_by_role("button", name="Retry").click()
    confirm(page)
    expect(page.locator("#said")).to_have_text(f"Retry of record {quarantined['seq']}: done.")
    expect(row).to_contain_text("2 attempts")

    row.get_by_role("button", name="Skip").click()
    page.locator("#dialog-input").fill("a test, with \"quotes\" and <b>")
    confirm(page)
    expect(row).to_contain_text("a write was left out")
    assert world.proxy.status()["quarantine"][0]["cause"] == "differs"
    assert "with \\\"quotes\\\" and <b>" in world.proxy.log()

    row.get_by_role("button", name="Skip").click()
    page.locator("#dialog-input").fill("again")
    confirm(page)
    expect(page.locator("#said")).to_contain_text("not done")  # and why: a 409
    row.get_by_role("button", name="Retry").click()
    confirm(page)
    expect(page.locator("#quarantine-none")).to_be_visible()
    expect(headline(page)).to_contain_text("All is well")


def test_collections_are_compared_and_made_anew_on_the_page(page, world):
    collection(world, "wanted", 3)
    page.locator("#filter").fill("WANT")
    row = page.locator("#collections tr")
    expect(row).to_have_count(1)
    row.get_by_role("button", name="Compare").click()
    expect(row).to_contain_text("equal")
    expect(row.locator("td").nth(1)).to_have_text("3")
    row.get_by_role("button", name="Make anew").click()
    page.locator("#dialog-input").select_option("replica")
    confirm(page)
    expect(page.locator("#said")).to_contain_text("done")
    wait_until(lambda: world.metric("chromatid_resync_collections_total") >= 1, 20, "it was made anew")
    expect(row).to_contain_text("all current")
    converged(world)


def test_a_server_is_taken_out_and_put_back_on_the_page(page, world):
    c = collection(world, "outside", 2)
    page.get_by_role("button", name="Take out replica").click()
    page.locator("#dialog-input").select_option(label="an hour")
    confirm(page)
    expect(page.locator("#said")).to_contain_text("done")
    expect(headline(page)).to_contain_text("replica was taken out")
    row = world.proxy.instance("replica")
    assert row["state"] == "taken_out" and row["taken_out"] and row["taken_out_until"]
    c.upsert(ids=["9"], embeddings=[[9, 9]])
    expect(cell(page, "replica", 1)).to_contain_text("1")
    page.get_by_role("button", name="Put back replica").click()
    confirm(page)
    expect(headline(page)).to_contain_text("All is well")
    expect(cell(page, "replica", 1)).to_contain_text("0up to date")
    converged(world)


# --- tokens ---------------------------------------------------------------------------

READ, ADMIN = "read-" + "r" * 20, "admin-" + "a" * 20


@pytest.fixture(scope="module")
def locked(postgres, tmp_path_factory):
    """Nobody sees anything without a token."""
    world = World(postgres, tmp_path_factory.mktemp("locked"), STATUS_AUTH="on", API_TOKEN="api-" + "w" * 20,
                  READ_TOKEN=READ, ADMIN_TOKEN=ADMIN)  # fmt: skip
    world.http.headers["Authorization"] = f"Bearer {ADMIN}"
    with world:
        yield world


def test_without_its_token_there_is_no_data(browser, locked):
    watched = Watched(browser, locked.proxy.url)
    page, seen = watched.page, []
    page.on("request", lambda r: seen.append(r.headers.get("authorization")) if "/ui" not in r.url else None)
    page.goto(watched.url + "/ui")
    expect(headline(page)).to_have_text("A token is needed")
    expect(page.locator("#instances-title")).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "token-value"
    asked = len(seen)
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    wait_until(lambda: page.evaluate("page.asked") and len(seen) > asked, 10, "it was tried")
    expect(page.locator("#token")).to_be_visible()
    page.evaluate("tick().then(tickSlowly)")
    assert seen[asked:] == ["Bearer wrong"], "who is refused does not go on asking"

    # --- who may look may not press
    page.locator("#token-value").fill(READ)
    page.keyboard.press("Enter")
    expect(page.locator("#instances tr")).to_have_count(2)
    expect(page.locator("#token")).to_be_hidden()
    assert None in seen and "Bearer wrong" in seen
    assert page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])") == (
        '[{},{"chromatid-token":"%s"},""]' % READ
    )
    page.get_by_role("button", name="Compare all").click()
    expect(page.locator("#said")).to_contain_text("not done. This token may not do that")
    assert locked.proxy.status()["verification"]["job"] in (0, None)
    page.reload()
    expect(page.locator("#instances tr")).to_have_count(2)

    # --- an administrator may
    page.get_by_role("button", name="Token").click()
    page.locator("#token-value").fill(ADMIN)
    page.keyboard.press("Enter")
    expect(page.locator("#token")).to_be_hidden()
    page.get_by_role("button", name="Compare all").click()
    expect(page.locator("#said")).to_have_text("Comparison of all collections: done.")
    page.get_by_role("button", name="Take out replica").click()
    page.locator("#dialog-input").select_option(label="an hour")
    confirm(page)
    expect(headline(page)).to_contain_text("replica was taken out")
    page.get_by_role("button", name="Put back replica").click()
    confirm(page)
    expect(headline(page)).to_contain_text("All is well")

    page.get_by_role("button", name="Token").click()
    page.get_by_role("button", name="Forget it").click()
    expect(headline(page)).to_have_text("A token is needed")
    expect(page.locator("#instances-title")).to_be_hidden()
    watched.context.close()
    watched.check()
