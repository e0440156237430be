/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "one_session.h"
#include "put.h"
#include "script.h"

#define TOTALS_MAX 8 /* fewer than some sessions have metrics: the rest overflows */
#define WINDOW 100

void one_session_begin(struct one_session *one)
{
	memset(one, 0, sizeof *one);
	strcpy(one->agent.options.bus, "fuzz");
	one->agent.options.interval_ns = 1000000000u;
	rejects_init(&one->agent.rejects);
	promise(totals_init(&one->agent.totals, TOTALS_MAX, WINDOW) == 0);
	one->drain = (struct drain){
		.counter_scale = tick_scale_of(1000000000u),
		.now_ticks = 1ull << 50,
		.now_ns = 1ull << 50,
		.now_unix_ns = 1ull << 60,
		.window_default = WINDOW,
	};
}

int one_session_attach(struct one_session *one, const char *segment)
{
	struct shmbus_consumer *consumer;
	int error;

	if (one->session != NULL)
		return -EBUSY;
	consumer = malloc(sizeof *consumer);
	promise(consumer != NULL);
	error = shmbus_consumer_attach(consumer, segment);
	if (error != 0) {
		free(consumer);
		return error;
	}
	one->session = session_new(consumer, 1);
	promise(one->session != NULL);
	return 0;
}

void one_session_drain(struct one_session *one, bool final)
{
	struct session *session = one->session;

	one->drain.samples = 0;
	one->drain.fullest = 0;
	if (session->live.dying)
		return;
	if (final)
		while (!drain_last(&one->drain, session))
			;
	else if (!session->live.fault)
		drain_session(&one->drain, session);
	if (!final && !session->live.fault)
		return;
	drain_sample_slots(session);
	session->live.state = final ? SESSION_ENDED : SESSION_LOST;
	session->live.dirty = true;
	session->live.dying = true;
}

static void slices_forward(struct slices *slices, uint64_t second, struct series *series)
{
	if (slices->began_s == 0)
		slices_begin(slices, second - 1, NULL, NULL);
	slices_advance(slices, second, &series->histogram, &series->lifetime,
		       lifetime_peak_take(&series->lifetime));
}

void one_session_checkpoint(struct one_session *one)
{
	struct totals *totals = &one->agent.totals;
	struct session *session = one->session;
	uint64_t second = one->drain.now_ns / 1000000000u;

	if (!session->live.dying)
		drain_sample_slots(session);
	checkpoint_session(session, totals, &one->numbers);
	checkpoint_hand_over(&one->agent.checkpoint, &one->numbers);
	for (uint32_t i = 0; i < session->committed.metric_count; i++)
		if (session->metrics[i]->timer)
			slices_forward(&session->metrics[i]->slices, second,
				       &session->metrics[i]->committed);
	for (uint32_t i = 0; i < totals->count; i++)
		if (totals->all[i]->entry.kind == SHMBUS_TIMER)
			slices_forward(&totals->all[i]->slices, second, &totals->all[i]->series);
	totals_gauges_reset(totals);
	if (session->committed.state < SESSION_ENDED)
		totals_gauges_merge(totals, session);
}

void one_session_document(struct one_session *one, msgpack_sbuffer *out)
{
	static struct window_scratch *scratch;
	struct encode_agent numbers = {
		.seq = 7,
		.time_unix_ns = one->drain.now_unix_ns,
		.interval_ns = 1000000000u,
		.sessions = one->session != NULL,
	};
	uint8_t age[ENCODE_AGE_SIZE];
	msgpack_packer packer;
	struct put_buffer prefix = {0}, body = {0};
	uint32_t keys;

	if (scratch == NULL)
		scratch = window_scratch_new(SHMBUS_WINDOW_MAX);
	promise(scratch != NULL);
	msgpack_packer_init(&packer, &prefix, put_buffer_write);
	encode_prefix(&packer, &one->agent, &numbers, scratch);
	promise(!prefix.cut);
	msgpack_sbuffer_write(out, prefix.bytes.data, prefix.bytes.size);
	msgpack_sbuffer_destroy(&prefix.bytes);
	if (one->session == NULL)
		return;
	msgpack_packer_init(&packer, &body, put_buffer_write);
	keys = encode_session(&packer, one->session, scratch);
	encode_session_age(age, keys, 5);
	msgpack_sbuffer_write(out, (const char *)age, sizeof age);
	promise(!body.cut);
	msgpack_sbuffer_write(out, body.bytes.data, body.bytes.size);
	msgpack_sbuffer_destroy(&body.bytes);
}

void one_session_end(struct one_session *one)
{
	if (one->session != NULL) {
		shmbus_consumer_detach(one->session->consumer);
		session_free(one->session);
	}
	totals_free(&one->agent.totals);
	one->session = NULL;
}
