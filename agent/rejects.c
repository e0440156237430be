/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "rejects.h"
#include "ticks.h"

#define LINES_MAX 32 /* in the log, in so many seconds */
#define LINES_SECONDS 10u

const char *const reject_cause_names[REJECT_CAUSES] = {
	"layout", "invalid", "owner", "limit", "resource", "fault",
};

void rejects_init(struct rejects *rejects)
{
	memset(rejects, 0, sizeof *rejects);
	pthread_mutex_init(&rejects->writers, NULL);
	ck_sequence_init(&rejects->sequence);
}

/* How many lines the log has had in this span, with the one that is asked for. Under the lock. */
static uint32_t line_number(struct rejects *rejects)
{
	uint64_t now_ns = clock_monotonic_ns();

	if (now_ns - rejects->span_ns >= LINES_SECONDS * 1000000000ull) {
		rejects->span_ns = now_ns;
		rejects->lines = 0;
	}
	if (rejects->lines <= LINES_MAX)
		rejects->lines++;
	else
		return UINT32_MAX;
	return rejects->lines;
}

void rejects_add(struct rejects *rejects, enum reject_cause cause, const char *segment,
		 const char *reason)
{
	struct rejects_view *view = &rejects->view;
	struct reject *last;
	uint32_t number;

	pthread_mutex_lock(&rejects->writers);
	ck_sequence_write_begin(&rejects->sequence);
	last = &view->last[view->total % REJECTS_KEPT];
	snprintf(last->segment, sizeof last->segment, "%s", segment);
	snprintf(last->reason, sizeof last->reason, "%s", reason);
	view->counts[cause]++;
	view->total++;
	ck_sequence_write_end(&rejects->sequence);
	number = line_number(rejects);
	pthread_mutex_unlock(&rejects->writers);
	/* Who makes segments without end must not fill the log with them. */
	if (number <= LINES_MAX)
		log_line("refused %s: %s", segment, reason);
	else if (number == LINES_MAX + 1)
		log_line("refuses more segments than are worth a line each: see agent.rejected");
}

void rejects_read(struct rejects *rejects, struct rejects_view *out)
{
	unsigned version;

	do {
		version = ck_sequence_read_begin(&rejects->sequence);
		memcpy(out, &rejects->view, sizeof *out);
	} while (ck_sequence_read_retry(&rejects->sequence, version));
}
