// The board: listens to the figures and hands them to the parts of the page.
import * as age from "./age.js";
import * as curve from "./curve.js";
import * as definitions from "./definitions.js";
import { byId, keep, make } from "./dom.js";
import * as headline from "./headline.js";
import * as lists from "./lists.js";
import { listen } from "./live.js";
import * as map from "./map.js";
import * as milestones from "./milestones.js";
import * as preferences from "./preferences.js";
import * as pulse from "./pulse.js";
import { text } from "./preferences.js";

/** The day that the address asks for; empty: today, whichever day that is. */
let wanted = new URLSearchParams(location.search).get("day") ?? "";
let figures = null;
let health = null;
let compare = null;
let end = () => {};
/** The minutes of the day that is shown. */
let minutes = new Map();
let minutesOf = null;

async function json(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.json();
}

/** All minutes of a day: asked for once for each stream, which tells of the newest ones only. */
async function loadMinutes(day) {
  minutesOf = day;
  try {
    const loaded = await json(`/api/v1/minutes?day=${day}`);
    const newer = minutes;
    minutes = new Map(loaded.minutes.map((minute) => [minute.of_day, minute]));
    newer.forEach((minute, of_day) => minutes.set(of_day, minute));
    show();
  } catch {
    minutesOf = null;
  }
}

async function loadCompare(day) {
  if (!day || compare?.day === day) return;
  compare = { day, minutes: [] };
  try {
    compare = await json("/api/v1/compare");
  } catch {
    compare = null;
  }
  curve.label(compare);
  show();
}

function show() {
  if (figures === null) return;
  const live = figures.day === health.today;
  const since = live ? age.nowMs() - figures.starts_at_ms : 86_400_000;
  const against = compare?.day === figures.day ? null : compare;
  headline.show(figures, { compare: against, sinceMs: since, live });
  pulse.show(figures, live);
  curve.show(minutes, against, Math.min(1440, Math.floor(since / 60_000)));
  milestones.show(figures);
  map.show(figures);
  lists.show(figures);
}

function days() {
  const known = [...new Set([...health.days, health.today])].sort().reverse();
  const name = (day) => (day === health.today ? `${day} · ${text("today")}` : day);
  const select = byId("day");
  keep(select, known, () => make("option"), (option, day) => {
    option.value = day;
    if (option.textContent !== name(day)) option.textContent = name(day);
  });
  select.value = wanted || health.today;
}

const on = {
  figures(day, said) {
    if (figures?.day !== day.day) minutes = new Map();
    [figures, health] = [day, said];
    age.heard(said);
    age.showing(day);
    day.minutes.forEach((minute) => minutes.set(minute.of_day, minute));
    if (minutesOf !== day.day) loadMinutes(day.day);
    loadCompare(said.compare);
    days();
    show();
  },
  health(said) {
    health = said;
    age.heard(said);
    if (figures) days();
  },
  lost() {
    // What came in between is asked for anew.
    minutesOf = null;
    age.isLost();
  },
};

function listenTo(day) {
  wanted = day;
  end();
  end = listen(day, on);
}

preferences.start(() => {
  headline.again();
  curve.label(compare);
  if (health) days();
  show();
});
byId("day").addEventListener("change", (event) => {
  const day = event.target.value === health.today ? "" : event.target.value;
  const address = new URL(location.href);
  if (day) address.searchParams.set("day", day);
  else address.searchParams.delete("day");
  history.replaceState(null, "", address);
  minutesOf = null;
  listenTo(day);
});
definitions.start();
curve.start();
curve.label(compare);
age.start();
listenTo(wanted);
