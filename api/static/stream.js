// Talking to the API: one JSON reader, one reader of server-sent events over a POST.

export class Problem extends Error {
  constructor({ status = 0, code, message, requestId = "", retryAfter = "" }) {
    super(message);
    Object.assign(this, { status, code, requestId, retryAfter });
  }
}

export async function getDocument(identity, id) {
  const headers = identity.principals.length ? { "X-Pincite-Principals": bytes(identity.principals.join(", ")) } : {};
  const response = await request(`/v1/documents/${encodeURIComponent(id)}`, identity, { headers });
  return response.json();
}

// Yields {event, data} until the stream ends; throws a Problem for everything that is not an answer.
export async function* ask(identity, question, signal) {
  const body = { question };
  if (identity.principals.length) body.principals = identity.principals;
  const response = await request("/v1/answers", identity, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify(body),
    signal,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(value);
    }
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Problem({ code: "cut_off", message: "The connection broke before the answer was complete." });
  } finally {
    reader.cancel().catch(() => {}); // also when the page stopped listening: nobody should go on writing
  }
}

// fetch() takes header values as one character per byte; the API reads the bytes as UTF-8.
function bytes(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

async function request(url, identity, options) {
  const headers = { ...options.headers, Authorization: `Bearer ${identity.key}` };
  let response;
  try {
    response = await fetch(url, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ code: "unreachable", message: "The server cannot be reached." });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const { error = {} } = await response.json().catch(() => ({}));
  return new Problem({
    status: response.status,
    code: error.code ?? `http_${response.status}`,
    message: error.message ?? `The server answered with status ${response.status}.`,
    requestId: error.request_id ?? response.headers.get("X-Request-ID") ?? "",
    retryAfter: response.headers.get("Retry-After") ?? "",
  });
}

// https://html.spec.whatwg.org/multipage/server-sent-events.html, as far as one answer needs it.
export class EventParser {
  #rest = "";
  #event = "";
  #data = [];

  *push(chunk) {
    this.#rest += chunk;
    // A CR at the very end may be half of a CRLF: it waits for the next chunk.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") yield* this.#dispatch();
      else this.#field(line);
    }
  }

  #field(line) {
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "event") this.#event = value;
    if (name === "data") this.#data.push(value);
  }

  *#dispatch() {
    if (this.#data.length) yield { event: this.#event, data: JSON.parse(this.#data.join("\n")) };
    this.#event = "";
    this.#data = [];
  }
}
