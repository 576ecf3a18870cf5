"""LitServe on the same SavedModel, with its batching: `python -m serving.bench.peer_litserve VERSION_FOLDER PORT`.

In a module of its own because LitServe starts workers that import the class again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body
from numpy.typing import NDArray

from serving.bench.peer_servers import HOST, MAX_BATCH, WAIT_SECONDS, all_told, load, pixels, side_of


class Fracture(litserve.LitAPI):  # type: ignore[misc]
    """The steps of LitServe, on the SavedModel in ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(max_batch_size=MAX_BATCH, batch_timeout=WAIT_SECONDS, api_path="/predict")
        self.folder, self.side = folder, side_of(folder)

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the model, in a worker."""
        self.run = load(self.folder)

    def decode_request(self, request: Any) -> NDArray[np.uint8]:
        """Return the picture in a plain body."""
        return pixels(request, self.side)

    def batch(self, inputs: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Join pictures."""
        return np.stack(inputs)

    def predict(self, images: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """Run the model once."""
        return all_told(self.run(images))

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Part the answers again; they are parted already."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the answer as it is."""
        return output


# as a real type, not a word: LitServe hands it to FastAPI from another module, where the word means nothing
Fracture.decode_request.__annotations__["request"] = Annotated[bytes, Body(media_type="application/octet-stream")]

if __name__ == "__main__":
    server = litserve.LitServer(Fracture(Path(sys.argv[1])), accelerator="cpu", timeout=False)
    server.run(host=HOST, port=int(sys.argv[2]), generate_client_file=False)
