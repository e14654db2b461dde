"""What an operation looks like on the wire, and what of its answer matters.

    method, path, body = request_of(op, uuid)
    op["answer"] = answer_of(op, response.json())

Answers are kept in a short form that the model (model.py) can produce as well: an item is one
text, made of its metadata and its document.
"""

import json
from urllib.parse import quote

from plan import DIMENSION, embedding

TENANT = "/api/v2/tenants/default_tenant"
NOWHERE = "01234567-89ab-4def-8123-456789abcdef"
WRITES = {
    "add",
    "upsert",
    "update",
    "delete",
    "delete_where",
    "bad",
    "metadata",
    "create",
    "delete_collection",
    "rename",
    "create_database",
    "delete_database",
}
ITEM_WRITES = {"add", "upsert", "update", "delete", "delete_where", "bad"}
ITEM_READS = {"get", "get_all", "get_ids", "count", "query"}
BY_ID = ITEM_WRITES | ITEM_READS | {"metadata", "rename"}
MARKS = {"add": "a", "upsert": "s", "update": "u"}


def metadata_of(op):
    """Every kind of write leaves its own key, so that a merge shows what it was made of."""
    found = {"v": op["tag"], MARKS[op["op"]]: op["tag"]}
    if op.get("g") is not None:
        found["g"] = op["g"]
    return found


def document_of(op):
    return f"{op['tag']}|" + "x" * op.get("pad", 0)


def short_document(text):
    """As `tag|number of x`, or as it is if it is anything else."""
    if text is None:
        return ""
    tag, bar, pad = text.partition("|")
    return f"{tag}|{len(pad)}" if bar and not pad.strip("x") else text[:200]


def state_text(metadata, document):
    return json.dumps(metadata, sort_keys=True, separators=(",", ":")) + " " + document


BARE = state_text(None, "")  # no item of ours is without metadata


# --- bodies ----------------------------------------------------------------------------


def items_body(op):
    """As a client would write it, so that it may be merged with others. The tag, by which its
    record is known, is in the URIs; in a delete it is an id that nobody has."""
    size = len(op["ids"])
    body = {"uris": [op["tag"]] * size, "ids": op["ids"], "metadatas": [metadata_of(op)] * size}
    if op["docs"]:
        body["documents"] = [document_of(op)] * len(op["ids"])
    if op["emb"]:
        body["embeddings"] = [embedding(op["tag"], id) for id in op["ids"]]
    return body


def bad_body(op):
    tag, ids = op["tag"], op["ids"]
    good = {"tag": tag, "ids": ids, "embeddings": [embedding(tag, ids[0])], "metadatas": [{"v": tag}]}
    bodies = {
        "short_embedding": {**good, "embeddings": [[0.5] * (DIMENSION - 1)]},
        "no_embeddings": {"tag": tag, "ids": ids, "metadatas": [{"v": tag}]},
        "wrong_count": {**good, "ids": ["k0", "k1"]},
        "empty_id": {**good, "ids": [""]},
        "nested_metadata": {**good, "metadatas": [{"v": {"a": tag}}]},
        "unknown_collection": good,
        "killer": {**good, "metadatas": [{"v": tag, "chroma:document": 5}]},
    }
    return bodies[op["bad"]]


def bad_request(op, root, uuid):
    kind, tag = op["bad"], op["tag"]
    if kind == "bad_name":
        return "POST", root, {"tag": tag, "name": "x"}
    if kind == "no_ids":
        return "POST", f"{root}/{uuid}/delete", {"tag": tag, "ids": []}
    if kind == "broken":
        return "POST", f"{root}/{uuid}/upsert", f'{{"tag": "{tag}", "ids": ["k0"'
    if kind == "unknown_collection":
        uuid = NOWHERE
    return "POST", f"{root}/{uuid}/upsert", bad_body(op)


def request_of(op, uuid=None):
    """(method, path, body or None)"""
    kind, tag = op["op"], op["tag"]
    database = f"{TENANT}/databases/{quote(op['db'])}"
    root = f"{database}/collections"
    if kind in ("add", "upsert", "update"):
        return "POST", f"{root}/{uuid}/{kind}", items_body(op)
    if kind == "delete":
        return "POST", f"{root}/{uuid}/delete", {"ids": [f"tag:{tag}", *op["ids"]]}
    if kind == "delete_where":
        return "POST", f"{root}/{uuid}/delete", {"tag": tag, "where": {"g": op["g"]}}
    if kind == "bad":
        return bad_request(op, root, uuid)
    if kind == "get":
        body = {"ids": op["ids"], "include": ["metadatas", "documents"]}
        return "POST", f"{root}/{uuid}/get", body
    if kind == "get_all":
        return "POST", f"{root}/{uuid}/get", {"include": ["metadatas", "documents"]}
    if kind == "get_ids":
        return "POST", f"{root}/{uuid}/get", {"include": []}
    if kind == "count":
        return "GET", f"{root}/{uuid}/count", None
    if kind == "query":
        body = {"query_embeddings": [embedding("query", op["like"])], "n_results": 5}
        return "POST", f"{root}/{uuid}/query", {**body, "include": ["metadatas", "documents"]}
    if kind == "metadata":
        return "PUT", f"{root}/{uuid}", {"tag": tag, "new_metadata": {"tag": tag}}
    if kind == "rename":
        return "PUT", f"{root}/{uuid}", {"tag": tag, "new_name": op["to"]}
    if kind == "create":
        body = {"tag": tag, "name": op["name"], "metadata": {"tag": tag}}
        return "POST", root, {**body, "get_or_create": bool(op.get("existing"))}
    if kind == "list":
        return "GET", root, None
    if kind == "named":
        return "GET", f"{root}/{op['name']}", None
    if kind == "delete_collection":
        return "DELETE", f"{root}/{op['name']}", None
    if kind == "create_database":
        return "POST", f"{TENANT}/databases", {"tag": tag, "name": op["db"]}
    assert kind == "delete_database", kind
    return "DELETE", database, None


# --- answers ---------------------------------------------------------------------------


def items_of(found):
    rows = zip(found["ids"], found["metadatas"], found["documents"])
    return [[id, state_text(meta, short_document(doc))] for id, meta, doc in rows]


def collection_of(found):
    return [found["id"], (found["metadata"] or {}).get("tag")]


def answer_of(op, found):
    """What the checker needs of a good answer."""
    kind = op["op"]
    if kind in ("get", "get_all"):
        return items_of(found)
    if kind == "get_ids":
        return found["ids"]
    if kind == "query":
        first = {field: found[field][0] for field in ("ids", "metadatas", "documents")}
        return items_of(first)
    if kind == "count":
        return found
    if kind == "list":
        return {c["name"]: collection_of(c) for c in found}
    if kind in ("named", "create"):
        return collection_of(found)
    if kind in ("delete", "delete_where"):
        return found["deleted"]
    return None
