/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "slice.h"

void dense_clear(struct dense *d)
{
	d->zero_count = 0;
	d->first = 0;
	d->end = 0;
}

void dense_cover(struct dense *d, uint32_t first, uint32_t length)
{
	uint32_t end = first + length;

	if (length == 0)
		return;
	if (d->first == d->end) {
		d->first = first;
		d->end = first;
	}
	if (first < d->first) {
		memset(d->counts + first, 0, (d->first - first) * sizeof d->counts[0]);
		d->first = first;
	}
	if (end > d->end) {
		memset(d->counts + d->end, 0, (end - d->end) * sizeof d->counts[0]);
		d->end = end;
	}
}

void dense_set(struct dense *d, const struct histogram *h)
{
	dense_clear(d);
	d->zero_count = h->zero_count;
	dense_cover(d, h->first, h->length);
	if (h->length > 0)
		memcpy(d->counts + h->first, h->buckets, h->length * sizeof h->buckets[0]);
}

/* Four loops, made by the compiler from these two for the four constant widths. */
static inline __attribute__((always_inline)) uint64_t counter_get(const void *counters, uint32_t i,
								  uint32_t width)
{
	switch (width) {
	case 0:
		return ((const uint8_t *)counters)[i];
	case 1:
		return ((const uint16_t *)counters)[i];
	case 2:
		return ((const uint32_t *)counters)[i];
	default:
		return ((const uint64_t *)counters)[i];
	}
}

static inline __attribute__((always_inline)) void
dense_change(struct dense *d, const struct slice *slice, uint32_t width, bool subtract)
{
	uint64_t *counts = d->counts + slice->first;
	uint64_t flip = subtract ? UINT64_MAX : 0; /* -x is (x ^ flip) - flip */
	uint32_t length = slice->length;
	uint32_t i;

	d->zero_count += (counter_get(slice->counters, 0, width) ^ flip) - flip;
	for (i = 0; i < length; i++)
		counts[i] += (counter_get(slice->counters, i + 1, width) ^ flip) - flip;
}

void dense_merge(struct dense *d, const struct slice *slice, bool subtract)
{
	if (slice->counters == NULL)
		return;
	dense_cover(d, slice->first, slice->length);
	switch (slice->width) {
	case 0:
		dense_change(d, slice, 0, subtract);
		break;
	case 1:
		dense_change(d, slice, 1, subtract);
		break;
	case 2:
		dense_change(d, slice, 2, subtract);
		break;
	default:
		dense_change(d, slice, 3, subtract);
		break;
	}
}

static inline __attribute__((always_inline)) void counter_set(void *counters, uint32_t i,
							      uint32_t width, uint64_t value)
{
	switch (width) {
	case 0:
		((uint8_t *)counters)[i] = (uint8_t)value;
		break;
	case 1:
		((uint16_t *)counters)[i] = (uint16_t)value;
		break;
	case 2:
		((uint32_t *)counters)[i] = (uint32_t)value;
		break;
	default:
		((uint64_t *)counters)[i] = value;
		break;
	}
}

static inline __attribute__((always_inline)) void
counters_write(const struct slice *slice, const struct dense *d, uint32_t width)
{
	const uint64_t *counts = d->counts + slice->first;
	uint32_t length = slice->length;
	uint32_t i;

	counter_set(slice->counters, 0, width, d->zero_count);
	for (i = 0; i < length; i++)
		counter_set(slice->counters, i + 1, width, counts[i]);
}

/* The range of the slice contains that of `d`, which is made as wide here. */
static void counters_store(const struct slice *slice, struct dense *d)
{
	dense_cover(d, slice->first, slice->length);
	switch (slice->width) {
	case 0:
		counters_write(slice, d, 0);
		break;
	case 1:
		counters_write(slice, d, 1);
		break;
	case 2:
		counters_write(slice, d, 2);
		break;
	default:
		counters_write(slice, d, 3);
		break;
	}
}

size_t slice_bytes(const struct slice *slice)
{
	return slice->counters == NULL ? 0 : (size_t)(slice->length + 1) << slice->width;
}

uint64_t dense_trim(struct dense *d)
{
	uint64_t bits = d->zero_count;
	uint32_t i;

	while (d->end > d->first && d->counts[d->end - 1] == 0)
		d->end--;
	while (d->first < d->end && d->counts[d->first] == 0)
		d->first++;
	for (i = d->first; i < d->end; i++)
		bits |= d->counts[i];
	return bits;
}

/* Makes the counters of a slice those of `d`; on false (no memory) they are as they were. A
 * range that the slice has already is kept if it is not far too large: totals change each
 * second, and allocating is what costs most of it. */
bool slice_pack(struct slice *slice, struct dense *d)
{
	uint64_t bits = dense_trim(d);
	uint32_t length = d->end - d->first;
	uint32_t width = (bits > UINT8_MAX) + (bits > UINT16_MAX) + (bits > UINT32_MAX);
	size_t bytes = (size_t)(length + 1) << width;
	size_t bytes_now = slice_bytes(slice);
	void *counters;

	if (bytes_now == 0 || bytes > bytes_now || bytes * 2 < bytes_now || width > slice->width ||
	    (length > 0 &&
	     (d->first < slice->first || d->end > (uint32_t)slice->first + slice->length))) {
		counters = slice->counters;
		if (bytes != bytes_now)
			counters = realloc(slice->counters, bytes);
		if (counters == NULL)
			return false;
		slice->counters = counters;
		slice->first = d->first & 0xfff;
		slice->length = length & 0xfff;
		slice->width = width & 0xff;
	}
	counters_store(slice, d);
	return true;
}

void slice_drop_counters(struct slice *slice)
{
	free(slice->counters);
	slice->counters = NULL;
}

void slice_clear(struct slice *slice)
{
	free(slice->counters);
	*slice = (struct slice){0};
}

void slice_add_fixed(struct slice *into, const struct slice *slice)
{
	if (into->count == 0 || slice->start_s < into->start_s)
		into->start_s = slice->start_s;
	into->max = slice->max > into->max ? slice->max : into->max;
	into->count += slice->count;
	slice_sum_set(into, slice_sum(into) + slice_sum(slice));
}
