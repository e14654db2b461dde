"""Settings: every mistake is told at once, secrets are not shown, wrong ones harm nobody."""

import os
import subprocess

import pytest

from world import BINARY, Proxy, free_port, wait_until

GOOD = {
    "DATABASE_URL": "postgresql://user:sesame@127.0.0.1:1/x",
    "PRIMARY_URL": "http://127.0.0.1:1",
    "REPLICA_URL": "127.0.0.1:2",
}
BAD_SETTING = 78  # EX_CONFIG


def run(*arguments, **settings):
    return subprocess.run(
        [BINARY, *arguments],
        env={"PATH": os.environ["PATH"], **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


def said(done):
    return done.stdout + done.stderr


def test_help_names_every_setting():
    done = run("--help")
    assert done.returncode == 0
    for name in (
        "PORT LISTEN DATABASE_URL PRIMARY_URL REPLICA_URL INSTANCES CHECK_INTERVAL CHECK_TIMEOUT"
        " FAILURE_THRESHOLD RECOVERY_THRESHOLD READ_REPLICA_RATIO WRITE_WAIT REQUEST_TIMEOUT"
        " BOTH_DOWN WAL_RETENTION LOG_MAX_BYTES ALLOW_RESET LOG_LEVEL LOG_FORMAT"
    ).split():
        assert name in done.stdout, name


def test_version_is_one_line():
    done = run("--version")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1 and done.stdout.startswith("chromatid ")


def test_a_good_configuration_is_said_to_be_good():
    assert run("--check-config", **GOOD).returncode == 0


def test_without_settings_it_names_what_is_missing():
    done = run()
    assert done.returncode == BAD_SETTING
    for name in ("DATABASE_URL", "PRIMARY_URL", "REPLICA_URL"):
        assert name in said(done), name


def test_every_mistake_is_listed_not_only_the_first():
    bad = {
        "PORT": "http",
        "PRIMARY_URL": "gopher://x",
        "CHECK_INTERVAL": "soon",
        "READ_REPLICA_RATIO": "1.5",
        "BOTH_DOWN": "perhaps",
        "MAX_BODY_SIZE": "-1",
        "LOG_LEVEL": "loud",
    }
    for arguments in ((), ("--check-config",)):
        done = run(*arguments, **{**GOOD, **bad})
        assert done.returncode == BAD_SETTING
        for name in bad:
            assert name in said(done), name


@pytest.mark.parametrize(
    "name, value",
    [
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("WRITE_WAIT", "5 parsecs"),
        ("WRITE_WAIT", "-3s"),
        ("WRITE_WAIT", "99999999999999999999s"),
        ("READ_REPLICA_RATIO", "nan"),
        ("FAILURE_THRESHOLD", "0"),
        ("MAX_MEMORY_MB", "much"),
        ("REPLICA_URL", "http://"),
        ("REPLICA_URL", "http://host:port"),
        ("DATABASE_URL", "mysql://x"),
        ("ALLOW_RESET", "maybe"),
    ],
)
def test_a_bad_value_stops_the_start(name, value):
    done = run("--check-config", **{**GOOD, name: value})
    assert done.returncode == BAD_SETTING, said(done)
    assert name in said(done)


@pytest.mark.parametrize(
    "name, value",
    [("WRITE_WAIT", "250ms"), ("WRITE_WAIT", "2m"), ("WRITE_WAIT", "7"), ("MAX_BODY_SIZE", "1MiB")],
)
def test_durations_and_sizes_have_units(name, value):
    assert run("--check-config", **{**GOOD, name: value}).returncode == 0


def test_flags_override_the_environment():
    done = run("--print-config", "--port", "9123", "--write-wait=3s", **GOOD, PORT="9000")
    assert done.returncode == 0
    assert "9123" in done.stdout and "9000" not in done.stdout


def test_an_unknown_flag_is_a_mistake():
    assert run("--prot", "9123", **GOOD).returncode in (64, BAD_SETTING)


def test_secrets_are_masked_and_may_come_from_files(tmp_path):
    secret = tmp_path / "token"
    secret.write_text("open-says-me\n")
    done = run("--print-config", **GOOD, UPSTREAM_TOKEN_FILE=str(secret))
    assert done.returncode == 0
    assert "PRIMARY_URL" in done.stdout and "http://127.0.0.1:1" in done.stdout
    assert "sesame" not in said(done) and "open-says-me" not in said(done)
    missing = run("--check-config", **GOOD, UPSTREAM_TOKEN_FILE=str(tmp_path / "nothing"))
    assert missing.returncode == BAD_SETTING and "UPSTREAM_TOKEN_FILE" in said(missing)


def test_an_unknown_name_of_ours_is_a_warning():
    done = run("--check-config", **GOOD, CHROMATID_PROT="1")
    assert done.returncode == 0 and "CHROMATID_PROT" in said(done)


def test_wrong_addresses_leave_it_alive_and_telling(tmp_path):
    """Nobody listens there: not ready, says so, keeps no secret in its log, stops cleanly."""
    proxy = Proxy(tmp_path, {**GOOD, "CHECK_INTERVAL": "200ms"})
    proxy.start(wait="listening")
    try:
        wait_until(lambda: proxy.http.get("/health").status_code == 200, 10, "it is alive")
        assert proxy.http.get("/health").json()["status"] == "unavailable"
        assert proxy.http.get("/ready").status_code == 503
        wait_until(lambda: proxy.log_contains("primary"), 10, "the log names the instance")
        assert not proxy.log_contains("sesame")
        proxy.terminate()
    finally:
        proxy.kill()


def test_a_taken_port_is_a_clear_error(tmp_path):
    first = Proxy(tmp_path, GOOD)
    first.start(wait="listening")
    try:
        done = run(**GOOD, PORT=str(first.port))
        assert done.returncode != 0
        assert str(first.port) in said(done)
        first.terminate()
    finally:
        first.kill()


def test_listen_binds_what_it_says(tmp_path):
    port = free_port()
    proxy = Proxy(tmp_path, {**GOOD, "LISTEN": f"127.0.0.1:{port}"})
    proxy.url = f"http://127.0.0.1:{port}"
    proxy.http.base_url = proxy.url
    proxy.start(wait="listening")
    try:
        proxy.terminate()
    finally:
        proxy.kill()


def test_healthcheck_asks_the_proxy_that_runs(shared_world):
    proxy = shared_world.proxy
    assert run("healthcheck", PORT=str(proxy.port)).returncode == 0
    assert run("healthcheck", PORT=str(free_port())).returncode != 0
