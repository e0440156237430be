/* SPDX-License-Identifier: MIT */
/* test_gateway_history.c - frames that are kept for those who come back, and those that wait. */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "outbox.h"

#define SECOND UINT64_C(1000000000)

static size_t bytes;
static struct history history;
static struct resume resume;
static struct outbox outbox;

static void begin(void)
{
	history.bytes = &bytes;
}

static void end(void)
{
	history_clear(&history);
	outbox_clear(&outbox);
	cr_assert_eq(bytes, 0);
	cr_assert_eq(outbox.behind, 0);
	cr_assert_eq(outbox.behind_bytes, 0);
}

TestSuite(history, .init = begin, .fini = end);
TestSuite(outbox, .init = begin, .fini = end);

static struct frame *frame_make(uint64_t seq, size_t size)
{
	struct body body = BODY_EMPTY;
	char *text = malloc(size + 1);
	struct frame *frame;

	cr_assert_not_null(text);
	memset(text, ',', size);
	body_bytes(&body, text, size);
	free(text);
	frame = frame_new(FRAME_BUS, &body);
	cr_assert_not_null(frame);
	frame->seq = seq;
	frame->time_ns = seq * SECOND;
	return frame;
}

static void add(uint64_t seq, uint64_t missed, size_t size)
{
	struct frame *frame = frame_make(seq, size);

	frame->missed = missed;
	history_add(&history, frame);
	frame_drop(frame);
}

static void after(uint64_t last, uint64_t interval_ns)
{
	cr_assert(history_after(&history, last, interval_ns, 0, &resume));
}

Test(history, bounded_in_frames)
{
	for (uint64_t seq = 1; seq <= 1000; seq++)
		add(seq, 0, 10);
	cr_assert_eq(history.count, HISTORY_FRAMES_MAX);
	cr_assert_eq(bytes, HISTORY_FRAMES_MAX * 10);
	cr_assert_eq(history_newest(&history)->seq, 1000);
}

Test(history, bounded_in_bytes_together_with_others)
{
	struct history other = {.bytes = &bytes};
	struct frame *frame = frame_make(1, HISTORY_BYTES_MAX / 2);

	history_add(&other, frame);
	frame_drop(frame);
	for (uint64_t seq = 1; seq <= 20; seq++) {
		add(seq, 0, HISTORY_BYTES_MAX / 8);
		cr_assert_leq(bytes, HISTORY_BYTES_MAX);
	}
	cr_assert_eq(history.count, 4);
	/* The newest stays, however large it is: it is what a client begins with. */
	add(21, 0, 2 * HISTORY_BYTES_MAX);
	cr_assert_eq(history.count, 1);
	cr_assert_eq(history_newest(&history)->seq, 21);
	history_clear(&other);
}

Test(history, frames_live_as_long_as_they_are_held)
{
	struct frame *frame = frame_make(1, 10);

	history_add(&history, frame);
	history_clear(&history);
	cr_assert_eq(frame->references, 1);
	cr_assert_eq(frame->text[9], ',');
	frame_drop(frame);
}

Test(history, a_failed_body_is_no_frame)
{
	struct body body = BODY_EMPTY;

	body_text(&body, "x");
	body.failed = true;
	cr_assert_null(frame_new(FRAME_BUS, &body));
	cr_assert_null(body.data);
}

Test(history, what_came_after)
{
	for (uint64_t seq = 1; seq <= 5; seq++)
		add(seq, 0, 1);
	after(2, SECOND);
	cr_assert_eq(resume.count, 3);
	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(resume.frames[i]->seq, 3 + i);
		cr_assert_eq(resume.gaps[i], 0);
	}
	after(5, SECOND);
	cr_assert_eq(resume.count, 0);
	cr_assert_eq(resume.time_ns, 5 * SECOND);
}

Test(history, gaps_are_those_between_the_frames_that_it_gets)
{
	add(10, 0, 1);
	add(13, 2, 1);
	add(14, 2, 1);
	add(17, 4, 1);
	after(10, SECOND);
	cr_assert_eq(resume.count, 3);
	cr_assert_eq(resume.gaps[0], 2);
	cr_assert_eq(resume.gaps[1], 0);
	cr_assert_eq(resume.gaps[2], 2);
	after(10, 4 * SECOND); /* 14 and no more */
	cr_assert_eq(resume.count, 1);
	cr_assert_eq(resume.frames[0]->seq, 14);
	cr_assert_eq(resume.gaps[0], 2);
	cr_assert_eq(resume.missed, 2);
}

Test(history, no_denser_than_its_interval_but_for_the_final_one)
{
	for (uint64_t seq = 1; seq <= 9; seq++)
		add(seq, 0, 1);
	history_newest(&history)->final = true;
	after(1, 3 * SECOND);
	cr_assert_eq(resume.count, 3);
	cr_assert_eq(resume.frames[0]->seq, 4);
	cr_assert_eq(resume.frames[1]->seq, 7);
	cr_assert_eq(resume.frames[2]->seq, 9);
}

Test(history, too_late_for_what_is_gone)
{
	for (uint64_t seq = 10; seq <= 12; seq++)
		add(seq, 0, 1);
	after(9, SECOND); /* the first that is there follows */
	cr_assert_eq(resume.count, 3);
	cr_assert_eq(resume.gaps[0], 0);
	after(4, SECOND); /* 5 to 11 are not to be had as a whole */
	cr_assert_eq(resume.count, 1);
	cr_assert_eq(resume.frames[0]->seq, 12);
	cr_assert_eq(resume.gaps[0], 7);
}

Test(history, of_another_time)
{
	cr_assert_not(history_after(&history, 3, SECOND, 0, &resume));
	add(10, 0, 1);
	cr_assert_not(history_after(&history, 11, SECOND, 0, &resume));
	cr_assert_not(history_after(&history, UINT64_MAX, SECOND, 0, &resume));
	after(0, SECOND);
	cr_assert_eq(resume.gaps[0], 9);
}

/* ---- the outbox ---- */

static bool give(uint64_t seq, size_t size, uint64_t gap)
{
	struct frame *frame = frame_make(seq, size);
	bool taken = outbox_add(&outbox, frame, gap);

	frame_drop(frame);
	return taken;
}

/* All that there is, `step` bytes at a time; to be freed. */
static char *taken(size_t step)
{
	struct body body = BODY_EMPTY;
	const char *data;
	size_t size;

	while ((size = outbox_next(&outbox, &data)) != 0) {
		size = size > step ? step : size;
		body_bytes(&body, data, size);
		outbox_sent(&outbox, size);
	}
	body_bytes(&body, "", 1);
	cr_assert(!body.failed);
	return body.data;
}

Test(outbox, the_same_in_any_steps)
{
	for (size_t step = 1; step < 100; step++) {
		char *text;

		outbox.wire = WIRE_SSE;
		give(7, 3, 0);
		give(9, 1, 1);
		text = taken(step);
		cr_assert_str_eq(
			text,
			"event: bus\nid: 7\ndata: {\"type\":\"bus\",\"seq\":7,\"gap\":0,,,\n\n"
			"event: bus\nid: 9\ndata: {\"type\":\"bus\",\"seq\":9,\"gap\":1,\n\n");
		free(text);
		cr_assert(outbox_empty(&outbox));
		cr_assert_not(outbox_within(&outbox));
	}
}

Test(outbox, plain_has_its_size)
{
	const char *data;
	char *text;

	outbox.wire = WIRE_PLAIN;
	give(7, 3, 0);
	outbox_next(&outbox, &data);
	cr_assert_eq(outbox_frame_size(&outbox),
		     strlen("{\"type\":\"bus\",\"seq\":7,\"gap\":0,,,"));
	text = taken(1000);
	cr_assert_str_eq(text, "{\"type\":\"bus\",\"seq\":7,\"gap\":0,,,");
	free(text);
}

Test(outbox, bounded_in_frames)
{
	for (size_t i = 0; i < OUTBOX_FRAMES_MAX; i++)
		cr_assert(give(i, 1, 0));
	cr_assert_not(give(99, 1, 0));
	free(taken(1000));
	cr_assert(give(100, 1, 0));
}

Test(outbox, bounded_in_bytes_but_not_for_one_and_the_next)
{
	cr_assert(give(1, 2 * OUTBOX_BYTES_MAX, 0));
	cr_assert(give(2, 2 * OUTBOX_BYTES_MAX, 0));
	cr_assert_not(give(3, 1, 0));
}

Test(outbox, a_replay_does_not_count)
{
	struct frame *frame = frame_make(1, OUTBOX_BYTES_MAX);

	for (size_t i = 0; i < HISTORY_FRAMES_MAX; i++)
		outbox_replay(&outbox, frame, 0);
	for (size_t i = 0; i < OUTBOX_FRAMES_MAX; i++)
		cr_assert(give(i, 1, 0));
	cr_assert_not(give(99, 1, 0));
	outbox_farewell(&outbox, frame, false);
	cr_assert_eq(outbox.count, HISTORY_FRAMES_MAX + OUTBOX_FRAMES_MAX + 1);
	frame_drop(frame);
}

Test(outbox, farewell_lets_a_begun_frame_end)
{
	struct frame *last = frame_make(9, 0);
	const char *data;
	char *text;

	last->type = FRAME_END;
	outbox.wire = WIRE_PLAIN;
	give(1, 4, 0);
	give(2, 4, 0);
	outbox_next(&outbox, &data);
	outbox_sent(&outbox, 5);
	outbox_farewell(&outbox, last, true);
	text = taken(3);
	cr_assert_str_eq(text, "e\":\"bus\",\"seq\":1,\"gap\":0,,,,{\"type\":\"end\"");
	free(text);
	give(3, 4, 0);
	outbox_farewell(&outbox, last, true);
	text = taken(3);
	cr_assert_str_eq(text, "{\"type\":\"end\"");
	free(text);
	frame_drop(last);
}
