/* SPDX-License-Identifier: MIT */
/*
 * connection.h - the time that connections have. libmicrohttpd closes those on which nothing
 * moves; a client that sends a byte now and then would keep one for ever. So each connection has a
 * deadline for its next request to be there whole, and for its answer to be taken; a stream has
 * none.
 */
#ifndef SHMBUS_GATEWAY_CONNECTION_H
#define SHMBUS_GATEWAY_CONNECTION_H

#include <stddef.h>
#include <stdint.h>

#include <microhttpd.h>
#include <systemd/sd-event.h>

struct connections;

int connections_new(sd_event *event, uint64_t timeout_ns, uint64_t (*now_ns)(void),
		    struct connections **out);
void connections_free(struct connections *connections); /* NULL is allowed */
unsigned int connections_count(const struct connections *connections);

/* Ends those that wait for a request. */
void connections_farewell(struct connections *connections);

/* For MHD_OPTION_NOTIFY_CONNECTION, with the struct connections as its data. */
void connections_notify(void *data, struct MHD_Connection *connection, void **state,
			enum MHD_ConnectionNotificationCode code);

/* The request is there whole; its answer has been taken, or given up. */
void connections_request(struct MHD_Connection *connection);
void connections_answered(struct MHD_Connection *connection);

/* The answer is a stream: it may take for ever. */
void connections_stream(struct MHD_Connection *connection);

/* Whom it is from, for people. */
void connections_peer(struct MHD_Connection *connection, char *out, size_t size);

#endif /* SHMBUS_GATEWAY_CONNECTION_H */
