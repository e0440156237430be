/* SPDX-License-Identifier: MIT */
/*
 * top_rows.h - shmbus top's model: the rows of a table, made from a document. Pure: no terminal,
 * no clock. A session's rows are itself, then its cycles, timers, other values and writers.
 */
#ifndef SHMBUS_READERS_TOP_ROWS_H
#define SHMBUS_READERS_TOP_ROWS_H

#include "document.h"
#include "format.h"
#include "top_since.h"

/* A kind of row has seven columns of its own in the same seven slots. */
enum top_kind { TOP_SESSION, TOP_CYCLE, TOP_TIMER, TOP_VALUE, TOP_WRITER, TOP_KINDS };
#define TOP_SLOTS 7

/* How a slot's number is shown. */
enum top_format {
	TOP_NONE,
	TOP_COUNT,
	TOP_DURATION,
	TOP_PERCENT,
	TOP_BYTES,
	TOP_UNIT,   /* in the metric's unit */
	TOP_STATE,  /* an index: running, stale, lost, ended */
	TOP_METRIC, /* an index: the kind of a metric */
	TOP_MET,    /* 1: met; 0: MISSED */
};

struct top_column {
	const char *title;
	const char *key; /* in JSON */
	enum top_format format;
};

extern const struct top_column top_columns[TOP_KINDS][TOP_SLOTS];
extern const char *const top_kind_titles[TOP_KINDS];

enum { TOP_RUNNING, TOP_STALE, TOP_LOST, TOP_ENDED, TOP_STATES };
extern const char *const top_states[TOP_STATES];

/* Slots that more than one file names. */
enum { SLOT_STATE = 0, SLOT_DROPS = 3, SLOT_BUSY_RATIO = 5, SLOT_ERRORS = 6, SLOT_TARGET = 6 };

/* How much of a session is open. */
enum { TOP_CLOSED, TOP_TIMERS, TOP_ALL };

struct top_row {
	enum top_kind kind;
	uint64_t key;                  /* the same for the same thing in the next document */
	const msgpack_object *session; /* in the document */
	const msgpack_object *object;  /* the metric, writer or derived value; else the session */
	double slots[TOP_SLOTS];       /* NaN: no value */
	char name[80];
	char note[48]; /* service, stage */
	char unit[16];
	char text[64];     /* of a state set or an info, instead of its number */
	uint8_t open;      /* of a session */
	uint8_t trouble;   /* a set of slots to be seen at once */
	uint8_t concern;   /* a set of slots that are near to that */
	double total;      /* what its trend is made of: samples of a session; sum of a timer */
	double samples;    /* of a timer */
	size_t in_session; /* rows of the session that follow; of a session */
};

/* What is asked of the rows; only a session's columns sort, and its name. */
#define TOP_BY_NAME TOP_SLOTS
#define TOP_BY_STATE SLOT_STATE

struct top_wanted {
	int sort; /* a slot or TOP_BY_NAME */
	bool reverse;
	const char *filter;              /* "": all */
	const struct document *baseline; /* counts begin there; NULL: with the sessions */
	const struct document *before;   /* for rates of counters; NULL: none */
	/* How much of a session is open; NULL: of each `open`. */
	int (*open_of)(void *data, uint64_t key);
	void *data;
	int open;
};

struct top_rows {
	struct top_row *rows;
	size_t count, capacity;
	uint32_t states[TOP_STATES]; /* sessions; filtered ones too */
	uint32_t filtered;           /* sessions that are not shown */
	struct top_drops drops;      /* by all sessions, filtered ones too */
	double missed;               /* timers whose target is missed */
};

/* Makes the rows anew; those of before are gone. Returns 0 or -ENOMEM. */
int top_rows_make(struct top_rows *rows, const struct document *document,
		  const struct top_wanted *wanted);
void top_rows_free(struct top_rows *rows);

/* A slot as text; "" where the kind has no such column, "-" where there is no value. */
const char *top_slot_text(const struct top_row *row, int slot, char out[FORMAT_SIZE]);

/* Whether a name passes a filter: a part of it, whatever the case, or a glob with * ? [. */
bool top_filter_fits(const char *filter, const char *name);

#endif /* SHMBUS_READERS_TOP_ROWS_H */
