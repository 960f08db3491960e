"""Starts an AG-UI agent of Pydantic AI, which is not ours; only the words that its model says are."""

import asyncio
import json
import math
import re
import socket
import sys

import uvicorn
from fastapi import FastAPI, Request
from pydantic_ai import Agent
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.function import DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.ui.ag_ui import AGUIAdapter


async def say(messages, _):
    """Thinks, calls the tool, and then says what came back, word by word."""
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        for word in last.content.split(" "):
            yield f"{word} "
        return
    yield {0: DeltaThinkingPart(content=f"Which numbers are in: {last.content}")}
    yield {1: DeltaToolCall(name="multiply", json_args=json.dumps({"text": last.content}))}


agent = Agent(FunctionModel(stream_function=say))


@agent.tool_plain
def multiply(text: str) -> str:
    return f"{text} {math.prod(int(number) for number in re.findall(r'[0-9]{1,9}', text))}"


app = FastAPI()


@app.post("/")
async def run(request: Request):
    return await AGUIAdapter.dispatch_request(request, agent=agent)


listener = socket.create_server(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0), backlog=1024)
print(f"ready http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener]))
