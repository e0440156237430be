/* SPDX-License-Identifier: MIT */
/* listen.h - the sockets that requests come from. */
#ifndef SHMBUS_GATEWAY_LISTEN_H
#define SHMBUS_GATEWAY_LISTEN_H

#include <stdbool.h>

struct listener {
	int fd;
	bool local;        /* a Unix socket */
	char address[128]; /* for people: http://127.0.0.1:9750/ or unix:/run/... */
	char path[108];    /* to remove at the end; "" where there is none */
};

/* Opens ADDR:PORT (port 0: any), [IPv6]:PORT or unix:PATH. Returns 0, or a negative errno after a
 * message on standard error. */
int listener_open(struct listener *listener, const char *spec);

/* Takes a socket that systemd has opened. Returns 0, or a negative errno after a message. */
int listener_take(struct listener *listener, int fd);

void listener_close(struct listener *listener);

#endif /* SHMBUS_GATEWAY_LISTEN_H */
