"""The tools of these tests find what they are there to find."""

import pytest

from compare import DEFAULT_DATABASE, compare_instances, read_collections
from load import Load
from world import COLLECTIONS, Chroma


class Pair:
    """Two servers and no proxy between them."""

    def __init__(self, directory):
        self.primary = Chroma(directory, "primary")
        self.replica = Chroma(directory, "replica")
        self.instances = [self.primary, self.replica]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(tmp_path_factory.mktemp("pair"))
    for chroma in pair.instances:
        chroma.start()
    yield pair
    for chroma in pair.instances:
        chroma.kill()


def fill(chroma, name, **changed):
    collection = chroma.client().create_collection(name, embedding_function=None, metadata={"of": "us"})
    record = {"ids": ["1"], "documents": ["x"], "metadatas": [{"a": 1}], "embeddings": [[1, 2]]}
    collection.add(**record)
    collection.add(**{**record, "ids": ["2"], **changed})


def test_equal_servers_are_equal_though_their_uuids_differ(pair):
    for chroma in pair.instances:
        fill(chroma, "same")
    content = compare_instances(pair)
    assert content[DEFAULT_DATABASE]["same"]["order"] == ["1", "2"]


@pytest.mark.parametrize(
    "changed",
    [
        {"ids": ["3"]},
        {"documents": ["y"]},
        {"metadatas": [{"a": 2}]},
        {"embeddings": [[1, 2.0000002]]},
    ],
    ids=str,
)
def test_a_difference_in_one_field_is_found(pair, changed):
    fill(pair.primary, "other")
    fill(pair.replica, "other", **changed)
    with pytest.raises(AssertionError, match="the instances differ"):
        compare_instances(pair)
    for chroma in pair.instances:
        chroma.client().delete_collection("other")


def test_an_extra_tenant_database_or_collection_is_found(pair):
    http = pair.primary.http
    http.post(COLLECTIONS, json={"name": "extra"}).raise_for_status()
    with pytest.raises(AssertionError, match="extra: only on the first"):
        compare_instances(pair)
    http.delete(COLLECTIONS + "/extra").raise_for_status()
    http.post("/api/v2/tenants/default_tenant/databases", json={"name": "extra"}).raise_for_status()
    with pytest.raises(AssertionError, match="extra.*only on the first"):
        compare_instances(pair)
    http.delete("/api/v2/tenants/default_tenant/databases/extra").raise_for_status()
    compare_instances(pair)
    http.post("/api/v2/tenants", json={"name": "extra"}).raise_for_status()
    with pytest.raises(AssertionError):
        compare_instances(pair)
    pair.replica.http.post("/api/v2/tenants", json={"name": "extra"}).raise_for_status()


def test_the_load_is_content_with_one_server_and_finds_what_was_lost(pair):
    with Load(pair.primary.url, threads=4) as load:
        load.wait_steps(300)
    assert load.failures == [] and load.stale == []
    there = {DEFAULT_DATABASE: read(pair.primary, load)}
    load.check(there)
    records = next(c["records"] for c in there[DEFAULT_DATABASE].values() if c["records"])
    records.popitem()
    with pytest.raises(AssertionError, match="None there"):
        load.check(there)


def test_the_load_sees_stale_reads(pair):
    """Its two collections are swapped under it: what it wrote is not there any more."""
    with Load(pair.primary.url, threads=1, catalogue=False) as load:
        load.wait_steps(50)
        first, second = load.ids
        load.ids[first], load.ids[second] = load.ids[second], load.ids[first]
        load.wait_steps(50)
    assert load.stale


def read(chroma, load):
    return {n: c for n, c in read_collections(chroma, *DEFAULT_DATABASE).items() if n in load.ids}
