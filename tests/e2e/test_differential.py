"""The same requests to a bare Chroma and to the proxy get the same answers.

Each group of requests runs in its order on a database of its own, in which there is one
collection, {name} with {id}, of three records. Compared are status, JSON (the UUIDs that
the servers chose are replaced by what they stand for) and the headers that mean something.
"""

import json
import re
import uuid
from dataclasses import dataclass, field

import httpx
import pytest

from compare import converged
from world import Chroma

NOBODY = "11111111-2222-4333-8444-555555555555"
DB = "/api/v2/tenants/default_tenant/databases/{db}"
C = DB + "/collections"
THIS = C + "/{id}"
HEADERS = ("content-type", "location")


@dataclass
class Request:
    method: str
    path: str
    json: object = None
    content: bytes = None
    headers: dict = field(default_factory=dict)

    def __str__(self):
        body = self.content if self.content is not None else json.dumps(self.json)
        return f"{self.method} {self.path} {str(body)[:200]} {self.headers or ''}"


def get(path, **options):
    return Request("GET", path, **options)


def post(path, json=None, **options):
    return Request("POST", path, json, **options)


def put(path, json=None):
    return Request("PUT", path, json)


def delete(path):
    return Request("DELETE", path)


def raw(path, content, type="application/json", method="POST"):
    """Bytes as they are; type None: without the header."""
    return Request(method, path, content=content, headers={"content-type": type} if type else {})


VECTOR = [1.0, 2.0, 3.0]
THREE = {
    "ids": ["1", "2", "3"],
    "embeddings": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
    "documents": ["red apple", "green pear", None],
    "metadatas": [{"n": 1, "s": "x"}, {"n": 2, "s": "y", "b": True}, None],
    "uris": [None, "file:///2", None],
}
ALL = ["documents", "metadatas", "embeddings", "uris"]
ADD, UPSERT, UPDATE, DELETE, GET, QUERY = (
    f"{THIS}/{op}" for op in ("add", "upsert", "update", "delete", "get", "query")
)
WHOLE = post(GET, {"include": ALL})

GROUPS = {
    "server": [
        get("/api/v2"),
        get("/api/v2/heartbeat"),
        get("/api/v2/healthcheck"),
        get("/api/v2/version"),
        get("/api/v2/pre-flight-checks"),
        get("/api/v2/auth/identity"),
        get("/openapi.json"),
        get("/docs"),
        get("/api/v2/nothing"),
        get("/api/v2/"),
        get("/api/v2/heartbeat/"),
        get("//api/v2/heartbeat"),
        get("/api"),
        get("/nothing/at/all"),
        post("/api/v2/heartbeat"),
        delete("/api/v2/version"),
        Request("HEAD", "/api/v2/heartbeat"),
        Request("HEAD", "/api/v2/nothing"),
        Request("OPTIONS", "/api/v2/version"),
        Request("PATCH", "/api/v2/reset"),
        get("/api/v2/reset"),
        get("/api/v1"),
        get("/api/v1/collections"),
        post("/api/v1/collections", {"name": "old"}),
        put("/api/v1/collections/x", {}),
        delete("/api/v1/collections/x"),
        Request("OPTIONS", "/api/v1/collections"),
    ],
    "tenants": [
        post("/api/v2/tenants", {"name": "t-{db}"}),
        post("/api/v2/tenants", {"name": "t-{db}"}),
        get("/api/v2/tenants/t-{db}"),
        get("/api/v2/tenants/default_tenant"),
        get("/api/v2/tenants/nobody-here"),
        get("/api/v2/tenants/ab"),
        post("/api/v2/tenants", {"name": "ab"}),
        post("/api/v2/tenants", {"name": 5}),
        post("/api/v2/tenants", {}),
        post("/api/v2/tenants", [1]),
        post("/api/v2/tenants", {"name": "odd näme/{db}"}),
        get("/api/v2/tenants/odd%20n%C3%A4me%2F{db}"),
        get("/api/v2/tenants/odd%20n%c3%a4me%2f{db}"),
        Request("PATCH", "/api/v2/tenants/t-{db}", {"resource_name": "x"}),
        Request("PATCH", "/api/v2/tenants/t-{db}", {}),
        Request("PATCH", "/api/v2/tenants/nobody-here", {"resource_name": "x"}),
        delete("/api/v2/tenants/t-{db}"),
        get("/api/v2/tenants/t-{db}/databases"),
        post("/api/v2/tenants/t-{db}/databases", {"name": "inside"}),
        get("/api/v2/tenants/t-{db}/databases"),
        post("/api/v2/tenants/t-{db}/databases/inside/collections", {"name": "inside"}),
        get("/api/v2/tenants/t-{db}/databases/inside/collections"),
        get("/api/v2/tenants/t-{db}/databases/inside/collections_count"),
    ],
    "databases": [
        get(DB),
        post("/api/v2/tenants/default_tenant/databases", {"name": "{db}-two"}),
        post("/api/v2/tenants/default_tenant/databases", {"name": "{db}-two"}),
        get(DB + "-two"),
        get(DB + "-three"),
        get("/api/v2/tenants/default_tenant/databases/ab"),
        get("/api/v2/tenants/nobody-here/databases"),
        get("/api/v2/tenants/nobody-here/databases/default_database"),
        get("/api/v2/tenants/default_tenant/databases?limit=x"),
        get("/api/v2/tenants/default_tenant/databases?limit=1000&offset=0"),
        get("/api/v2/tenants/default_tenant/databases?limit=0"),
        get("/api/v2/tenants/default_tenant/databases?offset=5000"),
        post("/api/v2/tenants/default_tenant/databases", {"name": "ab"}),
        post("/api/v2/tenants/default_tenant/databases", {"name": None}),
        post("/api/v2/tenants/default_tenant/databases", {}),
        put(DB + "-two", {}),
        post(DB + "-two/collections", {"name": "goes-along"}),
        delete(DB + "-two"),
        delete(DB + "-two"),
        get(DB + "-two/collections"),
        post(DB + "-two/collections", {"name": "homeless"}),
    ],
    "creating collections": [
        post(C, {"name": "plain"}),
        post(C, {"name": "plain"}),
        post(C, {"name": "plain", "get_or_create": True}),
        post(C, {"name": "plain", "get_or_create": True, "metadata": {"ignored": 1}}),
        post(C, {"name": "plain", "get_or_create": False}),
        post(C, {"name": "fresh", "get_or_create": True, "metadata": {"a": 1, "b": 0.5, "c": "x", "d": True}}),
        post(C, {"name": "cosine", "configuration": {"hnsw": {"space": "cosine", "ef_search": 50}}}),
        post(C, {"name": "legacy", "metadata": {"hnsw:space": "ip"}}),
        post(C, {"name": "with-id", "id": NOBODY, "extra": [1]}),
        post(C, {"name": "ab"}),
        post(C, {"name": "-starts-badly"}),
        post(C, {"name": "has space"}),
        post(C, {"name": "ünicode"}),
        post(C, {"name": "x" * 512}),
        post(C, {"name": "x" * 513}),
        post(C, {"name": ""}),
        post(C, {"name": 7}),
        post(C, {"name": None}),
        post(C, {}),
        post(C, []),
        post(C, "text"),
        post(C, {"name": "empty-meta", "metadata": {}}),
        post(C, {"name": "nested-meta", "metadata": {"o": {"p": 1}}}),
        post(C, {"name": "null-meta", "metadata": {"n": None}}),
        post(C, {"name": "goc-null", "get_or_create": None}),
        post(C, {"name": "goc-text", "get_or_create": "yes"}),
        post(C, {"name": "bad-space", "configuration": {"hnsw": {"space": "moon"}}}),
        post(C, {"name": "unknown-conf", "configuration": {"spann": {"space": "l2"}, "hnsw": {"space": "l2"}}}),
        raw(C, b'{"name": "dup-keys", "name": "dup-keys"}'),
        raw(C, b'{"name": "cut'),
        raw(C, b""),
        raw(C, b"\xff\xfe{}"),
        raw(C, b'\xef\xbb\xbf{"name": "with-bom"}'),
        raw(C, b'{"name": "trailing"} x'),
        raw(C, b"[" * 200),
        raw(C, b'{"name": "form"}', "application/x-www-form-urlencoded"),
        raw(C, b'{"name": "text"}', "text/plain"),
        raw(C, b'{"name": "charset"}', "application/json; charset=utf-8"),
        raw(C, b'{"name": "vendor"}', "application/vnd.x+json"),
        raw(C, b'{"name": "upper"}', "APPLICATION/JSON"),
        raw(C, b'{"name": "no-type"}', None),
        raw(C, b'{"\\u006eame": "escaped-key"}'),
        raw(C, b' {\n"name" :\t"escaped-\\u0078"}\n'),
        get(C),
        get(DB + "/collections_count"),
    ],
    "finding collections": [
        get(C + "/{name}"),
        get(C + "/nobody"),
        get(C + "/" + NOBODY),
        get(C + "/by-id/{id}"),
        get(C + "/by-id/" + NOBODY),
        get(C + "/by-id/not-an-id"),
        get(C + "/by-id/"),
        get(C + "/%6e%61me-of-nobody"),
        get(C + "?limit=10&offset=0"),
        get(C + "?limit=0"),
        get(C + "?offset=7"),
        get(C + "?limit=-1"),
        get(C + "?limit=x"),
        get(C + "?limit=1&limit=2"),
        get(C + "?unknown=1"),
        get(C + "?limit="),
        get(C + "/"),
        get(DB + "//collections"),
        get(DB + "/collections_count"),
        get(DB + "/collections_count/"),
        get("/api/v2/tenants/nobody-here/databases/{db}/collections"),
        get("/api/v2/tenants/default_tenant/databases/nobody-here/collections"),
        get("/api/v2/tenants/default_tenant/databases/nobody-here/collections_count"),
        get("/api/v2/tenants/default_tenant/databases/ab/collections"),
        put(C, {}),
        Request("HEAD", C),
        Request("HEAD", C + "/{name}"),
        Request("HEAD", C + "/nobody"),
        Request("OPTIONS", C),
    ],
    "changing collections": [
        put(THIS, {"new_metadata": {"a": 2}}),
        get(C + "/{name}"),
        put(THIS, {"new_metadata": None}),
        put(THIS, {}),
        put(THIS, {"new_metadata": {}}),
        put(THIS, {"new_metadata": {"x": {"y": 1}}}),
        put(THIS, {"new_configuration": {"hnsw": {"ef_search": 42}}}),
        get(C + "/{name}"),
        put(THIS, {"new_name": "ab"}),
        put(THIS, {"new_name": "bad name"}),
        put(THIS, {"new_name": 5}),
        put(THIS, []),
        post(C, {"name": "taken"}),
        put(THIS, {"new_name": "taken"}),
        put(THIS, {"new_name": "{name}"}),
        put(THIS, {"new_name": "renamed"}),
        get(C + "/{name}"),
        get(C + "/renamed"),
        put(C + "/" + NOBODY, {"new_name": "ghost"}),
        put(C + "/not-an-id-at-all", {"new_name": "ghost"}),
        delete(C + "/nobody"),
        delete(C + "/" + NOBODY),
        delete(C + "/{name}"),
        delete(C + "/renamed"),
        delete(C + "/renamed"),
        post(GET, {}),
        get(THIS + "/count"),
        post(ADD, {"ids": ["9"], "embeddings": [VECTOR]}),
        put(THIS, {"new_name": "ghost"}),
        get(C),
    ],
    "adding": [
        post(ADD, {"ids": ["4"], "embeddings": [VECTOR]}),
        post(ADD, {"ids": ["4"], "embeddings": [[9, 9, 9]], "documents": ["ignored"]}),
        post(ADD, {"ids": ["5", "5"], "embeddings": [VECTOR, [9, 9, 9]]}),
        post(ADD, {"ids": [], "embeddings": []}),
        post(ADD, {"ids": ["6"], "embeddings": [[1, 2]]}),
        post(ADD, {"ids": ["6", "7"], "embeddings": [[1, 2, 3], [1, 2]]}),
        post(ADD, {"ids": ["6", "7"], "embeddings": [VECTOR]}),
        post(ADD, {"ids": ["6"], "embeddings": [VECTOR], "documents": ["a", "b"]}),
        post(ADD, {"ids": ["6"], "embeddings": [VECTOR], "metadatas": []}),
        post(ADD, {"ids": [""], "embeddings": [VECTOR]}),
        post(ADD, {"ids": [6], "embeddings": [VECTOR]}),
        post(ADD, {"ids": ["6"]}),
        post(ADD, {"ids": ["6"], "embeddings": None}),
        post(ADD, {"ids": ["6"], "embeddings": [["x"]]}),
        post(ADD, {"ids": ["6"], "embeddings": [[]]}),
        post(ADD, {"ids": ["6"], "embeddings": [[None]]}),
        post(ADD, {"embeddings": [VECTOR]}),
        post(ADD, {}),
        post(ADD, []),
        post(ADD, {"ids": ["8"], "embeddings": [VECTOR], "metadatas": [{}]}),
        post(ADD, {"ids": ["9"], "embeddings": [VECTOR], "metadatas": [{"l": ["a", "b"], "i": [1, 2]}]}),
        post(ADD, {"ids": ["10"], "embeddings": [VECTOR], "metadatas": [{"o": {"x": 1}}]}),
        post(ADD, {"ids": ["10"], "embeddings": [VECTOR], "metadatas": [{"chroma:x": "y"}]}),
        post(ADD, {"ids": ["11"], "embeddings": [VECTOR], "metadatas": [{"big": 2**62, "neg": -0.5, "n": None}]}),
        post(ADD, {"ids": ["12"], "embeddings": [VECTOR], "documents": ["ünïcode 🎉 \u0000 \u2028"]}),
        post(ADD, {"ids": ["ünïcode 🎉 / ?"], "embeddings": [VECTOR], "uris": ["data:x"]}),
        raw(ADD, b'{"ids":["13"],"embeddings":["AACAPwAAAEAAAEBA"]}'),
        raw(ADD, b'{"ids":["14"],"embeddings":["AACAPwAAAEA="]}'),
        raw(ADD, b'{"ids":["14"],"embeddings":["not base64"]}'),
        raw(ADD, b'{"ids":["14"],"embeddings":[[1e40,1,1]]}'),
        raw(ADD, b'{"ids":["14"],"embeddings":[[NaN,1,1]]}'),
        raw(ADD, b'{"ids":["15"],"embeddings":[[1E0,0.1e1,-0.0]],"unknown":{"deep":[[[]]]}}'),
        raw(ADD, b'{"ids":["16"],"ids":["17"],"embeddings":[[1,2,3]]}'),
        raw(ADD, b'{"embeddings":[[1,2,3]],"ids":["\\u0031\\ud83c\\udf89"]}'),
        raw(ADD, b'{"ids":["18"],"embeddings":[[1,2,3]]', None),
        raw(ADD, b'{"ids":["19"],"embeddings":[[1,2,3]]}', "text/plain"),
        raw(ADD, b'{"ids":["19"],"embeddings":[[1,2,3]]}', None),
        post(C + "/" + NOBODY + "/add", {"ids": ["1"], "embeddings": [VECTOR]}),
        post(C + "/no-such-name/add", {"ids": ["1"], "embeddings": [VECTOR]}),
        get(ADD),
        put(ADD, {}),
        post(ADD + "/", {"ids": ["1"], "embeddings": [VECTOR]}),
        get(THIS + "/count"),
        WHOLE,
    ],
    "a refusal that sets the dimension": [
        post(C, {"name": "undecided"}),
        post(C + "/{id:undecided}/add", {"ids": [""], "embeddings": [[1, 2, 3, 4]]}),
        get(C + "/undecided"),
        post(C + "/{id:undecided}/add", {"ids": ["1"], "embeddings": [[1, 2]]}),
        post(C + "/{id:undecided}/add", {"ids": ["1"], "embeddings": [[1, 2, 3, 4]]}),
        get(C + "/undecided"),
    ],
    "upserting and updating": [
        post(UPSERT, {"ids": ["2", "4"], "embeddings": [[0, 0, 1], VECTOR], "documents": ["new", "four"]}),
        post(UPSERT, {"ids": ["2"], "embeddings": [VECTOR], "metadatas": [{"n": 3, "s": None}]}),
        post(UPSERT, {"ids": ["2"]}),
        post(UPSERT, {"ids": ["2"], "embeddings": [[1]]}),
        post(UPSERT, {"ids": ["5", "5"], "embeddings": [VECTOR, [0, 0, 0]]}),
        post(UPSERT, {}),
        post(UPDATE, {"ids": ["1"], "embeddings": [[3, 2, 1]]}),
        post(UPDATE, {"ids": ["1"], "documents": ["only text"]}),
        post(UPDATE, {"ids": ["1"], "metadatas": [{"s": None, "new": "k"}]}),
        post(UPDATE, {"ids": ["1"], "embeddings": [None], "uris": ["file:///1"]}),
        post(UPDATE, {"ids": ["nobody"], "documents": ["x"]}),
        post(UPDATE, {"ids": ["1"], "documents": ["x", "y"]}),
        post(UPDATE, {"ids": ["1"], "embeddings": [[1]]}),
        post(UPDATE, {"ids": ["1", "1"], "documents": ["first", "second"]}),
        post(UPDATE, {"ids": []}),
        post(UPDATE, {}),
        post(UPDATE, {"ids": "1"}),
        post(C + "/" + NOBODY + "/update", {"ids": ["1"]}),
        post(C + "/" + NOBODY + "/upsert", {"ids": ["1"], "embeddings": [VECTOR]}),
        get(C + "/{name}"),
        WHOLE,
    ],
    "deleting records": [
        post(DELETE, {"ids": ["nobody"]}),
        post(DELETE, {}),
        post(DELETE, {"ids": []}),
        post(DELETE, {"ids": None, "where": None}),
        post(DELETE, {"where": {}}),
        post(DELETE, {"where": {"n": {"$wrong": 1}}}),
        post(DELETE, {"where": {"n": 99}}),
        post(DELETE, {"where": "text"}),
        post(DELETE, {"limit": 1}),
        post(DELETE, {"ids": ["1"], "limit": 1}),
        post(DELETE, {"ids": [1]}),
        WHOLE,
        post(ADD, {"ids": ["4", "5", "6"], "embeddings": [VECTOR] * 3, "metadatas": [{"g": 1}, {"g": 1}, {"g": 2}]}),
        post(DELETE, {"where": {"g": 1}, "limit": 1}),
        post(DELETE, {"where": {"g": {"$in": [1, 2]}}}),
        post(DELETE, {"ids": ["1", "2"], "where": {"s": "y"}}),
        post(DELETE, {"where_document": {"$contains": "apple"}}),
        post(DELETE, {"ids": ["3", "3", "nobody"]}),
        post(DELETE, {"ids": ["3"]}),
        post(C + "/" + NOBODY + "/delete", {"ids": ["1"]}),
        post(C + "/" + NOBODY + "/delete", {"where": {"n": 1}}),
        raw(DELETE, b'{"ids": ["1"'),
        delete(DELETE),
        WHOLE,
        get(C + "/{name}"),
    ],
    "getting": [
        WHOLE,
        post(GET, {}),
        post(GET, {"include": []}),
        post(GET, {"include": ["distances"]}),
        post(GET, {"include": ["nonsense"]}),
        post(GET, {"include": None, "where": None, "where_document": None, "ids": None}),
        post(GET, {"ids": ["3", "1", "1", "nobody"]}),
        post(GET, {"ids": []}),
        post(GET, {"limit": 2}),
        post(GET, {"limit": 2, "offset": 2}),
        post(GET, {"limit": 0}),
        post(GET, {"offset": 99}),
        post(GET, {"limit": -1}),
        post(GET, {"limit": "2"}),
        post(GET, {"where": {"n": 1}}),
        post(GET, {"where": {"n": {"$gte": 1}}}),
        post(GET, {"where": {"$or": [{"n": 1}, {"s": "y"}]}}),
        post(GET, {"where": {"$and": [{"n": 1}]}}),
        post(GET, {"where": {"s": {"$in": ["x", "y"]}}}),
        post(GET, {"where": {"s": {"$nin": []}}}),
        post(GET, {"where": {"b": True}}),
        post(GET, {"where": {"n": {"$wrong": 1}}}),
        post(GET, {"where": {"n": None}}),
        post(GET, {"where_document": {"$contains": "apple"}}),
        post(GET, {"where_document": {"$not_contains": "apple"}}),
        post(GET, {"where_document": {"$regex": "^g"}}),
        post(GET, {"where_document": {"$regex": "("}}),
        post(GET, {"where_document": {"$contains": 5}}),
        post(GET, []),
        raw(GET, b""),
        raw(GET, b"{}", None),
        raw(GET, b"{}", "text/html"),
        get(GET),
        post(C + "/" + NOBODY + "/get", {}),
        post(C + "/not-an-id-nor-a-name/get", {}),
        post("/api/v2/tenants/default_tenant/databases/ab/collections/{id}/get", {}),
        get(THIS + "/count"),
        get(THIS + "/count?read_level=index_only"),
        get(THIS + "/count?read_level=nonsense"),
        get(C + "/" + NOBODY + "/count"),
        get(C + "/not-an-id-nor-a-name/count"),
        post(THIS + "/count"),
    ],
    "querying": [
        post(QUERY, {"query_embeddings": [VECTOR], "n_results": 2}),
        post(QUERY, {"query_embeddings": [VECTOR, [7, 8, 9]], "n_results": 1, "include": ALL + ["distances"]}),
        post(QUERY, {"query_embeddings": [VECTOR], "n_results": 100}),
        post(QUERY, {"query_embeddings": [VECTOR]}),
        post(QUERY, {"query_embeddings": []}),
        post(QUERY, {"query_embeddings": [[1]]}),
        post(QUERY, {"query_embeddings": [VECTOR], "n_results": -1}),
        post(QUERY, {"query_embeddings": [VECTOR], "where": {"n": {"$lt": 2}}}),
        post(QUERY, {"query_embeddings": [VECTOR], "where_document": {"$contains": "pear"}}),
        post(QUERY, {"query_embeddings": [VECTOR], "ids": ["2", "3"]}),
        post(QUERY, {"query_embeddings": ["AACAPwAAAEAAAEBA"]}),
        post(QUERY, {"query_texts": ["x"]}),
        post(QUERY, {}),
        post(C + "/" + NOBODY + "/query", {"query_embeddings": [VECTOR]}),
        get(QUERY),
    ],
    "what a single node does not have": [
        post(THIS + "/search", {"searches": []}),
        post(THIS + "/search", {}),
        post(THIS + "/fork", {"new_name": "forked"}),
        post(THIS + "/fork", {}),
        get(THIS + "/fork_count"),
        get(THIS + "/indexing_status"),
        get(THIS + "/functions/f1"),
        post(THIS + "/functions/attach", {"name": "f1", "function_id": "x", "output_collection": "y"}),
        post(THIS + "/functions/attach", {}),
        post(THIS + "/attached_functions/f1/detach", {"delete_output": False}),
        post(THIS + "/attached_functions/f1/detach", {}),
    ],
    "spellings of an id": [
        get(C + "/{hex}/count"),
        get(C + "/{upper}/count"),
        get(C + "/urn:uuid:{id}/count"),
        get(C + "/%7B{id}%7D/count"),
        get(C + "/%20{id}/count"),
        get(C + "/{id}x/count"),
        get(C + "/by-id/{hex}"),
        get(C + "/by-id/{upper}"),
        get(C + "/by-id/%7B{id}%7D"),
        post(C + "/{hex}/add", {"ids": ["h"], "embeddings": [VECTOR]}),
        put(C + "/{upper}", {"new_metadata": {"spelled": "large"}}),
        get(DB.replace("{db}", "%64efault_database")),
        get("/api/v2/tenants/default%5Ftenant/databases/{db}/collections/{id}/count"),
        get("/api/v2/tenants/%zz/databases"),
        get("/api/v2/tenants/%ff%fe/databases"),
        get(C + "/..%2F..%2Fheartbeat"),
        WHOLE,
    ],
}


class Side:
    """One of the two that are asked: a URL, and the ids that it gave."""

    def __init__(self, url, database):
        self.http = httpx.Client(base_url=url, timeout=60)
        self.database = database
        self.ids = {}
        databases = "/api/v2/tenants/default_tenant/databases"
        self.http.post(databases, json={"name": database}).raise_for_status()
        self.name = "of-" + database
        self.answer(post(C, {"name": self.name}))
        self.answer(post(ADD, THREE))

    def fill(self, text):
        id = self.ids.get(self.name, "")
        simple = {"db": self.database, "name": self.name, "id": id, "upper": id.upper()}
        simple["hex"] = id.replace("-", "")
        text = re.sub(r"\{id:(\w+)\}", lambda m: self.ids[m.group(1)], text)
        return re.sub(r"\{(db|name|id|upper|hex)\}", lambda m: simple[m.group(1)], text)

    def answer(self, request):
        body = request.content
        headers = dict(request.headers)
        if body is None and request.json is not None:
            body = self.fill(json.dumps(request.json)).encode()
            headers["content-type"] = "application/json"
        answer = self.http.request(request.method, self.fill(request.path), content=body, headers=headers)
        return self.comparable(answer)

    def comparable(self, answer):
        seen = {"status": answer.status_code}
        seen.update((name, answer.headers.get(name)) for name in HEADERS)
        if "allow" in answer.headers:
            seen["allow"] = sorted(answer.headers["allow"].split(","))
        if answer.status_code >= 400:
            seen["trace"] = "chroma-trace-id" in answer.headers
        if (answer.headers.get("content-type") or "").startswith("application/json") and answer.content:
            seen["json"] = self.normalise(answer.json())
        else:
            seen["text"] = answer.text
        return seen

    def normalise(self, value):
        if isinstance(value, dict):
            value = dict(value)
            if isinstance(value.get("id"), str) and "name" in value:
                self.ids[value["name"]] = value["id"]
                uuid.UUID(value.pop("id"))
            if isinstance(value.get("nanosecond heartbeat"), int):
                assert value.pop("nanosecond heartbeat") > 10**18
            return {k: self.normalise(v) for k, v in value.items()}
        if isinstance(value, list):
            found = [self.normalise(v) for v in value]
            named = found and all(isinstance(v, dict) and "name" in v for v in found)
            return sorted(found, key=lambda v: v["name"]) if named else found
        if isinstance(value, str):
            for name, id in self.ids.items():
                value = value.replace(id, f"<id of {name}>")
            # the server prints these two in the order of a hash table
            value = re.sub(r"\[\{(.*), (.*)\}\]", lambda m: str(sorted(m.groups())), value)
        return value


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    chroma = Chroma(tmp_path_factory.mktemp("bare"), "bare")
    chroma.start()
    yield chroma
    chroma.kill()


@pytest.mark.parametrize("group", GROUPS, ids=lambda name: name.replace(" ", "_"))
def test_the_same_answers_as_a_bare_chroma(shared_world, bare, group):
    database = "diff-" + re.sub(r"\W", "-", group)
    sides = [Side(bare.url, database), Side(shared_world.proxy.url, database)]
    different = []
    for request in GROUPS[group]:
        expected, got = (side.answer(request) for side in sides)
        if expected != got:
            keys = [k for k in {**expected, **got} if expected.get(k) != got.get(k)]
            lines = [f"    {k}: {str(expected.get(k))[:600]}\n    not {str(got.get(k))[:600]}" for k in keys]
            different.append(f"{request}\n" + "\n".join(lines))
    assert not different, f"{len(different)} of {len(GROUPS[group])} differ:\n" + "\n".join(different)
    assert all(chroma.running() for chroma in shared_world.instances)
    converged(shared_world)


def test_every_route_of_the_server_is_in_the_table(bare):
    """What /openapi.json lists is asked for above, and answered with success somewhere."""
    asked = {(r.method.lower(), r.path.split("?")[0]) for group in GROUPS.values() for r in group}
    asked.add(("post", "/api/v2/reset"))  # has tests of its own, in test_lists.py
    paths = bare.http.get("/openapi.json").json()["paths"]
    missing = []
    for path, methods in paths.items():
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        for method in methods:
            if not any(m == method and pattern.fullmatch(p) for m, p in asked):
                missing.append(f"{method} {path}")
    assert missing == ["get /api/v2/collections/{crn}"], "that one breaks a Chroma, see below"


# What no Chroma survives, or answers by hanging up, the proxy refuses itself.
SPARSE = {"#type": "sparse_vector", "indices": [1], "values": [0.5]}
POISON = {
    "no_results": post(QUERY, {"query_embeddings": [VECTOR], "n_results": 0}),
    "document_key_number": post(ADD, {"ids": ["p"], "embeddings": [VECTOR], "metadatas": [{"chroma:document": 5}]}),
    "document_key_null": post(UPSERT, {"ids": ["p"], "embeddings": [VECTOR], "metadatas": [{"chroma:document": None}]}),
    "document_key_bool": post(UPDATE, {"ids": ["1"], "metadatas": [{"chroma:document": True}]}),
    "document_key_escaped": raw(ADD, b'{"ids":["p"],"embeddings":[[1,2,3]],"metadatas":[{"chroma\\u003adocument":5}]}'),
    "no_neighbors": post(C, {"name": "poison-1", "configuration": {"hnsw": {"max_neighbors": 0}}}),
    "no_neighbors_in_metadata": post(C, {"name": "poison-2", "metadata": {"hnsw:M": 0}}),
    "list_metadata": post(C, {"name": "poison-3", "metadata": {"list": ["a", "b"]}}),
    "sparse_metadata": post(C, {"name": "poison-4", "metadata": {"s": SPARSE}}),
    "list_metadata_put": put(THIS, {"new_metadata": {"list": [1, 2]}}),
}


@pytest.mark.parametrize("poison", POISON)
def test_what_kills_a_chroma_is_refused(shared_world, poison):
    side = Side(shared_world.proxy.url, "poison-" + uuid.uuid4().hex)
    answer = side.answer(POISON[poison])
    assert answer["status"] == 400, answer
    assert answer["json"]["error"] == "InvalidArgumentError" and answer["json"]["message"]
    assert side.answer(post(ADD, {"ids": ["ok"], "embeddings": [VECTOR]}))["status"] == 201
    assert all(chroma.running() for chroma in shared_world.instances)
    converged(shared_world)


def test_a_resource_name_is_refused_instead_of_hanging_up(shared_world):
    answer = shared_world.http.get("/api/v2/collections/tenant:database:collection")
    assert answer.status_code in (500, 501) and answer.json()["message"]
    assert all(chroma.running() for chroma in shared_world.instances)


def test_the_largest_body_and_one_byte_more(shared_world, bare):
    sides = [Side(bare.url, "diff-size"), Side(shared_world.proxy.url, "diff-size")]
    start, end = b'{"ids":["1"],"include":[]', b"}"
    for path in (GET, ADD, C):
        for size in (41943040, 41943041):
            body = start + b" " * (size - len(start) - len(end)) + end
            expected, got = (side.answer(raw(path, body)) for side in sides)
            assert expected == got, f"{path} with {size} bytes"


def test_chunked_bodies_and_expect_continue(shared_world, bare):
    sides = [Side(bare.url, "diff-chunks"), Side(shared_world.proxy.url, "diff-chunks")]
    for side in sides:
        pieces = iter([b'{"ids":["c"],', b'"embeddings":[[1,', b"2,3]]}"])
        type = {"content-type": "application/json"}
        answer = side.http.post(side.fill(ADD), content=pieces, headers=type)
        assert answer.status_code == 201
        answer = side.http.post(side.fill(GET), content=b"{}", headers={**type, "expect": "100-continue"})
        assert answer.json()["ids"] == ["1", "2", "3", "c"]


def test_another_tenant_cannot_reach_a_collection_by_its_id(shared_world):
    """Newer servers answer 404, this one looks away: the proxy enforces the scope itself."""
    side = Side(shared_world.proxy.url, "scope-" + uuid.uuid4().hex)
    foreign = "/api/v2/tenants/default_tenant/databases/default_database/collections/{id}"
    assert side.answer(get(foreign + "/count"))["status"] == 404
    assert side.answer(post(foreign + "/get", {}))["status"] == 404
    assert side.answer(post(foreign + "/add", {"ids": ["x"], "embeddings": [VECTOR]}))["status"] == 404
    assert side.answer(get(THIS + "/count"))["json"] == 3
