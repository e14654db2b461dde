"""`chromatid migrate`: the tables are there before the first proxy is."""

import pytest

from ports import free_port
from test_cli import run
from test_export import OK

UNAVAILABLE, CONFIG = 69, 78


@pytest.fixture
def settings(postgres):
    name = "migrated"
    url = postgres.create_database(name)
    yield dict(DATABASE_URL=url, PRIMARY_URL="127.0.0.1:1", REPLICA_URL="127.0.0.1:2", ASAN_OPTIONS="detect_leaks=1")
    postgres.drop_database(name)


def test_tables_are_made_and_nobody_leads(postgres, settings):
    version = lambda: postgres.query("SELECT max(version) AS v FROM chromatid.migration", "migrated")[0]["v"]
    done = run("migrate", **settings)
    assert done.returncode == OK and "Sanitizer" not in done.stderr, done
    made = version()
    assert made > 9 and f"migrated to version {made}" in done.stderr + done.stdout
    assert postgres.query("SELECT holder FROM chromatid.lease", "migrated") == [{"holder": None}]
    assert postgres.query("SELECT * FROM chromatid.instance", "migrated") == []
    again = run("migrate", **settings)
    assert again.returncode == OK and "migrated to" not in again.stderr + again.stdout and version() == made


def test_it_says_why_not(postgres, settings):
    assert run("migrate").returncode == CONFIG
    postgres.execute("CREATE ROLE migrate_nobody LOGIN")
    user = settings["DATABASE_URL"].split("://")[1].split("@")[0]
    url = settings["DATABASE_URL"].replace(f"//{user}@", "//migrate_nobody@")
    try:
        done = run("migrate", **{**settings, "DATABASE_URL": url})
        assert done.returncode == UNAVAILABLE and "permission denied" in done.stderr + done.stdout, done
    finally:
        postgres.execute("DROP ROLE migrate_nobody")


def test_nobody_is_there(settings):
    url = f"postgresql://x@127.0.0.1:{free_port()}/x"
    done = run("migrate", **{**settings, "DATABASE_URL": url})
    assert done.returncode == UNAVAILABLE and "not there for long enough" in done.stderr + done.stdout
