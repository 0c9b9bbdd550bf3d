// How old the newest figure is, always; and a plain warning when it is too old to be believed.
import { byId, say } from "./dom.js";
import { ago, clock } from "./format.js";
import { text } from "./preferences.js";

const LOOK_MS = 200;

let health = null;
let heardAt = 0;
let lost = false;
let day = null;

/** The server's present, in milliseconds, as far as it is known. */
export const nowMs = () => health.now_ms + (performance.now() - heardAt);

/** What the server last said of itself. */
export function heard(said) {
  health = said;
  heardAt = performance.now();
  lost = false;
  show();
}

export function isLost() {
  lost = true;
  show();
}

/** Which day is shown. */
export function showing(figures) {
  day = figures;
  show();
}

/** Words for old figures, by the server's state; without one of these nobody knows why they are old. */
const OLD = { quiet: "warn_quiet", late: "warn_late" };

function standstill() {
  const longest = health.standstill.reduce((a, b) => (a.for_ms >= b.for_ms ? a : b));
  return text("warn_standstill", {
    partitions: health.standstill.map((still) => still.partition).join(", "),
    since: ago(longest.for_ms, text),
    why: text(`why_${longest.why}`),
  });
}

function warning(age) {
  const values = { ago: age === null ? "–" : ago(age, text), why: health?.trouble ?? "" };
  if (lost) return ["lost", text("warn_lost", values)];
  if (health === null || (!health.caught_up && day === null)) return ["waiting", health?.trouble ? text("warn_trouble", values) : text("waiting")];
  if (health.trouble) return ["stale", text("warn_trouble", values)];
  if (day !== null && day.day !== health.today) return ["past", null];
  if (health.state === "standstill") return ["stale", standstill()];
  if (age === null) return ["waiting", text("warn_empty")];
  return age > health.stale_ms ? ["stale", text(OLD[health.state] ?? "warn_stale", values)] : ["live", null];
}

function show() {
  const newest = health?.newest_at_ms ?? null;
  const age = newest === null ? null : Math.max(0, nowMs() - newest);
  const [state, words] = warning(age);
  document.body.dataset.state = state;
  const banner = byId("warning");
  if (words) say(banner, words);
  banner.hidden = !words;
  const past = state === "past";
  say(byId("age-text"), age === null ? text("waiting") : past ? text("past") : text("age", { ago: ago(age, text) }));
  const elapsed = byId("elapsed");
  if (elapsed && day && health) {
    const since = nowMs() - day.starts_at_ms;
    say(elapsed, past ? "–" : clock(since));
  }
}

export function start() {
  setInterval(show, LOOK_MS);
  show();
}
