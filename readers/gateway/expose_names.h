/* SPDX-License-Identifier: MIT */
/*
 * expose_names.h - the names of families: which metrics are one family, and what it is called.
 *
 * Metrics of one name, kind and unit are a family, as they are in the totals. Its name is made of
 * theirs: "shmbus_", letters, digits and underscores, and the unit's word. The first that comes to
 * a name has it; another one has a hash of its own name, kind and unit behind it, so that it is
 * called so wherever it is second. Totals only grow, so who was first stays first.
 */
#ifndef SHMBUS_GATEWAY_EXPOSE_NAMES_H
#define SHMBUS_GATEWAY_EXPOSE_NAMES_H

#include "expose_model.h"
#include "expose_unit.h"

#define FAMILY_NAME_SIZE 192
#define NAMES_PREFIX "shmbus_" /* of all families */

/* ---- texts and their numbers ---- */

struct texts {
	char **all; /* by number */
	uint32_t count, capacity;
	uint32_t *slots; /* number + 1; 0: free */
	uint32_t slot_count;
};

void texts_free(struct texts *texts);

#define TEXTS_NONE UINT32_MAX

/* The number of a text, given anew where *added; TEXTS_NONE without memory. */
uint32_t texts_add(struct texts *texts, const char *text, bool *added);

/* ---- families of metrics ---- */

enum metric_kind {
	METRIC_TIMER,
	METRIC_COUNTER,
	METRIC_UPDOWN,
	METRIC_GAUGE,
	METRIC_STATESET,
	METRIC_INFO,
	METRIC_DERIVED, /* no kind of the snapshot's */
	METRIC_UNKNOWN
};

struct named {
	char name[FAMILY_NAME_SIZE];
	enum metric_kind kind;
	struct unit unit;
	const msgpack_object *first; /* one of the metrics */
	uint32_t holder;             /* for who collects them: the last that had it */
};

struct names {
	struct texts keys;     /* name, kind and unit; numbered as `all` */
	struct texts families; /* names that are taken */
	struct named *all;
	uint32_t capacity;
	bool merged; /* state sets are numbers of sessions: NAME_sessions */
};

void names_free(struct names *names);

/* Takes a name out of the game. False without memory. */
bool names_reserve(struct names *names, const char *name);

enum metric_kind metric_kind_of(const msgpack_object *metric);

/* The number of a metric's family in `all`; TEXTS_NONE without memory. */
uint32_t names_of(struct names *names, const msgpack_object *metric, enum metric_kind kind);

#endif /* SHMBUS_GATEWAY_EXPOSE_NAMES_H */
