/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
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

/* Four loops, made by the compiler from this one for the four constant widths. */
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

/* Bytes, as a power of two, of a counter that can count so many samples. */
static uint32_t width_for(uint64_t count)
{
	return (count > UINT8_MAX) + (count > UINT16_MAX) + (count > UINT32_MAX);
}

bool slice_pack(struct slice *slice, struct dense *d, uint64_t room)
{
	uint32_t width = width_for(dense_trim(d) | room);
	uint32_t length = d->end - d->first;
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

static inline __attribute__((always_inline)) void
counter_change(void *counters, uint32_t i, uint32_t width, uint64_t change, bool subtract)
{
	uint64_t value = counter_get(counters, i, width);

	counter_set(counters, i, width, subtract ? value - change : value + change);
}

/* The sum's counters do not overflow: they can count all samples. */
static inline __attribute__((always_inline)) void counters_change(const struct slice *sum,
								  const struct slice *slice,
								  uint32_t sum_width,
								  uint32_t width, bool subtract)
{
	uint32_t offset = (uint32_t)slice->first - sum->first;
	uint32_t length = slice->length;

	counter_change(sum->counters, 0, sum_width, counter_get(slice->counters, 0, width),
		       subtract);
	for (uint32_t i = 1; i <= length; i++)
		counter_change(sum->counters, i + offset, sum_width,
			       counter_get(slice->counters, i, width), subtract);
}

bool slice_change(const struct slice *sum, const struct slice *slice, bool subtract)
{
	if (sum->counters == NULL || slice->counters == NULL || width_for(sum->count) > sum->width)
		return false;
	if (slice->length > 0 &&
	    (slice->first < sum->first || slice->first + slice->length > sum->first + sum->length))
		return false;
	switch (sum->width << 2 | slice->width) {
	case 0 << 2 | 0:
		counters_change(sum, slice, 0, 0, subtract);
		return true;
	case 1 << 2 | 0:
		counters_change(sum, slice, 1, 0, subtract);
		return true;
	case 1 << 2 | 1:
		counters_change(sum, slice, 1, 1, subtract);
		return true;
	case 2 << 2 | 0:
		counters_change(sum, slice, 2, 0, subtract);
		return true;
	case 2 << 2 | 1:
		counters_change(sum, slice, 2, 1, subtract);
		return true;
	default:
		return false;
	}
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

void slices_fetch(const struct slices *s)
{
	/* Up to the slices of 1 s; of the coarser ones hardly any is looked at. */
	if (s->store != NULL)
		fetch_lines(s->store, offsetof(struct slices_store, slices[SLICES_SECONDS]));
}

void slices_fetch_counters(const struct slices *s)
{
	const struct slices_store *store = s->store;
	const struct slice *leaving;

	if (store == NULL)
		return;
	fetch_lines(store->before.counters, slice_bytes(&store->before));
	/* The second that is about to leave, if there is one. */
	leaving = &store->slices[(s->now_s + 1) % SLICES_SECONDS];
	fetch_lines(leaving->counters, slice_bytes(leaving));
	for (size_t i = 0; i < SLICES_WINDOWS; i++)
		fetch_lines(store->totals[i].counters, slice_bytes(&store->totals[i]));
}
