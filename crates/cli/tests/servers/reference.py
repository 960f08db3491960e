"""A server with the protocol of the reference system, written anew, to be judged by `wireproof check`.

It is sound unless it is started with `--fault NAME`. Most faults are of the reference system; `empty-subject` and `nagle`
were in this file until the judge found them. Without `--secret` it is the embedded form, which knows nobody; with it the
deployed form, which asks for an HS256 token.
"""

import argparse
import asyncio
import base64
import datetime
import json
import math
import re
import socket
import time
import uuid

import jwt
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

MAX_BYTES = 8192  # A longer frame is refused, and the connection stays.
HARD_BYTES = 1 << 20  # A longer one ends the connection with 1009.
PAUSE = 0.004  # Between two events of a run.
AGENT = "calculator"
EVENTS = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]
FAULTS = {
    "shared-registry": "events go to the connection that came last, whoever it belongs to",
    "silent-oversize": "a frame that is too long is dropped without a word",
    "empty-subject": "a token whose subject is empty is good",
    "test-header": "the header `X-Test-Mode: true` switches authentication off",
    "second-ids": "connection ids are the second in which the connection came",
    "chat-acknowledged": "a chat is acknowledged and never reaches the agent",
    "no-terminal": "a run never says that it is over",
    "nagle": "small frames wait for the acknowledgement of those before",
    **{f"leak-{event}": f"every `{event}` goes to everybody who is connected" for event in EVENTS},
    "no-subprotocol": "no subprotocol is selected, whatever is offered",
    "alien-subprotocol": "a subprotocol is selected that nobody offered",
    "no-names": "events name neither thread nor run",
    "long-poll": "a plain GET at the socket's address is answered by nothing",
    "no-json": "frames are not JSON",
    "dies-on-leave": "nobody is answered any more once a client has left in the middle of an answer",
}

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--secret")
parser.add_argument("--fault", choices=FAULTS)
options = parser.parse_args()
app = FastAPI()
connections = {}
latest = []


class Refused(Exception):
    """Why a connection may not stay, with the code that says it."""


def token_of(websocket):
    """The token, from the header or else from a subprotocol, and the subprotocol to select."""
    offered = [entry.strip() for entry in websocket.headers.get("sec-websocket-protocol", "").split(",")]
    carrier = next((entry for entry in offered if entry.startswith("jwt.")), None)
    selected = "jwt-auth" if "jwt-auth" in offered else carrier
    scheme, _, token = websocket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token, selected
    if carrier is None:
        return None, selected
    raw = carrier.removeprefix("jwt.")
    if raw.count(".") == 2:
        return raw, selected
    try:
        return base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)).decode(), selected
    except ValueError:
        return "", selected


def user_of(websocket, token):
    """Who this is: a new guest in the embedded form, the subject of the token in the deployed one."""
    if options.secret is None:
        return f"user_{uuid.uuid4().hex[:12]}"
    if options.fault == "test-header" and websocket.headers.get("x-test-mode") == "true":
        return "test_user"
    if not token:
        raise Refused("NO_TOKEN", "Authentication required: no token")
    required = {"require": ["exp", "iat", "sub"], "verify_aud": False}
    try:
        user = jwt.decode(token, options.secret, algorithms=["HS256"], options=required)["sub"]
    except jwt.ExpiredSignatureError as expired:
        raise Refused("TOKEN_EXPIRED", "Token expired") from expired
    except jwt.InvalidTokenError as invalid:
        raise Refused("VALIDATION_FAILED", "Invalid token") from invalid
    if not user and options.fault != "empty-subject":
        raise Refused("VALIDATION_FAILED", "Invalid token")
    return user


def error(code, sentence):
    both = {"error": sentence, "message": sentence, "error_code": code, "error_message": sentence}
    return {"type": "error", **both, "details": {}, "timestamp": time.time()}


def iso_now():
    return datetime.datetime.now(datetime.UTC).isoformat()


class Connection:
    """One client: its frames come in here, the events of its runs go out here."""

    def __init__(self, websocket, user):
        self.websocket, self.user, self.runs = websocket, user, set()
        second = f"conn_{int(time.time())}"
        self.id = second if options.fault == "second-ids" else f"conn_{uuid.uuid4().hex}"

    async def send(self, frame):
        await self.websocket.send_text(str(frame) if options.fault == "no-json" else json.dumps(frame))

    def welcome(self):
        frame = {"type": "connection_established", "connection_id": self.id, "user_id": self.user}
        if options.secret is None:
            return {**frame, "server_time": iso_now(), "message": "Connected"}
        return {**frame, "mode": "main", "golden_path_events": EVENTS, "features": {}, "timestamp": iso_now()}

    async def take(self, text):
        """One frame of the client: it has an answer, or events follow."""
        if len(text.encode()) > MAX_BYTES:
            if options.fault != "silent-oversize":
                await self.send(error("MESSAGE_TOO_LARGE", f"Message too large: size over {MAX_BYTES} bytes"))
            return
        try:
            frame = json.loads(text)
        except (ValueError, RecursionError):
            return await self.send(error("JSON_PARSE_ERROR", "Invalid JSON"))
        if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
            return await self.send(error("FORMAT_ERROR", "Invalid message: type is missing"))
        payload = frame.get("payload", frame if options.secret else {})
        if not isinstance(payload, dict):
            return await self.send(error("FORMAT_ERROR", "Invalid message: payload is no object"))
        await self.answer(frame, payload)

    async def answer(self, frame, payload):
        kind = frame["type"]
        if kind == "ping":
            await self.send({"type": "pong", "timestamp": iso_now()})
        elif kind in ("chat", "user_message"):
            await self.chat(payload)
        elif options.secret is None:
            await self.send({"type": "echo", "original_message": frame, "timestamp": iso_now()})
        else:
            acknowledged = {"received_type": kind, "user_id": self.user, "status": "acknowledged"}
            await self.send({"type": "ack", **acknowledged, "timestamp": time.time()})

    async def chat(self, payload):
        content = payload.get("content")
        if not isinstance(content, str) or not content.strip():
            return await self.send(error("FORMAT_ERROR", "Empty message content"))
        if options.fault == "chat-acknowledged":
            data = {"content": "Message received", "status": "acknowledged"}
            return await self.send({"type": "system_message", "data": data, "timestamp": time.time()})
        thread = payload.get("thread_id") or f"thread_{uuid.uuid4().hex[:12]}"
        run = asyncio.create_task(self.run(content, thread, f"run_{uuid.uuid4().hex[:12]}"))
        self.runs.add(run)
        run.add_done_callback(self.runs.discard)

    async def run(self, content, thread, run):
        """The agent: it multiplies the numbers in what it was told."""
        product = math.prod(int(number) for number in re.findall(r"\b\d{1,9}\b", content))
        steps = [
            {"message": f"Looking at: {content}"},
            {"reasoning": f"Which numbers are in: {content}"},
            {"tool_name": "multiply", "parameters": {"query": content}},
            {"tool_name": "multiply", "result": {"product": product}},
            {"final_response": f"{content} {product}"},
        ]
        for kind, fields in zip(EVENTS, steps, strict=True):
            if kind == "agent_completed" and options.fault == "no-terminal":
                return
            event = {"type": kind, "event": kind, **fields, "agent_name": AGENT, "user_id": self.user}
            event |= {"thread_id": thread, "timestamp": time.time()}
            if options.secret:
                event |= {"run_id": run, "event_id": uuid.uuid4().hex}
            if options.fault == "no-names":
                event = {name: event[name] for name in event if name not in ("run_id", "thread_id")}
            receiver = latest[-1] if options.fault == "shared-registry" else self
            try:
                await receiver.send(event)
                if options.fault == f"leak-{kind}":
                    others = [other for other in connections.values() if other is not self]
                    await asyncio.gather(*(other.send(event) for other in others), return_exceptions=True)
            except (WebSocketDisconnect, RuntimeError):
                return  # The client has gone; nobody is left to be told.
            if kind != EVENTS[-1]:
                await asyncio.sleep(PAUSE)


@app.websocket("/ws")
@app.websocket("/websocket")
async def serve(websocket: WebSocket):
    token, selected = token_of(websocket)
    selected = {"no-subprotocol": None, "alien-subprotocol": "alien.v1"}.get(options.fault, selected)
    await websocket.accept(subprotocol=selected)
    try:
        connection = Connection(websocket, user_of(websocket, token))
    except Refused as refused:
        await websocket.send_text(json.dumps(error(*refused.args)))
        return await websocket.close(1008)
    connections[id(connection)] = connection
    latest.append(connection)
    try:
        await connection.send(connection.welcome())
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                break
            if message.get("text") is None:
                await connection.send(error("FORMAT_ERROR", "Invalid message: text is expected, not bytes"))
            else:
                await connection.take(message["text"])
    except (WebSocketDisconnect, RuntimeError):
        pass  # It went while it was being answered.
    finally:
        del connections[id(connection)]
        latest.remove(connection)
        while connection.runs and options.fault == "dies-on-leave":
            time.sleep(1)  # As a handler that waits for a client that is not there.


if options.fault == "long-poll":

    @app.get("/ws")
    async def wait_for_ever():
        await asyncio.Event().wait()


@app.get("/health")
async def health():
    name = "embedded_websocket_server" if options.secret is None else "backend"
    return {"status": "healthy", "service": name, "connections": len(connections), "timestamp": time.time()}


@app.get("/ws/health")
async def socket_health():
    metrics = {"websocket": {"active_connections": len(connections)}}
    return {"status": "healthy", "service": "websocket", "timestamp": time.time(), "metrics": metrics}


# asyncio switches Nagle's algorithm off only on sockets that say that they are TCP.
tcp = 0 if options.fault == "nagle" else socket.IPPROTO_TCP
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, tcp)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", options.port))
listener.listen(1024)
print(f"ready ws://127.0.0.1:{listener.getsockname()[1]}/ws", flush=True)
config = uvicorn.Config(app, log_level="warning", http="h11", ws_max_size=HARD_BYTES, ws="websockets-sansio")
asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
