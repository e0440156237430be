// SPDX-License-Identifier: MIT
// The heat map: a column for each frame, a line for each bucket, darker or lighter by how many of
// the frame's samples fell into it.
import * as format from "./format.js";
import { AXIS, RIGHT } from "./charts.js";
import { colour, h, sharp, text } from "./dom.js";
import { upper } from "./histogram.js";

const HEIGHT = 220;
const BOTTOM = 22;
const TOP = 8;
// Cividis, which reads the same with any colour vision: from few samples to many.
const STOPS = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
const SHADES = 32;

function shade(part) {
	const at = part * (STOPS.length - 1);
	const i = Math.min(STOPS.length - 2, Math.floor(at));
	const mixed = STOPS[i].map((low, k) => Math.round(low + (STOPS[i + 1][k] - low) * (at - i)));
	return `rgb(${mixed.join(" ")})`;
}

const PALETTE = Array.from({ length: SHADES }, (none, i) => shade(i / (SHADES - 1)));
// Few samples stand out least, on either ground.
const palette = () => (document.documentElement.dataset.theme === "dark" ? PALETTE : PALETTE.toReversed());

export class HeatMap {
	constructor(place) {
		this.canvas = h("canvas.heat", { role: "img", "aria-label": "Latency heat map: time from left to right, latency upwards" });
		this.readout = h("p.readout");
		this.columns = [];
		this.unit = "ns";
		place.append(this.canvas);
		this.canvas.addEventListener("pointermove", (event) => this.point(event));
		this.canvas.addEventListener("pointerleave", () => text(this.readout, ""));
	}

	// columns: {from, to (s), histogram}; span: the times at both ends.
	update(columns, span) {
		this.columns = columns;
		this.span = span;
		this.bounds();
		this.draw();
	}

	// The buckets that are shown: all that had samples, and some room around.
	bounds() {
		let low = Infinity;
		let high = -Infinity;
		let most = 0;
		for (const { histogram } of this.columns) {
			if (histogram.buckets.length === 0)
				continue;
			low = Math.min(low, histogram.offset);
			high = Math.max(high, histogram.offset + histogram.buckets.length - 1);
			for (const n of histogram.buckets)
				most = n > most ? n : most;
		}
		this.schema = this.columns[0]?.histogram.schema ?? 5;
		const margin = 2 ** this.schema / 4;
		this.low = low - margin;
		this.high = high + margin;
		this.most = most;
	}

	x(time) {
		const [begin, end] = this.span;
		return AXIS + ((time - begin) / (end - begin)) * (this.width - AXIS - RIGHT);
	}

	y(index) {
		return TOP + (1 - (index - this.low) / (this.high - this.low)) * (HEIGHT - BOTTOM - TOP);
	}

	draw() {
		this.width = this.canvas.parentNode.clientWidth;
		const context = sharp(this.canvas, this.width, HEIGHT);
		if (context === null || !(this.high > this.low))
			return;
		this.cells(context);
		this.axes(context);
	}

	cells(context) {
		// Lines thinner than a pixel or so are drawn as one.
		const each = (HEIGHT - BOTTOM - TOP) / (this.high - this.low);
		const join = Math.max(1, Math.ceil(2.5 / each));
		const scale = Math.log1p(this.most * (join > 1 ? 1.6 : 1));
		const shades = palette();
		context.save();
		context.beginPath();
		context.rect(AXIS, 0, this.width - AXIS - RIGHT, HEIGHT);
		context.clip();
		for (const { from, to, histogram } of this.columns) {
			const x = Math.floor(this.x(from));
			const wide = Math.max(1, Math.ceil(this.x(to)) - x);
			for (let i = 0; i < histogram.buckets.length;) {
				const index = histogram.offset + i;
				const base = Math.floor(index / join) * join;
				let n = 0;
				for (; i < histogram.buckets.length && histogram.offset + i < base + join; i++)
					n += histogram.buckets[i];
				if (n === 0)
					continue;
				const part = Math.min(1, Math.log1p(n) / scale);
				context.fillStyle = shades[Math.round(part * (SHADES - 1))];
				context.fillRect(x, this.y(base + join - 1), wide, each * join + 0.5);
			}
		}
		context.restore();
	}

	axes(context) {
		context.font = "11px system-ui, sans-serif";
		context.fillStyle = colour("muted");
		context.textAlign = "right";
		context.textBaseline = "middle";
		const low = upper(this.schema, this.low);
		const high = upper(this.schema, this.high);
		const steps = Math.log10(high / low) > 3 ? [1] : [1, 2, 5];
		for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) {
			for (const step of steps) {
				const value = step * 10 ** e;
				const y = this.y(Math.log2(value) * 2 ** this.schema);
				if (y > TOP && y < HEIGHT - BOTTOM)
					context.fillText(format.value(value, this.unit), AXIS - 6, y);
			}
		}
		context.textBaseline = "alphabetic";
		this.times(context);
	}

	times(context) {
		const [begin, end] = this.span;
		const room = (this.width - AXIS - RIGHT) / (end - begin);
		const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((s) => s * room > 90) ?? 7200;
		context.textAlign = "center";
		for (let t = Math.ceil(begin / step) * step; t <= end; t += step)
			context.fillText(format.clock(t * 1e9).slice(0, 8), this.x(t), HEIGHT - 5);
	}

	point(event) {
		const box = this.canvas.getBoundingClientRect();
		const x = event.clientX - box.left;
		const y = event.clientY - box.top;
		const column = this.columns.find(({ from, to }) => this.x(from) <= x && x < this.x(to));
		if (column === undefined)
			return text(this.readout, "");
		const { histogram, to } = column;
		const index = Math.ceil(this.low + (1 - (y - TOP) / (HEIGHT - BOTTOM - TOP)) * (this.high - this.low));
		const n = histogram.buckets[index - histogram.offset] ?? 0;
		const range = [index - 1, index].map((i) => format.value(upper(this.schema, i), this.unit));
		return text(this.readout, `${format.clock(to * 1e9).slice(0, 8)}   ${range.join(" to ")}: ${n} of ${histogram.total}`);
	}
}
