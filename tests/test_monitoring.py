"""What operators look at: each query of the dashboard and the alerts, held to the metrics that a server really has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from serving.client import FractureClient
from tests import processes
from tests.model_server import ModelServer, serve

# Where Grafana puts its own values in, with what it would put there on this server.
GRAFANA = {"$__rate_interval": "20s", "$model": ".*"}
OWN_METRICS_OF_PROMETHEUS = {"up"}
PROMQL_WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool", "and", "or", "unless"}


def dashboard(project_root: Path) -> dict[str, Any]:
    path = project_root / "deploy" / "monitoring" / "grafana" / "dashboards" / "serving.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def dashboard_queries(project_root: Path) -> dict[str, str]:
    """Return every query of the dashboard by a name, in the words that Prometheus gets."""
    board = dashboard(project_root)
    queries = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in board["panels"]
        for target in panel["targets"]
    }
    queries |= {annotation["name"]: annotation["expr"] for annotation in board["annotations"]["list"]}
    for word, value in GRAFANA.items():
        queries = {name: query.replace(word, value) for name, query in queries.items()}
    assert not [query for query in queries.values() if "$" in re.sub(r'"[^"]*"', "", query)]
    return queries


def alerts(project_root: Path) -> list[dict[str, Any]]:
    loaded = yaml.safe_load((project_root / "deploy" / "monitoring" / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def metrics_in(query: str) -> set[str]:
    """Return the metrics that a PromQL query names: what is left of it without texts, labels, ranges and functions."""
    for noise in (r'"(\\.|[^"\\])*"', r"\{[^}]*\}", r"\[[^]]*\]", r"\b(by|without|on|ignoring)\s*\([^)]*\)"):
        query = re.sub(noise, " ", query)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()", query)
    return {word for word in words if word not in PROMQL_WORDS and not re.fullmatch(r"e\d*", word)}


@pytest.fixture(scope="module")
def server(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """The shipped model, with the batching and monitoring of the stack, after good and bad requests."""
    base = project_root / "models" / "fracture"
    flags = (
        "--model_name=fracture",
        f"--model_base_path={base}",
        "--enable_batching=true",
        f"--batching_parameters_file={project_root / 'serving' / 'batching-cpu.config'}",
        f"--monitoring_config_file={project_root / 'serving' / 'monitoring.config'}",
    )
    with serve(base, tmp_path_factory.mktemp("monitored") / "server.log", *flags) as running:
        ask(running)
        yield running


def ask(server: ModelServer) -> None:
    """Make a good request over each door, and one that fails."""
    with FractureClient(server.target) as client:
        size = client.info().input_size
        client.predict(np.zeros((3, size, size, 1), np.uint8))
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/fracture:predict"
    for instance, status in ((np.zeros((size, size, 1), np.uint8).tolist(), 200), ("no picture", 400)):
        answer = httpx.post(url, json={"instances": [instance]}, timeout=60, trust_env=False)
        assert answer.status_code == status


@pytest.fixture(scope="module")
def sampled(server: ModelServer) -> dict[str, set[str]]:
    """The samples on the server's metrics page: for each name, the labels of its samples."""
    url = f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics"
    with urllib.request.urlopen(url, timeout=10) as page:
        text = page.read().decode()
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        sample = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$", line)
        if sample:
            found.setdefault(sample[1], set()).update(re.findall(r'(\w+)="', sample[2] or ""))
    return found


def test_metrics_are_found_in_a_query() -> None:
    query = 'sum by (le, a) (rate(:t:x_bucket{l=~"$m",s!="OK"}[5m])) > 2e6 or vector(0) / on (b) count(up) * 0.02'
    assert metrics_in(query) == {":t:x_bucket", "up"}


def test_every_query_of_the_dashboard_names_metrics_that_the_server_has(
    project_root: Path, sampled: dict[str, set[str]]
) -> None:
    queries = dashboard_queries(project_root)
    assert len(queries) >= 16
    assert {name: metrics_in(query) for name, query in queries.items() if not metrics_in(query)} == {}
    missing = {name: metrics_in(query) - set(sampled) for name, query in queries.items()}
    assert {name: names for name, names in missing.items() if names} == {}


def test_every_alert_names_metrics_that_the_server_or_prometheus_has(
    project_root: Path, sampled: dict[str, set[str]]
) -> None:
    known = set(sampled) | OWN_METRICS_OF_PROMETHEUS
    missing = {rule["alert"]: metrics_in(rule["expr"]) - known for rule in alerts(project_root)}
    assert {name: names for name, names in missing.items() if names} == {}


def test_every_label_a_query_asks_for_is_one_of_its_metric(project_root: Path, sampled: dict[str, set[str]]) -> None:
    expressions = [*dashboard_queries(project_root).values(), *(rule["expr"] for rule in alerts(project_root))]
    for metric, braces in re.findall(r"(:[\w:]+)\{([^}]*)\}", " ".join(expressions)):
        assert set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", braces)) <= sampled[metric], metric


@pytest.mark.parametrize("subject", ["latency", "throughput", "batch", "error", "version"])
def test_the_dashboard_covers_what_it_is_for(project_root: Path, subject: str) -> None:
    titles = " ".join(panel["title"].lower() for panel in dashboard(project_root)["panels"])
    assert subject in titles


def test_every_panel_explains_itself_and_lies_in_its_own_place(project_root: Path) -> None:
    panels = dashboard(project_root)["panels"]
    assert [panel["title"] for panel in panels if len(panel["description"]) < 30] == []
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_grafana_finds_the_dashboard_and_its_source_where_compose_mounts_them(project_root: Path) -> None:
    folder = project_root / "deploy" / "monitoring" / "grafana"
    (source,) = yaml.safe_load((folder / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "provisioning/dashboards/serving.yml").read_text())["providers"]
    compose = yaml.safe_load((project_root / "docker-compose.yml").read_text())
    grafana, prometheus = compose["services"]["grafana"], compose["services"]["prometheus"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in grafana["volumes"]}
    assert mounted[provider["options"]["path"]] == "./deploy/monitoring/grafana/dashboards"
    assert mounted["/etc/grafana/provisioning"] == "./deploy/monitoring/grafana/provisioning"
    assert source["url"] == f"http://prometheus:{prometheus['ports'][0].rpartition(':')[2]}"
    panels = dashboard(project_root)["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}


@pytest.mark.parametrize("file", ["prometheus.yml", "alerts.yml"])
def test_prometheus_takes_its_files(project_root: Path, file: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("There is no promtool here to check Prometheus' files with (apt install prometheus).")
    what = "config" if file == "prometheus.yml" else "rules"
    path = project_root / "deploy" / "monitoring" / file
    run = subprocess.run(["promtool", "check", what, str(path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_a_real_prometheus_answers_every_query_with_numbers(
    project_root: Path, server: ModelServer, tmp_path: Path
) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("There is no Prometheus here to ask the dashboard's queries of (apt install prometheus).")
    config = yaml.safe_load((project_root / "deploy" / "monitoring" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{server.rest_port}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(project_root / "deploy" / "monitoring" / "alerts.yml", tmp_path)
    address = f"127.0.0.1:{processes.free_port()}"
    command = [
        "prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]  # fmt: skip
    running = processes.start(command, tmp_path / "prometheus.log", cwd=tmp_path)
    try:
        running.wait_until(lambda output: "Server is ready" in output, seconds=60)
        # The annotation marks a load that happens while Prometheus looks on, and none happens here.
        left = {k: v for k, v in dashboard_queries(project_root).items() if k != "Version loaded"}
        give_up = time.monotonic() + 60
        while left and time.monotonic() < give_up:
            ask(server)
            left = {name: query for name, query in left.items() if not numbers(address, query)}
        assert left == {}
        with urllib.request.urlopen(f"http://{address}/api/v1/rules", timeout=10) as page:
            rules = [rule for group in json.load(page)["data"]["groups"] for rule in group["rules"]]
        assert {rule["name"]: rule["health"] for rule in rules} == {r["alert"]: "ok" for r in alerts(project_root)}
        assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []
    finally:
        left_over = running.interrupt()
    assert left_over == []


def numbers(address: str, query: str) -> list[float]:
    """Return the values of an instant query that are numbers."""
    url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=10) as page:
        answer = json.load(page)
    assert answer["status"] == "success", query
    values = [float(series["value"][1]) for series in answer["data"]["result"]]
    return [value for value in values if value == value]
