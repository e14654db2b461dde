"""Are the two Chroma servers equal? Both are read directly, record by record."""

import sqlite3
from urllib.parse import quote

from world import wait_until

DEFAULT_DATABASE = ("default_tenant", "default_database")
PAGE = 1000
FIELDS = ["documents", "metadatas", "uris", "embeddings"]


def is_ours(tenant):
    """The proxy's own marker lives in a tenant that clients never see."""
    return "chromatid" in tenant


def list_databases(chroma):
    """(tenants, (tenant, database) pairs). Chroma lists no tenants; its SQLite file does."""
    path = f"file:{chroma.data}/chroma.sqlite3?mode=ro"
    with sqlite3.connect(path, uri=True, timeout=10) as db:
        tenants = [row[0] for row in db.execute("SELECT id FROM tenants ORDER BY 1")]
        pairs = db.execute("SELECT tenant_id, name FROM databases ORDER BY 1, 2").fetchall()
    return [t for t in tenants if not is_ours(t)], [p for p in pairs if not is_ours(p[0])]


def read_records(chroma, path):
    """Every record, in the order of the server: {id: {field: value}}"""
    found = {}
    while True:
        body = {"include": FIELDS, "limit": PAGE, "offset": len(found)}
        page = chroma.http.post(path + "/get", json=body).raise_for_status().json()
        for i, id in enumerate(page["ids"]):
            found[id] = {field: page[field][i] for field in FIELDS}
        if len(page["ids"]) < PAGE:
            return found


def collections_path(tenant, database):
    return f"/api/v2/tenants/{quote(tenant, safe='')}/databases/{quote(database, safe='')}/collections"


def read_collections(chroma, tenant, database):
    path = collections_path(tenant, database)
    found = {}
    for collection in chroma.http.get(path).raise_for_status().json():
        records = read_records(chroma, f"{path}/{collection['id']}")
        found[collection["name"]] = {**collection, "order": list(records), "records": records}
    return found


def snapshot(chroma):
    """Everything a server holds: {"tenants": [...], (tenant, database): {name: collection}}"""
    tenants, pairs = list_databases(chroma)
    return {"tenants": tenants, **{pair: read_collections(chroma, *pair) for pair in pairs}}


def without_ids(content):
    """The servers chose the UUIDs themselves; nothing else may differ."""
    return {
        key: value if key == "tenants" else {n: {**c, "id": None} for n, c in value.items()}
        for key, value in content.items()
    }


def same(a, b, path, drift):
    """Vectors may drift when they are copied: a cosine collection normalises what it is given."""
    if a == b or not drift or not path.endswith("/embeddings"):
        return a == b
    return len(a) == len(b) and all(abs(x - y) <= drift for x, y in zip(a, b, strict=True))


def differences(a, b, path="", drift=0):
    """Where two values differ, a line each."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return [] if same(a, b, path, drift) else [f"{path}: {str(a)[:400]} against {str(b)[:400]}"]
    lines = []
    for key in sorted({*a, *b}, key=str):
        if key in a and key in b:
            lines += differences(a[key], b[key], f"{path}/{key}", drift)
        else:
            lines.append(f"{path}/{key}: only on the {'first' if key in a else 'second'}")
    return lines


def compare_instances(world, drift=0):
    """Fails unless both servers hold the same; returns what they hold."""
    primary, replica = without_ids(snapshot(world.primary)), without_ids(snapshot(world.replica))
    different = differences(primary, replica, drift=drift)
    assert not different, "the instances differ:\n" + "\n".join(different[:20])
    return primary


COPIES = ("ctd-new.", "ctd-old.")


def without_copies(world):
    """Nothing is being made anew, and what that leaves behind has gone."""
    found = [snapshot(chroma) for chroma in world.instances]
    return not any(
        name.startswith(COPIES)
        for content in found
        for pair, collections in content.items()
        if pair != "tenants"
        for name in collections
    )


def settled(world):
    """Every instance healthy and nothing owed to any."""
    status = world.leader().status()
    healthy = all(i["healthy"] and i["caught_up"] for i in status["instances"])
    return healthy and status["wal"]["pending_writes"] == 0


def converged(world, timeout=30, drift=0):
    """Waits until the proxy says so, then holds it to its word."""
    wait_until(lambda: settled(world), timeout, "all are healthy and nothing is pending")
    try:
        return compare_instances(world, drift)
    except AssertionError as e:  # what heals beside it is nothing a client sees
        if not any(f"/{copy}" in str(e) for copy in COPIES):
            raise
    wait_until(lambda: without_copies(world) and settled(world), 90, "what was copied is in its place")
    return compare_instances(world, drift)


def check_mappings(world):
    """/collection/mappings is complete and true for both servers; returns it by name."""
    body = world.http.get("/collection/mappings").raise_for_status().json()
    said = {(m["tenant"], m["database"], m["collection_name"]): m for m in body["mappings"]}
    assert body["count"] == body["total_mappings"] == len(said)
    for chroma in world.instances:
        content = snapshot(chroma)
        del content["tenants"]
        present = {(*pair, name): c["id"] for pair, found in content.items() for name, c in found.items()}
        assert {key: m["locations"].get(chroma.name) for key, m in said.items()} == present
    assert all(m["status"] == "complete" for m in said.values()), said
    return said
