/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drain.h"
#include "heap.h"
#include "log.h"
#include "restore.h"
#include "restoring.h"
#include "stored_check.h"

/* ---- all together ---- */

/* Whether every metric is there, with all samples that the writers' accounts have, and there is
 * memory for what is published of it. */
static bool metrics_whole(struct restoring *restoring, struct session *session)
{
	uint64_t aggregated = 0, folded = session->live.overflow;

	for (uint32_t i = 0; i < session->live.writer_count; i++)
		aggregated += session->writers[i]->live.account.aggregated;
	for (uint32_t i = 0; i < session->live.metric_count; i++) {
		struct metric *metric = session->metrics[i];

		if (metric == NULL)
			return false;
		if (metric->timer && !series_commit(&metric->committed, &metric->live, NULL)) {
			return restoring_memory_lacks(restoring);
		}
		folded += metric->timer ? metric->live.lifetime.count : 0;
	}
	return aggregated == folded;
}

/* What a metric has is in the totals again. False: no memory. */
static bool total_adopt(struct restoring *restoring, struct metric *metric)
{
	struct totals *totals = &restoring->agent->totals;

	metric->total = totals_of(totals, &metric->entry);
	metric->total_refused = metric->total == NULL;
	if (metric->total == NULL && totals->count != totals->capacity)
		return restoring_memory_lacks(restoring);
	if (metric->total == NULL) {
		totals->overflow += metric->timer ? metric->live.lifetime.count : 0;
	} else if (metric->timer) {
		if (!series_add(&metric->total->series, &metric->live) ||
		    (window_wide(metric->live.window) && !series_widen(&metric->total->series)))
			return restoring_memory_lacks(restoring);
		window_append_tail(metric->total->series.window, metric->live.window,
				   metric->counted);
	} else if (metric->entry.kind == SHMBUS_COUNTER) {
		metric->total->counter += metric->live_bits;
	}
	return true;
}

static bool metrics_adopt(struct restoring *restoring, struct session *session)
{
	for (uint32_t i = 0; i < session->live.metric_count; i++) {
		struct metric *metric = session->metrics[i];

		session_metric_link(session, metric);
		metric->bits = metric->live_bits;
		metric->present = metric->live_present;
		metric->committed_period_ns = metric->period_ns;
		metric->committed_quantum = metric->quantum;
		if (!total_adopt(restoring, metric))
			return false;
	}
	session->committed.metric_count = session->live.metric_count;
	return true;
}

/* It stays in the list, without anything, until all cells have been looked at. */
static void session_leave_out(struct restoring *restoring, struct session *session)
{
	restoring->sessions_left_out++;
	for (uint32_t i = 0; i < session->live.metric_count; i++)
		if (session->metrics[i] != NULL)
			persist_metric_drop(&restoring->agent->persist, session->metrics[i]);
	cell_drop(restoring_store(restoring), &session->cell);
	cell_drop(restoring_store(restoring), &session->finished_cell);
	session_forget(session);
	atomic_store(&session->stage, SESSION_REMOVED);
}

static void accounts_adopt(struct restoring *restoring, struct session *session)
{
	struct checkpoint_numbers *numbers = &restoring->agent->checkpoint.numbers;
	struct session_committed *committed = &session->committed;

	for (uint32_t i = 0; i < session->live.writer_count; i++) {
		const struct writer_account *account = &session->writers[i]->live.account;

		committed->aggregated += account->aggregated;
		committed->dropped += account->dropped_full + account->dropped_head;
	}
	committed->overflow = session->live.overflow;
	numbers->samples_total += committed->aggregated;
	numbers->dropped_total += committed->dropped;
	restoring->agent->totals.overflow += committed->overflow;
}

static bool owner_allowed(const struct agent *agent, const struct session *session)
{
	const struct shmbus_consumer *consumer = session->consumer;

	return options_owner_allowed(&agent->options, consumer->uid, consumer->gid, consumer->mode);
}

/* Live again, or finished: its rings were read to the end, or are gone. */
static void stage_set(struct agent *agent, struct session *session)
{
	struct session_live *live = &session->live;
	const char *reason = session->consumer->reason[0] != '\0'
				     ? session->consumer->reason
				     : "its segment went away while no agent ran";
	bool attached = session->consumer->fd >= 0;

	/* This agent may have been told less than the last one. */
	if (attached && live->state < SESSION_ENDED && !owner_allowed(agent, session)) {
		drain_give_back(session);
		shmbus_consumer_detach(session->consumer);
		attached = false;
		reason = "the agent may not drain its owner's segments any more";
	}
	if (live->state >= SESSION_ENDED || !attached) {
		if (live->state < SESSION_ENDED) {
			live->state = SESSION_LOST;
			live->end_time_unix_ns = clock_unix_ns();
			snprintf(live->reason, sizeof live->reason, "%s", reason);
		}
		live->dying = true;
		/* At once, so that what was counted before does not go back for a moment. */
		atomic_fetch_add(atomic_load(&session->closed) ? &agent->sessions_ended
							       : &agent->sessions_lost,
				 1);
		atomic_store(&session->stage, SESSION_DRAINED);
		return;
	}
	drain_give_back(session);
}

static void session_adopt(struct restoring *restoring, struct session *session)
{
	struct agent *agent = restoring->agent;

	if (session->published.final && registry_add(&agent->registry, session))
		return;
	if (session->published.final || registry_known(&agent->registry, session->key) ||
	    !metrics_whole(restoring, session)) {
		if (restoring->error == 0)
			session_leave_out(restoring, session);
		return;
	}
	if (!metrics_adopt(restoring, session))
		return;
	accounts_adopt(restoring, session);
	stage_set(agent, session);
	session->live.dirty = DIRTY_ALL;
	registry_add(&agent->registry, session);
}

static void agent_load(struct restoring *restoring, struct cell cell)
{
	struct persist *persist = &restoring->agent->persist;
	uint32_t size;
	const struct stored_agent *stored = cell_read(&cell, &size);

	if (size != sizeof *stored || cell_taken(&persist->agent_cell)) {
		cell_drop(&persist->store, &cell);
		return;
	}
	persist->agent = *stored;
	persist->agent_cell = cell;
}

static void recents_load(struct restoring *restoring, struct cell cell)
{
	struct agent *agent = restoring->agent;
	uint32_t size;
	const void *bytes = cell_read(&cell, &size);
	int error = -EBADMSG;

	if (!restoring->renumbered && !cell_taken(&agent->persist.recent_cell))
		error = recent_load(&agent->recent, bytes, size, &agent->totals);
	if (error == -ENOMEM)
		restoring_memory_lacks(restoring);
	if (error != 0) {
		restoring_drop(restoring, &cell);
		return;
	}
	agent->persist.recent_cell = cell;
	agent->persist.recent_stored = agent->recent.finished;
}

static void cells_count(struct restoring *restoring)
{
	struct cell_header *at = NULL;
	struct cell cell;

	while ((at = store_next(restoring_store(restoring), at, &cell)) != NULL)
		restoring->cells[cell_kind(&cell)]++;
}

/* No further than to the last cell of the kind, or to what the machine lacks. */
static void each(struct restoring *restoring, enum cell_kind kind,
		 void (*load)(struct restoring *restoring, struct cell cell))
{
	uint32_t left = restoring->cells[kind];
	struct cell_header *at = NULL;
	struct cell cell;

	while (left > 0 && restoring->error == 0 &&
	       (at = store_next(restoring_store(restoring), at, &cell)) != NULL) {
		if (cell_kind(&cell) != kind)
			continue;
		load(restoring, cell);
		heap_look();
		left--;
	}
}

static void left_out_free(struct restoring *restoring)
{
	for (uint32_t i = 0; i < restoring->list.count; i++) {
		struct session *session = restoring->list.sessions[i];

		if (atomic_load(&session->stage) != SESSION_REMOVED)
			continue;
		if (session->consumer->fd >= 0)
			shmbus_consumer_detach(session->consumer);
		session_free(session);
	}
}

static void numbers_begin(struct agent *agent)
{
	const struct stored_agent *stored = &agent->persist.agent;

	agent->totals.overflow = stored->overflow;
	agent->checkpoint.numbers.samples_total = stored->samples;
	agent->checkpoint.numbers.dropped_total = stored->dropped;
	agent->checkpoint.numbers.clock_backward_total = stored->clock_backward_total;
	atomic_store(&agent->sessions_ended, stored->sessions_ended);
	atomic_store(&agent->sessions_lost, stored->sessions_lost);
}

/* ---- all of it ---- */

/* As if this agent had never begun: nothing counts before a commit. Those before `first` are the
 * registry's already. */
static int give_up(struct restoring *restoring, uint32_t first)
{
	log_line("cannot take up the last agent's sessions: %s; its checkpoint stays as it is%s",
		 strerror(-restoring->error),
		 restoring->error == -EMFILE ? ": raise LimitNOFILE" : "");
	for (uint32_t i = 0; i < restoring->list.count; i++) {
		struct session *session = restoring->list.sessions[i];

		if (i < first && atomic_load(&session->stage) != SESSION_REMOVED)
			continue;
		if (session->consumer->fd >= 0)
			shmbus_consumer_detach(session->consumer);
		session_free(session);
	}
	session_list_free(&restoring->list);
	return restoring->error;
}

int restore(struct agent *agent)
{
	struct restoring restoring = {.agent = agent};

	cells_count(&restoring);
	each(&restoring, CELL_AGENT, agent_load);
	numbers_begin(agent);
	restoring_totals(&restoring);
	each(&restoring, CELL_RECENT, recents_load);
	each(&restoring, CELL_SESSION, restoring_session);
	each(&restoring, CELL_FINISHED, restoring_finished);
	if (restoring.list.count != 0)
		qsort(restoring.list.sessions, restoring.list.count,
		      sizeof *restoring.list.sessions, restoring_by_key);
	each(&restoring, CELL_METRIC, restoring_metric);
	if (restoring.error != 0)
		return give_up(&restoring, 0);
	for (uint32_t i = 0; i < restoring.list.count; i++) {
		session_adopt(&restoring, restoring.list.sessions[i]);
		heap_look();
		if (restoring.error != 0)
			return give_up(&restoring, i);
	}
	each(&restoring, CELL_SLICES, restoring_slices);
	if (restoring.error != 0)
		return give_up(&restoring, restoring.list.count);
	left_out_free(&restoring);
	if (restoring.list.count != 0)
		log_line("taken up from the last agent: %u sessions", restoring.list.count);
	if (restoring.sessions_left_out + restoring.cells_left_out != 0)
		log_line("the checkpoint is damaged in part: left out %u sessions, %u metrics",
			 restoring.sessions_left_out, restoring.cells_left_out);
	if (restoring.totals_over != 0)
		log_line("%u metrics of the last agent are more than --max-metrics: overflow",
			 restoring.totals_over);
	session_list_free(&restoring.list);
	agent->persist.agent.incarnation++;
	persist_agent(&agent->persist);
	store_commit(&agent->persist.store);
	return 0;
}
