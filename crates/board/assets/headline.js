// The sum that everybody came for, and its three parts.
import { byId, make, say } from "./dom.js";
import { clock, exact, money, parts, percent } from "./format.js";
import { text } from "./preferences.js";
import { roll } from "./roll.js";

/** Between two sentences to a screen reader. */
const SPEAK_MS = 60_000;
let spokenAt = -Infinity;

/** What the day compared with had by this time of its day: full minutes and a share of the present one. */
export function netByThen(compare, sinceMs) {
  const minute = Math.floor(sinceMs / 60_000);
  let net = 0;
  for (const then of compare.minutes) {
    const share = then.of_day < minute ? 1 : then.of_day === minute ? (sinceMs % 60_000) / 60_000 : 0;
    net += share * (then.settled - then.refunded);
  }
  return net;
}

function delta(day, compare, sinceMs) {
  const line = byId("delta");
  const then = compare ? netByThen(compare, sinceMs) : 0;
  line.hidden = then <= 0;
  if (line.hidden) return;
  const change = day.totals.net / then - 1;
  const sign = change < 0 ? "−" : "+";
  const [before, after] = text("delta", { day: compare.day, then: money(then) }).split("{change}");
  line.replaceChildren(before, make("b", change < 0 ? "down" : "", `${sign}${percent(Math.abs(change))}`), after);
}

export function show(day, { compare, sinceMs, live }) {
  const { totals } = day;
  roll(byId("net"), parts(totals.net));
  for (const key of ["settled", "placed", "refunded"]) {
    const place = byId(key);
    say(place, money(totals[key], 6));
    place.title = exact(totals[key]);
  }
  delta(day, compare, sinceMs);
  if (performance.now() - spokenAt >= SPEAK_MS) {
    spokenAt = performance.now();
    say(byId("net-spoken"), exact(totals.net));
    const time = clock(sinceMs);
    const pace = day.pace.orders_per_second;
    if (live) say(byId("spoken"), text("spoken", { time, net: money(totals.net), pace }));
  }
}

/** Says it anew at the next figures: the language is another one. */
export function again() {
  spokenAt = -Infinity;
  byId("net").replaceChildren();
}
