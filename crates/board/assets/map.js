// Provinces as tiles, each about where it lies. A list by itself, so that it can be heard as well.
import { byId, keep, make, say } from "./dom.js";
import { exact, money, tiny } from "./format.js";
import { PROVINCES, provinceName, provinceShort } from "./names.js";
import { text } from "./preferences.js";

const codes = Object.keys(PROVINCES).sort((a, b) => PROVINCES[a][1] - PROVINCES[b][1] || PROVINCES[a][0] - PROVINCES[b][0]);

export function show(day) {
  const settled = new Map(day.province.map((item) => [item.value, item.settled]));
  const highest = Math.max(1, ...codes.map((code) => settled.get(code) ?? 0));
  keep(
    byId("map"),
    codes,
    () => make("li", "", make("span", "place"), make("span", "amount")),
    (tile, code) => {
      const amount = settled.get(code) ?? 0;
      const heat = Math.sqrt(amount / highest);
      const [column, row] = PROVINCES[code];
      const [place, value] = tile.children;
      tile.style.setProperty("--column", column);
      tile.style.setProperty("--row", row);
      tile.style.setProperty("--heat", heat.toFixed(3));
      tile.title = `${provinceName(code)} ${exact(amount)}`;
      say(place, provinceShort(code));
      say(value, amount ? tiny(amount) : "–");
    },
  );
  const known = codes.reduce((sum, code) => sum + (settled.get(code) ?? 0), 0);
  const unknown = day.province.reduce((sum, item) => sum + item.settled, 0) - known;
  byId("unknown-province").hidden = unknown <= 0;
  say(byId("unknown-province"), text("unknown_province", { amount: money(unknown) }));
}
