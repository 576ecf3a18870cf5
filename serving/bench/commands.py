"""The measuring verbs of the command line: `osteo bench …`. What is heavy is imported when a verb runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

bench_app = typer.Typer(
    help="""Measure the system. Each verb prints tables, draws a plot with --out, and ends with one line of JSON.

    What is compared takes turns in short rounds, so other work on the machine weighs on all of it alike: trust the
    ratios, and the times only where the machine did nothing else. docs/performance.md tells how to read the figures.
    """,
    no_args_is_help=True,
)

ROOT: Final = Path(__file__).resolve().parents[2]
BATCHING: Final = ROOT / "serving" / "batching-cpu.config"

Out = Annotated[Path | None, typer.Option(help="Draw a plot (PNG) into this file.")]
Rounds = Annotated[int, typer.Option(help="How often everything has its turn.", min=1)]
Seconds = Annotated[float, typer.Option(help="How long each turn lasts.", min=0.05)]
Base = Annotated[Path, typer.Option(help="Folder of the versions; the newest is measured.")]


@bench_app.command("serve")
def bench_serve(
    base: Base = ROOT / "models" / "fracture",
    clients: Annotated[str, typer.Option(help="Numbers of clients that ask at once, by commas, 1 to 64.")] = "1,8,32",
    ways: Annotated[str, typer.Option(help="Of grpc, grpc-file, rest-file, rest (numbers), by commas.")] = (
        "grpc,grpc-file,rest-file"
    ),
    batching_file: Annotated[
        list[Path] | None, typer.Option(help="BatchingParameters to try; give it again for more than one.")
    ] = None,
    without: Annotated[bool, typer.Option("--without/--no-without", help="Try a server without batching too.")] = True,
    server: Annotated[str | None, typer.Option(help="Measure this running server instead, host:port (gRPC).")] = None,
    rest: Annotated[str | None, typer.Option(help="The REST address of that server, host:port.")] = None,
    seconds: Seconds = 2.0,
    rounds: Rounds = 2,
    out: Out = None,
) -> None:
    """Load a model server: times, throughput, CPU, memory and bytes, beside the bare network in this process.

    Closed loop: each client asks again as soon as it is answered. Open loop: requests come at random at 50 % and 80 %
    of the rate that the closed loop reached, and a time counts from when a request was due. Ways: grpc sends prepared
    pixels, as the page does; grpc-file and rest-file send the whole JPEG; rest sends the pixels as JSON numbers.

    Example: osteo bench serve --clients 1,2,4,8,16,32,64 --out serve.png

    Example: osteo bench serve --server gpu-box:8500 --rest gpu-box:8501
    """
    from export.versions import newest
    from serving.bench import serve, serve_report
    from serving.bench.ways import WAYS, Place

    counts, names = _numbers(clients), _names(ways, WAYS)
    if server is not None:
        names = [name for name in names if rest is not None or not name.startswith("rest")]
        tested = [serve.Under(serve.OTHER, Place(server, rest))]
        result = serve.run(tested, names, counts, seconds, rounds)
    else:
        files = batching_file or [BATCHING]
        with serve.servers(base, [*([None] if without else []), *files]) as started:
            result = serve.run(started, names, counts, seconds, rounds, version=newest(base))
    _show(serve_report.tables(result))
    if out is not None:
        typer.echo(f"Plot: {serve_report.plot(result, out)}")
    _finish("serve", result.figures)


@bench_app.command("export")
def bench_export(
    network: Annotated[
        list[str] | None, typer.Option(help="default (the trained one) or a backbone, with random weights; repeat it.")
    ] = None,
    weights: Annotated[Path, typer.Option(help="The trained weights.")] = ROOT / "models" / "weights" / "fracture.npz",
    size: Annotated[int, typer.Option(help="Side of the input in px; 0: 448 as trained, 224 of a backbone.")] = 0,
    batches: Annotated[str, typer.Option(help="Batch sizes, by commas.")] = "1,8",
    seconds: Seconds = 0.5,
    rounds: Rounds = 8,
    out: Out = None,
) -> None:
    """Run one network as Keras, as a plain SavedModel and as osteo exports it; with ONNX Runtime and OpenVINO too.

    Default: the network that ships, and resnet152v2 with random weights. All ways run in this process, each in turns
    with the plain SavedModel; its probabilities are held against Keras' own. What is not installed is said:
    pip install '.[bench]' brings it.

    Example: osteo bench export --network default --rounds 20 --out export.png
    """
    from serving.bench import export, networks

    measured = []
    for name in network or [networks.DEFAULT, "resnet152v2"]:
        measured.append(export.measure(networks.build(name, weights, size), _numbers(batches), seconds, rounds))
        _show([export.table(measured[-1])])
    if out is not None:
        typer.echo(f"Plot: {export.plot(measured, out)}")
    _finish("export", {"networks": measured})


@bench_app.command("prepare")
def bench_prepare(
    files: Annotated[list[Path] | None, typer.Argument(help="Radiographs of your own; default: drawn ones.")] = None,
    size: Annotated[int, typer.Option(help="Side of the model's input in px.", min=32)] = 448,
    seconds: Seconds = 0.5,
    rounds: Rounds = 4,
    out: Out = None,
) -> None:
    """Read and prepare JPEG, PNG and DICOM files: time and peak memory, beside plain Pillow, pydicom and NumPy.

    Both ways must give the same picture; how many grey levels they are apart on average stands in the table.

    Example: osteo bench prepare wrist.jpg hip.dcm --out prepare.png
    """
    from serving.bench import prepare

    figures = prepare.run(prepare.given(files) if files else prepare.drawn(), size, seconds, rounds)
    _show([prepare.table(figures)])
    if out is not None:
        typer.echo(f"Plot: {prepare.plot(figures, out)}")
    _finish("prepare", figures)


@bench_app.command("train-input")
def bench_train_input(
    data: Annotated[
        Path | None, typer.Option(help="A tree train/<class> of pictures; default: phantoms of 1200 × 1500 px.")
    ] = None,
    config: Annotated[Path, typer.Option(help="Recipe whose augmentation and training step it is.")] = Path(
        "fracture-body"
    ),
    backbone: Annotated[
        str, typer.Option(help="efficientnet-lite0, efficientnet-lite2 or resnet152v2.")
    ] = "efficientnet-lite0",
    size: Annotated[int, typer.Option(help="Side of the network's input in px.", min=32)] = 224,
    batch: Annotated[int, typer.Option(help="Pictures a step.", min=1)] = 16,
    count: Annotated[int, typer.Option(help="How many phantoms are drawn.", min=48)] = 64,
    seconds: Seconds = 3.0,
    rounds: Rounds = 3,
    out: Out = None,
) -> None:
    """Feed a training from osteo's cache and from Keras' ImageDataGenerator: images a second, the network's share.

    The generator decodes and turns every picture in every epoch, as the seeds do; the same step of the same network
    takes the batches of both. A share of 100 % means that the network never waits for pictures.

    Example: osteo bench train-input --size 448 --rounds 4 --out input.png
    """
    import tempfile

    from serving.bench import train_input
    from training.recipe import load_recipe

    recipe = train_input.shrunk(load_recipe(config), backbone, size, batch)
    with tempfile.TemporaryDirectory() as scratch:
        figures = train_input.run(train_input.set_up(recipe, data, count, Path(scratch)), seconds, rounds)
    figures |= {"backbone": backbone, "input_size": size}
    _show([train_input.table(figures)])
    if out is not None:
        typer.echo(f"Plot: {train_input.plot(figures, out)}")
    _finish("train-input", figures)


@bench_app.command("peers")
def bench_peers(
    base: Base = ROOT / "models" / "fracture",
    peers: Annotated[
        str, typer.Option(help="Which of them, by commas.")
    ] = "seeds,seeds-keras,fastapi,litserve,bentoml,ray",
    clients: Annotated[str, typer.Option(help="Numbers of clients that ask at once, by commas, 1 to 64.")] = "1,16",
    seconds: Seconds = 2.0,
    rounds: Rounds = 3,
    out: Out = None,
) -> None:
    """Hold this project's server against others on the same SavedModel, with the same pictures and clients.

    Each is started, asked in turns with our own, and stopped: the seeds' way (model.predict in the page's process),
    FastAPI, LitServe, BentoML, Ray Serve, and the bare SavedModel in this process. seeds-keras is the seeds' way with
    the network as Keras has it, without the export. With the seeds' ways also the whole request, from a file to the
    finding. A peer that is not installed is said: pip install '.[bench]' brings it.

    Example: osteo bench peers --peers seeds,fastapi --clients 1,8,32 --out peers.png
    """
    from export.versions import newest
    from serving.bench import peers as bench
    from serving.bench.peer_processes import PEERS

    names, batching = _names(peers, PEERS), BATCHING
    figures = bench.run(base, newest(base), batching, names, _numbers(clients), seconds, rounds)
    _show([bench.table(figures)])
    if out is not None:
        typer.echo(f"Plot: {bench.plot(figures, out)}")
    _finish("peers", figures)


@bench_app.command("rollout")
def bench_rollout(
    seconds: Annotated[float, typer.Option(help="How long the clients ask before the first move.", min=1)] = 20.0,
    grpc_clients: Annotated[int, typer.Option(help="gRPC clients.", min=1)] = 16,
    rest_clients: Annotated[int, typer.Option(help="REST clients.", min=0)] = 4,
) -> None:
    """Roll tiny versions out and back under load, then print one line of JSON: 0 failed requests are the aim.

    Example: osteo bench rollout --seconds 20
    """
    from serving.bench_rollout import run

    typer.echo(json.dumps(run(seconds, grpc_clients, rest_clients, typer.echo)))


def _show(tables: list[Any]) -> None:
    from serving.bench.summary import show

    for table in tables:
        show(table)


def _finish(bench: str, figures: Mapping[str, Any]) -> None:
    from serving.bench.summary import finish

    finish(bench, figures)


def _numbers(words: str) -> list[int]:
    """Return the whole numbers in ``words``, from 1 to 64."""
    try:
        found = [int(word) for word in words.split(",")]
    except ValueError:
        found = []
    if not found or not all(1 <= number <= 64 for number in found):
        raise typer.BadParameter(f"{words!r} is no list of whole numbers from 1 to 64, such as 1,8,32.")
    return found


def _names(words: str, known: Mapping[str, Any]) -> list[str]:
    """Return the names in ``words``, all of which are in ``known``."""
    found = [word.strip() for word in words.split(",")]
    if unknown := [name for name in found if name not in known]:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(known)}.")
    return found
