/* SPDX-License-Identifier: MIT */
/* expose_walk.h - one way through a snapshot, shared by the files that make families of it. */
#ifndef SHMBUS_GATEWAY_EXPOSE_WALK_H
#define SHMBUS_GATEWAY_EXPOSE_WALK_H

#include "expose_model.h"
#include "expose_names.h"

/* What has metrics: the totals, or a session. */
struct holder {
	const msgpack_object *map;
	char session[80], service[80], incarnation[24]; /* labels; "" of the totals */
};

/* A metric of a holder, or a derived value. */
struct source {
	const msgpack_object *metric;
	uint32_t holder;
	uint32_t family;
};

struct walk {
	struct writer *writer;
	const struct exposition *exposition;
	const struct expose_options *options;
	const msgpack_object *root; /* NULL where nothing is live */
	struct names names;
	struct holder *holders;
	uint32_t holder_count;
	struct source *sources; /* by family, in it by holder */
	uint32_t source_count, source_capacity;
	uint64_t series, series_left_out, sessions_left_out;
	const struct family *family; /* the one whose points come */
	bool begun;                  /* it has come to the writer */
	bool failed;                 /* no memory */
};

/* ---- families and points ---- */

/* Points that come now are this family's, which must stay until the next one. */
void walk_family(struct walk *walk, const struct family *family);
void walk_point(struct walk *walk, const struct point *point);
void walk_real(struct walk *walk, const struct labels *labels, double value);
void walk_number(struct walk *walk, const struct labels *labels, uint64_t value);

/* A number of a map in the base unit; NaN where there is none. */
double walk_scaled(const msgpack_object *map, const char *key, double factor);

/* A value of "" is a label that is not there. */
void labels_add(struct labels *labels, const char *name, const char *value);
/* The labels that all points of a holder have. */
void labels_holder(struct labels *labels, const struct holder *holder);

/* ---- what is shown: expose_collect.c ---- */

/* Finds holders and sources, as many as the options allow. */
void walk_collect(struct walk *walk);
void walk_free(struct walk *walk);

/* What classic buckets a timer has. */
struct bounds walk_bounds(const struct walk *walk, const struct unit *unit);

/* ---- families: expose_own.c, expose_sessions.c, expose_metrics.c, expose_goals.c ---- */

/* Names that the metrics of programs may not have. False without memory. */
bool walk_reserve(struct names *names);

void walk_own(struct walk *walk);      /* of the gateway, the agent and the bus */
void walk_sessions(struct walk *walk); /* of each session, where sessions are shown */
void walk_metrics(struct walk *walk);  /* a family for each metric */
void walk_goals(struct walk *walk);    /* targets and periods */

/* The families that walk_reserve() knows. */
enum own_family {
	/* the gateway's */
	OWN_UP,
	OWN_SNAPSHOT_STATE,
	OWN_TARGET,
	OWN_SNAPSHOT_TIME,
	OWN_SNAPSHOT_INTERVAL,
	OWN_SERIES_LEFT_OUT,
	OWN_SESSIONS_LEFT_OUT,
	/* the agent's */
	OWN_AGENT,
	OWN_AGENT_START,
	OWN_AGENT_CPU,
	OWN_AGENT_RSS,
	OWN_AGENT_MEMORY,
	OWN_AGENT_DRAIN_LAG,
	OWN_AGENT_DRAIN_PERIOD,
	OWN_AGENT_PUBLISH,
	OWN_AGENT_PUBLISH_BYTES,
	OWN_AGENT_PUBLISH_FAILURES,
	OWN_AGENT_CHECKPOINT_BYTES,
	OWN_AGENT_CHECKPOINT_FAILURES,
	OWN_AGENT_CLOCK_BACKWARD,
	OWN_AGENT_OVERRUNS,
	OWN_AGENT_SCANS,
	OWN_AGENT_EVENT_OVERFLOWS,
	OWN_AGENT_LOG_LOST,
	OWN_AGENT_ENCODED,
	OWN_REJECTED,
	/* the bus' */
	OWN_SAMPLES,
	OWN_DROPPED,
	OWN_OVERFLOW,
	OWN_SESSIONS,
	OWN_SESSIONS_OPENED,
	OWN_SESSIONS_ENDED,
	OWN_SESSIONS_LOST,
	OWN_SESSIONS_DROPPED,
	/* a session's */
	OWN_SESSION,
	OWN_SESSION_STATE,
	OWN_SESSION_START,
	OWN_SESSION_AGE,
	OWN_SESSION_CPU,
	OWN_SESSION_SHM,
	OWN_SESSION_AGENT,
	OWN_SESSION_RSS,
	OWN_SESSION_SAMPLES,
	OWN_SESSION_DROPPED,
	OWN_SESSION_OVERFLOW,
	OWN_WRITER_CAPACITY,
	OWN_WRITER_USED,
	OWN_WRITER_HIGH_WATER,
	/* of any timer: its samples, target and period */
	OWN_TIMER_SAMPLES,
	OWN_TARGET_VIOLATIONS,
	OWN_TARGET_MET,
	OWN_TARGET_LIMIT,
	OWN_TARGET_QUANTILE,
	OWN_DEADLINE_MISSES,
	OWN_DEADLINE_RUN,
	OWN_PERIOD,
	OWN_BUSY,
	OWN_WAIT,
	OWN_XRUNS,
	OWN_FAMILIES
};

void walk_own_family(struct walk *walk, enum own_family family);

#endif /* SHMBUS_GATEWAY_EXPOSE_WALK_H */
