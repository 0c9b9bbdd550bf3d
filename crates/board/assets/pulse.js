// Orders a second: now, the last minute's beat, and the peak so far.
import { byId, draw, say } from "./dom.js";
import { clock, count } from "./format.js";
import { text } from "./preferences.js";

const BEATS = 60;
const bars = [];

function begin() {
  const svg = draw("svg", { viewBox: `0 0 ${BEATS * 4} 40`, preserveAspectRatio: "none" });
  for (let index = 0; index < BEATS; index += 1) {
    const bar = draw("rect", { x: index * 4, width: 3, rx: 0.6 });
    bars.push(svg.appendChild(bar));
  }
  byId("beat").replaceChildren(svg);
}

export function show(day, live) {
  if (bars.length === 0) begin();
  const { orders_per_second: now, peak, seconds } = day.pace;
  say(byId("pace"), live ? count(now) : "–");
  const highest = Math.max(1, ...seconds);
  bars.forEach((bar, index) => {
    const beat = seconds[seconds.length - BEATS + index] ?? 0;
    const height = Math.max(0.6, (beat / highest) * 40);
    bar.setAttribute("y", 40 - height);
    bar.setAttribute("height", height);
    bar.classList.toggle("peak", peak?.over_seconds === 1 && beat === peak.orders_per_second);
  });
  const time = peak && clock(peak.at_ms - day.starts_at_ms, peak.over_seconds === 1);
  const key = !peak ? "no_peak" : peak.over_seconds === 1 ? "peak" : "peak_minute";
  say(byId("peak"), text(key, { n: peak && count(peak.orders_per_second), time }));
}
