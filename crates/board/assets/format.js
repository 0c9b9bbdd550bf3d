// Numbers, money and times as the reader's language groups them: by 万 and 亿, or by thousands.
// Money comes in fen.
import { lang } from "./preferences.js";

const formats = new Map();

function number(options) {
  const key = lang() + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(lang(), options));
  return formats.get(key);
}

/** A count: 12,345 or 1.235万. */
export function count(value) {
  if (lang() === "zh-CN" && Math.abs(value) >= 10_000) {
    return number({ notation: "compact", maximumSignificantDigits: 4 }).format(value);
  }
  return number({ maximumFractionDigits: 0 }).format(value);
}

function short(yuan, options) {
  const whole = { maximumFractionDigits: 0 };
  return number(Math.abs(yuan) < 1_000 ? whole : { notation: "compact", ...options }).format(yuan);
}

/** Money in short, always as many digits: ¥3.420亿, ¥342.0M. */
export function money(fen, digits = 4) {
  const options = { minimumSignificantDigits: digits, maximumSignificantDigits: digits };
  return `${fen < 0 ? "−" : ""}¥${short(Math.abs(fen / 100), options)}`;
}

/** In very short, where there is hardly room: 3.4亿. */
export const tiny = (fen) => short(fen / 100, { maximumSignificantDigits: 2 });

/** Money to the fen, for who wants to know exactly. */
export function exact(fen) {
  const sign = fen < 0 ? "−" : "";
  return `${sign}¥${number({ minimumFractionDigits: 2 }).format(Math.abs(fen) / 100)}`;
}

/** A round sum: 5亿, ¥500M. */
export const round = (fen) => `¥${short(fen / 100, { maximumSignificantDigits: 3 })}`;

export const percent = (share, digits = 1) =>
  number({ style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(share);

/** The parts of a large sum in whole yuan: digits, marks and units. */
export function parts(fen) {
  const yuan = Math.trunc(Math.abs(fen) / 100);
  const found = fen < 0 ? [{ mark: "−" }] : [];
  found.push({ currency: "¥" });
  if (lang() !== "zh-CN") {
    for (const sign of number({ maximumFractionDigits: 0 }).format(yuan)) {
      found.push(/\d/.test(sign) ? { digit: sign } : { mark: sign });
    }
    return found;
  }
  const digits = String(yuan);
  // Read from the right: 万, 亿, and 万 again before 亿.
  const units = ["", "万", "亿", "万"];
  [...digits].forEach((digit, index) => {
    found.push({ digit });
    const left = digits.length - 1 - index;
    if (left > 0 && left % 4 === 0) found.push({ unit: units[left / 4] ?? "" });
  });
  return found;
}

const two = (value) => String(value).padStart(2, "0");

/** Milliseconds since the day began, as 00:12:31; without seconds where they are not known. */
export function clock(ms, seconds = true) {
  const all = Math.max(0, Math.floor(ms / 1000));
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  return seconds ? `${two(h)}:${two(m)}:${two(s)}` : `${two(h)}:${two(m)}`;
}

/** How long ago: 0.4 s, 35 s, 12 min, 3 h. */
export function ago(ms, text) {
  const s = ms / 1000;
  if (s < 10) return text("seconds", { n: number({ minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(s) });
  if (s < 120) return text("seconds", { n: number({ maximumFractionDigits: 0 }).format(s) });
  if (s < 7200) return text("minutes", { n: number({ maximumFractionDigits: 0 }).format(Math.floor(s / 60)) });
  return text("hours", { n: number({ maximumFractionDigits: 0 }).format(Math.floor(s / 3600)) });
}
