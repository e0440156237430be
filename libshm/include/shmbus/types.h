/* SPDX-License-Identifier: MIT */
/*
 * shmbus/types.h - words that every part of shmbus shares: kinds, limits, handles, atomics.
 *
 * Depends on the C library alone; compiles as C11 and as C++17.
 */
#ifndef SHMBUS_TYPES_H
#define SHMBUS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The layout in shared memory is shared between C and C++ programs, so atomics are named
 * through two macros: std::atomic<T> of a lock-free T has the size and the representation of
 * _Atomic(T) on every ABI that shmbus supports (layout.h asserts the sizes).
 */
#ifdef __cplusplus
#include <atomic>
#define SHMBUS_ATOMIC(T) std::atomic<T>
#define SHMBUS_RELAXED std::memory_order_relaxed
#define SHMBUS_ACQUIRE std::memory_order_acquire
#define SHMBUS_RELEASE std::memory_order_release
#define SHMBUS_STATIC_ASSERT(condition, text) static_assert(condition, text)
#define SHMBUS_BEGIN_DECLS extern "C" {
#define SHMBUS_END_DECLS }
#else
#include <stdatomic.h>
#define SHMBUS_ATOMIC(T) _Atomic(T)
#define SHMBUS_RELAXED memory_order_relaxed
#define SHMBUS_ACQUIRE memory_order_acquire
#define SHMBUS_RELEASE memory_order_release
#define SHMBUS_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#define SHMBUS_BEGIN_DECLS
#define SHMBUS_END_DECLS
#endif

#if defined(__GNUC__)
#define SHMBUS_LIKELY(x) __builtin_expect(!!(x), 1)
#define SHMBUS_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define SHMBUS_PUBLIC __attribute__((visibility("default")))
#else
#define SHMBUS_LIKELY(x) (x)
#define SHMBUS_UNLIKELY(x) (x)
#define SHMBUS_PUBLIC
#endif

#define SHMBUS_VERSION_MAJOR 0
#define SHMBUS_VERSION_MINOR 1
#define SHMBUS_VERSION_PATCH 0
#define SHMBUS_VERSION_STRING "0.1.0"

/* Bytes that a field holds in shared memory, the terminating NUL included. */
#define SHMBUS_BUS_SIZE 32u
#define SHMBUS_ID_SIZE 64u
#define SHMBUS_NAME_SIZE 64u
#define SHMBUS_STAGE_SIZE 32u
#define SHMBUS_UNIT_SIZE 16u
#define SHMBUS_HELP_SIZE 96u
#define SHMBUS_TEXT_SIZE 64u
#define SHMBUS_LABEL_KEY_SIZE 32u
#define SHMBUS_LABEL_VALUE_SIZE 96u
#define SHMBUS_WRITER_NAME_SIZE 32u

/* Counts of things in one session. */
#define SHMBUS_LABELS_MAX 16u
#define SHMBUS_WRITERS_MAX 64u
#define SHMBUS_METRICS_DEFAULT 64u
#define SHMBUS_METRICS_MAX 4094u
#define SHMBUS_DERIVED_MAX 16u
#define SHMBUS_DERIVED_OPERANDS_MAX 20u
#define SHMBUS_STATES_MAX 16u

/* Samples in a ring; always a power of two. */
#define SHMBUS_RING_DEFAULT 16384u
#define SHMBUS_RING_MIN 64u
#define SHMBUS_RING_MAX (1u << 24)

/* Samples in the exact window that the agent keeps for a timer. */
#define SHMBUS_WINDOW_DEFAULT 1000u
#define SHMBUS_WINDOW_MAX 65536u

/* What a metric is. The numbers are part of the layout in shared memory. */
enum shmbus_kind {
	SHMBUS_TIMER = 1,    /* samples through the ring, each one aggregated */
	SHMBUS_COUNTER = 2,  /* only grows; a slot for each writer, summed by the agent */
	SHMBUS_UPDOWN = 3,   /* grows and shrinks; a slot for each writer, summed by the agent */
	SHMBUS_GAUGE = 4,    /* the last value set; writers combined by the merge rule */
	SHMBUS_STATESET = 5, /* one of a few named states is on */
	SHMBUS_INFO = 6,     /* a constant text, fixed when the metric is defined */
};

/* How a gauge set by several writers, or present in several sessions, becomes one value. */
enum shmbus_merge {
	SHMBUS_MERGE_SUM = 0, /* the default */
	SHMBUS_MERGE_MIN = 1,
	SHMBUS_MERGE_MAX = 2,
	SHMBUS_MERGE_MEAN = 3,
};

/* How the agent computes a derived value from the metrics of its session. */
enum shmbus_derive {
	/* scale * sum(numerator) / sum(denominator): hit rate, drop %, real-time factor. */
	SHMBUS_DERIVE_RATIO = 1,
	/* scale * (sum(numerator) - sum(denominator)) / count(first numerator): the part of an
	 * end-to-end time that no stage accounts for, per end-to-end sample. */
	SHMBUS_DERIVE_REMAINDER = 2,
};

/*
 * A metric of one session, as shmbus_metric_define() hands it out. Valid for every writer of
 * that session and for no other session. Its numeric value is an implementation detail.
 */
typedef uint32_t shmbus_metric;

/* A label: key=value. Keys match [A-Za-z_][A-Za-z0-9_]*; values are UTF-8 without controls. */
struct shmbus_label {
	const char *key;
	const char *value;
};

struct shmbus_session;
struct shmbus_writer;

#endif /* SHMBUS_TYPES_H */
