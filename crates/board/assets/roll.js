// A large figure whose digits roll. Only for the eye: who listens is told the figure elsewhere.
import { make } from "./dom.js";

/** How wide each kind of cell is at most, in the figure's own font size; the page's font is embedded. */
const WIDTH = { digit: 0.63, unit: 0.62, mark: 0.3, currency: 0.5 };

const same = (cell, part) => ["digit", "unit", "mark", "currency"].every((kind) => (kind in part) === (cell.dataset.kind === kind));

function cellOf(part) {
  const kind = Object.keys(part)[0];
  const cell = make("span", kind);
  cell.dataset.kind = kind;
  if (kind === "digit") {
    const strip = make("span", "strip still");
    // Twice, so that 9 goes on to 0 instead of back.
    for (const digit of "01234567890123456789") strip.append(make("span", "", digit));
    strip.style.setProperty("--at", part.digit);
    cell.dataset.at = part.digit;
    cell.append(strip);
  }
  return cell;
}

function turn(cell, digit) {
  const before = Number(cell.dataset.at);
  if (before === Number(digit)) return;
  const strip = cell.firstElementChild;
  strip.classList.add("still");
  strip.style.setProperty("--at", before);
  strip.getBoundingClientRect();
  strip.classList.remove("still");
  strip.style.setProperty("--at", Number(digit) < before ? Number(digit) + 10 : digit);
  cell.dataset.at = digit;
}

/** Shows `parts` (see format.js); cells are matched from the right, where the figure begins to change. */
export function roll(element, parts) {
  const width = parts.reduce((sum, part) => sum + WIDTH[Object.keys(part)[0]], 0);
  element.style.setProperty("--em", width);
  while (element.children.length > parts.length) element.firstElementChild.remove();
  while (element.children.length < parts.length) element.prepend(cellOf(parts[parts.length - element.children.length - 1]));
  parts.forEach((part, index) => {
    let cell = element.children[index];
    if (!same(cell, part)) {
      const fresh = cellOf(part);
      cell.replaceWith(fresh);
      cell = fresh;
    }
    if ("digit" in part) turn(cell, part.digit);
    else if (cell.textContent !== Object.values(part)[0]) cell.textContent = Object.values(part)[0];
  });
}
