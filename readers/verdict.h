/* SPDX-License-Identifier: MIT */
/* verdict.h - which values breach their rules, and since when: one look after the other. */
#ifndef SHMBUS_READERS_VERDICT_H
#define SHMBUS_READERS_VERDICT_H

#include "measure.h"
#include "ruleset.h"

struct verdict {
	const struct rule *rule;
	struct measured measured;
	uint64_t since_ns; /* breached at every look from then on; 0: not now */
	uint64_t look;     /* the last one that had it */
	bool fires;        /* breached for as long as the rule asks */
	bool printed;      /* for who prints it */
};

struct verdicts {
	struct verdict *list;
	size_t count, capacity, cursor;
	uint64_t look, now_ns;
	const struct rule *rule; /* whose values come now */
	size_t found[RULES_MAX]; /* values of each rule at this look */
	bool mismatch[RULES_MAX];
	bool failed; /* no memory */
};

/* One look at a snapshot, at a time of a clock that only goes on. */
void verdicts_look(struct verdicts *verdicts, const struct ruleset *set,
		   const struct document *document, uint64_t now_ns);
void verdicts_free(struct verdicts *verdicts);

/* Whether a verdict is of the last look. */
bool verdict_now(const struct verdicts *verdicts, const struct verdict *verdict);

/* Whether a value that has breached its rule since `start_ns` may yet fire. */
bool verdicts_pending(const struct verdicts *verdicts, uint64_t start_ns);

#endif /* SHMBUS_READERS_VERDICT_H */
