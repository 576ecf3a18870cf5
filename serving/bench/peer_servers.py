"""Other ways to serve the same SavedModel, or its Keras network, each a process of its own on one port.

    python -m serving.bench.peer_servers fastapi VERSION_FOLDER PORT

Every one takes prepared pixels as the plain body of a POST to /predict, uint8 [S,S,1], which is the fastest they can
be asked, and answers JSON with all outputs, the heat map as float32 bytes in base64. The seeds' ways also take a whole
file at /file. Where there is batching, it joins as many as ``serving/batching-cpu.config`` says. BentoML and LitServe
start workers that import their service again; they stand in ``peer_bentoml`` and ``peer_litserve``.
"""

from __future__ import annotations

import base64
import io
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from export import contract

MAX_BATCH: Final = 4
"""How many pictures are joined at most: as ``serving/batching-cpu.config`` says."""
WAIT_SECONDS: Final = 0.002
"""How long they wait for company; without a wait these servers join none."""
HOST: Final = "127.0.0.1"
Outputs = Mapping[str, NDArray[Any]]


def load(version: Path) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Load the SavedModel as TensorFlow's guide does; return its function of pictures, uint8 [N,S,S,1]."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(version))

    def run(images: NDArray[np.uint8]) -> Outputs:
        # looked up each time, for a signature does not keep its model alive
        outputs = loaded.signatures[contract.SIGNATURE_IMAGE](**{contract.INPUT_IMAGE: tf.constant(images)})
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def side_of(version: Path) -> int:
    """Return the side in px of the pictures that the version takes."""
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    signature = parse_saved_model(str(version)).meta_graphs[0].signature_def[contract.SIGNATURE_IMAGE]
    return int(signature.inputs[contract.INPUT_IMAGE].tensor_shape.dim[1].size)


def told(outputs: Outputs, row: int) -> dict[str, Any]:
    """Return one picture's outputs as JSON can hold them."""
    heatmap = np.ascontiguousarray(outputs[contract.HEATMAP][row], np.float32)
    return {
        contract.PROBABILITY: float(outputs[contract.PROBABILITY][row]),
        contract.FINDING: bytes(outputs[contract.FINDING][row]).decode(),
        contract.THRESHOLDS: outputs[contract.THRESHOLDS][row].tolist(),
        contract.NOVELTY: float(outputs[contract.NOVELTY][row]),
        contract.HEATMAP: base64.b64encode(heatmap.tobytes()).decode("ascii"),
    }


def all_told(outputs: Outputs) -> list[dict[str, Any]]:
    """Return every picture's outputs as JSON can hold them."""
    return [told(outputs, row) for row in range(len(outputs[contract.PROBABILITY]))]


def pixels(body: bytes, side: int) -> NDArray[np.uint8]:
    """Return the picture in a request's body, uint8 [side,side,1]."""
    return np.frombuffer(body, np.uint8).reshape(side, side, 1)


def fastapi(version: Path, port: int) -> None:
    """FastAPI and uvicorn: each request is a run of its own, in a thread of Starlette's pool."""
    from fastapi import FastAPI, Request
    from starlette.concurrency import run_in_threadpool

    run, side, app = load(version), side_of(version), FastAPI()

    async def predict(request: Any) -> dict[str, Any]:
        image = pixels(await request.body(), side)
        return await run_in_threadpool(lambda: told(run(image[None]), 0))

    predict.__annotations__["request"] = Request
    app.post("/predict", response_model=None)(predict)
    _uvicorn(app, port)


def seeds(version: Path, port: int) -> None:
    """The seeds' way, on the same SavedModel: `model.predict` of Keras inside the page's process."""
    import keras

    side = side_of(version)
    served = keras.layers.TFSMLayer(str(version), call_endpoint=contract.SIGNATURE_IMAGE)
    given = keras.Input((side, side, 1), dtype="uint8", name=contract.INPUT_IMAGE)
    model = keras.Model(given, served(given))
    _page(lambda images: told(model.predict(images, verbose=0), 0), side, port)


def seeds_keras(version: Path, port: int) -> None:
    """The seeds' way as they had it: `model.predict` of the Keras network itself, which nobody exported.

    The network is the shipped one at the input size of ``version``, with its own outputs instead of the contract's.
    """
    from scipy.special import expit

    from serving.bench.networks import DEFAULT, build
    from training.model import LOGIT, MAP

    side = side_of(version)
    model = build(DEFAULT, size=side).keras

    def answer(images: NDArray[np.uint8]) -> dict[str, Any]:
        said = model.predict(images.astype(np.float32), verbose=0)
        heatmap = base64.b64encode(expit(said[MAP][0]).tobytes()).decode("ascii")
        return {contract.PROBABILITY: float(expit(said[LOGIT][0])), contract.HEATMAP: heatmap}

    _page(answer, side, port)


def _page(answer: Callable[[NDArray[np.uint8]], dict[str, Any]], side: int, port: int) -> None:
    """Serve prepared pixels and whole files, one study at a time as Gradio does it.

    Gradio's own upload and queue are left out, in the seeds' favour.
    """
    from fastapi import FastAPI, Request
    from PIL import Image
    from starlette.concurrency import run_in_threadpool

    app, one_at_a_time = FastAPI(), threading.Lock()

    def run(image: NDArray[np.uint8]) -> dict[str, Any]:
        with one_at_a_time:
            return answer(image[None])

    def run_file(content: bytes) -> dict[str, Any]:
        picture = Image.open(io.BytesIO(content)).convert("L").resize((side, side))
        return run(np.asarray(picture, np.float64)[..., None].round().astype(np.uint8))

    async def predict(request: Any) -> dict[str, Any]:
        return await run_in_threadpool(run, pixels(await request.body(), side))

    async def predict_file(request: Any) -> dict[str, Any]:
        return await run_in_threadpool(run_file, await request.body())

    for path, handler in (("/predict", predict), ("/file", predict_file)):
        handler.__annotations__["request"] = Request
        app.post(path, response_model=None)(handler)
    _uvicorn(app, port)


def ray(version: Path, port: int) -> None:
    """Ray Serve with its batching, one replica, without a dashboard."""
    import ray
    from ray import serve

    class Replica:
        """The deployment."""

        def __init__(self) -> None:
            self.run, self.side = load(version), side_of(version)

        @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=WAIT_SECONDS)  # type: ignore[untyped-decorator]
        async def predict(self, images: list[NDArray[np.uint8]]) -> list[dict[str, Any]]:
            return all_told(self.run(np.stack(images)))

        async def __call__(self, request: Any) -> dict[str, Any]:
            answer: dict[str, Any] = await self.predict(pixels(await request.body(), self.side))
            return answer

    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": HOST, "port": port})
    deployment = serve.deployment(Replica, max_ongoing_requests=8 * MAX_BATCH)
    serve.run(deployment.bind(), route_prefix="/predict", blocking=True)


def _uvicorn(app: Any, port: int) -> None:
    import uvicorn

    uvicorn.run(app, host=HOST, port=port, log_level="warning")


SERVERS: Final[Mapping[str, Callable[[Path, int], None]]] = {
    "fastapi": fastapi,
    "seeds": seeds,
    "seeds-keras": seeds_keras,
    "ray": ray,
}

if __name__ == "__main__":
    name, folder, listening = sys.argv[1:]
    SERVERS[name](Path(folder), int(listening))
