"""The command line of Osteo Synergy: one verb a stage, from data to the page.

osteo up                        server and page together, on the model that ships
osteo predict wrist.jpg --json  one file, one line of JSON
"""

from __future__ import annotations

import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from export.commands import MODELS, evaluate, export, versions_app
from serving.bench.commands import bench_app
from serving.commands import rollout_app
from training.commands import crossval, data_app, train, validate
from ui.commands import FEEDBACK, bench_page, feedback

if TYPE_CHECKING:
    from serving.client import FractureClient

ROOMS: Final = frozenset({"export", "radiograph", "serving", "training", "ui"})

app = typer.Typer(
    help="Reads fractures on radiographs of limbs. Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(train)
app.command()(validate)
app.command()(crossval)
app.command()(export)
app.command()(evaluate)
app.command()(feedback)
app.add_typer(data_app, name="data")
app.add_typer(versions_app, name="versions")
app.add_typer(rollout_app, name="rollout")
bench_app.command("page")(bench_page)
app.add_typer(bench_app, name="bench")

Server = Annotated[str, typer.Option(help="gRPC address of the model server, host:port.", envvar="OSTEO_SERVER")]
Model = Annotated[str, typer.Option(help="Name of the served model.")]
Version = Annotated[int | None, typer.Option(help="Ask this version instead of the stable one.")]
Label = Annotated[str | None, typer.Option(help="Ask the version that bears this label.")]
Share = Annotated[bool, typer.Option("--share", help="Make a public link; asks for a user and password.")]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Ask nobody for a password, not even on a public link.")]
User = Annotated[str | None, typer.Option(envvar="OSTEO_USER", help="User of the page.")]
Password = Annotated[str | None, typer.Option(envvar="OSTEO_PASSWORD", help="Password of the page.")]
TrustedProxies = Annotated[
    str | None,
    typer.Option(
        envvar="OSTEO_TRUSTED_PROXIES", help="Addresses or networks, by commas, whose X-Forwarded-For is believed."
    ),
]
ChooseVersion = Annotated[
    bool, typer.Option("--choose-version", help="Let a visitor choose which version reads for them.")
]
ShareServer = Annotated[str | None, typer.Option(help="Tunnel server of your own for the link, host:port.")]
ShareProtocol = Annotated[str | None, typer.Option("--share-server-protocol", help="Of its links: http or https.")]
ShareCertificate = Annotated[
    str | None, typer.Option("--share-server-certificate", help="File to verify the tunnel server's TLS with.")
]


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def serve(context: typer.Context) -> None:
    """Serve models over gRPC and REST, with tensorflow_model_server's own flags.

    Without a model flag it serves the shipped model on gRPC 8500 and REST 8501.
    Example: osteo serve --port=8500 --rest_api_port=8501 --model_name=fracture --model_base_path=/models/fracture
    """
    from serving.embedded.__main__ import main as serve_main

    arguments = list(context.args)
    if not arguments:
        arguments = ["--rest_api_port=8501", "--model_name=fracture", f"--model_base_path={MODELS}"]
        typer.echo(f"Serving {MODELS} on gRPC port 8500 and REST port 8501.", err=True)
    raise typer.Exit(serve_main(arguments))


@app.command()
def ui(
    server: Server = "127.0.0.1:8500",
    model: Model = "fracture",
    version: Version = None,
    label: Label = None,
    host: Annotated[str, typer.Option("--server-name", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--server-port", help="Port of the page.")] = 7860,
    share: Share = False,
    no_auth: NoAuth = False,
    user: User = None,
    password: Password = None,
    trusted_proxies: TrustedProxies = None,
    share_server: ShareServer = None,
    share_protocol: ShareProtocol = None,
    share_certificate: ShareCertificate = None,
    route: Annotated[
        Path | None, typer.Option(help="The rollout's route.json: the share of the studies that the canary answers.")
    ] = None,
    card: Annotated[
        str | None, typer.Option(help="Folder of the versions, or a model card: what a probability meant in tests.")
    ] = None,
    rest: Annotated[str | None, typer.Option(help="REST address of the server, for the page's examples.")] = None,
    keep_feedback: Annotated[Path | None, typer.Option("--feedback", help="Folder for readers' feedback.")] = None,
    choose_version: ChooseVersion = False,
) -> None:
    """Open the page on a model server that runs already.

    Example: osteo ui --server 10.0.0.5:8500 --share --user reader
    """
    from ui.app import launch
    from ui.settings import PageSettings

    launch(
        PageSettings(
            server,
            model,
            version,
            label,
            host,
            port,
            share,
            user,
            password,
            no_auth,
            trusted_proxies,
            share_server,
            share_protocol,
            share_certificate,
            route=route,
            card=card,
            rest=rest,
            feedback=keep_feedback,
            choose_version=choose_version,
        )
    )


@app.command()
def up(
    ui_port: Annotated[int, typer.Option(help="Port of the page.")] = 7860,
    grpc_port: Annotated[int, typer.Option(help="gRPC port of the model server.")] = 8500,
    rest_port: Annotated[int, typer.Option(help="REST port of the model server.")] = 8501,
    base: Annotated[Path, typer.Option(help="Folder of the versions to serve.")] = MODELS,
    config: Annotated[Path | None, typer.Option(help="Config file for `osteo rollout`; made if not there.")] = None,
    keep_feedback: Annotated[Path, typer.Option("--feedback", help="Folder for readers' feedback.")] = FEEDBACK,
    choose_version: ChooseVersion = False,
    share: Share = False,
    no_auth: NoAuth = False,
    user: User = None,
    password: Password = None,
    trusted_proxies: TrustedProxies = None,
    share_server: ShareServer = None,
    share_protocol: ShareProtocol = None,
    share_certificate: ShareCertificate = None,
) -> None:
    """Start model server and page together; Ctrl-C stops both.

    Example: osteo up --ui-port 8080
    """
    from serving.launch import LaunchError, starting_server
    from serving.route import ROUTE
    from ui.app import start
    from ui.settings import PageSettings

    settings = PageSettings(
        f"127.0.0.1:{grpc_port}",
        port=ui_port,
        share=share,
        user=user,
        password=password,
        open_to_all=no_auth,
        trusted_proxies=trusted_proxies,
        share_server=share_server,
        share_server_protocol=share_protocol,
        share_server_certificate=share_certificate,
        route=Path(f"{config}.rollout", ROUTE) if config else None,
        card=base,
        rest=f"127.0.0.1:{rest_port}",
        feedback=keep_feedback,
        choose_version=choose_version,
    )
    tell = partial(typer.echo, err=True)
    starting = starting_server(base, grpc_port=grpc_port, rest_port=rest_port, config=config)
    with starting as ready, start(settings, tell) as page:
        server = ready()
        for line in (*page.sentences(), f"gRPC: {server.target}", f"REST: http://127.0.0.1:{server.rest_port}"):
            typer.echo(line)
        typer.echo(f"Model: fracture version {server.version}")
        sys.stdout.flush()
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        while not stop.wait(0.5):
            if server.process.poll() is not None:
                raise LaunchError("The model server ended by itself, so the page was stopped. Start again: osteo up")


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(help="Radiographs: JPEG, PNG, TIFF, WebP, BMP or DICOM.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    frame: Annotated[int | None, typer.Option(help="Frame or page to read of files that hold several, from 1.")] = None,
    server: Server = "127.0.0.1:8500",
    model: Model = "fracture",
    version: Version = None,
    label: Label = None,
) -> None:
    """Read radiographs. Asks a running server, or starts one for this call and says so.

    Exits with 1 when a file could not be read; the others are read all the same.
    Example: osteo predict wrist.jpg hand.dcm --json
    """
    from serving.client import FractureClient, ServerUnavailable
    from serving.launch import embedded_server

    with FractureClient(server, model=model, version=version, label=label) as client:
        try:
            client.info()
        except ServerUnavailable:
            pass
        else:
            raise typer.Exit(_print_readings(client, files, frame, json))
    typer.echo(f"No server answers at {server}; starting one on {MODELS} for this call.", err=True)
    with (
        embedded_server(MODELS) as running,
        FractureClient(running.target, model=model, version=version, label=label) as client,
    ):
        raise typer.Exit(_print_readings(client, files, frame, json))


def _print_readings(client: FractureClient, files: list[Path], frame: int | None, as_json: bool) -> int:
    """Print a line for each file as it is read; return 1 when one could not be, else 0."""
    from ui.reading import Failure, Reader

    status = 0
    for result in Reader(client).read_files(files, frame=frame):
        if as_json:
            typer.echo(result.to_json())
        elif isinstance(result, Failure):
            typer.echo(f"{result.file}: {result.error}", err=True)
        else:
            said = "no finding" if result.outside_scope else result.prediction.finding
            typer.echo(f"{result.file}: {said}, probability {result.prediction.probability:.2f}")
            for warning in result.warnings:
                typer.echo(f"  {warning}")
        status |= isinstance(result, Failure)
    return status


def main() -> NoReturn:
    """Run the command line; an error of one of the rooms is its sentence on stderr and exit status 1."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ROOMS:
            raise
        typer.echo(str(error), err=True)
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
