/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/layout.h>

#include "buslock.h"

#define WANTED "handover\n"
#define HANDOVER_MS 10000

static void holder_read(int fd, char *holder, unsigned size)
{
	ssize_t got = pread(fd, holder, size - 1, 0);

	holder[got > 0 ? got : 0] = '\0';
	holder[strcspn(holder, "\n")] = '\0';
}

static int holder_write(int fd)
{
	char line[64];
	int length = snprintf(line, sizeof line, "pid %d, version %s\n", (int)getpid(),
			      SHMBUS_VERSION_STRING);

	if (ftruncate(fd, 0) != 0 || pwrite(fd, line, (size_t)length, 0) != length)
		return -errno;
	return 0;
}

static void name_make(const char *bus, char *name, size_t size)
{
	snprintf(name, size, "/" SHMBUS_PREFIX "%s." SHMBUS_AGENT_SUFFIX, bus);
}

int buslock_take(const char *bus, char *holder, unsigned holder_size)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	struct stat status;
	char name[80];
	int fd, error;

	name_make(bus, name, sizeof name);
	fd = shm_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0644);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return -EBADMSG;
	}
	if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
		error = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
		holder_read(fd, holder, holder_size);
		close(fd);
		return error;
	}
	/* A full file system must not stop the agent: the line is for people. */
	holder_write(fd);
	return fd;
}

bool buslock_wanted(const char *bus)
{
	char name[80], text[sizeof WANTED] = "";
	bool wanted;
	int fd;

	name_make(bus, name, sizeof name);
	fd = shm_open(name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return false;
	wanted = pread(fd, text, sizeof text - 1, 0) == (ssize_t)sizeof text - 1 &&
		 strcmp(text, WANTED) == 0;
	close(fd);
	return wanted;
}

static int want(const char *bus)
{
	char name[80];
	int fd, error = 0;

	name_make(bus, name, sizeof name);
	fd = shm_open(name, O_RDWR | O_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (pwrite(fd, WANTED, sizeof WANTED - 1, 0) != (ssize_t)sizeof WANTED - 1)
		error = errno != 0 ? -errno : -EIO;
	close(fd);
	return error;
}

int buslock_take_over(const char *bus, char *holder, unsigned holder_size)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int fd = buslock_take(bus, holder, holder_size);
	int error;

	if (fd != -EBUSY)
		return fd;
	error = want(bus);
	if (error != 0)
		return error;
	for (int i = 0; i < HANDOVER_MS && fd == -EBUSY; i++) {
		char ignored[8];

		nanosleep(&pause, NULL);
		fd = buslock_take(bus, ignored, sizeof ignored);
	}
	return fd == -EBUSY ? -ETIMEDOUT : fd;
}
