/* SPDX-License-Identifier: MIT */
/* session.c - open and close a session; what fork() leaves of it in the child. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "internal.h"

static struct shmbus_session noop = {.lock_fd = -1};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shmbus_session *all; /* under all_lock */

static void fork_prepare(void)
{
	pthread_mutex_lock(&all_lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&all_lock);
}

/*
 * In the child every mapping of the parent's segments is replaced, in place, by private memory:
 * handles stay valid and the parent's session stays the parent's. The lock's descriptor is
 * closed, so that the child does not keep the parent alive in the agent's eyes.
 */
static void fork_child(void)
{
	for (struct shmbus_session *session = all; session != NULL; session = session->next) {
		mmap(session->header, session->map_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		for (uint32_t i = 0; i < session->writer_count; i++)
			shmbus__writer_orphan(session->writers[i]);
		if (session->lock_fd >= 0)
			close(session->lock_fd);
		session->lock_fd = -1;
		session->orphan = true;
		/* A thread of the parent may have held it; here there is no such thread. */
		pthread_mutex_init(&session->lock, NULL);
	}
	pthread_mutex_unlock(&all_lock);
}

static void fork_handlers_register(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static bool disabled(void)
{
	const char *value = secure_getenv("SHMBUS_DISABLE");

	return value != NULL && strcmp(value, "1") == 0;
}

static int options_check(const struct shmbus_session_options *options)
{
	int error = shmbus__name_check("service", options->service, SHMBUS_NAME_SIZE);

	if (error != 0)
		return error;
	if (options->id != NULL && options->id[0] == '\0')
		return shmbus__fail(-EINVAL, "session id must not be empty");
	error = shmbus__text_check("session id", options->id, SHMBUS_ID_SIZE);
	if (error != 0)
		return error;
	if (options->label_count > SHMBUS_LABELS_MAX)
		return shmbus__fail(-EINVAL, "%zu labels are too many: at most %u",
				    options->label_count, SHMBUS_LABELS_MAX);
	for (size_t i = 0; i < options->label_count; i++) {
		error = shmbus__label_check(options->labels[i].key, options->labels[i].value);
		if (error != 0)
			return error;
	}
	if (options->metrics_max > SHMBUS_METRICS_MAX)
		return shmbus__fail(-EINVAL, "metrics_max %u is too large: at most %u",
				    options->metrics_max, SHMBUS_METRICS_MAX);
	if (options->mode != 0 && options->mode != 0600 && options->mode != 0640 &&
	    options->mode != 0660)
		return shmbus__fail(-EINVAL, "mode %04o is not allowed: 0600, 0640 or 0660",
				    (unsigned)options->mode);
	return 0;
}

/* The program's name, with what a service's name may not have replaced. */
static const char *service_default(char out[SHMBUS_NAME_SIZE])
{
	const char *name = program_invocation_short_name;
	size_t i = 0;

	for (; i < SHMBUS_NAME_SIZE - 2 && name[i] != '\0'; i++) {
		char c = name[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '.' || c == '-';

		out[i] = plain ? c : '_';
	}
	out[i] = '\0';
	if (i == 0 || out[0] == '.' || out[0] == '-' || (out[0] >= '0' && out[0] <= '9')) {
		memmove(out + 1, out, i + 1);
		out[0] = '_';
	}
	return out;
}

static void id_set(struct shmbus_header *header, const struct shmbus_session_options *options)
{
	uint32_t random = 0;

	snprintf(header->service, sizeof header->service, "%s", options->service);
	if (options->id != NULL) {
		snprintf(header->id, sizeof header->id, "%s", options->id);
		return;
	}
	if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
		random = (uint32_t)header->start_ticks;
	snprintf(header->id, sizeof header->id, "%.40s-%d-%04x", options->service, (int)getpid(),
		 random & 0xffffu);
}

static int session_make(const struct shmbus_session_options *options,
			const struct shmbus__access *access, struct shmbus_session **out)
{
	struct shmbus_session *session = calloc(1, sizeof *session);
	int error;

	if (session == NULL)
		return shmbus__fail(-ENOMEM, "no memory for a session");
	session->lock_memory = options->lock_memory;
	error = shmbus__bus_resolve(options->bus, session->bus);
	if (error != 0)
		goto fail;
	error = shmbus__segment_create(session, options, access);
	if (error != 0)
		goto fail;
	pthread_mutex_init(&session->lock, NULL);
	id_set(session->header, options);
	error = shmbus__labels_init(session, options->labels, options->label_count);
	if (error != 0)
		goto fail_segment;
	*out = session;
	return 0;

fail_segment:
	shmbus__segment_destroy(session, false);
fail:
	free(session);
	return error;
}

/* Says to the agent that the segment is whole, and wakes it: see segment.c. */
static void session_publish(struct shmbus_session *session)
{
	int fd;

	/* R-version release: publishes the header; pairs with A-version in consumer.c. */
	atomic_store_explicit(&session->header->version, SHMBUS_LAYOUT_VERSION,
			      memory_order_release);
	fd = shm_open(session->segment, O_RDWR | O_NONBLOCK, 0);
	if (fd >= 0)
		close(fd);
}

int shmbus_session_open(const struct shmbus_session_options *options, struct shmbus_session **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct shmbus_session_options filled = {0};
	struct shmbus__access access;
	char service[SHMBUS_NAME_SIZE];
	struct shmbus_session *session = NULL;
	int error;

	*out = &noop;
	if (disabled())
		return 0;
	if (options != NULL)
		filled = *options;
	if (filled.service == NULL)
		filled.service = service_default(service);
	if (filled.metrics_max == 0)
		filled.metrics_max = SHMBUS_METRICS_DEFAULT;
	error = options_check(&filled);
	if (error == 0)
		error = shmbus__access_resolve(&filled, &access);
	if (error != 0)
		return error;
	pthread_once(&once, fork_handlers_register);
	/* Held all along, so that no fork() sees a segment that is not in the list yet. */
	pthread_mutex_lock(&all_lock);
	error = session_make(&filled, &access, &session);
	if (error == 0) {
		session->next = all;
		all = session;
		session_publish(session);
		*out = session;
	}
	pthread_mutex_unlock(&all_lock);
	return error;
}

static void all_remove(const struct shmbus_session *session)
{
	struct shmbus_session **link = &all;

	pthread_mutex_lock(&all_lock);
	while (*link != session)
		link = &(*link)->next;
	*link = session->next;
	pthread_mutex_unlock(&all_lock);
}

/* An agent that has run once on this bus will come again, and wants what it has not drained. */
static bool agent_known(const struct shmbus_session *session)
{
	char path[128];

	shmbus__agent_path(path, sizeof path, session->bus);
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void shmbus_session_close(struct shmbus_session *session)
{
	if (session == NULL || session == &noop)
		return;
	all_remove(session);
	for (uint32_t i = 0; i < session->writer_count; i++)
		shmbus__writer_free(session->writers[i], session->orphan);
	if (session->orphan) {
		munmap(session->header, session->map_size);
	} else {
		atomic_store_explicit(&session->header->state, SHMBUS_SEGMENT_CLOSED,
				      memory_order_release);
		shmbus__changed(session);
		shmbus__segment_destroy(session, agent_known(session));
	}
	pthread_mutex_destroy(&session->lock);
	free(session);
}

void shmbus_heartbeat(struct shmbus_session *session)
{
	if (session->header != NULL)
		atomic_store_explicit(&session->header->heartbeat_ticks, shmbus_now(),
				      memory_order_relaxed);
}

const char *shmbus_session_id(const struct shmbus_session *session)
{
	return session->header != NULL ? session->header->id : "";
}

const char *shmbus_session_segment(const struct shmbus_session *session)
{
	return session->segment;
}
