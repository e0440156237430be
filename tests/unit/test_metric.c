/* SPDX-License-Identifier: MIT */
/* test_metric.c - metrics, cycles and derived values: what is allowed, and what is written. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "seen.h"

static struct shmbus_session *session;

static void setup(void)
{
	session = session_opened(4);
}

static void teardown(void)
{
	shmbus_session_close(session);
}

TestSuite(metric, .init = setup, .fini = teardown);
TestSuite(derived, .init = setup, .fini = teardown);
TestSuite(cycle, .init = setup, .fini = teardown);

static uint32_t metrics_seen(void)
{
	struct shmbus_consumer *consumer = seen(session);
	uint32_t metrics, derived;

	cr_assert_eq(shmbus_consumer_counts(consumer, &metrics, &derived), 0);
	shmbus_consumer_detach(consumer);
	return metrics;
}

static struct shmbus_metric_entry entry_seen(shmbus_metric metric)
{
	struct shmbus_consumer *consumer = seen(session);
	struct shmbus_metric_entry entry;

	cr_assert_eq(shmbus_consumer_metric(consumer, metric, &entry), 0, "%s", consumer->reason);
	shmbus_consumer_detach(consumer);
	return entry;
}

static void refused(struct shmbus_metric_options options, int error, const char *word)
{
	uint32_t before = metrics_seen();
	shmbus_metric metric = 12345;

	cr_assert_eq(shmbus_metric_define(session, &options, &metric), error, "%s", word);
	cr_assert_not_null(strstr(shmbus_strerror(error), word), "\"%s\" lacks \"%s\"",
			   shmbus_strerror(error), word);
	cr_assert_eq(metric, 4, "the overflow metric");
	cr_assert_eq(metrics_seen(), before);
}

static shmbus_metric accepted(struct shmbus_metric_options options)
{
	shmbus_metric metric;
	int error = shmbus_metric_define(session, &options, &metric);

	cr_assert_eq(error, 0, "%s", shmbus_strerror(error));
	cr_assert_lt(metric, 4);
	return metric;
}

/* A text of `length` times one character. */
static const char *text_of(char c, size_t length)
{
	static char text[256];

	memset(text, c, length);
	text[length] = '\0';
	return text;
}

Test(metric, every_field_arrives)
{
	struct shmbus_metric_entry entry = entry_seen(accepted((struct shmbus_metric_options){
		.name = "a.b:c/d-e_9",
		.help = "Helps \xc3\xa4",
		.unit = "us",
		.stage = "stt",
		.kind = SHMBUS_TIMER,
		.window = SHMBUS_WINDOW_MAX,
		.target = UINT64_MAX,
		.target_quantile = 0.5,
		.period_ns = 12345,
	}));

	cr_assert_str_eq(entry.name, "a.b:c/d-e_9");
	cr_assert_str_eq(entry.help, "Helps \xc3\xa4");
	cr_assert_str_eq(entry.unit, "us");
	cr_assert_str_eq(entry.stage, "stt");
	cr_assert_str_eq(entry.text, "");
	cr_assert_eq(entry.kind, SHMBUS_TIMER);
	cr_assert_eq(entry.window, SHMBUS_WINDOW_MAX);
	cr_assert_eq(entry.target, UINT64_MAX);
	cr_assert_eq(entry.target_quantile_ppm, 500000);
	cr_assert_eq(entry.period_ns, 12345);

	entry = entry_seen(accepted((struct shmbus_metric_options){
		.name = "g", .kind = SHMBUS_GAUGE, .merge = SHMBUS_MERGE_MEAN, .real = true}));
	cr_assert_str_eq(entry.unit, "1");
	cr_assert_eq(entry.merge, SHMBUS_MERGE_MEAN);
	cr_assert_eq(entry.real, 1);
	entry = entry_seen(accepted((struct shmbus_metric_options){
		.name = "s", .kind = SHMBUS_STATESET, .text = "on|off"}));
	cr_assert_str_eq(entry.text, "on|off");
	entry = entry_seen(accepted((struct shmbus_metric_options){.name = "i",
								   .kind = SHMBUS_INFO,
								   .text = "v1 \xe2\x82\xac",
								   .window = 5,
								   .target = 5}));
	cr_assert_str_eq(entry.text, "v1 \xe2\x82\xac");
	cr_assert_eq(entry.window, 0, "a timer's field");
	cr_assert_eq(entry.target, 0);
}

Test(metric, defaults)
{
	struct shmbus_metric_entry entry = entry_seen(
		accepted((struct shmbus_metric_options){.name = "t", .kind = SHMBUS_TIMER}));

	cr_assert_str_eq(entry.unit, "ns");
	cr_assert_eq(entry.target_quantile_ppm, 0);
	cr_assert_eq(entry.window, 0);
	entry = entry_seen(accepted(
		(struct shmbus_metric_options){.name = "u", .kind = SHMBUS_TIMER, .target = 1}));
	cr_assert_eq(entry.target_quantile_ppm, 990000);
}

Test(metric, names)
{
	static const char *const bad[] = {"9",        ".a",    "-a",  "a b", "a\n", "a\x1b[m",
					  "\xc3\xa4", "a\xff", "a|b", "a\"", "a{b}"};

	refused((struct shmbus_metric_options){.kind = SHMBUS_TIMER}, -EINVAL, "a name is needed");
	refused((struct shmbus_metric_options){.name = "", .kind = SHMBUS_TIMER}, -EINVAL,
		"a name is needed");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refused((struct shmbus_metric_options){.name = bad[i], .kind = SHMBUS_TIMER},
			-EINVAL, "not allowed");
	refused((struct shmbus_metric_options){.name = text_of('n', 64), .kind = SHMBUS_TIMER},
		-E2BIG, "at most 63");
	accepted((struct shmbus_metric_options){.name = text_of('n', 63), .kind = SHMBUS_TIMER});
}

Test(metric, texts)
{
	struct shmbus_metric_options timer = {.name = "t", .kind = SHMBUS_TIMER}, o;
	static const char *const bad[] = {"a\n", "\x1b", "\xff", "\xc3", "\x7f", "a\xc2\x80"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		o = timer, o.help = bad[i];
		refused(o, -EINVAL, "help");
		o = timer, o.unit = bad[i];
		refused(o, -EINVAL, "unit");
		o = timer, o.stage = bad[i];
		refused(o, -EINVAL, "stage");
		o = timer, o.kind = SHMBUS_INFO, o.text = bad[i];
		refused(o, -EINVAL, "text");
	}
	o = timer, o.help = text_of('x', 96);
	refused(o, -E2BIG, "help");
	o = timer, o.unit = text_of('x', 16);
	refused(o, -E2BIG, "unit");
	o = timer, o.stage = text_of('x', 32);
	refused(o, -E2BIG, "stage");
	o = timer, o.kind = SHMBUS_INFO, o.text = text_of('x', 64);
	refused(o, -E2BIG, "text");

	o = timer, o.help = text_of('h', 95);
	cr_assert_str_eq(entry_seen(accepted(o)).help, text_of('h', 95));
	o = timer, o.name = "u", o.unit = text_of('u', 15);
	cr_assert_str_eq(entry_seen(accepted(o)).unit, text_of('u', 15));
	o = timer, o.name = "s", o.stage = text_of('s', 31);
	cr_assert_str_eq(entry_seen(accepted(o)).stage, text_of('s', 31));
	o = timer, o.name = "i", o.kind = SHMBUS_INFO, o.text = text_of('t', 63);
	cr_assert_str_eq(entry_seen(accepted(o)).text, text_of('t', 63));
}

Test(metric, numbers)
{
	struct shmbus_metric_options timer = {.name = "t", .kind = SHMBUS_TIMER, .target = 1}, o;
	static const double bad[] = {1,          1.5, -0.1, (double)INFINITY, -(double)INFINITY,
				     (double)NAN};

	o = timer, o.kind = (enum shmbus_kind)0;
	refused(o, -EINVAL, "kind 0");
	o = timer, o.kind = (enum shmbus_kind)7;
	refused(o, -EINVAL, "kind 7");
	o = timer, o.kind = (enum shmbus_kind)257;
	refused(o, -EINVAL, "kind 257");
	o = timer, o.merge = (enum shmbus_merge)4;
	refused(o, -EINVAL, "merge 4");
	o = timer, o.window = SHMBUS_WINDOW_MAX + 1;
	refused(o, -EINVAL, "window of 65537");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		o = timer, o.target_quantile = bad[i];
		refused(o, -EINVAL, "target_quantile");
	}
}

/* What the producer's side allows, the agent's side must not call nonsense. */
Test(metric, quantiles_next_to_0_and_1)
{
	struct shmbus_metric_options o = {.name = "t", .kind = SHMBUS_TIMER, .target = 1};

	o.target_quantile = 0.9999999;
	cr_assert_eq(entry_seen(accepted(o)).target_quantile_ppm, 999999);
	o.name = "u", o.target_quantile = 1e-9;
	cr_assert_eq(entry_seen(accepted(o)).target_quantile_ppm, 1);
	o.name = "v", o.target_quantile = 0.999999;
	cr_assert_eq(entry_seen(accepted(o)).target_quantile_ppm, 999999);
}

Test(metric, states)
{
	static const char *const bad[] = {NULL, "", "|", "a|", "|a", "a||b"};
	struct shmbus_metric_options o = {.name = "s", .kind = SHMBUS_STATESET};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		o.text = bad[i];
		refused(o, -EINVAL, "state");
	}
	o.text = "1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17";
	refused(o, -EINVAL, "17 states");
	o.text = "1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16";
	accepted(o);
	o.name = "one", o.text = "one";
	accepted(o);
}

Test(metric, the_same_again_and_another_kind_under_its_name)
{
	shmbus_metric first = metric_defined(session, "m", SHMBUS_COUNTER);

	cr_assert_eq(metric_defined(session, "m", SHMBUS_COUNTER), first);
	cr_assert_eq(metrics_seen(), 1);
	refused((struct shmbus_metric_options){.name = "m", .kind = SHMBUS_TIMER}, -EEXIST,
		"\"m\"");
	cr_assert_neq(metric_defined(session, "m2", SHMBUS_TIMER), first);
}

Test(metric, as_many_as_asked_for_and_one_more)
{
	struct shmbus_writer *writer = writer_opened(session, 64);
	struct shmbus_metric_options o = {.name = "fifth", .kind = SHMBUS_TIMER};
	struct shmbus_consumer_writer *reader;
	struct seen_record record;
	shmbus_metric overflow;
	char name[8];

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof name, "m%d", i);
		cr_assert_eq(metric_defined(session, name, SHMBUS_TIMER), (shmbus_metric)i);
	}
	refused(o, -ENOSPC, "raise metrics_max, now 4");
	cr_assert_eq(metric_defined(session, "m3", SHMBUS_TIMER), 3, "what is there is found");
	shmbus_metric_define(session, &o, &overflow);
	reader = seen(session)->writers[0];
	cr_assert(shmbus_record_value_at(writer, overflow, 5, 0));
	shmbus_add(writer, overflow, 3);
	cr_assert(seen_next(reader, &record));
	cr_assert_eq(record.metric, 4);
	cr_assert_eq(reader->slot_count, 5);
	cr_assert_eq(atomic_load(&reader->slots[4]), 3);
}

Test(metric, the_most_that_a_session_can_have)
{
	struct shmbus_session *large = session_opened(SHMBUS_METRICS_MAX);
	struct shmbus_metric_options o = {.name = "more", .kind = SHMBUS_TIMER};
	struct shmbus_writer *writer;
	struct shmbus_consumer_writer *reader;
	struct seen_record record;
	shmbus_metric metric = 0;
	char name[16];

	for (uint32_t i = 0; i < SHMBUS_METRICS_MAX; i++) {
		snprintf(name, sizeof name, "m%u", i);
		metric = metric_defined(large, name, SHMBUS_TIMER);
		cr_assert_eq(metric, i);
	}
	writer = writer_opened(large, 64);
	cr_assert(shmbus_record_value_at(writer, metric, 1, 0));
	cr_assert_eq(shmbus_metric_define(large, &o, &metric), -ENOSPC);
	cr_assert_eq(metric, SHMBUS_METRICS_MAX);
	cr_assert(shmbus_record_value_at(writer, metric, 2, 0));
	shmbus_set(writer, metric, 9);
	reader = seen(large)->writers[0];
	cr_assert(seen_next(reader, &record));
	cr_assert_eq(record.metric, SHMBUS_METRICS_MAX - 1);
	cr_assert(seen_next(reader, &record));
	cr_assert_eq(record.metric, SHMBUS_METRICS_MAX);
	cr_assert_eq(atomic_load(&reader->slots[SHMBUS_METRICS_MAX]), 9);
	shmbus_session_close(large);
}

/* ---- cycles ---- */

Test(cycle, three_metrics_that_know_each_other)
{
	struct shmbus_cycle_options o = {.name = "audio", .rate_hz = 48000, .quantum = 128};
	struct shmbus_cycle cycle, again;
	struct shmbus_metric_entry entry;

	cr_assert_eq(shmbus_cycle_define(session, &o, &cycle), 0);
	entry = entry_seen(cycle.busy);
	cr_assert_str_eq(entry.name, "audio");
	cr_assert_eq(entry.rate_hz, 48000);
	cr_assert_eq(entry.quantum, 128);
	cr_assert_eq(entry.period_ns, 128 * 1000000000ull / 48000);
	cr_assert_eq(entry.wait_metric, cycle.wait);
	cr_assert_eq(entry.xruns_metric, cycle.xruns);
	cr_assert_str_eq(entry_seen(cycle.wait).name, "audio.wait");
	cr_assert_str_eq(entry_seen(cycle.xruns).name, "audio.xruns");
	cr_assert_eq(entry_seen(cycle.xruns).kind, SHMBUS_COUNTER);
	cr_assert_eq(shmbus_cycle_define(session, &o, &again), 0);
	cr_assert(again.busy == cycle.busy && again.wait == cycle.wait &&
		  again.xruns == cycle.xruns);
	o.quantum = 512;
	cr_assert_eq(shmbus_cycle_define(session, &o, &again), 0);
	cr_assert_eq(again.quantum, 128, "what the agent was told, so that 512 is told next");
}

Test(cycle, refused)
{
	struct shmbus_cycle_options good = {.name = "c", .rate_hz = 1, .quantum = 1}, o;
	struct shmbus_cycle cycle;

	o = good, o.rate_hz = 0;
	cr_assert_eq(shmbus_cycle_define(session, &o, &cycle), -EINVAL);
	o = good, o.quantum = 0;
	cr_assert_eq(shmbus_cycle_define(session, &o, &cycle), -EINVAL);
	o = good, o.name = "1";
	cr_assert_eq(shmbus_cycle_define(session, &o, &cycle), -EINVAL);
	o = good, o.name = NULL;
	cr_assert_eq(shmbus_cycle_define(session, &o, &cycle), -EINVAL);
	o = good, o.name = text_of('c', 64);
	cr_assert_eq(shmbus_cycle_define(session, &o, &cycle), -E2BIG);
	o = good, o.help = "\n";
	cr_assert_eq(shmbus_cycle_define(session, &o, &cycle), -EINVAL);
	cr_assert_eq(metrics_seen(), 0);
	o = good, o.name = text_of('c', 58); /* with .xruns one too many */
	cr_assert_eq(shmbus_cycle_define(session, &o, &cycle), -E2BIG);
	cr_assert_eq(cycle.busy, 4, "the overflow metric");
	metric_defined(session, "c.xruns", SHMBUS_GAUGE);
	cr_assert_eq(shmbus_cycle_define(session, &good, &cycle), -EEXIST);
	metric_defined(session, "filler", SHMBUS_GAUGE);
	o = good, o.name = "d";
	cr_assert_eq(shmbus_cycle_define(session, &o, &cycle), -ENOSPC);
}

/* ---- derived values ---- */

static struct shmbus_derived_options derived_of(const shmbus_metric *one)
{
	return (struct shmbus_derived_options){.name = "d",
					       .rule = SHMBUS_DERIVE_RATIO,
					       .numerator = one,
					       .numerator_count = 1,
					       .denominator = one,
					       .denominator_count = 1};
}

Test(derived, every_field_arrives)
{
	shmbus_metric metrics[20];
	struct shmbus_derived_options o = derived_of(metrics);
	struct shmbus_derived_entry entry;
	struct shmbus_consumer *consumer;

	metric_defined(session, "zero", SHMBUS_COUNTER);
	for (size_t i = 0; i < 20; i++)
		metrics[i] = metric_defined(session, i % 2 ? "one" : "two", SHMBUS_COUNTER);
	o.numerator_count = 19;
	o.rule = SHMBUS_DERIVE_REMAINDER;
	o.scale = -0.5;
	cr_assert_eq(shmbus_derived_define(session, &o), 0);
	o.name = "e", o.scale = 0;
	cr_assert_eq(shmbus_derived_define(session, &o), 0);
	consumer = seen(session);
	cr_assert_eq(shmbus_consumer_derived(consumer, 0, &entry), 0);
	cr_assert_str_eq(entry.name, "d");
	cr_assert_eq(entry.rule, SHMBUS_DERIVE_REMAINDER);
	cr_assert_eq(entry.numerator_count, 19);
	cr_assert_eq(entry.denominator_count, 1);
	cr_assert(entry.scale == -0.5);
	for (size_t i = 0; i < 19; i++)
		cr_assert_eq(entry.operands[i], metrics[i]);
	cr_assert_eq(entry.operands[19], metrics[0]);
	cr_assert_eq(shmbus_consumer_derived(consumer, 1, &entry), 0);
	cr_assert(entry.scale == 1.0);
}

Test(derived, refused)
{
	shmbus_metric metric = metric_defined(session, "m", SHMBUS_TIMER), none = 1, overflow = 4;
	shmbus_metric many[20] = {metric};
	struct shmbus_derived_options good = derived_of(many), o;
	static const double scales[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 1e300};
	char name[8];

	o = good, o.name = "1";
	cr_assert_eq(shmbus_derived_define(session, &o), -EINVAL);
	o = good, o.name = text_of('d', 64);
	cr_assert_eq(shmbus_derived_define(session, &o), -E2BIG);
	o = good, o.rule = (enum shmbus_derive)0;
	cr_assert_eq(shmbus_derived_define(session, &o), -EINVAL);
	o = good, o.rule = (enum shmbus_derive)3;
	cr_assert_eq(shmbus_derived_define(session, &o), -EINVAL);
	o = good, o.numerator_count = 0;
	cr_assert_eq(shmbus_derived_define(session, &o), -EINVAL);
	o = good, o.denominator_count = 0;
	cr_assert_eq(shmbus_derived_define(session, &o), -EINVAL);
	o = good, o.numerator_count = 20;
	cr_assert_eq(shmbus_derived_define(session, &o), -EINVAL);
	o = good, o.denominator_count = SIZE_MAX;
	cr_assert_eq(shmbus_derived_define(session, &o), -EINVAL);
	o = good, o.numerator = &none;
	cr_assert_eq(shmbus_derived_define(session, &o), -EINVAL);
	o = good, o.denominator = &overflow;
	cr_assert_eq(shmbus_derived_define(session, &o), -EINVAL);
	/* What the agent's side calls nonsense must not be written. */
	for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
		o = good, o.scale = scales[i];
		cr_assert_eq(shmbus_derived_define(session, &o), -EINVAL);
	}
	for (uint32_t i = 0; i < SHMBUS_DERIVED_MAX; i++) {
		snprintf(name, sizeof name, "d%u", i);
		o = good, o.name = name;
		cr_assert_eq(shmbus_derived_define(session, &o), 0);
		cr_assert_eq(shmbus_derived_define(session, &o), -EEXIST);
	}
	cr_assert_eq(shmbus_derived_define(session, &good), -ENOSPC);
}
