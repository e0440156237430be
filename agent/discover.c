/* SPDX-License-Identifier: MIT */
/*
 * discover.c - new segments, by inotify as they come and by a scan of the directory at start,
 * after lost events, and every few seconds in any case.
 *
 * A producer closes a descriptor of its segment once the segment is whole, and another when it
 * dies; both arrive as IN_CLOSE_WRITE. The first adds a session, the second is a hint to the
 * reaper.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "buslock.h"
#include "log.h"

#define SHM_DIR "/dev/shm"
#define SCAN_MS 5000
#define RETRY_MS 100                /* while a segment is being made */
#define HALF_MADE_NS 10000000000ull /* after that, without a producer, it is rubbish */
#define REFUSED_KEPT 1024
#define FOREIGN_MS 10 /* after events that were not about this bus */

struct discover {
	struct agent *agent;
	char prefix[64]; /* "shmbus.<bus>.s." */
	size_t prefix_length;
	char agent_file[64]; /* "shmbus.<bus>.agent" */
	bool leaving;        /* another agent has asked for the bus */
	int inotify_fd;      /* -1: scans alone */
	bool unfinished;     /* a segment was seen that is not whole yet */
	/* Refused ones, so that scans do not refuse them again and again. */
	uint64_t refused[REFUSED_KEPT];
	uint32_t refused_count;
};

/* The key in a segment's name, if it is exactly one of this bus. */
static bool key_parse(const struct discover *discover, const char *name, uint64_t *key)
{
	const char *digits = name + discover->prefix_length;

	if (strncmp(name, discover->prefix, discover->prefix_length) != 0 || strlen(digits) != 16 ||
	    strspn(digits, "0123456789abcdef") != 16)
		return false;
	*key = strtoull(digits, NULL, 16);
	return *key != 0; /* which no producer draws, and which the checkpoint has for the bus */
}

static bool refused_before(const struct discover *discover, uint64_t key)
{
	uint32_t kept =
		discover->refused_count < REFUSED_KEPT ? discover->refused_count : REFUSED_KEPT;

	for (uint32_t i = 0; i < kept; i++)
		if (discover->refused[i] == key)
			return true;
	return false;
}

static void refuse(struct discover *discover, uint64_t key, enum reject_cause cause,
		   const char *segment, const char *reason)
{
	discover->refused[discover->refused_count++ % REFUSED_KEPT] = key;
	rejects_add(&discover->agent->rejects, cause, segment, reason);
}

/* A file that stays half-made belongs to a producer that died while it opened its session. */
static void half_made(struct discover *discover, const char *segment)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	struct stat status;
	char path[128];
	int fd;

	snprintf(path, sizeof path, SHM_DIR "%s", segment);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	    fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK &&
	    clock_unix_ns() - (uint64_t)status.st_ctim.tv_sec * 1000000000u > HALF_MADE_NS) {
		unlink(path);
		log_line("removed %s: its producer died while it was being made", segment);
	} else {
		discover->unfinished = true;
	}
	close(fd);
}

static void attach_failed(struct discover *discover, uint64_t key, const char *segment, int error,
			  const char *reason)
{
	switch (error) {
	case -ENOENT: /* gone meanwhile */
		break;
	case -EAGAIN:
		half_made(discover, segment);
		break;
	case -EPROTO:
		refuse(discover, key, REJECT_LAYOUT, segment, reason);
		break;
	case -EACCES:
	case -EPERM:
		refuse(discover, key, REJECT_OWNER, segment, reason);
		break;
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE: /* try again at the next scan */
		rejects_add(&discover->agent->rejects, REJECT_RESOURCE, segment, reason);
		break;
	default:
		refuse(discover, key, REJECT_INVALID, segment, reason);
	}
}

static bool admit(struct discover *discover, uint64_t key, const struct shmbus_consumer *consumer)
{
	struct agent *agent = discover->agent;
	char reason[96];

	if (!options_uid_allowed(&agent->options, consumer->uid)) {
		snprintf(reason, sizeof reason, "owned by uid %u: allow it with --allow-uid %u",
			 (unsigned)consumer->uid, (unsigned)consumer->uid);
		refuse(discover, key, REJECT_OWNER, consumer->segment, reason);
		return false;
	}
	if (atomic_load_explicit(&agent->registry.count, memory_order_relaxed) >=
	    agent->options.sessions_max) {
		snprintf(reason, sizeof reason, "%u sessions are there: raise --max-sessions",
			 agent->options.sessions_max);
		rejects_add(&agent->rejects, REJECT_LIMIT, consumer->segment, reason);
		return false;
	}
	return true;
}

static void session_add(struct discover *discover, uint64_t key, struct shmbus_consumer *consumer)
{
	struct agent *agent = discover->agent;
	struct session *session;

	if (!admit(discover, key, consumer))
		goto refused;
	session = session_new(consumer, key);
	if (session == NULL) {
		rejects_add(&agent->rejects, REJECT_RESOURCE, consumer->segment, "no memory");
		goto refused;
	}
	if (!registry_add(&agent->registry, session)) {
		shmbus_consumer_detach(consumer);
		session_free(session);
		return;
	}
	atomic_fetch_add_explicit(&agent->sessions_total, 1, memory_order_relaxed);
	log_detail("session %s of %s: pid %d", consumer->header.id, consumer->header.service,
		   (int)consumer->header.pid);
	event_signal(&agent->drain_event);
	return;

refused:
	shmbus_consumer_detach(consumer);
	free(consumer);
}

static void segment_seen(struct discover *discover, const char *name)
{
	struct shmbus_consumer *consumer;
	char segment[80];
	uint64_t key;
	int error;

	if (!key_parse(discover, name, &key) || refused_before(discover, key))
		return;
	if (registry_known(&discover->agent->registry, key)) {
		if (hints_put(&discover->agent->hints, key))
			event_signal(&discover->agent->reap_event);
		return;
	}
	consumer = malloc(sizeof *consumer);
	if (consumer == NULL)
		return;
	snprintf(segment, sizeof segment, "/%s", name);
	error = shmbus_consumer_attach(consumer, segment);
	if (error == 0) {
		session_add(discover, key, consumer);
		return;
	}
	attach_failed(discover, key, segment, error, consumer->reason);
	free(consumer);
}

/* Another agent may ask for the bus; then this one ends as after a SIGTERM. */
static void agent_file_seen(struct discover *discover)
{
	if (discover->leaving || !buslock_wanted(discover->agent->options.bus))
		return;
	discover->leaving = true;
	log_line("hands the bus over to another agent");
	kill(getpid(), SIGTERM);
}

static void scan(struct discover *discover)
{
	DIR *directory = opendir(SHM_DIR);
	const struct dirent *entry;

	atomic_fetch_add_explicit(&discover->agent->scans, 1, memory_order_relaxed);
	discover->unfinished = false;
	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
		segment_seen(discover, entry->d_name);
	closedir(directory);
	agent_file_seen(discover);
}

/* Reads events. Returns whether the directory must be scanned; *ours tells whether any was about
 * this bus. */
static bool events_read(struct discover *discover, bool *ours)
{
	_Alignas(struct inotify_event) char buffer[16384];
	ssize_t got = read(discover->inotify_fd, buffer, sizeof buffer);
	bool overflow = false;

	for (ssize_t at = 0; at < got;) {
		const struct inotify_event *event = (const struct inotify_event *)(buffer + at);

		if (event->mask & IN_Q_OVERFLOW)
			overflow = true;
		else if (event->len > 0 &&
			 strncmp(event->name, discover->prefix, discover->prefix_length) == 0) {
			*ours = true;
			segment_seen(discover, event->name);
		} else if (event->len > 0 && strcmp(event->name, discover->agent_file) == 0) {
			*ours = true;
			agent_file_seen(discover);
		}
		at += (ssize_t)(sizeof *event + event->len);
	}
	return overflow;
}

static void watch(struct discover *discover)
{
	discover->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (discover->inotify_fd >= 0 &&
	    inotify_add_watch(discover->inotify_fd, SHM_DIR, IN_CLOSE_WRITE | IN_MOVED_TO) >= 0)
		return;
	log_line("cannot watch " SHM_DIR " (%s): looking every %d ms instead", strerror(errno),
		 RETRY_MS);
	if (discover->inotify_fd >= 0)
		close(discover->inotify_fd);
	discover->inotify_fd = -1;
}

void *discover_thread(void *data)
{
	struct discover discover = {.agent = data};
	struct agent *agent = data;
	uint64_t next_scan = 0;

	rcu_register_thread();
	snprintf(discover.prefix, sizeof discover.prefix, SHMBUS_PREFIX "%s." SHMBUS_SEGMENT_INFIX,
		 agent->options.bus);
	discover.prefix_length = strlen(discover.prefix);
	snprintf(discover.agent_file, sizeof discover.agent_file,
		 SHMBUS_PREFIX "%s." SHMBUS_AGENT_SUFFIX, agent->options.bus);
	watch(&discover);
	while (!agent_stopping(agent)) {
		struct pollfd fds[2] = {
			{.fd = agent->stop_fd, .events = POLLIN},
			{.fd = discover.inotify_fd, .events = POLLIN},
		};
		uint64_t now_ns = clock_monotonic_ns();
		bool often = discover.inotify_fd < 0 || discover.unfinished, ours = false;

		if (now_ns >= next_scan) {
			scan(&discover);
			next_scan = now_ns + (often ? RETRY_MS : SCAN_MS) * 1000000ull;
		}
		poll(fds, 2, often ? RETRY_MS : SCAN_MS);
		if ((fds[1].revents & POLLIN) && events_read(&discover, &ours))
			next_scan = 0;
		/* Others' files come and go: theirs are taken in batches. */
		if ((fds[1].revents & POLLIN) && !ours)
			poll(fds, 1, FOREIGN_MS);
		if (discover.unfinished && next_scan > now_ns + RETRY_MS * 1000000ull)
			next_scan = now_ns + RETRY_MS * 1000000ull;
	}
	if (discover.inotify_fd >= 0)
		close(discover.inotify_fd);
	rcu_unregister_thread();
	return NULL;
}
