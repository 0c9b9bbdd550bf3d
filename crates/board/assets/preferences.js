// Language and colours: what the address says, else what was chosen here before, else the browser's.
import { strings } from "./strings.js";

const LANGUAGES = ["zh-CN", "en"];
const THEMES = ["auto", "light", "dark"];

function remembered(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function remember(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a private window forgets */ }
}

function choose(name, known, otherwise) {
  const asked = new URLSearchParams(location.search).get(name);
  return [asked, remembered(name)].find((value) => known.includes(value)) ?? otherwise;
}

const browser = (navigator.language ?? "").toLowerCase().startsWith("zh") ? "zh-CN" : "en";
let language = choose("lang", LANGUAGES, browser);
let theme = choose("theme", THEMES, "auto");

export const lang = () => language;

/** A text of the page, in the reader's language; `{name}` is filled in. */
export function text(key, values = {}) {
  const found = strings[language][key] ?? key;
  return found.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Fills every text of the page that does not change with the figures. */
function fill() {
  document.documentElement.lang = language;
  document.documentElement.dataset.theme = theme;
  document.title = text("document_title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", text(element.dataset.label));
  for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = text(element.dataset.placeholder);
  for (const button of document.querySelectorAll("[data-definition]")) {
    button.type = "button";
    button.setAttribute("aria-label", text("what_is", { name: text(button.dataset.definition) }));
  }
  const other = LANGUAGES.find((known) => known !== language);
  const languages = document.getElementById("language");
  languages.textContent = strings[other].own_name;
  languages.lang = other;
  const themes = document.getElementById("theme");
  themes.textContent = text(`theme_${theme}`);
  themes.setAttribute("aria-label", text("theme", { name: text(`theme_${theme}`) }));
}

/** Fills the page and tells `changed` whenever the reader chooses otherwise. */
export function start(changed) {
  document.getElementById("language").addEventListener("click", () => {
    language = LANGUAGES.find((known) => known !== language);
    remember("lang", language);
    fill();
    changed();
  });
  document.getElementById("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remember("theme", theme);
    fill();
    changed();
  });
  fill();
}
