// A conversation over anything that looks like a browser's WebSocket: asks, loses its connection in mid-run, comes back
// for the rest. Gives every frame it got.

const QUESTION = '{"type":"chat","payload":{"content":"What is 17*23, and how many words are in this sentence?"}}';
const COUNT = '{"type":"chat","id":"zwölf 🦀","payload":{"content":"Count from 1 to 40."}}';

/** An open connection, the frames that came, and `until`, which waits until there are enough of them. */
function open(WebSocket, url, token) {
  const socket = new WebSocket(url, ["wireproof.v1", `jwt.${token}`]);
  const frames = [];
  let tell = () => {};
  let ended;
  socket.onmessage = ({ data }) => (frames.push(data), tell());
  socket.onclose = ({ code, reason }) => ((ended = `closed with ${code} ${reason}`), tell());
  const until = (enough) =>
    new Promise((resolve, reject) => {
      tell = () => {
        if (enough(frames.map((frame) => JSON.parse(frame)))) resolve();
        else if (ended) reject(new Error(`${ended} after ${frames.length} frames`));
      };
      tell();
    });
  return { socket, frames, until };
}

const has = (kind, times = 1) => (frames) => frames.filter(({ type }) => type === kind).length >= times;

/** `say` sends a text, in fragments if it can; `lose` ends a connection as abruptly as it can. */
export async function converse(WebSocket, url, token, say, lose) {
  const first = open(WebSocket, url, token);
  await first.until(has("connection_established"));
  first.socket.send(QUESTION);
  await first.until(has("agent_completed"));
  say(first.socket, COUNT);
  await first.until((frames) => has("message_delta", 3)(frames.slice(-5)));
  const got = [...first.frames];
  lose(first.socket);

  const events = got.map((frame) => JSON.parse(frame));
  const after = events.findLast((frame) => frame.event_id).seq;
  const second = open(WebSocket, `${url}?epoch=${events[0].epoch}&after=${after}`, token);
  await second.until((frames) => has("agent_completed")(frames) && has("caught_up")(frames));
  second.socket.close(1000);
  return { protocol: first.socket.protocol, first: got, second: second.frames };
}
