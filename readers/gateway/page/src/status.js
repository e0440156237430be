// SPDX-License-Identifier: MIT
// Whether what is shown is true now: the connection, the age of the data, and an alarm that nobody
// can overlook where it is old.
import { age, duration } from "./format.js";
import { attribute, byId, hide, text } from "./dom.js";

const WORDS = {
	live: "live", connecting: "connecting", reconnecting: "reconnecting", lost: "no connection",
	silent: "no news", waiting: "waiting for an agent", stale: "stale", broken: "unreadable",
};
const ALARMS = {
	stale: "STALE", silent: "STALE", lost: "NO CONNECTION", broken: "UNREADABLE",
};

function sentence(state, stream, old) {
	const since = old === null ? "" : ` All numbers are ${age(old * 1e6)} old.`;
	switch (state) {
	case "stale":
		return `The agent is gone, stopped or starved.${since}`;
	case "silent":
		return `The gateway is connected, and sends nothing.${since}`;
	case "lost":
		return `The gateway cannot be reached; trying again.${since}`;
	default:
		return `${stream.error || "The snapshots cannot be read."}${since}`;
	}
}

export function showStatus(stream) {
	const state = stream.check();
	const old = stream.age();
	const alarm = ALARMS[state];

	attribute(byId("link"), "data-state", state);
	text(byId("link-state"), WORDS[state] ?? state);
	text(byId("age"), old === null ? "–" : age(old * 1e6));
	document.body.classList.toggle("old", alarm !== undefined);
	if (alarm !== undefined) {
		text(byId("alarm-title"), alarm);
		text(byId("alarm-text"), sentence(state, stream, old));
	}
	hide(byId("alarm"), alarm === undefined);
	return state;
}

export function showFrame(frame) {
	text(byId("bus"), frame.bus);
	text(byId("seq"), `every ${duration(frame.interval_ns)} · #${frame.seq}`);
}
