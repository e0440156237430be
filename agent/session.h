/* SPDX-License-Identifier: MIT */
/*
 * session.h - what the agent holds of one producer's session, and who may touch it when.
 *
 *   members        thread
 *   constant       any, once the session is in the registry
 *   stage          an atomic that hands the session on:
 *                    LIVE     the drain thread drains it
 *                    DYING    the reaper has seen that the producer is gone; the drain thread
 *                             reads the rings once more, to the last published sample
 *                    DRAINED  nothing touches the segment any more; the reaper unlinks it
 *                    GONE     only the numbers are left, until the TTL has passed
 *                    EXPIRED  the reaper has seen that it has; the drain thread takes the
 *                             session out of the checkpoint
 *                    REMOVED  the reaper takes it out of the registry
 *   live           the drain thread
 *   committed      the drain thread while the publisher waits, else the publisher reads:
 *                  see checkpoint.h
 *   published      the publisher
 *   process        atomics: the reaper writes, the publisher reads
 */
#ifndef SHMBUS_AGENT_SESSION_H
#define SHMBUS_AGENT_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <urcu.h>
#include <urcu/rculfhash.h>

#include <shmbus/consumer.h>

#include "series.h"
#include "slices.h"
#include "store.h"
#include "ticks.h"

struct total;

enum session_stage {
	SESSION_LIVE,
	SESSION_DYING,
	SESSION_DRAINED,
	SESSION_GONE,
	SESSION_EXPIRED,
	SESSION_REMOVED,
};

enum session_state {
	SESSION_RUNNING,
	SESSION_STALE,
	SESSION_ENDED,
	SESSION_LOST,
};

/* Who has not seen the last change yet. */
enum {
	DIRTY_PUBLISH = 1, /* the committed state, and with it the publisher */
	DIRTY_SAVE = 2,    /* the checkpoint that outlives the agent */
	DIRTY_ALL = 3,
};

struct metric {
	/* Constant. */
	struct shmbus_metric_entry entry;
	bool timer;
	bool judged;        /* has a target or a deadline: a look at every sample */
	bool wait_of_cycle; /* its samples are the WAIT of the sample that follows */

	/* Live. */
	uint8_t dirty; /* DIRTY_... */
	struct series live;
	uint64_t period_ns; /* as of the last quantum heard of */
	uint32_t quantum;
	bool live_present;  /* a slot was set */
	uint64_t live_bits; /* slots merged: an int64_t, a double for a real gauge */
	struct cell cell;   /* whose body has the live window, once it is taken */
	struct cell slices_cell;
	uint64_t slices_saved; /* slices.count when they were last saved */
	uint64_t counted;      /* while it is restored: what the total's window had of its window */

	/* Committed. */
	struct series committed;
	uint64_t committed_period_ns;
	uint32_t committed_quantum;
	bool present;
	uint64_t bits;
	struct total *total;
	bool total_refused; /* the totals are full: its samples count as overflow there */

	/* Published. */
	struct slices slices;
};

/* One writer's account: aggregated + used + dropped is all that it tried. */
struct writer_account {
	uint64_t before;     /* taken by an earlier agent */
	uint64_t aggregated; /* samples folded by this one */
	uint64_t controls;   /* records read that are no samples */
	uint64_t used;       /* samples published and not yet read */
	uint64_t high_water; /* most of them at one look */
	uint64_t dropped_full;
	uint64_t dropped_head;
};

struct writer_name {
	char text[SHMBUS_WRITER_NAME_SIZE];
	uint32_t capacity;
};

/* What the drain thread knows of a writer. */
struct writer_live {
	struct writer_account account;
	uint64_t position; /* samples up to here are folded, */
	uint64_t released; /* up to here saved, and given back to the producer */
	uint64_t correlation_id;
	uint64_t wait_ns; /* of the cycle whose BUSY comes next */
};

struct writer {
	struct writer_name name;         /* constant */
	struct writer_live live;         /* live */
	struct writer_account committed; /* committed */
};

struct session_live {
	uint32_t changes; /* of the segment's counter, as last acted on */
	bool seen;        /* the tables were read at least once */
	uint8_t dirty;    /* DIRTY_... */
	bool hungry;      /* its producer should get slots back before the next tick */
	bool dying;       /* the last drain is done */
	bool fault;       /* the segment was cut short, or lied; it is not touched again */
	uint32_t updates; /* readings of the tables in this pass */
	uint32_t metric_count;
	uint32_t writer_count;
	uint32_t first_writer; /* that the next pass begins with */
	uint32_t derived_count;
	uint32_t label_count;
	uint32_t flags;        /* SHMBUS_FLAG_... */
	uint32_t extra;        /* samples that its windows have beyond the default size */
	uint64_t overflow;     /* samples of no known timer */
	uint64_t last_read;    /* records, since its producer is gone */
	uint64_t next_look_ns; /* at the tables and the heartbeat, CLOCK_MONOTONIC */
	uint64_t heartbeat_ticks;
	uint64_t sign_ns; /* the last sign of life, CLOCK_MONOTONIC */
	enum session_state state;
	uint64_t end_time_unix_ns; /* 0 before its end */
	struct shmbus_consumer_label labels[SHMBUS_LABELS_MAX];
	char reason[96]; /* of a fault */
};

struct session_committed {
	bool known; /* a checkpoint has it */
	bool dirty; /* to be encoded again */
	uint32_t metric_count;
	uint32_t writer_count;
	uint32_t derived_count;
	uint32_t label_count;
	uint32_t flags;
	uint64_t aggregated;
	uint64_t dropped;
	uint64_t overflow;
	uint64_t sign_ns;
	enum session_state state;
	uint64_t end_time_unix_ns;
	uint64_t shm_bytes;
	struct shmbus_consumer_label labels[SHMBUS_LABELS_MAX];
	char reason[96];
};

/* Where the session's part of the document stands in the snapshot's log. */
struct session_published {
	uint64_t position;
	uint64_t size;  /* 0: it has to be encoded */
	uint32_t keys;  /* in its map */
	uint64_t bytes; /* of memory that the agent had for it, as last encoded */
	bool pending;   /* encoded for the document that is being made */
	bool final;     /* ended or lost, and encoded for the last time */
	void *document; /* with `final`: what was encoded, until it is saved or in the log */
	bool waiting;   /* it is not in the log yet */
	uint64_t process_version;
	uint64_t due_s;  /* nothing leaves its time windows before this second, */
	uint64_t seen_s; /* and up to this one they were left alone: nothing had come */
	bool valued;     /* has values that the totals are made of at each snapshot */
};

struct session_process {
	_Atomic uint64_t version; /* +1 when the rest has changed by something worth showing */
	_Atomic uint64_t rss_bytes;
	_Atomic uint32_t cpu_ppm; /* of one core, millionths */
	/* The reaper's own. */
	uint64_t cpu_ns;
	uint64_t sampled_ns;
	uint64_t start_jiffies; /* of the process, so that a reused pid is not taken for it */
	bool lost;
};

struct session {
	struct cds_lfht_node node;
	struct rcu_head rcu;

	/* Constant. */
	uint64_t key;                     /* the 16 hex digits of the segment's name */
	struct shmbus_consumer *consumer; /* the segment; closed at stage GONE */
	uint64_t device;                  /* of the segment's file */
	uint64_t inode;
	struct tick_scale scale;              /* of clocks that are not the processor's counter */
	struct metric **metrics;              /* metrics_capacity of them; filled in order */
	struct writer **writers;              /* writers_capacity of them; filled in order */
	struct shmbus_derived_entry *derived; /* derived_capacity of them, or NULL; in order */

	_Atomic enum session_stage stage;
	_Atomic uint64_t gone_ns; /* when it became GONE, CLOCK_MONOTONIC */
	_Atomic bool forgotten;   /* the final document was published; memory may go */
	_Atomic bool closed;      /* the producer said goodbye before it went */
	bool unremoved;           /* its segment could not be unlinked; the reaper's own */

	struct session_live live;
	struct session_committed committed;
	struct session_published published;
	struct session_process process;

	/* The drain thread's. */
	struct cell cell;
	struct cell finished_cell;
};

/* Makes a session from an attached consumer, which it then owns. NULL: no memory. */
struct session *session_new(struct shmbus_consumer *consumer, uint64_t key);

/* Bytes of the agent's memory that it takes. The publisher. */
uint64_t session_bytes(const struct session *session);

/* Frees all of it; no thread may still see it. */
void session_free(struct session *session);

/* Frees what a finished session no longer needs: series, slices, descriptors. The publisher. */
void session_forget(struct session *session);

/* Its segment is not to be touched again, for the first of all reasons. The drain thread. */
void session_fault(struct session *session, const char *reason);

/* The session's next writer, with nothing counted yet; NULL: no memory. */
struct writer *session_writer_add(struct session *session, const struct writer_name *name);

/* The session's next derived value. False: no memory. */
bool session_derived_add(struct session *session, const struct shmbus_derived_entry *entry);

/* A metric that has no samples yet; NULL: no memory. */
struct metric *metric_new(const struct shmbus_metric_entry *entry, uint32_t window_default);
void metric_free(struct metric *metric);

/* Counts the samples that a metric's window has beyond the default size. */
void session_window_count(struct session *session, const struct metric *metric,
			  uint32_t window_default);

/* Notes what a cycle's metrics are to each other. */
void session_metric_link(struct session *session, const struct metric *metric);

/* Reads the segment's tables again: new writers, metrics, derived values, labels. Drain thread.
 * Returns 0 or -errno, with live.reason set. */
int session_update(struct session *session, uint32_t window_default);

#endif /* SHMBUS_AGENT_SESSION_H */
