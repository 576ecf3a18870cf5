"""The manifests for Kubernetes, Azure ML and LinuxONE: held to docker-compose.yml, to .env and to the project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from export import contract
from export.versions import newest
from osteo import app
from serving.embedded.options import parse_command_line
from tests.test_compose import settings
from tests.test_dockerfile import final_stage

Manifest = dict[str, Any]
PROFILES = ("cpu", "gpu")


def load(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def kubernetes(project_root: Path) -> dict[tuple[str, str], Manifest]:
    """Return the manifests by kind and name, as they stand in the files."""
    files = [path for path in (project_root / "deploy/kubernetes/cpu").glob("*.yaml") if path.stem != "kustomization"]
    return {(found["kind"], found["metadata"]["name"]): found for path in files for found in load(path)}


def container(manifest: Manifest) -> Manifest:
    (only,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(only)


def compose_service(project_root: Path, name: str) -> Manifest:
    return dict(yaml.safe_load((project_root / "docker-compose.yml").read_text())["services"][name])


@pytest.fixture(params=PROFILES)
def rendered(project_root: Path, request: pytest.FixtureRequest) -> tuple[str, list[Manifest]]:
    """What kubectl makes of a profile."""
    if shutil.which("kubectl") is None:
        pytest.skip("There is no kubectl here to render the manifests with.")
    command = ["kubectl", "kustomize", f"deploy/kubernetes/{request.param}"]
    run = subprocess.run(command, cwd=project_root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return request.param, list(yaml.safe_load_all(run.stdout))


def test_every_manifest_is_yaml_with_something_in_it(project_root: Path) -> None:
    files = [*(project_root / "deploy").rglob("*.y*ml")]
    assert len(files) >= 10
    assert [path for path in files if not load(path)] == []


@pytest.mark.parametrize("folder", ["kubernetes", "azureml", "linuxone"])
def test_every_place_to_deploy_to_says_what_has_not_been_tried(project_root: Path, folder: str) -> None:
    assert "yet" in (project_root / "deploy" / folder / "README.md").read_text(encoding="utf-8")


def test_kubernetes_gives_the_server_the_flags_of_compose(project_root: Path) -> None:
    given = container(kubernetes(project_root)["Deployment", "osteo-serving"])["args"]
    assert given == compose_service(project_root, "serving-cpu")["command"]
    read = parse_command_line(given)
    assert (read.unknown, read.errors) == ((), ())


def test_kubernetes_probes_and_services_ask_at_the_ports_of_the_flags(project_root: Path) -> None:
    manifests = kubernetes(project_root)
    server = container(manifests["Deployment", "osteo-serving"])
    options = parse_command_line(server["args"]).options
    assert options.enable_grpc_healthcheck_service
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["grpc"]["port"] == options.port
    ports = {port["name"]: port["port"] for port in manifests["Service", "osteo-serving"]["spec"]["ports"]}
    assert ports == {"grpc": options.port, "rest": options.rest_api_port}
    assert {port["name"]: port["containerPort"] for port in server["ports"]} == ports
    page = container(manifests["Deployment", "osteo-page"])
    assert {"name": "OSTEO_SERVER", "value": f"osteo-serving:{options.port}"} in page["env"]


def test_kubernetes_tells_prometheus_where_the_metrics_are(project_root: Path) -> None:
    server = kubernetes(project_root)["Deployment", "osteo-serving"]
    told = server["spec"]["template"]["metadata"]["annotations"]
    (job,) = load(project_root / "deploy/monitoring/prometheus.yml")[0]["scrape_configs"]
    assert told["prometheus.io/path"] == job["metrics_path"]
    assert int(told["prometheus.io/port"]) == parse_command_line(container(server)["args"]).options.rest_api_port


def test_every_path_in_a_flag_is_mounted_read_only_in_kubernetes(project_root: Path) -> None:
    server = container(kubernetes(project_root)["Deployment", "osteo-serving"])
    mounted = {mount["mountPath"] for mount in server["volumeMounts"] if mount.get("readOnly")}
    paths = [arg.split("=", 1)[1] for arg in server["args"] if "=/" in arg]
    assert {str(Path(path).parent) for path in paths} <= mounted
    assert "/models/fracture" in mounted


@pytest.mark.parametrize("name", ["batching.config", "monitoring.config"])
def test_kubernetes_has_the_config_files_of_compose(project_root: Path, name: str) -> None:
    given = kubernetes(project_root)["ConfigMap", "osteo-serving"]["data"][name]
    (file,) = [
        volume.split(":")[0]
        for volume in compose_service(project_root, "serving-cpu")["volumes"]
        if volume.split(":")[1] == f"/config/{name}"
    ]
    assert given == (project_root / file).read_text()


def test_a_gpu_on_kubernetes_gets_the_batching_of_compose(project_root: Path) -> None:
    (overlay,) = load(project_root / "deploy/kubernetes/gpu/kustomization.yaml")
    (patch,) = [patch["patch"] for patch in overlay["patches"] if patch["target"]["kind"] == "ConfigMap"]
    (replaced,) = yaml.safe_load(patch)
    assert replaced["path"] == "/data/batching.config"
    assert replaced["value"] == (project_root / "serving/batching.config").read_text()
    mounted = compose_service(project_root, "serving")["volumes"]
    assert "./serving/batching.config:/config/batching.config:ro" in mounted


@pytest.mark.parametrize("name", ["osteo-serving", "osteo-page"])
def test_nothing_on_kubernetes_has_more_rights_than_it_needs(project_root: Path, name: str) -> None:
    manifest = kubernetes(project_root)["Deployment", name]
    pod, only = manifest["spec"]["template"]["spec"], container(manifest)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert not pod["automountServiceAccountToken"]
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["resources"]["limits"]["memory"]


def test_the_page_starts_on_kubernetes_as_in_compose(project_root: Path) -> None:
    page = container(kubernetes(project_root)["Deployment", "osteo-page"])
    assert page["args"] == compose_service(project_root, "page-cpu")["command"]


def test_the_rendered_server_is_the_pinned_image_with_a_gpu_where_asked(
    project_root: Path, rendered: tuple[str, list[Manifest]]
) -> None:
    profile, manifests = rendered
    (server,) = (
        found for found in manifests if found["metadata"]["name"] == "osteo-serving" and found["kind"] == "Deployment"
    )
    tag = settings(project_root)["TF_SERVING_VERSION"] + ("-gpu" if profile == "gpu" else "")
    assert container(server)["image"] == f"tensorflow/serving:{tag}"
    limits = container(server)["resources"]["limits"]
    assert ("nvidia.com/gpu" in limits) == (profile == "gpu")
    assert (
        limits["memory"].lower().rstrip("i")
        == compose_service(project_root, "serving" if profile == "gpu" else "serving-cpu")["deploy"]["resources"][
            "limits"
        ]["memory"]
    )


def test_the_azure_deployment_is_the_pinned_image_at_the_model_s_routes(project_root: Path) -> None:
    (endpoint,) = load(project_root / "deploy/azureml/endpoint.yml")
    (deployment,) = load(project_root / "deploy/azureml/deployment.yml")
    assert deployment["endpoint_name"] == endpoint["name"]
    assert deployment["environment"]["image"].endswith(
        f"tensorflow/serving:{settings(project_root)['TF_SERVING_VERSION']}"
    )
    routes = deployment["environment"]["inference_config"]
    model = f"/v1/models/{contract.MODEL_NAME}"
    assert {name: route["path"] for name, route in routes.items()} == {
        "liveness_route": model,
        "readiness_route": model,
        "scoring_route": f"{model}:predict",
    }
    # The port of the image's own entry point (tensorflow_serving/tools/docker/Dockerfile).
    assert {route["port"] for route in routes.values()} == {8501}
    published = (project_root / "deploy/azureml" / deployment["model"]["path"]).resolve()
    assert (newest(published) / "saved_model.pb").is_file()
    given = deployment["environment_variables"]
    where = f"{deployment['model']['name']}/{deployment['model']['version']}"
    assert given["MODEL_BASE_PATH"] == f"/var/azureml-app/azureml-models/{where}"
    assert given["MODEL_NAME"] == published.name


def test_the_azure_training_job_uses_options_that_the_command_has(project_root: Path) -> None:
    (job,) = load(project_root / "deploy/azureml/train.yml")
    verb, *words = job["command"].partition("osteo ")[2].split()
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]  # typer gives a group
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    named = re.findall(r"\$\{\{(inputs|outputs)\.(\w+)\}\}", job["command"])
    assert {name for kind, name in named if kind == "inputs"} == set(job["inputs"])
    assert {name for kind, name in named if kind == "outputs"} == set(job["outputs"])
    assert (project_root / "training/recipes" / f"{job['inputs']['recipe']}.toml").is_file()
    assert (project_root / "deploy/azureml" / job["code"]).resolve() == project_root


def test_the_page_s_image_for_linuxone_holds_the_same_files_as_the_other(project_root: Path, tmp_path: Path) -> None:
    other = tmp_path / "Dockerfile"
    shutil.copy(project_root / "deploy/linuxone/Dockerfile", other)
    copies = [[line for line in final_stage(root) if line.startswith("COPY ")] for root in (project_root, tmp_path)]
    assert copies[0] == copies[1]
    for instruction in ("USER", "EXPOSE", "ENTRYPOINT", "ENV"):
        ours, theirs = (
            [line for line in final_stage(root) if line.startswith(instruction)] for root in (project_root, tmp_path)
        )
        assert ours == theirs


@pytest.mark.slow
def test_the_page_needs_no_more_of_tensorflow_than_its_message_classes(project_root: Path, tmp_path: Path) -> None:
    (packages,) = {path for path in sys.path if path.endswith("site-packages")}
    for source in (Path(packages) / "tensorflow").rglob("*_pb2.py"):
        part = source.relative_to(packages)
        if part.parts[1] != "include":
            (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / part)
    for source in Path(packages).iterdir():
        if source.name != "tensorflow" and source.suffix != ".pth":
            (tmp_path / source.name).symlink_to(source)
    paths = [str(project_root), str(tmp_path)]
    program = f"import sys; sys.path[:0] = {paths!r}; import ui.app; import tensorflow; print(tensorflow.__path__)"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert str(tmp_path) in run.stdout
