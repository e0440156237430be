// SPDX-License-Identifier: MIT
// One session in full, by a stream of its own.
import * as format from "./format.js";
import { CurveChart, PARTS, TimeChart } from "./charts.js";
import { HeatMap } from "./heat.js";
import { History, SMOOTH_S } from "./history.js";
import { Stream } from "./stream.js";
import { attribute, byId, h, hide, list, once, text } from "./dom.js";
import { bar, fillBar, glyph } from "./columns.js";
import { leading } from "./model.js";
import { promises, targetsTable, timersTable, values, valuesTable, writersTable } from "./tables.js";
import { quantiles } from "./histogram.js";

const INTERVAL_S = 0.25; // at most; the agent may publish less often

function figure(title) {
	const value = h("dd");
	return { node: h("div", {}, h("dt", {}, title), value), value };
}

function panel(title, chart, place) {
	const heading = h("div.panelhead", {}, h("h3", {}, title), ...(chart.legend ? [chart.legend()] : []));
	return h("section.panel", { "aria-label": title }, heading, place, chart.readout);
}

export class Detail {
	constructor(close) {
		this.place = byId("detail");
		this.close_ = close;
		this.stream = null;
		this.key = null;
		this.draw = once(() => this.render());
		this.build();
		new ResizeObserver(this.draw).observe(this.place);
	}

	build() {
		this.title = h("h2", { tabindex: "-1" });
		this.state = h("span.state", {}, h("span.glyph", { "aria-hidden": "true" }), h("span.word"));
		this.service = h("span.service-name");
		this.note = h("p.note", { role: "status" });
		this.labels = h("ul.labels", { "aria-label": "Labels" });
		this.figures = {};
		const figures = h("dl.figures");
		for (const title of ["W/Q", "B/Q", "Misses", "Xruns", "Drops", "CPU", "Memory", "Segment", "Process", "Up"]) {
			this.figures[title] = figure(title);
			figures.append(this.figures[title].node);
		}
		for (const title of ["W/Q", "B/Q"])
			this.figures[title].value.append(bar());
		this.place.append(h("header.detailhead", {},
			h("button.icon.back", { type: "button", "aria-label": "Close (Esc)", title: "Close (Esc)", onclick: () => this.close_() }, "✕"),
			h("div.who", {}, this.title, this.state, this.service)),
		this.note, this.labels, figures, this.charts(), ...this.tables());
	}

	charts() {
		const places = [h("div.plot"), h("div.plot"), h("div.plot")];
		this.time = new TimeChart(places[0]);
		this.heat = new HeatMap(places[1]);
		this.curve = new CurveChart(places[2]);
		this.select = h("select", { id: "timer", onchange: () => this.choose(this.select.value) });
		return h("div.charts", {}, h("label.timer", {}, "Timer ", this.select),
			panel(`Latency over time, ${SMOOTH_S} s each`, this.time, places[0]), panel("Percentiles", this.curve, places[2]),
			panel("Latency heat map", this.heat, places[1]), this.worst());
	}

	// The largest samples and what they belonged to, beside the heat map.
	worst() {
		this.worsts = h("ul.worsts");
		this.worstPanel = h("section.panel.worst", { "aria-label": "Worst samples" }, h("h3", {}, "Worst samples"), this.worsts);
		return this.worstPanel;
	}

	tables() {
		this.timers = timersTable((name) => this.choose(name));
		this.promised = targetsTable();
		this.writers = writersTable();
		this.values = valuesTable();
		return [this.timers, this.promised, this.writers, this.values].map((table) => table.node);
	}

	open(record) {
		this.shut();
		this.key = record.key;
		this.timer = null;
		this.frame = null;
		this.over = "";
		this.history = new History();
		for (const chart of [this.time, this.curve])
			chart.forget();
		text(this.title, record.id);
		text(this.service, record.service);
		this.showState(record.state);
		this.place.hidden = false;
		this.place.scrollTop = 0;
		this.place.classList.add("waiting");
		this.stream = new Stream({ session: record.key, interval: INTERVAL_S },
			(frame) => this.apply(frame), (reason) => this.ended(reason));
	}

	shut() {
		this.stream?.close();
		this.stream = null;
	}

	close() {
		this.shut();
		this.key = null;
		this.place.hidden = true;
	}

	apply(frame) {
		if (frame.type !== "session")
			return;
		this.frame = frame;
		this.history.apply(frame);
		this.timer ??= leading(frame.session.metrics)?.name ?? null;
		this.place.classList.remove("waiting");
		this.draw();
	}

	ended(reason) {
		this.over = reason === "left" ? "the agent has forgotten the session" : `the session is ${reason}`;
		this.draw();
	}

	choose(name) {
		this.timer = name;
		for (const chart of [this.time, this.curve])
			chart.forget();
		this.draw();
	}

	recolour() {
		for (const chart of [this.time, this.curve])
			chart.plot?.redraw(false, true);
		this.draw();
	}

	showState(state) {
		attribute(this.state, "data-state", state);
		text(this.state.firstChild, glyph(state));
		text(this.state.lastChild, state);
	}

	render() {
		if (this.frame === null || this.place.hidden)
			return;
		const { session } = this.frame;
		this.showState(session.state);
		const words = [session.reason, this.over && `No more is to come: ${this.over}. These are its last numbers.`];
		text(this.note, words.filter(Boolean).join(" · "));
		list(this.labels, Object.entries(session.labels ?? {}), () => h("li", {}, h("b"), h("span")), (node, [key, value]) => {
			text(node.firstChild, key);
			text(node.lastChild, value);
		});
		this.showFigures(session);
		this.showCharts(session);
		this.timers.update(session.metrics.filter((m) => m.kind === "timer"),
			(row, timer) => attribute(row, "data-chosen", timer.name === this.timer ? "" : null));
		this.promised.update(promises(session.metrics));
		this.writers.update(session.writers);
		this.values.update(values(session));
	}

	showFigures(session) {
		const periods = session.metrics.map((metric) => metric.period).filter(Boolean);
		const most = (key) => periods.reduce((max, p) => (p[key] > (max ?? -1) ? p[key] : max), undefined);
		const all = (key) => periods.reduce((sum, p) => (p[key] === undefined ? sum : (sum ?? 0) + p[key]), undefined);
		const end = session.end_time_unix_ns ?? this.frame.time_unix_ns;
		const shown = {
			Misses: format.short(all("misses")), Xruns: format.short(all("xruns")),
			Drops: format.short(session.dropped_total), CPU: format.percent(session.cpu_ratio),
			Memory: format.bytes(session.memory?.process_rss_bytes), Segment: format.bytes(session.memory?.shm_bytes),
			Process: `${session.pid}`, Up: format.uptime(end - session.start_time_unix_ns),
		};
		fillBar(this.figures["W/Q"].value.firstChild, most("wait_ratio"));
		fillBar(this.figures["B/Q"].value.firstChild, most("busy_ratio"));
		for (const [title, value] of Object.entries(shown))
			text(this.figures[title].value, value);
		for (const title of ["Misses", "Xruns", "Drops"])
			attribute(this.figures[title].value, "data-errors", /^[1-9]/.test(shown[title]) ? "old" : null);
		for (const title of ["W/Q", "B/Q", "Misses", "Xruns"])
			hide(this.figures[title].node, periods.length === 0);
	}

	showCharts(session) {
		const timers = session.metrics.filter((metric) => metric.kind === "timer");
		const timer = timers.find((one) => one.name === this.timer);
		list(this.select, timers, () => h("option"), (node, one) => {
			text(node, one.name);
			attribute(node, "value", one.name);
		});
		if (timer === undefined)
			return;
		this.select.value = timer.name;
		const columns = this.history.columns(timer.name);
		const span = this.history.span();
		const limits = [];
		if (timer.target !== undefined)
			limits.push({ name: `target ${format.value(timer.target.value, timer.unit)}`, value: timer.target.value });
		if (timer.period?.period_ns !== undefined)
			limits.push({ name: `deadline ${format.duration(timer.period.period_ns)}`, value: timer.period.period_ns });
		for (const chart of [this.time, this.curve, this.heat]) {
			chart.unit = timer.unit;
			chart.limits = limits;
		}
		// A logarithmic axis has no 0.
		const positive = (value) => (value > 0 ? value : null);
		this.time.update(columns.map((c) => c.to), ["p50", "p99", "max"].map((key) => columns.map((c) => positive(c[key]))), span);
		this.heat.update(columns, span);
		const none = PARTS.map(() => null);
		const curve = (histogram) => quantiles(histogram, PARTS).map((v) => positive(Math.min(v, timer.max)));
		this.curve.update(timer.histogram ? curve(timer.histogram) : none, columns.length > 0 ? curve(this.history.lately(timer.name)) : none);
		this.showWorst(promises(session.metrics).filter((p) => p.worst !== undefined));
	}

	showWorst(found) {
		hide(this.worstPanel, found.length === 0);
		list(this.worsts, found, () => h("li", {}, h("b"), h("span.big"), h("small"), h("code")), (node, p) => {
			const [name, value, when, id] = node.children;
			text(name, p.name);
			text(value, format.value(p.worst.value, p.unit));
			text(when, `${format.age(this.frame.time_unix_ns - p.worst.time_unix_ns)} ago, at ${format.clock(p.worst.time_unix_ns)}`);
			text(id, p.worst.correlation_id === undefined ? "no correlation id" : `correlation id ${p.worst.correlation_id}`);
		});
	}
}
