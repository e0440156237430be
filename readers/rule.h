/* SPDX-License-Identifier: MIT */
/*
 * rule.h - what 'shmbus check' is to look at, in one line:
 *
 *   [SERVICE/SESSION:]METRIC[.PERIOD].STAT OP NUMBER[UNIT] [for TIME]
 *   [SERVICE/SESSION:]@QUANTITY OP NUMBER[UNIT] [for TIME]
 *
 * SERVICE, SESSION and METRIC are patterns of fnmatch(3). In place of SERVICE/SESSION stands
 * "totals" for the metrics of the whole bus, "agent" for the agent's quantities. METRIC may be
 * @latency, @timing or @e2e: the metrics that are such a thing (measure.h).
 */
#ifndef SHMBUS_READERS_RULE_H
#define SHMBUS_READERS_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RULE_TEXT_SIZE 256
#define RULE_FOR_NS_MAX (UINT64_C(86400) * 1000000000u)

/* The statuses of a monitoring plugin, which are its exit statuses. */
enum level { LEVEL_OK, LEVEL_WARNING, LEVEL_CRITICAL, LEVEL_UNKNOWN };

enum rule_scope { SCOPE_SESSIONS, SCOPE_TOTALS, SCOPE_AGENT };

/* What a number is of. DIMENSION_UNIT: of the metric, known when it is looked at. */
enum dimension {
	DIMENSION_COUNT,
	DIMENSION_TIME,  /* ns */
	DIMENSION_BYTES, /* bytes */
	DIMENSION_RATIO, /* 1 is 100 % */
	DIMENSION_UNIT,
};

enum rule_op { OP_GT, OP_GE, OP_LT, OP_LE, OP_EQ, OP_NE };

/* A statistic of a metric: where the snapshot has it. */
struct stat_name {
	const char *name, *map, *key;
	enum dimension dimension;
	bool grows; /* it never goes back */
	bool window, slices;
};

/* Something that is not a metric's. */
struct quantity_name {
	const char *name;
	enum rule_scope scope;
	enum dimension dimension;
	bool grows;
	const char *map, *key; /* NULL: counted or added up */
};

struct rule {
	enum level level;
	enum rule_scope scope;
	char service[64], session[80];
	char metric[80];
	const struct stat_name *stat;         /* either this... */
	const struct quantity_name *quantity; /* ...or this */
	const char *slice;                    /* "window", "10s", "1m", "5m", "15m"; NULL: of all */
	enum rule_op op;
	double limit; /* in ns, bytes or parts of 1 where the unit is of that dimension */
	enum dimension limit_dimension; /* COUNT: no unit */
	uint64_t for_ns;
	bool optional; /* nothing that fits it is no fault */
	char text[RULE_TEXT_SIZE];
};

struct rule_error {
	size_t column; /* from 1 */
	char text[200];
};

/* Parses an expression. False: *error says what, and where. The level is left as it is. */
bool rule_parse(const char *text, struct rule *rule, struct rule_error *error);

/* Parses a line of a file: "warning" or "critical", then an expression. An empty line or a comment
 * (#) leaves *empty true. */
bool rule_parse_line(const char *line, struct rule *rule, bool *empty, struct rule_error *error);

/* "ok", "warning", "critical", "unknown"; false for anything else. */
bool level_parse(const char *text, enum level *level);
const char *level_word(enum level level); /* in capitals */

bool rule_breached(const struct rule *rule, double value, double limit);
const char *rule_op_text(enum rule_op op);

#endif /* SHMBUS_READERS_RULE_H */
