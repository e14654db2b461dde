"""A pooler between the proxy and PostgreSQL, a real one: in session mode it does no harm, in transaction mode it
is refused, in words that say what to do."""

import threading

import httpx
import psycopg
import pytest

from compare import converged
from pooler import Pooler
from test_doctor import doctor
from world import COLLECTIONS, Proxy, World, wait_until

WORDS = "a pooler in transaction mode is between us and PostgreSQL"
MEND = "let DATABASE_URL name the server itself, or a pooler in session mode"


@pytest.fixture(scope="module")
def world(postgres, tmp_path_factory):
    with World(postgres, tmp_path_factory.mktemp("pooler"), start=False) as world:
        for chroma in world.instances:
            chroma.start()
        yield world


@pytest.fixture(autouse=True)
def ended(world):
    """What a test that failed has left running."""
    yield
    world.proxy.kill()


def through(world, pooler):
    world.proxy.settings["DATABASE_URL"] = pooler.url_of(world.database)
    return world.proxy


def reason(proxy):
    return proxy.http.get("/ready").json()["reason"]


# round robin, and no other process than the one of the first session
@pytest.mark.parametrize("options", [{}, {"server_round_robin": 1}, {"default_pool_size": 1}])
def test_transaction_mode_is_refused(world, options):
    with Pooler(world.postgres, "transaction", **options) as pooler:
        proxy = through(world, pooler)
        proxy.start(wait="listening")
        wait_until(lambda: WORDS in reason(proxy), 30, "it says why")
        assert MEND in reason(proxy) and proxy.ready() == 503
        assert proxy.http.get("/health").status_code == 200
        lines = [line for line in proxy.log().splitlines() if "refused: " + WORDS in line]
        assert MEND in lines[-1] and '"level":"error"' in lines[-1]
        tables = "SELECT 1 FROM pg_namespace WHERE nspname = 'chromatid'"
        assert world.sql(tables) == [], "nothing was begun"
        code, found = doctor(world)
        said = "; ".join(found[("wrong", "PostgreSQL")])
        assert code == 1 and "a pooler in transaction mode is between" in said
        proxy.terminate()


def test_session_mode_works(world):
    with Pooler(world.postgres, "session") as pooler:
        proxy = through(world, pooler)
        proxy.start()
        wait_until(world.all_healthy, 30, "all are healthy")
        assert "no pooler" not in str(doctor(world))
        docs = proxy.client().create_collection("docs", embedding_function=None)
        docs.add(ids=["a"], embeddings=[[1, 2]])
        # the process that the server has for the session, not what the pooler calls it
        pid = "SELECT pid FROM pg_stat_activity WHERE application_name = 'chromatid-log'"
        before = world.sql(pid)
        assert len(before) == 1
        world.sql(f"SELECT pg_terminate_backend({before[0]['pid']})")
        wait_until(lambda: world.sql(pid) not in ([], before), 30, "another session")
        wait_until(lambda: proxy.ready() == 200, 30, "it is ready again")
        docs.add(ids=["b"], embeddings=[[1, 3]])
        settings = "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"
        assert world.sql(settings)[0]["setting"] == "0", "set for our sessions, not for everybody"
        converged(world)
        proxy.terminate()
        assert "gone (a pooler between?)" not in proxy.log()


def test_an_append_that_was_lost_with_the_pooler_is_ended_at_the_server(world):
    """Its process goes on waiting for a lock. If nobody ended it, by its right number, it would commit after its
    client has heard that nothing will happen."""
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'chromatid-log'"
        " AND wait_event_type = 'Lock' AND datname = current_database()"
    )
    answers = []
    with Pooler(world.postgres, "session") as pooler:
        proxy = through(world, pooler)
        proxy.start()
        docs = proxy.client().get_or_create_collection("lost", embedding_function=None)
        path = f"{COLLECTIONS}/{docs.id}"

        def write():
            answers.append(httpx.post(f"{proxy.url}{path}/add", json={"ids": ["x"], "embeddings": [[1, 2]]}, timeout=60))

        client = threading.Thread(target=write)
        with psycopg.connect(world.postgres.url_of(world.database)) as lock:
            lock.execute("UPDATE chromatid.clock SET seq = seq")
            client.start()
            before = wait_until(lambda: world.sql(waiting), 10, "the append waits for the lock")
            pooler.kill()
            pooler.start()
            client.join()
            assert before[0] not in world.sql(waiting), "it waits on"
            lock.rollback()
        assert answers[0].status_code == 503 and answers[0].headers["x-chromatid-outcome"] == "none"
        wait_until(lambda: proxy.ready() == 200, 30, "it is ready again")
        docs.add(ids=["y"], embeddings=[[1, 2]])
        assert docs.get(include=[])["ids"] == ["y"]
        converged(world)
        proxy.terminate()


def test_a_second_proxy_behind_a_pooler_follows_and_leads(world, tmp_path):
    with Pooler(world.postgres, "session") as pooler:
        first = through(world, pooler)
        first.start()
        second = Proxy(tmp_path, {**first.settings, "PORT": "0"}, name="second")
        second.settings["PORT"] = str(second.port)
        second.start(wait="ready")
        assert second.status()["leader"] is False
        docs = second.client().get_or_create_collection("two", embedding_function=None)
        docs.add(ids=["a"], embeddings=[[1, 2]])
        first.terminate()
        wait_until(lambda: second.status()["leader"], 10, "the other leads")
        docs.add(ids=["b"], embeddings=[[1, 2]])
        assert docs.count() == 2
        second.terminate(10)  # nobody is there to hand over to, whatever sessions the pooler keeps


def test_a_pooler_that_changes_its_mode(world):
    """Refused, and taken when it is in session mode; told to change while we lead, refused again."""
    with Pooler(world.postgres, "transaction") as pooler:
        proxy = through(world, pooler)
        proxy.start(wait="listening")
        wait_until(lambda: WORDS in reason(proxy), 30, "it says why")
        pooler.kill()
        pooler.configure("session")
        pooler.start()
        wait_until(lambda: proxy.ready() == 200, 30, "it works now")
        docs = proxy.client().get_or_create_collection("docs", embedding_function=None)
        docs.upsert(ids=["c"], embeddings=[[1, 4]])
        pooler.kill()
        pooler.configure("transaction")
        pooler.start()
        wait_until(lambda: WORDS in reason(proxy), 30, "refused again")
        assert not proxy.status()["leader"]
        proxy.terminate()
