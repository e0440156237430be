// SPDX-License-Identifier: MIT
// Streams without a gateway: what is said of their freshness, and how they come back.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Stream } from "../src/stream.js";

class Source extends EventTarget {
	static CLOSED = 2;
	static all = [];

	constructor(url) {
		super();
		this.url = url;
		this.readyState = 0;
		Source.all.push(this);
	}

	close() {
		this.readyState = Source.CLOSED;
	}

	say(type, frame, id = "") {
		const event = new Event(type);
		event.data = JSON.stringify(frame);
		event.lastEventId = id;
		this.dispatchEvent(event);
	}

	fail(closed) {
		this.readyState = closed ? Source.CLOSED : 0;
		this.dispatchEvent(new Event("error"));
	}
}

let now;
let timers;
const saved = { now: performance.now, setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };

beforeEach(() => {
	now = 1000;
	timers = [];
	Source.all = [];
	globalThis.EventSource = Source;
	performance.now = () => now;
	globalThis.setTimeout = (call, ms) => timers.push({ call, ms });
	globalThis.clearTimeout = (id) => id > 0 && (timers[id - 1].call = () => {});
});

afterEach(() => {
	performance.now = saved.now;
	Object.assign(globalThis, { setTimeout: saved.setTimeout, clearTimeout: saved.clearTimeout });
});

const bus = (more) => ({ type: "bus", state: "live", age_ns: 1e8, interval_ns: 1e9, ...more });

test("a bus is live while its frames come, and silent 3 s after the last", () => {
	const stream = new Stream({}, () => {});
	assert.equal(stream.check(), "connecting");
	Source.all[0].say("bus", bus());
	now += 2900;
	assert.equal(stream.check(), "live");
	assert.equal(stream.age(), 3000);
	now += 200;
	assert.equal(stream.check(), "silent");
});

test("an agent that publishes seldom is given 2.5 of its intervals", () => {
	const stream = new Stream({}, () => {});
	Source.all[0].say("bus", bus({ interval_ns: 10e9 }));
	now += 24000;
	assert.equal(stream.check(), "live");
	now += 2000;
	assert.equal(stream.check(), "silent");
});

test("what the gateway says of the bus counts at once", () => {
	const stream = new Stream({}, () => {});
	Source.all[0].say("bus", bus());
	Source.all[0].say("status", { type: "status", state: "stale", age_ns: 3e9 });
	assert.equal(stream.check(), "stale");
	assert.equal(stream.age(), 3000);
});

test("a stream that was refused is begun anew, later each time, with what was seen last", () => {
	const stream = new Stream({ session: "/a b" }, () => {});
	Source.all[0].say("session", bus({ type: "session" }), "41");
	for (const at_most of [500, 1000, 2000]) {
		Source.all.at(-1).fail(true);
		assert.equal(stream.check(), "reconnecting");
		const { call, ms } = timers.at(-1);
		assert.ok(ms >= at_most * 0.75 && ms <= at_most * 1.25, `${ms}`);
		call();
	}
	assert.equal(Source.all.length, 4);
	assert.equal(Source.all[3].url, "api/v1/stream?session=%2Fa+b&last=41");
	now += 4000;
	assert.equal(stream.check(), "lost");
});

test("an interrupted one comes back by itself", () => {
	const stream = new Stream({}, () => {});
	Source.all[0].say("bus", bus());
	Source.all[0].fail(false);
	assert.equal(timers.length, 0);
	assert.equal(stream.check(), "reconnecting");
});

test("an end is told once, and nothing is begun anew", () => {
	const ends = [];
	const stream = new Stream({ session: "x" }, () => {}, (reason) => ends.push(reason));
	Source.all[0].say("end", { type: "end", reason: "lost" });
	Source.all[0].fail(true);
	now += 60000;
	stream.check();
	assert.deepEqual([ends, timers.length, Source.all.length], [["lost"], 0, 1]);
});

test("a gateway that stops is asked again", () => {
	const stream = new Stream({}, () => {});
	Source.all[0].say("bus", bus(), "7");
	Source.all[0].say("end", { type: "end", reason: "the gateway is stopping" });
	timers.at(-1).call();
	assert.equal(Source.all[1].url, "api/v1/stream?last=7");
	assert.equal(stream.check(), "reconnecting");
});

test("correlation ids keep all their digits; nonsense is no frame", () => {
	const frames = [];
	new Stream({}, (frame) => frames.push(frame));
	const event = new Event("session");
	event.data = '{"type":"session","worst":{"correlation_id":18446744073709551615},"label":"\\"correlation_id\\":1234567890123456789"}';
	Source.all[0].dispatchEvent(event);
	event.data = "{";
	Source.all[0].dispatchEvent(Object.assign(new Event("bus"), { data: "{" }));
	assert.equal(frames.length, 1);
	assert.equal(frames[0].worst.correlation_id, "18446744073709551615");
	assert.equal(frames[0].label, '"correlation_id":1234567890123456789');
});
