"""FastAPI with uvicorn, as a team would write it. Stores nothing and checks no token: whoever connects is a new user, and
what was said while a connection was away is lost. Started with the address to listen on.
"""

import re
import socket
import sys
import time
import uuid

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


def five_events(user, content, seq):
    """The events of one run, of the fields and sizes that wireproof's have."""
    thread, run, call, answer = (str(uuid.uuid4()) for _ in range(4))
    began = time.time()

    def event(number, kind, **body):
        return {
            "seq": seq + number,
            "event_id": str(uuid.uuid4()),
            "user_id": user,
            "thread_id": thread,
            "timestamp": time.time(),
            "run_id": run,
            "run_seq": number,
            "agent_name": "builtin",
            "type": kind,
            **body,
        }

    def milliseconds():
        return (time.time() - began) * 1000

    yield event(1, "agent_started", message="The builtin agent, which follows fixed rules, is working on your message.")
    left, right = re.search(r"(\d+)\*(\d+)", content).groups()
    expression = f"{left}*{right}"
    reasoning = f"My rules read one ask in this message: (1) calculate: {expression}"
    yield event(2, "agent_thinking", reasoning=reasoning, step_number=1)
    tool = {"tool_call_id": call, "tool_name": "calculate"}
    yield event(3, "tool_executing", **tool, parameters={"expression": expression})
    result = {"exact": True, "expression": expression, "result": str(int(left) * int(right))}
    yield event(4, "tool_completed", **tool, result=result, duration_ms=milliseconds())
    text = f"{expression} = {result['result']}.\n(I follow fixed rules; no language model took part.)"
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    done = {"outcome": "success", "message_id": answer, "final_response": text, "usage": usage}
    yield event(5, "agent_completed", **done, duration_ms=milliseconds())


@app.websocket("/ws")
async def converse(websocket: WebSocket):
    user, seq = f"user_{uuid.uuid4().hex[:12]}", 0
    try:
        await websocket.accept()
        await websocket.send_json({"type": "connection_established", "user_id": user, "timestamp": time.time()})
        while True:
            frame = await websocket.receive_json()
            if frame["type"] == "chat":
                for event in five_events(user, frame["content"], seq):
                    await websocket.send_json(event)
                seq += 5
            elif frame["type"] == "ping":
                await websocket.send_json({"type": "pong", "timestamp": time.time()})
    except (WebSocketDisconnect, RuntimeError):
        pass  # It went, perhaps while it was being answered.


host, port = sys.argv[1].rsplit(":", 1)
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((host, int(port)))
listener.listen(4096)
print("ready ws://{}:{}/ws".format(*listener.getsockname()), flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
