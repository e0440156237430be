/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"
#include "log.h"

/* A sanitizer makes calls of its own, other ones with each version. */
#if defined(SHMBUS_SANITIZED)
#define FILTERS 0
#else
#define FILTERS 1
#endif

#define BIT(capability) (UINT64_C(1) << (capability))

/* ---- privileges ---- */

static bool reads_others(const struct options *options)
{
	return options->allow_all || options->uid_count != 0 || options->gid_count != 0;
}

uint64_t confine_capabilities(const struct options *options)
{
	uint64_t keep = 0;

	/* To open segments of other users that are for nobody else. */
	if (options->allow_all || options->uid_count != 0)
		keep |= BIT(CAP_DAC_OVERRIDE);
	/* To remove other users' segments from a sticky directory when their producers are gone. */
	if (reads_others(options))
		keep |= BIT(CAP_FOWNER);
	/* To give each new snapshot file to a group that the agent is not in. */
	if (options->snapshot_group)
		keep |= BIT(CAP_CHOWN);
	return keep;
}

static int capabilities_keep(uint64_t keep)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	/* Plain system calls: the C library has no functions for them. */
	if (syscall(SYS_capget, &header, data) != 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(keep >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0; /* and so none is ambient */
	}
	return syscall(SYS_capset, &header, data) == 0 ? 0 : -errno;
}

int confine_privileges(const struct options *options)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	if (reads_others(options) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return -errno;
	return capabilities_keep(confine_capabilities(options));
}

/* ---- system calls ---- */

/* clang-format off */
static const int allowed[] = {
	/* files in /dev/shm, /proc/PID/stat, what sysconf() reads in /sys */
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(fcntl),
	SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
	SCMP_SYS(getdents64), SCMP_SYS(lseek), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
	SCMP_SYS(fchmod), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
	SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2),
	SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64),
	SCMP_SYS(inotify_init1), SCMP_SYS(inotify_add_watch),
	/* waiting and waking */
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(eventfd2), SCMP_SYS(futex),
	SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(restart_syscall),
	SCMP_SYS(sched_yield),
	/* the clock, where the kernel's page for it has none */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	/* memory; mmap() and mprotect() are below */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(getrandom),
	/* threads, the C library's and liburcu's; clone() is below */
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(membarrier), SCMP_SYS(getcpu),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity), SCMP_SYS(sysinfo),
	SCMP_SYS(prlimit64), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(geteuid),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
	/* signals; kill() and tgkill() are below */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack),
};
/* clang-format on */

/* Those that are harmless with some arguments only. */
static int arguments_allow(scmp_filter_ctx filter)
{
	const scmp_datum_t self = (scmp_datum_t)getpid();
	const struct {
		int call;
		struct scmp_arg_cmp argument;
	} rules[] = {
		/* Memory that could be written to never becomes code. */
		{SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
		{SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
		/* Threads, and no processes. */
		{SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)},
		/* Signals to itself: the end after a handover, and abort(). */
		{SCMP_SYS(kill), SCMP_A0(SCMP_CMP_EQ, self)},
		{SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, self)},
	};
	int error = 0;

	for (size_t i = 0; i < sizeof rules / sizeof rules[0] && error == 0; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, rules[i].call, 1,
					 rules[i].argument);
	return error;
}

static int calls_allow(scmp_filter_ctx filter, const struct options *options)
{
	int error = arguments_allow(filter);

	for (size_t i = 0; i < sizeof allowed / sizeof allowed[0] && error == 0; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (error == 0 && options->snapshot_group)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fchown), 0);
	/* Its flags are where a filter cannot look: the C library then takes clone(). */
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return error;
}

int confine_calls(const struct options *options)
{
	scmp_filter_ctx filter;
	int error;

	if (!FILTERS)
		return -ENOTSUP;
	filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (filter == NULL)
		return -ENOMEM;
	/* Calls of another architecture are foreign ones too. */
	error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* Kernels before 5.16 slow filtered processes down, against code in them that is not their
	 * own; here is none. */
	if (error == 0)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	if (error == 0)
		error = calls_allow(filter, options);
	if (error == 0)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}

void confine(const struct options *options)
{
	int error = confine_privileges(options);

	if (error != 0)
		log_line("cannot give up privileges: %s; goes on with them", strerror(-error));
	if (options->no_seccomp) {
		log_line("goes on without a filter of system calls: --no-seccomp");
		return;
	}
	error = confine_calls(options);
	if (error != 0)
		log_line("cannot filter system calls: %s; goes on without", strerror(-error));
}
