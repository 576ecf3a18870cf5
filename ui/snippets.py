"""Ready code for the very server and page that are looked at: addresses, model name and version are filled in.

Each snippet reads ``radiograph.jpg`` and prints the answer; a test runs each of them as it is printed.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from string import Template
from typing import Final

from export import contract
from ui.settings import PageSettings

REST_PORT: Final = 8501
"""Where the REST API is by TensorFlow Serving's own convention, beside gRPC on 8500."""


@dataclass(frozen=True)
class Where:
    """What the snippets are filled with: gRPC address, REST address, page address, model, version; who must log in."""

    grpc: str
    rest: str
    page: str
    model: str
    version: int
    login: bool = False


@dataclass(frozen=True)
class Snippet:
    """One example: its ``title``, what to know before it is run, its ``language`` and the ``code``."""

    name: str
    title: str
    note: str
    language: str
    code: str


_CURL: Final = Template("""\
printf '{"signature_name": "$signature", "instances": [{"b64": "%s"}]}' "$$(base64 < radiograph.jpg | tr -d '\\n')" |
    curl --silent --show-error --fail-with-body --data @- $url
""")

_GRPC: Final = Template("""\
import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

request = predict_pb2.PredictRequest()
request.model_spec.name, request.model_spec.signature_name = $model, "$signature"
request.model_spec.version.value = $version
with open("radiograph.jpg", "rb") as file:
    request.inputs["$key"].CopyFrom(tf.make_tensor_proto([file.read()]))
with grpc.insecure_channel($grpc) as channel:
    outputs = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30).outputs
print(outputs["finding"].string_val[0].decode(), round(outputs["probability"].float_val[0], 3))
""")

_REST: Final = Template("""\
import base64
import json
from urllib.request import urlopen

with open("radiograph.jpg", "rb") as file:
    picture = base64.b64encode(file.read()).decode()
body = {"signature_name": "$signature", "instances": [{"b64": picture}]}
url = $url
with urlopen(url, json.dumps(body).encode(), timeout=30) as response:
    (prediction,) = json.load(response)["predictions"]
print(prediction["finding"], round(prediction["probability"], 3))
""")

_READ: Final = Template("""\
$imports
client = Client($page$auth)
(result,) = client.predict([handle_file("radiograph.jpg")], api_name="/read")
print(result["finding"], round(result["probability"], 3), "version", result["version"])
""")

_WORKLIST: Final = Template("""\
$imports
client = Client($page$auth)
job = client.submit([handle_file("radiograph.jpg")], api_name="/worklist")
for progress in job:
    print(progress["done"], "of", progress["total"])
with open("worklist.csv", "w", newline="") as file:
    file.write(progress["csv"])
""")

_IMPORTS: Final = "from gradio_client import Client, handle_file\n"
_IMPORTS_LOGIN: Final = "import os\n\nfrom gradio_client import Client, handle_file\n"
_AUTH: Final = ', auth=(os.environ["OSTEO_USER"], os.environ["OSTEO_PASSWORD"])'

FUNCTIONS: Final = {
    "/read": "Files in, one result a file out, as `osteo predict --json` prints them.",
    "/report": "The views of a study in; the PDF report, the JSON or the DICOM answer out, one file a study.",
    "/worklist": "Many files and archives in; progress while they are read, then results and CSV.",
    "/models": "The versions that are served, with states, labels and model cards.",
    "/feedback": "Agreement or disagreement with a result, kept by the operator of the page.",
}
"""What the page answers to programs, by name."""


def rest_address(settings: PageSettings) -> str:
    """Return the address of the server's REST API: the one that was named, else the convention's on the same host."""
    if settings.rest:
        return settings.rest if "://" in settings.rest else f"http://{settings.rest}"
    host = settings.server.rpartition(":")[0] or "127.0.0.1"
    return f"http://{host}:{REST_PORT}"


def snippets(where: Where) -> tuple[Snippet, ...]:
    """Return the examples, ready to be run where ``where`` can be reached."""
    signature, key = contract.SIGNATURE_BYTES, contract.INPUT_BYTES
    url = f"{where.rest}/v1/models/{where.model}/versions/{where.version}:predict"
    page = {
        "page": json.dumps(where.page),
        "auth": _AUTH if where.login else "",
        "imports": _IMPORTS_LOGIN if where.login else _IMPORTS,
    }
    login = (
        " The page asks for a password: give user and password in OSTEO_USER and OSTEO_PASSWORD." if where.login else ""
    )
    grpc = _GRPC.substitute(
        model=json.dumps(where.model), signature=signature, key=key, version=where.version, grpc=json.dumps(where.grpc)
    )
    return (
        Snippet(
            "curl", "curl", "The model server takes whole JPEG or PNG files, in base64.", "sh",
            _CURL.substitute(signature=signature, url=shlex.quote(url)),
        ),
        Snippet("grpc", "Python, gRPC", "Needs the package tensorflow-serving-api.", "python", grpc),
        Snippet(
            "rest", "Python, REST", "Needs nothing but Python.", "python",
            _REST.substitute(signature=signature, url=json.dumps(url)),
        ),
        Snippet(
            "read", "Python, this page", f"Needs the package gradio_client. Reads DICOM too.{login}", "python",
            _READ.substitute(page),
        ),
        Snippet(
            "worklist", "Python, a worklist by this page", f"For hundreds of files and for ZIP archives.{login}",
            "python", _WORKLIST.substitute(page),
        ),
    )  # fmt: skip
