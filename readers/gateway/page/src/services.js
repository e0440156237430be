// SPDX-License-Identifier: MIT
// The services that the gateway probes: asked for every 5 seconds while the page is seen.
import * as format from "./format.js";
import { attribute, byId, h, hide, list, text } from "./dom.js";

const PERIOD_MS = 5000;
const PATIENCE_MS = 4000;
const MARKS = { HEALTHY: "✓", DEGRADED: "◐", FAILED: "✕" };

function chip() {
	return h("div.service", { tabindex: "0" }, h("span.glyph", { "aria-hidden": "true" }), h("b"), h("span.word"),
		h("span.role"), h("small"));
}

function told(service) {
	const now = Date.now() * 1e6;
	const lines = [service.url, service.group ? `group ${service.group}` : ""];
	if (service.last_check_unix_ns > 0)
		lines.push(`last check ${format.age(now - service.last_check_unix_ns)} ago`);
	if (service.last_success_unix_ns > 0)
		lines.push(`last success ${format.age(now - service.last_success_unix_ns)} ago`);
	if (service.failures > 0)
		lines.push(`${service.failures} failures in a row`);
	if (service.last_error)
		lines.push(service.last_error);
	return lines.filter(Boolean).join("\n");
}

function note(service) {
	if (service.status !== "HEALTHY" && service.last_error)
		return service.last_error;
	return format.isNumber(service.latency_ms) ? format.duration(service.latency_ms * 1e6) : "";
}

function role(service) {
	const words = [];
	if (service.group)
		words.push(`${service.group} ${service.role ?? ""}`.trim(), service.active ? "active" : "standby");
	if (service.critical)
		words.push("critical");
	return words.join(" · ");
}

function fill(node, service) {
	const [mark, name, word, what, small] = node.children;
	attribute(node, "data-status", service.status);
	attribute(node, "data-active", service.active ? "" : null);
	attribute(node, "title", told(service));
	text(mark, MARKS[service.status] ?? "?");
	text(name, service.name ?? service.id ?? "?");
	text(word, String(service.status ?? "unknown").toLowerCase());
	text(what, role(service));
	text(small, note(service));
}

async function ask() {
	const response = await fetch("api/v1/monitoring/health/services", {
		signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store",
	});
	if (!response.ok)
		throw new Error(`${response.status}`);
	const answer = await response.json();
	return Array.isArray(answer) ? answer : (answer.services ?? []);
}

export function startServices() {
	const place = byId("services");
	const chips = h("div.chips");
	const failure = h("p.unknown", { role: "status", hidden: true }, "The services' health cannot be asked for.");
	place.append(h("h2", {}, "Services"), chips, failure);

	async function poll() {
		if (document.visibilityState === "visible") {
			try {
				const services = await ask();
				list(chips, services, chip, fill);
				hide(place, services.length === 0);
				hide(failure, true);
			} catch {
				// The connection's state says why; what is shown is no longer known to be so.
				hide(failure, false);
			}
			place.classList.toggle("old", !failure.hidden);
		}
		setTimeout(poll, PERIOD_MS);
	}
	poll();
}
