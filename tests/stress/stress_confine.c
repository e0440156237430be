/* SPDX-License-Identifier: MIT */
/*
 * stress_confine.c - the agent's filter of system calls: what it is not for ends the process where
 * it stands, what the C library does in threads, memory and abort() goes on. Each call is made by
 * a child of its own, which confines itself first.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "tap.h"

#define PAGE 4096

static struct options options;
static void *page; /* of memory that may be written to */

#if !defined(SHMBUS_SANITIZED)
/* ---- what is not allowed ---- */

static void call_socket(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void call_unix_socket(void)
{
	socket(AF_UNIX, SOCK_DGRAM, 0);
}

static void call_execve(void)
{
	char *arguments[] = {(char *)"true", NULL};

	execve("/bin/true", arguments, arguments + 1);
}

static void call_fork(void)
{
	fork();
}

static void call_ptrace(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void call_kill_other(void)
{
	kill(getppid(), 0);
}

static void call_tgkill_other(void)
{
	syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static void call_mmap_code(void)
{
	mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void call_mprotect_code(void)
{
	mprotect(page, PAGE, PROT_READ | PROT_EXEC);
}

static void call_fchown(void)
{
	fchown(STDOUT_FILENO, (uid_t)-1, (gid_t)-1);
}

static void call_chmod(void)
{
	chmod("/dev/null/x", 0600);
}

static void call_mkdir(void)
{
	mkdir("/dev/null/x", 0700);
}

static void call_setuid(void)
{
	if (setuid(getuid()) != 0)
		_exit(1);
}

static void call_capset(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	syscall(SYS_capset, &header, NULL);
}

static void call_prctl(void)
{
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void call_process_vm_readv(void)
{
	syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static void call_unknown(void)
{
	syscall(100000);
}

/* ---- what is ---- */

static void *thread_body(void *data)
{
	free(malloc(1 << 20)); /* a heap of its own */
	return data;
}

static void call_threads(void)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, thread_body, NULL) != 0)
			_exit(1);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void call_memory(void)
{
	char *bytes = NULL;

	for (size_t size = 64; size <= (64u << 20); size *= 4) {
		char *more = realloc(bytes, size);

		if (more == NULL)
			_exit(1);
		memset(more, 1, size);
		bytes = more;
	}
	free(bytes);
}

static void call_files(void)
{
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	char text[64];

	if (fd < 0 || read(fd, text, sizeof text) <= 0)
		_exit(1);
	close(fd);
}

static void call_exit(void)
{
	exit(0);
}

static void call_abort(void)
{
	abort();
}

static void call_kill_self(void)
{
	kill(getpid(), SIGKILL);
}

struct call {
	const char *name;
	void (*make)(void);
	int signal; /* that ends the process; 0: it goes on */
};

static const struct call calls[] = {
	{"socket(AF_INET)", call_socket, SIGSYS},
	{"socket(AF_UNIX)", call_unix_socket, SIGSYS},
	{"execve", call_execve, SIGSYS},
	{"fork", call_fork, SIGSYS},
	{"ptrace", call_ptrace, SIGSYS},
	{"kill of another", call_kill_other, SIGSYS},
	{"tgkill of another", call_tgkill_other, SIGSYS},
	{"mmap of code", call_mmap_code, SIGSYS},
	{"mprotect to code", call_mprotect_code, SIGSYS},
	{"fchown", call_fchown, SIGSYS},
	{"chmod", call_chmod, SIGSYS},
	{"mkdir", call_mkdir, SIGSYS},
	{"setuid", call_setuid, SIGSYS},
	{"capset", call_capset, SIGSYS},
	{"prctl", call_prctl, SIGSYS},
	{"process_vm_readv", call_process_vm_readv, SIGSYS},
	{"a call that no kernel has", call_unknown, SIGSYS},
	{"threads", call_threads, 0},
	{"memory", call_memory, 0},
	{"files", call_files, 0},
	{"exit", call_exit, 0},
	{"abort", call_abort, SIGABRT},
	{"kill of itself", call_kill_self, SIGKILL},
};

#endif

/* How a child ends that makes the call, confined or not: its status as waitpid() has it. */
static int outcome(void (*make)(void), bool confined)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		/* One that waits for ever must end by itself. */
		alarm(60);
		if (confined && confine_calls(&options) != 0)
			_exit(99);
		make();
		_exit(0);
	}
	waitpid(child, &status, 0);
	return status;
}

static void privileges(void)
{
	if (confine_privileges(&options) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		_exit(1);
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != (options.allow_all ? 0 : 1))
		_exit(2);
	for (int i = 0; i <= CAP_LAST_CAP && options.allow_all == false; i++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) != 0)
			_exit(3);
}

static void privileges_check(void)
{
	tap_ok(confine_capabilities(&options) == 0, "for one's own producers no capability");
	tap_ok(outcome(privileges, false) == 0, "privileges are given up");
	options.allow_all = true;
	tap_ok(confine_capabilities(&options) == (1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER),
	       "for those of others two");
	tap_ok(outcome(privileges, false) == 0, "and no core files");
	options.allow_all = false;
}

#if !defined(SHMBUS_SANITIZED)
static void calls_check(void)
{
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		const struct call *call = &calls[i];
		int status = outcome(call->make, true);

		if (call->signal == 0)
			tap_ok(status == 0, "%s: allowed (status %#x)", call->name, status);
		else
			tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == call->signal,
			       "%s: signal %d (status %#x)", call->name, call->signal, status);
		if (call->signal == SIGSYS) {
			status = outcome(call->make, false);
			tap_ok(!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS,
			       "%s: not so without the filter (status %#x)", call->name, status);
		}
	}
	options.snapshot_group = true;
	tap_ok(outcome(call_fchown, true) == 0, "fchown: with a group of snapshots");
}
#endif

int main(void)
{
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	privileges_check();
#if defined(SHMBUS_SANITIZED)
	tap_ok(confine_calls(&options) == -ENOTSUP, "no filter in a build with a sanitizer");
#else
	calls_check();
#endif
	return tap_done();
}
