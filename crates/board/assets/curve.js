// What was settled each minute, against another day at the same time of day.
import { byId, draw, make, say } from "./dom.js";
import { clock, money, round } from "./format.js";
import { text } from "./preferences.js";

const MINUTES_A_DAY = 1440;
/** The short span: an hour, with a look ahead at what the other day will have had. */
const SPAN = 60;
const AHEAD = 15;

let whole = false;
let redraw = () => {};

/** Round steps for the upright axis. */
function steps(highest) {
  const rough = highest / 4;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((times) => times * decade).find((size) => size >= rough);
  return Array.from({ length: Math.max(2, Math.ceil(highest / step)) + 1 }, (_, index) => index * step);
}

function span(present) {
  if (whole) return [0, MINUTES_A_DAY];
  const from = Math.min(Math.max(0, present - (SPAN - AHEAD)), MINUTES_A_DAY - SPAN);
  return [from, from + SPAN];
}

const line = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

/** `em` is the size of the axes' text, which is larger on a wall; `rem` that of everything else. */
function picture(series, then, present, width, height, rem, em) {
  const [from, to] = span(present);
  const inside = (item) => item.of_day >= from && item.of_day <= to;
  const mine = series.filter(inside);
  const theirs = (then ?? []).filter(inside);
  const highest = Math.max(100_00, ...mine.map((item) => item.settled), ...theirs.map((item) => item.settled));
  const marks = steps(highest);
  const top = marks[marks.length - 1];
  const [left, right, above, below] = [5.2 * em, em, 0.8 * em, 1.7 * em];
  const x = (minute) => left + ((minute - from) / (to - from)) * (width - left - right);
  const y = (amount) => above + (1 - amount / top) * (height - above - below);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  for (const mark of marks) {
    svg.append(
      draw("line", { class: "grid", x1: left, x2: width - right, y1: y(mark), y2: y(mark) }),
      draw("text", { x: left - 0.6 * em, y: y(mark) + 0.35 * em, "text-anchor": "end" }, mark ? round(mark) : "0"),
    );
  }
  const every = whole ? (width < 40 * em ? 360 : 180) : width < 30 * em ? 20 : 10;
  for (let minute = Math.ceil(from / every) * every; minute <= to; minute += every) {
    const anchor = minute === from ? "start" : minute === to ? "end" : "middle";
    svg.append(draw("text", { x: x(minute), y: height - 0.3 * em, "text-anchor": anchor }, clock(minute * 60_000, false)));
  }
  const place = (item) => [x(item.of_day), y(item.settled)];
  if (theirs.length > 1) svg.append(draw("path", { class: "then", d: line(theirs.map(place)) }));
  if (mine.length > 0) {
    const points = mine.map(place);
    const [first, last] = [points[0], points[points.length - 1]];
    svg.append(
      draw("path", { class: "under", d: `${line(points)}L${last[0]} ${y(0)}L${first[0]} ${y(0)}Z` }),
      draw("path", { class: "now", d: line(points) }),
      draw("circle", { class: "here", cx: last[0], cy: last[1], r: 0.38 * rem }),
    );
  }
  return svg;
}

/** Minutes without a sale are there as zeros, and the one under way is not. */
function full(minutes, present) {
  const filled = [];
  const first = Math.min(...minutes.keys());
  for (let of_day = Math.max(0, first); of_day < present; of_day += 1) {
    filled.push({ of_day, settled: minutes.get(of_day)?.settled ?? 0 });
  }
  return filled;
}

function speak(series) {
  if (series.length === 0) return text("nothing_yet");
  const best = series.reduce((high, item) => (item.settled > high.settled ? item : high));
  const last = money(series[series.length - 1].settled);
  return text("curve_spoken", { last, best: money(best.settled), time: clock(best.of_day * 60_000, false) });
}

function legend(compare) {
  const items = [make("span", "", text("curve_now"))];
  if (compare) items.push(make("span", "then", compare.day));
  byId("legend").replaceChildren(...items);
}

function toggle() {
  const choices = [["curve_hour", false], ["curve_day", true]].map(([key, value]) => {
    const button = make("button", "", text(key));
    button.type = "button";
    button.setAttribute("aria-pressed", String(whole === value));
    button.addEventListener("click", () => { whole = value; toggle(); redraw(); });
    return button;
  });
  byId("span").setAttribute("aria-label", text("curve_span"));
  byId("span").replaceChildren(...choices);
}

/** `minutes` is a map from the minute of the day; `present` is the minute under way. */
export function show(minutes, compare, present) {
  redraw = () => {
    const plot = byId("plot");
    const { width, height } = plot.getBoundingClientRect();
    if (width === 0) return;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const series = full(minutes, present);
    const em = parseFloat(getComputedStyle(plot).fontSize);
    plot.replaceChildren(picture(series, compare?.minutes, present, width, height, rem, em));
    plot.setAttribute("aria-label", speak(series));
  };
  redraw();
}

export function start() {
  new ResizeObserver(() => redraw()).observe(byId("plot"));
}

/** What changes with language and comparison only. */
export function label(compare) {
  toggle();
  legend(compare);
  say(byId("plot"), "");
}
