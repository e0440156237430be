/* SPDX-License-Identifier: MIT */
/* internal.h - what the files of the library share and nobody else sees. */
#ifndef SHMBUS_INTERNAL_H
#define SHMBUS_INTERNAL_H

#include <pthread.h>
#include <stdio.h>

#include <shmbus/layout.h>
#include <shmbus/producer.h>

#define SHMBUS_SHM_DIR "/dev/shm"
/* "/shmbus." bus ".s." 16 hex digits NUL, rounded up. */
#define SHMBUS_SEGMENT_NAME_SIZE 80

struct shmbus_session {
	struct shmbus_header *header; /* NULL for a no-op session */
	size_t map_size;              /* of the part that the header's mapping covers */
	int lock_fd;                  /* holds the liveness lock; never mapped */
	uint64_t segment_size;
	uint32_t metric_count;
	uint32_t derived_count;
	uint32_t writer_count;
	bool lock_memory;
	bool orphan;          /* this process is a fork()ed child of the session's owner */
	pthread_mutex_t lock; /* the control plane's; never taken on the hot path */
	struct shmbus_writer *writers[SHMBUS_WRITERS_MAX];
	struct shmbus_session *next; /* all open sessions, for fork() */
	char bus[SHMBUS_BUS_SIZE];
	char segment[SHMBUS_SEGMENT_NAME_SIZE];
};

/* error.c: keeps a text for shmbus_strerror() and returns `error`. */
int shmbus__fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* bus.c: names. */
int shmbus__bus_resolve(const char *bus, char out[SHMBUS_BUS_SIZE]);
int shmbus__name_check(const char *what, const char *name, size_t size);
int shmbus__text_check(const char *what, const char *text, size_t size);
int shmbus__label_check(const char *key, const char *value);
void shmbus__agent_path(char *out, size_t size, const char *bus);
bool shmbus__utf8_printable(const char *text);

/* group.c: who may open the segment, beside its owner. */
struct shmbus__access {
	gid_t group; /* (gid_t)-1: the process' own */
	mode_t mode; /* 0: 0600 */
};
int shmbus__access_resolve(const struct shmbus_session_options *options,
			   struct shmbus__access *out);

/* segment.c: the segment's file and mappings. */
int shmbus__segment_create(struct shmbus_session *session,
			   const struct shmbus_session_options *options,
			   const struct shmbus__access *access);
void shmbus__segment_destroy(struct shmbus_session *session, bool keep);
int shmbus__segment_grow(struct shmbus_session *session, uint64_t size, void **out,
			 uint64_t *offset);
int shmbus__segment_lock_memory(struct shmbus_session *session, void *start, size_t size);
size_t shmbus__page_size(void);

/* metric.c */
void shmbus__slots_init(const struct shmbus_session *session, SHMBUS_ATOMIC(uint64_t) * slots);
int shmbus__labels_init(struct shmbus_session *session, const struct shmbus_label *labels,
			size_t count);
void shmbus__changed(struct shmbus_session *session);

/* writer.c */
extern struct shmbus_writer shmbus__writer_noop;
void shmbus__writer_free(struct shmbus_writer *writer, bool orphan);
void shmbus__writer_orphan(struct shmbus_writer *writer);

/* snapshot.c: whether a read would find another document than the last one did, or none. A look
 * at a few bytes, however large the document is. */
struct shmbus_snapshot_reader;
bool shmbus__snapshot_changed(struct shmbus_snapshot_reader *reader);
uint64_t shmbus__monotonic_ns(void);

static inline struct shmbus_metric_entry *shmbus__metric_entry(const struct shmbus_session *session,
							       uint32_t number)
{
	const struct shmbus_header *header = session->header;

	return (struct shmbus_metric_entry *)((char *)session->header + header->metrics_offset) +
	       number;
}

#endif /* SHMBUS_INTERNAL_H */
