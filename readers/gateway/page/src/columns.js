// SPDX-License-Identifier: MIT
// What the table of sessions shows: for each column how a cell is made and filled, and its order.
import * as format from "./format.js";
import { attribute, colour, h, sharp, style, text } from "./dom.js";
import { isFresh, trendOf } from "./model.js";

export const STATES = ["running", "stale", "lost", "ended"];
// A shape and a word for each state: colour alone says nothing.
export const GLYPHS = { running: "●", stale: "◐", lost: "✕", ended: "○" };

export const glyph = (state) => GLYPHS[state] ?? "?";

// How much of a deadline is used, in words for the style sheet.
export const load = (ratio) =>
	!format.isNumber(ratio) ? "none" : ratio > 1 ? "over" : ratio > 0.7 ? "high" : "fine";

export function bar() {
	return h("div.meter", {}, h("span.number"), h("span.track", { "aria-hidden": "true" }, h("i")));
}

export function fillBar(node, ratio) {
	const [number, track] = node.children;
	text(number, format.percent(ratio));
	attribute(node, "data-load", load(ratio));
	style(track.firstChild, "transform", `scaleX(${format.isNumber(ratio) ? Math.min(1, Math.max(0, ratio)).toFixed(3) : 0})`);
}

const plain = () => h("span.number");
const number = (show) => ({ make: plain, fill: (node, record) => text(node, show(record)) });

// A count of errors: quiet at 0, marked while it grows.
const errors = (key) => ({
	make: plain,
	fill(node, record) {
		const n = record[key];
		text(node, format.short(n));
		attribute(node, "title", n > 0 ? String(n) : null);
		attribute(node, "data-errors", !(n > 0) ? null : isFresh(record, key) ? "new" : "old");
	},
});

export function fillTarget(node, targets, missed) {
	const state = targets === 0 ? "none" : missed > 0 ? "missed" : "met";
	const word = targets === 0 ? format.ABSENT : missed === 0 ? "✓ met"
		: targets === 1 ? "✕ missed" : `✕ ${missed} of ${targets}`;
	text(node, word);
	attribute(node, "data-target", state);
}

function drawTrend(canvas, record) {
	const context = sharp(canvas, 96, 24);
	let top = 0;
	for (const value of trendOf(record))
		top = value > top ? value : top;
	if (context === null || top === 0)
		return;
	context.strokeStyle = colour("line-p99");
	context.lineWidth = 1.25;
	context.beginPath();
	let i = 0;
	let pen = false;
	for (const value of trendOf(record)) {
		const x = (i++ / 59) * 94 + 1;
		if (value >= 0)
			context[pen ? "lineTo" : "moveTo"](x, 22.5 - (value / top) * 21);
		pen = value >= 0;
	}
	context.stroke();
}

export function uptime(record, now) {
	const end = record.end ?? now;
	return format.uptime(end - record.start);
}

const byWord = new Intl.Collator("en", { numeric: true });

export const COLUMNS = [
	{
		key: "state", title: "State", value: (r) => STATES.indexOf(r.state), rising: true,
		make: () => h("span.state", {}, h("span.glyph", { "aria-hidden": "true" }), h("span.word")),
		fill(node, record) {
			attribute(node, "data-state", record.state);
			text(node.firstChild, glyph(record.state));
			text(node.lastChild, record.state);
		},
	},
	{
		key: "id", title: "Session", compare: (a, b) => byWord.compare(a.id, b.id), rising: true,
		make: () => h("span.name", {}, h("b"), h("small")),
		fill(node, record) {
			text(node.firstChild, record.id);
			text(node.lastChild, record.reason ?? (record.timer === "" ? record.service : `${record.service} · ${record.timer}`));
			attribute(node, "title", record.reason ?? record.id);
		},
	},
	{ key: "wait", title: "W/Q", hint: "mean wait for the cycle ÷ its deadline", make: bar, fill: (node, r) => fillBar(node, r.wait) },
	{ key: "busy", title: "B/Q", hint: "mean time busy in the cycle ÷ its deadline", make: bar, fill: (node, r) => fillBar(node, r.busy) },
	{ key: "misses", title: "Misses", hint: "deadlines missed", ...errors("misses") },
	{ key: "xruns", title: "Xruns", hint: "xruns that the program reported", ...errors("xruns") },
	{ key: "dropped", title: "Drops", hint: "samples dropped: a ring was full", ...errors("dropped") },
	{ key: "rate", title: "Samples/s", ...number((r) => format.rate(r.rate)) },
	{
		key: "trend", title: "p99 lately", hint: "the last 60 frames, against the highest of them", value: null,
		make: () => h("canvas.trend", { "aria-hidden": "true" }), fill: drawTrend,
	},
	{ key: "p50", title: "p50", scaled: true, ...number((r) => format.value(r.p50, r.unit)) },
	{ key: "p99", title: "p99", scaled: true, ...number((r) => format.value(r.p99, r.unit)) },
	{ key: "max", title: "max", scaled: true, ...number((r) => format.value(r.max, r.unit)) },
	{
		key: "target", title: "Target", value: (r) => (r.targets === 0 ? -1 : r.missed),
		make: () => h("span.target"), fill: (node, r) => fillTarget(node, r.targets, r.missed),
	},
	{ key: "cpu", title: "CPU", ...number((r) => format.percent(r.cpu)) },
	{ key: "rss", title: "Memory", ...number((r) => format.bytes(r.rss)) },
	{
		key: "up", title: "Up", value: (r, now) => (r.end ?? now) - r.start,
		make: plain, fill: (node, r, now) => text(node, uptime(r, now)),
	},
];

// The order of a column: what has no value comes last either way.
export function order(column, down, now) {
	const value = column.value ?? ((r) => r[column.key] * (column.scaled ? r.scale : 1));
	const sign = down ? -1 : 1;
	if (column.compare !== undefined)
		return (a, b) => sign * column.compare(a, b) || (a.key < b.key ? -1 : 1);
	return (a, b) => {
		const x = value(a, now);
		const y = value(b, now);
		if (x !== y && format.isNumber(x) && format.isNumber(y))
			return sign * (x - y);
		if (format.isNumber(x) !== format.isNumber(y))
			return format.isNumber(x) ? -1 : 1;
		return byWord.compare(a.id, b.id) || (a.key < b.key ? -1 : 1);
	};
}
