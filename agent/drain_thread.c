/* SPDX-License-Identifier: MIT */
/* drain_thread.c - when to drain, when to make a checkpoint and to commit it, which sessions are
 * finished. */
#include <stdlib.h>

#include "agent.h"
#include "drain.h"

#define CALM_PASSES 16    /* before the period grows */
#define IDLE_FACTOR_MAX 8 /* times the configured period, while nothing comes */
#define CALM_FACTOR_MAX 8 /* the same, while no ring gets 1 % full in a pass */
#define BUSY_PERCENT 25   /* a ring this full in one pass halves the period */
#define PERIOD_MIN_NS 1000000u

struct pace {
	uint64_t period_ns;
	uint32_t calm_passes;
};

static void pace_grow(struct pace *pace, uint64_t max_ns)
{
	if (++pace->calm_passes < CALM_PASSES)
		return;
	pace->calm_passes = 0;
	pace->period_ns = 2 * pace->period_ns < max_ns ? 2 * pace->period_ns : max_ns;
}

/* Seldom while little comes: a pass costs more than the samples that it finds then. A ring that
 * does not get 1 % full still holds a hundred times as much. At once back to the period when more
 * comes, oftener while rings fill fast. */
static void pace_adapt(struct pace *pace, const struct drain *drain, uint64_t configured_ns)
{
	uint64_t calm_ns = configured_ns * CALM_FACTOR_MAX;

	if (drain->samples == 0) {
		pace_grow(pace, configured_ns * IDLE_FACTOR_MAX);
		return;
	}
	if (drain->cut) {
		pace->period_ns = PERIOD_MIN_NS;
	} else if (drain->fullest == 0 && pace->period_ns >= configured_ns) {
		if (pace->period_ns < calm_ns)
			pace_grow(pace, calm_ns);
		else
			pace->period_ns = calm_ns;
		return;
	} else if (drain->fullest > BUSY_PERCENT) {
		pace->period_ns /= 2;
	} else if (drain->fullest < BUSY_PERCENT / 4) {
		pace->period_ns *= 2;
	}
	pace->calm_passes = 0;
	if (pace->period_ns > configured_ns)
		pace->period_ns = configured_ns;
	if (pace->period_ns < PERIOD_MIN_NS)
		pace->period_ns = PERIOD_MIN_NS;
}

static void state_set(struct session *session, enum session_state state)
{
	if (session->live.state == state)
		return;
	session->live.state = state;
	session->live.dirty = DIRTY_ALL;
}

/* The reaper saw the producer's death before it set DYING, so what is published now is all. */
static void finish(struct agent *agent, struct drain *drain, struct session *session)
{
	bool closed;

	if (!drain_last(drain, session))
		return;
	drain_sample_slots(session);
	closed = atomic_load_explicit(&session->closed, memory_order_relaxed);
	state_set(session, closed ? SESSION_ENDED : SESSION_LOST);
	/* With the state, so that one snapshot shows both. */
	atomic_fetch_add_explicit(closed ? &agent->sessions_ended : &agent->sessions_lost, 1,
				  memory_order_relaxed);
	if (session->live.end_time_unix_ns == 0)
		session->live.end_time_unix_ns = drain->now_unix_ns;
	session->live.dying = true;
	session->live.hungry = true;
	drain->hungry = true;
}

/* ---- commits ---- */

/* The reaper's turn: nothing here touches the segment any more. */
static void hand_to_reaper(struct agent *agent, struct session *session, enum session_stage stage)
{
	/* release: pairs with the reaper's load. */
	atomic_store_explicit(&session->stage, stage, memory_order_release);
	atomic_store_explicit(&agent->finished, true, memory_order_release);
	event_signal(&agent->reap_event);
}

/* At a tick, while the publisher waits: what becomes of sessions that have finished. True for
 * those that are no more than a document now. */
static bool finished_look(struct agent *agent, struct session *session)
{
	if (atomic_load_explicit(&session->stage, memory_order_acquire) == SESSION_EXPIRED) {
		persist_forget(&agent->persist, session);
		hand_to_reaper(agent, session, SESSION_REMOVED);
	} else if (session->published.final && session->metrics != NULL) {
		persist_finish(&agent->persist, session);
		session_forget(session);
		free(session->published.document);
		session->published.document = NULL;
		/* release: the reaper may let it go; pairs with expired() in reap.c. */
		atomic_store_explicit(&session->forgotten, true, memory_order_release);
	}
	return session->metrics == NULL;
}

static void session_save(struct agent *agent, struct session *session, bool windows)
{
	if (session->live.dirty & DIRTY_SAVE)
		persist_session(&agent->persist, session);
	if (windows)
		persist_slices(&agent->persist, session);
}

/* Each second the time windows of a tenth of all; of the seconds since the last time, where ticks
 * have left some out. */
static bool windows_due(const struct persist *persist, uint64_t second, uint64_t key)
{
	return (second + 10 - key % 10) % 10 < second - persist->second;
}

static void bus_save(struct agent *agent, const struct drain *drain, uint64_t second)
{
	struct persist *persist = &agent->persist;
	struct totals *totals = &agent->totals;

	for (uint32_t i = 0; i < totals->count; i++)
		if (windows_due(persist, second, totals->all[i]->number))
			persist_total_slices(persist, totals->all[i]);
	persist_totals(persist, totals);
	persist_recent(persist, &agent->recent);
	persist->agent.clock_backward_total = drain->clock_backward_total;
	persist_agent(persist);
	persist->second = second;
}

/* All sessions, at a tick; or those whose producers need slots back, whatever the publisher
 * does. Slots are given back after the commit, and a segment is let go of after it. */
static void commit(struct agent *agent, struct drain *drain, const struct session_list *list,
		   bool all)
{
	uint64_t second = drain->now_ns / 1000000000u;

	for (uint32_t i = 0; i < list->count; i++) {
		struct session *session = list->sessions[i];

		if (all && finished_look(agent, session))
			continue;
		if (all || session->live.hungry)
			session_save(agent, session,
				     all && windows_due(&agent->persist, second, session->key));
	}
	if (all)
		bus_save(agent, drain, second);
	store_commit(&agent->persist.store);
	for (uint32_t i = 0; i < list->count; i++) {
		struct session *session = list->sessions[i];
		enum session_stage stage =
			atomic_load_explicit(&session->stage, memory_order_acquire);

		if (stage > SESSION_DYING || !(all || session->live.hungry))
			continue;
		drain_give_back(session);
		if (session->live.dying)
			hand_to_reaper(agent, session, SESSION_DRAINED);
	}
	drain->hungry = false;
}

static void pass_begin(struct drain *drain)
{
	drain->samples = 0;
	drain->fullest = 0;
	drain->cut = false;
	drain->now_ns = clock_monotonic_ns();
	drain->now_unix_ns = clock_unix_ns();
	drain->now_ticks = counter_read();
}

static void pass(struct agent *agent, struct drain *drain, const struct session_list *list)
{
	pass_begin(drain);
	for (uint32_t i = 0; i < list->count; i++) {
		struct session *session = list->sessions[i];
		/* acquire: with DYING comes what the reaper saw before; pairs with reap.c. */
		enum session_stage stage =
			atomic_load_explicit(&session->stage, memory_order_acquire);

		drain_fetch(list->sessions, list->count, i);
		if (session->live.dying)
			continue;
		if (stage == SESSION_DYING)
			finish(agent, drain, session);
		else if (stage == SESSION_LIVE && !session->live.fault)
			drain_session(drain, session);
		if (session->live.fault && stage == SESSION_LIVE) {
			rejects_add(&agent->rejects, REJECT_FAULT, session->consumer->segment,
				    session->live.reason);
			finish(agent, drain, session);
		}
	}
}

static void staleness_look(const struct agent *agent, struct session *session, uint64_t now_ns)
{
	bool stale = now_ns - session->live.sign_ns > agent->options.stale_after_ns &&
		     now_ns > session->live.sign_ns;

	state_set(session, stale ? SESSION_STALE : SESSION_RUNNING);
}

/* Slots, staleness, commit: for all sessions, then the publisher's turn. */
static void checkpoint_make(struct agent *agent, struct drain *drain,
			    const struct session_list *list, struct checkpoint_numbers *numbers)
{
	for (uint32_t i = 0; i < list->count; i++) {
		struct session *session = list->sessions[i];
		enum session_stage stage =
			atomic_load_explicit(&session->stage, memory_order_acquire);

		if (stage == SESSION_LIVE) {
			drain_sample_slots(session);
			staleness_look(agent, session, drain->now_ns);
		}
		checkpoint_session(session, &agent->totals, numbers);
		session->committed.sign_ns = session->live.sign_ns;
		session->committed.known = true;
	}
	numbers->sessions_ended =
		atomic_load_explicit(&agent->sessions_ended, memory_order_relaxed);
	numbers->sessions_lost = atomic_load_explicit(&agent->sessions_lost, memory_order_relaxed);
	commit(agent, drain, list, true);
	numbers->checkpoint_bytes = agent->persist.store.size;
	numbers->checkpoint_failures = agent->persist.failures;
	numbers->clock_backward_total = drain->clock_backward_total;
	checkpoint_hand_over(&agent->checkpoint, numbers);
	numbers->drain_lag_ns = 0;
	event_signal(&agent->publish_event);
}

/* Windows have slices of a second, so the checkpoint comes at least once a second. */
static uint64_t tick_ns(const struct options *options)
{
	return options->interval_ns < 1000000000u ? options->interval_ns : 1000000000u;
}

/* Before nobody drains for a while: what has come until now is read and saved, so that producers
 * have all of their rings until the next agent begins. */
static void leave(struct agent *agent, struct drain *drain, struct session_list *list)
{
	rcu_read_lock();
	session_list_update(list, &agent->registry);
	pass(agent, drain, list);
	for (uint32_t i = 0; i < list->count; i++) {
		struct session *session = list->sessions[i];

		if (atomic_load_explicit(&session->stage, memory_order_acquire) == SESSION_LIVE &&
		    (session->live.dirty & DIRTY_SAVE))
			session->live.hungry = true;
	}
	commit(agent, drain, list, false);
	rcu_read_unlock();
}

void *drain_thread(void *data)
{
	struct agent *agent = data;
	struct drain drain = {.window_default = agent->options.window};
	struct session_list list = SESSION_LIST_EMPTY;
	struct pace pace = {.period_ns = agent->options.drain_ns};
	struct checkpoint_numbers numbers = agent->checkpoint.numbers; /* as restored */
	uint64_t tick = tick_ns(&agent->options), next_tick, last_pass = 0;

	rcu_register_thread();
	counter_wait(&agent->counter);
	drain.clock_backward_total = numbers.clock_backward_total;
	next_tick = clock_monotonic_ns();
	while (!agent_stopping(agent)) {
		uint32_t seen = event_value(&agent->drain_event);
		uint64_t wake;

		counter_refine(&agent->counter, clock_monotonic_ns());
		drain.counter_scale = agent->counter.scale;
		rcu_read_lock();
		session_list_update(&list, &agent->registry);
		pass(agent, &drain, &list);
		if (drain.hungry)
			commit(agent, &drain, &list, false);
		if (last_pass != 0 && drain.now_ns - last_pass > numbers.drain_lag_ns)
			numbers.drain_lag_ns = drain.now_ns - last_pass;
		last_pass = drain.now_ns;
		pace_adapt(&pace, &drain, agent->options.drain_ns);
		numbers.drain_period_ns = pace.period_ns;
		if (drain.now_ns >= next_tick) {
			/* One that lacks sessions would be published without them. */
			if (session_list_whole(&list) && checkpoint_possible(&agent->checkpoint))
				checkpoint_make(agent, &drain, &list, &numbers);
			else
				numbers.overruns++;
			next_tick += tick;
			if (next_tick <= drain.now_ns) /* suspended, or starved: no catching up */
				next_tick = drain.now_ns + tick;
		}
		rcu_read_unlock();
		wake = drain.now_ns + pace.period_ns;
		event_wait(&agent->drain_event, seen, wake < next_tick ? wake : next_tick);
	}
	leave(agent, &drain, &list);
	session_list_free(&list);
	rcu_unregister_thread();
	return NULL;
}
