/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "listen.h"

#define BACKLOG 256

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

static int fail(const char *spec, int error, const char *what)
{
	fprintf(stderr, "shmbus-gateway: cannot listen on %s: %s\n", spec,
		what != NULL ? what : strerror(error));
	return -error;
}

/* ---- TCP ---- */

/* Splits ADDR:PORT; the address without its brackets. False where it is none. */
static bool split(const char *spec, char *host, size_t size, uint16_t *port)
{
	const char *colon = strrchr(spec, ':'), *from = spec;
	size_t length;
	char *end;
	unsigned long number;

	if (colon == NULL || colon == spec || colon[1] < '0' || colon[1] > '9')
		return false;
	number = strtoul(colon + 1, &end, 10);
	if (*end != '\0' || number > UINT16_MAX)
		return false;
	*port = (uint16_t)number;
	length = (size_t)(colon - spec);
	if (spec[0] == '[' && colon[-1] == ']') {
		from++;
		length -= 2;
	} else if (memchr(spec, ':', length) != NULL) {
		return false; /* IPv6 has brackets */
	}
	if (length == 0 || length >= size)
		return false;
	memcpy(host, from, length);
	host[length] = '\0';
	return true;
}

static bool address_read(const char *spec, union address *address, socklen_t *size)
{
	char host[64];
	uint16_t port;

	memset(address, 0, sizeof *address);
	if (!split(spec, host, sizeof host, &port))
		return false;
	if (strcmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons(port);
		*size = sizeof address->v4;
		return true;
	}
	if (inet_pton(AF_INET6, host, &address->v6.sin6_addr) != 1)
		return false;
	address->v6.sin6_family = AF_INET6;
	address->v6.sin6_port = htons(port);
	*size = sizeof address->v6;
	return true;
}

static void name_tcp(struct listener *listener, const union address *address)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (address->any.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
	else
		inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
	snprintf(listener->address, sizeof listener->address,
		 address->any.sa_family == AF_INET6 ? "http://[%s]:%u/" : "http://%s:%u/", host,
		 ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port
							  : address->v4.sin_port));
}

static int open_tcp(struct listener *listener, const char *spec)
{
	union address address;
	socklen_t size;
	int one = 1, error;

	if (!address_read(spec, &address, &size))
		return fail(spec, EINVAL,
			    "it is no ADDR:PORT, [IPv6]:PORT or unix:PATH, as 127.0.0.1:9750");
	listener->fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return fail(spec, errno, NULL);
	setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (address.any.sa_family == AF_INET6)
		setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(listener->fd, &address.any, size) != 0 || listen(listener->fd, BACKLOG) != 0 ||
	    getsockname(listener->fd, &address.any, &size) != 0) {
		error = errno;
		close(listener->fd);
		return fail(spec, error, NULL);
	}
	name_tcp(listener, &address);
	return 0;
}

/* ---- Unix sockets ---- */

/* Removes a socket that nobody listens on any more. Anything else stays, and bind() says so. */
static void stale_remove(const union address *address)
{
	struct stat status;
	int fd;

	if (lstat(address->local.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, &address->any, sizeof address->local) != 0 && errno == ECONNREFUSED)
		unlink(address->local.sun_path);
	close(fd);
}

static int open_local(struct listener *listener, const char *spec)
{
	const char *path = spec + strlen("unix:");
	union address address = {.local = {.sun_family = AF_UNIX}};
	int error;

	if (path[0] != '/' || strlen(path) >= sizeof address.local.sun_path)
		return fail(spec, EINVAL, "the path must be absolute, and of 107 bytes at most");
	strcpy(address.local.sun_path, path);
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return fail(spec, errno, NULL);
	stale_remove(&address);
	/* Its user and group may connect; nobody has before the mode is right. */
	if (bind(listener->fd, &address.any, sizeof address.local) != 0 || chmod(path, 0660) != 0 ||
	    listen(listener->fd, BACKLOG) != 0) {
		error = errno;
		close(listener->fd);
		return fail(spec, error, NULL);
	}
	listener->local = true;
	strcpy(listener->path, path);
	snprintf(listener->address, sizeof listener->address, "unix:%s", path);
	return 0;
}

/* ---- both ---- */

int listener_open(struct listener *listener, const char *spec)
{
	*listener = (struct listener){.fd = -1};
	return strncmp(spec, "unix:", 5) == 0 ? open_local(listener, spec)
					      : open_tcp(listener, spec);
}

int listener_take(struct listener *listener, int fd)
{
	union address address;
	socklen_t size = sizeof address;

	*listener = (struct listener){.fd = fd};
	memset(&address, 0, sizeof address);
	if (getsockname(fd, &address.any, &size) != 0)
		return fail("a socket of systemd's", errno, NULL);
	listener->local = address.any.sa_family == AF_UNIX;
	if (listener->local)
		snprintf(listener->address, sizeof listener->address, "unix:%s",
			 address.local.sun_path);
	else if (address.any.sa_family == AF_INET || address.any.sa_family == AF_INET6)
		name_tcp(listener, &address);
	else
		return fail("a socket of systemd's", EAFNOSUPPORT, NULL);
	return 0;
}

void listener_close(struct listener *listener)
{
	if (listener->path[0] != '\0')
		unlink(listener->path);
	listener->path[0] = '\0';
}
