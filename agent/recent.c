/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "encode_metric.h"
#include "put.h"
#include "recent.h"

/* Sums over sessions, of one timer. */
struct sum {
	uint64_t sessions;
	uint64_t count;
	uint64_t max;
	uint64_t judged;
	uint64_t met;
	double mean;
	double p50;
	double p95;
	double p99;
};

static uint32_t kept(const struct recent *recent)
{
	return recent->finished < RECENT_SESSIONS ? (uint32_t)recent->finished : RECENT_SESSIONS;
}

static bool worth_keeping(const struct metric *metric)
{
	return metric->timer && metric->total != NULL && metric->committed.lifetime.count != 0;
}

static void timer_fill(struct recent_timer *timer, const struct metric *metric)
{
	static const double wanted[3] = {0.5, 0.95, 0.99};
	const struct series *series = &metric->committed;
	double found[3];

	histogram_quantiles(&series->histogram, series->lifetime.min, series->lifetime.max, wanted,
			    found, 3);
	*timer = (struct recent_timer){
		.total = metric->total->number,
		.count = series->lifetime.count,
		.max = series->lifetime.max,
		.mean = lifetime_mean(&series->lifetime),
		.p50 = found[0],
		.p95 = found[1],
		.p99 = found[2],
		.judged = metric->entry.target != 0,
		.met = series_target_met(series, &metric->entry),
	};
}

void recent_add(struct recent *recent, const struct session *session)
{
	struct recent_session *entry = &recent->sessions[recent->finished++ % RECENT_SESSIONS];
	const struct session_committed *committed = &session->committed;
	uint64_t start_ns = session->consumer->header.start_time_unix_ns;
	uint32_t count = 0;

	free(entry->timers);
	*entry = (struct recent_session){.lost = committed->state == SESSION_LOST};
	if (committed->end_time_unix_ns > start_ns)
		entry->duration_ns = committed->end_time_unix_ns - start_ns;
	for (uint32_t i = 0; i < committed->metric_count; i++)
		count += worth_keeping(session->metrics[i]);
	count = count < RECENT_TIMERS ? count : RECENT_TIMERS;
	entry->timers = calloc(count + 1u, sizeof *entry->timers);
	if (entry->timers == NULL)
		return;
	for (uint32_t i = 0; entry->timer_count < count; i++)
		if (worth_keeping(session->metrics[i]))
			timer_fill(&entry->timers[entry->timer_count++], session->metrics[i]);
}

void recent_free(struct recent *recent)
{
	for (uint32_t i = 0; i < RECENT_SESSIONS; i++)
		free(recent->sessions[i].timers);
}

/* ---- saved: the number of all, then of each session kept its head and its timers ---- */

struct saved_session {
	uint64_t duration_ns;
	uint32_t lost;
	uint32_t timer_count;
};

size_t recent_saved_size(const struct recent *recent)
{
	size_t size = sizeof recent->finished;

	for (uint32_t i = 0; i < kept(recent); i++)
		size += sizeof(struct saved_session) +
			recent->sessions[i].timer_count * sizeof(struct recent_timer);
	return size;
}

void recent_save(const struct recent *recent, void *bytes)
{
	uint8_t *at = bytes;

	memcpy(at, &recent->finished, sizeof recent->finished);
	at += sizeof recent->finished;
	for (uint32_t i = 0; i < kept(recent); i++) {
		const struct recent_session *session = &recent->sessions[i];
		struct saved_session saved = {session->duration_ns, session->lost,
					      session->timer_count};

		memcpy(at, &saved, sizeof saved);
		at += sizeof saved;
		memcpy(at, session->timers, session->timer_count * sizeof *session->timers);
		at += session->timer_count * sizeof *session->timers;
	}
}

static bool timer_sound(const struct recent_timer *timer, const struct totals *totals)
{
	uint8_t judged, met;

	/* A bool that is neither must not be read as one. */
	memcpy(&judged, &timer->judged, 1);
	memcpy(&met, &timer->met, 1);
	return timer->total < totals->count && judged <= 1 && met <= 1 && isfinite(timer->mean) &&
	       isfinite(timer->p50) && isfinite(timer->p95) && isfinite(timer->p99);
}

static int session_load(struct recent_session *session, const uint8_t **at, size_t *left,
			const struct totals *totals)
{
	struct saved_session saved;
	size_t size;

	if (*left < sizeof saved)
		return -EBADMSG;
	memcpy(&saved, *at, sizeof saved);
	*at += sizeof saved;
	*left -= sizeof saved;
	size = saved.timer_count * sizeof *session->timers;
	if (saved.timer_count > RECENT_TIMERS || *left < size)
		return -EBADMSG;
	*session =
		(struct recent_session){.lost = saved.lost != 0, .duration_ns = saved.duration_ns};
	session->timers = calloc(saved.timer_count + 1u, sizeof *session->timers);
	if (session->timers == NULL)
		return -ENOMEM;
	session->timer_count = saved.timer_count;
	memcpy(session->timers, *at, size);
	*at += size;
	*left -= size;
	for (uint32_t i = 0; i < saved.timer_count; i++)
		if (!timer_sound(&session->timers[i], totals))
			return -EBADMSG;
	return 0;
}

int recent_load(struct recent *recent, const void *bytes, size_t size, const struct totals *totals)
{
	const uint8_t *at = bytes;
	int error = 0;

	if (size < sizeof recent->finished)
		return -EBADMSG;
	memcpy(&recent->finished, at, sizeof recent->finished);
	at += sizeof recent->finished;
	size -= sizeof recent->finished;
	for (uint32_t i = 0; error == 0 && i < kept(recent); i++)
		error = session_load(&recent->sessions[i], &at, &size, totals);
	if (error != 0) {
		recent_free(recent);
		memset(recent, 0, sizeof *recent);
	}
	return error;
}

static void sum_add(struct sum *sum, const struct recent_timer *timer)
{
	sum->sessions++;
	sum->count += timer->count;
	sum->max = timer->max > sum->max ? timer->max : sum->max;
	sum->judged += timer->judged;
	sum->met += timer->judged && timer->met;
	sum->mean += timer->mean;
	sum->p50 += timer->p50;
	sum->p95 += timer->p95;
	sum->p99 += timer->p99;
}

/* The sums of all totals, by their numbers; NULL without memory. */
static struct sum *sums_make(const struct recent *recent, const struct totals *totals)
{
	struct sum *sums = calloc(totals->count + 1u, sizeof *sums);

	for (uint32_t i = 0; sums != NULL && i < kept(recent); i++) {
		const struct recent_session *session = &recent->sessions[i];

		for (uint32_t k = 0; k < session->timer_count; k++)
			sum_add(&sums[session->timers[k].total], &session->timers[k]);
	}
	return sums;
}

static void timer_encode(msgpack_packer *packer, const struct total *total, const struct sum *sum)
{
	double sessions = (double)sum->sessions;

	msgpack_pack_map(packer, sum->judged != 0 ? 11 : 9);
	pack_string(packer, "name", total->entry.name);
	pack_string(packer, "unit", total->entry.unit);
	pack_u64(packer, "sessions", sum->sessions);
	pack_u64(packer, "count", sum->count);
	pack_real(packer, "mean", sum->mean / sessions);
	pack_real(packer, "p50", sum->p50 / sessions);
	pack_real(packer, "p95", sum->p95 / sessions);
	pack_real(packer, "p99", sum->p99 / sessions);
	pack_u64(packer, "max", sum->max);
	if (sum->judged != 0) {
		pack_u64(packer, "judged", sum->judged);
		pack_u64(packer, "met", sum->met);
	}
}

static void timers_encode(msgpack_packer *packer, const struct sum *sums,
			  const struct totals *totals)
{
	uint32_t timers = 0, count = sums != NULL ? totals->count : 0;

	for (uint32_t i = 0; i < count; i++)
		timers += sums[i].sessions != 0;
	msgpack_pack_array(packer, timers);
	for (uint32_t i = 0; i < count; i++)
		if (sums[i].sessions != 0)
			timer_encode(packer, totals->all[i], &sums[i]);
}

void recent_encode(msgpack_packer *packer, const struct recent *recent, const struct totals *totals)
{
	uint32_t count = kept(recent), lost = 0;
	struct sum *sums = sums_make(recent, totals);
	double duration_ns = 0;

	if (sums == NULL)
		put_buffer_cut(packer);
	for (uint32_t i = 0; i < count; i++) {
		lost += recent->sessions[i].lost;
		duration_ns += (double)recent->sessions[i].duration_ns;
	}
	msgpack_pack_map(packer, count != 0 ? 4 : 3);
	pack_u64(packer, "sessions", count);
	pack_u64(packer, "lost", lost);
	if (count != 0)
		pack_real(packer, "duration_ns", duration_ns / count);
	pack_text(packer, "metrics");
	timers_encode(packer, sums, totals);
	free(sums);
}
