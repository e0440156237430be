/* SPDX-License-Identifier: MIT */
/*
 * recording.h - what shmbus record collects: of each timer what came between two snapshots, from
 * the difference of their histograms, which is exact to a bucket. Sessions are merged by the
 * timer's name and unit. All of it is bounded, however many sessions there are.
 */
#ifndef SHMBUS_READERS_RECORDING_H
#define SHMBUS_READERS_RECORDING_H

#include "document.h"

#define RECORDING_SLOTS 120u
#define RECORDING_TIMERS 64u
#define RECORDING_WORST 100u
#define RECORDING_WORST_EACH 8u /* of a timer */
#define RECORDING_SESSIONS 200u

/* 32 buckets a power of two; zeros first. Bucket 1 + i has the values in (2^((i-1)/32), 2^(i/32)],
 * those of the snapshot's histograms of schema 5. */
#define BUCKETS 2050u
/* The same with 4 a power of two, for the heat map. */
#define HEAT_ROWS 258u

struct distribution {
	uint64_t count;
	double sum;
	double max; /* exact where the snapshot's largest value came meanwhile, else its bucket's */
	uint64_t buckets[BUCKETS];
};

/* The largest value of a bucket. */
double bucket_value(uint32_t bucket);

/* The value at a quantile, 0 to 1, within a bucket; NAN without samples. */
double distribution_quantile(const struct distribution *distribution, double quantile);

/* What came in one slot of time. */
struct slot {
	uint64_t count;
	double p50, p99, max;
};

struct timer {
	char name[64];
	char unit[16];
	struct distribution lifetime; /* of the sessions in the newest snapshot */
	struct distribution recorded; /* while we looked */
	struct distribution now;      /* since the last snapshot */
	struct slot slots[RECORDING_SLOTS];
	uint32_t (*heat)[HEAT_ROWS]; /* a row of counts for each slot; NULL without memory */
};

struct worst {
	char timer[64];
	char unit[16];
	char session[80];
	uint64_t time_unix_ns;
	uint64_t correlation_id; /* 0: none */
	double value;
	bool response; /* of a cycle: from signal to finish, more than the timer's own value */
	bool before;   /* the recording */
	bool rough;    /* by the buckets that grew until this time, a snapshot's */
};

struct tick {
	uint64_t seq;
	uint64_t time_unix_ns;
	uint64_t gap;
	uint64_t dropped; /* since the one before */
};

struct known; /* a session, as the snapshot before had it */

struct recording {
	const char *pattern; /* of session ids; NULL: all */
	struct tick ticks[RECORDING_SLOTS];
	uint32_t slots; /* the first snapshot only begins the first slot */
	bool begun;
	uint64_t begin_unix_ns;
	uint64_t end_unix_ns;
	struct timer *timers[RECORDING_TIMERS];
	uint32_t timer_count;
	uint32_t left_out; /* timers beyond that */
	struct worst worst[RECORDING_WORST];
	uint32_t worst_count;
	struct known *known;
	size_t known_count;
	uint64_t gap; /* since the last tick */
};

/* Goes on with a snapshot. Returns whether there is room for another one. */
bool recording_add(struct recording *recording, const struct document *document, uint64_t gap);

/* Whether a session is one of those that are recorded. */
bool recording_wants(const struct recording *recording, const msgpack_object *session);

void recording_free(struct recording *recording);

#endif /* SHMBUS_READERS_RECORDING_H */
