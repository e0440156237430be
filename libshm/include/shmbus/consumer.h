/* SPDX-License-Identifier: MIT */
/*
 * shmbus/consumer.h - the other side of a segment: what an agent needs to drain it.
 *
 * A producer is not trusted. Everything but samples and slots is read with pread(2) into the
 * caller's memory, checked there, and never read twice; a segment that is cut short gives an
 * error, not a signal. Samples, slots and the `live` line are read through mappings: a segment
 * that is truncated while they are read raises SIGBUS, against which the caller guards itself.
 * The agent writes to one thing alone, the heads.
 *
 * A consumer belongs to one thread at a time. Nothing here is real-time.
 */
#ifndef SHMBUS_CONSUMER_H
#define SHMBUS_CONSUMER_H

#include <sys/types.h>

#include <shmbus/layout.h>
#include <shmbus/ring.h>
#include <shmbus/types.h>

SHMBUS_BEGIN_DECLS

struct shmbus_consumer_writer {
	struct shmbus_ring_consumer ring; /* starts at the head that the last agent left */
	SHMBUS_ATOMIC(uint64_t) * head;
	const SHMBUS_ATOMIC(uint64_t) * slots;
	const struct shmbus_writer_block *block;
	uint32_t slot_count;
	uint32_t capacity;
	char name[SHMBUS_WRITER_NAME_SIZE];
	size_t size; /* of what begins at block */
	bool apart;  /* it has a mapping of its own, and is no part of the segment's */
};

struct shmbus_consumer {
	int fd;
	uid_t uid;    /* the file's owner, which only that user or root can have made */
	gid_t gid;    /* its group */
	mode_t mode;  /* its mode, the permissions alone */
	dev_t device; /* what the file is, whatever its name is */
	ino_t inode;
	struct shmbus_header header;      /* a copy; its changing members mean nothing here */
	const struct shmbus_header *live; /* the mapping: for its changing line, and the blocks */
	size_t live_size;                 /* of it; blocks beyond it have mappings of their own */
	struct shmbus_head *heads;
	size_t heads_size;
	uint64_t segment_size; /* as last seen */
	uint64_t allocated;    /* bytes of it that are no holes, as last seen */
	uint64_t blocks_end;   /* of the last writer's block in the segment */
	uint32_t writer_count;
	struct shmbus_consumer_writer *writers[SHMBUS_WRITERS_MAX]; /* each stays where it is */
	char segment[80];
	char reason[96]; /* why the last call failed, for people */
};

/*
 * Attaches to a segment by its shm_open(3) name. Returns 0, or -EAGAIN (still being made),
 * -ENOENT, -EPROTO (another layout version), -EBADMSG (not a segment, or one that lies; the
 * reason says what), -ENOMEM, or what open(2) and mmap(2) say. After an error only
 * consumer->reason is valid and nothing needs to be detached.
 */
SHMBUS_PUBLIC int shmbus_consumer_attach(struct shmbus_consumer *consumer, const char *segment);

/* Maps the writers that have come since. Returns 0, -EBADMSG or what mmap(2) says. */
SHMBUS_PUBLIC int shmbus_consumer_writers_update(struct shmbus_consumer *consumer);

/* The numbers of metrics and of derived values now, never more than the tables hold. */
SHMBUS_PUBLIC int shmbus_consumer_counts(struct shmbus_consumer *consumer, uint32_t *metrics,
					 uint32_t *derived);

/* Copies one descriptor, its strings made printable. -EBADMSG where its fields are nonsense. */
SHMBUS_PUBLIC int shmbus_consumer_metric(struct shmbus_consumer *consumer, uint32_t number,
					 struct shmbus_metric_entry *out);
SHMBUS_PUBLIC int shmbus_consumer_derived(struct shmbus_consumer *consumer, uint32_t number,
					  struct shmbus_derived_entry *out);

struct shmbus_consumer_label {
	char key[SHMBUS_LABEL_KEY_SIZE];
	char value[SHMBUS_LABEL_VALUE_SIZE];
};

/* Copies the labels, all of one moment. Returns how many (at most SHMBUS_LABELS_MAX), or -EAGAIN
 * where they kept changing: keep what you had. */
SHMBUS_PUBLIC int shmbus_consumer_labels(struct shmbus_consumer *consumer,
					 struct shmbus_consumer_label out[SHMBUS_LABELS_MAX]);

/* Whether the producer lives: 1, 0, or a negative errno. Asks the kernel for the lock that only
 * the producer holds for writing; a read lock that anybody else takes does not count. */
SHMBUS_PUBLIC int shmbus_consumer_alive(const struct shmbus_consumer *consumer);

/* Whether the segment still bears its name. */
SHMBUS_PUBLIC bool shmbus_consumer_named(const struct shmbus_consumer *consumer);

/* Unmaps and closes; the segment stays. */
SHMBUS_PUBLIC void shmbus_consumer_detach(struct shmbus_consumer *consumer);

SHMBUS_END_DECLS

#endif /* SHMBUS_CONSUMER_H */
