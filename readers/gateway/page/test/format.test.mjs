// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../src/format.js";

const cases = (show, pairs) => pairs.forEach(([given, wanted]) => assert.equal(show(given), wanted));

test("durations", () => cases(format.duration, [
	[0, "0 ns"], [999, "999 ns"], [999.6, "1.00 µs"], [11460.4, "11.5 µs"], [3488982, "3.49 ms"],
	[999.6e6, "1.00 s"], [150e9, "2.50 min"], [3e5 * 1e9, "3.47 d"], [undefined, "–"], [NaN, "–"],
]));

test("counts and rates", () => {
	cases(format.count, [[0, "0"], [99999, "99999"], [116813, "117k"], [1e9, "1.00G"], [-16.96, "-17.0"]]);
	cases(format.short, [[0, "0"], [999, "999"], [54213, "54.2k"]]);
	cases(format.bytes, [[512, "512 B"], [7954432, "7.59 MiB"], [undefined, "–"]]);
});

test("a part that is tiny does not look like none", () => {
	cases(format.percent, [[0, "0.0 %"], [0.3466, "34.7 %"], [1.34, "134 %"], [undefined, "–"]]);
	cases(format.share, [[0, "0.0 %"], [1e-9, "<0.001 %"], [1.2e-4, "0.012 %"], [0.5, "50.0 %"]]);
});

test("units", () => {
	assert.equal(format.value(2.5, "ms"), "2.50 ms");
	assert.equal(format.measure(63, "{block}"), "63 block");
	assert.equal(format.measure(1024, "By"), "1.00 KiB");
	assert.equal(format.measure(0.5, "1"), "0.50");
	assert.equal(format.measure(1, "constructor"), "1 constructor");
});

test("ages and times", () => {
	cases(format.age, [[-5, "0.0 s"], [3.21e9, "3.2 s"], [65e9, "65 s"], [600e9, "10 min"], [undefined, "–"]]);
	cases(format.uptime, [[61e9, "00:01:01"], [90061e9, "1 d 01:01:01"]]);
});
