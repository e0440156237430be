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

#include "admit.h"
#include "agent.h"
#include "buslock.h"
#include "log.h"

#define SCAN_MS 5000
#define RETRY_MS 100   /* while a segment is being made */
#define LOOKS_MAX 4096 /* of a scan, at files too many to be remembered */
#define FOREIGN_MS 3   /* after events that were not about this bus; a death may wait so long */

struct discover {
	struct agent *agent;
	struct admission admission;
	char prefix[64]; /* "shmbus.<bus>.s." */
	size_t prefix_length;
	char agent_file[64]; /* "shmbus.<bus>.agent" */
	bool leaving;        /* another agent has asked for the bus */
	int inotify_fd;      /* -1: scans alone */
	bool unwatched;      /* that was said */
	bool unseen;         /* that the directory cannot be looked at was said */
	uint64_t retry_ms;   /* until an unfinished segment is looked at again */
	/* Where there are more refused files than can be remembered, each scan looks at some. */
	bool scanning;
	uint64_t unknown; /* such files in this scan */
	uint64_t first;   /* which of them are looked at: LOOKS_MAX from this one on */
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

/* Whether a file that is not known is looked at: always where it can be remembered, or where an
 * event was about it; else in its turn, so that no number of files makes a scan take forever and
 * none hides another. */
static bool look_due(struct discover *discover)
{
	if (!discover->scanning || !refused_full(&discover->admission.refused))
		return true;
	return discover->unknown++ - discover->first < LOOKS_MAX;
}

static void segment_seen(struct discover *discover, const char *name)
{
	struct found found;

	if (!key_parse(discover, name, &found.key))
		return;
	if (registry_known(&discover->agent->registry, found.key)) {
		if (hints_put(&discover->agent->hints, found.key))
			event_signal(&discover->agent->reap_event);
		return;
	}
	snprintf(found.path, sizeof found.path, SHM_DIR "/%s", name);
	found.segment = found.path + strlen(SHM_DIR);
	if (lstat(found.path, &found.status) != 0)
		return; /* gone meanwhile */
	if (refused_for_good(&discover->admission, &found) ||
	    (!discover->scanning && (refused_for_now(&discover->admission, &found) ||
				     refused_just_now(&discover->admission, &found))))
		return;
	if (look_due(discover))
		admit(&discover->admission, &found);
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

static DIR *directory_open(struct discover *discover)
{
	DIR *directory = opendir(SHM_DIR);

	if (directory == NULL && !discover->unseen)
		log_line("cannot look for sessions in " SHM_DIR ": %s", strerror(errno));
	discover->unseen = directory == NULL;
	return directory;
}

static void scan(struct discover *discover)
{
	struct admission *admission = &discover->admission;
	DIR *directory = directory_open(discover);
	const struct dirent *entry;

	atomic_fetch_add_explicit(&discover->agent->scans, 1, memory_order_relaxed);
	admission->unfinished = false;
	if (directory == NULL)
		return;
	discover->scanning = true;
	discover->unknown = 0;
	while ((entry = readdir(directory)) != NULL)
		segment_seen(discover, entry->d_name);
	closedir(directory);
	discover->scanning = false;
	discover->first += LOOKS_MAX;
	if (discover->first >= discover->unknown)
		discover->first = 0;
	refused_age(&admission->refused);
	/* What somebody never finishes is looked at ever more seldom. */
	if (!admission->unfinished || discover->inotify_fd < 0)
		discover->retry_ms = RETRY_MS;
	else if (discover->retry_ms < SCAN_MS)
		discover->retry_ms *= 2;
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

		if (event->mask & IN_Q_OVERFLOW) {
			overflow = true;
			atomic_fetch_add_explicit(&discover->agent->event_overflows, 1,
						  memory_order_relaxed);
		} else if (event->len > 0 &&
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

/* Without it new sessions are found by scans, which come oftener then. */
static void watch(struct discover *discover)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), error = errno;

	if (fd >= 0 && inotify_add_watch(fd, SHM_DIR, IN_CLOSE_WRITE | IN_MOVED_TO) < 0) {
		error = errno;
		close(fd);
		fd = -1;
	}
	discover->inotify_fd = fd;
	if (fd < 0 && !discover->unwatched)
		log_line("cannot watch " SHM_DIR " (%s): looking every %d ms instead; raise "
			 "fs.inotify.max_user_%s",
			 strerror(error), RETRY_MS, error == ENOSPC ? "watches" : "instances");
	else if (fd >= 0 && discover->unwatched)
		log_line("watching " SHM_DIR " again");
	discover->unwatched = fd < 0;
}

static void prefix_set(struct discover *discover, const char *bus)
{
	snprintf(discover->prefix, sizeof discover->prefix,
		 SHMBUS_PREFIX "%s." SHMBUS_SEGMENT_INFIX, bus);
	discover->prefix_length = strlen(discover->prefix);
	snprintf(discover->agent_file, sizeof discover->agent_file,
		 SHMBUS_PREFIX "%s." SHMBUS_AGENT_SUFFIX, bus);
}

/* Waits for events, no longer than until `until_ns`, and takes them. Returns whether some were
 * lost. */
static bool events_wait(struct discover *discover, uint64_t now_ns, uint64_t until_ns)
{
	struct pollfd fds[2] = {
		{.fd = discover->agent->stop_fd, .events = POLLIN},
		{.fd = discover->inotify_fd, .events = POLLIN},
	};
	bool ours = false, lost;

	poll(fds, 2, (int)((until_ns - now_ns) / 1000000u) + 1);
	if (!(fds[1].revents & POLLIN))
		return false;
	lost = events_read(discover, &ours);
	/* Others' files come and go: theirs are taken in batches. So are those of this bus where
	 * no more can be remembered, and each look in vain makes an event of its own. */
	if (refused_full(&discover->admission.refused))
		poll(fds, 1, RETRY_MS);
	else if (!ours)
		poll(fds, 1, FOREIGN_MS);
	return lost;
}

static void discover_run(struct discover *discover)
{
	uint64_t next_scan = 0, next_watch = 0;

	while (!agent_stopping(discover->agent)) {
		uint64_t now_ns = clock_monotonic_ns(), wait_ms = SCAN_MS;

		/* Before the scan, so that what comes after it is seen. */
		if (discover->inotify_fd < 0 && now_ns >= next_watch) {
			watch(discover);
			next_watch = now_ns + SCAN_MS * 1000000ull;
		}
		if (now_ns >= next_scan) {
			scan(discover);
			next_scan = now_ns + SCAN_MS * 1000000ull;
		}
		if (discover->inotify_fd < 0 || discover->admission.unfinished)
			wait_ms = discover->retry_ms;
		if (next_scan > now_ns + wait_ms * 1000000ull)
			next_scan = now_ns + wait_ms * 1000000ull;
		/* Not at once: events that are lost again and again must not make scans that
		 * follow each other without a pause. */
		if (events_wait(discover, now_ns, next_scan) &&
		    next_scan > now_ns + RETRY_MS * 1000000ull)
			next_scan = now_ns + RETRY_MS * 1000000ull;
	}
}

void *discover_thread(void *data)
{
	struct discover discover = {
		.agent = data,
		.admission = {.agent = data},
		.inotify_fd = -1,
		.retry_ms = RETRY_MS,
	};

	rcu_register_thread();
	prefix_set(&discover, discover.agent->options.bus);
	if (refused_init(&discover.admission.refused) == 0) {
		discover_run(&discover);
		/* Not closed here: the kernel takes a drain period or two for that. */
		discover.agent->left_fd = discover.inotify_fd;
		refused_free(&discover.admission.refused);
	} else {
		log_line("no memory for discovery");
		agent_fail(discover.agent);
	}
	rcu_unregister_thread();
	return NULL;
}
