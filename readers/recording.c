/* SPDX-License-Identifier: MIT */
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "recording.h"

#define SCHEMA 5 /* of our buckets */

/* A timer of a session, at the last snapshot: its buckets, to be taken from those of the next. */
struct past {
	uint64_t count;
	double sum;
	double max;
	uint64_t zeros;
	uint32_t first;
	uint32_t bucket_count;
	uint64_t *buckets;
};

struct known {
	char segment[96];
	uint64_t dropped;
	struct past *timers; /* by the metric's place */
	size_t timer_count;
	bool here;
};

/* ---- distributions ---- */

double bucket_value(uint32_t bucket)
{
	return bucket == 0 ? 0 : exp2((double)(bucket - 1) / 32);
}

/* Which of our buckets bucket i of a histogram of another schema falls into. */
static uint32_t bucket_of(int64_t index, uint64_t schema)
{
	if (schema > SCHEMA) /* rounded up: bounds of a coarser schema are bounds of a finer one */
		index = (index + (1 << (schema - SCHEMA)) - 1) >> (schema - SCHEMA);
	else
		index <<= SCHEMA - schema;
	return index < 0 ? 1 : index >= BUCKETS - 1 ? BUCKETS - 1 : (uint32_t)index + 1;
}

/* Within a bucket in geometric proportion, as its bounds are. */
double distribution_quantile(const struct distribution *distribution, double quantile)
{
	double rank = quantile * (double)distribution->count, below = 0;

	if (distribution->count == 0)
		return NAN;
	for (uint32_t i = 0; i < BUCKETS; i++) {
		double here = (double)distribution->buckets[i], part;

		if (here == 0 || below + here < rank) {
			below += here;
			continue;
		}
		part = fmax((rank - below) / here, 0);
		return fmin(i == 0 ? 0 : exp2(((double)i - 2 + part) / 32), distribution->max);
	}
	return distribution->max;
}

static void distribution_add(struct distribution *to, const struct distribution *from)
{
	to->count += from->count;
	to->sum += from->sum;
	to->max = fmax(to->max, from->max);
	for (uint32_t i = 0; i < BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

/* ---- what a session's timer was before ---- */

static uint64_t past_at(const struct past *past, uint32_t i)
{
	return i >= past->first && i - past->first < past->bucket_count
		       ? past->buckets[i - past->first]
		       : 0;
}

/* How many came since; an agent that began anew counts from 0 again. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static void bucket_grow(struct timer *timer, uint32_t bucket, uint64_t before, uint64_t now)
{
	uint64_t came = since(now, before);

	timer->lifetime.buckets[bucket] += now;
	timer->now.buckets[bucket] += came;
	if (came != 0)
		timer->now.max = fmax(timer->now.max, bucket_value(bucket));
}

/* A count of the snapshot, which anybody may have written. */
static uint64_t count_of(const msgpack_object *value)
{
	return value->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? value->via.u64 : 0;
}

/* The histogram in our buckets, from *first on; to be freed. NULL where it has none, nonsense, or
 * without memory. */
static uint64_t *buckets_of(const msgpack_object *histogram, uint32_t *first, uint32_t *count)
{
	const msgpack_object *given = NULL;
	size_t given_count = member_array(histogram, "buckets", &given);
	uint64_t schema = member_u64(histogram, "schema", SCHEMA);
	uint64_t offset = member_u64(histogram, "offset", 0);
	uint64_t *buckets;

	*first = *count = 0;
	if (schema > 8 || offset > BUCKETS << 3 || given_count > BUCKETS << 3 || given_count == 0)
		return NULL;
	*first = bucket_of((int64_t)offset, schema);
	*count = bucket_of((int64_t)(offset + given_count - 1), schema) - *first + 1;
	buckets = calloc(*count, sizeof *buckets);
	for (size_t i = 0; i < given_count && buckets != NULL; i++)
		buckets[bucket_of((int64_t)(offset + i), schema) - *first] += count_of(&given[i]);
	if (buckets == NULL)
		*count = 0;
	return buckets;
}

/* Adds what came of one session's timer, and keeps what is there for the next time. Returns the
 * largest value of that, 0 where nothing came. */
static double timer_take(struct timer *timer, struct past *past, const msgpack_object *metric)
{
	const msgpack_object *histogram = member(metric, "histogram");
	double high = timer->now.max, largest;
	struct past new = {.count = member_u64(metric, "count", 0),
			   .sum = member_real(metric, "sum", 0),
			   .max = member_real(metric, "max", 0),
			   .zeros = member_u64(histogram, "zero_count", 0)};

	new.buckets = buckets_of(histogram, &new.first, &new.bucket_count);
	timer->now.max = 0;
	bucket_grow(timer, 0, past->zeros, new.zeros);
	for (uint32_t i = 0; i < new.bucket_count; i++)
		bucket_grow(timer, new.first + i, past_at(past, new.first + i), new.buckets[i]);
	/* Its bucket says little more than the largest value itself, where that is new. */
	largest = new.max > past->max ? new.max : fmin(timer->now.max, new.max);
	timer->now.max = fmax(high, largest);
	timer->now.count += since(new.count, past->count);
	timer->now.sum += fmax(new.sum - past->sum, 0);
	timer->lifetime.max = fmax(timer->lifetime.max, new.max);
	timer->lifetime.count += new.count;
	timer->lifetime.sum += new.sum;
	free(past->buckets);
	*past = new;
	return largest;
}

static struct timer *timer_find(struct recording *recording, const msgpack_object *metric)
{
	char name[sizeof recording->timers[0]->name], unit[sizeof recording->timers[0]->unit];
	struct timer *timer;

	member_text(metric, "name", name, sizeof name);
	member_text(metric, "unit", unit, sizeof unit);
	for (uint32_t i = 0; i < recording->timer_count; i++)
		if (strcmp(recording->timers[i]->name, name) == 0 &&
		    strcmp(recording->timers[i]->unit, unit) == 0)
			return recording->timers[i];
	if (recording->timer_count == RECORDING_TIMERS) {
		recording->left_out++;
		return NULL;
	}
	timer = calloc(1, sizeof *timer);
	if (timer == NULL)
		return NULL;
	strcpy(timer->name, name);
	strcpy(timer->unit, unit);
	timer->heat = calloc(RECORDING_SLOTS, sizeof *timer->heat);
	recording->timers[recording->timer_count++] = timer;
	return timer;
}

/* ---- sessions ---- */

static void known_free(struct known *known)
{
	for (size_t i = 0; i < known->timer_count; i++)
		free(known->timers[i].buckets);
	free(known->timers);
}

/* `place` is its place in the snapshot: mostly that in the one before, too. */
static struct known *known_find(struct recording *recording, const msgpack_object *session,
				size_t place, size_t metrics)
{
	char segment[sizeof recording->known->segment];
	struct known *known = NULL, *all;
	struct past *timers;

	member_text(session, "segment", segment, sizeof segment);
	for (size_t i = 0; i < recording->known_count && known == NULL; i++) {
		struct known *next = &recording->known[(place + i) % recording->known_count];

		if (strcmp(next->segment, segment) == 0)
			known = next;
	}
	if (known == NULL) {
		all = realloc(recording->known, (recording->known_count + 1) * sizeof *all);
		if (all == NULL)
			return NULL;
		recording->known = all;
		known = &all[recording->known_count++];
		*known = (struct known){.here = true};
		strcpy(known->segment, segment);
	}
	if (metrics > known->timer_count) {
		timers = realloc(known->timers, metrics * sizeof *timers);
		if (timers == NULL)
			return NULL;
		memset(timers + known->timer_count, 0,
		       (metrics - known->timer_count) * sizeof *timers);
		known->timers = timers;
		known->timer_count = metrics;
	}
	return known;
}

/* What left the snapshot does not come back. */
static void known_leave(struct recording *recording)
{
	size_t kept = 0;

	for (size_t i = 0; i < recording->known_count; i++) {
		if (recording->known[i].here)
			recording->known[kept++] = recording->known[i];
		else
			known_free(&recording->known[i]);
	}
	recording->known_count = kept;
}

bool recording_wants(const struct recording *recording, const msgpack_object *session)
{
	char id[80];

	return recording->pattern == NULL ||
	       fnmatch(recording->pattern, member_text(session, "id", id, sizeof id), 0) == 0;
}

/* ---- the worst samples ---- */

static bool worst_same(const struct worst *a, const struct worst *b)
{
	return a->time_unix_ns == b->time_unix_ns && a->value == b->value &&
	       strcmp(a->timer, b->timer) == 0 && strcmp(a->session, b->session) == 0;
}

/* What was recorded counts more than what was before it. */
static bool worst_less(const struct worst *a, const struct worst *b)
{
	return a->before != b->before ? a->before : a->value < b->value;
}

/* Of each timer the largest ones stay. */
static void worst_add(struct recording *recording, const struct worst *worst)
{
	struct worst *least = NULL;
	uint32_t of_timer = 0;

	for (uint32_t i = 0; i < recording->worst_count; i++) {
		struct worst *other = &recording->worst[i];

		if (worst_same(other, worst))
			return;
		if (strcmp(other->timer, worst->timer) != 0)
			continue;
		of_timer++;
		if (least == NULL || worst_less(other, least))
			least = other;
	}
	if (of_timer < RECORDING_WORST_EACH && recording->worst_count < RECORDING_WORST)
		recording->worst[recording->worst_count++] = *worst;
	else if (least != NULL && worst_less(least, worst))
		*least = *worst;
}

/* Whether an exact one came since the snapshot before; it is added. */
static bool worst_exact(struct recording *recording, struct worst worst,
			const msgpack_object *metric)
{
	static const char *const holders[] = {"target", "period"};
	uint64_t before = recording->slots > 0 ? recording->ticks[recording->slots - 1].time_unix_ns
					       : recording->begin_unix_ns;
	bool came = false;

	for (size_t i = 0; i < 2; i++) {
		const msgpack_object *holder = member(metric, holders[i]);
		const msgpack_object *found = member(holder, "worst");

		worst.time_unix_ns = member_u64(found, "time_unix_ns", 0);
		if (worst.time_unix_ns == 0)
			continue;
		worst.before = !recording->begun || worst.time_unix_ns <= recording->begin_unix_ns;
		worst.response = member(holder, "quantum") != NULL;
		worst.value = member_real(found, "value", 0);
		worst.correlation_id = member_u64(found, "correlation_id", 0);
		worst_add(recording, &worst);
		came = came || (!worst.response && worst.time_unix_ns > before);
	}
	return came;
}

/* A snapshot has the worst sample ever: what is smaller is known by the buckets alone. */
static void worst_take(struct recording *recording, const msgpack_object *session,
		       const msgpack_object *metric, double largest)
{
	struct worst worst = {0};

	if (member(metric, "target") == NULL && member(metric, "period") == NULL)
		return;
	member_text(session, "id", worst.session, sizeof worst.session);
	member_text(metric, "name", worst.timer, sizeof worst.timer);
	member_text(metric, "unit", worst.unit, sizeof worst.unit);
	if (worst_exact(recording, worst, metric) || !recording->begun || largest <= 0)
		return;
	worst.rough = true;
	worst.value = largest;
	worst.time_unix_ns = recording->end_unix_ns;
	worst_add(recording, &worst);
}

/* ---- a snapshot ---- */

/* Returns what the session dropped since the last one. */
static uint64_t session_take(struct recording *recording, const msgpack_object *session,
			     size_t place)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics);
	struct known *known = known_find(recording, session, place, count);
	uint64_t dropped = member_u64(session, "dropped_total", 0), came;
	struct timer *timer;
	char kind[16];

	if (known == NULL)
		return 0;
	known->here = true;
	for (size_t i = 0; i < count; i++) {
		member_text(&metrics[i], "kind", kind, sizeof kind);
		timer = strcmp(kind, "timer") == 0 ? timer_find(recording, &metrics[i]) : NULL;
		if (timer == NULL)
			continue;
		worst_take(recording, session, &metrics[i],
			   timer_take(timer, &known->timers[i], &metrics[i]));
	}
	came = since(dropped, known->dropped);
	known->dropped = dropped;
	return came;
}

static void slot_close(struct timer *timer, uint32_t slot)
{
	const struct distribution *now = &timer->now;

	timer->slots[slot] = (struct slot){.count = now->count,
					   .p50 = distribution_quantile(now, 0.5),
					   .p99 = distribution_quantile(now, 0.99),
					   .max = now->max};
	for (uint32_t i = 0; i < BUCKETS && timer->heat != NULL; i++)
		timer->heat[slot][i == 0 ? 0 : (i + 6) / 8 + 1] += (uint32_t)now->buckets[i];
	distribution_add(&timer->recorded, now);
}

static void slots_close(struct recording *recording, const struct document *document,
			uint64_t dropped)
{
	uint32_t slot = recording->slots++;

	recording->ticks[slot] = (struct tick){.seq = document->snapshot.seq,
					       .time_unix_ns = document->snapshot.time_unix_ns,
					       .gap = recording->gap,
					       .dropped = dropped};
	for (uint32_t i = 0; i < recording->timer_count; i++)
		slot_close(recording->timers[i], slot);
}

bool recording_add(struct recording *recording, const struct document *document, uint64_t gap)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	uint64_t dropped = 0;

	if (recording->slots == RECORDING_SLOTS)
		return false;
	recording->gap = gap;
	recording->end_unix_ns = document->snapshot.time_unix_ns;
	recording->left_out = 0;
	for (uint32_t i = 0; i < recording->timer_count; i++) {
		memset(&recording->timers[i]->lifetime, 0, sizeof(struct distribution));
		memset(&recording->timers[i]->now, 0, sizeof(struct distribution));
	}
	for (size_t i = 0; i < recording->known_count; i++)
		recording->known[i].here = false;
	for (size_t i = 0; i < count; i++)
		if (recording_wants(recording, &sessions[i]))
			dropped += session_take(recording, &sessions[i], i);
	known_leave(recording);
	if (recording->begun)
		slots_close(recording, document, dropped);
	else
		recording->begin_unix_ns = recording->end_unix_ns;
	recording->begun = true;
	return recording->slots < RECORDING_SLOTS;
}

void recording_free(struct recording *recording)
{
	for (uint32_t i = 0; i < recording->timer_count; i++) {
		free(recording->timers[i]->heat);
		free(recording->timers[i]);
	}
	for (size_t i = 0; i < recording->known_count; i++)
		known_free(&recording->known[i]);
	free(recording->known);
}
