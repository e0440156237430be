// SPDX-License-Identifier: MIT
// The snapshot's exponential histograms: bucket i counts values in (2^((i-1)/2^schema), 2^(i/2^schema)].

export const upper = (schema, index) => 2 ** (index / 2 ** schema);

const countAt = (histogram, index) => histogram.buckets[index - histogram.offset] ?? 0;

// What came between two histograms of one metric; null where they are not of one run.
export function difference(now, before) {
	if (before === null || before === undefined)
		return null;
	if (now.schema !== before.schema)
		return null;
	const buckets = [];
	let offset = now.offset;
	let total = 0;
	for (let i = 0; i < now.buckets.length; i++) {
		const grown = now.buckets[i] - countAt(before, now.offset + i);
		if (grown < 0)
			return null;
		if (grown === 0 && buckets.length === 0)
			offset = now.offset + i + 1;
		else
			buckets.push(grown);
		total += grown;
	}
	while (buckets.length > 0 && buckets[buckets.length - 1] === 0)
		buckets.pop();
	const zero = now.zero_count - before.zero_count;
	return zero < 0 ? null : { schema: now.schema, zero_count: zero, offset, buckets, total: total + zero };
}

export function total(histogram) {
	return histogram.total ?? histogram.buckets.reduce((sum, n) => sum + n, histogram.zero_count);
}

// The upper bound of the highest bucket that has samples. Null without samples.
export function highest(histogram) {
	for (let i = histogram.buckets.length - 1; i >= 0; i--)
		if (histogram.buckets[i] > 0)
			return upper(histogram.schema, histogram.offset + i);
	return histogram.zero_count > 0 ? 0 : null;
}

// The values below which those parts of the samples are, in rising order. Within a bucket samples
// are taken to lie at even steps of the logarithm. Nulls without samples.
export function quantiles(histogram, qs) {
	const { schema, offset, buckets } = histogram;
	const all = total(histogram);
	let before = 0; // samples below the bucket
	let here = histogram.zero_count; // and in it
	let i = -1;
	return qs.map((q) => {
		if (all === 0)
			return null;
		const rank = Math.max(1, q * all);
		while (before + here < rank && i + 1 < buckets.length) {
			before += here;
			here = buckets[++i];
		}
		return i < 0 ? 0 : upper(schema, offset + i - 1 + Math.min(1, (rank - before) / here));
	});
}

// Adds up histograms of one schema.
export function sum(histograms) {
	let low = Infinity;
	let high = -Infinity;
	for (const { offset, buckets } of histograms) {
		if (buckets.length > 0) {
			low = Math.min(low, offset);
			high = Math.max(high, offset + buckets.length);
		}
	}
	const buckets = new Array(Math.max(0, high - low) || 0).fill(0);
	let zero = 0;
	for (const one of histograms) {
		zero += one.zero_count;
		one.buckets.forEach((n, i) => (buckets[one.offset - low + i] += n));
	}
	return {
		schema: histograms[0]?.schema ?? 0, zero_count: zero,
		offset: buckets.length > 0 ? low : 0, buckets,
	};
}
