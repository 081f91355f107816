// The page: what is selected, what keys and buttons do, and the film with its outlines.

import * as edits from "./edits.js";
import { Film, ask, askJson, clock } from "./film.js";
import { Timeline, fit } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const ACTIONS = [["keep", "K"], ["drop", "D"], ["blur", "B"], ["pixelate", "P"], ["solid", "C"], ["generate", "G"], ["avatar", "A"]];
const BOX_SECONDS = 2;
const POLL_MS = 300;
const STROKES = { keep: "#4caf50", drop: "#9e9e9e", box: "#c39be0", covered: "#4fb3ff" };

const review = await askJson("review.json").catch(fail);
const times = new Float64Array(await (await ask("times").catch(fail)).arrayBuffer());
const film = new Film(review, times);
const history = new edits.History(edits.stateOf(review));
let revision = review.revision;
let rows = [], doubts = [], selected = null, mode = null, other = null, span = null, frame = 0, shown = null, wanted = 0;
let playing = null, drawn = null, byDoubt = true, job = null, busy = false, place = { x: 0, y: 0, scale: 1 };
let bannerIs = null;

function fail(error) {
  $("banner").hidden = false;
  $("banner").textContent = error.message;
  throw error;
}

const timeline = new Timeline($("list"), $("axis"), film.count, {
  pick: (row) => (mode === "merge" ? mergeWith(row) : select(row)),
  seek: (k) => go(k),
});
timeline.label = (k) => clock(times[Math.min(k, film.count - 1)]);

// ---- rows, selection and what is told of it

const key = (row) => row && `${row.kind}${row.id}`;

function refresh() {
  const made = edits.rowsOf(history.state, review.sources);
  const byTime = (a, b) => a.first - b.first || a.id - b.id;
  made.tracks.sort((a, b) => (byDoubt && b.doubt - a.doubt) || byTime(a, b));
  const old = key(selected), oldOther = key(other);
  rows = [...made.boxes, ...made.tracks];
  selected = rows.find((row) => key(row) === old) ?? null;
  other = rows.find((row) => key(row) === oldOther) ?? null;
  doubts = made.tracks.flatMap((row) => [
    ...row.gaps.map((run) => ({ row, run, why: "gap" })),
    ...row.filled.map((run) => ({ row, run, why: "filled in" })),
    ...row.unsure.map((run) => ({ row, run, why: `score below ${review.low_score}` })),
  ]).sort((a, b) => a.run[0] - b.run[0] || a.run[1] - b.run[1]);
  tellDoubts();
  tell();
}

function tellDoubts() {
  $("doubts").textContent = doubts.length ? `${doubts.length} spans` : "";
  const shownDoubts = doubts.slice(0, 500);
  $("doubtful").replaceChildren(...shownDoubts.map((doubt, k) => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.dataset.doubt = k;
    for (const [name, text] of [["when", clock(times[doubt.run[0]])], ["who", edits.nameOf(doubt.row)], ["why", doubt.why]]) {
      const part = document.createElement("span");
      part.className = name;
      part.textContent = text;
      button.append(part);
    }
    item.append(button);
    return item;
  }));
  if (!doubts.length) $("doubtful").textContent = "Nothing: no track has a low score or a gap.";
}

function tell() {
  const row = selected;
  $("panel").hidden = !row;
  $("name").textContent = row ? edits.nameOf(row) : "Nothing selected";
  $("facts").textContent = row
    ? `${clock(times[row.first])} to ${clock(times[row.last])}, ${row.frames} frames`
    : "Choose a track in the timeline or in the film.";
  const picture = row?.thumbnail ? `thumbnail/${row.thumbnail.frame}/${row.thumbnail.source}` : "";
  if ($("portrait").dataset.picture !== picture) {
    $("portrait").dataset.picture = picture;
    $("portrait").replaceChildren();
    if (picture) $("portrait").append(Object.assign(new Image(), { alt: $("name").textContent, src: picture }));
  }
  if (row) {
    const isTrack = row.kind === "track";
    $("extent").textContent = isTrack && span ? `For frames ${span[0]} to ${span[1]} only (Esc: for the whole track)` : isTrack ? "For the whole track" : `Frames ${row.first} to ${row.last}`;
    for (const button of $("actions").children) {
      button.setAttribute("aria-pressed", button.dataset.action === row.action);
      button.hidden = isTrack ? !may(button.dataset.action) : !edits.COVERING.includes(button.dataset.action);
    }
    $("looks").hidden = !isTrack || !edits.REPLACING.includes(row.action);
    if (document.activeElement !== $("seed")) $("seed").value = row.entry.seed ?? "";
    $("identity").value = row.entry.identity ?? "";
    if (document.activeElement !== $("note")) $("note").value = row.entry.note ?? "";
    $("track-tools").hidden = !isTrack;
    $("box-tools").hidden = isTrack;
  }
  $("clear").hidden = !span;
  $("draw").setAttribute("aria-pressed", mode === "draw");
  $("hint").textContent =
    mode === "merge" ? `Merge ${edits.nameOf(row)} with: choose a track (click, or Up and Down, then Enter; Esc: leave)`
    : mode === "draw" ? "Draw a box with the pointer, or move it with the arrows (Shift: size, Alt: by a pixel), then Enter; Esc: leave"
    : job?.kind === "follow" ? `Following the box: ${job.done} of ${job.total ?? "?"} frames (Esc: stop)`
    : span ? `Span: frames ${span[0]} to ${span[1]}, ${clock(times[span[1]] - times[span[0]])} long` : "";
  document.querySelector('[data-does="undo"]').disabled = !history.past.length;
  document.querySelector('[data-does="redo"]').disabled = !history.future.length;
  document.querySelector('[data-does="save"]').disabled = busy;
  $("status").textContent = busy ? "Saving…" : history.dirty ? "Edits that are not saved" : `${review.file} is saved`;
  document.title = `${history.dirty ? "• " : ""}${review.film} – review`;
  timeline.update({ rows, selected, other, span, frame });
  paint();
}

const may = (action) => !edits.REPLACING.includes(action) || review.replaces;

function select(row, reveal = false) {
  selected = row;
  if (row && reveal) timeline.reveal(row);
  tell();
}

function complain(error) {
  if (!(error instanceof edits.EditError) && error.status === undefined && !error.gone) console.warn(error);
  banner(error.message, error.status === 409 && /nothing was written/.test(error.message) ? "conflict" : "error");
}

function banner(text, kind, buttons = [["Close", () => closeBanner()]]) {
  bannerIs = kind;
  if (kind === "conflict") {
    buttons = [["Save a copy beside it", saveCopy], ["Load what was saved, without these edits", () => ((leaving = true), location.reload())], ...buttons];
  }
  $("banner").replaceChildren(Object.assign(document.createElement("span"), { textContent: text }));
  for (const [label, does] of buttons) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
    button.addEventListener("click", does);
    $("banner").append(button);
  }
  $("banner").hidden = false;
}

function closeBanner() {
  bannerIs = null;
  $("banner").hidden = true;
}

// ---- the film

function go(number) {
  wanted = Math.min(film.count - 1, Math.max(0, number));
  frame = wanted;
  $("number").value = frame;
  $("clock").textContent = clock(times[frame]);
  timeline.update({ frame });
  return load();
}

async function load() {
  const number = wanted;
  try {
    const found = await film.frame(number);
    if (number !== wanted) return;
    shown = { number, ...found };
    if (bannerIs === "film") closeBanner();
    paint();
  } catch (error) {
    if (number === wanted) {
      stop();
      banner(error.message, "film");
    }
  }
}

function play() {
  if (playing) return stop();
  const from = frame === film.count - 1 ? 0 : frame;
  playing = { began: performance.now(), from };
  $("play").textContent = "Pause";
  go(from).then(step);
}

function stop() {
  playing = null;
  $("play").textContent = "Play";
}

/** Show the frame whose time has come; if it is not here yet, the film waits for it. */
async function step() {
  const run = playing;
  if (!run) return;
  film.prepare(frame);
  const seconds = times[run.from] + (performance.now() - run.began) / 1000;
  const due = film.at(seconds);
  if (frame >= film.count - 1) return stop();
  if (due > frame) {
    const next = film.pictures.peek(due) ? due : frame + 1;
    await go(next);
    if (playing !== run) return;
    if (due - next > 2) playing = { began: performance.now(), from: next }; // too slow: time waits
  }
  requestAnimationFrame(step);
}

function paint() {
  const canvas = $("film"), context = fit(canvas);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  const [height, width] = review.size_hw;
  const scale = Math.min(canvas.width / width, canvas.height / height);
  place = { x: (canvas.width - width * scale) / 2, y: (canvas.height - height * scale) / 2, scale };
  if (!shown) return;
  context.drawImage(shown.picture, place.x, place.y, width * scale, height * scale);
  context.setTransform(scale, 0, 0, scale, place.x, place.y);
  const thin = (1.5 * devicePixelRatio) / scale;
  const label = (text, x, y, colour) => {
    const size = (12 * devicePixelRatio) / scale;
    context.font = `600 ${size}px system-ui, sans-serif`;
    const wide = context.measureText(text).width + size * 0.6;
    const left = Math.min(Math.max(0, x), width - wide), top = Math.max(0, y - size * 1.35);
    context.fillStyle = colour;
    context.fillRect(left, top, wide, size * 1.35);
    context.fillStyle = "#101010";
    context.fillText(text, left + size * 0.3, top + size);
  };
  for (const person of shown.people) {
    const id = edits.trackAt(history.state, person.source, shown.number);
    const row = rows.find((each) => each.kind === "track" && each.id === id);
    if (!row) continue;
    const chosen = row === selected || row === other;
    const colour = STROKES[row.action] ?? STROKES.covered;
    context.strokeStyle = colour;
    context.lineWidth = chosen ? thin * 2.4 : thin;
    context.setLineDash(row.action === "drop" ? [thin * 2, thin * 3] : person.filled ? [thin * 6, thin * 3] : []);
    context.beginPath();
    for (const line of person.outlines) {
      for (let k = 0; k < line.length; k += 2) context[k ? "lineTo" : "moveTo"](line[k] + 0.5, line[k + 1] + 0.5);
      context.closePath();
    }
    context.stroke();
    if (row === selected) {
      context.globalAlpha = 0.18;
      context.fillStyle = colour;
      context.fill();
      context.globalAlpha = 1;
    }
    const doubt = person.filled ? " filled" : person.score < review.low_score ? ` ${person.score.toFixed(2)}` : "";
    label(`${id || "?"}${row.action === "keep" || row.action === "drop" ? ` ${row.action}` : ""}${doubt}`, person.box[0], person.box[1], colour);
  }
  context.setLineDash([]);
  history.state.boxes.forEach((box, k) => {
    const corners = edits.boxAt(box, shown.number);
    if (corners) outline(corners, `Box ${k + 1}`, selected?.kind === "box" && selected.id === k);
  });
  if (drawn) outline(drawn, "", true);

  function outline([left, top, right, bottom], text, chosen) {
    context.strokeStyle = STROKES.box;
    context.lineWidth = chosen ? thin * 2.4 : thin;
    context.strokeRect(left, top, right - left, bottom - top);
    if (text) label(text, left, top, STROKES.box);
  }
}

function pointOf(event) {
  const box = $("film").getBoundingClientRect();
  const x = ((event.clientX - box.left) * devicePixelRatio - place.x) / place.scale;
  const y = ((event.clientY - box.top) * devicePixelRatio - place.y) / place.scale;
  return [Math.min(Math.max(0, x), review.size_hw[1]), Math.min(Math.max(0, y), review.size_hw[0])];
}

$("film").addEventListener("pointerdown", (event) => {
  if (event.button) return;
  $("film").focus();
  const [x, y] = pointOf(event);
  if (mode !== "draw") return pickAt(x, y);
  event.preventDefault();
  $("film").setPointerCapture(event.pointerId);
  const move = (e) => {
    const [u, v] = pointOf(e);
    drawn = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
    paint();
  };
  $("film").onpointermove = move;
  $("film").onpointercancel = () => ($("film").onpointermove = null);
  $("film").onpointerup = (e) => {
    $("film").onpointermove = $("film").onpointerup = null;
    move(e);
    finishDrawing();
  };
});

function pickAt(x, y) {
  const inside = ([left, top, right, bottom]) => left <= x && x <= right && top <= y && y <= bottom;
  const area = ([left, top, right, bottom]) => (right - left) * (bottom - top);
  const found = rows.filter((row) => row.kind === "box").map((row) => ({ row, box: edits.boxAt(row.entry, frame) }));
  for (const person of shown?.number === frame ? shown.people : []) {
    const id = edits.trackAt(history.state, person.source, frame);
    found.push({ row: rows.find((row) => row.kind === "track" && row.id === id), box: person.box });
  }
  const hit = found.filter(({ row, box }) => row && box && inside(box)).sort((a, b) => area(a.box) - area(b.box))[0];
  if (mode === "merge") return hit && mergeWith(hit.row);
  select(hit?.row ?? null, true);
}

// ---- edits

function edit(act) {
  try {
    const made = act(history.state);
    const [state, chosen] = Array.isArray(made) ? made : [made, undefined];
    history.apply(state);
    if (chosen !== undefined) selected = chosen;
    if (bannerIs === "error") closeBanner();
    refresh();
  } catch (error) {
    complain(error);
  }
}

/** Change the selected track, or the part of it that lies in the span. */
function changeSelected(members) {
  const row = selected;
  if (!row) return banner("choose a track first", "error");
  if (row.kind === "box") return edit((state) => edits.changeBox(state, row.id, members));
  edit((state) => {
    const [cutState, id] = edits.inSpan(state, row, span);
    const changed = edits.change(cutState, id, members);
    return [changed, { kind: "track", id }];
  });
}

function act(action) {
  if (!selected) return banner("choose a track first", "error");
  if (selected.kind === "box" && !edits.COVERING.includes(action)) return banner("a box is blurred, pixelated or painted", "error");
  if (!may(action)) return banner("the file has no body surfaces to replace people with: detect them with --mode generate or avatar", "error");
  changeSelected({ action });
}

function mergeWith(row) {
  const [first, second] = [selected, row];
  mode = null;
  other = null;
  edit((state) => [edits.merge(state, first, second), { kind: "track", id: first.id }]);
}

function draw() {
  stop();
  if (mode === "draw") return leave();
  const [height, width] = review.size_hw;
  const old = selected?.kind === "box" ? edits.boxAt(selected.entry, frame) : null;
  mode = "draw";
  drawn = old ?? [width * 0.4, height * 0.3, width * 0.6, height * 0.7].map(Math.round);
  $("film").classList.add("drawing");
  $("film").focus();
  tell();
}

function leave() {
  mode = null;
  other = null;
  drawn = null;
  $("film").classList.remove("drawing");
  tell();
}

function finishDrawing() {
  const box = drawn.map((v) => Math.round(v * 10) / 10);
  leave();
  if (box[2] - box[0] < 4 || box[3] - box[1] < 4) return banner("the box is too small", "error");
  const row = selected?.kind === "box" ? selected : null;
  if (row && row.first <= frame && frame <= row.last) { // from here on it stands there
    const fresh = [{ first: frame, last: row.last, box }];
    return edit((state) => edits.changeBox(state, row.id, { parts: edits.partsWith(row.entry, fresh) }));
  }
  const inside = span && span[0] <= frame && frame <= span[1];
  const [first, last] = inside ? span : [frame, Math.max(frame, film.at(times[frame] + BOX_SECONDS))];
  const action = edits.COVERING.includes(review.mode) ? review.mode : "blur";
  edit((state) => [edits.addBox(state, { action, parts: [{ first, last, box }] }), { kind: "box", id: state.boxes.length }]);
}

async function follow(back) {
  const row = selected;
  if (job) return banner("other work is under way", "error");
  if (row?.kind !== "box") return banner("choose a box first, or draw one", "error");
  const box = edits.boxAt(row.entry, frame);
  if (!box) return banner(`${edits.nameOf(row)} is not there in frame ${frame}`, "error");
  let to = back ? row.first : row.last;
  if (span && span[0] <= frame && frame <= span[1]) to = back ? span[0] : span[1];
  if (to === frame) return banner("there is no frame to follow it to", "error");
  const state = history.state;
  job = { kind: "follow", state: "running", done: 0, total: Math.abs(to - frame) + 1 };
  tell();
  try {
    await ask("follow", { box, at: frame, to });
    const done = await watch();
    if (done.state !== "done") return done.state === "failed" && banner(done.message, "error");
    if (history.state !== state) return banner("the box was edited while it was followed; follow it again", "error");
    const { parts, lost } = done.result;
    edit((now) => edits.changeBox(now, row.id, { parts: edits.partsWith(row.entry, parts) }));
    if (lost !== null) {
      go(lost);
      banner(`the box was lost in frame ${lost}: ${back ? "before" : "from there on"} it stays where it was last; place it there and follow on`, "error");
    }
  } catch (error) {
    complain(error);
  } finally {
    job = null;
    tell();
  }
}

/** Wait for the work that is under way. */
async function watch() {
  try {
    for (;;) {
      job = await askJson("job.json");
      tellJob();
      if (job.state !== "running") return job;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } finally {
    job = null;
    tellJob();
  }
}

function tellJob() {
  const renders = job?.kind === "render" && job.state === "running";
  $("progress").hidden = $("cancel").hidden = !renders;
  $("start").disabled = renders;
  if (renders) {
    if (job.total) Object.assign($("progress"), { max: job.total, value: job.done });
    else $("progress").removeAttribute("value");
    $("told").textContent = job.done ? `${job.done} of ${job.total ?? "?"} frames` : "Starting…";
  }
  if (job?.kind === "follow") tell();
}

// ---- saving and rendering

async function save() {
  if (busy) return false;
  const state = history.state;
  busy = true;
  tell();
  try {
    ({ revision } = await askJson("save", { revision, edits: edits.toEdits(state) }));
    history.saved = state;
    if (bannerIs === "error") closeBanner();
    return true;
  } catch (error) {
    complain(error);
    return false;
  } finally {
    busy = false;
    tell();
  }
}

async function saveCopy() {
  try {
    const { file } = await askJson("copy", { edits: edits.toEdits(history.state) });
    banner(`these edits are saved as ${file}`, "copy");
  } catch (error) {
    complain(error);
  }
}

function openRender() {
  stop();
  $("result").textContent = review.result;
  $("replace").hidden = !review.result_exists;
  if (!job) $("told").textContent = "";
  if (!$("render").open) $("render").showModal();
  $("start").focus();
}

async function startRender() {
  if (history.dirty && !(await save())) return $("render").close();
  const overwrite = review.result_exists && $("overwrite").checked;
  try {
    await ask("render", { revision, overwrite });
    const done = await watch();
    review.result_exists ||= done.state === "done";
    $("told").textContent =
      done.state === "done" ? `${done.result.output}: ${done.result.frames} frames in ${done.result.seconds} s. ${done.result.warnings.join(". ")}`
      : done.state === "cancelled" ? "Cancelled; no file was written." : done.message;
  } catch (error) {
    $("told").textContent = error.message;
    if (/exists/.test(error.message)) review.result_exists = true;
    if (error.status === 409) complain(error);
  }
  $("replace").hidden = !review.result_exists;
}

// ---- keys and buttons

const move = (count) => {
  const list = mode === "merge" ? rows.filter((row) => row.kind === "track" && row !== selected) : rows;
  if (!list.length) return;
  const at = list.indexOf(mode === "merge" ? other : selected);
  const next = list[at < 0 ? (count > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + count))];
  if (mode === "merge") {
    other = next;
    timeline.reveal(next);
    tell();
  } else {
    select(next, true);
    if (frame < next.first || frame > next.last) go(next.first);
  }
};

const doubt = (count) => {
  const from = doubts.findIndex((each) => each === doubt.last);
  const near = count > 0 ? doubts.findIndex((each) => each.run[0] >= frame) : doubts.findLastIndex((each) => each.run[0] < frame);
  openDoubt(doubts[from < 0 ? near : from + count]);
};

function openDoubt(each) {
  if (!each) return;
  doubt.last = each;
  select(each.row, true);
  go(each.run[0]);
  const index = doubts.indexOf(each);
  for (const button of $("doubtful").querySelectorAll("button")) {
    const here = Number(button.dataset.doubt) === index;
    button.setAttribute("aria-current", here);
    if (here) button.scrollIntoView({ block: "nearest" });
  }
}

const does = {
  play, save, follow: () => follow(false), followBack: () => follow(true), render: openRender, startRender, draw,
  back: () => (stop(), go(frame - 1)),
  on: () => (stop(), go(frame + 1)),
  undo: () => history.undo() && refresh(),
  redo: () => history.redo() && refresh(),
  in: () => ((span = [frame, span && span[1] >= frame ? span[1] : film.count - 1]), tell()),
  out: () => ((span = [span && span[0] <= frame ? span[0] : 0, frame]), tell()),
  clear: () => ((span = null), tell()),
  split: () => selected?.kind === "track" && edit((state) => {
    const [made, id] = edits.split(state, selected, frame);
    return [made, { kind: "track", id }];
  }),
  merge: () => {
    if (selected?.kind !== "track") return banner("choose a track first", "error");
    mode = "merge";
    tell();
  },
  remove: () => {
    if (selected?.kind !== "box") return;
    const { id } = selected;
    edit((state) => [edits.removeBox(state, id), null]);
  },
  order: () => {
    byDoubt = !byDoubt;
    $("order").textContent = byDoubt ? "By doubt" : "By time";
    refresh();
  },
  closer: () => timeline.zoom(0.5),
  wider: () => timeline.zoom(2),
  cancel: () => ask("cancel", {}).catch(complain),
  close: () => document.querySelector("dialog[open]")?.close(),
  help: () => $("help").showModal(),
  nextDoubt: () => doubt(1),
  lastDoubt: () => doubt(-1),
  down: () => move(1),
  up: () => move(-1),
  pageDown: () => move(8),
  pageUp: () => move(-8),
  seed: () => !$("looks").hidden && $("seed").focus(),
  identity: () => !$("looks").hidden && $("identity").focus(),
  note: () => selected && $("note").focus(),
  leave: () => (job?.kind === "follow" ? does.cancel() : mode ? leave() : bannerIs === "error" ? closeBanner() : span ? does.clear() : select(null)),
};

const KEYS = [
  ["Space", "play", "play, pause"], ["ArrowLeft", "back", "a frame back"], ["ArrowRight", "on", "a frame on"],
  ["Shift+ArrowLeft", () => (stop(), go(film.at(times[frame] - 1))), "a second back"],
  ["Shift+ArrowRight", () => (stop(), go(Math.max(frame + 1, film.at(times[frame] + 1)))), "a second on"],
  ["Home", () => go(0), "to the beginning"], ["End", () => go(film.count - 1), "to the end"],
  ["ArrowUp", "up", "the track before"], ["ArrowDown", "down", "the next track"], ["PageUp", "pageUp", "eight tracks up"],
  ["PageDown", "pageDown", "eight tracks down"], ["n", "nextDoubt", "the next unsure span or gap"],
  ["Shift+N", "lastDoubt", "the one before"],
  ...ACTIONS.map(([action, letter]) => [letter.toLowerCase(), () => act(action), action === "solid" ? "solid colour" : action]),
  ["e", "seed", "seed"], ["i", "identity", "looks of a picture"], ["t", "note", "note"], ["[", "in", "span from here"], ["]", "out", "span to here"],
  ["x", "split", "split the track before this frame"], ["m", "merge", "merge with another track"], ["r", "draw", "draw a box, or place the chosen one"],
  ["f", "follow", "follow the box on"], ["Shift+F", "followBack", "follow the box back"], ["Delete", "remove", "remove the box"],
  ["o", "order", "order of the tracks"], ["+", "closer", "timeline closer"], ["-", "wider", "timeline wider"],
  ["Ctrl+Z", "undo", "undo"], ["Ctrl+Y", "redo", "redo"], ["Ctrl+Shift+Z", "redo", "redo"], ["Ctrl+S", "save", "save"], ["Ctrl+Enter", "render", "render"],
  ["Escape", "leave", "leave, no span, nothing selected"], ["?", "help", "these keys"],
];
const bound = new Map(KEYS.map(([name, what]) => [name.toLowerCase(), typeof what === "string" ? does[what] : what]));

function nameOfKey(event) {
  const control = event.ctrlKey || event.metaKey, letter = event.key === " " ? "Space" : event.key;
  const shift = event.shiftKey && (letter.length > 1 || /[a-z]/i.test(letter));
  return `${control ? "ctrl+" : ""}${shift ? "shift+" : ""}${letter.toLowerCase()}`;
}

function drawingKey(event) {
  const step = event.altKey ? 1 : Math.max(2, Math.round(Math.min(...review.size_hw) / 60));
  const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  if (by) {
    const [height, width] = review.size_hw;
    const [left, top, right, bottom] = drawn;
    if (event.shiftKey) drawn = [left, top, Math.min(width, Math.max(left + 4, right + by[0])), Math.min(height, Math.max(top + 4, bottom + by[1]))];
    else {
      const dx = Math.min(Math.max(by[0], -left), width - right), dy = Math.min(Math.max(by[1], -top), height - bottom);
      drawn = [left + dx, top + dy, right + dx, bottom + dy];
    }
    paint();
    return true;
  }
  if (event.key !== "Enter") return false;
  finishDrawing();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  const writes = event.target.matches?.("input, select, textarea");
  const name = nameOfKey(event);
  if (writes && !/^ctrl\+(s|enter)$/.test(name)) {
    if (event.key === "Escape" || (event.key === "Enter" && event.target.matches("input"))) event.target.blur();
    return;
  }
  if (mode === "draw" && drawingKey(event)) return event.preventDefault();
  if (mode === "merge" && event.key === "Enter" && other) {
    event.preventDefault();
    return mergeWith(other);
  }
  if ((event.key === "Enter" || event.key === " ") && event.target.matches?.("button")) return;
  if (event.altKey) return;
  const what = bound.get(name);
  if (!what) return;
  event.preventDefault();
  what();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.does) does[button.dataset.does]();
  else if (button.dataset.action) act(button.dataset.action);
  else if (button.dataset.doubt) openDoubt(doubts[Number(button.dataset.doubt)]);
});

$("number").addEventListener("change", () => go(Math.round(Number($("number").value) || 0)));
$("seed").addEventListener("change", () => {
  const value = $("seed").value.trim();
  if (value !== "" && !/^\d{1,15}$/.test(value)) return banner("a seed is a whole number", "error");
  changeSelected({ seed: value === "" ? null : Number(value) });
});
$("identity").addEventListener("change", () => changeSelected({ identity: $("identity").value || null }));
$("note").addEventListener("change", () => changeSelected({ note: $("note").value.trim() || undefined }));

let leaving = false;
addEventListener("beforeunload", (event) => {
  if (history.dirty && !leaving) event.preventDefault();
});
new ResizeObserver(paint).observe($("film"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);

// ---- begin

$("title").textContent = review.film;
$("number").max = film.count - 1;
for (const [action, letter] of ACTIONS) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: action, title: letter });
  button.dataset.action = action;
  $("actions").append(button);
}
$("identity").append(new Option("none", ""), ...review.identities.map((name) => new Option(name, name)));
for (const [name, , meaning] of KEYS) {
  $("keys").append(
    Object.assign(document.createElement("dt"), { textContent: name.length === 1 ? name.toUpperCase() : name.replace("Arrow", "") }),
    Object.assign(document.createElement("dd"), { textContent: meaning }));
}
refresh();
timeline.drawNow();
go(0);
document.body.dataset.ready = "yes";
