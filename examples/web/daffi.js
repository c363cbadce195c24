// A client of daffi for web pages: one WebSocket, calls in JSON. Works with servers of this project and of daffi 3.0.1.
//
//   const client = await Client.connect("ws://127.0.0.1:5001", { name: "my-page" });
//   await client.call("add", [3, 4]);                              // 7
//   await client.call("greet", ["you"], { kwargs: { greeting: "Hi" }, receiver: "rpc-service", timeout: 5000 });
//   client.close();

const HANDSHAKE = 0, REQUEST = 1, RESPONSE = 2, ERROR = 3, EVENTS = 4; // kinds of frames
const JSON_FORMAT = 1;
const HEADER_BYTES = 9;
const METADATA_UNIT = 2 ** 25; // the lengths are one 40-bit number: message, and above its 25 bits the metadata

const text = new TextEncoder(), bytes = new TextDecoder();

/** A frame: header, `transmitter|receiver|method`, body as JSON. One WebSocket message holds exactly one. */
function encode({ id, kind, wantsAnswer, names, body }) {
  const metadata = text.encode(names.join("|")), payload = text.encode(JSON.stringify(body));
  const lengths = metadata.length + payload.length + metadata.length * METADATA_UNIT;
  const frame = new Uint8Array(HEADER_BYTES + metadata.length + payload.length);
  const header = new DataView(frame.buffer);
  header.setUint16(0, id, true);
  header.setUint8(2, kind | (JSON_FORMAT << 4) | (wantsAnswer << 7));
  header.setUint32(3, lengths % 2 ** 32, true);
  header.setUint8(7, Math.floor(lengths / 2 ** 32));
  header.setUint8(8, 0x81); // one part, little-endian
  frame.set(metadata, HEADER_BYTES);
  frame.set(payload, HEADER_BYTES + metadata.length);
  return frame;
}

function decode(message) {
  const header = new DataView(message);
  const lengths = header.getUint32(3, true) + header.getUint8(7) * 2 ** 32;
  const end = HEADER_BYTES + Math.floor(lengths / METADATA_UNIT);
  const names = bytes.decode(new Uint8Array(message, HEADER_BYTES, end - HEADER_BYTES)).split("|");
  const body = () => JSON.parse(bytes.decode(new Uint8Array(message, end)));
  return { id: header.getUint16(0, true), kind: header.getUint8(2) & 0x0f, names, body };
}

/** An exception in a callback: `name` is its class there. */
export class RemoteError extends Error {
  constructor([name, , message]) {
    super(message);
    this.name = name;
  }
}

export class Client {
  /** What other nodes expose: names to lists of methods. */
  members = new Map();
  /** Called with `{ type: "connected" | "disconnected" | "evicted", member }`. */
  onevent = () => {};

  #socket;
  #lastId = 0;
  #waiting = new Map(); // ids to { resolve, reject }
  #turns = new Map(); // methods to the number of calls so far

  constructor(name, socket) {
    this.name = name;
    this.#socket = socket;
    /** Resolves with the code and the reason when the connection has ended. */
    this.closed = new Promise((resolve) => socket.addEventListener("close", resolve));
  }

  /** Connects and says hello. Without a name it makes one up: a second client of the same name evicts the first. */
  static async connect(url, { name = `page-${crypto.getRandomValues(new Uint32Array(1))[0]}`, timeout = 8000 } = {}) {
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    const client = new Client(name, socket);
    const over = client.closed.then(({ code, reason }) => {
      const error = new Error(`the connection ended with code ${code}${reason && ": "}${reason}`);
      client.#waiting.forEach(({ reject }) => reject(error));
      client.#waiting.clear();
      throw error;
    });
    over.catch(() => {}); // calls in flight have been told
    socket.addEventListener("message", ({ data }) => client.#receive(decode(data)));
    await Promise.race([new Promise((resolve) => socket.addEventListener("open", resolve)), over]);
    const hello = { meta: { type: "client", error: null }, members: [{ name, methods: null }] };
    await client.#ask({ kind: HANDSHAKE, names: [name, "", ""], body: hello }, timeout);
    return client;
  }

  /** Calls a callback of another node and gives its result. `timeout` is in milliseconds. */
  async call(method, args = [], { kwargs = {}, receiver = this.#pick(method), timeout } = {}) {
    return this.#ask({ kind: REQUEST, names: [this.name, receiver, method], body: { args, kwargs } }, timeout);
  }

  close() {
    this.#socket.close(1000);
  }

  /** The next member that exposes the method, one after another. */
  #pick(method) {
    const candidates = [...this.members].filter(([name, methods]) => name !== this.name && methods.includes(method));
    if (candidates.length === 0) throw new Error(`no member exposes ${method}`);
    const turn = this.#turns.get(method) ?? 0;
    this.#turns.set(method, turn + 1);
    return candidates[turn % candidates.length][0];
  }

  #ask(frame, timeout) {
    if (this.#socket.readyState !== WebSocket.OPEN) throw new Error("there is no connection");
    if (this.#waiting.size >= 65535) throw new Error("too many calls are open");
    do this.#lastId = (this.#lastId % 65535) + 1;
    while (this.#waiting.has(this.#lastId));
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      // The id of a call that timed out rests until its answer comes, so that no other call gets it.
      if (timeout) setTimeout(() => reject(new Error(`no answer within ${timeout} ms`)), timeout);
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(encode({ ...frame, id, wantsAnswer: true }));
    });
  }

  #receive({ id, kind, names: [transmitter], body }) {
    const answered = this.#waiting.get(id);
    switch (kind) {
      case HANDSHAKE: {
        // The answer to our own is the whole list; others tell of one member.
        const { meta, members } = body(), isAnswer = transmitter === this.name;
        if (isAnswer) this.members.clear();
        for (const { name, methods } of members) this.members.set(name, methods ?? []);
        if (!isAnswer) return;
        this.#waiting.delete(id);
        if (meta.error) answered?.reject(new Error(`the server refused: ${meta.error}`));
        else answered?.resolve();
        return;
      }
      case RESPONSE:
        this.#waiting.delete(id);
        answered?.resolve(body().args[0]);
        return;
      case ERROR:
        this.#waiting.delete(id);
        answered?.reject(new RemoteError(body().args[0]));
        return;
      case EVENTS: {
        const event = body();
        if (event.type === "disconnected") this.members.delete(event.member);
        this.onevent(event);
      }
    }
  }
}
