/* SPDX-License-Identifier: MIT */
/* slices_save.c - slices as bytes that outlive the agent, and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "slice.h"

#define PLACE_BEFORE SLICES_COUNT
#define PLACES (SLICES_COUNT + 1) /* the windows' totals are made anew */

struct saved_slices {
	uint64_t began_s;
	uint64_t count;
	uint64_t peak;
	uint64_t min;
	uint32_t now_s;
	uint32_t slices; /* struct saved_slice, each with its counters behind it */
};

struct saved_slice {
	uint64_t count;
	uint64_t sum_low;
	uint64_t max;
	uint32_t sum_high;
	uint32_t start_s;
	uint32_t end_s;
	uint16_t place;
	uint16_t first;
	uint16_t length;
	uint16_t width;
	uint32_t bytes; /* of counters; 0: lost */
};

_Static_assert(sizeof(struct saved_slices) == 40, "saved slices");
_Static_assert(sizeof(struct saved_slice) == 48, "a saved slice");

/* A slice of the store by its place: slices, the last hand-over. */
static struct slice *slice_at(struct slices_store *store, uint32_t place)
{
	return place < SLICES_COUNT ? &store->slices[place] : &store->before;
}

static bool place_taken(const struct slices_store *store, uint32_t place)
{
	return place < SLICES_COUNT ? store->ends[place] != 0 : store->before.count != 0;
}

static size_t rounded(size_t bytes)
{
	return (bytes + 7) & ~(size_t)7;
}

size_t slices_saved_size(const struct slices *s)
{
	size_t size = sizeof(struct saved_slices);

	if (s->store == NULL)
		return 0;
	for (uint32_t place = 0; place < PLACES; place++) {
		const struct slice *slice = slice_at(s->store, place);

		if (place_taken(s->store, place))
			size += sizeof(struct saved_slice) + rounded(slice_bytes(slice));
	}
	return size;
}

static uint8_t *slice_save(uint8_t *at, const struct slice *slice, uint32_t place)
{
	size_t bytes = slice_bytes(slice);
	struct saved_slice saved = {
		.count = slice->count,
		.sum_low = slice->sum_low,
		.max = slice->max,
		.sum_high = slice->sum_high,
		.start_s = slice->start_s,
		.end_s = slice->end_s,
		.place = (uint16_t)place,
		.first = (uint16_t)slice->first,
		.length = (uint16_t)slice->length,
		.width = (uint16_t)slice->width,
		.bytes = (uint32_t)bytes,
	};

	memcpy(at, &saved, sizeof saved);
	if (bytes != 0)
		memcpy(at + sizeof saved, slice->counters, bytes);
	return at + sizeof saved + rounded(bytes);
}

void slices_save(const struct slices *s, void *bytes)
{
	struct saved_slices saved = {
		.began_s = s->began_s,
		.count = s->count,
		.peak = s->peak,
		.min = s->store->min,
		.now_s = s->now_s,
	};
	uint8_t *at = (uint8_t *)bytes + sizeof saved;

	for (uint32_t place = 0; place < PLACES; place++) {
		const struct slice *slice = slice_at(s->store, place);

		if (!place_taken(s->store, place))
			continue;
		at = slice_save(at, slice, place);
		saved.slices++;
	}
	memcpy(bytes, &saved, sizeof saved);
}

static bool saved_valid(const struct saved_slice *saved, uint32_t now_s)
{
	if (saved->place >= PLACES || saved->count == 0 || saved->width > 3 ||
	    saved->first + saved->length > HISTOGRAM_LENGTH_MAX || saved->end_s > now_s)
		return false;
	/* The last hand-over is no stretch of time, and has its buckets always. */
	if (saved->place == PLACE_BEFORE ? saved->bytes == 0 : saved->start_s >= now_s)
		return false;
	if (saved->place < SLICES_COUNT &&
	    (saved->end_s == 0 || !slices_place_right(saved->place, saved->end_s)))
		return false;
	return saved->bytes == 0 || saved->bytes == (saved->length + 1u) << saved->width;
}

/* Whether its counters are as many samples as it says. Of sums and differences of such slices the
 * same is true, so that none with a count is without samples when its quantiles are asked for. */
static bool counters_right(const struct slice *slice)
{
	struct dense d;
	uint64_t samples;

	if (slice->counters == NULL)
		return true;
	dense_clear(&d);
	dense_merge(&d, slice, false);
	samples = d.zero_count;
	for (uint32_t i = d.first; i < d.end; i++)
		samples += d.counts[i];
	return samples == slice->count;
}

/* Takes one slice from the bytes. */
static int slice_load(struct slices *s, const uint8_t **at, size_t *left)
{
	struct saved_slice saved;
	struct slice *slice;

	if (*left < sizeof saved)
		return -EBADMSG;
	memcpy(&saved, *at, sizeof saved);
	*at += sizeof saved;
	*left -= sizeof saved;
	if (!saved_valid(&saved, s->now_s) || *left < rounded(saved.bytes))
		return -EBADMSG;
	slice = slice_at(s->store, saved.place);
	if (slice->count != 0)
		return -EBADMSG;
	*slice = (struct slice){
		.count = saved.count,
		.sum_low = saved.sum_low,
		.max = saved.max,
		.sum_high = saved.sum_high,
		.start_s = saved.start_s,
		.end_s = saved.end_s,
		.first = saved.first & 0xfff,
		.length = saved.length & 0xfff,
		.width = saved.width & 0xff,
	};
	if (saved.bytes != 0) {
		slice->counters = malloc(saved.bytes);
		if (slice->counters == NULL)
			return -ENOMEM;
		memcpy(slice->counters, *at, saved.bytes);
	}
	if (saved.place < SLICES_COUNT)
		slices_place_taken(s->store, slice);
	*at += rounded(saved.bytes);
	*left -= rounded(saved.bytes);
	return counters_right(slice) ? 0 : -EBADMSG;
}

int slices_load(struct slices *s, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	struct saved_slices saved;
	size_t left = size - sizeof saved;
	int error = 0;

	if (size < sizeof saved)
		return -EBADMSG;
	memcpy(&saved, bytes, sizeof saved);
	at += sizeof saved;
	*s = (struct slices){
		.store = calloc(1, sizeof *s->store),
		.began_s = saved.began_s,
		.count = saved.count,
		.peak = saved.peak,
		.now_s = saved.now_s,
		.due_s = 0, /* found anew with the next hand-over */
	};
	if (s->store == NULL) {
		error = -ENOMEM;
		goto refused;
	}
	s->store->min = saved.min;
	for (uint32_t i = 0; error == 0 && i < saved.slices; i++)
		error = slice_load(s, &at, &left);
	/* Else the next slice would not be what came since. */
	if (error == 0 && s->store->before.count != s->count)
		error = -EBADMSG;
	if (error == 0) {
		slices_total(s);
		return 0;
	}
refused:
	slices_free(s);
	*s = (struct slices){0};
	return error;
}
