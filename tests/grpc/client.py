"""Makes calls of all four kinds to ADDRESS as AUTHORITY and prints what came of each as JSON."""

import json
import sys
import time

import grpc

address, authority, broken = sys.argv[1:4]


def channel(name):
    return grpc.insecure_channel(address, options=[("grpc.default_authority", name), ("grpc.enable_retries", 0)])


def status(call):
    try:
        call()
        return ["OK", ""]
    except grpc.RpcError as error:
        return [error.code().name, error.details()]


results = {}
with channel(authority) as there:
    answer, call = there.unary_unary("/test.Calls/Unary").with_call(b"hello", metadata=(("x-sent", "header"),), timeout=20)
    results["unary"] = [answer.decode(), sorted(call.trailing_metadata())]
    call = there.unary_stream("/test.Calls/ServerStream")(b"5", timeout=20)
    results["server-stream"] = ["".join(part.decode() for part in call), sorted(call.trailing_metadata())]
    results["client-stream"] = there.stream_unary("/test.Calls/ClientStream")(iter([b"a", b"b", b"c"]), timeout=20).decode()
    parts = there.stream_stream("/test.Calls/Both")(iter([b"x", b"y"]), timeout=20)
    results["both"] = [part.decode() for part in parts]
    results["fail"] = status(lambda: there.unary_unary("/test.Calls/Fail")(b"", timeout=20))
    results["unknown"] = status(lambda: there.unary_unary("/test.Calls/Nothing")(b"", timeout=20))
    large = b"z" * 1_000_000
    results["large"] = len(there.unary_unary("/test.Calls/Unary")(large, timeout=20)) == len(large)

    call = there.unary_stream("/test.Calls/Hang")(b"by-hand")
    results["hang"] = next(call).decode()
    results["cancelled-at"] = time.time()
    call.cancel()
    call = there.unary_stream("/test.Calls/Hang")(b"by-deadline", timeout=0.5)
    results["deadline"] = [next(call).decode(), *status(lambda: next(call))]
with channel(broken) as nowhere:
    results["broken"] = status(lambda: nowhere.unary_unary("/test.Calls/Unary")(b"", timeout=20))
print(json.dumps(results))
