"""How the server is reached: TLS, a UNIX socket, health checks, large bodies, content encoding, and how it stops."""

from __future__ import annotations

import datetime
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests import processes
from tests.serving.conftest import StartServer
from tests.serving.server_process import Client, failure, predict_request, start, values


def self_signed() -> tuple[str, str]:
    """Return key and certificate for `localhost`, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return encoded.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


CHANNEL_ARGUMENTS = "grpc.max_receive_message_length=100000,grpc.max_connection_age_ms=60000,grpc.lb_policy_name=grpclb"


@dataclass(frozen=True)
class Secured:
    """A server with TLS, a socket and every flag that changes its gRPC side, and what a client needs to reach it."""

    target: str
    socket: Path
    authority: str
    key: str
    certificate: str

    def credentials(self, with_certificate: bool = True) -> grpc.ChannelCredentials:
        key, certificate = (self.key.encode(), self.certificate.encode()) if with_certificate else (None, None)
        return grpc.ssl_channel_credentials(self.authority.encode(), key, certificate)


@pytest.fixture(scope="module")
def secured(saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    server_key, server_certificate = self_signed()
    key, certificate = self_signed()
    files = {"server_key": server_key, "server_cert": server_certificate, "custom_ca": certificate}
    lines = [f"{name}: {json.dumps(text)}" for name, text in files.items()]
    (folder / "ssl.config").write_text("\n".join([*lines, "client_verify: true"]))
    models = [
        f'config {{ name: "{name}" base_path: "{saved_models / name}" model_platform: "tensorflow" }}'
        for name in ("half_plus_two", "dense")
    ]
    (folder / "models.config").write_text("model_config_list { " + "\n".join(models) + " }")
    server = start(
        folder / "server.log",
        f"--model_config_file={folder / 'models.config'}",
        f"--ssl_config_file={folder / 'ssl.config'}",
        f"--grpc_socket_path={folder / 'grpc.sock'}",
        "--enable_grpc_healthcheck_service",
        f"--grpc_channel_arguments={CHANNEL_ARGUMENTS}",
        "--enable_serialization_as_tensor_content",
        "--mixed_precision=bfloat16",
        "--enable_signature_method_name_check",
    )
    try:
        server.running.wait_until(lambda output: " serving " in output, 240)
        port = server.address.target.rpartition(":")[2]
        yield Secured(f"localhost:{port}", folder / "grpc.sock", server_certificate, key, certificate)
    finally:
        server.running.interrupt()


@pytest.fixture
def trusted(secured: Secured) -> Iterator[Client]:
    """A client whose certificate the server knows."""
    with grpc.secure_channel(secured.target, secured.credentials()) as channel:
        yield Client(channel)


def test_tls_answers_a_client_whose_certificate_it_knows(trusted: Client) -> None:
    assert trusted.predict("half_plus_two", x=[2.0]).outputs["y"].dtype == 1


def test_tls_turns_away_clients_without_a_certificate_and_without_tls(secured: Secured) -> None:
    for channel in (
        grpc.secure_channel(secured.target, secured.credentials(with_certificate=False)),
        grpc.insecure_channel(secured.target),
    ):
        with channel, pytest.raises(grpc.RpcError) as raised:
            Client(channel).predict("half_plus_two", timeout=5, x=[2.0])
        assert raised.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_the_unix_socket_answers(secured: Secured) -> None:
    options = [("grpc.ssl_target_name_override", "localhost")]
    with grpc.secure_channel(f"unix:{secured.socket}", secured.credentials(), options=options) as channel:
        assert values(Client(channel).predict("half_plus_two", x=[4.0])).tolist() == [4.0]


@pytest.mark.parametrize("service", ["", "ModelService", "PredictionService"])
def test_the_health_service_says_serving(trusted: Client, service: str) -> None:
    checked = health_pb2_grpc.HealthStub(trusted.channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert checked.status == health_pb2.HealthCheckResponse.SERVING


def test_the_health_service_knows_no_other_service(trusted: Client) -> None:
    call = health_pb2_grpc.HealthStub(trusted.channel).Check
    assert failure(lambda: call(health_pb2.HealthCheckRequest(service="other")))[0] is grpc.StatusCode.NOT_FOUND


def test_channel_arguments_reach_grpc(trusted: Client) -> None:
    code, _ = failure(lambda: trusted.predict("half_plus_two", x=np.zeros(50_000, np.float32)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_answers_can_be_tensor_content(trusted: Client) -> None:
    y = trusted.predict("half_plus_two", x=[2.0]).outputs["y"]
    assert (y.tensor_content, len(y.float_val)) == (np.float32(3).tobytes(), 0)


def test_method_names_are_checked(trusted: Client) -> None:
    request = predict_request("half_plus_two", {"x": [1.0]}, "odd_method")
    assert failure(lambda: trusted.prediction.Predict(request)) == (
        grpc.StatusCode.INTERNAL,
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: odd/method",
    )


def test_mixed_precision_rounds_to_bfloat16(trusted: Client) -> None:
    if "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("This processor has no AVX-512, without which TensorFlow leaves float32 graphs as they are.")
    assert values(trusted.predict("dense", x=np.ones((64, 64), np.float32)))[0, 0] == 1.0


def test_without_mixed_precision_nothing_is_rounded(conformance: Client) -> None:
    assert values(conformance.predict("dense", x=np.ones((64, 64), np.float32)))[0, 0] == 1 + 2**-9


def test_large_bodies_pass_up_to_the_flag_and_the_server_ends_on_sigterm(
    start_server: StartServer, saved_models: Path, tmp_path: Path
) -> None:
    server = start_server(
        f"--model_base_path={saved_models / 'other_tag'}",
        "--saved_model_tags=special,tuned",
        "--max_request_bytes=8000000",
        "--tensorflow_session_parallelism=2",
        "--flush_filesystem_caches=false",
        f"--grpc_socket_path={tmp_path / 'grpc.sock'}",
    )
    assert "flags accepted but without meaning here names=flush_filesystem_caches" in server.running.output()
    with server.address.channel() as channel:
        client = Client(channel)
        large = np.zeros(1_500_000, np.float32)
        assert values(client.predict("default", x=large)).shape == large.shape
        with pytest.raises(grpc.RpcError) as raised:
            client.predict("default", x=np.zeros(2_500_000, np.float32))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    (tmp_path / "grpc.sock").rename(tmp_path / "mine.sock")
    (tmp_path / "grpc.sock").touch()
    server.running.process.send_signal(signal.SIGTERM)
    assert server.running.process.wait(timeout=20) == 0
    assert processes.is_free(int(server.address.target.rpartition(":")[2]))
    assert (tmp_path / "grpc.sock").exists(), "the socket file is another server's by now"
