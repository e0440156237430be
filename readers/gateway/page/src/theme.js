// SPDX-License-Identifier: MIT
// Dark or light: as the system has it, until one is chosen here.
import { attribute, byId, forgetColours } from "./dom.js";

const KEY = "shmbus.theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

// Storage may be forbidden: then a choice lasts as long as the page.
export function remembered(key) {
	try {
		return localStorage.getItem(key);
	} catch {
		return null;
	}
}

export function remember(key, value) {
	try {
		localStorage.setItem(key, value);
	} catch {
		// Nothing to do: see above.
	}
}

let chosen = remembered(KEY);
const listeners = [];

const dark = () => (chosen === "dark" || chosen === "light" ? chosen === "dark" : system.matches);

function apply() {
	const name = dark() ? "dark" : "light";
	document.documentElement.dataset.theme = name;
	attribute(byId("theme"), "aria-label", `Theme: ${name}. Change (t)`);
	forgetColours();
	for (const call of listeners)
		call();
}

export function toggleTheme() {
	chosen = dark() ? "light" : "dark";
	remember(KEY, chosen);
	apply();
}

export const onTheme = (call) => listeners.push(call);

export function startTheme() {
	system.addEventListener("change", apply);
	byId("theme").addEventListener("click", toggleTheme);
	apply();
}
