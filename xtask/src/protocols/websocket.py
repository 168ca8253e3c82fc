"""A WebSocket server and clients of it through the gateway, both from the package `websockets`."""

import asyncio
import sys

import websockets

SERVER, GATEWAY = int(sys.argv[1]), sys.argv[2]


async def echo(socket, *_):
    async for message in socket:
        await socket.send(message)


async def talk(number):
    async with websockets.connect(f"ws://chat.test/{number}", host=GATEWAY.split(":")[0], port=int(GATEWAY.split(":")[1]), max_size=None) as socket:
        for message in ["text", b"\x00\xff" * 500_000, "", "x" * 70_000]:
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(iter(["in ", "three ", "pieces"]))
        assert await socket.recv() == "in three pieces"
        await (await socket.ping())
    assert socket.close_code == 1000, socket.close_code


async def main():
    async with websockets.serve(echo, "127.0.0.1", SERVER, max_size=None):
        await asyncio.gather(*(talk(number) for number in range(20)))
    print("ok")


asyncio.run(asyncio.wait_for(main(), 60))
