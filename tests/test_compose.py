"""The container stack: read by a real Compose, its flags checked against the server's, its health check run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from export import contract
from export.versions import newest
from serving.embedded.options import parse_command_line
from serving.rollout_config import entry_of, parse
from tests import processes

Service = dict[str, Any]
PROFILES = ("gpu", "cpu", "monitoring")
MONITORS = ("prometheus", "grafana")
VERSIONS = ("TF_SERVING_VERSION", "PROMETHEUS_VERSION", "GRAFANA_VERSION")
SERVERS = {"gpu": "serving", "cpu": "serving-cpu"}
PAGES = {"gpu": "page", "cpu": "page-cpu"}


def compose_command() -> list[str] | None:
    """Return how to call a Compose of this machine: the plugin of docker, or the program of its own."""
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def resolve(project_root: Path, *profiles: str) -> subprocess.CompletedProcess[str]:
    """Return what Compose makes of docker-compose.yml with these profiles."""
    compose = compose_command()
    if compose is None:
        pytest.skip("There is no Compose here to read docker-compose.yml with (apt install docker-compose).")
    command = [*compose, *(f"--profile={profile}" for profile in profiles), "config"]
    return subprocess.run(command, cwd=project_root, capture_output=True, text=True)


@pytest.fixture(scope="module")
def services(project_root: Path) -> dict[str, Service]:
    """The services of all profiles as Compose itself resolves them."""
    run = resolve(project_root, *PROFILES)
    assert run.returncode == 0, run.stderr
    resolved: dict[str, dict[str, Service]] = yaml.safe_load(run.stdout)
    return resolved["services"]


def settings(project_root: Path) -> dict[str, str]:
    """Return the variables of ``.env``."""
    lines = (project_root / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def started(services: dict[str, Service], profile: str) -> set[str]:
    return {name for name, service in services.items() if not service.get("profiles") or profile in service["profiles"]}


def flags(service: Service) -> dict[str, str]:
    return dict(flag.removeprefix("--").split("=", 1) for flag in service["command"])


def mounts(service: Service) -> dict[str, tuple[Path, bool]]:
    """Return for every target its source and whether it is read-only, from Compose's short or long form."""
    found: dict[str, tuple[Path, bool]] = {}
    for volume in service["volumes"]:
        if isinstance(volume, str):
            source, target, mode = volume.split(":")
            found[target] = (Path(source), mode == "ro")
        else:
            found[volume["target"]] = (Path(volume["source"]), bool(volume.get("read_only")))
    return found


def on_the_host(service: Service, path: str) -> Path:
    """Return where a path inside the container stands on the host."""
    for target, (source, _) in mounts(service).items():
        if Path(path).is_relative_to(target):
            return source / Path(path).relative_to(target)
    raise AssertionError(f"{path} is not mounted")


def published(service: Service) -> set[tuple[str, int, int]]:
    """Return (address, port of the host, port of the container) of every port, from the short or the long form."""
    found = set()
    for port in service["ports"]:
        if isinstance(port, str):
            address, outside, inside = port.removesuffix("/tcp").split(":")
        else:
            address, outside, inside = port["host_ip"], port["published"], port["target"]
        found.add((address, int(outside), int(inside)))
    return found


def test_plain_up_starts_the_gpu_profile(project_root: Path) -> None:
    assert settings(project_root)["COMPOSE_PROFILES"] == "gpu"


@pytest.mark.parametrize("profile", ["gpu", "cpu"])
def test_a_profile_starts_its_server_and_its_page_and_nothing_else(services: dict[str, Service], profile: str) -> None:
    assert started(services, profile) == {SERVERS[profile], PAGES[profile]}


def test_monitoring_can_stand_beside_either_profile(services: dict[str, Service]) -> None:
    assert started(services, "monitoring") == set(MONITORS)


@pytest.mark.parametrize("profiles", [(), *((profile,) for profile in PROFILES), ("cpu", "monitoring"), PROFILES])
def test_compose_reads_every_choice_of_profiles(project_root: Path, profiles: tuple[str, ...]) -> None:
    run = resolve(project_root, *profiles)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(("profile", "suffix"), [("gpu", "-gpu"), ("cpu", "")])
def test_the_image_is_tensorflow_serving_at_the_pinned_version(
    services: dict[str, Service], project_root: Path, profile: str, suffix: str
) -> None:
    version = settings(project_root)["TF_SERVING_VERSION"]
    assert services[SERVERS[profile]]["image"] == f"tensorflow/serving:{version}{suffix}"


@pytest.mark.parametrize(("monitor", "image"), [("prometheus", "prom/prometheus"), ("grafana", "grafana/grafana")])
def test_the_image_of_a_monitor_is_at_the_pinned_version(
    services: dict[str, Service], project_root: Path, monitor: str, image: str
) -> None:
    assert services[monitor]["image"] == f"{image}:{settings(project_root)[f'{monitor.upper()}_VERSION']}"


@pytest.mark.parametrize("variable", VERSIONS)
def test_the_version_of_an_image_stands_in_one_place(project_root: Path, variable: str) -> None:
    version = settings(project_root)[variable]
    assert version not in (project_root / "docker-compose.yml").read_text()
    assert not [path for path in (project_root / "docs").glob("*.md") if version in path.read_text(encoding="utf-8")]


def test_a_missing_version_is_told_in_a_sentence(project_root: Path, tmp_path: Path) -> None:
    shutil.copy(project_root / "docker-compose.yml", tmp_path)
    run = resolve(tmp_path, "cpu")
    assert run.returncode != 0
    assert "is set in .env, which belongs beside docker-compose.yml" in run.stderr


def test_only_the_gpu_profile_reserves_a_gpu(services: dict[str, Service]) -> None:
    reserving = {
        name: [device["capabilities"] for device in service["deploy"]["resources"]["reservations"]["devices"]]
        for name, service in services.items()
        if "reservations" in service["deploy"]["resources"]
    }
    assert reserving == {"serving": [["gpu"]]}


@pytest.mark.parametrize("name", SERVERS.values())
def test_every_flag_and_value_is_one_the_server_takes(services: dict[str, Service], name: str) -> None:
    read = parse_command_line(services[name]["command"])
    assert (read.unknown, read.errors) == ((), ())


@pytest.mark.parametrize("name", SERVERS.values())
def test_no_flag_is_the_stand_in_s_own(services: dict[str, Service], name: str) -> None:
    assert not {"max_request_bytes", "max_reload_wait_seconds"} & set(flags(services[name]))


@pytest.mark.parametrize("name", [*SERVERS.values(), *MONITORS])
def test_everything_mounted_exists_and_is_read_only(services: dict[str, Service], name: str) -> None:
    # Prometheus' own volume is the one place that is written to.
    mounted = {target: found for target, found in mounts(services[name]).items() if target != "/prometheus"}
    wrong = {t: s for t, (s, read_only) in mounted.items() if not read_only or not s.exists()}
    assert wrong == {}


@pytest.mark.parametrize("name", SERVERS.values())
def test_every_path_in_a_flag_is_there_on_the_host(services: dict[str, Service], name: str) -> None:
    inside = [value for value in flags(services[name]).values() if value.startswith("/")]
    assert [path for path in inside if not on_the_host(services[name], path).is_file()] == []


@pytest.mark.parametrize("name", SERVERS.values())
def test_the_folder_of_the_config_file_is_mounted_and_not_the_file(services: dict[str, Service], name: str) -> None:
    config = flags(services[name])["model_config_file"]
    assert str(Path(config).parent) in mounts(services[name])
    assert config not in mounts(services[name])


@pytest.mark.parametrize("name", SERVERS.values())
def test_the_config_file_serves_the_shipped_version_as_stable(services: dict[str, Service], name: str) -> None:
    path = on_the_host(services[name], flags(services[name])["model_config_file"])
    entry = entry_of(parse(path.read_text(), str(path)), contract.MODEL_NAME, str(path))
    served = on_the_host(services[name], entry.base_path)
    shipped = int(newest(served).name)
    assert entry.labels == {"stable": shipped}
    assert entry.versions == (shipped,)


@pytest.mark.parametrize("name", SERVERS.values())
def test_the_server_follows_a_rollout_and_starts_again_after_one(services: dict[str, Service], name: str) -> None:
    options = parse_command_line(services[name]["command"]).options
    assert 0 < options.model_config_file_poll_wait_seconds <= 10
    assert options.allow_version_labels_for_unavailable_models
    assert options.max_num_load_retries == 0


@pytest.mark.parametrize("name", PAGES.values())
def test_the_page_asks_for_the_stable_version(services: dict[str, Service], name: str) -> None:
    assert services[name]["command"][-2:] == ["--label", "stable"]


@pytest.mark.parametrize("name", SERVERS.values())
def test_grpc_and_rest_are_published_on_this_machine_alone(services: dict[str, Service], name: str) -> None:
    assert published(services[name]) == {("127.0.0.1", 8500, 8500), ("127.0.0.1", 8501, 8501)}


@pytest.mark.parametrize("profile", ["gpu", "cpu"])
def test_the_page_waits_for_its_server_to_be_healthy(services: dict[str, Service], profile: str) -> None:
    waits = services[PAGES[profile]]["depends_on"]
    assert {name: rule["condition"] for name, rule in waits.items()} == {SERVERS[profile]: "service_healthy"}


@pytest.mark.parametrize("profile", ["gpu", "cpu"])
def test_the_page_finds_either_server_under_the_same_name(services: dict[str, Service], profile: str) -> None:
    host, port = services[PAGES[profile]]["environment"]["OSTEO_SERVER"].split(":")
    server = services[SERVERS[profile]]
    assert host in server["networks"]["default"]["aliases"]
    assert port == flags(server)["port"]


@pytest.mark.parametrize("name", SERVERS.values())
def test_prometheus_asks_where_the_server_answers(services: dict[str, Service], project_root: Path, name: str) -> None:
    asked = yaml.safe_load((project_root / "deploy" / "monitoring" / "prometheus.yml").read_text())
    (job,) = asked["scrape_configs"]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    assert host in services[name]["networks"]["default"]["aliases"]
    assert port == flags(services[name])["rest_api_port"]
    assert f'path: "{job["metrics_path"]}"' in (project_root / "serving" / "monitoring.config").read_text()


def test_no_service_gets_more_rights_than_it_needs(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name


def test_nothing_runs_as_root(services: dict[str, Service]) -> None:
    assert [name for name, service in services.items() if int(service["user"].split(":")[0]) == 0] == []


def test_every_service_has_a_health_check(services: dict[str, Service], project_root: Path) -> None:
    # The page's own stands in its image.
    assert "HEALTHCHECK" in (project_root / "Dockerfile").read_text()
    unwatched = {name for name, service in services.items() if "healthcheck" not in service}
    assert unwatched == set(PAGES.values())


def test_every_service_restarts_and_has_a_memory_limit(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert service["restart"] == "unless-stopped", name
        assert service["deploy"]["resources"]["limits"]["memory"], name


@pytest.mark.slow
def test_the_stack_s_flags_bring_a_server_up_and_its_health_check_sees_it(
    services: dict[str, Service], project_root: Path, tmp_path: Path
) -> None:
    server = services["serving-cpu"]
    grpc_port, rest_port = processes.free_port(), processes.free_port()
    given = flags(server) | {"port": str(grpc_port), "rest_api_port": str(rest_port)}
    # The config file names a path inside the container.
    config = on_the_host(server, given["model_config_file"]).read_text()
    models = on_the_host(server, "/models/fracture")
    (tmp_path / "models.config").write_text(config.replace("/models/fracture", str(models)))
    given["model_config_file"] = str(tmp_path / "models.config")
    outside = {target: str(source) for target, (source, _) in mounts(server).items()}
    arguments = [f"--{name}={outside.get(value, value)}" for name, value in given.items()]
    test, *check = (part.replace("8501", str(rest_port)) for part in server["healthcheck"]["test"])
    assert test == "CMD"
    assert subprocess.run(check, capture_output=True).returncode != 0
    command = [sys.executable, "-m", "serving.embedded", *arguments]
    running = processes.start(command, tmp_path / "server.txt", cwd=project_root)
    try:
        running.wait_until(lambda _: subprocess.run(check, capture_output=True).returncode == 0, seconds=120)
        with urllib.request.urlopen(f"http://127.0.0.1:{rest_port}/v1/models/fracture", timeout=10) as answer:
            states = [version["state"] for version in json.load(answer)["model_version_status"]]
        assert states == ["AVAILABLE"]
        with urllib.request.urlopen(f"http://127.0.0.1:{rest_port}/monitoring/prometheus/metrics", timeout=10) as page:
            assert b":tensorflow:serving:" in page.read()
    finally:
        left = running.interrupt()
    assert left == []
