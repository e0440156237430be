/* SPDX-License-Identifier: MIT */
/*
 * clock.c - preloaded into a program: CLOCK_REALTIME with the seconds in $SHMBUS_TEST_CLOCK, a
 * file of 8 bytes, added to it. The test writes into the file, and the clock steps.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *offset_s;

__attribute__((constructor)) static void clock_open(void)
{
	const char *path = getenv("SHMBUS_TEST_CLOCK");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof *offset_s, PROT_READ, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED)
		offset_s = map;
	close(fd);
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *out)
{
	int result = (int)syscall(SYS_clock_gettime, clock, out);

	if (result == 0 && clock == CLOCK_REALTIME && offset_s != NULL)
		out->tv_sec += atomic_load_explicit(offset_s, memory_order_relaxed);
	return result;
}
