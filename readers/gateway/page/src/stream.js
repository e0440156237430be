// SPDX-License-Identifier: MIT
// A stream of the gateway: frames, and how fresh they are.
//
// EventSource comes back by itself after a broken connection, and says what it saw last. What it
// gives up, and what hangs, is begun anew here, each time a little later.

const BACKOFF_MS = [500, 1000, 2000, 4000, 8000, 15000];
const SILENT_MS = 3000; // without a frame for so long, what is shown is old
const HUNG_MS = 25000; // heartbeats are not seen here, but a live bus sends frames
const OVER = new Set(["ended", "lost", "left"]); // why a session's stream ends for good

export class Stream {
	// call(frame) gets each frame; ended(reason) comes once, where the session is over.
	constructor(query, call, ended = () => {}) {
		this.query = query;
		this.call = call;
		this.ended = ended;
		this.source = null;
		this.timer = 0;
		this.tries = 0;
		this.last = null; // seq
		this.frameAt = -Infinity; // performance.now() of the last frame
		this.heardAt = performance.now(); // of anything
		this.ageMs = 0; // the snapshot's at that time
		this.intervalMs = 1000;
		this.state = "waiting"; // the bus', as the gateway says
		this.error = "";
		this.connected = false;
		this.open();
	}

	open() {
		const query = new URLSearchParams(this.query);
		if (this.last !== null)
			query.set("last", this.last);
		this.shut();
		this.heardAt = performance.now();
		const source = new EventSource(`api/v1/stream?${query}`);
		this.source = source;
		source.onopen = () => (this.connected = true);
		for (const type of ["bus", "session", "status", "end", "error"])
			source.addEventListener(type, (event) => this.heard(event, source));
	}

	heard(event, source) {
		if (source !== this.source)
			return;
		// The connection's own errors have no data.
		if (event.type === "error" && event.data === undefined)
			return void this.failed();
		this.heardAt = performance.now();
		this.connected = true;
		const frame = parse(event.data, event.type);
		if (frame === null)
			return;
		if (event.type === "end") {
			// Any other end is the gateway's own: it may be back.
			if (!OVER.has(frame.reason))
				return void this.again();
			this.close();
			this.ended(frame.reason);
			return;
		}
		if (event.type === "error") {
			this.error = frame.reason ?? frame.error ?? "";
			return;
		}
		this.tries = 0;
		this.state = frame.state ?? this.state;
		this.error = frame.error ?? "";
		this.ageMs = (frame.age_ns ?? 0) / 1e6;
		this.ageAt = this.heardAt;
		if (event.type !== "status") {
			this.last = event.lastEventId || this.last;
			this.frameAt = this.heardAt;
			this.intervalMs = (frame.interval_ns ?? 1e9) / 1e6;
		}
		this.call(frame);
	}

	failed() {
		this.connected = false;
		if (this.source.readyState === EventSource.CLOSED)
			this.again();
	}

	again() {
		const wait = BACKOFF_MS[Math.min(this.tries++, BACKOFF_MS.length - 1)];
		this.shut();
		// Not all pages that lost one gateway come back at the same time.
		this.timer = setTimeout(() => this.open(), wait * (0.75 + Math.random() / 2));
	}

	shut() {
		clearTimeout(this.timer);
		this.connected = false;
		this.source?.close();
		this.source = null;
	}

	close() {
		this.shut();
		this.closed = true;
	}

	// How old the newest snapshot is, in ms; null before the first.
	age() {
		return this.ageAt === undefined ? null : this.ageMs + performance.now() - this.ageAt;
	}

	// What there is to say of the stream now; to be asked a few times a second.
	check() {
		const now = performance.now();
		const silent = now - this.frameAt;
		const allowed = Math.max(SILENT_MS, this.intervalMs * 2.5);
		if (!this.closed && this.source !== null && now - this.heardAt > Math.max(HUNG_MS, this.intervalMs * 3))
			this.again();
		if (this.state !== "live" && this.connected)
			return this.state;
		if (this.frameAt === -Infinity)
			return this.connected ? "waiting" : "connecting";
		if (!this.connected)
			return silent > allowed ? "lost" : "reconnecting";
		return silent > allowed ? "silent" : "live";
	}
}

// Correlation ids have 64 bits, more than a number here: those stay text. The key is never inside
// a text of the bus, for there its quotes are escaped.
function parse(data, type) {
	try {
		return JSON.parse(type !== "session" ? data
			: data.replace(/"correlation_id":(\d{16,})/g, '"correlation_id":"$1"'));
	} catch {
		return null;
	}
}
