/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "checkpoint.h"

bool checkpoint_possible(const struct checkpoint *checkpoint)
{
	return turns_possible(&checkpoint->turns);
}

void checkpoint_hand_over(struct checkpoint *checkpoint, const struct checkpoint_numbers *numbers)
{
	checkpoint->numbers = *numbers;
	turns_give(&checkpoint->turns);
}

static bool timer_commit(struct metric *metric, struct totals *totals)
{
	struct series *total = metric->total != NULL ? &metric->total->series : NULL;
	uint64_t samples = metric->live.lifetime.count - metric->committed.lifetime.count;

	if (!series_commit(&metric->committed, &metric->live, total))
		return false;
	if (total == NULL)
		totals->overflow += samples;
	metric->committed_period_ns = metric->period_ns;
	metric->committed_quantum = metric->quantum;
	lifetime_peak_take(&metric->live.lifetime);
	return true;
}

/* Of a counter the total gets the growth; gauges are merged by the publisher. */
static void slots_commit(struct metric *metric)
{
	if (metric->entry.kind == SHMBUS_COUNTER && metric->total != NULL)
		metric->total->counter += metric->live_bits - metric->bits;
	metric->bits = metric->live_bits;
	metric->present = metric->live_present;
}

static void metric_commit(struct metric *metric, struct totals *totals)
{
	if (!(metric->dirty & DIRTY_PUBLISH))
		return;
	if (metric->total == NULL && !metric->total_refused) {
		metric->total = totals_of(totals, &metric->entry);
		metric->total_refused = metric->total == NULL;
	}
	if (metric->timer && !timer_commit(metric, totals))
		return;
	if (!metric->timer)
		slots_commit(metric);
	if (metric->total != NULL)
		metric->total->dirty = true;
	/* To be saved even if that was done since its last sample: the total's window has more of
	 * its own now, which must not be added again. */
	metric->dirty = DIRTY_SAVE;
}

static void accounts_commit(struct session *session, struct checkpoint_numbers *numbers)
{
	struct session_committed *committed = &session->committed;
	uint64_t aggregated = 0, dropped = 0;

	for (uint32_t i = 0; i < session->live.writer_count; i++) {
		const struct writer_account *account = &session->writers[i]->live.account;

		session->writers[i]->committed = *account;
		aggregated += account->aggregated;
		dropped += account->dropped_full + account->dropped_head;
	}
	numbers->samples_total += aggregated - committed->aggregated;
	numbers->dropped_total += dropped - committed->dropped;
	committed->writer_count = session->live.writer_count;
	committed->aggregated = aggregated;
	committed->dropped = dropped;
}

void checkpoint_session(struct session *session, struct totals *totals,
			struct checkpoint_numbers *numbers)
{
	struct session_committed *committed = &session->committed;
	const struct session_live *live = &session->live;

	if (!(live->dirty & DIRTY_PUBLISH) || session->metrics == NULL)
		return;
	for (uint32_t i = 0; i < live->metric_count; i++)
		metric_commit(session->metrics[i], totals);
	accounts_commit(session, numbers);
	totals->overflow += live->overflow - committed->overflow;
	committed->overflow = live->overflow;
	committed->metric_count = live->metric_count;
	committed->derived_count = live->derived_count;
	committed->label_count = live->label_count;
	committed->flags = live->flags;
	committed->sign_ns = live->sign_ns;
	committed->shm_bytes = session->consumer->segment_size;
	committed->state = live->state;
	committed->end_time_unix_ns = live->end_time_unix_ns;
	memcpy(committed->labels, live->labels, sizeof committed->labels);
	memcpy(committed->reason, live->reason, sizeof committed->reason);
	committed->dirty = true;
	session->live.dirty = DIRTY_SAVE;
}
