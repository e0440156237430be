/* SPDX-License-Identifier: MIT */
/* group.c - the group that a session's segment is given to. */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define BUFFER_MAX (1u << 20)

static bool number_parse(const char *text, gid_t *out)
{
	char *end;
	unsigned long number;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno != 0 || *end != '\0' || number >= UINT32_MAX) /* (gid_t)-1 means none */
		return false;
	*out = (gid_t)number;
	return true;
}

/* Asks the system's list of groups. A group of many members needs a large buffer. */
static int name_find(const char *name, gid_t *out)
{
	struct group entry, *found = NULL;
	int error = ERANGE;

	for (size_t size = 4096; error == ERANGE && size <= BUFFER_MAX; size *= 4) {
		char *buffer = malloc(size);

		if (buffer == NULL)
			return -ENOMEM;
		error = getgrnam_r(name, &entry, buffer, size, &found);
		if (found != NULL)
			*out = entry.gr_gid;
		free(buffer);
	}
	return found != NULL ? 0 : -ENOENT;
}

int shmbus__access_resolve(const struct shmbus_session_options *options, struct shmbus__access *out)
{
	const char *name = options->group, *origin = "";
	int error;

	*out = (struct shmbus__access){.group = (gid_t)-1, .mode = options->mode};
	/* A program that wants its segment for itself is not overruled. */
	if (name == NULL && options->mode != 0600) {
		name = secure_getenv("SHMBUS_GROUP");
		origin = " ($SHMBUS_GROUP)";
	}
	if (name == NULL || name[0] == '\0')
		return 0;
	if (options->mode == 0600)
		return shmbus__fail(-EINVAL,
				    "group \"%.40s\" can do nothing with mode 0600: 0640 "
				    "or 0660",
				    name);
	error = number_parse(name, &out->group) ? 0 : name_find(name, &out->group);
	if (error == -ENOMEM)
		return shmbus__fail(error, "no memory to look for group \"%.40s\"", name);
	if (error != 0)
		return shmbus__fail(-EINVAL, "there is no group \"%.40s\"%s", name, origin);
	if (out->mode == 0)
		out->mode = 0660;
	return 0;
}
