"""`chromatid export` and `import`: a copy of everything as of one place in the log, taken while
clients write, and restored into an empty pair."""

import copy
import hashlib
import json
import os
import random
import signal
import subprocess

import pytest

from beside import Beside
from compare import DEFAULT_DATABASE, compare_instances, converged, differences
from world import BINARY, COLLECTIONS, DEFAULT, wait_until

DIMENSION = 8
OK, NOT, USAGE, UNREACHABLE = 0, 1, 2, 3


def command(world, *words, timeout=120):
    """Runs `chromatid ...` against the proxy of that world."""
    env = {"PATH": os.environ["PATH"], "CHROMATID_URL": world.proxy.url, "ASAN_OPTIONS": "detect_leaks=1"}
    done = subprocess.run(
        [BINARY, *map(str, words)], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
    )
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def good(world, *words):
    done = command(world, *words)
    assert done.returncode == OK, done
    return done


def vectors(n, rng=random):
    return [[rng.uniform(-1, 1) for _ in range(DIMENSION)] for _ in range(n)]


def fill(c, n):
    for first in range(0, n, 500):
        ids = [f"item{k}" for k in range(first, min(first + 500, n))]
        c.add(
            ids=ids,
            embeddings=vectors(len(ids)),
            documents=[f"text of {id} \u00e9\u2028\n" if k % 3 else None for k, id in enumerate(ids)],
            metadatas=[{"n": k, "f": k / 3, "b": k % 2 == 0, "s": id} if k % 5 else None for k, id in enumerate(ids)],
            uris=[f"file:{id}" if k % 7 == 0 else None for k, id in enumerate(ids)],
        )


def lines_of(path):
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def ids_of(path):
    """{name: [ids in their order]}"""
    found, name = {}, None
    for line in lines_of(path):
        if "collection" in line:
            name = line["collection"]["name"]
            found[name] = []
        elif "items" in line:
            found[name] += line["items"]["ids"]
    return found


def paused(world):
    return world.proxy.status()["export"]


def public_ids(world):
    mappings = world.http.get("/collection/mappings").raise_for_status().json()["mappings"]
    return {(m["tenant"], m["database"], m["collection_name"]): m["public_id"] for m in mappings}


def plain(content):
    """A schema remembers each key of metadata there ever was; ids are the servers' own."""
    return {
        pair: {"all": found}
        if pair == "tenants"
        else {n: {k: v for k, v in c.items() if k not in ("id", "schema")} for n, c in found.items()}
        for pair, found in content.items()
    }


def take_embeddings(content):
    """{where: numbers}, out of the records."""
    return {
        (pair, name, id): record.pop("embeddings")
        for pair, found in content.items()
        if pair != "tenants"
        for name, collection in found.items()
        for id, record in collection["records"].items()
    }


def same(content, other):
    """In cosine space a server makes vectors a length of 1 again, which may change a last digit."""
    content, other = copy.deepcopy(plain(content)), copy.deepcopy(plain(other))
    vectors, others = take_embeddings(content), take_embeddings(other)
    different = differences(content, other)
    assert not different, "\n".join(different[:20])
    for where, vector in vectors.items():
        assert vector == pytest.approx(others[where], abs=1e-6), where
        cosine = content[where[0]][where[1]]["configuration_json"]["hnsw"]["space"] == "cosine"
        assert cosine or vector == others[where], where


def make_content(world):
    client = world.client()
    c = client.create_collection(
        "docs", metadata={"owner": "us"}, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    fill(c, 1203)
    c.delete(ids=["item7"])
    c.add(ids=["item7"], embeddings=vectors(1), documents=["now the last"])
    client.create_collection("empty", metadata={"hnsw:space": "ip"}, embedding_function=None)
    lost = client.create_collection("emptied", embedding_function=None)
    lost.add(ids=["x"], embeddings=vectors(1))
    lost.delete(ids=["x"])
    world.http.post("/api/v2/tenants", json={"name": "ten ant/1"}).raise_for_status()
    world.http.post("/api/v2/tenants", json={"name": "no databases"}).raise_for_status()
    place = "/api/v2/tenants/ten%20ant%2F1/databases"
    world.http.post(place, json={"name": "a-base"}).raise_for_status()
    world.http.post(f"{place}/a-base/collections", json={"name": "docs"}).raise_for_status()
    return c


def test_a_copy_restored_into_an_empty_pair_is_equal(make_world, tmp_path):
    world, file = make_world(), tmp_path / "copy"
    make_content(world)
    before = converged(world)
    done = good(world, "export", file, "--json")
    said = json.loads(done.stdout)
    assert said["collections"] == 4 and said["items"] == 1203
    assert not (tmp_path / "copy.part").exists() and file.stat().st_mode & 0o777 == 0o600
    assert paused(world) is None
    converged(world)

    other = make_world()
    assert json.loads(good(other, "import", file, "--dry-run", "--json").stdout)["dry_run"] is True
    assert public_ids(other) == {}
    good(other, "import", file)
    after = converged(other)
    same(after, before)
    assert list(after[DEFAULT_DATABASE]["docs"]["order"]) == list(before[DEFAULT_DATABASE]["docs"]["order"])
    assert public_ids(other) == public_ids(world), "clients that hold ids go on"
    id = public_ids(other)[(*DEFAULT_DATABASE, "docs")]
    assert other.http.get(f"{COLLECTIONS}/{id}/count").json() == 1203
    assert other.http.get(f"{COLLECTIONS}/docs").json()["id"] == id
    other.proxy.restart()
    assert public_ids(other) == public_ids(world)

    again = command(other, "import", file)
    assert again.returncode == NOT and "already" in again.stderr
    other.client().delete_collection("docs")
    other.client().create_collection("docs", embedding_function=None)
    assert command(other, "import", file, "--resume").returncode == NOT, "this one is not the import's"
    other.client().delete_collection("docs")
    good(other, "import", file, "--resume")
    assert public_ids(other) == public_ids(world), "deleted, and back with its id"
    same(converged(other), before)
    good(other, "import", file, "--rename", "old-")
    assert public_ids(other)[(*DEFAULT_DATABASE, "old-docs")] != id
    assert other.client().get_collection("old-docs", embedding_function=None).count() == 1203
    converged(other)


def test_settings_that_only_a_schema_tells_come_back(make_world, tmp_path):
    """An index switched off for one key of metadata: a create by configuration loses it."""
    world, file = make_world(), tmp_path / "copy"
    world.client().create_collection("usual", embedding_function=None)
    schema = world.http.get(f"{COLLECTIONS}/usual").json()["schema"]
    off = {"string": {"string_inverted_index": {"enabled": False, "config": {}}}}
    schema["keys"]["title"] = off
    for name in ("by-schema", "by-schema-too"):
        world.http.post(COLLECTIONS, json={"name": name, "schema": schema}).raise_for_status()
    before = {name: world.http.get(f"{COLLECTIONS}/{name}").json() for name in ("usual", "by-schema", "by-schema-too")}
    assert before["by-schema"]["schema"]["keys"]["title"]["string"]["string_inverted_index"]["enabled"] is False
    converged(world)
    good(world, "export", file)
    other = make_world()
    good(other, "import", file)
    converged(other)
    assert {name for _, _, name in public_ids(other)} == set(before), "nothing of ours is left"
    for name, was in before.items():
        now = other.http.get(f"{COLLECTIONS}/{name}").json()
        assert now["schema"]["keys"] == was["schema"]["keys"], name
        assert now["configuration_json"] == was["configuration_json"], name


class Writers(Beside):
    """Each writes an item into "first", and when that is answered the same into "second"."""

    def __init__(self, world, clients=4):
        super().__init__(clients)
        self.world, self.written = world, 0

    def work(self, number):
        client = self.world.client()
        both = [client.get_collection(name, embedding_function=None) for name in ("first", "second")]
        n = 0
        while not self.over.is_set():
            for c in both:
                c.add(ids=[f"{number}-{n}"], embeddings=vectors(1))
            if n % 5 == 4:
                for c in reversed(both):
                    c.delete(ids=[f"{number}-{n - 2}"])
            got = both[1].get(ids=[f"{number}-{n}"], include=[])["ids"]
            assert got == [f"{number}-{n}"], "a write that was answered is not read"
            n += 1
            self.written += 1


def test_it_is_consistent_while_clients_write(make_world, tmp_path):
    world = make_world()
    client = world.client()
    for name in ("first", "second", "still"):
        client.create_collection(name, embedding_function=None)
    fill(client.get_collection("still", embedding_function=None), 3000)
    copies = []
    with Writers(world) as writers:
        for n in range(3):
            wait_until(lambda: writers.written > 40 * (n + 1), 60, "they write")
            before = writers.written
            good(world, "export", tmp_path / f"copy{n}")
            copies.append(ids_of(tmp_path / f"copy{n}"))
        wait_until(lambda: writers.written > before + 20, 30, "they went on")
    for found in copies:
        first, second = set(found["first"]), set(found["second"])
        assert second <= first, "the later of two writes without the earlier"
        assert len(first - second) <= 4 and len(first) > 20
        assert len(found["still"]) == 3000
    assert len(copies[0]["first"]) < len(copies[2]["first"])
    assert converged(world)
    # what is said to be the place in the log is the place: the log up to there gives the copy
    head = lines_of(tmp_path / "copy2")[0]
    log = world.sql(
        "SELECT l.kind, convert_from(l.body, 'UTF8') AS body FROM chromatid.log l"
        " JOIN chromatid.collection c ON c.id = l.collection"
        f" WHERE c.name = 'first' AND l.kind < 10 AND l.seq <= {head['position']} ORDER BY l.seq"
    )
    expected = []
    for record in log:
        for id in json.loads(record["body"])["ids"]:
            expected.append(id) if record["kind"] == 1 else expected.remove(id)
    assert copies[2]["first"] == expected


def test_a_cut_or_changed_file_is_refused(world, tmp_path):
    c = world.client().create_collection("docs", embedding_function=None)
    fill(c, 300)
    file, bad = tmp_path / "copy", tmp_path / "bad"
    good(world, "export", file)
    world.client().delete_collection("docs")
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    cases = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "without its last line": b"".join(lines[:-1]),
        "the last byte": whole[:-1],
        "a byte": whole.replace(b"item12", b"item13", 1),
        "without a page": b"".join(lines[:2] + lines[3:]),
        "more": whole + b"{}\n",
        "nonsense": b"hello\n",
    }
    for what, content in cases.items():
        bad.write_bytes(content)
        done = command(world, "import", bad, "--json")
        assert done.returncode == NOT, (what, done)
        assert json.loads(done.stdout.splitlines()[-1])["code"] == NOT
        assert public_ids(world) == {}, what
    assert command(world, "import", tmp_path / "nothing").returncode == NOT
    seal = json.loads(lines[-1])["seal"]
    assert seal["sha256"] == hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    good(world, "import", file)


def hold(world, **wish):
    answer = world.http.post("/admin/export", json=wish)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_what_is_paused_stands_still_and_goes_on(world):
    c = world.client().create_collection("docs", embedding_function=None)
    c.add(ids=["1"], embeddings=vectors(1))
    converged(world)
    export = hold(world)
    place = f"/admin/export/{export['export']}"
    assert export["instance"] == "replica" and paused(world)["position"] == export["position"]
    ask = {"collection": export["collections"][0]["id"], "limit": 10, "offset": 0}
    c.add(ids=["2"], embeddings=vectors(1))
    c.modify(name="renamed", metadata={"a": 1})
    world.client().create_collection("later", embedding_function=None)
    assert world.http.post(place + "/items", json=ask).json()["ids"] == ["1"]
    assert c.get(include=[])["ids"] == ["1", "2"]
    assert world.http.post(place + "/collection", json=ask).json()["name"] == "docs"
    world.client().delete_collection("renamed")
    shown = world.http.post(place + "/collection", json=ask).json()
    assert shown["name"] == "docs" and shown["id"] == str(c.id), "not deleted there yet"
    assert world.http.post(place + "/items", json=ask).json()["ids"] == ["1"]
    assert world.http.post(place + "/items", json={**ask, "limit": 0}).status_code == 400
    assert world.http.post(place + "/items", json={**ask, "collection": "x"}).status_code == 404
    assert world.http.post("/admin/export", json={}).status_code == 409, "one at a time"
    assert world.http.post(place + "/items", content="{}").status_code == 415
    assert world.http.request("GET", place, headers={"content-type": "application/json"}).status_code == 200
    assert world.proxy.instance("replica")["pending_writes"] >= 4
    end = world.http.request("DELETE", place, headers={"content-type": "application/json"})
    assert end.status_code == 200 and paused(world) is None
    assert world.http.post(place + "/items", json=ask).status_code == 404
    assert set(converged(world)[DEFAULT_DATABASE]) == {"later"}


def test_it_ends_by_itself_when_nobody_asks_or_time_is_up(world):
    hold(world, timeout_seconds=1)
    wait_until(lambda: paused(world) is None, 10, "its time is up")
    world.client().create_collection("docs", embedding_function=None)
    hold(world)
    wait_until(lambda: paused(world) is None, 45, "nobody has asked for half a minute")
    converged(world)
    assert world.proxy.log_contains("nobody asked for it for half a minute")


def test_clients_come_first(world):
    """While one is read the other dies: what is read goes on at once."""
    c = world.client().create_collection("docs", embedding_function=None)
    export = hold(world)
    world.primary.kill()
    for n in range(10):
        c.add(ids=[str(n)], embeddings=vectors(1))
    ask = {"collection": export["collections"][0]["id"], "limit": 10, "offset": 0}
    assert world.http.post(f"/admin/export/{export['export']}/items", json=ask).status_code == 404
    refused = world.http.post("/admin/export", json={})
    assert refused.status_code == 409 and "another instance" in refused.json()["message"]
    held = hold(world, hold_writes=True)
    assert held["instance"] == "replica" and len(held["collections"]) == 1
    world.http.request("DELETE", f"/admin/export/{held['export']}", headers={"content-type": "application/json"})
    world.primary.start()
    converged(world)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_the_proxy_ends_in_the_middle(world, tmp_path, sign):
    c = world.client().create_collection("docs", embedding_function=None)
    fill(c, 6000)
    file = tmp_path / "copy"
    exporting = subprocess.Popen(
        [BINARY, "export", str(file), "--url", world.proxy.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: (tmp_path / "copy.part").exists() and (tmp_path / "copy.part").stat().st_size > 0, 30, "it reads")
    world.proxy.signal(sign)
    world.proxy.process.wait(60)
    _, said = exporting.communicate(timeout=60)
    assert exporting.returncode in (NOT, UNREACHABLE) and "chromatid:" in said
    assert list(tmp_path.glob("copy*")) == []
    world.proxy.start()
    c.add(ids=["more"], embeddings=vectors(1))
    assert paused(world) is None
    assert len(converged(world)[DEFAULT_DATABASE]["docs"]["records"]) == 6001


def test_it_is_interrupted(make_world, tmp_path):
    world = make_world(relays=True)
    fill(world.client().create_collection("docs", embedding_function=None), 6000)
    for relay in world.relays:
        relay.fault("delay", seconds=0.3, match=lambda method, path: path.endswith("/get"))
    exporting = subprocess.Popen([BINARY, "export", str(tmp_path / "copy"), "--url", world.proxy.url], stderr=subprocess.PIPE)
    wait_until(lambda: (tmp_path / "copy.part").exists() and (tmp_path / "copy.part").stat().st_size > 0, 30, "it reads")
    exporting.send_signal(signal.SIGINT)
    assert exporting.wait(30) == NOT
    assert list(tmp_path.glob("copy*")) == [] and paused(world) is None
    compare_instances(world)


def test_only_some_collections(world, tmp_path):
    for name in ("a00", "b00", "c00"):
        fill(world.client().create_collection(name, embedding_function=None), 10)
    good(world, "export", tmp_path / "copy", "--collection", "a00", "--collection=c00")
    assert set(ids_of(tmp_path / "copy")) == {"a00", "c00"}
    missing = command(world, "export", tmp_path / "other", "--collection", "nothing")
    assert missing.returncode == NOT and not (tmp_path / "other").exists() and paused(world) is None
    out = command(world, "export", "-")
    assert out.returncode == OK and out.stdout.startswith('{"chromatid_export":1') and "3 collections" in out.stderr


def test_an_import_goes_on_where_it_was_cut_off(make_world, tmp_path):
    world = make_world()
    fill(world.client().create_collection("docs", metadata={"a": 1}, embedding_function=None), 5000)
    good(world, "export", tmp_path / "copy")
    before = converged(world)
    world.client().delete_collection("docs")

    def count():
        answer = world.http.get(f"{COLLECTIONS}/docs/count")
        return answer.json() if answer.status_code == 200 else None

    importing = subprocess.Popen([BINARY, "import", str(tmp_path / "copy"), "--url", world.proxy.url], stderr=subprocess.PIPE)
    wait_until(lambda: count() not in (0, None), 30, "it has begun")
    importing.kill()
    importing.wait()
    importing.stderr.close()
    assert command(world, "import", tmp_path / "copy").returncode == NOT
    done = json.loads(good(world, "import", tmp_path / "copy", "--resume", "--json").stdout)
    assert done["items"] == 5000 and done["added"] < 5000
    same(converged(world), before)


def test_the_id_of_an_import(world):
    id = "0c8a9e5a-7f5f-4b0e-9c4c-3d2b8d5c1a11"
    place = "/admin/import" + DEFAULT.removeprefix("/api/v2") + "/collections"
    made = world.http.post(f"{place}/{id}", json={"name": "docs"})
    assert made.status_code == 200 and made.json()["id"] == id
    assert world.http.post(f"{place}/{id}", json={"name": "other"}).status_code == 409
    assert world.http.post(f"{place}/{id[:-1]}2", json={"name": "docs"}).status_code == 409
    assert world.http.post(f"{place}/nonsense", json={"name": "other"}).status_code == 400
    assert world.http.post(f"{place}/{id}", content='{"name":"x"}').status_code == 415
    path = f"{COLLECTIONS}/{id}"
    assert world.http.post(f"{path}/add", json={"ids": ["1"], "embeddings": [[1, 2]]}).status_code == 201
    assert world.client().get_collection("docs", embedding_function=None).id.__str__() == id
    world.proxy.restart()
    assert world.http.get(f"{path}/count").json() == 1
    converged(world)
    assert world.http.delete(f"{COLLECTIONS}/docs").status_code == 200
    world.http.post(f"{place}/{id}", json={"name": "back"}).raise_for_status()
    assert world.http.get(f"{path}/count").json() == 0
    converged(world)


def change_everything(world):
    """What there is of kinds of writes; returns nothing of it is left out by a restore."""
    client = world.client()
    docs = client.get_collection("docs", embedding_function=None)
    docs.add(ids=["new", "item3"], embeddings=vectors(2), documents=["a", "there already"])
    docs.upsert(ids=["item1"], embeddings=vectors(1), metadatas=[{"again": True}])
    docs.update(ids=["item2", "nobody"], metadatas=[{"n": None, "x": 1}, {"y": 1}])
    docs.delete(ids=["item5"])
    docs.delete(where={"b": True}, where_document={"$contains": "item1"})
    docs.delete(where={"n": 99999})
    with pytest.raises(Exception):
        docs.add(ids=["bad"], embeddings=[[1.0]])
    docs.modify(name="renamed", metadata={"now": "changed"})
    late = client.create_collection("late", embedding_function=None)
    late.add(ids=["1", "2"], embeddings=vectors(2))
    client.create_collection("docs", embedding_function=None)
    client.delete_collection("emptied")
    place = "/api/v2/tenants/ten%20ant%2F1/databases"
    world.http.post(place, json={"name": "another"}).raise_for_status()
    world.http.post(f"{place}/another/collections", json={"name": "inside"}).raise_for_status()
    world.http.delete(f"{place}/a-base").raise_for_status()


def last_seq(world):
    return world.sql("SELECT seq FROM chromatid.clock")[0]["seq"]


def test_a_restore_to_a_later_moment(make_world, tmp_path):
    world, file = make_world(), tmp_path / "copy"
    make_content(world)
    world.client().get_collection("docs", embedding_function=None).modify(metadata={"owner": "us", "k": 1})
    good(world, "export", file)
    change_everything(world)
    target, before = last_seq(world), converged(world)
    ids = public_ids(world)
    world.client().get_collection("renamed", embedding_function=None).delete(where={"b": False})
    world.client().delete_collection("late")
    position = lines_of(file)[0]["position"]
    assert position < target

    other = make_world()
    at = world.sql(f"SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS') AS t FROM chromatid.log WHERE seq = {target + 1}")
    refused = command(other, "import", file, "--until", target)
    assert refused.returncode == NOT and "not the log of the proxy" in refused.stderr and public_ids(other) == {}
    log = ["--log", world.proxy.url]
    for until, says in ((position - 1, "later moment"), (10**9, "the log ends"), ("2020-01-01", "later moment")):
        refused = command(other, "import", file, "--until", until, *log)
        assert refused.returncode == NOT and says in refused.stderr
    for until in ("soon", "", "2026-13-01"):
        assert command(other, "import", file, f"--until={until}", *log).returncode == USAGE
    assert command(other, "import", file, "--until", target, "--resume", *log).returncode == USAGE
    assert public_ids(other) == {}

    done = json.loads(good(other, "import", file, "--until", target, *log, "--json").stdout)
    assert done["until"] == target and 0 < done["records"] <= target - position
    same(converged(other), before)
    assert public_ids(other) == ids
    # by time: all there is before the first record that is left out
    good(other, "import", file, "--until", at[0]["t"] + "Z", "--rename", "old-", *log)
    renamed = other.client().get_collection("old-renamed", embedding_function=None)
    assert renamed.count() == other.client().get_collection("renamed", embedding_function=None).count()
    assert other.client().get_collection("old-late", embedding_function=None).count() in (0, 2)
    converged(other)


def test_the_log_was_not_kept(world, tmp_path):
    c = world.client().create_collection("docs", embedding_function=None)
    good(world, "export", tmp_path / "copy")
    for n in range(3):
        c.add(ids=[str(n)], embeddings=vectors(1))
    converged(world)
    target = last_seq(world)
    world.client().delete_collection("docs")
    good(world, "import", tmp_path / "copy", "--dry-run", "--until", target)
    world.postgres.execute(f"DELETE FROM chromatid.log WHERE seq < {target}", world.database)
    refused = command(world, "import", tmp_path / "copy", "--until", target)
    assert refused.returncode == NOT and "not kept for long enough" in refused.stderr
    assert public_ids(world) == {}


def test_only_one_collection_to_a_later_moment(world, tmp_path):
    client = world.client()
    one, two = (client.create_collection(name, embedding_function=None) for name in ("one", "two"))
    one.add(ids=["1"], embeddings=vectors(1))
    good(world, "export", tmp_path / "copy", "--collection", "one")
    one.add(ids=["2"], embeddings=vectors(1))
    two.add(ids=["2"], embeddings=vectors(1))
    client.create_collection("more", embedding_function=None).add(ids=["1"], embeddings=vectors(1))
    one.delete(ids=["1"])
    target = last_seq(world)
    client.delete_collection("one")
    good(world, "import", tmp_path / "copy", "--until", target)
    assert client.get_collection("one", embedding_function=None).get()["ids"] == ["2"]
    assert two.count() == 1 and len(public_ids(world)) == 3
    converged(world)
