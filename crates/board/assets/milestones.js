// The moment at which each round sum was passed, and how far it is to the next.
import { byId, keep, make, say } from "./dom.js";
import { clock, percent, round } from "./format.js";
import { text } from "./preferences.js";

function next(day) {
  const amount = day.next_milestone;
  const passed = day.milestones.map((milestone) => milestone.amount);
  const share = amount ? Math.min(1, day.totals.settled / amount) : 1;
  const place = byId("next");
  if (!place.firstChild) {
    const bar = make("div", "track", make("span", "fill"));
    bar.setAttribute("aria-hidden", "true");
    place.append(make("p", "to", make("b"), make("span", "soft digits")), bar);
  }
  const [name, done] = place.firstChild.children;
  say(name, text("next_milestone", { amount: amount ? round(amount) : "" }));
  say(done, percent(share, 0));
  place.querySelector(".fill").style.setProperty("--share", share);
  return passed;
}

export function show(day) {
  next(day);
  const newest = [...day.milestones].reverse();
  keep(
    byId("milestones"),
    newest.length ? newest : [null],
    () => make("li", "", make("b"), make("span")),
    (row, milestone) => {
      const [amount, time] = row.children;
      if (milestone === null) {
        say(amount, "");
        say(time, text("no_milestones"));
        return;
      }
      say(amount, round(milestone.amount));
      say(time, clock(milestone.at_ms - day.starts_at_ms, milestone.within_seconds === 1));
    },
  );
}
