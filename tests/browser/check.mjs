// Opens pages in a headless Chromium and uses them as a person would: `node check.mjs FOLDER`.
//
// Every page: no error in the console, no request but for the file itself, clean by axe in light and dark, nothing wider than the
// screen at 1280 and at 400 pixels. Stories: search, zoom, pinning, keyboard and deep links work. `big.html`: first paint and size.
import { chromium } from "playwright-core";
import { AxeBuilder } from "@axe-core/playwright";
import { readdirSync, statSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder = resolve(process.argv[2] ?? "../../target/tmp/pages");
const shots = join(folder, "screenshots");
mkdirSync(shots, { recursive: true });
const pages = readdirSync(folder).filter((name) => name.endsWith(".html")).sort();
if (!pages.some((name) => name.startsWith("story"))) throw new Error(`no story in ${folder}: run cargo test --workspace first`);

let failures = 0;
function expect(holds, what) {
  if (!holds) failures += 1;
  console.log(`${holds ? "ok  " : "FAIL"} ${what}`);
}

// What a page does a frame or an event later, it has done within five seconds on any machine.
async function becomes(holds) {
  const until = Date.now() + 5000;
  while (!(await holds())) {
    if (Date.now() > until) return false;
    await new Promise((done) => setTimeout(done, 20));
  }
  return true;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});

// A page in a context of its own, with everything that it complains about or asks for.
async function open(name, { scheme = "light", width = 1280, hash = "", script = true } = {}) {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height: 900 }, javaScriptEnabled: script });
  const page = await context.newPage();
  const complaints = [], requests = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => requests.push(request.url()));
  const url = pathToFileURL(join(folder, name)).href;
  await page.goto(url + hash);
  return { context, page, complaints, foreign: () => requests.filter((own) => !own.startsWith(url)) };
}

for (const name of pages) {
  for (const scheme of ["light", "dark"]) {
    for (const width of [1280, 400]) {
      const { context, page, complaints, foreign } = await open(name, { scheme, width });
      await page.waitForTimeout(100);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      expect(wide <= 0, `${name}, ${scheme}, ${width} px: nothing is wider than the screen (${wide} px)`);
      const { violations } = await new AxeBuilder({ page }).analyze();
      const told = violations.map((own) => `${own.id} at ${own.nodes[0].target}`).join("; ");
      expect(violations.length === 0, `${name}, ${scheme}, ${width} px: axe is clean ${told}`);
      await page.screenshot({ path: join(shots, `${name}-${scheme}-${width}.png`), fullPage: name !== "big.html" });
      expect(complaints.length === 0, `${name}, ${scheme}, ${width} px: no error ${complaints.join("; ")}`);
      expect(foreign().length === 0, `${name}, ${scheme}, ${width} px: no request ${foreign().join("; ")}`);
      await context.close();
    }
  }
}

for (const name of pages.filter((own) => own.startsWith("story"))) {
  const { context, page, complaints } = await open(name);
  const selected = () => page.locator("#selected").textContent();
  const number = async () => /^#(\d+)/.exec(await selected())?.[1];
  expect(await number(), `${name}: the failure is selected at first`);
  const picture = () => page.locator("#canvas").evaluate((canvas) => canvas.toDataURL());
  const differs = (from) => becomes(async () => (await picture()) !== from);

  await page.locator("#canvas").focus();
  const failure = await number(), before = await picture();
  await page.keyboard.press("+");
  expect(await differs(before), `${name}: + zooms`);
  const near = await picture();
  await page.keyboard.press("0");
  expect(await differs(near), `${name}: 0 shows the whole run`);
  const whole = await picture();
  await page.locator("#zoom-in").click();
  expect(await differs(whole), `${name}: the button zooms`);
  await page.locator("#whole").click();
  expect(await becomes(async () => (await picture()) === whole), `${name}: the whole run looks the same again`);
  await page.locator("#canvas").hover();
  await page.mouse.wheel(0, -400);
  expect(await differs(whole), `${name}: the wheel zooms`);

  await page.locator("#canvas").focus();
  const first = await number();
  await page.keyboard.press("p");
  await page.keyboard.press("ArrowUp");
  const second = await number();
  expect(second !== first, `${name}: the arrow goes to another event`);
  await page.keyboard.press("p");
  const pins = await page.locator("#pins").textContent();
  expect(pins.includes(`#${first} and #${second}`) && /\d s between/.test(pins), `${name}: two pins give the time between (${pins})`);

  await page.locator("#search").fill(`#${first}`);
  expect(/^[1-9]\d* found/.test(await page.locator("#hits").textContent()), `${name}: search finds`);
  await page.keyboard.press("Enter");
  expect((await selected()).includes(`#${first}`), `${name}: Enter goes to what was found`);
  expect(page.url().endsWith(`#e${await number()}`), `${name}: the address names the event`);
  await page.locator("#search").fill("no such text anywhere");
  expect((await page.locator("#hits").textContent()).startsWith("0 found"), `${name}: search says that there is nothing`);

  const link = page.locator("ol.story a.event", { hasNotText: new RegExp(`^#${failure}$`) }).first();
  const linked = (await link.textContent()).slice(1);
  const selects = (event) => becomes(async () => (await number()) === event);
  await link.click();
  expect(await selects(linked), `${name}: a link in the story selects its event`);
  await page.locator("#failure").click();
  expect(await selects(failure), `${name}: the button goes to the failure`);
  await link.click();
  expect(await selects(linked), `${name}: the same link selects its event again`);
  expect(complaints.length === 0, `${name}: no error while it is used ${complaints.join("; ")}`);
  await context.close();

  const deep = await open(name, { hash: `#e${first}` });
  expect((await deep.page.locator("#selected").textContent()).startsWith(`#${first} `), `${name}: a deep link selects its event`);
  await deep.context.close();

  const plain = await open(name, { script: false });
  expect((await plain.page.locator("ol.story li").count()) >= 3, `${name}: the story is there without a script`);
  expect(!(await plain.page.locator("#timeline").isVisible()), `${name}: no dead controls without a script`);
  await plain.context.close();
}

for (const name of pages.filter((own) => own === "big.html")) {
  const size = statSync(join(folder, name)).size;
  expect(size <= 5e6, `${name}: at most 5 MB (${(size / 1e6).toFixed(2)} MB)`);
  const { context, page } = await open(name);
  let paint = Infinity;
  await becomes(async () => {
    paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? Infinity);
    return paint < Infinity;
  });
  expect(paint < 2000, `${name}: first paint under 2 s (${Math.round(paint)} ms)`);
  const begun = Date.now();
  await page.locator("#canvas").focus();
  for (let i = 0; i < 10; i += 1) await page.keyboard.press("+");
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const took = Date.now() - begun;
  expect(took < 2000, `${name}: ten steps of zoom in under 2 s (${took} ms)`);
  await context.close();
}

await browser.close();
console.log(failures === 0 ? "all pages work" : `${failures} failures`);
process.exit(failures === 0 ? 0 : 1);
