"""A conversation through the `websockets` library: asks, loses its connection in mid-run, comes back for the rest.

Arguments: the server's socket, a token, and where to show it (header or subprotocol). Prints every frame it got."""

import asyncio
import json
import sys

from websockets.asyncio.client import connect

QUESTION = '{"type":"chat","payload":{"content":"What is 17*23, and how many words are in this sentence?"}}'
COUNT = '{"type":"chat","id":"zwölf 🦀","payload":{"content":"Count from 1 to 40."}}'


async def listen(socket, frames, enough):
    while not enough([json.loads(frame) for frame in frames]):
        frames.append(await socket.recv())


def has(kind, times=1):
    return lambda frames: sum(frame["type"] == kind for frame in frames) >= times


async def converse(url, token, where):
    if where == "header":
        shown = {"additional_headers": {"Authorization": f"Bearer {token}"}}
    else:
        shown = {"subprotocols": ["wireproof.v1", f"jwt.{token}"]}

    first, second = [], []
    async with connect(url, **shown) as socket:
        protocol = socket.subprotocol
        await listen(socket, first, has("connection_established"))
        await socket.send(QUESTION)
        await listen(socket, first, has("agent_completed"))
        # Fragments of five bytes: some of them end inside a character.
        text = COUNT.encode()
        await socket.send([text[at : at + 5] for at in range(0, len(text), 5)], text=True)
        await listen(socket, first, lambda frames: has("message_delta", 3)(frames[-5:]))
        socket.transport.abort()

    frames = [json.loads(frame) for frame in first]
    after = [frame["seq"] for frame in frames if "event_id" in frame][-1]
    async with connect(f"{url}?epoch={frames[0]['epoch']}&after={after}", **shown) as socket:
        await listen(socket, second, lambda frames: has("agent_completed")(frames) and has("caught_up")(frames))
    return {"protocol": protocol, "first": first, "second": second}


print(json.dumps(asyncio.run(asyncio.wait_for(converse(*sys.argv[1:]), 25))))
