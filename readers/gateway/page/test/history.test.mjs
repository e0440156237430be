// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { test } from "node:test";
import { History } from "../src/history.js";

const frame = (seconds, buckets, max = 2 ** 20) => ({
	time_unix_ns: seconds * 1e9, interval_ns: 5e8,
	session: { metrics: [{ kind: "timer", name: "t", max, histogram: { schema: 0, zero_count: 0, offset: 1, buckets } }] },
});

test("a column a frame, of what came since the one before", () => {
	const history = new History();
	history.apply(frame(10, [5]));
	assert.deepEqual(history.columns("t"), []);
	history.apply(frame(10.5, [7, 0, 1]));
	history.apply(frame(10.5, [9])); // sent twice
	history.apply(frame(11, [7, 0, 1]));
	const columns = history.columns("t");
	assert.deepEqual(columns.map(({ from, to, histogram }) => [from, to, histogram.total]), [[10, 10.5, 3], [10.5, 11, 0]]);
	assert.equal(columns[0].max, 8);
	assert.equal(history.lately("t").buckets.length, 3);
});

test("lines are of the last 2 s", () => {
	const history = new History();
	for (let i = 0; i < 10; i++)
		history.apply(frame(i / 2, i < 2 ? [0] : [0, 0, 0, 0, 0, 1]));
	// What came at 1 s counts until 3 s.
	assert.deepEqual(history.columns("t").map(({ max }) => max), [null, 64, 64, 64, 64, null, null, null, null]);
});

test("a histogram that begins again makes no column", () => {
	const history = new History();
	history.apply(frame(1, [5]));
	history.apply(frame(2, [3]));
	history.apply(frame(3, [4]));
	assert.deepEqual(history.columns("t").map(({ histogram }) => histogram.total), [1]);
});
