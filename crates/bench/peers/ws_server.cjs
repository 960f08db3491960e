// Node with `ws`, as a team would write it. Stores nothing and checks no token: whoever connects is a new user, and what
// was said while a connection was away is lost. Started with the address to listen on.

const { randomUUID } = require("node:crypto");
const { createServer } = require("node:http");
const { WebSocketServer } = require("ws");
const fiveEvents = require("./five_events.cjs");

const http = createServer();
const server = new WebSocketServer({ server: http, path: "/ws" });

server.on("connection", (socket) => {
  const user = `user_${randomUUID()}`;
  let seq = 0;
  const send = (frame) => socket.send(JSON.stringify(frame));
  send({ type: "connection_established", user_id: user, timestamp: Date.now() / 1000 });
  socket.on("message", (text) => {
    const frame = JSON.parse(text);
    if (frame.type === "chat") {
      for (const event of fiveEvents(user, frame.content, seq)) send(event);
      seq += 5;
    } else if (frame.type === "ping") {
      send({ type: "pong", timestamp: Date.now() / 1000 });
    }
  });
  // A connection that breaks is nobody's fault.
  socket.on("error", () => {});
});

const [host, port] = process.argv[2].split(":");
http.listen({ host, port: Number(port), backlog: 4096 }, () => {
  console.log(`ready ws://${host}:${http.address().port}/ws`);
});
