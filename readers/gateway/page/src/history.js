// SPDX-License-Identifier: MIT
// What one session's timers did since its details were opened: a column a frame, made of what its
// histograms grew by.
import { difference, highest, quantiles, sum } from "./histogram.js";

const COLUMNS = 360;
export const SMOOTH_S = 2; // the lines are of so long each, or of a frame that is longer

export class History {
	constructor() {
		this.timers = new Map(); // by name: {before, columns}
		this.time = null; // of the frame before, in s
		this.step = 1; // s between frames
	}

	apply(frame) {
		const to = frame.time_unix_ns / 1e9;
		const from = this.time ?? to;
		if (to <= from && this.time !== null)
			return;
		for (const metric of frame.session.metrics)
			if (metric.kind === "timer")
				this.timer(metric, from, to);
		this.step = this.time === null ? frame.interval_ns / 1e9 : to - from;
		this.time = to;
	}

	timer(metric, from, to) {
		let timer = this.timers.get(metric.name);
		if (timer === undefined)
			this.timers.set(metric.name, (timer = { before: null, columns: [] }));
		const now = metric.histogram ?? { schema: 5, zero_count: 0, offset: 0, buckets: [] };
		const histogram = difference(now, timer.before);
		timer.before = now;
		if (histogram === null || to <= from)
			return;
		const column = { from, to, histogram };
		timer.columns.push(column);
		this.lines(column, timer.columns, metric.max);
		if (timer.columns.length > COLUMNS)
			timer.columns.shift();
	}

	// A frame of its own would have few samples, and a 99th percentile of few is a jumping line.
	lines(column, columns, all) {
		const first = columns.findLastIndex(({ from }) => from <= column.to - SMOOTH_S);
		const histogram = sum(columns.slice(Math.max(0, first)).map((one) => one.histogram));
		const [p50, p99] = quantiles(histogram, [0.5, 0.99]);
		const top = highest(histogram);
		column.p50 = p50;
		column.max = top === null ? null : Math.min(top, all ?? top);
		column.p99 = p99 === null ? null : Math.min(p99, column.max);
	}

	columns(name) {
		return this.timers.get(name)?.columns ?? [];
	}

	// All that is charted of a timer, in one histogram.
	lately(name) {
		return sum(this.columns(name).map((column) => column.histogram));
	}

	// The times at both ends of the charts: they fill from the right, and then move on.
	span() {
		const end = this.time ?? 0;
		let first = end;
		for (const { columns } of this.timers.values())
			if (columns.length > 0)
				first = Math.min(first, columns[0].from);
		return [Math.min(first, end - 60 * Math.max(this.step, 0.5)), end];
	}
}
