// SPDX-License-Identifier: MIT
// The live page of shmbus-gateway: what belongs to what.
import "uplot/dist/uPlot.min.css";
import "./style.css";
import { Detail } from "./detail.js";
import { Model } from "./model.js";
import { Stream } from "./stream.js";
import { Table } from "./table.js";
import { Tiles } from "./tiles.js";
import { byId, once } from "./dom.js";
import { onTheme, startTheme, toggleTheme } from "./theme.js";
import { showFrame, showStatus } from "./status.js";
import { startKeys } from "./keys.js";
import { startServices } from "./services.js";

const STATUS_MS = 200;

startTheme();

const model = new Model();
const tiles = new Tiles();
const table = new Table(open);
const detail = new Detail(close);
let wanted = fromAddress(); // a session that the address names

// The address names the open session, so that it can be sent to somebody.
function fromAddress() {
	return new URLSearchParams(location.hash.slice(1)).get("session");
}

function toAddress(key) {
	const hash = key === null ? "" : `#${new URLSearchParams({ session: key })}`;
	if (location.hash !== hash)
		history.replaceState(null, "", `${location.pathname}${location.search}${hash}`);
}

function open(key) {
	const record = model.records.get(key);
	if (record === undefined)
		return;
	document.body.classList.add("two");
	detail.open(record);
	table.setOpened(key);
	toAddress(key);
	// Where it covers all else, it is what the keyboard is for.
	if (getComputedStyle(byId("detail")).position === "fixed")
		detail.title.focus({ preventScroll: true });
}

function close() {
	detail.close();
	document.body.classList.remove("two");
	table.setOpened(null);
	toAddress(null);
	byId("sessions").focus({ preventScroll: true });
}

const draw = once(() => {
	if (detail.key !== null && !model.records.has(detail.key))
		detail.ended("left");
	showFrame(model.frame);
	tiles.update(model);
	table.update(model);
});

const stream = new Stream({}, (frame) => {
	if (frame.type === "bus") {
		model.apply(frame);
		draw();
		if (wanted !== null && model.records.has(wanted)) {
			open(wanted);
			wanted = null;
		}
	}
	showStatus(stream);
});

window.addEventListener("hashchange", () => {
	const key = fromAddress();
	if (key === null)
		close();
	else if (key !== detail.key)
		open(key);
});

onTheme(() => {
	if (model.frame !== null)
		draw();
	detail.recolour();
});
startKeys({ table, close, toggleTheme });
startServices();
setInterval(() => showStatus(stream), STATUS_MS);
