"""The ways to ask a model server for one radiograph, each over a connection of its own."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export import contract
from radiograph import prepare
from radiograph.phantom import phantom
from serving.bench.load import Ask, Connect
from serving.client import FractureClient, Retry


@dataclass(frozen=True, eq=False)
class Picture:
    """What every client sends: one radiograph as the model's input uint8 [1,S,S,1], and as a whole JPEG file."""

    image: NDArray[np.uint8]
    file: bytes


def drawn(size: int, sides: tuple[int, int] = (900, 1200)) -> Picture:
    """Return a phantom of ``sides`` (width, height) px, prepared for a model that takes ``size`` px."""
    radiograph = phantom(seed=1, fractured=True, size=sides).radiograph
    file = io.BytesIO()
    Image.fromarray(radiograph.pixels).save(file, "JPEG", quality=90)
    return Picture(prepare(radiograph, size).image[None], file.getvalue())


@dataclass(frozen=True)
class Place:
    """Where a server listens, on this machine or another; ``rest`` is None where it has no REST port."""

    grpc: str
    rest: str | None


def grpc_pixels(place: Place, picture: Picture) -> AbstractContextManager[Ask]:
    """The page's way: this project's client, prepared pixels as uint8."""
    return _grpc(place, lambda client: client.predict(picture.image))


def grpc_file(place: Place, picture: Picture) -> AbstractContextManager[Ask]:
    """The whole file over gRPC; the model decodes and prepares it."""
    return _grpc(place, lambda client: client.predict_bytes([picture.file]))


def rest_file(place: Place, picture: Picture) -> AbstractContextManager[Ask]:
    """curl's way: the whole file in base64 inside JSON."""
    return _rest(place, contract.SIGNATURE_BYTES, {"b64": base64.b64encode(picture.file).decode("ascii")})


def rest_pixels(place: Place, picture: Picture) -> AbstractContextManager[Ask]:
    """Prepared pixels as JSON numbers, which is what the row format of REST makes of them."""
    return _rest(place, contract.SIGNATURE_IMAGE, picture.image[0].tolist())


WAYS: Final[Mapping[str, Callable[[Place, Picture], AbstractContextManager[Ask]]]] = {
    "grpc": grpc_pixels,
    "grpc-file": grpc_file,
    "rest-file": rest_file,
    "rest": rest_pixels,
}


def connect(way: str, place: Place, picture: Picture) -> Connect:
    """Return how a client of this way connects."""
    return lambda: WAYS[way](place, picture)


@contextlib.contextmanager
def _grpc(place: Place, call: Callable[[FractureClient], object]) -> Iterator[Ask]:
    # a retry would hide a refused request as a slow one
    with FractureClient(place.grpc, retry=Retry(attempts=1)) as client:
        yield lambda: call(client)


@contextlib.contextmanager
def _rest(place: Place, signature: str, instance: object) -> Iterator[Ask]:
    body = json.dumps({"signature_name": signature, "instances": [instance]}).encode()
    with contextlib.closing(http.client.HTTPConnection(place.rest or "", timeout=60)) as connection:

        def ask() -> object:
            connection.request("POST", f"/v1/models/{contract.MODEL_NAME}:predict", body)
            return answered(connection)

        yield ask


def answered(connection: http.client.HTTPConnection) -> object:
    """Return the JSON of the answer on ``connection``; raise OSError for any status but 200."""
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise OSError(f"status {response.status}: {content[:150].decode(errors='replace')}")
    return json.loads(content)
