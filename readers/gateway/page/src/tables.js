// SPDX-License-Identifier: MIT
// The tables beside the charts: timers, targets, writers, values of one session.
import * as format from "./format.js";
import { attribute, h, list, style, text } from "./dom.js";
import { fillTarget } from "./columns.js";

// A table whose rows are filled by columns {title, show(item), fill?(cell, item), words?}.
export class Rows {
	constructor(title, columns) {
		this.columns = columns;
		this.body = h("tbody");
		const heads = columns.map((c) => h(c.words ? "th" : "th.number", { scope: "col", title: c.hint }, c.title));
		this.node = h("section.block", { "aria-label": title }, h("h3", {}, title),
			h("div.scroll", { tabindex: "0", role: "region", "aria-label": title },
				h("table", {}, h("thead", {}, h("tr", {}, ...heads)), this.body)));
	}

	update(items, each = () => {}) {
		this.node.hidden = items.length === 0;
		list(this.body, items, () => this.row(), (row, item) => {
			this.columns.forEach((column, i) => {
				if (column.fill !== undefined)
					column.fill(row.children[i].firstChild, item);
				else
					text(row.children[i], column.show(item));
			});
			each(row, item);
		});
	}

	row() {
		return h("tr", {}, ...this.columns.map((c) =>
			(c.make !== undefined ? h("td", {}, c.make()) : h(c.words ? "td" : "td.number"))));
	}
}

const lately = (timer) => timer.windows?.["10s"] ?? {};
// Of the last 10 s where there were samples, else of all: then it is marked.
const recent = (key) => (timer) => {
	const now = lately(timer)[key];
	return format.value(now ?? timer[key] ?? timer.quantiles?.[key], timer.unit);
};

export function timersTable(choose) {
	const make = () => h("button.pick", { type: "button", onclick: (event) => choose(event.currentTarget.timer) });
	const target = ({ target: t }) => (t?.met === undefined ? 0 : 1);
	return new Rows("Timers, last 10 s", [
		{
			title: "Timer", words: true, make,
			fill(button, timer) {
				button.timer = timer.name;
				text(button, timer.name);
				attribute(button, "title", timer.help ?? null);
			},
		},
		{ title: "Stage", words: true, show: (timer) => timer.stage ?? "" },
		{ title: "Rate/s", show: (timer) => format.rate(lately(timer).rate) },
		{ title: "Mean", show: recent("mean") },
		{ title: "p50", show: recent("p50") },
		{ title: "p95", show: recent("p95") },
		{ title: "p99", show: recent("p99") },
		{ title: "max", show: recent("max") },
		{
			title: "Target", words: true, make: () => h("span.target"),
			fill: (node, timer) => fillTarget(node, target(timer), target(timer) && !timer.target.met ? 1 : 0),
		},
	]);
}

// What the session promised: targets, and deadlines.
export function promises(metrics) {
	const out = [];
	for (const metric of metrics) {
		const { target, period, unit } = metric;
		if (target !== undefined)
			out.push({
				name: metric.name, what: `${format.percent(target.quantile)} within ${format.value(target.value, unit)}`,
				met: target.met, broken: target.violations, ratio: target.violation_ratio, worst: target.worst, unit,
			});
		if (period !== undefined)
			out.push({
				name: metric.name, what: `each within ${format.duration(period.period_ns)}`,
				met: period.misses === undefined ? undefined : period.misses === 0,
				broken: period.misses, ratio: period.miss_ratio, run: period.miss_run_max, worst: period.worst, unit: "ns",
			});
	}
	return out;
}

export const targetsTable = () => new Rows("Targets and deadlines", [
	{ title: "Timer", words: true, show: (p) => p.name },
	{ title: "Promised", words: true, show: (p) => p.what },
	{
		title: "Kept", words: true, make: () => h("span.target"),
		fill: (node, p) => fillTarget(node, p.met === undefined ? 0 : 1, p.met === false ? 1 : 0),
	},
	{ title: "Broken", show: (p) => `${format.count(p.broken)}${format.isNumber(p.ratio) ? ` (${format.share(p.ratio)})` : ""}` },
	{ title: "In a row", hint: "most misses in a row", show: (p) => (p.run === undefined ? "" : format.count(p.run)) },
	{ title: "Worst", show: (p) => format.value(p.worst?.value, p.unit) },
	{ title: "At", show: (p) => format.clock(p.worst?.time_unix_ns) },
	{ title: "Correlation id", show: (p) => String(p.worst?.correlation_id ?? format.ABSENT) },
]);

export const writersTable = () => new Rows("Writers", [
	{ title: "Writer", words: true, show: (w) => w.name || `${w.id}` },
	{
		title: "Ring", words: true, hint: "in use now; the mark is the most that was ever in it",
		make: () => h("span.ring", {}, h("i.used"), h("i.high")),
		fill(ring, w) {
			style(ring.firstChild, "transform", `scaleX(${Math.min(1, w.used / w.capacity).toFixed(3)})`);
			style(ring.lastChild, "left", `${Math.min(100, (w.high_water / w.capacity) * 100).toFixed(1)}%`);
		},
	},
	{ title: "Used", show: (w) => format.count(w.used) },
	{ title: "High water", show: (w) => `${format.count(w.high_water)} (${format.percent(w.high_water / w.capacity)})` },
	{ title: "Capacity", show: (w) => format.count(w.capacity) },
	{ title: "Recorded", show: (w) => format.count(w.recorded) },
	{
		title: "Dropped", words: true, make: () => h("span.errors"),
		fill(node, w) {
			const causes = Object.entries(w.dropped ?? {}).filter(([, n]) => n > 0);
			text(node, causes.length === 0 ? "0" : causes.map(([cause, n]) => `${format.count(n)} ${cause}`).join(", "));
			attribute(node, "data-errors", causes.length > 0 ? "old" : null);
		},
	},
]);

export const valuesTable = () => new Rows("Values", [
	{ title: "Value", words: true, show: (v) => v.name },
	{ title: "Kind", words: true, show: (v) => v.kind },
	{ title: "Now", show: (v) => (typeof v.value === "string" ? v.value : format.measure(v.value, v.unit)) },
]);

export const values = (session) => [
	...session.metrics.filter((metric) => metric.kind !== "timer"),
	...(session.derived ?? []).map((derived) => ({ ...derived, kind: "derived", unit: "1" })),
];
