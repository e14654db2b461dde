"""Who may do what: tokens, where a request comes from, browsers, protected collections."""

import base64
import socket
import subprocess
import uuid

import chromadb
import httpx
import pytest
from chromadb.config import Settings

from compare import DEFAULT_DATABASE, converged
from test_hostile import log_count, new_mark, recorded_world, was_sent
from test_settings import BAD_SETTING, GOOD, run, said
from world import COLLECTIONS, DEFAULT, Proxy, wait_until

API, READ, ADMIN = "api-" + "a" * 20, "read-" + "b+/=" * 5, "admin-" + "c" * 20
UPSTREAM = "upstream-" + "d" * 20
ORIGIN = "https://app.example"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


FORMS = {
    "bearer": bearer,
    "lower": lambda t: {"authorization": f"bearer {t}"},
    "basic": lambda t: basic(f"somebody:{t}"),
    "basic-bare": basic,
    "x-chroma-token": lambda t: {"X-Chroma-Token": t},
    "x-chroma-token-bearer": lambda t: {"X-Chroma-Token": f"Bearer {t}"},
    "x-api-key": lambda t: {"X-Api-Key": t},
}


@pytest.fixture(scope="module")
def locked(postgres, tmp_path_factory):
    directory = tmp_path_factory.mktemp("locked")
    file = directory / "read-token"
    file.write_text(READ + "\n")
    world = recorded_world(
        postgres, directory, API_TOKEN=API, READ_TOKEN_FILE=str(file), ADMIN_TOKEN=ADMIN, UPSTREAM_TOKEN=UPSTREAM,
        CORS_ALLOW_ORIGINS=f"https://other.example, {ORIGIN}", PROTECTED_COLLECTIONS="global, keep",
    )  # fmt: skip
    world.token = httpx.Client(base_url=world.proxy.url, headers=bearer(API), timeout=60)
    for name in ("global", "free"):
        world.token.post(COLLECTIONS, json={"name": name}).raise_for_status()
    yield world
    converged(world)
    world.token.close()
    world.__exit__(None, None, None)
    for recorder in world.recorders:
        recorder.close()


def is_refused(answer, status, name):
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] == name and answer.json()["message"]
    assert answer.headers["chroma-trace-id"]
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["x-chromatid-outcome"] == "none"


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_token(locked, form):
    headers = FORMS[form](API)
    name = new_mark()
    assert locked.http.get(COLLECTIONS, headers=headers).status_code == 200
    assert locked.http.post(COLLECTIONS, headers=headers, json={"name": name}).status_code == 200
    assert locked.http.delete(f"{COLLECTIONS}/{name}", headers=headers).status_code == 200


WRONG = {
    "none": {},
    "wrong": bearer("api-" + "a" * 19 + "b"),
    "shorter": bearer(API[:-1]),
    "longer": bearer(API + "a"),
    "case": bearer(API.upper()),
    "empty": {"Authorization": "Bearer"},
    "no-scheme": {"Authorization": API},
    "other-scheme": {"Authorization": f"Digest {API}"},
    "not-base64": {"Authorization": "Basic !!!!"},
    "cut-base64": {"Authorization": basic(f"x:{API}")["Authorization"][:-1]},
    "only-padding": {"Authorization": "Basic ===="},
    "long-base64": basic("x:" + "y" * 5000),
    "as-user": basic(f"{API}:password"),
    "empty-key": {"X-Api-Key": ""},
    "other-header": {"X-Token": API},
    "cookie": {"Cookie": f"token={API}"},
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_token_has_no_effect(locked, kind):
    logged, mark = log_count(locked), new_mark()
    is_refused(locked.http.post(COLLECTIONS, headers=WRONG[kind], json={"name": mark}), 401, "AuthError")
    is_refused(locked.http.get(COLLECTIONS, headers=WRONG[kind]), 401, "AuthError")
    is_refused(locked.http.get(f"/{mark}", headers=WRONG[kind]), 401, "AuthError")
    is_refused(locked.http.post("/admin/verify", headers=WRONG[kind], json={}), 401, "AuthError")
    assert log_count(locked) == logged and was_sent(locked, mark) == [False, False]


def test_a_token_in_the_query_is_none(locked):
    is_refused(locked.http.get(COLLECTIONS, params={"token": API, "api_key": API}), 401, "AuthError")


def test_a_large_body_is_not_read_for_nothing(locked):
    answer = locked.http.post(f"{COLLECTIONS}/free/add", content=b"x" * 30_000_000)
    is_refused(answer, 401, "AuthError")


@pytest.mark.parametrize("path", ["/health", "/healthz", "/livez", "/ready", "/readyz", "/api/v2", "/api/v2/heartbeat",
                                  "/api/v1/heartbeat", "/api/v2/healthcheck", "/status", "/wal/status", "/metrics"])  # fmt: skip
def test_what_is_open_to_all(locked, path):
    assert locked.http.get(path).status_code == 200
    assert locked.http.head(path).status_code == 200


def collection_id(world, name):
    return world.token.get(f"{COLLECTIONS}/{name}").json()["id"]


def test_who_may_read_only(locked):
    http, id = locked.http, collection_id(locked, "free")
    item = {"ids": ["1"], "embeddings": [[1, 2]]}
    locked.token.post(f"{COLLECTIONS}/{id}/upsert", json=item).raise_for_status()
    may = bearer(READ)
    for path in (COLLECTIONS, f"{COLLECTIONS}/free", f"{DEFAULT}/collections_count", f"{COLLECTIONS}/by-id/{id}",
                 f"{COLLECTIONS}/{id}/count", "/api/v2/version", "/api/v2/auth/identity", "/openapi.json",
                 "/api/v2/tenants/default_tenant", "/collection/mappings", "/admin/collection_mappings"):  # fmt: skip
        assert http.get(path, headers=may).status_code == 200, path
    assert http.post(f"{COLLECTIONS}/{id}/get", headers=may, json={}).json()["ids"] == ["1"]
    query = {"query_embeddings": [[1, 2]], "n_results": 1}
    assert http.post(f"{COLLECTIONS}/{id}/query", headers=may, json=query).json()["ids"] == [["1"]]
    assert http.get("/nothing", headers=may).status_code == 404
    assert http.put("/health", headers=may).status_code == 405
    logged = log_count(locked)
    for method, path, body in [
        ("POST", COLLECTIONS, {"name": "x-new", "get_or_create": True}),
        ("PUT", f"{COLLECTIONS}/{id}", {"new_name": "x-new"}),
        ("DELETE", f"{COLLECTIONS}/free", None),
        ("POST", f"{COLLECTIONS}/{id}/add", item),
        ("POST", f"{COLLECTIONS}/{id}/upsert", item),
        ("POST", f"{COLLECTIONS}/{id}/update", item),
        ("POST", f"{COLLECTIONS}/{id}/delete", {"ids": ["1"]}),
        ("POST", f"{COLLECTIONS}/{id}/fork", {"new_name": "x-new"}),
        ("POST", "/api/v2/tenants", {"name": "x-new"}),
        ("POST", "/api/v2/tenants/default_tenant/databases", {"name": "x-new"}),
        ("DELETE", "/api/v2/tenants/default_tenant/databases/default_database", None),
        ("POST", "/api/v2/reset", None),
        ("POST", "/admin/verify", {}),
        ("GET", "/admin/verify", None),
    ]:
        is_refused(http.request(method, path, headers=may, json=body), 403, "AuthorizationError")
    assert log_count(locked) == logged


def test_who_may_administer(locked):
    for path in ("/admin/verify", "/admin/resync", "/wal/cleanup", "/admin/wal/1/retry", "/admin/export"):
        is_refused(locked.http.post(path, json={}), 401, "AuthError")
        is_refused(locked.token.post(path, json={}), 403, "AuthorizationError")
    may = bearer(ADMIN)
    assert locked.http.post("/wal/cleanup", headers=may, json={}).status_code == 200
    assert locked.http.get("/admin/verify", headers=may).status_code == 200
    assert locked.http.get(COLLECTIONS, headers=may).status_code == 200  # it may do everything
    # the strongest of several counts
    assert locked.http.get("/admin/verify", headers={**bearer(READ), "X-Api-Key": ADMIN}).status_code == 200
    wait_until(lambda: locked.proxy.log_contains("ADMIN_TOKEN"), 5, "the log says who")
    events = locked.proxy.status()["recent_events"]
    assert any(e["event"] == "operator" and "cleanup" in e["text"] and "ADMIN_TOKEN" in e["text"] for e in events)


@pytest.mark.parametrize("header", ["Authorization", "X-Chroma-Token"])
def test_the_client_of_chroma_with_its_own_ways(locked, header):
    provider = "chromadb.auth.token_authn.TokenAuthClientProvider"
    settings = Settings(
        chroma_client_auth_provider=provider, chroma_client_auth_credentials=API, chroma_auth_token_transport_header=header
    )  # fmt: skip
    client = locked.client(settings=settings)
    name = new_mark()
    c = client.create_collection(name, embedding_function=None)
    c.add(ids=["1"], embeddings=[[1, 2]])
    assert c.get()["ids"] == ["1"]
    client.delete_collection(name)
    # the error is the class that clients know
    with pytest.raises(Exception) as e:
        locked.client(headers={"X-Api-Key": READ}).create_collection(name, embedding_function=None)
    assert "AuthorizationError" in type(e.value).__name__ or "may not do that" in str(e.value)
    chromadb.HttpClient(host="127.0.0.1", port=locked.proxy.port, headers={"X-Api-Key": READ}).list_collections()


def test_tokens_stay_here(locked):
    """Instances see their own token and no client's; the log and the pages see none."""
    mark = new_mark()
    for headers in (bearer(API), {"X-Chroma-Token": API}, {"X-Api-Key": API}, basic(f"x:{API}")):
        headers = {**headers, "Cookie": f"session={API}", "Proxy-Authorization": f"Bearer {API}"}
        locked.http.get(f"{COLLECTIONS}/{mark}", headers=headers)
        locked.http.get("/api/v2/version", headers=headers)
        locked.http.post(f"{COLLECTIONS}/free/upsert", headers=headers, json={"ids": ["2"], "embeddings": [[1, 2]]})
        locked.http.post(f"{COLLECTIONS}/free/get", headers=headers, json={})
    sent = b"".join(bytes(r.sent) for r in locked.recorders)
    encoded = basic(f"x:{API}")["Authorization"].split()[1]
    for secret in (API, READ, ADMIN, encoded):
        assert secret.encode() not in sent
    for recorder in locked.recorders:
        requests = bytes(recorder.sent).count(b" HTTP/1.1\r\n")
        assert requests > 5 and bytes(recorder.sent).lower().count(f"authorization: bearer {UPSTREAM}".encode()) == requests
    log = locked.proxy.log()
    pages = "".join(locked.http.get(path, headers=bearer(ADMIN)).text for path in ("/status", "/wal/status", "/metrics"))
    for secret in (API, READ, ADMIN, UPSTREAM, encoded):
        assert secret not in log and secret not in pages


def test_refusals_are_counted_and_told(locked):
    before = locked.metric("chromatid_auth_failures_total")
    locked.http.get(COLLECTIONS)
    assert locked.metric("chromatid_auth_failures_total") == before + 1
    wait_until(lambda: locked.proxy.log_contains('"event":"auth"'), 5, "it is in the log")


# --- browsers ------------------------------------------------------------------------


def preflight(world, path, origin=ORIGIN, method="POST", headers="authorization,content-type"):
    asks = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return world.http.options(path, headers=asks)


def test_a_page_of_an_origin_that_is_allowed(locked):
    answer = preflight(locked, COLLECTIONS)
    assert answer.status_code == 204 and answer.content == b""
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "DELETE" in answer.headers["access-control-allow-methods"]
    assert "origin" in answer.headers["vary"].lower()
    for got in (
        locked.http.get(COLLECTIONS, headers={**bearer(API), "Origin": ORIGIN}),
        locked.http.get(COLLECTIONS, headers={"Origin": ORIGIN}),  # 401, which the page may see
        locked.http.get(f"{COLLECTIONS}/nothing", headers={**bearer(API), "Origin": ORIGIN}),
        locked.http.post(f"{COLLECTIONS}/free/get", headers={**bearer(API), "Origin": ORIGIN}, json={}),
        locked.http.get("/status", headers={"Origin": ORIGIN}),
    ):
        assert got.headers["access-control-allow-origin"] == ORIGIN
        assert "x-chromatid-seq" in got.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{ORIGIN}.evil.example", ORIGIN + ":444", "https://app.exampl"])
def test_a_page_of_another_origin(locked, origin):
    answer = preflight(locked, COLLECTIONS, origin=origin)
    assert answer.status_code != 204 and "access-control-allow-origin" not in answer.headers
    got = locked.http.get(COLLECTIONS, headers={**bearer(API), "Origin": origin})
    assert got.status_code == 200 and "access-control-allow-origin" not in got.headers


def test_no_page_administers(locked):
    for path, method in (("/admin/verify", "POST"), ("/wal/cleanup", "POST"), ("/admin/verify", "GET")):
        answer = preflight(locked, path, method=method)
        assert answer.status_code != 204
    got = locked.http.get("/admin/verify", headers={**bearer(ADMIN), "Origin": ORIGIN})
    assert got.status_code == 200 and "access-control-allow-origin" not in got.headers


# --- protected collections -----------------------------------------------------------


def test_a_protected_collection_stays(locked):
    http, id, logged = locked.token, collection_id(locked, "global"), log_count(locked)
    for answer in (
        http.delete(f"{COLLECTIONS}/global"),
        http.delete(f"{COLLECTIONS}/{id}"),
        http.put(f"{COLLECTIONS}/{id}", json={"new_name": "gone"}),
        http.delete(f"{COLLECTIONS}/global", headers=bearer(ADMIN)),
        http.post("/api/v2/reset"),
    ):
        is_refused(answer, 403, "AuthorizationError")
        assert "[global]" in answer.json()["message"]
    assert log_count(locked) == logged
    http.put(f"{COLLECTIONS}/{id}", json={"new_metadata": {"a": 1}}).raise_for_status()
    http.put(f"{COLLECTIONS}/{id}", json={"new_name": "global"}).raise_for_status()
    http.post(f"{COLLECTIONS}/global/upsert", json={"ids": ["1"], "embeddings": [[1, 2]]}).raise_for_status()
    http.post(f"{COLLECTIONS}/global/delete", json={"ids": ["1"]}).raise_for_status()
    assert http.delete(f"{COLLECTIONS}/Global").status_code == 404
    assert "global" in converged(locked)[DEFAULT_DATABASE]


def test_so_does_the_database_it_is_in(locked):
    http, database = locked.token, "/api/v2/tenants/default_tenant/databases"
    http.post(database, json={"name": "vault"}).raise_for_status()
    http.post(f"{database}/vault/collections", json={"name": "keep"}).raise_for_status()
    is_refused(http.delete(f"{database}/vault"), 403, "AuthorizationError")
    assert http.get(f"{database}/vault/collections").json()[0]["name"] == "keep"


# --- where a request comes from, while no ADMIN_TOKEN is set -------------------------


@pytest.fixture
def own_address():
    """One of this machine, other than 127.0.0.1; one that is given to it where it has no network
    (which only root may do)."""
    addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
    addresses = [a for a in addresses if "." in a and not a.startswith("127.")]
    if addresses:
        yield addresses[0]
        return
    lend = ["203.0.113.77/32", "dev", "lo"]  # of those for documentation: nobody has it
    subprocess.run(["ip", "address", "add", *lend], check=True)
    yield "203.0.113.77"
    subprocess.run(["ip", "address", "delete", *lend], check=True)


def test_without_a_token_only_this_machine_administers(shared_world):
    http, page = shared_world.http, "/wal/cleanup"
    assert http.post(page, json={}).status_code == 200
    assert http.post(page, content="{}").status_code == 415
    assert http.post(page, content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
    for host in ("localhost", "localhost:8000", "a.localhost", "127.0.0.1:1", "[::1]:8000", "10.0.0.7"):
        assert http.post(page, json={}, headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "localhost.evil.example", "evil.example:8000", "127.0.0.1.evil.example", "xlocalhost"):
        is_refused(http.post(page, json={}, headers={"Host": host}), 403, "AuthorizationError")
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        is_refused(http.post(page, json={}, headers={header: "127.0.0.1"}), 403, "AuthorizationError")
    # the API itself needs none of that
    assert http.get(COLLECTIONS, headers={"Host": "evil.example", "X-Forwarded-For": "10.0.0.1"}).status_code == 200
    assert http.get(COLLECTIONS, headers=bearer("whatever")).status_code == 200


def test_from_another_address(shared_world, own_address):
    with httpx.Client(base_url=f"http://{own_address}:{shared_world.proxy.port}") as far:
        is_refused(far.post("/wal/cleanup", json={}), 403, "AuthorizationError")
        is_refused(far.get("/admin/verify"), 403, "AuthorizationError")
        assert far.get(COLLECTIONS).status_code == 200
        assert far.get("/status").status_code == 200


def test_paths_that_only_look_like_others(locked):
    """None of them is a way around what the path needs."""
    for target in ("/admin/../health", "/health/../admin/verify", "//admin/verify", "/admin/verify/", "/%61dmin/verify",
                   "/health%2f..%2fadmin/verify", "/./admin/verify", "/api/v2/../../admin/verify", "/Admin/Verify",
                   "http://127.0.0.1/admin/verify", "/health?/admin/verify", "/admin/verify#/health", "/health;/admin"):  # fmt: skip
        request = f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", locked.proxy.port)) as s:
            s.sendall(request)
            data = b""
            while more := s.recv(65536):
                data += more
        status = int(data.split()[1])
        assert status in (400, 401) or (status == 200 and b'"pending_writes"' in data), target


# --- settings ------------------------------------------------------------------------


def test_tokens_in_the_settings(tmp_path):
    for name in ("API_TOKEN", "READ_TOKEN", "ADMIN_TOKEN"):
        file = tmp_path / name
        file.write_text(f"secret-{name}\n")
        done = run("--print-config", **GOOD, **{f"{name}_FILE": str(file)})
        assert done.returncode == 0 and f"{name}=*** (file)" in done.stdout and "secret-" not in said(done)
        assert run("--check-config", **GOOD, **{name: "two words"}).returncode == BAD_SETTING
    done = run("--check-config", **GOOD, API_TOKEN="same", ADMIN_TOKEN="same")
    assert done.returncode == BAD_SETTING and "must differ" in said(done) and "same " not in said(done)
    assert "only who has ADMIN_TOKEN can write" in said(run("--check-config", **GOOD, READ_TOKEN="x"))
    for good in ("*", ORIGIN, f"{ORIGIN},http://localhost:3000"):
        assert run("--check-config", **GOOD, CORS_ALLOW_ORIGINS=good).returncode == 0
    for bad in ("app.example", ORIGIN + "/", ORIGIN + "/path"):
        assert run("--check-config", **GOOD, CORS_ALLOW_ORIGINS=bad).returncode == BAD_SETTING
    assert run("--check-config", **GOOD, TRUSTED_PROXIES="10.0.0.0/8, ::1").returncode == 0
    for bad in ("10.0.0.0/33", "proxy.example", "10.0.0.0/0"):
        assert run("--check-config", **GOOD, TRUSTED_PROXIES=bad).returncode == BAD_SETTING


def test_other_settings(tmp_path):
    """The status behind a token; reading only; any origin."""
    proxy = Proxy(tmp_path, {**GOOD, "READ_TOKEN": READ, "STATUS_AUTH": "on", "CORS_ALLOW_ORIGINS": "*"})
    proxy.start(wait="listening")
    try:
        for path in ("/status", "/wal/status", "/metrics"):
            is_refused(proxy.http.get(path), 401, "AuthError")
            assert proxy.http.get(path, headers=bearer(READ)).status_code == 200
        wait_until(lambda: proxy.http.get("/health").status_code == 200, 10, "health is open")
        is_refused(proxy.http.post(COLLECTIONS, headers=bearer(READ), json={"name": "x"}), 403, "AuthorizationError")
        is_refused(proxy.http.post(COLLECTIONS, json={"name": "x"}), 401, "AuthError")
        assert preflight(proxy, COLLECTIONS, origin="https://any.example").headers["access-control-allow-origin"] == "*"
        assert preflight(proxy, "/admin/verify", origin="https://any.example").status_code != 204
        proxy.terminate()
        assert "only who has ADMIN_TOKEN can write" in proxy.log()
    finally:
        proxy.kill()


def test_everything_open_is_said_loudly(shared_world):
    assert shared_world.proxy.log_contains("neither API_TOKEN nor READ_TOKEN is set")
