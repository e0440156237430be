/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "process.h"

static struct session *session_of(pid_t pid)
{
	struct session *session = calloc(1, sizeof *session);

	session->consumer = calloc(1, sizeof *session->consumer);
	session->consumer->header.pid = (uint32_t)pid;
	session->consumer->uid = getuid();
	return session;
}

/* In a sweep of its own. */
static void sample(struct session *session, uint64_t now_ns)
{
	struct process_looks looks = {.budget = 1};

	process_sample(session, now_ns, &looks);
}

static uint64_t rss_of(const struct session *session)
{
	return atomic_load(&session->process.rss_bytes);
}

static void release(struct session *session)
{
	free(session->consumer);
	free(session);
}

Test(process, memory_is_seen)
{
	struct session *session = session_of(getpid());

	sample(session, 1000);
	cr_assert_not(session->process.lost);
	cr_assert_gt(rss_of(session), 4096);
	cr_assert_gt(process_self_rss_bytes(), 4096);
	release(session);
}

Test(process, another_users_process_is_none_of_this_session)
{
	struct session *session = session_of(getpid());

	session->consumer->uid = getuid() + 1;
	sample(session, 1000);
	cr_assert(session->process.lost);
	release(session);
}

Test(process, who_is_not_there_is_not_looked_for_again)
{
	struct session *session = session_of(0);

	sample(session, 1000);
	cr_assert(session->process.lost);
	release(session);
}

Test(process, no_descriptor_left_says_nothing_about_a_process)
{
	struct session *session = session_of(getpid());
	struct rlimit before, none;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	sample(session, 1000);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_assert_not(session->process.lost);
	cr_assert_eq(rss_of(session), 0);
	sample(session, 2000);
	cr_assert_gt(rss_of(session), 4096, "the next time");
	release(session);
}

Test(process, sessions_of_one_process_share_a_look)
{
	struct session *first = session_of(getpid()), *second = session_of(getpid());
	struct session *other = session_of(getppid());
	struct process_looks looks = {.budget = 1};

	process_sample(first, 1000, &looks);
	process_sample(second, 1000, &looks);
	process_sample(other, 1000, &looks);
	cr_assert_gt(rss_of(first), 4096);
	cr_assert_eq(rss_of(second), rss_of(first));
	cr_assert_eq(rss_of(other), 0, "there was no budget for a second process");
	cr_assert_not(other->process.lost);
	looks.budget = 1;
	/* Two pids that stand in one place. */
	other->consumer->header.pid = (uint32_t)getpid() + PROCESS_LOOKS;
	process_sample(other, 1000, &looks);
	cr_assert_neq(rss_of(other), rss_of(first));
	release(first);
	release(second);
	release(other);
}

Test(process, a_shared_look_is_held_against_each_segments_owner)
{
	struct session *own = session_of(getpid()), *others = session_of(getpid());
	struct process_looks looks = {.budget = 1};

	others->consumer->uid = getuid() + 1;
	process_sample(own, 1000, &looks);
	process_sample(others, 1000, &looks);
	cr_assert_not(own->process.lost);
	cr_assert(others->process.lost);
	release(own);
	release(others);
}
