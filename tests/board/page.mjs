// The board's pages in a real headless Chromium. Started by crates/board/tests/page.rs, which serves the
// board, feeds it, and answers what is asked of it here line by line.
//
// Each check waits for what it wants to see; none asserts how long something takes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const base = process.env.BOARD_URL;
const shots = process.env.FLOODGATE_SCREENSHOTS;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PATIENCE = 60_000;

const replies = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the test for something: `sell`, `pause`, `resume`, `hide`, `reveal`. */
async function ask(what) {
  process.stdout.write(`do ${what}\n`);
  const { value } = await replies.next();
  return JSON.parse(value);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

/** Opens a page that must say nothing to the console and ask nobody else for anything. */
async function open(path, { width, height, locale, colorScheme, reducedMotion = "no-preference" }) {
  const context = await browser.newContext({ viewport: { width, height }, locale, colorScheme, reducedMotion });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const faults = [];
  page.on("console", (message) => {
    // A font that is needed only once there are figures is late where the machine is slow, which is no fault.
    const late = message.text().includes("was preloaded using link preload but not used");
    if (["error", "warning"].includes(message.type()) && !late) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => { if (new URL(request.url()).origin !== base) faults.push(`asked ${request.url()}`); });
  page.on("requestfailed", (request) => {
    // The stream is ended when the page is left.
    if (!request.url().includes("/api/v1/live")) faults.push(`${request.url()}: ${request.failure()?.errorText}`);
  });
  await page.goto(base + path);
  return { page, faults, close: async () => { assert.deepEqual(faults, []); await context.close(); } };
}

const state = (page, wanted) => page.waitForFunction((wanted) => document.body.dataset.state === wanted, wanted);
const textOf = (page, selector) => page.locator(selector).textContent();

async function shot(page, name) {
  if (!shots) return;
  // Digits that roll are caught halfway.
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
  await page.emulateMedia({ reducedMotion: "no-preference" });
}

async function fits(page, wall) {
  const found = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth - innerWidth,
    high: document.documentElement.scrollHeight - innerHeight,
    cut: [...document.querySelectorAll(".panel")]
      .filter((panel) => panel.scrollHeight > panel.clientHeight + 1 || panel.scrollWidth > panel.clientWidth + 1)
      .map((panel) => panel.className),
    short: [...document.querySelectorAll(".shares .name, .category .name, .ranks a")]
      .filter((name) => name.scrollWidth > name.clientWidth)
      .map((name) => name.textContent),
    covered: [...document.querySelectorAll(".headline h1")]
      .map((name) => {
        const { top, height } = document.getElementById("net").getBoundingClientRect();
        return (name.getBoundingClientRect().bottom - top) / height;
      }),
  }));
  assert.ok(found.wide <= 0, `the page is ${found.wide} px too wide`);
  assert.deepEqual(found.cut, [], "panels are cut off");
  if (wall) assert.deepEqual(found.short, [], "names are cut short");
  // A seventh of their line is above the digits.
  assert.ok(found.covered.every((share) => share <= 1 / 7), `digits cover the headline's name: ${found.covered}`);
  if (wall) assert.ok(found.high <= 0, `a wall cannot scroll, but the page is ${found.high} px too high`);
}

/** The size of the smallest text that a wall shows, in rem, and of the smallest on the curve's axes. */
async function smallest(page) {
  return page.evaluate(() => {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const sizes = (elements) => elements
      .filter((element) => element.getClientRects().length > 0 && element.textContent.trim() !== "")
      .filter((element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== ""))
      .map((element) => [parseFloat(getComputedStyle(element).fontSize) / rem, `${element.className || element.tagName} ${element.textContent}`])
      .sort(([a], [b]) => a - b);
    const words = sizes([...document.querySelectorAll("body *:not(.sr):not(script)")].filter((element) => !element.closest(".sr, dialog, .skip, svg")));
    return { words: words[0], axes: sizes([...document.querySelectorAll("#plot text")])[0] };
  });
}

/** The largest day that there ever was, and ten times that, in one figure. */
async function holdsARecord(page) {
  const cut = await page.evaluate(async () => {
    const [{ roll }, { parts }] = await Promise.all([import("/assets/roll.js"), import("/assets/format.js")]);
    const figure = document.getElementById("net");
    return [498_200_000_000_99, 8_888_888_888_888_00].map((fen) => {
      roll(figure, parts(fen));
      return Math.max(0, figure.scrollWidth - figure.clientWidth);
    });
  });
  assert.deepEqual(cut, [0, 0], "digits are cut off");
}

/** Rules of WCAG 2.2 A and AA that a machine can check. */
async function accessible(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
  const said = violations.map((rule) => `${rule.id}: ${rule.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`);
  assert.deepEqual(said, []);
}

const checks = {
  async "figures appear, agree with what was counted, and move"() {
    const { page, close } = await open("/", { width: 1440, height: 900, locale: "zh-CN", colorScheme: "light" });
    await state(page, "live");
    const orders = page.locator("#answers dd").first();
    const before = await orders.textContent();
    await page.waitForFunction((before) => document.querySelector("#answers dd").textContent !== before, before);
    const { settled, net } = await ask("pause");
    const whole = (fen) => String(Math.floor(fen / 100));
    const digits = () => page.evaluate(() => [...document.querySelectorAll("#net .digit")].map((cell) => cell.dataset.at).join(""));
    await page.waitForFunction((net) => [...document.querySelectorAll("#net .digit")].map((cell) => cell.dataset.at).join("") === net, whole(net));
    assert.equal(await digits(), whole(net));
    const exact = await page.locator("#settled").getAttribute("title");
    assert.equal(exact.replace(/[^\d.]/g, ""), (settled / 100).toFixed(2));
    assert.equal(await page.locator("#map li").count(), 34);
    for (const list of ["#category", "#channel", "#merchants", "#stores", "#milestones"]) {
      assert.ok(await page.locator(`${list} li`).count() > 1, `${list} is empty`);
    }
    assert.ok(await page.locator("#plot path.now").count() === 1 && await page.locator("#plot path.then").count() === 1);
    assert.match(await textOf(page, "#delta"), /2024-11-11/);
    assert.ok(await page.locator("#farm").isVisible());
    await ask("resume");
    await close();
  },

  async "old figures are warned of, and no longer when new ones come"() {
    for (const [name, width, height] of [["phone", 390, 844], ["wall", 3840, 2160]]) {
      const { page, close } = await open("/", { width, height, locale: "en", colorScheme: "dark" });
      await state(page, "live");
      assert.ok(await page.locator("#warning").isHidden());
      await ask("pause");
      await state(page, "stale");
      await page.waitForFunction(() => /Nothing new has been counted/.test(document.getElementById("warning").textContent));
      assert.ok(await page.locator("#warning").isVisible());
      assert.match(await textOf(page, "#age-text"), /ago/);
      await fits(page, width >= 1800);
      await shot(page, `${name}-stale`);
      await ask("resume");
      await state(page, "live");
      assert.ok(await page.locator("#warning").isHidden());
      await close();
    }
  },

  async "a partition that stands still is warned of although the others sell"() {
    for (const [name, width, height, locale] of [["phone", 390, 844, "zh-CN"], ["wall", 3840, 2160, "en"]]) {
      const { page, close } = await open("/", { width, height, locale, colorScheme: "light" });
      await state(page, "live");
      await ask("hide");
      await state(page, "stale");
      assert.match(await textOf(page, "#warning"), locale === "en" ? /\(3\).*transaction/ : /（3）.*事务/);
      assert.match(await textOf(page, "#age-text"), locale === "en" ? /ago/ : /前/);
      await fits(page, width >= 1800);
      await shot(page, `${name}-standstill`);
      await ask("reveal");
      await state(page, "live");
      await close();
    }
  },

  async "a lost board is told of, and found again"() {
    const { page } = await open("/", { width: 1440, height: 900, locale: "en", colorScheme: "light" });
    await state(page, "live");
    // An open stream outlives being offline; a new one is refused.
    await page.route("**/api/v1/live*", (route) => route.abort());
    await page.evaluate(() => { document.getElementById("day").dispatchEvent(new Event("change")); });
    await state(page, "lost");
    assert.match(await textOf(page, "#warning"), /connection/);
    await page.unroute("**/api/v1/live*");
    await state(page, "live");
    await page.context().close();
  },

  async "every size fits, in both languages and both colours"() {
    const sizes = [["wall", 3840, 2160], ["hd", 1920, 1080], ["laptop", 1440, 900], ["tablet", 820, 1180], ["phone", 390, 844], ["small", 320, 640]];
    for (const [name, width, height] of sizes) {
      for (const [locale, colorScheme] of [["zh-CN", "dark"], ["en", "light"]]) {
        const { page, close } = await open("/", { width, height, locale, colorScheme });
        await state(page, "live");
        await page.waitForFunction(() => document.querySelector("#plot path.now"));
        assert.equal(await page.evaluate(() => document.documentElement.lang), locale);
        await fits(page, width >= 1800);
        if (width >= 1800) {
          // A wall three metres high is a hundred units of text high, less a third: 1.2 can be read at ten metres.
          const { words, axes } = await smallest(page);
          assert.ok(axes[0] >= 1.199, `${axes[1]}: ${axes[0]} rem on an axis`);
          assert.ok(words[0] >= 0.999, `${words[1]}: ${words[0]} rem on a wall`);
        }
        if (name !== "small") await shot(page, `${name}-${locale}-${colorScheme}`);
        await holdsARecord(page);
        await close();
      }
    }
  },

  async "both languages say everything"() {
    const { page, close } = await open("/", { width: 1440, height: 900, locale: "en", colorScheme: "light" });
    await state(page, "live");
    const missing = await page.evaluate(async () => {
      const { strings } = await import("/assets/strings.js");
      const [a, b] = Object.values(strings).map((texts) => new Set(Object.keys(texts)));
      return [...a].filter((key) => !b.has(key)).concat([...b].filter((key) => !a.has(key)));
    });
    assert.deepEqual(missing, []);
    const english = await page.locator("body").innerText();
    assert.doesNotMatch(english.replace("中文", ""), /[\u4e00-\u9fff]/, "the English page has Chinese left");
    assert.doesNotMatch(english, /\b[a-z]+_[a-z_]+\b/, "a text is missing");
    await page.locator("#language").click();
    assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN");
    const chinese = await page.locator("body").innerText();
    assert.match(chinese, /净成交额/);
    assert.match(chinese, /[万亿]/);
    assert.doesNotMatch(chinese, /\b[a-z]+_[a-z_]+\b/, "a text is missing");
    await page.reload();
    await state(page, "live");
    assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN", "the choice was forgotten");
    await close();
  },

  async "a keyboard and a screen reader reach everything"() {
    for (const [path, locale, colorScheme] of [["/", "zh-CN", "dark"], ["/", "en", "light"], ["/m/1000", "zh-CN", "light"], ["/m/1000", "en", "dark"]]) {
      const { page, close } = await open(path, { width: 1440, height: 900, locale, colorScheme });
      await state(page, "live");
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
      await accessible(page);
      const why = page.locator(".why").first();
      await why.focus();
      await page.keyboard.press("Enter");
      await page.waitForFunction(() => document.getElementById("definition").open);
      assert.ok((await textOf(page, "#definition-text")).length > 10);
      await accessible(page);
      await page.keyboard.press("Escape");
      await page.waitForFunction(() => !document.getElementById("definition").open);
      await close();
    }
  },

  async "each figure's definition is one touch away"() {
    const { page, close } = await open("/", { width: 390, height: 844, locale: "en", colorScheme: "light" });
    await state(page, "live");
    const buttons = page.locator("main .why");
    assert.ok(await buttons.count() >= 18);
    for (let index = 0; index < await buttons.count(); index += 1) {
      await buttons.nth(index).click();
      const said = await textOf(page, "#definition-text");
      assert.ok(said.length > 10 && !said.startsWith("def_"), said);
      await page.locator("#definition button").click();
    }
    await close();
  },

  async "who wants no motion sees none"() {
    const { page, close } = await open("/", { width: 1440, height: 900, locale: "en", colorScheme: "light", reducedMotion: "reduce" });
    await state(page, "live");
    await page.waitForFunction(() => document.querySelector("#net .strip"));
    const durations = await page.evaluate(() => [...document.querySelectorAll(".strip, .fill")].map((element) => getComputedStyle(element).transitionDuration));
    assert.ok(durations.every((duration) => duration === "0s"));
    await close();
  },

  async "any merchant has a page with its stores"() {
    const { page, close } = await open("/", { width: 390, height: 844, locale: "zh-CN", colorScheme: "light" });
    await state(page, "live");
    await page.locator(".find input").fill("1000");
    await page.locator(".find input").press("Enter");
    await page.waitForURL("**/m/1000");
    await ask("pause");
    const answer = await (await page.context().request.get(`${base}/api/v1/merchants/1000`)).json();
    await page.waitForFunction((orders) => document.getElementById("orders").textContent === orders,
      new Intl.NumberFormat("zh-CN", answer.orders_settled >= 10_000 ? { notation: "compact", maximumSignificantDigits: 4 } : {}).format(answer.orders_settled));
    assert.equal(await page.locator("#stores li").count(), answer.locations.length);
    await fits(page, false);
    await shot(page, "merchant-phone");
    await ask("resume");
    await page.goto(`${base}/m/77`);
    await page.locator("#none").waitFor({ state: "visible" });
    assert.match(await textOf(page, "#none"), /第一单/);
    await fits(page, false);
    await close();
  },
};

const wanted = process.argv[2];
let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  if (wanted && !name.includes(wanted)) continue;
  try {
    await check();
    process.stdout.write(`ok: ${name}\n`);
  } catch (error) {
    failed += 1;
    process.stdout.write(`FAILED: ${name}\n${error.stack}\n`);
    await ask("resume");
  }
}
await browser.close();
process.exit(failed === 0 ? 0 : 1);
