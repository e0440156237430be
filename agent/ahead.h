/* SPDX-License-Identifier: MIT */
/*
 * ahead.h - hints for who goes through all sessions: what is next is fetched while this one is
 * worked on.
 *
 * A timer is some hundred cache lines behind four pointers, and of a thousand sessions none is in
 * the caches when its turn comes. One after the other they cost a publication more time than all
 * that is computed from them. The session after this one has its metrics fetched, so that, when
 * their turn comes, what they point to can be.
 */
#ifndef SHMBUS_AGENT_AHEAD_H
#define SHMBUS_AGENT_AHEAD_H

#include "fetch.h"
#include "session.h"

#define AHEAD_METRICS 16u /* of the next session */
#define AHEAD_BYTES 1024u /* of a row, whose rest the processor fetches by itself */

static inline void ahead_bytes(const void *bytes, size_t size)
{
	size = size < AHEAD_BYTES ? size : AHEAD_BYTES;
	if (size == 0)
		return;
	/* A hint is dropped where the page's address has to be looked up first, a load is not. */
	(void)*(volatile const char *)bytes;
	fetch_lines(bytes, size);
}

/* The session itself, two before its turn: where the rest is. */
static inline void ahead_session(const struct session *session)
{
	fetch_lines(session, offsetof(struct session, live));
	fetch_lines(&session->committed, offsetof(struct session_committed, labels));
	fetch_lines(&session->published, sizeof session->published);
}

/* Its header, its writers and its metrics, as a publication looks at them. */
static inline void ahead_metrics(const struct session *session)
{
	uint32_t count = session->committed.metric_count;

	fetch_lines(&session->consumer->header, offsetof(struct shmbus_header, changes));
	fetch_lines(session->consumer->segment, sizeof session->consumer->segment);
	if (session->writers != NULL && session->committed.writer_count != 0)
		fetch_lines(session->writers[0], sizeof *session->writers[0]);
	count = count < AHEAD_METRICS ? count : AHEAD_METRICS;
	for (uint32_t i = 0; session->metrics != NULL && i < count; i++) {
		const struct metric *metric = session->metrics[i];

		ahead_bytes(&metric->committed,
			    sizeof *metric - offsetof(struct metric, committed));
		ahead_bytes(metric, offsetof(struct metric, live));
	}
}

/* Before time windows move on: of the metric, of the one after it. */
static inline void ahead_slices(const struct session *session, uint32_t number)
{
	uint32_t count = session->committed.metric_count;

	if (session->metrics == NULL)
		return;
	if (number < count && session->metrics[number]->timer) {
		const struct metric *metric = session->metrics[number];

		ahead_bytes(metric->committed.histogram.buckets,
			    metric->committed.histogram.length * sizeof(uint64_t));
		slices_fetch_counters(&metric->slices);
	}
	if (number + 1 < count && session->metrics[number + 1]->timer)
		slices_fetch(&session->metrics[number + 1]->slices);
}

/* Before a metric is encoded. */
static inline void ahead_window(const struct session *session, uint32_t number)
{
	const struct window *window;

	if (session->metrics == NULL || number >= session->committed.metric_count ||
	    !session->metrics[number]->timer)
		return;
	window = session->metrics[number]->committed.window;
	ahead_bytes(window, window_bytes(window));
}

#endif /* SHMBUS_AGENT_AHEAD_H */
