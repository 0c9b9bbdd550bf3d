// A merchant's own page: what it sold, and each of its stores.
import * as age from "./age.js";
import * as definitions from "./definitions.js";
import { byId, keep, make, say } from "./dom.js";
import { count, exact, money, percent } from "./format.js";
import * as preferences from "./preferences.js";
import { text } from "./preferences.js";

/** Merchants' counters are written every ten seconds; asking this often shows them soon. */
const ASK_MS = 3000;

const id = decodeURIComponent(location.pathname.split("/").pop());
const wanted = new URLSearchParams(location.search).get("day") ?? "";
let shop = null;
let health = null;

/** To the fen while that is short enough to be read. */
const amount = (fen) => (Math.abs(fen) < 100_000_00 ? exact(fen) : money(fen, 6));

function storeName(location) {
  return location === 0 ? text("online") : text("store_n", { id: location });
}

function stores() {
  const sum = shop.locations.reduce((all, store) => all + store.settled, 0);
  const highest = Math.max(1, ...shop.locations.map((store) => store.settled));
  const sorted = [...shop.locations].sort((a, b) => b.settled - a.settled || a.location - b.location);
  byId("stores-panel").hidden = sorted.length === 0;
  keep(
    byId("stores"),
    sorted,
    () => make("li", "", make("span", "name"), make("span", "value"), make("span", "track", make("span", "fill")), make("span", "detail")),
    (row, store) => {
      const [name, value, track, detail] = row.children;
      say(name, storeName(store.location));
      say(value, amount(store.settled));
      track.firstChild.style.setProperty("--share", store.settled / highest);
      const share = text("share_of", { share: percent(sum ? store.settled / sum : 0, 0) });
      const line = text("store_line", { orders: count(store.orders_settled), units: count(store.units_settled) });
      say(detail, `${line} · ${share}`);
    },
  );
}

function show() {
  document.title = text("merchant_document", { id });
  say(byId("name"), text("merchant_title", { id }));
  const today = !shop || !health || shop.day === health.today;
  say(byId("hello"), today ? text("merchant_hello") : text("merchant_of_day", { day: shop.day }));
  if (shop === null) return;
  say(byId("settled"), amount(shop.settled));
  say(byId("orders"), count(shop.orders_settled));
  say(byId("items"), count(shop.units_settled));
  say(byId("average"), shop.orders_settled ? amount(Math.round(shop.settled / shop.orders_settled)) : "–");
  say(byId("waiting"), amount(Math.max(0, shop.placed - shop.settled)));
  say(byId("refunds"), amount(shop.refunded));
  say(byId("net"), amount(shop.net));
  byId("none").hidden = shop.counted;
  say(byId("none"), text(today ? "merchant_none" : "merchant_none_day"));
  stores();
}

async function ask() {
  try {
    const query = wanted ? `?day=${encodeURIComponent(wanted)}` : "";
    const answers = await Promise.all([fetch(`/api/v1/merchants/${id}${query}`), fetch("/api/v1/health")]);
    const [told, said] = await Promise.all(answers.map((answer) => answer.json()));
    health = said;
    age.heard(said);
    if (answers[0].ok) {
      shop = told;
      age.showing({ day: told.day, starts_at_ms: 0 });
    }
    show();
  } catch {
    age.isLost();
  }
}

preferences.start(show);
definitions.start();
age.start();
show();
ask();
setInterval(ask, ASK_MS);
