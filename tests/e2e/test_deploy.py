"""The files that deploy it: what they set exists, what belongs together agrees, and what can be run here is run.

What we rely on of the formats is written down below (RENDER, COMPOSE): a field that is not there is one nobody has
looked up. An image is a root file system of the packages the Dockerfile names, and nothing else.
"""

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from ports import free_port
from world import BINARY, ROOT, Process, World, wait_until

DEPLOY = ROOT / "docs/deploy"
COMPOSE_FILES = [ROOT / "compose.yaml", *sorted(DEPLOY.glob("compose.*.yaml"))]
CHROMA = "chromadb/chroma:" + (ROOT / "tests/tools/chroma.txt").read_text().strip().split("==")[1]

# Of Render's Blueprint specification: the fields of each kind of thing, "!" those it must have.
RENDER = {
    "root": "services databases",
    "web": "type! name! runtime! plan dockerfilePath autoDeployTrigger healthCheckPath maxShutdownDelaySeconds envVars",
    "pserv": "type! name! runtime! plan image! envVars disk",
    "image": "url!",
    "disk": "name! mountPath! sizeGB",
    "database": "name! plan databaseName user postgresMajorVersion diskSizeGB ipAllowList",
    "envVar": "key! value generateValue fromDatabase fromService",
    "fromDatabase": "name! property!",
    "fromService": "type! name! property!",
}
RENDER_PLANS = {"starter", "standard", "pro", "pro plus", "basic-256mb", "basic-1gb", "basic-4gb"}
RENDER_DATABASE = {"host", "port", "user", "password", "database", "connectionString"}
RENDER_SERVICE = {"host", "port", "hostport"}

# Of the Compose specification.
COMPOSE = {
    "root": "name services! networks volumes",
    "service": "build image restart stop_grace_period read_only cap_drop security_opt ports networks environment "
    "depends_on volumes healthcheck command network_mode",
    "healthcheck": "test! interval timeout",
}


def fits(schema, kind, thing):
    known = schema[kind].replace("!", "").split()
    must = [field[:-1] for field in schema[kind].split() if field.endswith("!")]
    assert set(thing) <= set(known), f"{kind}: {set(thing) - set(known)}"
    assert set(must) <= set(thing), f"{kind}: {set(must) - set(thing)} is missing"


def load(path):
    return yaml.safe_load(path.read_text())


def proxy(*arguments, **env):
    """What the program says, with these settings and no others."""
    env = {"PATH": os.environ["PATH"], **env}
    return subprocess.run([BINARY, *arguments], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@functools.cache
def settings():
    """{name: default}, of its own table."""
    table = {}
    for line in proxy("--document-settings").stdout.splitlines():
        if found := re.match(r"\| `([A-Z_]+)` \| `--\S+` \| (?:`(.*?)`|unset) \| (.*) \|$", line):
            table[found[1]] = found[2]
            if "_FILE` may name a file" in found[3]:
                table[found[1] + "_FILE"] = None
    assert len(table) > 40
    return table


def seconds(duration):
    return int(re.fullmatch(r"(\d+)s", duration)[1])


def are_settings(env):
    """It knows them all, and takes the values."""
    assert set(env) <= set(settings()), set(env) - set(settings())
    done = proxy("--check-config", **env)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return seconds(env.get("DRAIN_TIMEOUT") or settings()["DRAIN_TIMEOUT"])


def is_name_only(image):
    first, *rest = image.split("/")
    return not rest or not ("." in first or ":" in first)


def megabytes(text):
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", text).groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


# --- Render --------------------------------------------------------------------------------------------------------


def render_env(service, blueprint):
    """The settings as Render will give them, with what it makes up."""
    databases = {d["name"] for d in blueprint["databases"]}
    others = {(s["type"], s["name"]): s for s in blueprint["services"]}
    env = {}
    for var in service["envVars"]:
        fits(RENDER, "envVar", var)
        assert len(var) == 2, var
        if "value" in var:
            assert isinstance(var["value"], str), f"{var}: numbers are to be quoted"
            env[var["key"]] = var["value"]
        elif "generateValue" in var:
            env[var["key"]] = var["key"] + "+/fV9o2lq0="
        elif origin := var.get("fromDatabase"):
            fits(RENDER, "fromDatabase", origin)
            assert origin["name"] in databases and origin["property"] in RENDER_DATABASE
            env[var["key"]] = "postgresql://chromatid:q@dpg-x-a/chromatid"
        else:
            origin = var["fromService"]
            fits(RENDER, "fromService", origin)
            other = others[origin["type"], origin["name"]]
            assert origin["property"] in RENDER_SERVICE
            port = next(v["value"] for v in other["envVars"] if v["key"] == "PORT")
            env[var["key"]] = f"{origin['name']}:{port}"
    return env


def test_render():
    blueprint = load(ROOT / "render.yaml")
    fits(RENDER, "root", blueprint)
    services = {s["name"]: s for s in blueprint["services"]}
    web = services.pop("chromatid")
    fits(RENDER, "web", web)
    assert (ROOT / web["dockerfilePath"]).is_file() and web["runtime"] == "docker"
    env = render_env(web, blueprint)
    drain = are_settings(env)
    assert drain < web["maxShutdownDelaySeconds"] <= 300
    assert web["healthCheckPath"] == "/health" and int(env["MAX_MEMORY_MB"]) < 512
    assert "API_TOKEN" in env and "ADMIN_TOKEN" in env, "anybody can reach it"
    assert {env["PRIMARY_URL"], env["REPLICA_URL"]} == {f"{name}:8000" for name in services}
    for name, chroma in services.items():
        fits(RENDER, "pserv", chroma)
        fits(RENDER, "image", chroma["image"])
        fits(RENDER, "disk", chroma["disk"])
        assert chroma["image"]["url"] == CHROMA and chroma["disk"]["mountPath"] == "/data", name
        ports = {v["key"]: v["value"] for v in chroma["envVars"]}
        assert ports["PORT"] == ports["CHROMA_PORT"], name
    (database,) = blueprint["databases"]
    fits(RENDER, "database", database)
    assert database["ipAllowList"] == [] and database["diskSizeGB"] % 5 == 0
    assert isinstance(database["postgresMajorVersion"], str), "quoted"
    assert web["autoDeployTrigger"] in ("commit", "checksPass", "off")
    assert {thing["plan"] for thing in (*blueprint["services"], database)} <= RENDER_PLANS


# --- Docker Compose ------------------------------------------------------------------------------------------------


def filled(text):
    """${NAME:-default} without an environment."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def published(service):
    return [filled(port).split(":")[-2:] for port in service.get("ports", [])]


def test_compose():
    base = load(COMPOSE_FILES[0])
    names, networks, volumes = set(base["services"]), set(base["networks"]), set(base["volumes"])
    taken = []
    for path in COMPOSE_FILES:
        file = load(path)
        fits(COMPOSE, "root", file)
        services = names | set(file["services"])
        for name, service in file["services"].items():
            fits(COMPOSE, "service", service)
            assert set(service.get("depends_on", [])) <= services, name
            assert set(service.get("networks", [])) <= networks, name
            assert is_name_only(service["image"]), service["image"]
            if "healthcheck" in service:
                fits(COMPOSE, "healthcheck", service["healthcheck"])
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                here = (ROOT / source).is_file() if source.startswith("./") else source.startswith("/var/run/")
                assert here or source in volumes | set(file.get("volumes", {})), volume
            taken += [outside for outside, _ in published(service)]
    assert len(taken) == len(set(taken)), f"ports that two of them take: {taken}"


@pytest.mark.parametrize("path, name", [(COMPOSE_FILES[0], "proxy"), (DEPLOY / "compose.two.yaml", "proxy-2")])
def test_compose_proxies(path, name):
    base = load(COMPOSE_FILES[0])["services"]
    service = load(path)["services"][name]
    env = {key: filled(value) for key, value in service["environment"].items()}
    assert are_settings(env) < seconds(service["stop_grace_period"])
    assert [inside for _, inside in published(service)] == [settings()["PORT"]]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    for setting, port in (("PRIMARY_URL", "8000"), ("REPLICA_URL", "8000"), ("DATABASE_URL", "5432")):
        host, asked = re.fullmatch(r".*[/@]([\w-]+):(\d+).*", env[setting]).groups()
        assert host in base and asked == port, setting
        assert set(base[host]["networks"]) <= set(service["networks"]), setting
    for chroma in ("primary", "replica"):
        assert base[chroma]["image"] == CHROMA and base[chroma]["volumes"] == [f"{chroma}:/data"]
        assert "ports" not in base[chroma] and f"/{settings()['PORT']}" in base[chroma]["healthcheck"]["test"][-1]
    postgres = {key: filled(value) for key, value in base["postgres"]["environment"].items()}
    user, password, database = (postgres[f"POSTGRES_{key}"] for key in ("USER", "PASSWORD", "DB"))
    assert env["DATABASE_URL"] == f"postgresql://{user}:{password}@postgres:5432/{database}"
    if name != "proxy":
        assert service["environment"] == base["proxy"]["environment"]


def test_compose_chaos_knows_its_victims():
    chaos = load(DEPLOY / "compose.chaos.yaml")["services"]["chaos"]
    base = load(COMPOSE_FILES[0])
    script = chaos["command"][-1].replace("$$", "$")
    assert subprocess.run(["sh", "-n", "-c", script]).returncode == 0
    victims = re.search(r"printf '(\S+)\\n'", script)[1].split("\\n")
    assert set(victims) == set(base["services"]) and f"victim={base['name']}-$(" in script


def test_compose_by_docker_itself():
    if subprocess.run(["sh", "-c", "docker compose version"], capture_output=True).returncode != 0:
        pytest.skip("no docker compose here")
    for path in COMPOSE_FILES:
        command = ["docker", "compose", "-f", COMPOSE_FILES[0], "-f", path, "config", "-q"]
        assert subprocess.run(command, cwd=ROOT).returncode == 0, path


def test_prometheus_of_compose(tmp_path):
    shutil.copy(DEPLOY / "prometheus.yml", tmp_path)
    shutil.copy(ROOT / "docs/monitoring/alerts.yml", tmp_path)
    done = subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    targets = load(DEPLOY / "prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == ["proxy:8000"]
    mounts = load(DEPLOY / "compose.monitoring.yaml")["services"]["grafana"]["volumes"]
    folder = load(DEPLOY / "grafana-dashboards.yaml")["providers"][0]["options"]["path"]
    assert any(f":{folder}/" in mount for mount in mounts)


# --- Kubernetes ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kubernetes():
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def test_kubernetes_proxies(kubernetes):
    spec = kubernetes["Deployment", "chromatid"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    env = {}
    for var in container["env"]:
        secret = var.get("valueFrom", {}).get("secretKeyRef")
        assert secret is None or (secret["name"], secret["key"]) == ("chromatid", var["name"])
        env[var["name"]] = var.get("value") or f"postgresql://u:p@h/{var['name']}"
    drain = are_settings(env)
    assert drain < pod["terminationGracePeriodSeconds"] and "lifecycle" not in container
    assert spec["replicas"] == 2 and spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert [port["containerPort"] for port in container["ports"]] == [int(env["PORT"])]
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/health"
    assert int(env["MAX_MEMORY_MB"]) < megabytes(container["resources"]["limits"]["memory"])
    assert container["securityContext"]["readOnlyRootFilesystem"] and pod["enableServiceLinks"] is False
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert [pod["securityContext"][key] for key in ("runAsUser", "runAsGroup")] == [int(u) for u in user.groups()]
    service = kubernetes["Service", "chroma"]
    for ordinal, setting in enumerate(("PRIMARY_URL", "REPLICA_URL")):
        name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
        assert env[setting] == f"http://chroma-{ordinal}.{name}:{port}"


def test_kubernetes_what_belongs_together(kubernetes):
    pods = {}
    for (kind, name), thing in kubernetes.items():
        assert thing["metadata"]["namespace"] == "chromatid", name
        if kind in ("Deployment", "StatefulSet"):
            labels = thing["spec"]["template"]["metadata"]["labels"]
            assert thing["spec"]["selector"]["matchLabels"] == labels
            pods[name] = labels
            assert is_name_only(thing["spec"]["template"]["spec"]["containers"][0]["image"])
    for (kind, name), thing in kubernetes.items():
        spec = thing["spec"]
        if kind == "Service":
            assert spec["selector"] == pods[name]
        elif kind == "PodDisruptionBudget":
            assert spec["selector"]["matchLabels"] == pods[name]
        elif kind == "NetworkPolicy":
            assert spec["podSelector"]["matchLabels"] == pods["chroma"]
    chroma = kubernetes["StatefulSet", "chroma"]["spec"]
    (container,) = chroma["template"]["spec"]["containers"]
    assert container["image"] == CHROMA and chroma["serviceName"] == "chroma" and chroma["replicas"] == 2
    volume = chroma["volumeClaimTemplates"][0]["metadata"]["name"]
    assert container["volumeMounts"] == [{"name": volume, "mountPath": "/data"}]


# --- systemd, the Debian package -----------------------------------------------------------------------------------


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """(the package, where it is unpacked)"""
    out = tmp_path_factory.mktemp("package")
    run("cpack", "--config", Path(BINARY).parent / "CPackConfig.cmake", "-B", out)
    (deb,) = out.glob("chromatid_*.deb")
    run("dpkg-deb", "-x", deb, out / "root")
    return deb, out / "root"


def test_package(package):
    deb, root = package
    version = proxy("version").stdout.split()[-1]
    env = {"PATH": os.environ["PATH"]}
    assert run(root / "usr/bin/chromatid", "version", env=env) == f"chromatid {version}\n"
    assert run("dpkg-deb", "-f", deb, "Version").strip() == version
    assert (root / "etc/default/chromatid").stat().st_mode & 0o777 == 0o600
    assert "/etc/default/chromatid" in run("dpkg-deb", "-I", deb, "conffiles")
    run("man", "--warnings", "-l", root / "usr/share/man/man1/chromatid.1.gz", env={**env, "MANWIDTH": "80"})
    run("bash", "-n", root / "usr/share/bash-completion/completions/chromatid")
    if shutil.which("lintian"):
        run("lintian", "--fail-on", "error", "--allow-root", deb)


def test_package_and_image_need_the_same(package):
    """The libraries that the linker has found are those the Dockerfile installs."""
    needed = {d.split()[0] for d in run("dpkg-deb", "-f", package[0], "Depends").split(", ")}
    assert needed - {"libc6", "libgcc-s1"} <= set(image_packages())


def test_settings_of_the_package(package):
    """As they come, and with each line that is commented out."""
    text = (package[1] / "etc/default/chromatid").read_text()
    lines = re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.M)
    assert set(dict(lines)) <= set(settings()) and len(lines) > 8
    are_settings(dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.M)))


def test_unit(package, tmp_path):
    unit = (package[1] / "lib/systemd/system/chromatid.service").read_text()
    command = re.search(r"^ExecStart=(\S+)$", unit, re.M)[1]
    binary = package[1] / command.lstrip("/")
    assert os.access(binary, os.X_OK)
    assert (package[1] / re.search(r"^EnvironmentFile=/(\S+)$", unit, re.M)[1]).is_file()
    assert "Type=notify\n" in unit and "DynamicUser=yes\n" in unit
    stop = re.search(r"^TimeoutStopSec=(\w+)$", unit, re.M)[1]
    assert seconds(settings()["DRAIN_TIMEOUT"]) < seconds(stop)
    assert "RestartPreventExitStatus=78\n" in unit and proxy("--check-config").returncode == 78
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd here")
    here = tmp_path / "chromatid.service"
    here.write_text(unit.replace(f"ExecStart={command}", f"ExecStart={binary}"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", here], capture_output=True, text=True)
    assert done.returncode == 0 and "chromatid" not in done.stderr, done.stderr


# --- the image -----------------------------------------------------------------------------------------------------


def image_packages():
    """What the last stage of the Dockerfile installs."""
    last = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).split("\nFROM ")[-1]
    return re.search(r"apt-get install -y --no-install-recommends (.*?)&&", last)[1].split()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Made once for a list of packages: it is what takes the time."""
    if os.getuid() != 0:
        pytest.skip("needs root: mounts, chroot")
    wanted = " ".join(image_packages())
    root = ROOT / "build/image"
    if not (root / "made").exists() or (root / "made").read_text() != wanted:
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(exist_ok=True)
        sources = "/etc/apt/sources.list.d/debian.sources"
        suite = re.search(r"^FROM debian:(\d+)-slim$", (ROOT / "Dockerfile").read_text(), re.M)[1]
        run(
            "mmdebstrap",
            "--quiet",
            "--variant=extract",
            f"--include={wanted}",
            {"12": "bookworm"}[suite],
            root,
            *([sources] if Path(sources).exists() else []),
        )
        (root / "made").write_text(wanted)
    for directory in ("proc", "usr/local/bin"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    shutil.copy(BINARY, root / "usr/local/bin/chromatid")
    return root


class Container(Process):
    """The proxy as the Dockerfile runs it: that root, read-only; that user; nothing else."""

    def __init__(self, directory, root, settings):
        super().__init__(directory, "container")
        last = (ROOT / "Dockerfile").read_text().split("\nFROM ")[-1]
        user = re.search(r"^USER (\S+)$", last, re.M)[1]
        assert re.search(r'^ENTRYPOINT \["chromatid"\]$', last, re.M)
        self.root, self.user = root, user
        self.port = free_port()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)
        self.settings = {"PORT": str(self.port), **settings}

    def start(self, *words):
        # in a mount namespace of its own: nothing of it is left when it ends
        steps = (
            'mount --bind "$0" "$0" && mount -t proc proc "$0/proc" && mount -o remount,bind,ro "$0" &&'
            ' exec chroot --userspec="$1" "$0" chromatid'
        )
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", **self.settings}
        self.spawn(["unshare", "--mount", "sh", "-c", steps, str(self.root), self.user], env)

    def asks(self, path):
        assert self.running(), self.log()
        return self.http.get(path)


def test_image_is_alive_with_nothing_else_there(image, tmp_path):
    postgres, *chromas = (f"127.0.0.1:{free_port()}" for _ in range(3))
    settings = {"DATABASE_URL": f"postgresql://u:p@{postgres}/d", "INSTANCES": f"a={chromas[0]},b={chromas[1]}"}
    container = Container(tmp_path, image, settings)
    container.start()
    try:
        wait_until(lambda: container.asks("/health").status_code == 200, 30, "it is alive")
        assert container.asks("/ready").status_code == 503
        status = Path(f"/proc/{container.process.pid}/status").read_text()
        assert re.search(r"^Uid:\t10001\t10001\t10001\t10001$", status, re.M)
        assert re.search(r"^CapEff:\t0+$", status, re.M)
        assert not {"sh", "bash", "dash", "curl"} & {file.name for file in image.glob("**/bin/*")}
        root = Path(f"/proc/{container.process.pid}/root/tmp")
        with pytest.raises(OSError, match="Read-only file system"):
            (root / "x").write_text("")
        container.signal(15)
        assert container.process.wait(30) == 0
    finally:
        container.kill()


def test_image_serves(image, postgres, tmp_path):
    with World(postgres, tmp_path, start=False) as world:
        for chroma in world.instances:
            chroma.start()
        settings = {k: v for k, v in world.proxy.settings.items() if k != "PORT"}
        container = Container(tmp_path, image, settings)
        container.start()
        try:
            wait_until(lambda: container.asks("/ready").status_code == 200, 30, "it is ready")
            path = "/api/v2/tenants/default_tenant/databases/default_database/collections"
            assert container.http.post(path, json={"name": "docs"}).status_code == 200
            container.signal(15)
            assert container.process.wait(30) == 0
        finally:
            container.kill()
