/* SPDX-License-Identifier: MIT */
/* test_layout.c - the layout against numbers written by hand: programs of another build read it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmbus/layout.h>
#include <shmbus/producer.h>

struct golden {
	const char *field;
	size_t offset, size; /* what the compiler says */
	size_t golden_offset, golden_size;
};

#define FIELD(type, field, at, bytes)                                                              \
	{                                                                                          \
#type "." #field, offsetof(struct type, field), sizeof(((struct type *)0)->field), \
			at, bytes                                                                  \
	}

/* Fields follow each other without a gap and fill the struct: none was forgotten here. */
static void check(const char *name, const struct golden *fields, size_t count, size_t size,
		  size_t golden_size)
{
	size_t end = 0;

	cr_expect_eq(size, golden_size, "sizeof %s: %zu", name, size);
	for (size_t i = 0; i < count; i++) {
		const struct golden *f = &fields[i];

		cr_expect_eq(f->offset, f->golden_offset, "%s at %zu", f->field, f->offset);
		cr_expect_eq(f->size, f->golden_size, "%s has %zu bytes", f->field, f->size);
		cr_expect_eq(f->golden_offset, end, "a gap before %s", f->field);
		end = f->golden_offset + f->golden_size;
	}
	cr_expect_eq(end, golden_size, "%s has fields that are not listed", name);
}

#define CHECK(type, fields, golden_size)                                                           \
	check(#type, (fields), sizeof(fields) / sizeof *(fields), sizeof(struct type), golden_size)

Test(layout, header)
{
	static const struct golden fields[] = {
		FIELD(shmbus_header, magic, 0, 8),
		FIELD(shmbus_header, version, 8, 4),
		FIELD(shmbus_header, header_size, 12, 4),
		FIELD(shmbus_header, start_ticks, 16, 8),
		FIELD(shmbus_header, start_time_unix_ns, 24, 8),
		FIELD(shmbus_header, incarnation, 32, 8),
		FIELD(shmbus_header, tick_hz, 40, 8),
		FIELD(shmbus_header, clock_source, 48, 4),
		FIELD(shmbus_header, pid, 52, 4),
		FIELD(shmbus_header, tid_main, 56, 4),
		FIELD(shmbus_header, page_size, 60, 4),
		FIELD(shmbus_header, labels_offset, 64, 4),
		FIELD(shmbus_header, labels_stride, 68, 4),
		FIELD(shmbus_header, labels_capacity, 72, 4),
		FIELD(shmbus_header, derived_offset, 76, 4),
		FIELD(shmbus_header, derived_stride, 80, 4),
		FIELD(shmbus_header, derived_capacity, 84, 4),
		FIELD(shmbus_header, writers_offset, 88, 4),
		FIELD(shmbus_header, writers_stride, 92, 4),
		FIELD(shmbus_header, writers_capacity, 96, 4),
		FIELD(shmbus_header, metrics_offset, 100, 4),
		FIELD(shmbus_header, metrics_stride, 104, 4),
		FIELD(shmbus_header, metrics_capacity, 108, 4),
		FIELD(shmbus_header, heads_offset, 112, 4),
		FIELD(shmbus_header, heads_stride, 116, 4),
		FIELD(shmbus_header, reserved0, 120, 8),
		FIELD(shmbus_header, id, 128, 64),
		FIELD(shmbus_header, service, 192, 64),
		FIELD(shmbus_header, changes, 256, 4),
		FIELD(shmbus_header, state, 260, 4),
		FIELD(shmbus_header, metric_count, 264, 4),
		FIELD(shmbus_header, derived_count, 268, 4),
		FIELD(shmbus_header, writer_count, 272, 4),
		FIELD(shmbus_header, labels_sequence, 276, 4),
		FIELD(shmbus_header, flags, 280, 4),
		FIELD(shmbus_header, reserved1, 284, 4),
		FIELD(shmbus_header, heartbeat_ticks, 288, 8),
		FIELD(shmbus_header, reserved2, 296, 24),
		FIELD(shmbus_header, reserved3, 320, 192),
	};

	CHECK(shmbus_header, fields, 512);
}

Test(layout, tables)
{
	static const struct golden label[] = {FIELD(shmbus_label_entry, words, 0, 128)};
	static const struct golden derived[] = {
		FIELD(shmbus_derived_entry, name, 0, 64),
		FIELD(shmbus_derived_entry, scale, 64, 8),
		FIELD(shmbus_derived_entry, rule, 72, 2),
		FIELD(shmbus_derived_entry, numerator_count, 74, 2),
		FIELD(shmbus_derived_entry, denominator_count, 76, 2),
		FIELD(shmbus_derived_entry, reserved, 78, 2),
		FIELD(shmbus_derived_entry, operands, 80, 40),
		FIELD(shmbus_derived_entry, reserved1, 120, 8),
	};
	static const struct golden metric[] = {
		FIELD(shmbus_metric_entry, name, 0, 64),
		FIELD(shmbus_metric_entry, unit, 64, 16),
		FIELD(shmbus_metric_entry, stage, 80, 32),
		FIELD(shmbus_metric_entry, help, 112, 96),
		FIELD(shmbus_metric_entry, text, 208, 64),
		FIELD(shmbus_metric_entry, target, 272, 8),
		FIELD(shmbus_metric_entry, period_ns, 280, 8),
		FIELD(shmbus_metric_entry, target_quantile_ppm, 288, 4),
		FIELD(shmbus_metric_entry, window, 292, 4),
		FIELD(shmbus_metric_entry, rate_hz, 296, 4),
		FIELD(shmbus_metric_entry, quantum, 300, 4),
		FIELD(shmbus_metric_entry, wait_metric, 304, 2),
		FIELD(shmbus_metric_entry, xruns_metric, 306, 2),
		FIELD(shmbus_metric_entry, kind, 308, 1),
		FIELD(shmbus_metric_entry, merge, 309, 1),
		FIELD(shmbus_metric_entry, real, 310, 1),
		FIELD(shmbus_metric_entry, reserved, 311, 9),
	};
	static const struct golden writer[] = {
		FIELD(shmbus_writer_entry, offset, 0, 8),
		FIELD(shmbus_writer_entry, size, 8, 8),
		FIELD(shmbus_writer_entry, slots_offset, 16, 4),
		FIELD(shmbus_writer_entry, slot_count, 20, 4),
		FIELD(shmbus_writer_entry, ring_offset, 24, 4),
		FIELD(shmbus_writer_entry, capacity, 28, 4),
		FIELD(shmbus_writer_entry, name, 32, 32),
	};

	CHECK(shmbus_label_entry, label, 128);
	CHECK(shmbus_derived_entry, derived, 128);
	CHECK(shmbus_metric_entry, metric, 320);
	CHECK(shmbus_writer_entry, writer, 64);
}

Test(layout, heads_and_blocks)
{
	static const struct golden head[] = {
		FIELD(shmbus_head, position, 0, 8),
		FIELD(shmbus_head, reserved, 8, 56),
	};
	static const struct golden block[] = {
		FIELD(shmbus_writer_block, dropped_full, 0, 8),
		FIELD(shmbus_writer_block, dropped_head, 8, 8),
		FIELD(shmbus_writer_block, state, 16, 4),
		FIELD(shmbus_writer_block, tid, 20, 4),
		FIELD(shmbus_writer_block, reserved, 24, 40),
	};
	static const struct golden slot[] = {
		FIELD(shmbus_slot, value, 0, 8),
		FIELD(shmbus_slot, tag, 8, 8),
	};

	CHECK(shmbus_head, head, 64);
	CHECK(shmbus_writer_block, block, 64);
	CHECK(shmbus_slot, slot, 16);
}

Test(layout, snapshot)
{
	static const struct golden header[] = {
		FIELD(shmbus_snapshot_header, magic, 0, 8),
		FIELD(shmbus_snapshot_header, version, 8, 4),
		FIELD(shmbus_snapshot_header, log_offset, 12, 4),
		FIELD(shmbus_snapshot_header, log_size, 16, 8),
		FIELD(shmbus_snapshot_header, reserved0, 24, 40),
		FIELD(shmbus_snapshot_header, index, 64, 8),
		FIELD(shmbus_snapshot_header, reclaimed, 72, 8),
		FIELD(shmbus_snapshot_header, reserved1, 80, 48),
	};
	static const struct golden extent[] = {
		FIELD(shmbus_snapshot_extent, position, 0, 8),
		FIELD(shmbus_snapshot_extent, size, 8, 8),
	};
	static const struct golden index[] = {
		FIELD(shmbus_snapshot_index, seq, 0, 8),
		FIELD(shmbus_snapshot_index, time_unix_ns, 8, 8),
		FIELD(shmbus_snapshot_index, time_monotonic_ns, 16, 8),
		FIELD(shmbus_snapshot_index, interval_ns, 24, 8),
		FIELD(shmbus_snapshot_index, document_size, 32, 8),
		FIELD(shmbus_snapshot_index, extent_count, 40, 8),
	};

	CHECK(shmbus_snapshot_header, header, 128);
	CHECK(shmbus_snapshot_extent, extent, 16);
	CHECK(shmbus_snapshot_index, index, 48);
}

Test(layout, numbers)
{
	cr_expect_eq(memcmp(&(uint64_t){SHMBUS_MAGIC}, "SHMBUS\r\n", 8), 0);
	cr_expect_eq(memcmp(&(uint64_t){SHMBUS_SNAPSHOT_MAGIC}, "SMSNAP\r\n", 8), 0);
	cr_expect_eq(SHMBUS_LAYOUT_VERSION, 0x10000);
	cr_expect_eq(SHMBUS_SNAPSHOT_VERSION, 0x10000);
	cr_expect(SHMBUS_TIMER == 1 && SHMBUS_COUNTER == 2 && SHMBUS_UPDOWN == 3 &&
		  SHMBUS_GAUGE == 4 && SHMBUS_STATESET == 5 && SHMBUS_INFO == 6);
	cr_expect(SHMBUS_MERGE_SUM == 0 && SHMBUS_MERGE_MIN == 1 && SHMBUS_MERGE_MAX == 2 &&
		  SHMBUS_MERGE_MEAN == 3);
	cr_expect(SHMBUS_DERIVE_RATIO == 1 && SHMBUS_DERIVE_REMAINDER == 2);
	cr_expect(SHMBUS_CLOCK_MONOTONIC == 1 && SHMBUS_CLOCK_TSC == 2 &&
		  SHMBUS_CLOCK_CNTVCT == 3 && SHMBUS_CLOCK_INJECTED == 4);
	cr_expect(SHMBUS_SEGMENT_OPEN == 1 && SHMBUS_SEGMENT_CLOSED == 2);
	cr_expect(SHMBUS_WRITER_OPEN == 1 && SHMBUS_WRITER_CLOSED == 2);
	cr_expect(SHMBUS_FLAG_LOCK_ASKED == 1 && SHMBUS_FLAG_LOCK_FAILED == 2);
	cr_expect(SHMBUS_CONTROL == 4095 && SHMBUS_CONTROL_CORRELATION == 0 &&
		  SHMBUS_CONTROL_QUANTUM == 2);
	cr_expect_eq(SHMBUS_SLOT_ABSENT, UINT64_C(1) << 63);
	cr_expect_eq(SHMBUS_SLOT_ABSENT_REAL, UINT64_C(0x7ff8) << 48);
}

/* ---- a real segment, as bytes ---- */

static uint64_t injected_now(void)
{
	return 0x1122334455667780;
}

static uint64_t number(const uint8_t *at, size_t bytes)
{
	uint64_t n = 0;

	for (size_t i = 0; i < bytes; i++)
		n |= (uint64_t)at[i] << 8 * i;
	return n;
}

static const uint8_t *segment_bytes(const struct shmbus_session *session, size_t *size)
{
	int fd = shm_open(shmbus_session_segment(session), O_RDONLY, 0);
	struct stat status;
	void *map;

	cr_assert_geq(fd, 0);
	cr_assert_eq(fstat(fd, &status), 0);
	*size = (size_t)status.st_size;
	map = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	cr_assert_neq(map, MAP_FAILED);
	return map;
}

static void session_fill(struct shmbus_session *session, struct shmbus_writer **writer)
{
	struct shmbus_metric_options timer = {.name = "work",
					      .kind = SHMBUS_TIMER,
					      .help = "helps",
					      .stage = "dsp",
					      .target = 77};
	struct shmbus_metric_options gauge = {
		.name = "depth", .kind = SHMBUS_GAUGE, .unit = "By", .merge = SHMBUS_MERGE_MAX};
	struct shmbus_writer_options ring = {.name = "audio", .capacity = 64};
	shmbus_metric metrics[2];
	struct shmbus_derived_options derived = {.name = "share",
						 .rule = SHMBUS_DERIVE_REMAINDER,
						 .scale = 100,
						 .numerator = &metrics[1],
						 .numerator_count = 1,
						 .denominator = &metrics[0],
						 .denominator_count = 1};

	cr_assert_eq(shmbus_metric_define(session, &timer, &metrics[0]), 0);
	cr_assert_eq(shmbus_metric_define(session, &gauge, &metrics[1]), 0);
	cr_assert_eq(shmbus_derived_define(session, &derived), 0);
	cr_assert_eq(shmbus_writer_open(session, &ring, writer), 0);
	shmbus_record_at(*writer, metrics[0], 1000, 1500);
	shmbus_record_value_at(*writer, metrics[0], 42, 0x10000);
	shmbus_set(*writer, metrics[1], -5);
}

static void header_bytes_check(const uint8_t *at, size_t page)
{
	cr_expect_eq(memcmp(at, "SHMBUS\r\n", 8), 0);
	cr_expect_eq(number(at + 8, 4), 0x10000);
	cr_expect_eq(number(at + 12, 4), 512);
	cr_expect_eq(number(at + 16, 8), 0x1122334455667780);
	cr_expect_neq(number(at + 24, 8), 0);
	cr_expect_eq(number(at + 32, 8), number(at + 24, 8));
	cr_expect_eq(number(at + 40, 8), 1000000);
	cr_expect_eq(number(at + 48, 4), 4, "an injected clock");
	cr_expect_eq(number(at + 52, 4), (uint64_t)getpid());
	cr_expect_eq(number(at + 60, 4), page);
	/* labels 512 + 16 * 128, derived + 16 * 128, writers + 64 * 64, metrics + 64 * 320 */
	static const uint32_t geometry[] = {512,  128, 16, 2560, 128, 16,
					    4608, 64,  64, 8704, 320, 64};
	for (size_t i = 0; i < 12; i++)
		cr_expect_eq(number(at + 64 + 4 * i, 4), geometry[i], "geometry %zu", i);
	cr_expect_eq(number(at + 112, 4), (8704 + 64 * 320 + page - 1) / page * page);
	cr_expect_eq(number(at + 116, 4), 64);
	cr_expect_str_eq((const char *)at + 128, "the id");
	cr_expect_str_eq((const char *)at + 192, "svc");
	cr_expect_eq(number(at + 260, 4), 1, "open");
	cr_expect_eq(number(at + 264, 4), 2, "metrics");
	cr_expect_eq(number(at + 268, 4), 1, "derived values");
	cr_expect_eq(number(at + 272, 4), 1, "writers");
	cr_expect_eq(number(at + 276, 4) % 2, 0);
	cr_expect_eq(number(at + 288, 8), 0x1122334455667780);
	for (size_t i = 296; i < 512; i++)
		cr_expect_eq(at[i], 0, "reserved byte %zu", i);
}

static void table_bytes_check(const uint8_t *at)
{
	cr_expect_str_eq((const char *)at + 512, "source");
	cr_expect_str_eq((const char *)at + 512 + 32, "mic");

	cr_expect_str_eq((const char *)at + 2560, "share");
	cr_expect_eq(number(at + 2560 + 64, 8), 0x4059000000000000, "100.0");
	cr_expect_eq(number(at + 2560 + 72, 2), 2);
	cr_expect_eq(number(at + 2560 + 74, 2), 1);
	cr_expect_eq(number(at + 2560 + 76, 2), 1);
	cr_expect_eq(number(at + 2560 + 80, 2), 1);
	cr_expect_eq(number(at + 2560 + 82, 2), 0);

	cr_expect_str_eq((const char *)at + 8704, "work");
	cr_expect_str_eq((const char *)at + 8704 + 64, "ns");
	cr_expect_str_eq((const char *)at + 8704 + 80, "dsp");
	cr_expect_str_eq((const char *)at + 8704 + 112, "helps");
	cr_expect_eq(number(at + 8704 + 272, 8), 77);
	cr_expect_eq(number(at + 8704 + 288, 4), 990000);
	cr_expect_eq(at[8704 + 308], 1);
	cr_expect_str_eq((const char *)at + 9024, "depth");
	cr_expect_str_eq((const char *)at + 9024 + 64, "By");
	cr_expect_eq(at[9024 + 308], 4);
	cr_expect_eq(at[9024 + 309], 2);
}

static void writer_bytes_check(const uint8_t *at, size_t size, size_t page)
{
	uint64_t heads = number(at + 112, 4);
	uint64_t offset = number(at + 4608, 8);
	const uint8_t *block = at + offset, *ring;

	cr_expect_eq(offset, heads + (64 * 64 + page - 1) / page * page);
	cr_expect_eq(number(at + 4608 + 8, 8), size - offset);
	cr_expect_eq(number(at + 4608 + 16, 4), 64);
	cr_expect_eq(number(at + 4608 + 20, 4), 65, "a slot each, and one for overflow");
	cr_expect_eq(number(at + 4608 + 24, 4), 640, "64 + 65 * 8, up to a line");
	cr_expect_eq(number(at + 4608 + 28, 4), 64);
	cr_expect_str_eq((const char *)at + 4608 + 32, "audio");
	cr_expect_eq(number(block + 16, 4), 1, "open");
	cr_expect_eq(number(block + 64 + 8, 8), (uint64_t)-5, "the gauge's slot");
	ring = block + 640;
	cr_expect_eq(number(ring, 8), 500);
	cr_expect_eq(number(ring + 8, 8), (1500ull >> 6 << 14) + 2 + 1, "ticks, first lap");
	cr_expect_eq(number(ring + 16, 8), 42);
	cr_expect_eq(number(ring + 24, 8), (0x10000ull >> 6 << 14) + 1);
	for (size_t i = 32; i < 64 * 16; i++)
		cr_assert_eq(ring[i], 0, "ring byte %zu", i);
}

Test(layout, a_real_segment_byte_by_byte)
{
	struct shmbus_label label = {"source", "mic"};
	struct shmbus_session_options options = {
		.service = "svc", .id = "the id", .labels = &label, .label_count = 1};
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size;
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	const uint8_t *at;

	cr_assert_eq(shmbus_clock_inject(injected_now, 1000000), 0);
	cr_assert_eq(shmbus_session_open(&options, &session), 0);
	session_fill(session, &writer);
	at = segment_bytes(session, &size);
	header_bytes_check(at, page);
	table_bytes_check(at);
	writer_bytes_check(at, size, page);
	shmbus_session_close(session);
	cr_expect_eq(number(at + 260, 4), 2, "closed");
	munmap((void *)(uintptr_t)at, size);
}
