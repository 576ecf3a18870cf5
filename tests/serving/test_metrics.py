"""Metrics under TensorFlow Serving's names: what is counted, and the text a Prometheus server reads."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.embedded.metrics import Counter, Histogram, Metrics, exponential_buckets
from tests.serving.conftest import StartServer
from tests.serving.server_process import Client

PREFIX = ":tensorflow:serving:"


def test_counters_are_written_without_a_suffix_and_labels_are_escaped() -> None:
    counter = Counter(f"{PREFIX}request_count", ("model_name", "status"))
    counter.add('a"b\\', "OK")
    counter.add('a"b\\', "OK", amount=2)
    assert counter.lines() == [
        "# TYPE :tensorflow:serving:request_count counter",
        ':tensorflow:serving:request_count{model_name="a\\"b\\\\",status="OK"} 3',
    ]


def test_without_labels_there_are_braces_all_the_same() -> None:
    counter, histogram = Counter("runs", ()), Histogram("rows", (), (1.0,))
    counter.add()
    histogram.observe(4)
    assert counter.lines()[1:] == ["runs{} 1"]
    assert histogram.lines()[1:] == [
        'rows_bucket{le="1"} 0',
        'rows_bucket{le="+Inf"} 1',
        "rows_sum{} 4",
        "rows_count{} 1",
    ]


def test_metrics_and_their_label_sets_are_written_in_order() -> None:
    metrics = Metrics()
    for model in ("b", "a"):
        metrics.request_count.add(model, "OK")
    text = metrics.text().decode()
    names = [line.split()[2] for line in text.splitlines() if line.startswith("#")]
    assert names == sorted(names)
    assert text.index('request_count{model_name="a"') < text.index('request_count{model_name="b"')


def test_histograms_cumulate_and_end_with_infinity() -> None:
    histogram = Histogram("latency", ("model",), exponential_buckets(10, 1.8, 3))
    for value in (5, 10, 30, 1e9):
        histogram.observe(value, "m")
    assert histogram.lines() == [
        "# TYPE latency histogram",
        'latency_bucket{model="m",le="10"} 1',
        'latency_bucket{model="m",le="18"} 2',
        'latency_bucket{model="m",le="32.4"} 3',
        'latency_bucket{model="m",le="+Inf"} 4',
        'latency_sum{model="m"} 1000000045',
        'latency_count{model="m"} 4',
    ]


def test_latency_buckets_are_33_from_ten_microseconds() -> None:
    bounds = Metrics().request_latency.bounds
    assert (len(bounds), bounds[0], round(bounds[1], 3)) == (33, 10, 18)


def test_invented_model_names_do_not_grow_a_metric_without_end() -> None:
    counter = Counter("requests", ("model",))
    for number in range(3000):
        counter.add(f"model{number}")
    assert len(counter.values) == 2000


def test_requests_of_both_doors_are_counted(start_server: StartServer, saved_models: Path, tmp_path: Path) -> None:
    (tmp_path / "monitoring").write_text('prometheus_config { enable: true path: "/metrics" }')
    server = start_server(
        f"--model_base_path={saved_models / 'half_plus_two'}",
        f"--monitoring_config_file={tmp_path / 'monitoring'}",
        rest=True,
    )
    with server.address.channel() as channel:
        client = Client(channel)
        for _ in range(3):
            client.predict("default", x=[1.0])
        with pytest.raises(grpc.RpcError):
            client.predict("default", y=[1.0], z=[1.0])
    server.address.get("/v1/models/default")
    status, text = server.address.get("/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    requests = {
        (sample.labels["model_name"], sample.labels["status"]): sample.value
        for sample in families[f"{PREFIX}request_count"].samples
    }
    assert requests[("default", "OK")] == 4
    assert requests[("default", "INVALID_ARGUMENT")] == 1
    counts = {
        tuple(sample.labels.values()): sample.value
        for sample in families[f"{PREFIX}request_latency"].samples
        if sample.name.endswith("_count")
    }
    assert counts[("default", "Predict", "GRPC")] == 3
    assert f'{PREFIX}runtime_latency_count{{model_name="default",API="Predict",runtime="TF1"}} 3' in text
    assert server.address.get("/metrics?x=1")[0] == 400
