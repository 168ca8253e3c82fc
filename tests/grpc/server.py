"""A gRPC server of all four call kinds over raw bytes. Prints its port, then a line for each call that is cancelled, with
the time at which it heard of it."""

import sys
import threading
import time
from concurrent import futures

import grpc


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-trailer", "unary"), ("x-seen", metadata.get("x-sent", ""))))
    return request.upper()


def server_stream(request, context):
    for number in range(int(request)):
        yield str(number).encode()
    context.set_trailing_metadata((("x-trailer", "stream"),))


def client_stream(requests, context):
    return b"+".join(requests)


def both(requests, context):
    for request in requests:
        yield request + b"!"


def fail(request, context):
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such thing")


def hang(request, context):
    """One message, then nothing until the client goes away."""
    gone = threading.Event()
    heard = []

    def cancelled():
        heard.append(time.time())
        gone.set()

    context.add_callback(cancelled)
    remaining = context.time_remaining()
    yield b"deadline" if remaining is not None and remaining < 60 else b"begun"
    gone.wait()
    print("cancelled", request.decode(), heard[0], flush=True)


def health(request, context):
    return b"\x08\x01"


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers(
    (
        grpc.method_handlers_generic_handler(
            "test.Calls",
            {
                "Unary": grpc.unary_unary_rpc_method_handler(unary),
                "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
                "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
                "Both": grpc.stream_stream_rpc_method_handler(both),
                "Fail": grpc.unary_unary_rpc_method_handler(fail),
                "Hang": grpc.unary_stream_rpc_method_handler(hang),
            },
        ),
        grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(health)}
        ),
    )
)
print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(0)
