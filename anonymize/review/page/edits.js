// What was edited, with undo. A state is never changed: each edit makes a new one.
//
// A state: {tracks: {id: entry of the tracks file}, boxes: [{action, note, parts: [{first, last, box, box_last}]}],
// pieces: [{source, first, last, id}]}. Pieces say which frames of a track of the file belong to which track now.

export const REPLACING = ["generate", "avatar"];
export const COVERING = ["blur", "pixelate", "solid"];
const MOST_UNDO = 300;

export class EditError extends Error {}

export class History {
  constructor(state) {
    this.state = state;
    this.past = [];
    this.future = [];
    this.saved = state;
  }

  get dirty() {
    return this.state !== this.saved;
  }

  apply(state) {
    if (state === this.state) return;
    this.past.push(this.state);
    if (this.past.length > MOST_UNDO) this.past.shift();
    this.future = [];
    this.state = state;
  }

  undo() {
    if (!this.past.length) return false;
    this.future.push(this.state);
    this.state = this.past.pop();
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past.push(this.state);
    this.state = this.future.pop();
    return true;
  }
}

export function stateOf(review) {
  const tracks = Object.fromEntries(review.tracks.map((entry) => [entry.id, entry]));
  const boxes = [];
  for (const { action = "blur", note, ...part } of review.boxes) {
    const before = boxes.at(-1);
    const goesOn = before && before.action === action && before.note === note && before.parts.at(-1).last + 1 === part.first;
    if (goesOn) before.parts.push(part);
    else boxes.push({ action, note, parts: [part] });
  }
  return { tracks, boxes, pieces: review.pieces };
}

/** The edits as the server takes them. */
export function toEdits(state) {
  const boxes = state.boxes.flatMap(({ action, note, parts }) =>
    parts.map((part) => ({ ...part, action, ...(note === undefined ? {} : { note }) })));
  return { tracks: Object.values(state.tracks).sort((a, b) => a.id - b.id), boxes, pieces: state.pieces };
}

/** Runs [first, last] that lie in a span, cut to it. */
function cut(runs, first, last) {
  const found = [];
  for (const [start, end] of runs) if (start <= last && end >= first) found.push([Math.max(start, first), Math.min(end, last)]);
  return found;
}

function joined(runs) {
  const found = [];
  for (const [start, end] of [...runs].sort((a, b) => a[0] - b[0])) {
    const before = found.at(-1);
    if (before && start <= before[1] + 1) before[1] = Math.max(before[1], end);
    else found.push([start, end]);
  }
  return found;
}

/** Rows of the timeline: the tracks as they are now, and the added boxes. */
export function rowsOf(state, sources) {
  const rows = new Map();
  for (const piece of state.pieces) {
    const source = sources[piece.source];
    if (!source) continue;
    const seen = cut(source.seen, piece.first, piece.last);
    if (!seen.length) continue;
    const row = rows.get(piece.id) ?? { kind: "track", id: piece.id, entry: state.tracks[piece.id], seen: [], unsure: [], filled: [] };
    row.seen.push(...seen);
    row.unsure.push(...cut(source.unsure, piece.first, piece.last));
    row.filled.push(...cut(source.filled, piece.first, piece.last));
    const inside = seen.some(([start, end]) => start <= source.best && source.best <= end);
    row.thumbnail ??= { source: piece.source, frame: inside ? source.best : seen[0][0] };
    rows.set(piece.id, row);
  }
  const tracks = [...rows.values()];
  for (const row of tracks) {
    for (const name of ["seen", "unsure", "filled"]) row[name] = joined(row[name]);
    row.gaps = row.seen.slice(1).map(([start], k) => [row.seen[k][1] + 1, start - 1]);
    row.first = row.seen[0][0];
    row.last = row.seen.at(-1)[1];
    row.frames = row.seen.reduce((sum, [start, end]) => sum + end - start + 1, 0);
    row.doubt = [...row.unsure, ...row.filled, ...row.gaps].reduce((sum, [start, end]) => sum + end - start + 1, 0);
    row.action = row.entry.action;
  }
  const boxes = state.boxes.map((box, k) => {
    const [first, last] = [box.parts[0].first, box.parts.at(-1).last];
    return { kind: "box", id: k, entry: box, action: box.action, seen: [[first, last]], unsure: [], filled: [], gaps: [], first, last, frames: last - first + 1, doubt: 0 };
  });
  return { tracks, boxes };
}

/** The track that people of a source belong to in a frame. */
export function trackAt(state, source, frame) {
  return state.pieces.find((p) => p.source === source && p.first <= frame && frame <= p.last)?.id ?? source;
}

/** Where an added box is in a frame; undefined where it is not. */
export function boxAt(box, frame) {
  const part = box.parts.find(({ first, last }) => first <= frame && frame <= last);
  if (!part) return undefined;
  const share = part.last === part.first ? 0 : (frame - part.first) / (part.last - part.first);
  return part.box.map((v, k) => v + ((part.box_last ?? part.box)[k] - v) * share);
}

/** Number plates, and they alone, have IDs above this: `PLATES_AFTER` of the package. */
const PLATES_AFTER = 1_000_000;

/** The next ID of the same class as a track. */
function newId(state, like) {
  const known = [...Object.keys(state.tracks).map(Number), ...state.pieces.map((p) => p.source)];
  const [low, high] = like > PLATES_AFTER ? [PLATES_AFTER, Infinity] : [0, PLATES_AFTER];
  return Math.max(low, ...known.filter((id) => id > low && id <= high)) + 1;
}

/** The frames of a track in a span go to a new one, which is like it. Returns the state and the new ID. */
function takeOut(state, id, first, last) {
  const fresh = newId(state, id);
  const pieces = state.pieces.flatMap((p) => {
    if (p.id !== id || p.last < first || p.first > last) return [p];
    const parts = [{ ...p, first: Math.max(p.first, first), last: Math.min(p.last, last), id: fresh }];
    if (p.first < first) parts.unshift({ ...p, last: first - 1 });
    if (p.last > last) parts.push({ ...p, first: last + 1 });
    return parts;
  });
  const entry = { ...state.tracks[id], id: fresh };
  return [{ ...state, pieces, tracks: { ...state.tracks, [fresh]: entry } }, fresh];
}

/** Cut a row to a span, if the span holds not all of it. Returns the state and the ID of what lies in the span. */
export function inSpan(state, row, span) {
  if (!span || (span[0] <= row.first && row.last <= span[1])) return [state, row.id];
  const inside = row.seen.some(([start, end]) => start <= span[1] && end >= span[0]);
  if (!inside) throw new EditError(`${nameOf(row)} is not there in frames ${span[0]} to ${span[1]}`);
  return takeOut(state, row.id, span[0], span[1]);
}

/** From a frame on, a track is another one. */
export function split(state, row, frame) {
  const before = row.seen.some(([start]) => start < frame);
  const after = row.seen.some(([, end]) => end >= frame);
  if (!before || !after) throw new EditError(`${nameOf(row)} has no frames on both sides of frame ${frame}`);
  return takeOut(state, row.id, frame, Infinity);
}

/** Two tracks are one: frames of `other` go to `row`. */
export function merge(state, row, other) {
  if (row.kind !== "track" || other.kind !== "track" || row.id === other.id) throw new EditError("two different tracks can be merged");
  if (!row.id || !other.id) throw new EditError("the unknown track holds several people and cannot be merged");
  for (const [start, end] of row.seen) {
    const [both] = cut(other.seen, start, end);
    if (both) throw new EditError(`${nameOf(row)} and ${nameOf(other)} are both there in frames ${both[0]} to ${both[1]}: take these out of one of them first`);
  }
  const { [other.id]: _, ...tracks } = state.tracks;
  const pieces = state.pieces.map((p) => (p.id === other.id ? { ...p, id: row.id } : p));
  return { ...state, tracks, pieces: joinedPieces(pieces) };
}

/** Pieces without cuts between frames that go to the same track. */
function joinedPieces(pieces) {
  const found = [];
  for (const piece of [...pieces].sort((a, b) => a.source - b.source || a.first - b.first)) {
    const before = found.at(-1);
    if (before && before.source === piece.source && before.id === piece.id && before.last + 1 === piece.first) {
      found[found.length - 1] = { ...before, last: piece.last };
    } else found.push(piece);
  }
  return found;
}

/** A track's entry with other members; those that do not go with its action, or with each other, are left out. */
export function change(state, id, members) {
  const entry = { ...state.tracks[id], ...members };
  if (members.identity) delete entry.seed;
  else if (members.seed !== undefined && members.seed !== null) delete entry.identity;
  for (const name of ["seed", "identity"]) {
    if (entry[name] === undefined || entry[name] === null || entry[name] === "" || !REPLACING.includes(entry.action)) delete entry[name];
  }
  if (!entry.note) delete entry.note;
  return { ...state, tracks: { ...state.tracks, [id]: entry } };
}

export function addBox(state, box) {
  return { ...state, boxes: [...state.boxes, box] };
}

export function changeBox(state, index, members) {
  return { ...state, boxes: state.boxes.map((box, k) => (k === index ? { ...box, ...members } : box)) };
}

export function removeBox(state, index) {
  return { ...state, boxes: state.boxes.filter((_, k) => k !== index) };
}

/** The parts of a box with those of a span replaced by others. */
export function partsWith(box, fresh) {
  const [first, last] = [fresh[0].first, fresh.at(-1).last];
  const before = [], after = [];
  const at = (frame) => boxAt(box, frame).map((v) => Math.round(v * 10) / 10);
  for (const part of box.parts) {
    if (part.first < first) {
      const end = Math.min(part.last, first - 1);
      before.push(part.last === end ? part : { first: part.first, last: end, box: part.box, box_last: at(end) });
    }
    if (part.last > last) {
      const start = Math.max(part.first, last + 1);
      after.push(part.first === start ? part : { first: start, last: part.last, box: at(start), box_last: part.box_last ?? part.box });
    }
  }
  return [...before, ...fresh, ...after];
}

export function nameOf(row) {
  if (row.kind === "box") return `Box ${row.id + 1}`;
  return row.id ? `Track ${row.id}` : "Unknown track";
}
