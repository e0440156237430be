/* SPDX-License-Identifier: MIT */
/*
 * server.h - listeners, connections, and which handler a request goes to.
 *
 * libmicrohttpd does HTTP, one daemon for each listener, polled from the event loop. The server
 * adds what it leaves to its users: the Host check, limits on time, the headers that all answers
 * have, the routes.
 */
#ifndef SHMBUS_GATEWAY_SERVER_H
#define SHMBUS_GATEWAY_SERVER_H

#include "gateway.h"

/* Listens where the options say, or on the sockets that systemd hands over. Returns 0, or a
 * negative errno after a message. */
int server_new(struct gateway *gateway, struct server **out);

/* Accepts nothing more; what is being answered goes on. */
void server_quiesce(struct server *server);

/* Closes connections without a request. Returns how many others there are still. */
unsigned int server_farewell(struct server *server);

/* Closes what is still open. Streams have been stopped before. NULL is allowed. */
void server_free(struct server *server);

/* Where it listens, for people: the i-th, NULL beyond the last. */
const char *server_address(const struct server *server, size_t i);

/* ---- routes.c ---- */

struct route {
	const char *method; /* GET goes for HEAD too */
	const char *path;   /* the whole path; with a star at its end, what begins so */
	request_handler handler;
};

/* Ends with a NULL path. */
extern const struct route routes[];

#endif /* SHMBUS_GATEWAY_SERVER_H */
