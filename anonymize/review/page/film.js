// The film's frames, decoded by the server as they are asked for, and the people in them.

const KEPT = 48;
const AHEAD = 10;
const CHUNK = 32;

export async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw Object.assign(new Error("the program does not answer: it has ended. Edits that are not saved are in this tab only."), { gone: true });
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({ error: answer.statusText }));
    throw Object.assign(new Error(told.error), { status: answer.status });
  }
  return answer;
}

export const askJson = async (path, body) => (await ask(path, body)).json();

/** Keeps the last results of a function that asks for something by a number. */
class Kept {
  constructor(load, most, drop = () => {}) {
    Object.assign(this, { load, most, drop, found: new Map() });
  }

  /** What is here already; undefined while it is on its way. */
  peek(key) {
    const each = this.found.get(key);
    return each?.value;
  }

  get(key) {
    let each = this.found.get(key);
    if (each) this.found.delete(key);
    else {
      each = { promise: this.load(key) };
      const own = each;
      each.promise.then(
        (value) => (own.dropped ? this.drop(value) : (own.value = value)),
        () => this.found.get(key) === own && this.found.delete(key));
    }
    this.found.set(key, each);
    for (const [oldest, entry] of this.found) {
      if (this.found.size <= this.most) break;
      this.found.delete(oldest);
      entry.dropped = true;
      if (entry.value !== undefined) this.drop(entry.value);
    }
    return each.promise;
  }
}

export class Film {
  constructor(review, times) {
    this.times = times;
    this.count = review.frames;
    this.pictures = new Kept(async (k) => createImageBitmap(await (await ask(`frame/${k}`)).blob()), KEPT, (bitmap) => bitmap.close());
    this.crowds = new Kept((k) => askJson(`people/${k * CHUNK}-${Math.min(k * CHUNK + CHUNK, this.count) - 1}`), 64);
  }

  /** The picture of a frame and its people. */
  async frame(number) {
    const [picture, crowd] = await Promise.all([this.pictures.get(number), this.crowds.get(Math.floor(number / CHUNK))]);
    return { picture, people: crowd[number % CHUNK] };
  }

  /** Begin to load what is played next. */
  prepare(number) {
    const last = Math.min(this.count - 1, number + AHEAD);
    for (let k = number; k <= last; k++) this.pictures.get(k).catch(() => {});
    this.crowds.get(Math.floor(last / CHUNK)).catch(() => {});
  }

  /** The last frame that has begun at a time in seconds. */
  at(seconds) {
    let low = 0, high = this.count - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.times[middle] <= seconds) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** A time of the film: 7.25 s, 3:05.2 or 1:02:03. */
export function clock(seconds) {
  if (seconds < 59.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 3599.95) {
    const tenths = Math.round(seconds * 10);
    return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
  }
  const whole = Math.round(seconds), minutes = Math.floor(whole / 60);
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${String(whole % 60).padStart(2, "0")}`;
}
