/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "host.h"

/* The name without its port and brackets. False where it is too long to be one. */
static bool name_of(const char *host, char *name, size_t size)
{
	size_t length;

	if (host[0] == '[') {
		host++;
		length = strcspn(host, "]");
	} else {
		length = strcspn(host, ":");
	}
	if (length == 0 || length >= size)
		return false;
	memcpy(name, host, length);
	name[length] = '\0';
	if (name[length - 1] == '.')
		name[length - 1] = '\0';
	return true;
}

static bool is_address(const char *name)
{
	struct in6_addr address;

	return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

static bool listed(const char *name, const char *names)
{
	size_t length = strlen(name);

	while (*names != '\0') {
		size_t size;

		names += strspn(names, ", ");
		size = strcspn(names, ", ");
		if (size == 1 && *names == '*')
			return true;
		if (size == length && strncasecmp(names, name, size) == 0)
			return true;
		names += size;
	}
	return false;
}

bool host_allowed(const char *host, const char *own, const char *more)
{
	char name[256];
	size_t own_length = strcspn(own, ".");

	if (!name_of(host, name, sizeof name))
		return more != NULL && listed("*", more);
	if (is_address(name) || strcasecmp(name, "localhost") == 0 || strcasecmp(name, own) == 0)
		return true;
	/* The first part of its name is enough in its own network. */
	if (strncasecmp(name, own, own_length) == 0 && name[own_length] == '\0')
		return true;
	return more != NULL && listed(name, more);
}
