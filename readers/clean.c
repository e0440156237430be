/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmbus/layout.h>

#include "clean.h"

#define SHM_DIR "/dev/shm/"

enum holder { HOLDER_NONE, HOLDER_LIVE, HOLDER_UNKNOWN };

/* Whether somebody holds the lock for writing that says "I live". */
static enum holder holder_of(const char *path, uint64_t *bytes)
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
	enum holder holder = holder_of(path, &files->bytes);

	if (strcmp(part, SHMBUS_AGENT_SUFFIX) == 0)
		files->agent = holder == HOLDER_LIVE;
	else if (is_segment(part) && holder == HOLDER_LIVE)
		files->alive++;
	else if (is_segment(part) && holder == HOLDER_NONE)
		files->dead++;
}

void bus_files_look(const char *bus, struct bus_files *out)
{
	memset(out, 0, sizeof *out);
	files_each(bus, look, out);
}

static void remove_dead(const char *path, const char *part, void *data)
{
	uint64_t bytes = 0;

	(void)part;
	if (holder_of(path, &bytes) != HOLDER_NONE)
		return;
	if (unlink(path) == 0) {
		printf("removed %s\n", path);
	} else {
		fprintf(stderr, "shmbus: cannot remove %s: %s\n", path, strerror(errno));
		++*(int *)data;
	}
}

int bus_files_clean(const char *bus)
{
	struct bus_files files;
	int failed = 0;

	bus_files_look(bus, &files);
	if (files.agent) {
		fprintf(stderr, "shmbus: an agent runs on bus \"%s\" and cleans up itself\n", bus);
		return 1;
	}
	files_each(bus, remove_dead, &failed);
	return failed;
}
