// Socket.IO, as a team would write it. Stores nothing and checks no token: whoever connects is a new user. With
// `--recover` after the address to listen on, it keeps what it said in the last two minutes in memory, for connections
// that come back (`connectionStateRecovery`); without, what was said while a connection was away is lost.

const { createServer } = require("node:http");
const { Server } = require("socket.io");
const fiveEvents = require("./five_events.cjs");

const [listen, recover] = process.argv.slice(2);
const http = createServer();
const io = new Server(http, recover === "--recover" ? { connectionStateRecovery: {} } : {});

io.on("connection", (socket) => {
  // What is in `data` comes back with a recovered connection.
  socket.data.user ??= `user_${socket.id}`;
  socket.data.seq ??= 0;
  socket.emit("connection_established", { user_id: socket.data.user, timestamp: Date.now() / 1000 });
  socket.on("chat", ({ content }) => {
    for (const { type, ...event } of fiveEvents(socket.data.user, content, socket.data.seq)) socket.emit(type, event);
    socket.data.seq += 5;
  });
  socket.on("ping", () => socket.emit("pong", { timestamp: Date.now() / 1000 }));
});

const [host, port] = listen.split(":");
http.listen({ host, port: Number(port), backlog: 4096 }, () => {
  console.log(`ready ws://${host}:${http.address().port}/ws`);
});
