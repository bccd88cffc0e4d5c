// The control API of the embedded server: plain calls, and the event stream with reconnects of its own
// (an EventSource gives up for good when a restarting server answers with an error).

import { parseExactly } from "./json.js";

async function call(method, path, body, parse = JSON.parse) {
  const init = { method };
  if (body !== undefined) {
    init.headers = { "content-type": "application/json" };
    init.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(`/_sim/${path}`, init);
  } catch {
    throw new Error("The server does not answer.");
  }
  const answer = await response.text().then(parse).catch(() => null);
  if (!response.ok) throw new Error(answer?.message || answer?.error || `The server answered ${response.status}.`);
  return answer;
}

/** Reads; `query` becomes the query string, `parse` reads the JSON. */
export const get = (path, query = {}, parse = JSON.parse) => call("GET", withQuery(path, query), undefined, parse);

function withQuery(path, query) {
  const search = new URLSearchParams(query).toString();
  return search ? `${path}?${search}` : path;
}

/** Acts. */
export const post = (path, body) => call("POST", path, body);

/** Takes back. */
export const remove = (path, query = {}) => call("DELETE", withQuery(path, query));

const RETRY_MS = [500, 1000, 2000, 4000];

/**
 * Keeps the event stream open. `onOpen` runs after every connect, before its first event: what happened
 * while the stream was away is not sent again, so the caller reads everything anew there.
 */
export function follow({ onOpen, onEvent, onLost }) {
  let attempt = 0;
  const connect = () => {
    const source = new EventSource("/_sim/events?inspect=true");
    source.onopen = () => {
      attempt = 0;
      onOpen();
    };
    source.onmessage = ({ data }) => {
      let event;
      try {
        event = parseExactly(data);
      } catch {
        return; // one unreadable event must not end the stream
      }
      onEvent(event);
    };
    source.onerror = () => {
      source.close();
      onLost();
      setTimeout(connect, RETRY_MS[Math.min(attempt++, RETRY_MS.length - 1)]);
    };
  };
  connect();
}
