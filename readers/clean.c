/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/layout.h>

#include "clean.h"

#define SHM_DIR "/dev/shm/"

/* A producer makes its file, then locks it, then gives it a size. */
#define HALF_MADE_S 10

enum holder { HOLDER_NONE, HOLDER_LIVE, HOLDER_UNKNOWN };

/* Whether somebody holds the lock for writing that says "I live". `grace`: a file that is only
 * just made counts as held. */
static enum holder holder_of(const char *path, bool grace, uint64_t *bytes)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	struct stat status;
	enum holder holder = HOLDER_UNKNOWN;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return HOLDER_UNKNOWN;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
		*bytes += (uint64_t)status.st_blocks * 512;
		if (fcntl(fd, F_OFD_GETLK, &lock) == 0)
			holder = lock.l_type == F_UNLCK ? HOLDER_NONE : HOLDER_LIVE;
		if (holder == HOLDER_NONE && grace &&
		    status.st_ctim.tv_sec + HALF_MADE_S > time(NULL) && status.st_size == 0)
			holder = HOLDER_UNKNOWN;
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

static bool is_agents(const char *part)
{
	size_t length = strlen(SHMBUS_SNAPSHOT_SUFFIX);

	return strcmp(part, SHMBUS_AGENT_SUFFIX) == 0 ||
	       (strncmp(part, SHMBUS_SNAPSHOT_SUFFIX, length) == 0 &&
		(part[length] == '\0' || part[length] == '.'));
}

static void files_each(const char *bus,
		       void (*each)(const char *path, const char *part, void *data), void *data)
{
	DIR *directory = opendir(SHM_DIR);
	const struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL) {
		const char *part = name_part(entry->d_name, bus);
		char path[300];

		if (part == NULL || (!is_segment(part) && !is_agents(part)))
			continue;
		snprintf(path, sizeof path, SHM_DIR "%s", entry->d_name);
		each(path, part, data);
	}
	closedir(directory);
}

static void look(const char *path, const char *part, void *data)
{
	struct bus_files *files = data;
	enum holder holder = holder_of(path, is_segment(part), &files->bytes);

	if (strcmp(part, SHMBUS_AGENT_SUFFIX) == 0) {
		files->agent = holder == HOLDER_LIVE;
		files->unknown = holder == HOLDER_UNKNOWN;
	} else if (is_segment(part) && holder == HOLDER_LIVE) {
		files->alive++;
	} else if (is_segment(part) && holder == HOLDER_NONE) {
		files->dead++;
	}
}

void bus_files_look(const char *bus, struct bus_files *out)
{
	memset(out, 0, sizeof *out);
	files_each(bus, look, out);
}

static void remove_file(const char *path, void *data)
{
	if (unlink(path) == 0) {
		printf("removed %s\n", path);
	} else if (errno != ENOENT) {
		fprintf(stderr, "shmbus: cannot remove %s: %s\n", path, strerror(errno));
		++*(int *)data;
	}
}

/* All but the agent's own file: it is held meanwhile, and goes last. */
static void remove_dead(const char *path, const char *part, void *data)
{
	uint64_t bytes = 0;

	if (strcmp(part, SHMBUS_AGENT_SUFFIX) != 0 &&
	    holder_of(path, is_segment(part), &bytes) == HOLDER_NONE)
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
	struct bus_files files;
	char path[300];
	int fd, failed = 0;

	snprintf(path, sizeof path, SHM_DIR SHMBUS_PREFIX "%s." SHMBUS_AGENT_SUFFIX, bus);
	bus_files_look(bus, &files);
	if (files.agent) {
		fprintf(stderr, "shmbus: an agent runs on bus \"%s\" and cleans up itself\n", bus);
		return 1;
	}
	fd = agent_hold(path);
	if (fd == -2) {
		fprintf(stderr,
			"shmbus: cannot lock %s, so an agent may run: nothing is removed; try as "
			"its "
			"owner\n",
			path);
		return 1;
	}
	files_each(bus, remove_dead, &failed);
	if (fd >= 0) {
		remove_file(path, &failed);
		close(fd);
	}
	return failed;
}
