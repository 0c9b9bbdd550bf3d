// Everything that is a list of values with amounts: categories, channels, pairs, tops, the orders' fates.
import { byId, draw, keep, make, say } from "./dom.js";
import { count, exact, money, percent } from "./format.js";
import { categoryName, isFarm, valueName } from "./names.js";
import { text } from "./preferences.js";

const FATES = ["orders_placed", "orders_settled", "units_settled", "orders_refunded", "orders_rejected", "orders_released", "duplicates", "dead_letters"];
const CATEGORIES = 10;
const TOPS = 6;

const by = (key) => (a, b) => b[key] - a[key];
const nothing = () => make("li", "soft", text("nothing_yet"));

function bars(list, items, name, { farm = () => false, digits = 4 } = {}) {
  if (items.length === 0) return list.replaceChildren(nothing());
  if (!list.querySelector(".name")) list.replaceChildren();
  const highest = Math.max(1, ...items.map((item) => item.settled));
  keep(
    list,
    items,
    () => make("li", "", make("span", "name"), make("span", "value"), make("span", "track", make("span", "fill"))),
    (row, item) => {
      const [label, value, track] = row.children;
      row.classList.toggle("is-farm", farm(item.value));
      row.title = exact(item.settled);
      say(label, name(item.value));
      say(value, money(item.settled, digits));
      track.firstChild.style.setProperty("--share", Math.max(0, item.settled / highest).toFixed(4));
    },
  );
}

function leaf() {
  return draw("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
    draw("path", { fill: "currentColor", d: "M20 3C10 3 4 8 4 15c0 1.500.300 2.800.800 4C7 13 11 9.500 16 8c-4 2.500-7.500 6.500-9.500 12.500 1.200.600 2.700 1 4.500 1 7 0 9.500-7 9-18.500z" }));
}

function categories(day) {
  const all = day.category.reduce((sum, item) => sum + item.settled, 0);
  const place = byId("farm");
  place.hidden = day.farm.settled === 0;
  if (!place.firstChild) place.append(leaf(), make("span"), make("small"), make("b"));
  const [, name, share, amount] = place.children;
  say(name, text("farm"));
  say(share, text("farm_share", { share: percent(day.farm.settled / Math.max(1, all, day.totals.settled)) }));
  say(amount, money(day.farm.settled));
  bars(byId("category"), day.category.slice(0, CATEGORIES), categoryName, { farm: isFarm });
}

/** Two values as the two ends of one bar. */
function pair(place, items, [first, second], green) {
  const amount = (value) => items.find((item) => item.value === value)?.settled ?? 0;
  const [a, b] = [amount(first), amount(second)];
  const share = a + b > 0 ? a / (a + b) : 0.5;
  if (!place.firstChild) {
    place.className = green ? "pair green" : "pair";
    const end = () => make("span", "", make("span"), " ", make("b"));
    place.append(make("p", "ends", end(), end()), make("div", "track", make("span", "fill"), make("span", "rest")));
    place.lastChild.setAttribute("aria-hidden", "true");
  }
  const [left, right] = place.firstChild.children;
  [[left, first, share, a], [right, second, 1 - share, b]].forEach(([end, value, part, sum]) => {
    say(end.children[0], valueName(value));
    say(end.children[1], a + b > 0 ? percent(part) : "–");
    end.title = exact(sum);
  });
  place.querySelector(".fill").style.setProperty("--share", share.toFixed(4));
}

function storeName(value) {
  const [merchant, location] = value.split(":");
  const store = location === "0" ? text("online") : text("store_n", { id: location });
  return [merchant, `${text("merchant_n", { id: merchant })} · ${store}`];
}

function ranks(list, items, name) {
  if (items.length === 0) return list.replaceChildren(nothing());
  if (!list.querySelector("a")) list.replaceChildren();
  keep(
    list,
    items,
    () => make("li", "", make("a"), make("span", "value")),
    (row, item) => {
      const [merchant, label] = name(item.value);
      const [link, value] = row.children;
      const address = `/m/${merchant}`;
      if (link.getAttribute("href") !== address) link.href = address;
      say(link, label);
      say(value, money(item.settled));
      value.title = exact(item.settled);
    },
  );
}

function fates(totals) {
  keep(
    byId("answers"),
    FATES,
    () => make("div", "", make("dt", "", make("span"), " ", make("button", "why")), make("dd")),
    (cell, key) => {
      const [name, button] = cell.firstChild.children;
      say(name, text(key));
      button.type = "button";
      button.dataset.definition = key;
      button.setAttribute("aria-label", text("what_is", { name: text(key) }));
      say(cell.lastChild, count(totals[key]));
    },
  );
}

export function show(day) {
  categories(day);
  pair(byId("area"), day.area, ["urban", "rural"], true);
  pair(byId("fulfilment"), day.fulfilment, ["ship", "pickup"], false);
  bars(byId("channel"), [...day.channel].sort(by("settled")), valueName, { digits: 3 });
  ranks(byId("merchants"), day.top.merchants.slice(0, TOPS), (value) => [value, text("merchant_n", { id: value })]);
  ranks(byId("stores"), day.top.locations.slice(0, TOPS), storeName);
  fates(day.totals);
}
