// SPDX-License-Identifier: MIT
// The bus in a few figures: its totals, what the agent costs, and how the gateway judges it all.
import * as format from "./format.js";
import { attribute, byId, colour, h, sharp, text } from "./dom.js";
import { counts } from "./model.js";

const CPU_WARNS = 0.01; // of one core, as the agent itself warns

function tile(name, title) {
	const value = h("span.value");
	const note = h("span.note");
	const canvas = h("canvas.spark", { "aria-hidden": "true" });
	const node = h(`div.tile.t-${name}`, { role: "group", "aria-label": title },
		canvas, h("span.title", {}, title), value, note);
	return { node, value, note, canvas };
}

const TITLES = {
	sessions: "Sessions", samples: "Samples", deadlines: "Deadlines", targets: "Targets",
	drops: "Drops", health: "Health", agent: "Agent’s cost",
};

// The errors of all metrics with a deadline, over the bus.
function deadlines(metrics) {
	const sum = { count: 0, misses: 0, xruns: 0, any: false };
	for (const { period, kind, name, count, value } of metrics) {
		if (period !== undefined) {
			sum.any = true;
			sum.count += count ?? 0;
			sum.misses += period.misses ?? 0;
		}
		if (kind === "counter" && name.endsWith(".xruns"))
			sum.xruns += value ?? 0;
	}
	return sum;
}

export class Tiles {
	constructor() {
		this.tiles = {};
		for (const [name, title] of Object.entries(TITLES)) {
			this.tiles[name] = tile(name, title);
			byId("tiles").append(this.tiles[name].node);
		}
		// Known beforehand, so that drawing asks for no layout.
		this.size = { width: 0, height: 0 };
		new ResizeObserver(([entry]) => (this.size = entry.contentRect)).observe(this.tiles.samples.canvas);
		this.grew = {}; // when counts of errors last grew
		this.last = {};
	}

	set(name, value, note, tone = "calm") {
		const { node, value: big, note: small } = this.tiles[name];
		text(big, value);
		text(small, note);
		attribute(node, "data-tone", tone);
	}

	// "new" while a count grows, "old" where it is not 0.
	tone(name, count) {
		const now = performance.now();
		if (count > (this.last[name] ?? Infinity))
			this.grew[name] = now;
		this.last[name] = count;
		return now - this.grew[name] < 4000 ? "new" : count > 0 ? "old" : "calm";
	}

	update(model) {
		const { agent, totals, health } = model.frame;
		this.sessions(counts(model.records));
		attribute(this.tiles.samples.value, "data-unit", model.samplesRate === undefined ? null : "/s");
		this.set("samples", format.rate(model.samplesRate), `${format.count(agent.samples_total)} in all`);
		this.deadlines(deadlines(totals.metrics));
		this.targets(model.records);
		const part = agent.dropped_total / (agent.dropped_total + agent.samples_total);
		this.set("drops", format.count(agent.dropped_total),
			agent.dropped_total > 0 ? `${format.share(part)} of all samples` : "no sample was lost",
			this.tone("drops", agent.dropped_total));
		this.agent(agent);
		this.health(health);
		this.spark(model.rates);
	}

	sessions(states) {
		const note = [`${states.stale} stale`, `${states.lost} lost`, `${states.ended} ended`].join(" · ");
		this.set("sessions", `${states.running}`, note, states.stale + states.lost > 0 ? "old" : "calm");
		attribute(this.tiles.sessions.value, "data-unit", " running");
	}

	deadlines({ any, count, misses, xruns }) {
		if (!any)
			return this.set("deadlines", format.ABSENT, "nothing has a deadline");
		const part = count > 0 ? `${format.share(misses / count)} · ` : "";
		this.set("deadlines", format.short(misses), `${part}${format.short(xruns)} xruns`,
			this.tone("deadlines", misses + xruns));
		attribute(this.tiles.deadlines.value, "data-unit", " missed");
		return undefined;
	}

	targets(records) {
		let all = 0;
		let missed = 0;
		for (const record of records.values()) {
			all += record.targets;
			missed += record.missed;
		}
		if (all === 0)
			return this.set("targets", format.ABSENT, "none is declared");
		this.set("targets", `${format.count(all - missed)}`, missed > 0 ? `✕ ${missed} missed` : "✓ all met",
			missed > 0 ? "old" : "calm");
		attribute(this.tiles.targets.value, "data-unit", ` of ${format.count(all)} met`);
		return undefined;
	}

	agent(agent) {
		this.set("agent", format.percent(agent.cpu_ratio),
			`${format.bytes(agent.rss_bytes)} · publish ${format.duration(agent.publish_ns)} · lag ${format.duration(agent.drain_lag_ns)}`,
			agent.cpu_ratio > CPU_WARNS ? "old" : "calm");
		attribute(this.tiles.agent.value, "data-unit", " CPU");
	}

	health(health) {
		const status = health?.status ?? format.ABSENT;
		const down = health?.critical_down ?? [];
		const tones = { HEALTHY: "calm", DEGRADED: "old", FAILED: "new" };
		const marks = { HEALTHY: "✓ ", DEGRADED: "◐ ", FAILED: "✕ " };
		this.set("health", (marks[status] ?? "") + status.toLowerCase(),
			down.length > 0 ? `critical: ${down.map((one) => one.name ?? one).join(", ")}` : services(health?.services),
			tones[status] ?? "calm");
	}

	spark(rates) {
		const { canvas } = this.tiles.samples;
		const { width: w, height: t } = this.size;
		const context = sharp(canvas, w, t);
		const top = Math.max(...rates);
		if (context === null || !(top > 0))
			return;
		context.beginPath();
		context.moveTo(w - (rates.length - 1) * (w / 59), t);
		rates.forEach((rate, i) => context.lineTo(w - (rates.length - 1 - i) * (w / 59), t - (rate / top) * (t - 2)));
		context.lineTo(w, t);
		context.fillStyle = colour("spark");
		context.fill();
	}
}

function services(counted) {
	const parts = Object.entries(counted ?? {})
		.filter(([name, n]) => format.isNumber(n) && n > 0 && name !== "total")
		.map(([name, n]) => `${n} ${name}`);
	return parts.length > 0 ? parts.join(", ") : "no service is probed";
}
