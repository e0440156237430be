// SPDX-License-Identifier: MIT
// The bus as the page knows it: frames in, one record a session out.
import { isNumber, unitNs } from "./format.js";

const TREND = 60; // frames
const FRESH_MS = 4000; // an error that came so lately is shown as new

// What a timer is, by the words of its stage and name: as readers/measure.h has it.
const E2E = /(^|[._-])(e2e|endtoend|end[._-]to[._-]end)([._-]|$)/i;
const LATENCY = /(^|[._-])latency([._-]|$)/i;

const timersOf = (metrics) => metrics.filter((metric) => metric.kind === "timer");

// The timer that stands for a session: from end to end, else of latency, else one with a target
// or a deadline, else the first.
export function leading(metrics) {
	const timers = timersOf(metrics);
	const words = (pattern) => (timer) => pattern.test(timer.name) || pattern.test(timer.stage ?? "");
	return timers.find(words(E2E)) ?? timers.find(words(LATENCY)) ??
		timers.find((timer) => timer.target !== undefined) ??
		timers.find((timer) => timer.period !== undefined) ?? timers[0] ?? null;
}

const largest = (a, b) => (isNumber(a) && !(b >= a) ? a : b);

// Misses and xruns of all that has a deadline; the ratios of the one that is nearest to it.
function deadlines(record, metrics) {
	record.busy = record.wait = record.misses = record.xruns = undefined;
	for (const { period } of metrics) {
		if (period === undefined)
			continue;
		record.busy = largest(period.busy_ratio, record.busy);
		record.wait = largest(period.wait_ratio, record.wait);
		record.misses = (record.misses ?? 0) + (period.misses ?? 0);
		if (period.xruns !== undefined)
			record.xruns = (record.xruns ?? 0) + period.xruns;
	}
}

function targets(record, metrics) {
	record.targets = record.missed = 0;
	for (const { target } of metrics) {
		if (target?.met === undefined)
			continue;
		record.targets++;
		record.missed += target.met ? 0 : 1;
	}
}

function latency(record, metrics) {
	// It stays where it was, mostly.
	if (metrics[record.leads]?.name !== record.timer || metrics.length !== record.metrics)
		record.leads = metrics.indexOf(leading(metrics));
	record.metrics = metrics.length;
	const timer = metrics[record.leads];
	const over = record.state === "ended" || record.state === "lost";
	record.timer = timer?.name ?? "";
	record.unit = timer?.unit ?? "ns";
	record.scale = unitNs(record.unit) || 1;
	record.p50 = timer?.p50;
	record.p99 = timer?.p99;
	record.max = timer?.max;
	record.rate = undefined;
	if (!over)
		for (const { rate } of timersOf(metrics))
			if (isNumber(rate))
				record.rate = (record.rate ?? 0) + rate;
	record.trend[record.trendAt++ % TREND] = !over && timer?.rate > 0 ? timer.p99 : NaN;
}

// Errors that came since the frame before.
function fresh(record, before, now) {
	for (const key of ["misses", "xruns", "dropped"])
		if (before !== null && record[key] > (before[key] ?? 0))
			record.freshAt[key] = now;
}

export class Model {
	constructor() {
		this.records = new Map(); // by segment
		this.frame = null;
		this.samplesRate = undefined;
		this.rates = [];
	}

	apply(frame) {
		const now = performance.now();
		const before = this.frame;
		this.frame = frame;
		const there = new Set();
		for (const session of frame.sessions) {
			there.add(session.segment);
			this.session(session, now);
		}
		for (const key of this.records.keys())
			if (!there.has(key))
				this.records.delete(key);
		this.throughput(frame, before);
	}

	session(session, now) {
		let record = this.records.get(session.segment);
		const before = record === undefined ? null
			: { misses: record.misses, xruns: record.xruns, dropped: record.dropped };
		if (record === undefined) {
			record = {
				key: session.segment, id: session.id, service: session.service,
				trend: new Float64Array(TREND).fill(NaN), trendAt: 0, freshAt: {},
			};
			record.words = `${session.id} ${session.service}`.toLowerCase();
			this.records.set(session.segment, record);
		}
		record.state = session.state;
		record.session = session;
		record.cpu = session.cpu_ratio;
		record.rss = session.memory?.process_rss_bytes;
		record.dropped = session.dropped_total;
		record.start = session.start_time_unix_ns;
		record.end = session.end_time_unix_ns;
		record.reason = session.reason;
		deadlines(record, session.metrics);
		targets(record, session.metrics);
		latency(record, session.metrics);
		fresh(record, before, now);
	}

	// Samples a second, of all the bus.
	throughput(frame, before) {
		const passed = before === null ? 0 : (frame.time_unix_ns - before.time_unix_ns) / 1e9;
		const grown = frame.agent.samples_total - (before?.agent.samples_total ?? 0);
		if (before?.agent.start_time_unix_ns !== frame.agent.start_time_unix_ns || !(passed > 0) || grown < 0)
			return;
		this.samplesRate = grown / passed;
		this.rates.push(this.samplesRate);
		if (this.rates.length > TREND)
			this.rates.shift();
	}
}

export const isFresh = (record, key) => performance.now() - record.freshAt[key] < FRESH_MS;

// A trend's values from the oldest on.
export function* trendOf(record) {
	for (let i = 0; i < TREND; i++)
		yield record.trend[(record.trendAt + i) % TREND];
}

export const counts = (records) => {
	const states = { running: 0, stale: 0, lost: 0, ended: 0 };
	for (const { state } of records.values())
		states[state] = (states[state] ?? 0) + 1;
	return states;
};
