/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

/* Fields of proc(5)'s stat, counted from 1; the name in field 2 may hold anything. */
static bool usage_parse(char *text, struct process_usage *out)
{
	char *field = strrchr(text, ')');
	uint64_t values[25] = {0};
	uint64_t ns_per_jiffy = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);

	if (field == NULL)
		return false;
	field = strchr(field, ' ');
	for (int number = 3; number <= 24 && field != NULL; number++) {
		values[number] = strtoull(field + 1, NULL, 10);
		field = strchr(field + 1, ' ');
	}
	if (field == NULL)
		return false;
	out->cpu_ns = (values[14] + values[15]) * ns_per_jiffy;
	out->start_jiffies = values[22];
	out->rss_bytes = values[24] * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

/* Returns 0 or -errno. */
static int usage_read(const char *path, struct process_usage *out)
{
	char text[1024];
	struct stat status;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	got = fstat(fd, &status) == 0 ? read(fd, text, sizeof text - 1) : -1;
	close(fd);
	if (got <= 0)
		return -ESRCH;
	text[got] = '\0';
	out->uid = status.st_uid;
	return usage_parse(text, out) ? 0 : -EBADMSG;
}

/* The agent's want, which says nothing about the process that it looks at. */
static bool want(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EINTR;
}

static bool worth_showing(uint64_t old, uint64_t new, uint64_t step)
{
	return old > new ? old - new >= step : new - old >= step;
}

/* NULL: it is not known yet, and there is no budget left. */
static const struct process_look *process_look(struct process_looks *looks, int32_t pid)
{
	struct process_look *look = &looks->looks[(uint32_t)pid % PROCESS_LOOKS];
	char path[40];

	if (look->taken && look->pid == pid)
		return look;
	if (looks->budget == 0)
		return NULL;
	looks->budget--;
	look->taken = true;
	look->pid = pid;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	look->error = usage_read(path, &look->usage);
	return look;
}

void process_sample(struct session *session, uint64_t now_ns, struct process_looks *looks)
{
	struct session_process *process = &session->process;
	const struct process_look *look;
	struct process_usage usage;
	uint32_t old_ppm = atomic_load_explicit(&process->cpu_ppm, memory_order_relaxed);
	uint64_t old_rss = atomic_load_explicit(&process->rss_bytes, memory_order_relaxed);
	uint64_t ppm = 0;

	if (process->lost)
		return;
	look = process_look(looks, session->consumer->header.pid);
	if (look == NULL || want(look->error))
		return; /* at the next sweep */
	usage = look->usage;
	if (look->error != 0 || usage.uid != session->consumer->uid ||
	    (process->sampled_ns != 0 && usage.start_jiffies != process->start_jiffies)) {
		process->lost = true; /* another pid namespace, or gone */
		return;
	}
	if (process->sampled_ns != 0 && now_ns > process->sampled_ns &&
	    usage.cpu_ns >= process->cpu_ns)
		ppm = (usage.cpu_ns - process->cpu_ns) * 1000000u / (now_ns - process->sampled_ns);
	process->cpu_ns = usage.cpu_ns;
	process->start_jiffies = usage.start_jiffies;
	process->sampled_ns = now_ns;
	atomic_store_explicit(&process->cpu_ppm, (uint32_t)ppm, memory_order_relaxed);
	atomic_store_explicit(&process->rss_bytes, usage.rss_bytes, memory_order_relaxed);
	/* 0.1 % of a core, 64 KiB: less is not worth encoding the session again. */
	if (worth_showing(old_ppm, ppm, 1000) || worth_showing(old_rss, usage.rss_bytes, 65536))
		atomic_fetch_add_explicit(&process->version, 1, memory_order_relaxed);
}

uint64_t process_self_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t process_self_rss_bytes(void)
{
	struct process_usage usage;

	return usage_read("/proc/self/stat", &usage) == 0 ? usage.rss_bytes : 0;
}
