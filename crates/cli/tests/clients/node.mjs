// The conversation through the `ws` library, with a token among the subprotocols as a browser would have it.
// Arguments: the server's socket and a token. Prints every frame it got.

import { createRequire } from "node:module";
import { converse } from "./conversation.mjs";

const WebSocket = createRequire(import.meta.url)(`${process.env.WIREPROOF_NODE_MODULES}/ws`);
const [url, token] = process.argv.slice(2);

/** Fragments of five bytes: some of them end inside a character. */
function sayInFragments(socket, text) {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += 5) {
    socket.send(bytes.subarray(at, at + 5), { binary: false, fin: at + 5 >= bytes.length });
  }
}

const got = await converse(WebSocket, url, token, sayInFragments, (socket) => socket.terminate());
console.log(JSON.stringify(got));
