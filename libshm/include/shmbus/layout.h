/* SPDX-License-Identifier: MIT */
/*
 * shmbus/layout.h - what a session's segment in shared memory looks like, byte by byte.
 *
 *   offset            who writes   what
 *   0                 producer     struct shmbus_header
 *   labels_offset     producer     struct shmbus_label_entry [labels_capacity], a sequence lock
 *   derived_offset    producer     struct shmbus_derived_entry [derived_capacity], append-only
 *   writers_offset    producer     struct shmbus_writer_entry [writers_capacity], append-only
 *   metrics_offset    producer     struct shmbus_metric_entry [metrics_capacity], append-only
 *   heads_offset      agent        struct shmbus_head [writers_capacity], pages of its own
 *   a writer's offset producer     struct shmbus_writer_block, slots, ring; pages of its own
 *
 * Integers are little-endian and fixed-width. Offsets and sizes are in bytes and stand in the
 * header, so that a reader of another minor version finds what it knows; a field that a reader
 * does not know is zero. The segment grows by whole writer blocks and never shrinks.
 *
 * Memory order, control plane (the ring's edges are in ring.h):
 *   R-version  release: publishes the header     pairs with A-version in consumer attach
 *   R-metric   release: metric_count, publishes descriptors      pairs with A-metric
 *   R-derived  release: derived_count                            pairs with A-derived
 *   R-writer   release: writer_count, publishes a writer's entry and block, pairs with A-writer
 *   R-change   release: changes, after any of the above          pairs with A-change
 */
#ifndef SHMBUS_LAYOUT_H
#define SHMBUS_LAYOUT_H

#include <shmbus/types.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "shmbus: the layout in shared memory is little-endian"
#endif

#define SHMBUS_LINE_SIZE 64u

/* "SHMBUS\r\n", little-endian. */
#define SHMBUS_MAGIC 0x0a0d5355424d4853ull
#define SHMBUS_LAYOUT_MAJOR 1u
#define SHMBUS_LAYOUT_MINOR 0u
#define SHMBUS_LAYOUT_VERSION ((SHMBUS_LAYOUT_MAJOR << 16) | SHMBUS_LAYOUT_MINOR)

/* Names in /dev/shm: SHMBUS_PREFIX <bus> "." and one of these. */
#define SHMBUS_PREFIX "shmbus."
#define SHMBUS_SEGMENT_INFIX "s."
#define SHMBUS_AGENT_SUFFIX "agent"
#define SHMBUS_SNAPSHOT_SUFFIX "snapshot"
#define SHMBUS_CHECKPOINT_SUFFIX "checkpoint"

enum shmbus_segment_state {
	SHMBUS_SEGMENT_OPEN = 1,
	SHMBUS_SEGMENT_CLOSED = 2, /* the session was closed; nothing more will be recorded */
};

/* Bits of shmbus_header.flags. */
#define SHMBUS_FLAG_LOCK_ASKED 1u  /* mlock was asked for */
#define SHMBUS_FLAG_LOCK_FAILED 2u /* and refused for at least one part */

struct shmbus_header {
	/* Constant once version is set. */
	uint64_t magic;
	SHMBUS_ATOMIC(uint32_t) version; /* 0 while the segment is being made */
	uint32_t header_size;
	uint64_t start_ticks;
	uint64_t start_time_unix_ns;
	uint64_t incarnation; /* start time too, made unique: later ones are larger */
	uint64_t tick_hz;     /* ticks a second where only the producer knows, else 0 */
	uint32_t clock_source;
	int32_t pid; /* in the producer's own pid namespace: a hint */
	uint32_t tid_main;
	uint32_t page_size;

	uint32_t labels_offset;
	uint32_t labels_stride;
	uint32_t labels_capacity;
	uint32_t derived_offset;
	uint32_t derived_stride;
	uint32_t derived_capacity;
	uint32_t writers_offset;
	uint32_t writers_stride;
	uint32_t writers_capacity;
	uint32_t metrics_offset;
	uint32_t metrics_stride;
	uint32_t metrics_capacity;
	uint32_t heads_offset;
	uint32_t heads_stride;
	uint32_t reserved0[2];

	char id[SHMBUS_ID_SIZE];
	char service[SHMBUS_NAME_SIZE];

	/* Changing: the one line that the agent looks at each time. */
	SHMBUS_ATOMIC(uint32_t) changes; /* +1 after a change to anything below or any table */
	SHMBUS_ATOMIC(uint32_t) state;
	SHMBUS_ATOMIC(uint32_t) metric_count;
	SHMBUS_ATOMIC(uint32_t) derived_count;
	SHMBUS_ATOMIC(uint32_t) writer_count;
	SHMBUS_ATOMIC(uint32_t) labels_sequence; /* odd while labels change */
	SHMBUS_ATOMIC(uint32_t) flags;
	uint32_t reserved1;
	SHMBUS_ATOMIC(uint64_t) heartbeat_ticks;
	uint64_t reserved2[3];
	uint64_t reserved3[24];
};

/* Key and value as words, because they are read while they change. A free entry has an empty
 * key. */
#define SHMBUS_LABEL_WORDS ((SHMBUS_LABEL_KEY_SIZE + SHMBUS_LABEL_VALUE_SIZE) / 8)
struct shmbus_label_entry {
	SHMBUS_ATOMIC(uint64_t) words[SHMBUS_LABEL_WORDS];
};

struct shmbus_derived_entry {
	char name[SHMBUS_NAME_SIZE];
	double scale;
	uint16_t rule; /* enum shmbus_derive */
	uint16_t numerator_count;
	uint16_t denominator_count;
	uint16_t reserved;
	uint16_t operands[SHMBUS_DERIVED_OPERANDS_MAX]; /* metric numbers, numerators first */
	uint64_t reserved1;
};

struct shmbus_metric_entry {
	char name[SHMBUS_NAME_SIZE];
	char unit[SHMBUS_UNIT_SIZE];
	char stage[SHMBUS_STAGE_SIZE];
	char help[SHMBUS_HELP_SIZE];
	char text[SHMBUS_TEXT_SIZE];
	uint64_t target;
	uint64_t period_ns;
	uint32_t target_quantile_ppm;
	uint32_t window;
	uint32_t rate_hz; /* of a cycle; 0 for other metrics */
	uint32_t quantum;
	uint16_t wait_metric; /* of a cycle: the numbers of its companions */
	uint16_t xruns_metric;
	uint8_t kind;
	uint8_t merge;
	uint8_t real;
	uint8_t reserved[9];
};

struct shmbus_writer_entry {
	uint64_t offset;       /* of the block in the segment; a multiple of page_size */
	uint64_t size;         /* of the block */
	uint32_t slots_offset; /* in the block */
	uint32_t slot_count;   /* metrics_capacity + 1: the last one is the overflow metric's */
	uint32_t ring_offset;  /* in the block; a multiple of 64 */
	uint32_t capacity;     /* samples; a power of two */
	char name[SHMBUS_WRITER_NAME_SIZE];
};

/* The agent's read position of one writer: samples up to it may be overwritten. */
struct shmbus_head {
	SHMBUS_ATOMIC(uint64_t) position;
	uint64_t reserved[7];
};

enum shmbus_writer_state {
	SHMBUS_WRITER_OPEN = 1,
	SHMBUS_WRITER_CLOSED = 2,
};

/* The first line of a writer's block; slots and ring follow. */
struct shmbus_writer_block {
	SHMBUS_ATOMIC(uint64_t) dropped_full; /* samples refused: the ring was full */
	SHMBUS_ATOMIC(uint64_t) dropped_head; /* samples refused: the head made no sense */
	SHMBUS_ATOMIC(uint32_t) state;
	uint32_t tid;
	uint64_t reserved[5];
};

/* What a gauge's or a state set's slot holds before it was first set; for a real gauge, any
 * NaN. */
#define SHMBUS_SLOT_ABSENT 0x8000000000000000ull
#define SHMBUS_SLOT_ABSENT_REAL 0x7ff8000000000000ull

SHMBUS_STATIC_ASSERT(sizeof(SHMBUS_ATOMIC(uint32_t)) == 4, "lock-free 32-bit atomics");
SHMBUS_STATIC_ASSERT(sizeof(SHMBUS_ATOMIC(uint64_t)) == 8, "lock-free 64-bit atomics");
SHMBUS_STATIC_ASSERT(sizeof(struct shmbus_header) == 512, "header");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_header, version) == 8, "header");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_header, start_ticks) == 16, "header");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_header, tick_hz) == 40, "header");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_header, labels_offset) == 64, "header");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_header, heads_offset) == 112, "header");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_header, id) == 128, "header");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_header, service) == 192, "header");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_header, changes) == 256, "header");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_header, heartbeat_ticks) == 288, "header");
SHMBUS_STATIC_ASSERT(sizeof(struct shmbus_label_entry) == 128, "label");
SHMBUS_STATIC_ASSERT(sizeof(struct shmbus_derived_entry) == 128, "derived");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_derived_entry, operands) == 80, "derived");
SHMBUS_STATIC_ASSERT(sizeof(struct shmbus_metric_entry) == 320, "metric");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_metric_entry, target) == 272, "metric");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_metric_entry, kind) == 308, "metric");
SHMBUS_STATIC_ASSERT(sizeof(struct shmbus_writer_entry) == 64, "writer");
SHMBUS_STATIC_ASSERT(sizeof(struct shmbus_head) == SHMBUS_LINE_SIZE, "head");
SHMBUS_STATIC_ASSERT(sizeof(struct shmbus_writer_block) == SHMBUS_LINE_SIZE, "writer block");

/*
 * The snapshot: one file, written by the agent alone, replaced by rename(2) when it must grow.
 *
 *   offset 0         struct shmbus_snapshot_header
 *   log_offset       the log: log_size bytes, a power of two, written round and round
 *
 * A position in the log is a 64-bit count of bytes ever written; its byte is at
 * log_offset + position % log_size, and an item never wraps around the end. A document is the
 * concatenation of the extents that its index lists. The agent never changes a byte of the
 * newest document; before it reuses older bytes it raises `reclaimed`, so a reader copies first
 * and then checks that nothing that it copied lies below `reclaimed`.
 *
 *   R-index     release: index, publishes a document            pairs with A-index
 *   R-reclaim   release fence after raising reclaimed           pairs with A-reclaim
 */
#define SHMBUS_SNAPSHOT_MAGIC 0x0a0d50414e534d53ull /* "SMSNAP\r\n" */
#define SHMBUS_SNAPSHOT_MAJOR 1u
#define SHMBUS_SNAPSHOT_MINOR 0u
#define SHMBUS_SNAPSHOT_VERSION ((SHMBUS_SNAPSHOT_MAJOR << 16) | SHMBUS_SNAPSHOT_MINOR)

struct shmbus_snapshot_header {
	uint64_t magic;
	uint32_t version;
	uint32_t log_offset;
	uint64_t log_size;
	uint64_t reserved0[5];

	SHMBUS_ATOMIC(uint64_t) index;     /* position of the newest index; 0: none yet */
	SHMBUS_ATOMIC(uint64_t) reclaimed; /* positions below may be overwritten */
	uint64_t reserved1[6];
};

struct shmbus_snapshot_extent {
	uint64_t position;
	uint64_t size;
};

/* At the position that shmbus_snapshot_header.index names; a multiple of 8. */
struct shmbus_snapshot_index {
	uint64_t seq;
	uint64_t time_unix_ns;
	uint64_t time_monotonic_ns;
	uint64_t interval_ns;
	uint64_t document_size; /* the sum of the extents' sizes */
	uint64_t extent_count;  /* struct shmbus_snapshot_extent [extent_count] follows */
};

SHMBUS_STATIC_ASSERT(sizeof(struct shmbus_snapshot_header) == 128, "snapshot header");
SHMBUS_STATIC_ASSERT(offsetof(struct shmbus_snapshot_header, index) == 64, "snapshot header");
SHMBUS_STATIC_ASSERT(sizeof(struct shmbus_snapshot_index) == 48, "snapshot index");

#endif /* SHMBUS_LAYOUT_H */
