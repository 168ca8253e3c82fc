"""What the gateway sends requests to: a page at every path, a long one at /large, and a stream of events that does not end
at /events. One thread serves all, so that clients who do nothing cost nothing."""

import asyncio
import sys

LARGE = b"x" * (256 << 10)


def length(head):
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def events(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: first\n\n")
    await writer.drain()
    await asyncio.sleep(30)


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            await reader.readexactly(length(head))
            if path == b"/events":
                return await events(writer)
            body = LARGE if path == b"/large" else b"hello"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        """Clients that break off are what some cases are about."""
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


asyncio.run(main())
