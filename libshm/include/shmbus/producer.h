/* SPDX-License-Identifier: MIT */
/*
 * shmbus/producer.h - instrument a program: open a session, define metrics, record.
 *
 *                        thread        real-time  blocks
 *   session_open/close   one           no         system calls, allocation
 *   writer_open/close    any           no         system calls, allocation, a process lock
 *   metric_define, ...   any           no         a process lock
 *   label_set            any           no         a process lock
 *   now                  any           yes        never
 *   record*, add, set,   the writer's  yes        never: wait-free, no system call, no lock,
 *   cycle, xrun,         own thread               no allocation, no page fault, no errno
 *   correlate
 *   heartbeat            any           yes        never
 *
 * A writer belongs to one thread at a time; handing it to another thread needs the caller's
 * own synchronisation. Everything else may be called from several threads at once.
 *
 * Errors: control functions return 0 or a negative errno, and always hand back a handle that
 * may be used: where shared memory is full, missing or forbidden it is a no-op handle, and the
 * program runs on without metrics. With SHMBUS_DISABLE=1 in the environment every open hands
 * back a no-op handle and returns 0. A file that defines SHMBUS_NOOP before it includes this
 * header has its hot path compiled away.
 *
 * fork(): the child keeps valid handles, but nothing that it does reaches the parent's session;
 * it may open a session of its own.
 */
#ifndef SHMBUS_PRODUCER_H
#define SHMBUS_PRODUCER_H

#include <sys/types.h>

#include <shmbus/clock.h>
#include <shmbus/ring.h>
#include <shmbus/types.h>

SHMBUS_BEGIN_DECLS

/* Every member may be left zero. Strings are copied. */
struct shmbus_session_options {
	const char *bus;     /* NULL: $SHMBUS_BUS, else "default". [A-Za-z0-9_-], 1 to 31 bytes */
	const char *service; /* what this program is ("player"); NULL: the program's name */
	const char *id;      /* this session's name; NULL: "<service>-<pid>-<random>" */
	const struct shmbus_label *labels; /* at most SHMBUS_LABELS_MAX */
	size_t label_count;
	uint32_t metrics_max; /* 0: SHMBUS_METRICS_DEFAULT; at most SHMBUS_METRICS_MAX */
	mode_t mode;          /* 0: 0600, with a group 0660; or 0600, 0640, 0660 */
	const char *group;    /* whose agent may drain: a name or a number of which the program is
				 a member; NULL: $SHMBUS_GROUP; "": none but the program's own */
	bool lock_memory;     /* mlock the segment; the outcome shows in the snapshot */
};

/*
 * Creates a session: one segment in shared memory, named /shmbus.<bus>.s.<16 hex digits>.
 * All space is reserved with posix_fallocate, so that no later access can raise SIGBUS.
 *
 *   options  NULL stands for all defaults
 *   out      never NULL after the call; a no-op session after an error
 *
 * Returns 0, or -EINVAL (a name or a limit that is not allowed: shmbus_strerror() tells which),
 * -E2BIG (a string that is too long), -ENOSPC (no room in /dev/shm), -EPERM (the program is not
 * of that group), -EACCES, -EROFS, -ENOENT (no /dev/shm), -EMFILE, -ENFILE, -ENOMEM, or what
 * shm_open(3) and mmap(2) say.
 */
SHMBUS_PUBLIC int shmbus_session_open(const struct shmbus_session_options *options,
				      struct shmbus_session **out);

/*
 * Ends the session: its writers are closed, the agent drains what is left and shows it as
 * `ended`. Where no agent has ever run on this bus the segment is removed at once. No thread
 * may use the session or its writers any more. NULL is allowed.
 */
SHMBUS_PUBLIC void shmbus_session_close(struct shmbus_session *session);

/* Sets a label, or replaces its value while the session runs; value NULL removes it.
 * Returns 0, -EINVAL, -E2BIG, or -ENOSPC after SHMBUS_LABELS_MAX labels. */
SHMBUS_PUBLIC int shmbus_label_set(struct shmbus_session *session, const char *key,
				   const char *value);

/* Says that the session is alive while it has nothing to record. Wait-free. */
SHMBUS_PUBLIC void shmbus_heartbeat(struct shmbus_session *session);

/* The session's id, "" for a no-op session; valid until the session is closed. */
SHMBUS_PUBLIC const char *shmbus_session_id(const struct shmbus_session *session);

/* The name of the session's segment as shm_open(3) takes it, "" for a no-op session. */
SHMBUS_PUBLIC const char *shmbus_session_segment(const struct shmbus_session *session);

/* Every member may be left zero. */
struct shmbus_writer_options {
	const char *name;  /* NULL: "writer-<number>"; the same rule as for metric names */
	uint32_t capacity; /* samples in the ring, rounded up to a power of two; 0: 16384 */
};

/*
 * Opens a writer: a ring and a slot for each metric, for one thread. The ring's pages are
 * faulted in here. Returns 0, -EINVAL (capacity beyond SHMBUS_RING_MAX, a bad name), -ENOSPC
 * (SHMBUS_WRITERS_MAX writers, or no room in /dev/shm), -ENOMEM, or what mmap(2) says; *out is
 * a no-op writer after an error.
 */
SHMBUS_PUBLIC int shmbus_writer_open(struct shmbus_session *session,
				     const struct shmbus_writer_options *options,
				     struct shmbus_writer **out);

/* Closes a writer; what it recorded stays for the agent. NULL is allowed. */
SHMBUS_PUBLIC void shmbus_writer_close(struct shmbus_writer *writer);

/* A writer's own account: attempted = recorded + dropped, to the unit. */
struct shmbus_writer_stats {
	uint64_t attempted; /* samples that the program tried to record */
	uint64_t recorded;  /* samples that went into the ring */
	uint64_t dropped;   /* samples refused because the ring was full */
	uint64_t capacity;  /* samples that the ring holds; 0 for a no-op writer */
};

/* Reads the writer's account. Only the writer's own thread may call; wait-free. */
SHMBUS_PUBLIC void shmbus_writer_stats_get(const struct shmbus_writer *writer,
					   struct shmbus_writer_stats *out);

struct shmbus_metric_options {
	const char *name;  /* [A-Za-z_][A-Za-z0-9_.:/-]*, at most 63 bytes; one of its kind */
	const char *help;  /* one sentence, at most 95 bytes; may be NULL */
	const char *unit;  /* UCUM, at most 15 bytes: "ns", "By", "1", "{frame}"; NULL: "ns" for a
			      timer, "1" for the rest */
	const char *stage; /* the pipeline stage that it belongs to; may be NULL */
	const char *text;  /* STATESET: names separated by '|'; INFO: the text; else NULL */
	enum shmbus_kind kind;
	enum shmbus_merge merge; /* gauges */
	bool real;               /* GAUGE: values are doubles, set with shmbus_set_real() */
	uint32_t window;         /* TIMER: samples in the exact window; 0: the agent's default */
	uint64_t target;        /* TIMER: largest value that meets the target, in `unit`; 0: none */
	double target_quantile; /* with target: the quantile that shall meet it, 0.99 if 0 */
	uint64_t period_ns;     /* TIMER: the deadline of each sample; 0: none */
};

/*
 * Defines a metric, or finds the one already defined with the same name and kind. May be called
 * while the session records. Returns 0, -EINVAL, -E2BIG, -EEXIST (another kind under that
 * name), or -ENOSPC after metrics_max metrics; after an error *out is a handle whose samples
 * are counted in the snapshot's overflow entry, or nothing on a no-op session.
 */
SHMBUS_PUBLIC int shmbus_metric_define(struct shmbus_session *session,
				       const struct shmbus_metric_options *options,
				       shmbus_metric *out);

/*
 * A periodic callback in the terms of audio graphs: the driver signals, the thread awakes, it
 * finishes. WAIT = awake - signal, BUSY = finish - awake, and the deadline is missed when
 * finish - signal exceeds the quantum's time.
 */
struct shmbus_cycle_options {
	const char *name;  /* of the BUSY timer; WAIT is <name>.wait, xruns are <name>.xruns */
	const char *help;  /* may be NULL */
	const char *stage; /* may be NULL */
	uint32_t rate_hz;  /* frames a second, 48000 say; 1000000000 makes a frame a nanosecond */
	uint32_t quantum;  /* frames a cycle at the start */
};

struct shmbus_cycle {
	shmbus_metric busy;
	shmbus_metric wait;
	shmbus_metric xruns;
	uint32_t quantum; /* frames, as last told to the agent */
};

/* Defines the three metrics of a cycle. A struct shmbus_cycle belongs to one writer's thread.
 * Returns what shmbus_metric_define() returns. */
SHMBUS_PUBLIC int shmbus_cycle_define(struct shmbus_session *session,
				      const struct shmbus_cycle_options *options,
				      struct shmbus_cycle *out);

struct shmbus_derived_options {
	const char *name;
	enum shmbus_derive rule;
	double scale; /* 0 stands for 1; 100 makes a ratio a percentage; within +-1e300 */
	const shmbus_metric *numerator;
	size_t numerator_count;
	const shmbus_metric *denominator;
	size_t denominator_count;
};

/*
 * Declares a value that the agent computes from other metrics of the session: a counter, an
 * updown or a gauge counts with its value, a timer with its sum. Returns 0, -EINVAL, -E2BIG,
 * -EEXIST, or -ENOSPC after SHMBUS_DERIVED_MAX.
 */
SHMBUS_PUBLIC int shmbus_derived_define(struct shmbus_session *session,
					const struct shmbus_derived_options *options);

/* The text for a negative errno from this thread's last failed call, with what is allowed where
 * the error is the caller's; else what strerror(3) says. Never NULL. */
SHMBUS_PUBLIC const char *shmbus_strerror(int error);

/* The library's version, "0.1.0". */
SHMBUS_PUBLIC const char *shmbus_version(void);

/* ---- the hot path: static inline, wait-free ---- */

/*
 * A writer's private half; the shared half is struct shmbus_writer_block in layout.h. The
 * members are not part of the interface, they are here to be inlined.
 */
struct shmbus_writer {
	struct shmbus_ring_producer ring; /* first: the line that every record touches */
	SHMBUS_ATOMIC(uint64_t) * slots;  /* a value for each metric; single writer */
	struct shmbus_writer_block *block;
	struct shmbus_session *session; /* NULL for a no-op writer */
	uint64_t block_size;
	uint64_t correlation;     /* as last asked for */
	uint64_t controls;        /* records in the ring that are not samples */
	uint32_t number;          /* in the session */
	bool correlation_pending; /* asked for, and not yet in the ring */
	bool open;
};

/* Not for callers: the paths that the inline functions leave to the library. */
SHMBUS_PUBLIC bool shmbus__record_slow(struct shmbus_writer *writer, uint64_t value, uint64_t tag,
				       uint64_t value2, uint64_t tag2);
SHMBUS_PUBLIC void shmbus__control(struct shmbus_writer *writer, uint64_t value, uint64_t when,
				   uint32_t type);
SHMBUS_PUBLIC void shmbus__quantum_set(struct shmbus_writer *writer, struct shmbus_cycle *cycle,
				       uint32_t quantum, uint64_t when);

/* C++ compilers say (-Wshadow) that a function hides the constructor of the struct of its name;
 * nothing is lost: struct shmbus_cycle still names the struct. */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
static inline bool shmbus_cycle(struct shmbus_writer *writer, struct shmbus_cycle *cycle,
				uint64_t signal, uint64_t awake, uint64_t finish, uint32_t quantum);
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#ifndef SHMBUS_NOOP

/* Records a duration between two clock reads: value = end - start, in ticks. Returns false
 * where the ring was full and the sample was dropped and counted. */
static inline bool shmbus_record_at(struct shmbus_writer *writer, shmbus_metric metric,
				    uint64_t start, uint64_t end)
{
	uint64_t tag = shmbus_tag_make(metric, SHMBUS_TAG_TICKS, end);

	if (SHMBUS_LIKELY(shmbus_ring_push(&writer->ring, end - start, tag)))
		return true;
	return shmbus__record_slow(writer, end - start, tag, 0, 0);
}

/* Records the time from `start` (a shmbus_now() of before) to now. One clock read. */
static inline bool shmbus_record(struct shmbus_writer *writer, shmbus_metric metric, uint64_t start)
{
	return shmbus_record_at(writer, metric, start, shmbus_now());
}

/* Records a value in the metric's own unit, measured at `when` (a shmbus_now()). */
static inline bool shmbus_record_value_at(struct shmbus_writer *writer, shmbus_metric metric,
					  uint64_t value, uint64_t when)
{
	uint64_t tag = shmbus_tag_make(metric, 0, when);

	if (SHMBUS_LIKELY(shmbus_ring_push(&writer->ring, value, tag)))
		return true;
	return shmbus__record_slow(writer, value, tag, 0, 0);
}

/* Records a value in the metric's own unit, measured now. One clock read. */
static inline bool shmbus_record_value(struct shmbus_writer *writer, shmbus_metric metric,
				       uint64_t value)
{
	return shmbus_record_value_at(writer, metric, value, shmbus_now());
}

/* Stores into the writer's slot of a metric: plain store, no read-modify-write, never lost. */
static inline void shmbus__slot_store(struct shmbus_writer *writer, shmbus_metric metric,
				      uint64_t value)
{
	/* relaxed: one writer; the agent reads the slot as one 64-bit word. */
	atomic_store_explicit(&writer->slots[metric], value, SHMBUS_RELAXED);
}

/* Adds to a COUNTER (n >= 0) or an UPDOWN. */
static inline void shmbus_add(struct shmbus_writer *writer, shmbus_metric metric, int64_t n)
{
	/* relaxed: only this thread writes the slot. */
	uint64_t old = atomic_load_explicit(&writer->slots[metric], SHMBUS_RELAXED);

	shmbus__slot_store(writer, metric, old + (uint64_t)n);
}

/* Sets a GAUGE, or the state of a STATESET by its number (0 is the first name). */
static inline void shmbus_set(struct shmbus_writer *writer, shmbus_metric metric, int64_t value)
{
	shmbus__slot_store(writer, metric, (uint64_t)value);
}

/* Sets a GAUGE that was defined with `real`. A NaN makes it absent. */
static inline void shmbus_set_real(struct shmbus_writer *writer, shmbus_metric metric, double value)
{
	union {
		double real;
		uint64_t bits;
	} word;

	word.real = value;
	shmbus__slot_store(writer, metric, word.bits);
}

/*
 * Records one cycle: WAIT and BUSY, both or neither. The three times are shmbus_now() values;
 * quantum is in frames and may change from cycle to cycle.
 */
static inline bool shmbus_cycle(struct shmbus_writer *writer, struct shmbus_cycle *cycle,
				uint64_t signal, uint64_t awake, uint64_t finish, uint32_t quantum)
{
	uint64_t wait_tag = shmbus_tag_make(cycle->wait, SHMBUS_TAG_TICKS, awake);
	uint64_t busy_tag = shmbus_tag_make(cycle->busy, SHMBUS_TAG_TICKS, finish);

	if (SHMBUS_UNLIKELY(quantum != cycle->quantum))
		shmbus__quantum_set(writer, cycle, quantum, awake);
	if (SHMBUS_LIKELY(shmbus_ring_push_two(&writer->ring, awake - signal, wait_tag,
					       finish - awake, busy_tag)))
		return true;
	return shmbus__record_slow(writer, awake - signal, wait_tag, finish - awake, busy_tag);
}

/* Counts an xrun that the audio server or the driver reported. */
static inline void shmbus_xrun(struct shmbus_writer *writer, const struct shmbus_cycle *cycle)
{
	shmbus_add(writer, cycle->xruns, 1);
}

/* Gives the samples that follow on this writer a correlation id (a request, a frame number),
 * which the snapshot shows beside the worst sample; 0 is none. One record in the ring. */
static inline void shmbus_correlate(struct shmbus_writer *writer, uint64_t id)
{
	shmbus__control(writer, id, shmbus_now(), SHMBUS_CONTROL_CORRELATION);
}

#else /* SHMBUS_NOOP: the same signatures, no code */

static inline bool shmbus_record_at(struct shmbus_writer *writer, shmbus_metric metric,
				    uint64_t start, uint64_t end)
{
	(void)writer, (void)metric, (void)start, (void)end;
	return true;
}
static inline bool shmbus_record(struct shmbus_writer *writer, shmbus_metric metric, uint64_t start)
{
	(void)writer, (void)metric, (void)start;
	return true;
}
static inline bool shmbus_record_value_at(struct shmbus_writer *writer, shmbus_metric metric,
					  uint64_t value, uint64_t when)
{
	(void)writer, (void)metric, (void)value, (void)when;
	return true;
}
static inline bool shmbus_record_value(struct shmbus_writer *writer, shmbus_metric metric,
				       uint64_t value)
{
	(void)writer, (void)metric, (void)value;
	return true;
}
static inline void shmbus_add(struct shmbus_writer *writer, shmbus_metric metric, int64_t n)
{
	(void)writer, (void)metric, (void)n;
}
static inline void shmbus_set(struct shmbus_writer *writer, shmbus_metric metric, int64_t value)
{
	(void)writer, (void)metric, (void)value;
}
static inline void shmbus_set_real(struct shmbus_writer *writer, shmbus_metric metric, double value)
{
	(void)writer, (void)metric, (void)value;
}
static inline bool shmbus_cycle(struct shmbus_writer *writer, struct shmbus_cycle *cycle,
				uint64_t signal, uint64_t awake, uint64_t finish, uint32_t quantum)
{
	(void)writer, (void)cycle, (void)signal, (void)awake, (void)finish, (void)quantum;
	return true;
}
static inline void shmbus_xrun(struct shmbus_writer *writer, const struct shmbus_cycle *cycle)
{
	(void)writer, (void)cycle;
}
static inline void shmbus_correlate(struct shmbus_writer *writer, uint64_t id)
{
	(void)writer, (void)id;
}

#endif /* SHMBUS_NOOP */

SHMBUS_END_DECLS

#endif /* SHMBUS_PRODUCER_H */
