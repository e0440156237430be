/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/layout.h>

#include "clean.h"

#define SHM_DIR "/dev/shm/"

/* A producer makes its file, then locks it, then gives it a size. */
#define HALF_MADE_S 10

/* Whether somebody holds the lock for writing that says "I live". */
static enum bus_file_holder holder_of(const char *path, bool segment)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	struct stat status;
	enum bus_file_holder holder = BUS_FILE_STRANGE;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0) /* ELOOP: a symbolic link, ENXIO: a socket */
		return errno == ELOOP || errno == ENXIO ? BUS_FILE_STRANGE : BUS_FILE_DENIED;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
		holder = fcntl(fd, F_OFD_GETLK, &lock) != 0 ? BUS_FILE_DENIED
			 : lock.l_type != F_UNLCK           ? BUS_FILE_HELD
							    : BUS_FILE_FREE;
		if (holder == BUS_FILE_FREE && segment && status.st_size == 0 &&
		    status.st_ctim.tv_sec + HALF_MADE_S > time(NULL))
			holder = BUS_FILE_NEW;
	}
	close(fd);
	return holder;
}

/* What comes after "shmbus.<bus>." in a name, NULL for the names of others. */
static const char *name_part(const char *name, const char *bus)
{
	size_t length = strlen(bus);

	if (strncmp(name, SHMBUS_PREFIX, strlen(SHMBUS_PREFIX)) != 0)
		return NULL;
	name += strlen(SHMBUS_PREFIX);
	if (strncmp(name, bus, length) != 0 || name[length] != '.')
		return NULL;
	return name + length + 1;
}

static bool is_segment(const char *part)
{
	size_t length = strlen(SHMBUS_SEGMENT_INFIX);

	return strncmp(part, SHMBUS_SEGMENT_INFIX, length) == 0 && strlen(part) == length + 16 &&
	       strspn(part + length, "0123456789abcdef") == 16;
}

/* The file itself, or one that bears its name and more: in the making, or put aside. */
static bool is_file_of(const char *part, const char *suffix)
{
	size_t length = strlen(suffix);

	return strncmp(part, suffix, length) == 0 && (part[length] == '\0' || part[length] == '.');
}

static enum bus_file_kind kind_of(const char *part)
{
	if (is_segment(part))
		return BUS_FILE_SEGMENT;
	if (strcmp(part, SHMBUS_AGENT_SUFFIX) == 0)
		return BUS_FILE_AGENT;
	if (is_file_of(part, SHMBUS_SNAPSHOT_SUFFIX))
		return BUS_FILE_SNAPSHOT;
	if (is_file_of(part, SHMBUS_CHECKPOINT_SUFFIX))
		return BUS_FILE_CHECKPOINT;
	return BUS_FILE_OTHER;
}

void bus_files_each(const char *bus, void (*each)(const struct bus_file *file, void *data),
		    void *data)
{
	struct dirent **entries;
	int count = scandir(SHM_DIR, &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		const char *part = name_part(entries[i]->d_name, bus);
		struct bus_file file = {.name = entries[i]->d_name};
		struct stat status;
		char path[300];

		snprintf(path, sizeof path, SHM_DIR "%s", file.name);
		if (part != NULL && lstat(path, &status) == 0) {
			file.kind = kind_of(part);
			file.holder = holder_of(path, file.kind == BUS_FILE_SEGMENT);
			file.uid = status.st_uid;
			file.mode = status.st_mode;
			file.bytes = (uint64_t)status.st_blocks * 512;
			each(&file, data);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

static void agent_path(const char *bus, char *out, size_t size)
{
	snprintf(out, size, SHM_DIR SHMBUS_PREFIX "%s." SHMBUS_AGENT_SUFFIX, bus);
}

int bus_agent(const char *bus)
{
	char path[300];
	enum bus_file_holder holder;

	agent_path(bus, path, sizeof path);
	if (access(path, F_OK) != 0)
		return 0;
	holder = holder_of(path, false);
	return holder == BUS_FILE_HELD ? 1 : holder == BUS_FILE_DENIED ? -1 : 0;
}

struct removal {
	int removed, failed;
};

static void remove_file(const char *path, struct removal *removal)
{
	if (unlink(path) == 0) {
		printf("removed %s\n", path);
		removal->removed++;
	} else if (errno != ENOENT) {
		fprintf(stderr, "shmbus: cannot remove %s: %s\n", path, strerror(errno));
		removal->failed++;
	}
}

/* All but the agent's own file: it is held meanwhile, and goes last. */
static void remove_dead(const struct bus_file *file, void *data)
{
	char path[300];

	if (file->kind == BUS_FILE_AGENT || file->kind == BUS_FILE_OTHER ||
	    file->holder != BUS_FILE_FREE)
		return;
	snprintf(path, sizeof path, SHM_DIR "%s", file->name);
	remove_file(path, data);
}

/*
 * Takes the agent's lock, so that no agent starts, and begins to drain, while its files and dead
 * segments go. Returns the descriptor, -1 where there is no such file, or -2 where it cannot be
 * had: then an agent may run.
 */
static int agent_hold(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	struct stat status;
	int fd = open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -1 : -2;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	    fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return fd;
	close(fd);
	return -2;
}

int bus_files_clean(const char *bus)
{
	char path[300];
	struct removal removal = {0};
	int fd;

	agent_path(bus, path, sizeof path);
	if (bus_agent(bus) == 1) {
		fprintf(stderr,
			"shmbus: an agent runs on bus \"%s\" and cleans up itself: nothing is "
			"removed\n",
			bus);
		return 1;
	}
	fd = agent_hold(path);
	if (fd == -2) {
		fprintf(stderr,
			"shmbus: cannot lock %s, so an agent may run: nothing is removed; try as "
			"its owner\n",
			path);
		return 1;
	}
	bus_files_each(bus, remove_dead, &removal);
	if (fd >= 0) {
		remove_file(path, &removal);
		close(fd);
	}
	if (removal.removed + removal.failed == 0)
		printf("nothing to remove on bus \"%s\"\n", bus);
	return removal.failed;
}
