// SPDX-License-Identifier: MIT
// A browser that the tests of the live page drive: drive.mjs TOOLS CHROMIUM, where TOOLS has
// playwright-core in its node_modules. Takes requests and gives answers as lines of JSON:
//
//   {"do": "open", "url": …, "width": …, "height": …, "scheme": "dark"}   a new page
//   {"do": "ask", "code": "return document.title"}   what a function in the page returns
//   {"do": "press", "key": …}  {"do": "type", "text": …}  {"do": "click", "at": SELECTOR}
//   {"do": "size", "width": …, "height": …}  {"do": "shot", "file": …}
//   {"do": "problems"}   what went wrong since the start: errors and warnings of the console,
//                        violations of the policy, uncaught errors, requests to elsewhere
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const [tools, executablePath] = process.argv.slice(2);
const { chromium } = createRequire(`${tools}/package.json`)("playwright-core");
const browser = await chromium.launch({
	executablePath,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const problems = [];
let expected = []; // patterns of what is no problem
let page = null;
let host = "";

function watch() {
	const note = (text) => expected.some((one) => new RegExp(one).test(text)) || problems.push(text);
	page.on("console", (message) => ["error", "warning"].includes(message.type()) &&
		note(`console: ${message.text()} ${message.location().url}`));
	page.on("pageerror", (error) => note(`uncaught: ${error.stack}`));
	page.on("request", (request) => {
		const url = new URL(request.url());
		if (url.protocol !== "data:" && url.host !== host)
			note(`elsewhere: ${request.url()}`);
	});
}

const actions = {
	async open({ url, width, height, scheme }) {
		await page?.context().close();
		const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
		// Said by the browser itself, whatever the console shows.
		await context.addInitScript(() => {
			window.violations = [];
			document.addEventListener("securitypolicyviolation",
				(event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
		});
		page = await context.newPage();
		host = new URL(url).host;
		watch();
		await page.goto(url);
	},
	ask: ({ code }) => page.evaluate(`(() => {${code}})()`),
	press: ({ key }) => page.keyboard.press(key),
	type: ({ text }) => page.keyboard.type(text),
	click: ({ at }) => page.click(at, { timeout: 20000 }),
	size: ({ width, height }) => page.setViewportSize({ width, height }),
	shot: ({ file }) => page.screenshot({ path: file }),
	expect: ({ patterns }) => { expected = patterns; },
	async problems() {
		return [...problems, ...await page.evaluate("window.violations")];
	},
};

for await (const line of createInterface({ input: process.stdin })) {
	const request = JSON.parse(line);
	let answer;
	try {
		answer = { result: await actions[request.do](request) ?? null };
	} catch (error) {
		answer = { error: String(error.stack) };
	}
	process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
