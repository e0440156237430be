/* SPDX-License-Identifier: MIT */
/* test_recording.c - differences of histograms, of documents made by hand. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "packed.h"
#include "record_page.h"

static struct recording recording;
static uint64_t seq;

static void end(void)
{
	packed_end();
	recording_free(&recording);
}

TestSuite(recording, .init = packed_begin, .fini = end);

struct made {
	const char *segment;
	const char *timer;
	uint64_t schema, offset, zeros, max, dropped, worst, when, quantum;
	uint64_t buckets[3];
};

static void timer_pack(const struct made *made)
{
	uint64_t count = made->zeros + made->buckets[0] + made->buckets[1] + made->buckets[2];

	msgpack_pack_map(&packer, 7);
	pair("name", made->timer);
	pair("kind", "timer");
	number("count", count);
	number("sum", 10 * count);
	number("max", made->max);
	text("histogram");
	msgpack_pack_map(&packer, 4);
	number("schema", made->schema);
	number("zero_count", made->zeros);
	number("offset", made->offset);
	text("buckets");
	msgpack_pack_array(&packer, 3);
	for (size_t i = 0; i < 3; i++)
		msgpack_pack_uint64(&packer, made->buckets[i]);
	text(made->quantum != 0 ? "period" : "target");
	msgpack_pack_map(&packer, made->quantum != 0 ? 2 : 1);
	if (made->quantum != 0)
		number("quantum", made->quantum);
	text("worst");
	msgpack_pack_map(&packer, 3);
	number("value", made->worst);
	number("time_unix_ns", made->when != 0 ? made->when : made->worst);
	number("correlation_id", 7);
}

/* A snapshot of these sessions, each with one timer. */
static bool take(const struct made *made, size_t count)
{
	struct document document;
	bool room;

	msgpack_sbuffer_clear(&buffer);
	msgpack_pack_map(&packer, 1);
	text("sessions");
	msgpack_pack_array(&packer, count);
	for (size_t i = 0; i < count; i++) {
		msgpack_pack_map(&packer, 4);
		pair("id", made[i].segment + 1);
		pair("segment", made[i].segment);
		number("dropped_total", made[i].dropped);
		text("metrics");
		msgpack_pack_array(&packer, 1);
		timer_pack(&made[i]);
	}
	cr_assert_eq(document_decode(&document, (const uint8_t *)buffer.data, buffer.size), 0);
	seq++;
	document.snapshot = (struct shmbus_snapshot){.seq = seq, .time_unix_ns = seq * 1000};
	room = recording_add(&recording, &document, 0);
	document_free(&document);
	return room;
}

static const struct timer *timer(uint32_t i)
{
	cr_assert_lt(i, recording.timer_count);
	return recording.timers[i];
}

static struct made plain(void)
{
	/* Bucket 161 of schema 5 has the values above 32, to 32.7. */
	return (struct made){.segment = "/a", .timer = "t", .schema = 5, .offset = 160};
}

Test(recording, only_what_came_meanwhile)
{
	struct made made = plain();

	made.buckets[0] = 5;
	made.max = 32;
	made.dropped = 100;
	take(&made, 1);
	cr_assert_eq(recording.slots, 0, "the first one is where it begins");
	made.buckets[0] = 7;
	made.buckets[2] = 1;
	made.zeros = 4;
	made.max = 33;
	made.dropped = 103;
	take(&made, 1);
	take(&made, 1);
	cr_assert_eq(recording.slots, 2);
	cr_assert_eq(timer(0)->recorded.count, 7);
	cr_assert_eq(timer(0)->recorded.buckets[0], 4);
	cr_assert_eq(timer(0)->recorded.buckets[161], 2);
	cr_assert_eq(timer(0)->recorded.buckets[163], 1);
	cr_assert_eq(timer(0)->recorded.max, 33);
	cr_assert_eq(timer(0)->recorded.sum, 70);
	cr_assert_eq(timer(0)->lifetime.count, 12);
	cr_assert_eq(timer(0)->lifetime.buckets[161], 7);
	cr_assert_eq(timer(0)->slots[0].count, 7);
	cr_assert_eq(timer(0)->slots[0].max, 33);
	cr_assert_eq(timer(0)->slots[1].count, 0);
	cr_assert_eq(recording.ticks[0].dropped, 3);
	cr_assert_eq(recording.ticks[1].dropped, 0);
}

/* The largest value of a slot is known where it is the largest ever, else its bucket is. */
Test(recording, largest)
{
	struct made made = plain();

	made.max = 1000;
	take(&made, 1);
	made.buckets[2] = 1;
	take(&made, 1);
	cr_assert_float_eq(timer(0)->slots[0].max, exp2(162.0 / 32), 1e-9);
	made.max = 1001;
	made.buckets[2] = 2;
	take(&made, 1);
	cr_assert_eq(timer(0)->slots[1].max, 1001);
}

Test(recording, sessions_are_merged)
{
	struct made made[2] = {plain(), plain()};

	made[1].segment = "/b";
	take(made, 2);
	made[0].buckets[0] = 2;
	made[1].buckets[1] = 3;
	take(made, 2);
	cr_assert_eq(recording.timer_count, 1);
	cr_assert_eq(timer(0)->recorded.count, 5);
	made[1].timer = "u";
	made[1].buckets[1] = 4;
	take(made, 2);
	cr_assert_eq(recording.timer_count, 2);
}

/* A session that comes brings all that it has; one that goes takes nothing away. */
Test(recording, sessions_come_and_go)
{
	struct made made[2] = {plain(), plain()};

	made[1].segment = "/b";
	made[0].buckets[0] = 2;
	made[1].buckets[0] = 3;
	take(made, 1);
	take(made, 2);
	cr_assert_eq(timer(0)->recorded.count, 3);
	take(made + 1, 1);
	cr_assert_eq(timer(0)->recorded.count, 3);
	cr_assert_eq(timer(0)->lifetime.count, 3);
	cr_assert_eq(recording.known_count, 1);
	take(made + 1, 0);
	cr_assert_eq(recording.known_count, 0);
}

Test(recording, pattern)
{
	struct made made[2] = {plain(), plain()};

	recording.pattern = "b*";
	made[0].dropped = 5;
	made[1].segment = "/b1";
	take(made, 2);
	made[0].dropped = 50;
	made[0].buckets[0] = 1;
	made[1].buckets[0] = 3;
	take(made, 2);
	cr_assert_eq(timer(0)->recorded.count, 3);
	cr_assert_eq(recording.ticks[0].dropped, 0);
}

/* An agent that lost its checkpoint counts anew: no number goes round below 0. */
Test(recording, counts_that_go_back)
{
	struct made made = plain();

	made.buckets[0] = 10;
	made.dropped = 10;
	take(&made, 1);
	made.buckets[0] = 4;
	made.dropped = 4;
	take(&made, 1);
	cr_assert_eq(timer(0)->recorded.count, 0);
	cr_assert_eq(recording.ticks[0].dropped, 0);
	made.buckets[0] = 5;
	take(&made, 1);
	cr_assert_eq(timer(0)->recorded.count, 1);
}

/* 64 buckets a power of two, and 16: the same values in ours. */
Test(recording, other_schemas)
{
	struct made made = plain();

	made.schema = 6;
	made.offset = 320; /* 2 ^ (320 / 64) */
	take(&made, 1);
	made.buckets[0] = 1;
	made.buckets[1] = 2;
	made.buckets[2] = 4;
	take(&made, 1);
	cr_assert_eq(timer(0)->recorded.buckets[161], 1);
	cr_assert_eq(timer(0)->recorded.buckets[162], 6);
	made.segment = "/b";
	made.schema = 4;
	made.offset = 80;
	take(&made, 1);
	cr_assert_eq(timer(0)->recorded.buckets[161], 2);
	cr_assert_eq(timer(0)->recorded.buckets[163], 2);
	cr_assert_eq(timer(0)->recorded.buckets[165], 4);
}

/* Whatever is in the document: nothing beyond the buckets is touched. */
Test(recording, nonsense)
{
	static const uint64_t offsets[] = {0,    2046,     2047,     2048,
					   2049, 1u << 14, 1u << 20, UINT64_MAX};
	struct made made = plain();

	for (uint64_t schema = 0; schema < 12; schema++) {
		for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
			made.schema = schema;
			made.offset = offsets[i];
			made.buckets[0] = made.buckets[2] += 1;
			take(&made, 1);
		}
	}
	made.schema = UINT64_MAX;
	take(&made, 1);
}

Test(recording, quantiles)
{
	static struct distribution distribution;

	cr_assert(isnan(distribution_quantile(&distribution, 0.5)));
	distribution.count = 4;
	distribution.buckets[0] = 2;
	distribution.buckets[33] = 2; /* above 2^(31/32), to 2 */
	distribution.max = 2;
	cr_assert_eq(distribution_quantile(&distribution, 0.25), 0);
	cr_assert_float_eq(distribution_quantile(&distribution, 0.75), exp2(31.5 / 32), 1e-9);
	cr_assert_eq(distribution_quantile(&distribution, 1), 2);
	distribution.max = 1.97;
	cr_assert_eq(distribution_quantile(&distribution, 1), 1.97, "never above the largest");
}

Test(recording, worst)
{
	struct made made = plain();

	made.worst = 0;
	take(&made, 1);
	cr_assert_eq(recording.worst_count, 0, "none without a time");
	for (made.worst = 1; made.worst <= 20; made.worst++) {
		take(&made, 1);
		take(&made, 1);
	}
	cr_assert_eq(recording.worst_count, RECORDING_WORST_EACH);
	for (uint32_t i = 0; i < RECORDING_WORST_EACH; i++) {
		cr_assert_gt(recording.worst[i].value, 20 - RECORDING_WORST_EACH);
		cr_assert_eq(recording.worst[i].correlation_id, 7);
	}
}

Test(recording, worst_before)
{
	struct made made = plain(), old = plain();

	old.worst = 50; /* larger than what another session has later, and it gives way */
	take(&old, 1);
	cr_assert(recording.worst[0].before);
	take(&old, 1);
	cr_assert_eq(recording.worst_count, 1);
	made.segment = "/b";
	for (made.worst = 1; made.worst <= RECORDING_WORST_EACH; made.worst++) {
		struct made both[] = {old, made};

		both[1].when = seq * 1000;
		take(both, 2);
	}
	take(&old, 1);
	cr_assert_eq(recording.worst_count, RECORDING_WORST_EACH);
	for (uint32_t i = 0; i < RECORDING_WORST_EACH; i++) {
		cr_assert_not(recording.worst[i].before || recording.worst[i].response);
		cr_assert_lt(recording.worst[i].value, 50);
	}
}

Test(recording, worst_of_a_cycle)
{
	struct made made = plain();

	made.quantum = 128;
	made.worst = 5;
	take(&made, 1);
	cr_assert_eq(recording.worst_count, 1);
	cr_assert(recording.worst[0].response, "which is more than the timer's largest sample");
}

/* The worst one was long ago: what came is known by its bucket and the snapshot's time. */
Test(recording, worst_meanwhile)
{
	struct made made = plain();

	made.worst = 500;
	made.max = 500;
	made.buckets[0] = 5;
	take(&made, 1);
	take(&made, 1);
	cr_assert_eq(recording.worst_count, 1, "nothing came");
	made.buckets[2] = 1;
	take(&made, 1);
	cr_assert_eq(recording.worst_count, 2);
	cr_assert(recording.worst[1].rough);
	cr_assert_not(recording.worst[1].before);
	cr_assert_float_eq(recording.worst[1].value, 32 * exp2(2 / 32.0), 1e-6);
	cr_assert_eq(recording.worst[1].time_unix_ns, seq * 1000);
	cr_assert_eq(recording.worst[1].correlation_id, 0);
	made.buckets[2] = 2;
	made.when = seq * 1000 + 500; /* this one has a time of its own */
	made.worst = made.max = 600;
	take(&made, 1);
	cr_assert_eq(recording.worst_count, 3);
	cr_assert_not(recording.worst[2].rough);
	cr_assert_eq(recording.worst[2].correlation_id, 7);
}

Test(recording, bounds)
{
	struct made made = plain();
	char name[16];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "t%d", i);
		made.timer = name;
		made.segment = "/a";
		cr_assert(take(&made, 1));
	}
	cr_assert_eq(recording.timer_count, RECORDING_TIMERS);
	cr_assert_eq(recording.left_out, 1);
	while (take(&made, 1))
		;
	cr_assert_eq(recording.slots, RECORDING_SLOTS);
	cr_assert_not(take(&made, 1));
}

static size_t times(const char *text, const char *part)
{
	size_t count = 0;

	for (; (text = strstr(text, part)) != NULL; text++)
		count++;
	return count;
}

/* Of a snapshot that somebody else wrote: no name is markup, nor the end of a script. */
Test(recording, names_in_the_page)
{
	struct made made = plain();
	struct document document;
	char *page = NULL;
	size_t size;
	FILE *file = open_memstream(&page, &size);

	made.timer = "</script>";
	made.segment = "/<b>&\"";
	take(&made, 1);
	made.buckets[1] = 5;
	made.worst = 5;
	take(&made, 1);
	cr_assert_eq(document_decode(&document, (const uint8_t *)buffer.data, buffer.size), 0);
	record_page(file, &recording, &document, "bus");
	fclose(file);
	document_free(&document);
	cr_assert_eq(times(page, "</script>"), 2, "%s", page);
	cr_assert_eq(times(page, "\"\\u003c/script>\""), 1, "%s", page);
	cr_assert_geq(times(page, "&lt;/script&gt;"), 3);
	cr_assert_eq(times(page, "<b>"), 0);
	cr_assert_eq(times(page, "&lt;b&gt;&amp;&quot;"), 2);
	cr_assert_eq(times(page, "class=\"h8\" d=\"M"), 1, "one cell of the heat map is filled");
	free(page);
}
