// SPDX-License-Identifier: MIT
// The keyboard, and the page that tells of it.
import { byId, h } from "./dom.js";

const HELP = [
	["/", "filter by id or service"], ["j k ↓ ↑", "select the next, the previous session"],
	["PgDn PgUp Home End", "go further"], ["Enter", "open the selected session"],
	["Esc", "close it; clear the filter"], ["t", "dark or light"], ["?", "this help"],
];
const TERMS = [
	["W/Q", "how long a cycle waited for its turn, as a part of its deadline (mean of the last 1000)"],
	["B/Q", "how long it was busy, likewise; above 100 % it cannot keep up"],
	["p50 p99 max", "of the last 10 s, of the timer that is named below the session"],
	["● running", "alive"], ["◐ stale", "no sign of life, its process is there"],
	["✕ lost", "its process died"], ["○ ended", "closed by its program"],
];

const STEPS = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

function rows(pairs, tag) {
	return h("dl", {}, ...pairs.flatMap(([key, words]) =>
		[h("dt", {}, ...(tag === "kbd" ? key.split(" ").map((one) => h("kbd", {}, one)) : [key])), h("dd", {}, words)]));
}

function build() {
	const help = byId("help");
	help.append(h("h2", { id: "help-title" }, "Keys"), rows(HELP, "kbd"), h("h2", {}, "What is shown"), rows(TERMS),
		h("p", {}, h("a", { href: "metrics" }, "metrics"), " · ", h("a", { href: "api/v1/snapshot" }, "snapshot"), " · ",
			h("a", { href: "api/v1/monitoring/health" }, "health"), " · ", h("a", { href: "licenses.txt" }, "licences")),
		h("form", { method: "dialog" }, h("button.plain", { type: "submit", autofocus: true }, "Close")));
	byId("help-open").addEventListener("click", () => help.showModal());
	// A click beside the box closes it.
	help.addEventListener("click", (event) => event.target === help && help.close());
}

export function startKeys({ table, close, toggleTheme }) {
	build();
	const filter = byId("filter");

	function escape() {
		if (document.activeElement === filter || filter.value !== "") {
			filter.value = "";
			filter.dispatchEvent(new Event("input"));
			byId("sessions").focus({ preventScroll: true });
			return;
		}
		close();
	}

	const actions = {
		"/": () => filter.focus(), "?": () => byId("help").showModal(), t: toggleTheme, Escape: escape,
		Enter: () => table.openSelected(),
	};

	// In a field of text, letters are letters; of the other keys those mean something here that
	// the field has no use for.
	function wanted(event) {
		const { target, key } = event;
		if (event.ctrlKey || event.altKey || event.metaKey || byId("help").open)
			return false;
		if (target === filter)
			return ["Escape", "Enter", "ArrowDown", "ArrowUp"].includes(key);
		if (target.matches?.("select"))
			return key === "Escape";
		if (target.closest?.("#detail") && key !== "Escape" && STEPS[key] !== undefined && key.length > 1)
			return false; // it scrolls
		return !(key === "Enter" && target.matches?.("button, a, summary"));
	}

	document.addEventListener("keydown", (event) => {
		if (!wanted(event))
			return;
		if (STEPS[event.key] !== undefined)
			table.move(STEPS[event.key]);
		else if (actions[event.key] !== undefined)
			actions[event.key]();
		else
			return;
		event.preventDefault();
	});
}
