// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { test } from "node:test";
import { difference, highest, quantiles, sum, total, upper } from "../src/histogram.js";

const index = (value, schema) => Math.ceil(Math.log2(value) * 2 ** schema);

function made(values, schema = 5) {
	const counts = new Map();
	let zero = 0;
	for (const value of values) {
		if (value === 0)
			zero++;
		else
			counts.set(index(value, schema), (counts.get(index(value, schema)) ?? 0) + 1);
	}
	const offset = counts.size > 0 ? Math.min(...counts.keys()) : 0;
	const buckets = new Array(counts.size > 0 ? Math.max(...counts.keys()) - offset + 1 : 0).fill(0);
	for (const [i, n] of counts)
		buckets[i - offset] = n;
	return { schema, zero_count: zero, offset, buckets };
}

const values = Array.from({ length: 5000 }, (none, i) => Math.round(100 * 1.0015 ** i));

test("quantiles are within a bucket of the exact ones", () => {
	const qs = [0.01, 0.5, 0.9, 0.99, 0.999];
	quantiles(made(values), qs).forEach((value, i) => {
		const exact = values[Math.ceil(qs[i] * values.length) - 1];
		assert.ok(Math.abs(Math.log2(value / exact)) <= 1 / 32, `${qs[i]}: ${value}, not ${exact}`);
	});
});

test("quantiles of nothing, and of zeros", () => {
	assert.deepEqual(quantiles(made([]), [0.5, 0.99]), [null, null]);
	assert.deepEqual(quantiles(made([0, 0, 0]), [0.5, 0.99]), [0, 0]);
	const [low, high] = quantiles(made([0, 0, 0, 1024]), [0.5, 0.99]);
	assert.equal(low, 0);
	assert.ok(Math.abs(Math.log2(high / 1024)) <= 1 / 32);
});

test("a difference has what came between, and nothing else", () => {
	const before = values.slice(100, 3000);
	const came = [0, 7, 7, 2 ** 40];
	const grown = difference(made([...before, ...came]), made(before));
	const { total: all, ...rest } = grown;
	assert.equal(all, 4);
	assert.deepEqual(rest, { ...made(came), buckets: rest.buckets });
	assert.deepEqual(rest.buckets.filter(Boolean), [2, 1]);
	assert.equal(highest(grown), upper(5, index(2 ** 40, 5)));
});

test("no difference where a histogram is not the other's continuation", () => {
	assert.equal(difference(made([5]), null), null);
	assert.equal(difference(made([5]), made([5, 5])), null);
	assert.equal(difference(made([5], 5), made([5], 4)), null);
	assert.equal(difference(made([]), made([0])), null);
	assert.equal(difference(made([9]), made([9])).total, 0);
});

test("a sum has all", () => {
	const parts = [values.slice(0, 10), values.slice(4000, 4010), [0], []].map((some) => made(some));
	assert.deepEqual(sum(parts), made([...values.slice(0, 10), ...values.slice(4000, 4010), 0]));
	assert.equal(total(sum([])), 0);
});
