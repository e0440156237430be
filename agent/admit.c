/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admit.h"
#include "agent.h"
#include "log.h"

#define HALF_MADE_NS 10000000000ull /* after that, without a producer, it is rubbish */
#define GIVEN_NS 1000000000ull      /* after its group was set */
#define SPARE_DESCRIPTORS 16        /* for all that is no session: scans, snapshots, /proc */

static uint64_t mark(const struct admission *admission, const struct found *found,
		     enum refused_why why)
{
	return refused_mark(&admission->refused, found->key, &found->status, why);
}

bool refused_for_good(struct admission *admission, const struct found *found)
{
	return refused_has(&admission->refused, mark(admission, found, REFUSED_FOR_GOOD));
}

bool refused_for_now(struct admission *admission, const struct found *found)
{
	return refused_has(&admission->refused, mark(admission, found, REFUSED_UNFINISHED)) ||
	       refused_has(&admission->refused, mark(admission, found, REFUSED_NO_ROOM));
}

bool refused_just_now(struct admission *admission, const struct found *found)
{
	return refused_lately(&admission->refused, mark(admission, found, REFUSED_FOR_GOOD));
}

static void refuse(struct admission *admission, const struct found *found, enum reject_cause cause,
		   const char *reason)
{
	refused_put(&admission->refused, mark(admission, found, REFUSED_FOR_GOOD));
	rejects_add(&admission->agent->rejects, cause, found->segment, reason);
}

/* What may pass at a later scan; said once. */
static void refuse_for_now(struct admission *admission, const struct found *found,
			   enum reject_cause cause, const char *reason)
{
	uint64_t no_room = mark(admission, found, REFUSED_NO_ROOM);

	if (refused_has(&admission->refused, no_room))
		return;
	refused_put(&admission->refused, no_room);
	rejects_add(&admission->agent->rejects, cause, found->segment, reason);
}

/* Whether it was changed so short a time ago. */
static bool young(const struct stat *status, uint64_t ns)
{
	return clock_unix_ns() < (uint64_t)status->st_ctim.tv_sec * 1000000000u +
					 (uint64_t)status->st_ctim.tv_nsec + ns;
}

/* Its producer is at work on it. */
static void unfinished(struct admission *admission, const struct found *found)
{
	admission->unfinished = true;
	refused_put(&admission->refused, mark(admission, found, REFUSED_UNFINISHED));
}

/* A file that stays half-made belongs to a producer that died while it opened its session. */
static void half_made(struct admission *admission, const struct found *found)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	struct stat status;
	int fd = open(found->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	    fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK &&
	    !young(&status, HALF_MADE_NS)) {
		if (unlink(found->path) == 0)
			log_line("removed %s: its producer died while it was being made",
				 found->segment);
		else
			refuse(admission, found, REJECT_INVALID, "never finished");
	} else {
		unfinished(admission, found);
	}
	close(fd);
}

/* Whether the agent drains what has this owner, group and mode; else the reason why not. */
static bool owner_allowed(const struct options *options, uid_t uid, gid_t gid, mode_t mode,
			  char *reason, size_t size)
{
	if (options_owner_allowed(options, uid, gid, mode))
		return true;
	if (mode & S_IWOTH)
		snprintf(reason, size, "anybody may write to it (mode %04o)", mode);
	else if (mode & S_IWGRP)
		snprintf(reason, size,
			 "owned by uid %u: allow it with --allow-uid %u or --allow-group %u", uid,
			 uid, gid);
	else
		snprintf(reason, size, "owned by uid %u: allow it with --allow-uid %u", uid, uid);
	return false;
}

/*
 * A producer gives its segment to a group after it has made it, and fills it after that: one that
 * may not be opened now may be open to this agent in a moment.
 */
static void forbidden(struct admission *admission, const struct found *found, const char *reason)
{
	struct stat status;
	char why[96];

	if (lstat(found->path, &status) != 0)
		return;
	if (S_ISREG(status.st_mode) &&
	    young(&status, status.st_size == 0 ? HALF_MADE_NS : GIVEN_NS))
		unfinished(admission, found);
	else if (owner_allowed(&admission->agent->options, status.st_uid, status.st_gid,
			       status.st_mode & 07777, why, sizeof why))
		refuse(admission, found, REJECT_OWNER, reason);
	else
		refuse(admission, found, REJECT_OWNER, why);
}

static void attach_failed(struct admission *admission, const struct found *found, int error,
			  const char *reason)
{
	switch (error) {
	case -ENOENT: /* gone meanwhile */
		break;
	case -EAGAIN:
		half_made(admission, found);
		break;
	case -EPROTO:
		refuse(admission, found, REJECT_LAYOUT, reason);
		break;
	case -EACCES:
	case -EPERM:
		forbidden(admission, found, reason);
		break;
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -EROFS:
		refuse_for_now(admission, found, REJECT_RESOURCE, reason);
		break;
	default:
		refuse(admission, found, REJECT_INVALID, reason);
	}
}

/* The descriptor of a new session is the lowest that was free. */
static bool descriptors_spare(const struct shmbus_consumer *consumer)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
	       (rlim_t)consumer->fd + SPARE_DESCRIPTORS < limit.rlim_cur;
}

static bool allowed(struct admission *admission, const struct found *found,
		    const struct shmbus_consumer *consumer)
{
	char reason[96];

	if (!owner_allowed(&admission->agent->options, consumer->uid, consumer->gid, consumer->mode,
			   reason, sizeof reason)) {
		if (young(&found->status, GIVEN_NS))
			unfinished(admission, found);
		else
			refuse(admission, found, REJECT_OWNER, reason);
		return false;
	}
	if (!descriptors_spare(consumer)) {
		refuse_for_now(admission, found, REJECT_RESOURCE,
			       "no descriptors left for it: raise LimitNOFILE");
		return false;
	}
	return true;
}

static void session_add(struct admission *admission, const struct found *found,
			struct shmbus_consumer *consumer)
{
	struct agent *agent = admission->agent;
	struct session *session;

	if (!allowed(admission, found, consumer))
		goto refused;
	session = session_new(consumer, found->key);
	if (session == NULL) {
		refuse_for_now(admission, found, REJECT_RESOURCE, "no memory");
		goto refused;
	}
	if (!registry_add(&agent->registry, session)) {
		shmbus_consumer_detach(consumer);
		session_free(session);
		return;
	}
	log_detail("session %s of %s: pid %d", consumer->header.id, consumer->header.service,
		   (int)consumer->header.pid);
	event_signal(&agent->drain_event);
	return;

refused:
	shmbus_consumer_detach(consumer);
	free(consumer);
}

/* Whether there is room for one more session; looked at before it is opened. */
static bool room(struct admission *admission, const struct found *found)
{
	const struct agent *agent = admission->agent;
	char reason[96];

	if (atomic_load_explicit(&agent->registry.count, memory_order_relaxed) <
	    agent->options.sessions_max)
		return true;
	snprintf(reason, sizeof reason, "%u sessions are there: raise --max-sessions",
		 agent->options.sessions_max);
	refuse_for_now(admission, found, REJECT_LIMIT, reason);
	return false;
}

void admit(struct admission *admission, const struct found *found)
{
	struct shmbus_consumer *consumer;
	int error;

	if (!room(admission, found))
		return;
	consumer = malloc(sizeof *consumer);
	if (consumer == NULL) {
		refuse_for_now(admission, found, REJECT_RESOURCE, "no memory");
		return;
	}
	error = shmbus_consumer_attach(consumer, found->segment);
	if (error == 0) {
		session_add(admission, found, consumer);
		return;
	}
	attach_failed(admission, found, error, consumer->reason);
	free(consumer);
}
