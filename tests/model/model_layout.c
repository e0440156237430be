/* SPDX-License-Identifier: MIT */
/*
 * model_layout.c - one layout on every machine: the places of all members, and all bytes of a
 * session's segment written under an injected clock, must be those of layout.golden.
 *
 * The program is built for this machine and for aarch64 (there qemu runs it), with the same golden
 * file. For a layout that was changed on purpose:
 *
 *	build/ci/tests/model_layout tests/model/layout.golden --write
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmbus/clock.h>
#include <shmbus/consumer.h>
#include <shmbus/producer.h>

#include "tap.h"

#define TICK_HZ 1000000000u
#define CAPACITY 64u

static FILE *out;
static uint64_t ticks = UINT64_C(1) << 40;

static uint64_t clock_read(void)
{
	return ticks += 1000;
}

static void need(int error, const char *what)
{
	if (error != 0)
		tap_bail("%s: %s", what, shmbus_strerror(error));
}

/* ---- members ---- */

#define MEMBER(type, member)                                                                       \
	fprintf(out, "%s.%s %zu %zu\n", #type, #member, offsetof(struct type, member),             \
		sizeof(((struct type *)0)->member))

static void header_print(void)
{
	MEMBER(shmbus_header, magic);
	MEMBER(shmbus_header, version);
	MEMBER(shmbus_header, header_size);
	MEMBER(shmbus_header, start_ticks);
	MEMBER(shmbus_header, start_time_unix_ns);
	MEMBER(shmbus_header, incarnation);
	MEMBER(shmbus_header, tick_hz);
	MEMBER(shmbus_header, clock_source);
	MEMBER(shmbus_header, pid);
	MEMBER(shmbus_header, tid_main);
	MEMBER(shmbus_header, page_size);
	MEMBER(shmbus_header, labels_offset);
	MEMBER(shmbus_header, derived_offset);
	MEMBER(shmbus_header, writers_offset);
	MEMBER(shmbus_header, metrics_offset);
	MEMBER(shmbus_header, heads_offset);
	MEMBER(shmbus_header, heads_stride);
	MEMBER(shmbus_header, id);
	MEMBER(shmbus_header, service);
	MEMBER(shmbus_header, changes);
	MEMBER(shmbus_header, state);
	MEMBER(shmbus_header, metric_count);
	MEMBER(shmbus_header, derived_count);
	MEMBER(shmbus_header, writer_count);
	MEMBER(shmbus_header, labels_sequence);
	MEMBER(shmbus_header, flags);
	MEMBER(shmbus_header, heartbeat_ticks);
}

static void tables_print(void)
{
	MEMBER(shmbus_derived_entry, scale);
	MEMBER(shmbus_derived_entry, rule);
	MEMBER(shmbus_derived_entry, numerator_count);
	MEMBER(shmbus_derived_entry, denominator_count);
	MEMBER(shmbus_derived_entry, operands);
	MEMBER(shmbus_metric_entry, unit);
	MEMBER(shmbus_metric_entry, stage);
	MEMBER(shmbus_metric_entry, help);
	MEMBER(shmbus_metric_entry, text);
	MEMBER(shmbus_metric_entry, target);
	MEMBER(shmbus_metric_entry, period_ns);
	MEMBER(shmbus_metric_entry, target_quantile_ppm);
	MEMBER(shmbus_metric_entry, window);
	MEMBER(shmbus_metric_entry, rate_hz);
	MEMBER(shmbus_metric_entry, quantum);
	MEMBER(shmbus_metric_entry, wait_metric);
	MEMBER(shmbus_metric_entry, xruns_metric);
	MEMBER(shmbus_metric_entry, kind);
	MEMBER(shmbus_metric_entry, merge);
	MEMBER(shmbus_metric_entry, real);
	MEMBER(shmbus_writer_entry, offset);
	MEMBER(shmbus_writer_entry, size);
	MEMBER(shmbus_writer_entry, slots_offset);
	MEMBER(shmbus_writer_entry, slot_count);
	MEMBER(shmbus_writer_entry, ring_offset);
	MEMBER(shmbus_writer_entry, capacity);
	MEMBER(shmbus_writer_entry, name);
	MEMBER(shmbus_head, position);
	MEMBER(shmbus_writer_block, dropped_full);
	MEMBER(shmbus_writer_block, dropped_head);
	MEMBER(shmbus_writer_block, state);
	MEMBER(shmbus_writer_block, tid);
	MEMBER(shmbus_slot, value);
	MEMBER(shmbus_slot, tag);
	MEMBER(shmbus_snapshot_header, version);
	MEMBER(shmbus_snapshot_header, log_offset);
	MEMBER(shmbus_snapshot_header, log_size);
	MEMBER(shmbus_snapshot_header, index);
	MEMBER(shmbus_snapshot_header, reclaimed);
	MEMBER(shmbus_snapshot_extent, size);
	MEMBER(shmbus_snapshot_index, time_unix_ns);
	MEMBER(shmbus_snapshot_index, time_monotonic_ns);
	MEMBER(shmbus_snapshot_index, interval_ns);
	MEMBER(shmbus_snapshot_index, document_size);
	MEMBER(shmbus_snapshot_index, extent_count);
}

/* ---- a session with a bit of everything ---- */

struct session {
	struct shmbus_session *session;
	struct shmbus_writer *writers[2];
	shmbus_metric timer, counter, updown, gauge, real, state, info;
	struct shmbus_cycle cycle;
};

static shmbus_metric define(struct session *s, struct shmbus_metric_options options)
{
	shmbus_metric metric;

	need(shmbus_metric_define(s->session, &options, &metric), options.name);
	return metric;
}

static void session_begin(struct session *s)
{
	const struct shmbus_label labels[] = {{"source", "file"}, {"model", "größe-1"}};
	struct shmbus_session_options options = {
		.id = "session-1",
		.service = "layout",
		.labels = labels,
		.label_count = 2,
		.metrics_max = 12,
	};
	struct shmbus_writer_options first = {.name = "audio", .capacity = CAPACITY};
	struct shmbus_writer_options second = {.capacity = CAPACITY};

	need(shmbus_session_open(&options, &s->session), "session");
	s->timer = define(s, (struct shmbus_metric_options){.name = "decode.time",
							    .kind = SHMBUS_TIMER,
							    .help = "one frame",
							    .stage = "decode",
							    .window = 100,
							    .target = 2000000,
							    .target_quantile = 0.95,
							    .period_ns = 20000000});
	s->counter =
		define(s, (struct shmbus_metric_options){
				  .name = "frames", .kind = SHMBUS_COUNTER, .unit = "{frame}"});
	need(shmbus_writer_open(s->session, &first, &s->writers[0]), "writer");
	s->updown =
		define(s, (struct shmbus_metric_options){.name = "queue", .kind = SHMBUS_UPDOWN});
	s->gauge = define(s, (struct shmbus_metric_options){.name = "depth",
							    .kind = SHMBUS_GAUGE,
							    .merge = SHMBUS_MERGE_MAX});
	s->real = define(s, (struct shmbus_metric_options){
				    .name = "level", .kind = SHMBUS_GAUGE, .real = true});
	s->state =
		define(s, (struct shmbus_metric_options){
				  .name = "phase", .kind = SHMBUS_STATESET, .text = "idle|busy"});
	s->info = define(s, (struct shmbus_metric_options){
				    .name = "codec", .kind = SHMBUS_INFO, .text = "opus"});
	need(shmbus_writer_open(s->session, &second, &s->writers[1]), "writer");
}

static void session_more(struct session *s)
{
	struct shmbus_cycle_options cycle = {.name = "graph", .rate_hz = 48000, .quantum = 256};
	struct shmbus_derived_options ratio = {
		.name = "frames.each",
		.rule = SHMBUS_DERIVE_RATIO,
		.scale = 0.5,
		.numerator = &s->counter,
		.numerator_count = 1,
		.denominator = &s->timer,
		.denominator_count = 1,
	};

	need(shmbus_cycle_define(s->session, &cycle, &s->cycle), "cycle");
	need(shmbus_derived_define(s->session, &ratio), "derived");
	need(shmbus_label_set(s->session, "model", "b"), "label");
	shmbus_add(s->writers[0], s->counter, 3);
	shmbus_add(s->writers[1], s->updown, -2);
	shmbus_set(s->writers[1], s->gauge, -(INT64_C(1) << 40));
	shmbus_set_real(s->writers[0], s->real, -0.1);
	shmbus_set(s->writers[1], s->state, 1);
	shmbus_correlate(s->writers[1], 0x0123456789abcdefu);
	shmbus_cycle(s->writers[1], &s->cycle, ticks, ticks + 700, ticks + 4000, 256);
	shmbus_cycle(s->writers[1], &s->cycle, ticks, ticks + 800, ticks + 5000, 512);
	shmbus_xrun(s->writers[1], &s->cycle);
	shmbus_heartbeat(s->session);
}

/* Fills a ring, reads a part of it as the agent does, goes on into the next lap, and is refused
 * where that is used up. */
static void ring_fill(struct session *s, struct shmbus_consumer *consumer)
{
	struct shmbus_consumer_writer *reader = consumer->writers[0];
	uint64_t value, tag, wrong = 0;

	for (uint64_t i = 0; i < CAPACITY; i++)
		shmbus_record_value(s->writers[0], s->timer, i << 32 | i);
	for (uint64_t i = 0; i < 16; i++)
		wrong += !shmbus_ring_peek(&reader->ring, reader->ring.position++, &value, &tag) ||
			 value != (i << 32 | i) || shmbus_tag_metric(tag) != s->timer;
	tap_ok(wrong == 0, "the consumer reads what was recorded");
	shmbus_ring_release(reader->head, reader->ring.position);
	for (uint64_t i = 0; i < 20; i++)
		shmbus_record(s->writers[0], s->timer, ticks);
}

static void account_check(const struct session *s)
{
	struct shmbus_writer_stats stats;

	shmbus_writer_stats_get(s->writers[0], &stats);
	tap_ok(stats.attempted == CAPACITY + 20 && stats.recorded == CAPACITY + 16 &&
		       stats.dropped == 4,
	       "the account of a ring that was full");
}

/* ---- the bytes ---- */

/* What differs from run to run, and nothing else; each must be there. */
static void mask(uint8_t *bytes, size_t place, size_t size, bool *missing)
{
	uint8_t any = 0;

	for (size_t i = 0; i < size; i++)
		any |= bytes[place + i];
	*missing |= any == 0;
	memset(bytes + place, 0, size);
}

#define MASK(bytes, at, type, member, missing)                                                     \
	mask((bytes), (at) + offsetof(struct type, member), sizeof(((struct type *)0)->member),    \
	     (missing))

static void bytes_mask(uint8_t *bytes, const struct shmbus_consumer *consumer)
{
	bool missing = false;

	MASK(bytes, 0, shmbus_header, start_time_unix_ns, &missing);
	MASK(bytes, 0, shmbus_header, incarnation, &missing);
	MASK(bytes, 0, shmbus_header, pid, &missing);
	MASK(bytes, 0, shmbus_header, tid_main, &missing);
	for (uint32_t i = 0; i < consumer->writer_count; i++) {
		struct shmbus_writer_entry entry;

		memcpy(&entry,
		       bytes + consumer->header.writers_offset +
			       (size_t)consumer->header.writers_stride * i,
		       sizeof entry);
		MASK(bytes, entry.offset, shmbus_writer_block, tid, &missing);
	}
	tap_ok(!missing, "times, process and threads are told");
}

static void bytes_print(struct shmbus_consumer *consumer)
{
	static uint8_t bytes[65536];
	struct stat status;
	size_t size;

	if (fstat(consumer->fd, &status) != 0 || status.st_size > (off_t)sizeof bytes)
		tap_bail("the segment is too large");
	size = (size_t)status.st_size;
	if (pread(consumer->fd, bytes, size, 0) != (ssize_t)size)
		tap_bail("the segment cannot be read");
	bytes_mask(bytes, consumer);
	fprintf(out, "segment %zu\n", size);
	for (size_t line = 0; line < size; line += 16) {
		static const uint8_t zeros[16];

		if (memcmp(bytes + line, zeros, 16) == 0)
			continue;
		fprintf(out, "%06zx ", line);
		for (size_t i = 0; i < 16; i++)
			fprintf(out, "%s%02x", i % 8 == 0 ? " " : "", bytes[line + i]);
		fputc('\n', out);
	}
}

static void segment_print(void)
{
	static struct session s;
	static struct shmbus_consumer consumer;

	need(shmbus_clock_inject(clock_read, TICK_HZ), "clock");
	session_begin(&s);
	session_more(&s);
	if (shmbus_consumer_attach(&consumer, shmbus_session_segment(s.session)) != 0)
		tap_bail("%s", consumer.reason);
	tap_ok(consumer.writer_count == 2 && shmbus_consumer_alive(&consumer) == 1,
	       "a consumer attaches");
	ring_fill(&s, &consumer);
	account_check(&s);
	bytes_print(&consumer);
	shmbus_consumer_detach(&consumer);
	shmbus_session_close(s.session);
	shmbus_clock_inject(NULL, 0);
}

/* ---- the machine's own clock ---- */

static void clock_check(void)
{
	uint64_t before = shmbus_now(), now = before;

#if defined(__aarch64__)
	tap_ok(shmbus_clock_source() == SHMBUS_CLOCK_CNTVCT, "the clock is the virtual counter");
#else
	tap_ok(shmbus_clock_source() == SHMBUS_CLOCK_TSC ||
		       shmbus_clock_source() == SHMBUS_CLOCK_MONOTONIC,
	       "the clock is this machine's");
#endif
	while (now == before)
		now = shmbus_now();
	tap_ok(now > before, "the clock goes forward");
}

/* ---- comparing ---- */

static bool line_read(FILE *file, char *line, int size)
{
	line[0] = '\0';
	return fgets(line, size, file) != NULL;
}

static void golden_compare(const char *path, char *text, size_t size)
{
	FILE *golden = fopen(path, "re"), *ours = fmemopen(text, size, "r");
	char expected[256], got[256];
	unsigned int lines = 0, wrong = 0;
	bool more;

	if (golden == NULL || ours == NULL)
		tap_bail("cannot open %s", path);
	do {
		more = line_read(golden, expected, sizeof expected);
		more |= line_read(ours, got, sizeof got);
		lines++;
		if (strcmp(expected, got) != 0 && wrong++ < 10)
			tap_diag("line %u\n#   golden %s#   here   %s", lines, expected, got);
	} while (more);
	fclose(golden);
	fclose(ours);
	tap_ok(wrong == 0 && lines > 200, "members and bytes are those of the golden file");
}

static void golden_write(const char *path, const char *text, size_t size)
{
	FILE *golden = fopen(path, "we");

	if (golden == NULL || fwrite(text, 1, size, golden) != size || fclose(golden) != 0)
		tap_bail("cannot write %s", path);
}

int main(int argc, char **argv)
{
	char *text = NULL;
	size_t size = 0;

	if (argc < 2)
		tap_bail("usage: model_layout GOLDEN [--write]");
	if (sysconf(_SC_PAGESIZE) != 4096)
		return tap_skip_all("the golden segment has pages of 4 KiB");
	out = open_memstream(&text, &size);
	if (out == NULL)
		tap_bail("no memory");
	header_print();
	tables_print();
	segment_print();
	clock_check();
	fclose(out);
	if (argc > 2 && strcmp(argv[2], "--write") == 0)
		golden_write(argv[1], text, size);
	else
		golden_compare(argv[1], text, size);
	free(text);
	return tap_done();
}
