"""What is there when the faults are over: the log, the positions and the catalogue of
PostgreSQL, and the content of both servers, read directly."""

import re

from compare import differences, settled, snapshot, without_ids
from history import write
from plan import DEFAULT
from wire import short_document, state_text
from world import wait_until

LOG = """
    SELECT l.seq, l.kind, l.collection, l.database, l.name, l.old_name, l.epoch,
           extract(epoch FROM l.at) AS at, o.decision, o.http, o.instance,
           encode(substring(l.body FOR 60), 'escape') AS begins,
           convert_from(r.ids, 'UTF8') AS resolved
      FROM chromatid.log l
      LEFT JOIN chromatid.outcome o USING (seq) LEFT JOIN chromatid.resolved r USING (seq)
     ORDER BY l.seq"""
COLLECTIONS = "SELECT id, public_id, database, name, life FROM chromatid.collection"
# as wal/scope.c has it: a position is kept under the first scope of its record
OWED = """
    SELECT i.name, count(l.seq) AS owed FROM chromatid.instance i
      LEFT JOIN chromatid.log l ON l.seq > i.floor
       AND NOT EXISTS (SELECT 1 FROM chromatid.position p WHERE p.instance = i.id
           AND p.seq >= l.seq AND p.scope = CASE WHEN l.kind < 10 THEN l.collection
               WHEN l.kind < 20 THEN l.database ELSE 0 END)
     GROUP BY i.name"""
TAG = re.compile(r'"(?:tag": ?"|uris": ?\["|ids": ?\["tag:)([^"]+)"')


def is_quiet(world):
    """Nothing is owed, and nothing is being made anew, nor about to be."""
    status = world.leader().status()
    return settled(world) and status["quarantine"] == [] and status["resync"] == []


def quiet(world, timeout):
    """Waits until it is; why it is not, or None."""
    try:
        wait_until(lambda: is_quiet(world), timeout, "nothing is owed, nothing to be healed")
    except (TimeoutError, AssertionError) as e:
        return str(e)[:2000]
    return None


def tag_of(row):
    found = TAG.search(row.pop("begins") or "")
    return found.group(1) if found else None


def log_of(world):
    rows = world.sql(LOG)
    for row in rows:
        row["tag"] = tag_of(row)
    return {
        "rows": rows,
        "collections": world.sql(COLLECTIONS),
        "owed": {row["name"]: row["owed"] for row in world.sql(OWED)},
        "quarantine": world.sql("SELECT * FROM chromatid.quarantine"),
    }


def short_item(record):
    state = state_text(record["metadatas"], short_document(record["documents"]))
    return [state, record["embeddings"]]


def short_collection(found):
    items = [[id, *short_item(record)] for id, record in found["records"].items()]
    return {"tag": (found["metadata"] or {}).get("tag"), "items": items}


def content_of(world):
    """{"instances": {name: {database: {collection: ...}}}, "differences": [...]}"""
    held = {chroma.name: snapshot(chroma) for chroma in world.instances}
    different = differences(*(without_ids(content) for content in held.values()))
    short = {}
    for name, content in held.items():
        databases = {key[1]: found for key, found in content.items() if key != "tenants"}
        short[name] = {
            database: {n: short_collection(c) for n, c in collections.items()}
            for database, collections in databases.items()
        }
        short[name].setdefault(DEFAULT, {})
    return {"instances": short, "differences": different[:50]}


def keep(world, directory, unsettled, **run):
    write(directory, "log.json", log_of(world))
    write(directory, "content.json", content_of(world))
    write(directory, "run.json", {"unsettled": unsettled, **run})
