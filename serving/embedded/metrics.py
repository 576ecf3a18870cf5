"""Counters and histograms under TensorFlow Serving's names, and their Prometheus text.

The text is written here because the Prometheus client libraries append `_total` to counters, which TensorFlow
Serving's exporter (util/prometheus_exporter.cc) does not: dashboards made for it would find nothing.
"""

import bisect
import threading
from dataclasses import dataclass, field

Labels = tuple[str, ...]

# A caller can invent model names without end; beyond this many label sets a metric takes in no new ones.
MAX_LABEL_SETS = 2000


def exponential_buckets(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """Return the upper bounds of TensorFlow's Buckets::Exponential, without the last, which is infinity."""
    return tuple(scale * growth**power for power in range(count))


@dataclass
class Counter:
    """A number a label set that only grows."""

    name: str
    labels: tuple[str, ...]
    values: dict[Labels, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *labels: str, amount: int = 1) -> None:
        """Add `amount` to the count of one label set."""
        with self.lock:
            if labels in self.values or len(self.values) < MAX_LABEL_SETS:
                self.values[labels] = self.values.get(labels, 0) + amount

    def total(self) -> int:
        """Return the sum over all label sets."""
        with self.lock:
            return sum(self.values.values())

    def lines(self) -> list[str]:
        """Return the metric in Prometheus' text format."""
        with self.lock:
            values = dict(self.values)
        return [f"# TYPE {self.name} counter"] + [
            f"{self.name}{_braces(self.labels, labels)} {value}" for labels, value in sorted(values.items())
        ]


@dataclass
class Histogram:
    """A distribution a label set; `bounds` are upper bounds, in the unit that `observe` is given."""

    name: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]
    values: dict[Labels, tuple[list[int], list[float]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def observe(self, value: float, *labels: str) -> None:
        """Count `value` in its bucket: the first whose bound is greater, as TensorFlow does."""
        bucket = bisect.bisect_right(self.bounds, value)
        with self.lock:
            cell = self.values.get(labels)
            if cell is None:
                if len(self.values) >= MAX_LABEL_SETS:
                    return
                cell = self.values[labels] = ([0] * (len(self.bounds) + 1), [0.0])
            cell[0][bucket] += 1
            cell[1][0] += value

    def lines(self) -> list[str]:
        """Return the metric in Prometheus' text format, buckets cumulated."""
        with self.lock:
            cells = {labels: (list(counts), total[0]) for labels, (counts, total) in self.values.items()}
        lines = [f"# TYPE {self.name} histogram"]
        for labels, (counts, total) in sorted(cells.items()):
            seen = 0
            for bound, count in zip((*map(_number, self.bounds), "+Inf"), counts, strict=True):
                seen += count
                lines.append(f"{self.name}_bucket{_braces((*self.labels, 'le'), (*labels, bound))} {seen}")
            lines.append(f"{self.name}_sum{_braces(self.labels, labels)} {total:.15g}")
            lines.append(f"{self.name}_count{_braces(self.labels, labels)} {seen}")
        return lines


def _number(value: float) -> str:
    return f"{value:g}"


def _braces(names: tuple[str, ...], values: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


class Metrics:
    """The metrics of one server; every attribute is a Counter or a Histogram, times are in microseconds."""

    def __init__(self) -> None:
        prefix = ":tensorflow:serving:"
        latency = exponential_buckets(10, 1.8, 33)
        self.request_count = Counter(f"{prefix}request_count", ("model_name", "status"))
        self.request_latency = Histogram(f"{prefix}request_latency", ("model_name", "API", "entrypoint"), latency)
        self.runtime_latency = Histogram(f"{prefix}runtime_latency", ("model_name", "API", "runtime"), latency)
        examples = exponential_buckets(1, 2, 15)
        self.request_example_counts = Histogram(f"{prefix}request_example_counts", ("model",), examples)
        self.request_example_count_total = Counter(f"{prefix}request_example_count_total", ("model",))
        self.request_log_count = Counter(f"{prefix}request_log_count", ("model_name", "status"))
        self.model_warmup_latency = Histogram(f"{prefix}model_warmup_latency", ("model_path", "status"), latency)
        self.model_warmup_records_read = Counter(f"{prefix}model_warmup_records_read", ("model_path",))
        loader = ":tensorflow:cc:saved_model:"
        self.load_attempt_count = Counter(f"{loader}load_attempt_count", ("model_path", "status"))
        self.load_latency = Counter(f"{loader}load_latency", ("model_path",))
        batching, sizes = f"{prefix}batching_session:", exponential_buckets(1, 2, 14)
        queued = exponential_buckets(100, 1.2, 52)
        self.queuing_latency = Histogram(f"{batching}queuing_latency", ("thread_pool_name",), queued)
        self.wrapped_run_count = Counter(f"{batching}wrapped_run_count", ())
        self.padding_size = Histogram(f"{batching}padding_size", ("execution_batch_size",), sizes)
        self.input_batch_size = Histogram(f"{batching}input_batch_size", (), sizes)
        self.processed_batch_size = Histogram(f"{batching}processed_batch_size", (), sizes)

    def total(self, name: str) -> int | None:
        """Return a counter's sum over all its labels, by the name TensorFlow gives it (`/a/b`); None if unknown."""
        for metric in vars(self).values():
            if isinstance(metric, Counter) and metric.name == name.replace("/", ":"):
                return metric.total()
        return None

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format, in order of their names."""
        lines: list[str] = []
        for metric in sorted(vars(self).values(), key=lambda metric: metric.name):
            lines += metric.lines()
        return ("\n".join(lines) + "\n").encode()
