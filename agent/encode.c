/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <unistd.h>

#include "ahead.h"
#include "derive.h"
#include "encode.h"
#include "encode_metric.h"
#include "log.h"

static const char *const state_names[] = {"running", "stale", "ended", "lost"};

void encode_session_age(uint8_t out[ENCODE_AGE_SIZE], uint32_t keys, uint64_t age_ns)
{
	/* map 16, the key, uint 64: 3 + 7 + 9 bytes whatever the values. */
	out[0] = 0xde;
	out[1] = (uint8_t)(keys >> 8);
	out[2] = (uint8_t)keys;
	out[3] = 0xa6;
	memcpy(out + 4, "age_ns", 6);
	out[10] = 0xcf;
	for (int i = 0; i < 8; i++)
		out[11 + i] = (uint8_t)(age_ns >> (56 - 8 * i));
}

static void encode_labels(msgpack_packer *packer, const struct session_committed *committed)
{
	pack_text(packer, "labels");
	msgpack_pack_map(packer, committed->label_count);
	for (uint32_t i = 0; i < committed->label_count; i++)
		pack_string(packer, committed->labels[i].key, committed->labels[i].value);
}

static void encode_memory(msgpack_packer *packer, const struct session *session)
{
	uint64_t rss = atomic_load_explicit(&session->process.rss_bytes, memory_order_relaxed);
	bool shown = rss != 0 && session->committed.state < SESSION_ENDED;
	bool asked = (session->committed.flags & SHMBUS_FLAG_LOCK_ASKED) != 0;
	bool refused = (session->committed.flags & SHMBUS_FLAG_LOCK_FAILED) != 0;

	pack_text(packer, "memory");
	msgpack_pack_map(packer, 2 + asked + shown);
	pack_u64(packer, "shm_bytes", session->committed.shm_bytes);
	pack_u64(packer, "agent_bytes", session->published.bytes);
	if (asked)
		pack_bool(packer, "locked", !refused);
	if (shown)
		pack_u64(packer, "process_rss_bytes", rss);
}

static void encode_writers(msgpack_packer *packer, const struct session *session)
{
	pack_text(packer, "writers");
	msgpack_pack_array(packer, session->committed.writer_count);
	for (uint32_t i = 0; i < session->committed.writer_count; i++) {
		const struct writer_name *name = &session->writers[i]->name;
		const struct writer_account *account = &session->writers[i]->committed;

		msgpack_pack_map(packer, 9);
		pack_u64(packer, "id", i);
		pack_string(packer, "name", name->text);
		pack_u64(packer, "capacity", name->capacity);
		pack_u64(packer, "used", account->used);
		pack_u64(packer, "high_water", account->high_water);
		pack_u64(packer, "recorded", account->aggregated + account->used);
		pack_u64(packer, "aggregated", account->aggregated);
		pack_u64(packer, "before", account->before);
		pack_text(packer, "dropped");
		msgpack_pack_map(packer, 2);
		pack_u64(packer, "full", account->dropped_full);
		pack_u64(packer, "head", account->dropped_head);
	}
}

static void cycle_view(const struct session *session, const struct metric *metric,
		       struct metric_view *view)
{
	uint32_t count = session->committed.metric_count;
	uint32_t wait = metric->entry.wait_metric, xruns = metric->entry.xruns_metric;

	if (metric->entry.rate_hz == 0)
		return;
	view->quantum = metric->committed_quantum;
	if (wait < count && session->metrics[wait]->timer)
		view->wait = &session->metrics[wait]->committed;
	if (xruns < count && session->metrics[xruns]->entry.kind == SHMBUS_COUNTER) {
		view->has_xruns = true;
		view->xruns = session->metrics[xruns]->bits;
	}
}

static void session_metric(msgpack_packer *packer, const struct session *session,
			   struct metric *metric, struct window_scratch *scratch)
{
	struct metric_view view = {
		.entry = &metric->entry,
		.series = &metric->committed,
		.slices = session->committed.state < SESSION_ENDED ? &metric->slices : NULL,
		.deadline = metric->committed_period_ns != 0,
		.period_ns = metric->committed_period_ns,
		.present = metric->present,
		.real = metric->entry.real,
		.integer = (int64_t)metric->bits,
	};

	if (view.real)
		memcpy(&view.number, &metric->bits, sizeof view.number);
	if (metric->timer)
		cycle_view(session, metric, &view);
	encode_metric(packer, &view, scratch);
}

static void encode_metrics(msgpack_packer *packer, const struct session *session,
			   struct window_scratch *scratch)
{
	pack_text(packer, "metrics");
	msgpack_pack_array(packer, session->committed.metric_count);
	for (uint32_t i = 0; i < session->committed.metric_count; i++) {
		ahead_window(session, i + 1);
		session_metric(packer, session, session->metrics[i], scratch);
	}
}

static void encode_derived(msgpack_packer *packer, const struct session *session)
{
	pack_text(packer, "derived");
	msgpack_pack_array(packer, session->committed.derived_count);
	for (uint32_t i = 0; i < session->committed.derived_count; i++) {
		double value;
		bool known = derive(session, &session->derived[i], &value);

		msgpack_pack_map(packer, known ? 2 : 1);
		pack_string(packer, "name", session->derived[i].name);
		if (known)
			pack_real(packer, "value", value);
	}
}

uint32_t encode_session(msgpack_packer *packer, const struct session *session,
			struct window_scratch *scratch)
{
	const struct session_committed *committed = &session->committed;
	const struct shmbus_header *header = &session->consumer->header;
	bool finished = committed->state >= SESSION_ENDED;
	bool faulty = committed->reason[0] != '\0';
	uint32_t ppm = atomic_load_explicit(&session->process.cpu_ppm, memory_order_relaxed);
	uint32_t keys = 17;

	pack_string(packer, "id", header->id);
	pack_string(packer, "service", header->service);
	pack_string(packer, "segment", session->consumer->segment);
	encode_labels(packer, committed);
	pack_text(packer, "pid");
	msgpack_pack_int64(packer, header->pid);
	pack_u64(packer, "uid", session->consumer->uid);
	pack_u64(packer, "incarnation", header->incarnation);
	pack_string(packer, "state", state_names[committed->state]);
	pack_u64(packer, "start_time_unix_ns", header->start_time_unix_ns);
	encode_memory(packer, session);
	pack_u64(packer, "aggregated_total", committed->aggregated);
	pack_u64(packer, "dropped_total", committed->dropped);
	pack_u64(packer, "overflow_total", committed->overflow);
	encode_writers(packer, session);
	encode_metrics(packer, session, scratch);
	encode_derived(packer, session);
	if (finished) {
		pack_u64(packer, "end_time_unix_ns", committed->end_time_unix_ns);
		keys++;
	} else if (session->process.sampled_ns != 0) {
		pack_real(packer, "cpu_ratio", ppm / 1e6);
		keys++;
	}
	if (faulty) {
		pack_string(packer, "reason", committed->reason);
		keys++;
	}
	return keys;
}

/* ---- the prefix ---- */

static void encode_rejects(msgpack_packer *packer, struct rejects *rejects)
{
	struct rejects_view view;
	uint32_t causes = 0;
	uint64_t kept;

	rejects_read(rejects, &view);
	for (int i = 0; i < REJECT_CAUSES; i++)
		causes += view.counts[i] != 0;
	pack_text(packer, "rejected");
	msgpack_pack_map(packer, causes);
	for (int i = 0; i < REJECT_CAUSES; i++)
		if (view.counts[i] != 0)
			pack_u64(packer, reject_cause_names[i], view.counts[i]);
	kept = view.total < REJECTS_KEPT ? view.total : REJECTS_KEPT;
	pack_text(packer, "rejects");
	msgpack_pack_array(packer, kept);
	for (uint64_t i = view.total - kept; i < view.total; i++) {
		const struct reject *reject = &view.last[i % REJECTS_KEPT];

		msgpack_pack_map(packer, 2);
		pack_string(packer, "segment", reject->segment);
		pack_string(packer, "reason", reject->reason);
	}
}

static void encode_agent(msgpack_packer *packer, struct agent *agent,
			 const struct encode_agent *numbers)
{
	const struct checkpoint_numbers *checkpoint = &agent->checkpoint.numbers;

	pack_text(packer, "agent");
	msgpack_pack_map(packer, 24);
	pack_string(packer, "version", SHMBUS_VERSION_STRING);
	pack_u64(packer, "incarnation", agent->persist.agent.incarnation);
	pack_u64(packer, "pid", (uint64_t)getpid());
	pack_u64(packer, "start_time_unix_ns", agent->start_time_unix_ns);
	pack_real(packer, "cpu_ratio", numbers->cpu_ratio);
	pack_u64(packer, "rss_bytes", numbers->rss_bytes);
	pack_u64(packer, "memory_bytes", numbers->memory_bytes);
	pack_u64(packer, "samples_total", checkpoint->samples_total);
	pack_u64(packer, "dropped_total", checkpoint->dropped_total);
	pack_u64(packer, "drain_lag_ns", numbers->drain_lag_ns);
	pack_u64(packer, "drain_period_ns", checkpoint->drain_period_ns);
	pack_u64(packer, "clock_backward_total", checkpoint->clock_backward_total);
	pack_u64(packer, "overruns", checkpoint->overruns);
	pack_u64(packer, "checkpoint_bytes", checkpoint->checkpoint_bytes);
	pack_u64(packer, "checkpoint_failures", checkpoint->checkpoint_failures);
	pack_u64(packer, "publish_ns", numbers->publish_ns);
	pack_u64(packer, "publish_bytes", numbers->publish_bytes);
	pack_u64(packer, "publish_failures", numbers->publish_failures);
	pack_u64(packer, "encoded_sessions", numbers->encoded_sessions);
	pack_u64(packer, "scans", atomic_load_explicit(&agent->scans, memory_order_relaxed));
	pack_u64(packer, "event_overflows",
		 atomic_load_explicit(&agent->event_overflows, memory_order_relaxed));
	pack_u64(packer, "log_lost", log_lost());
	encode_rejects(packer, &agent->rejects);
}

/* The nearest integer of 64 bits towards 0. */
static int64_t integer_of(double value)
{
	if (value >= 0x1p63)
		return INT64_MAX;
	return value > -0x1p63 ? (int64_t)value : INT64_MIN;
}

/* A sum of gauges that no double can hold is absent. */
static void total_metric(msgpack_packer *packer, struct total *total,
			 struct window_scratch *scratch)
{
	bool counter = total->entry.kind == SHMBUS_COUNTER;
	bool whole = total->entry.kind == SHMBUS_UPDOWN;
	double merged = total->merged;
	struct metric_view view = {
		.entry = &total->entry,
		.series = &total->series,
		.slices = &total->slices,
		.deadline = total->entry.period_ns != 0 || total->entry.rate_hz != 0,
		.sessions = total->sessions,
		.states = total->states,
		.present = counter || (total->present != 0 && isfinite(merged)),
	};

	if (total->entry.merge == SHMBUS_MERGE_MEAN && total->present != 0 && !whole)
		merged /= (double)total->present;
	view.real = !counter && !whole;
	view.number = merged;
	view.integer = counter ? (int64_t)total->counter : integer_of(merged);
	encode_metric(packer, &view, scratch);
}

static void encode_totals(msgpack_packer *packer, struct agent *agent,
			  const struct encode_agent *numbers, struct window_scratch *scratch)
{
	const struct totals *totals = &agent->totals;

	pack_text(packer, "totals");
	msgpack_pack_map(packer, 8);
	pack_u64(packer, "sessions_total",
		 numbers->sessions_active + numbers->sessions_ended + numbers->sessions_lost);
	pack_u64(packer, "sessions_active", numbers->sessions_active);
	pack_u64(packer, "sessions_ended", numbers->sessions_ended);
	pack_u64(packer, "sessions_lost", numbers->sessions_lost);
	pack_u64(packer, "dropped_total", agent->checkpoint.numbers.dropped_total);
	pack_u64(packer, "overflow_total", totals->overflow);
	pack_text(packer, "recent");
	recent_encode(packer, &agent->recent, totals);
	pack_text(packer, "metrics");
	msgpack_pack_array(packer, totals->count);
	for (uint32_t i = 0; i < totals->count; i++)
		total_metric(packer, totals->all[i], scratch);
}

void encode_prefix(msgpack_packer *packer, struct agent *agent, const struct encode_agent *numbers,
		   struct window_scratch *scratch)
{
	msgpack_pack_map(packer, 8);
	pack_u64(packer, "schema", 1);
	pack_string(packer, "bus", agent->options.bus);
	pack_u64(packer, "seq", numbers->seq);
	pack_u64(packer, "time_unix_ns", numbers->time_unix_ns);
	pack_u64(packer, "interval_ns", numbers->interval_ns);
	encode_agent(packer, agent, numbers);
	encode_totals(packer, agent, numbers, scratch);
	pack_text(packer, "sessions");
	msgpack_pack_array(packer, numbers->sessions);
}
