/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "rejects.h"

const char *const reject_cause_names[REJECT_CAUSES] = {
	"layout", "invalid", "owner", "limit", "resource", "fault",
};

void rejects_init(struct rejects *rejects)
{
	memset(rejects, 0, sizeof *rejects);
	pthread_mutex_init(&rejects->writers, NULL);
	ck_sequence_init(&rejects->sequence);
}

void rejects_add(struct rejects *rejects, enum reject_cause cause, const char *segment,
		 const char *reason)
{
	struct rejects_view *view = &rejects->view;
	struct reject *last;

	log_line("refused %s: %s", segment, reason);
	pthread_mutex_lock(&rejects->writers);
	ck_sequence_write_begin(&rejects->sequence);
	last = &view->last[view->total % REJECTS_KEPT];
	snprintf(last->segment, sizeof last->segment, "%s", segment);
	snprintf(last->reason, sizeof last->reason, "%s", reason);
	view->counts[cause]++;
	view->total++;
	ck_sequence_write_end(&rejects->sequence);
	pthread_mutex_unlock(&rejects->writers);
}

void rejects_read(struct rejects *rejects, struct rejects_view *out)
{
	unsigned version;

	do {
		version = ck_sequence_read_begin(&rejects->sequence);
		memcpy(out, &rejects->view, sizeof *out);
	} while (ck_sequence_read_retry(&rejects->sequence, version));
}
