/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "agent_script.h"
#include "document.h"
#include "one_session.h"
#include "script.h"

enum step {
	STEP_ATTACH,
	STEP_DRAIN,
	STEP_CHECKPOINT,
	STEP_DOCUMENT,
	STEP_TIME, /* seconds:u8 */
	STEP_FINISH,
	STEPS,
};

static struct one_session one;

/* ---- the account ---- */

static void histogram_check(const struct series *series)
{
	promise(histogram_count(&series->histogram) == series->lifetime.count);
	promise(series->violations <= series->lifetime.count);
	promise(series->deadline.misses <= series->lifetime.count);
	promise(series->deadline.run <= series->deadline.run_max &&
		series->deadline.run_max <= series->deadline.misses);
}

/* Every record that was read is a control, a sample of a timer, or overflow. */
static void live_check(const struct session *session)
{
	const struct session_live *live = &session->live;
	uint64_t aggregated = 0, folded = live->overflow;

	for (uint32_t i = 0; i < live->writer_count; i++) {
		const struct shmbus_consumer_writer *writer = session->consumer->writers[i];
		const struct writer_account *account = &session->writers[i]->live.account;

		promise(account->before + account->aggregated + account->controls ==
			writer->ring.position);
		promise(account->used <= writer->capacity);
		promise(account->high_water <= writer->capacity);
		aggregated += account->aggregated;
	}
	for (uint32_t i = 0; i < live->metric_count; i++) {
		if (!session->metrics[i]->timer)
			continue;
		histogram_check(&session->metrics[i]->live);
		folded += session->metrics[i]->live.lifetime.count;
	}
	promise(aggregated == folded);
}

/* The totals of the bus hold what the checkpoint has taken, and no more. */
static void committed_check(const struct session *session)
{
	const struct totals *totals = &one.agent.totals;
	uint64_t folded = session->committed.overflow, total = totals->overflow;

	for (uint32_t i = 0; i < session->committed.metric_count; i++) {
		if (!session->metrics[i]->timer)
			continue;
		histogram_check(&session->metrics[i]->committed);
		folded += session->metrics[i]->committed.lifetime.count;
	}
	for (uint32_t i = 0; i < totals->count; i++)
		if (totals->all[i]->entry.kind == SHMBUS_TIMER)
			total += totals->all[i]->series.lifetime.count;
	promise(folded == session->committed.aggregated);
	promise(total == session->committed.aggregated);
	promise(one.numbers.samples_total == session->committed.aggregated);
}

/* ---- the document ---- */

/* A value that is not finite is absent; no text brings a control to a terminal. */
static void value_check(const msgpack_object *value)
{
	switch (value->type) {
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		promise(isfinite(value->via.f64));
		break;
	case MSGPACK_OBJECT_STR:
		for (uint32_t i = 0; i < value->via.str.size; i++)
			promise((unsigned char)value->via.str.ptr[i] >= 0x20 &&
				value->via.str.ptr[i] != 0x7f);
		break;
	case MSGPACK_OBJECT_ARRAY:
		for (uint32_t i = 0; i < value->via.array.size; i++)
			value_check(&value->via.array.ptr[i]);
		break;
	case MSGPACK_OBJECT_MAP:
		for (uint32_t i = 0; i < value->via.map.size; i++) {
			promise(value->via.map.ptr[i].key.type == MSGPACK_OBJECT_STR);
			value_check(&value->via.map.ptr[i].val);
		}
		break;
	default:
		promise(value->type != MSGPACK_OBJECT_NIL);
	}
}

static void session_check(const msgpack_object *session)
{
	const msgpack_object *writers = NULL, *metrics = NULL;
	size_t writer_count = member_array(session, "writers", &writers);
	size_t metric_count = member_array(session, "metrics", &metrics);
	uint64_t aggregated = 0, folded = member_u64(session, "overflow_total", 0);

	for (size_t i = 0; i < writer_count; i++) {
		uint64_t taken = member_u64(&writers[i], "aggregated", UINT64_MAX);

		promise(member_u64(&writers[i], "recorded", 0) ==
			taken + member_u64(&writers[i], "used", UINT64_MAX));
		aggregated += taken;
	}
	for (size_t i = 0; i < metric_count; i++)
		folded += member_u64(&metrics[i], "count", 0);
	promise(aggregated == member_u64(session, "aggregated_total", UINT64_MAX));
	promise(aggregated == folded);
}

static void document_check(void)
{
	const msgpack_object *sessions = NULL;
	struct document document = {0};
	msgpack_sbuffer buffer;

	msgpack_sbuffer_init(&buffer);
	one_session_document(&one, &buffer);
	promise(document_decode(&document, (const uint8_t *)buffer.data, buffer.size) == 0);
	value_check(&document.root);
	promise(member_array(&document.root, "sessions", &sessions) == (one.session != NULL));
	if (one.session != NULL)
		session_check(sessions);
	document_free(&document);
	msgpack_sbuffer_destroy(&buffer);
}

/* ---- steps ---- */

static void time_pass(uint64_t seconds)
{
	one.drain.now_ns += seconds * 1000000000u;
	one.drain.now_ticks += seconds * 1000000000u;
	one.drain.now_unix_ns += seconds * 1000000000u;
}

/* An agent that starts anew, where there is one. */
static void attach(const char *segment)
{
	if (one.session != NULL) {
		one_session_end(&one);
		one_session_begin(&one);
	}
	one_session_attach(&one, segment);
}

static void step_run(enum step step, const char *segment)
{
	if (step == STEP_ATTACH)
		attach(segment);
	if (step == STEP_DOCUMENT)
		document_check();
	if (one.session == NULL)
		return;
	if (step == STEP_DRAIN || step == STEP_FINISH) {
		one_session_drain(&one, step == STEP_FINISH);
		live_check(one.session);
	}
	if (step == STEP_CHECKPOINT || step == STEP_FINISH) {
		one_session_checkpoint(&one);
		live_check(one.session);
		committed_check(one.session);
	}
}

void agent_script_run(const uint8_t *data, size_t size, int times)
{
	char segment[80];
	int step;

	script_guard_init();
	script_file("s.0123456789abcdef", segment);
	script_begin(data, size);
	one_session_begin(&one);
	while ((step = script_step(STEPS)) >= 0) {
		if (step == STEP_TIME)
			time_pass(script_number(1));
		for (int i = 0; i < times && step != STEP_TIME; i++)
			step_run((enum step)step, segment);
	}
	script_end();
	one_session_end(&one);
}
