// SPDX-License-Identifier: MIT
// The charts of one timer: its latency over time, and its percentile curve. Both by uPlot.
import uPlot from "uplot";
import * as format from "./format.js";
import { colour, h, text } from "./dom.js";

export const AXIS = 62; // px left of a chart; the heat map has as much, so that times stand in line
export const RIGHT = 26;
const FONT = "11px system-ui, sans-serif";

const LINES = [
	{ label: "p50", stroke: "line-p50", width: 1.75 },
	{ label: "p99", stroke: "line-p99", width: 1.75, dash: [6, 3] },
	{ label: "max", stroke: "line-max", width: 1.5, dash: [1, 3], cap: "round" },
];

const axis = (more) => ({
	stroke: () => colour("muted"), font: FONT, size: AXIS, gap: 6,
	grid: { stroke: () => colour("rule"), width: 1 }, ticks: { show: false }, ...more,
});

// Decades, and their halves where there are few of them.
function decades(u, i, low, high) {
	const out = [];
	const steps = Math.log10(high / low) > 3 ? [1] : [1, 2, 5];
	for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
		for (const step of steps)
			out.push(step * 10 ** e);
	return out.filter((v) => v >= low * 0.999 && v <= high * 1.001);
}

// A logarithmic range around values, never less than half a decade.
function around(low, high) {
	if (!(low > 0) || !(high > 0))
		return [1, 10];
	const middle = Math.sqrt(low * high);
	return [Math.min(low / 1.25, middle / 1.8), Math.max(high * 1.25, middle * 1.8)];
}

function scales(x) {
	return { x, y: { distr: 3, log: 10, range: (u, low, high) => around(low, high) } };
}

// A dashed line across the chart, with its name; under what was measured, which it may not hide.
function limits(chart) {
	return (u) => {
		for (const limit of chart.limits) {
			const y = u.valToPos(limit.value, "y", true);
			const { left, top, width, height } = u.bbox;
			if (!(y >= top && y <= top + height))
				continue;
			const ratio = window.devicePixelRatio || 1;
			u.ctx.save();
			u.ctx.strokeStyle = u.ctx.fillStyle = colour("limit");
			u.ctx.lineWidth = ratio;
			u.ctx.setLineDash([8 * ratio, 4 * ratio]);
			u.ctx.beginPath();
			u.ctx.moveTo(left, y);
			u.ctx.lineTo(left + width, y);
			u.ctx.stroke();
			u.ctx.font = `${11 * ratio}px system-ui, sans-serif`;
			u.ctx.textAlign = "right";
			u.ctx.textBaseline = "middle";
			const middle = y + (y < top + height - 20 * ratio ? 10 : -10) * ratio;
			u.ctx.fillText(limit.name, left + width - 6 * ratio, middle);
			u.ctx.restore();
		}
	};
}

class Chart {
	constructor(place, height, right) {
		this.right = right;
		this.place = place;
		this.height = height;
		this.unit = "ns";
		this.limits = [];
		this.plot = null;
		this.readout = h("p.readout");
	}

	show(data, options) {
		const width = this.place.clientWidth;
		if (width < 40)
			return;
		if (this.plot === null)
			this.plot = new uPlot({ width, height: this.height, padding: [8, this.right, 0, 0], legend: { show: false }, ...options }, data, this.place);
		else if (this.plot.width !== width)
			this.plot.setSize({ width, height: this.height });
		this.plot.setData(data);
	}

	forget() {
		this.plot?.destroy();
		this.plot = null;
	}

	// What is under the pointer, or the newest.
	read(show) {
		return (u) => text(this.readout, show(u, u.cursor.idx ?? u.data[0].length - 1));
	}
}

const cursor = { y: false, points: { size: 6 }, drag: { x: false, y: false, setScale: false } };

export class TimeChart extends Chart {
	constructor(place) {
		super(place, 220, RIGHT);
		this.span = [0, 1];
	}

	legend() {
		return h("p.legend", {}, ...LINES.map(({ label }) => h("span", {}, h(`i.key.k-${label}`, { "aria-hidden": "true" }), label)));
	}

	// times in s, and for each the three values; null where there was no sample.
	update(times, values, span) {
		this.span = span;
		this.show([times, ...values], {
			cursor,
			scales: scales({ time: true, range: () => this.span }),
			axes: [
				axis({ size: 26, space: 90, values: (u, splits) => splits.map((s) => format.clock(s * 1e9).slice(0, 8)) }),
				axis({ splits: decades, filter: (u, splits) => splits, values: (u, splits) => splits.map((v) => format.value(v, this.unit)) }),
			],
			series: [{}, ...LINES.map((line) => ({
				label: line.label, width: line.width, dash: line.dash, cap: line.cap,
				stroke: () => colour(line.stroke), points: { show: (u) => u.data[0].length < 3 }, spanGaps: false,
			}))],
			hooks: {
				drawAxes: [limits(this)],
				setCursor: [this.read((u, i) => this.words(u, i))],
				setData: [this.read((u, i) => this.words(u, i))],
			},
		});
	}

	words(u, i) {
		if (i < 0 || u.data[0][i] === undefined)
			return "";
		const numbers = LINES.map(({ label }, k) => `${label} ${format.value(u.data[k + 1][i], this.unit)}`);
		return `${format.clock(u.data[0][i] * 1e9).slice(0, 8)}   ${numbers.join("   ")}`;
	}
}

// The curve's points: each a part of the samples, at equal steps of the logarithm of what is left.
export const PARTS = Array.from({ length: 94 }, (none, i) => 1 - 0.5 * 10 ** (-i / 20));
const MARKS = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
const place = (q) => -Math.log10(1 - q);
const partName = (q) => `${+(q * 100).toFixed(4)} %`;

export class CurveChart extends Chart {
	constructor(place) {
		super(place, 220, 28);
	}

	legend() {
		return h("p.legend", {}, h("span", {}, h("i.key.k-p50"), "all"), h("span", {}, h("i.key.k-p99"), "recent"));
	}

	update(all, lately) {
		this.show([PARTS.map(place), all, lately], {
			cursor,
			scales: scales({ time: false, range: () => [place(0.5), place(0.99999)] }),
			axes: [
				axis({ size: 26, splits: () => MARKS.map(place), values: () => MARKS.map((q) => `${+(q * 100).toFixed(3)}`) }),
				axis({ splits: decades, filter: (u, splits) => splits, values: (u, splits) => splits.map((v) => format.value(v, this.unit)) }),
			],
			series: [{}, ...[LINES[0], LINES[1]].map((line) => ({
				width: 2, dash: line.dash, stroke: () => colour(line.stroke), points: { show: false },
			}))],
			hooks: {
				drawAxes: [limits(this)],
				setCursor: [(u) => text(this.readout, this.words(u, u.cursor.idx))],
			},
		});
	}

	words(u, i) {
		if (i === null || i === undefined)
			return "";
		return `${partName(PARTS[i])}: all ${format.value(u.data[1][i], this.unit)}   recent ${format.value(u.data[2][i], this.unit)}`;
	}
}
