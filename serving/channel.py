"""The gRPC channel to a model server, as every part of this room opens it."""

from __future__ import annotations

import grpc


def open_channel(target: str) -> grpc.Channel:
    """Return a channel of its own to ``target``: no size limits, and a quick return to a server that comes back.

    gRPC's own pause between attempts to reconnect grows to two minutes, far too long for a page that is looked at.
    """
    options = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if target.startswith(("127.", "localhost:", "[::1]")):
        options.append(("grpc.enable_http_proxy", 0))
    return grpc.insecure_channel(target, options=options)
