// SPDX-License-Identifier: MIT
// Numbers for people: as readers/format.c writes them, three significant digits and a unit.

export const ABSENT = "–";

const TIME_UNITS = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, min: 60e9, h: 3600e9 };
const DECIMAL = ["", "k", "M", "G", "T", "P", "E"];
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

function scaled(value, unit) {
	const size = Math.abs(value);
	const digits = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
	return value.toFixed(digits) + unit;
}

export function duration(ns) {
	if (!isNumber(ns))
		return ABSENT;
	const size = Math.abs(ns);
	if (size < 999.5)
		return `${ns.toFixed(0)} ns`;
	if (size < 999.5e3)
		return scaled(ns / 1e3, " µs");
	if (size < 999.5e6)
		return scaled(ns / 1e6, " ms");
	if (size < 120e9)
		return scaled(ns / 1e9, " s");
	if (size < 7200e9)
		return scaled(ns / 60e9, " min");
	if (size < 172800e9)
		return scaled(ns / 3600e9, " h");
	return scaled(ns / 86400e9, " d");
}

function prefixed(value, step, prefixes, space) {
	let i = 0;
	while (Math.abs(value) >= 999.5 && i < prefixes.length - 1) {
		value /= step;
		i++;
	}
	if (i === 0 && Number.isInteger(value))
		return value.toFixed(0) + space + prefixes[0];
	return scaled(value, space + prefixes[i]);
}

export const bytes = (value) => (isNumber(value) ? prefixed(value, 1024, BINARY, " ") : ABSENT);

export function count(value) {
	if (!isNumber(value))
		return ABSENT;
	if (Math.abs(value) < 99999.5 && (Math.abs(value) >= 999.5 || Number.isInteger(value)))
		return value.toFixed(0);
	return prefixed(value, 1000, DECIMAL, "");
}

// A count in five characters.
export const short = (value) => (isNumber(value) ? prefixed(value, 1000, DECIMAL, "") : ABSENT);

export function rate(value) {
	return isNumber(value) ? prefixed(value, 1000, DECIMAL, value < 999.5 ? "" : " ") : ABSENT;
}

export function percent(ratio) {
	if (!isNumber(ratio))
		return ABSENT;
	const value = ratio * 100;
	const size = Math.abs(value);
	return size < 999.5 ? `${value.toFixed(size < 99.95 ? 1 : 0)} %` : `${count(Math.round(value))} %`;
}

// A part that may be tiny, and is not to look like none.
export function share(ratio) {
	const value = Math.abs(ratio) * 100;
	if (!(value > 0) || value >= 0.095)
		return percent(ratio);
	return value < 0.001 ? "<0.001 %" : `${value.toFixed(3)} %`;
}

// How many ns one of a unit is; 0 where it is no time.
export const unitNs = (unit) => (Object.hasOwn(TIME_UNITS, unit) ? TIME_UNITS[unit] : 0);

// A metric's unit (UCUM) for people: "{block}" is "block", and of times and bytes there is none,
// for the values bring theirs.
export function unitName(unit) {
	if (typeof unit !== "string" || unit === "1" || unit === "By" || unitNs(unit) !== 0)
		return "";
	return /^\{.+\}$/.test(unit) ? unit.slice(1, -1) : unit;
}

export function value(number, unit) {
	if (!isNumber(number))
		return ABSENT;
	const ns = unitNs(unit);
	if (ns !== 0)
		return duration(number * ns);
	return unit === "By" ? bytes(number) : count(number);
}

// A value with its unit's name behind it.
export function measure(number, unit) {
	const name = unitName(unit);
	return name !== "" && isNumber(number) ? `${value(number, unit)} ${name}` : value(number, unit);
}

// How long ago, short: it stands in texts that change all the time.
export function age(ns) {
	if (!isNumber(ns))
		return ABSENT;
	const seconds = Math.max(0, ns) / 1e9;
	if (seconds < 10)
		return `${seconds.toFixed(1)} s`;
	if (seconds < 120)
		return `${Math.floor(seconds)} s`;
	if (seconds < 7200)
		return `${Math.floor(seconds / 60)} min`;
	return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

export function uptime(ns) {
	if (!isNumber(ns))
		return ABSENT;
	const all = Math.max(0, Math.floor(ns / 1e9));
	const two = (number) => String(number).padStart(2, "0");
	const hours = Math.floor(all / 3600) % 24;
	const clock = `${two(hours)}:${two(Math.floor(all / 60) % 60)}:${two(all % 60)}`;
	return all < 86400 ? clock : `${Math.floor(all / 86400)} d ${clock}`;
}

const clockFormat = new Intl.DateTimeFormat("en-GB", {
	hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});
export const clock = (unixNs) => (isNumber(unixNs) ? clockFormat.format(unixNs / 1e6) : ABSENT);
