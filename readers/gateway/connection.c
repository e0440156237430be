/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "connection.h"

#define LOOK_US 500000u
#define IDLE_NS 75000000000u    /* between two requests: scrapers come once a minute */
#define ANSWER_NS 120000000000u /* for an answer to be taken */

struct connection {
	struct connections *all;
	struct connection *next;
	struct connection **link; /* what points at it */
	struct MHD_Connection *mhd;
	uint64_t deadline_ns; /* 0: none */
	bool busy;            /* it has a request that has not been answered whole */
};

struct connections {
	struct connection *first;
	unsigned int count;
	uint64_t timeout_ns;
	uint64_t (*now_ns)(void);
	sd_event_source *timer;
};

static int socket_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info != NULL ? info->connect_fd : -1;
}

/* Whose time is over: libmicrohttpd finds the connection shut, and ends it. */
static int on_look(sd_event_source *source, uint64_t time_us, void *data)
{
	struct connections *connections = data;
	uint64_t now_ns = connections->now_ns();

	(void)time_us;
	for (struct connection *c = connections->first; c != NULL; c = c->next) {
		if (c->deadline_ns == 0 || c->deadline_ns > now_ns)
			continue;
		shutdown(socket_of(c->mhd), SHUT_RDWR);
		c->deadline_ns = 0;
	}
	if (connections->first == NULL)
		return 0; /* the next connection starts it again */
	sd_event_source_set_time_relative(source, LOOK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int connections_new(sd_event *event, uint64_t timeout_ns, uint64_t (*now_ns)(void),
		    struct connections **out)
{
	struct connections *connections = calloc(1, sizeof *connections);
	int error;

	*out = NULL;
	if (connections == NULL)
		return -ENOMEM;
	connections->timeout_ns = timeout_ns;
	connections->now_ns = now_ns;
	error = sd_event_add_time_relative(event, &connections->timer, CLOCK_MONOTONIC, LOOK_US,
					   LOOK_US / 10, on_look, connections);
	if (error < 0) {
		free(connections);
		return error;
	}
	*out = connections;
	return 0;
}

void connections_free(struct connections *connections)
{
	if (connections == NULL)
		return;
	sd_event_source_disable_unref(connections->timer);
	free(connections);
}

void connections_farewell(struct connections *connections)
{
	for (struct connection *c = connections->first; c != NULL; c = c->next)
		if (!c->busy)
			shutdown(socket_of(c->mhd), SHUT_RDWR);
}

unsigned int connections_count(const struct connections *connections)
{
	return connections->count;
}

static void connection_begin(struct connections *connections, struct MHD_Connection *mhd,
			     void **state)
{
	struct connection *c = calloc(1, sizeof *c);

	*state = c;
	if (c == NULL)
		return; /* it has no deadline then */
	*c = (struct connection){
		.all = connections,
		.next = connections->first,
		.link = &connections->first,
		.mhd = mhd,
		.deadline_ns = connections->now_ns() + connections->timeout_ns,
	};
	if (c->next != NULL)
		c->next->link = &c->next;
	else
		sd_event_source_set_time_relative(connections->timer, LOOK_US);
	sd_event_source_set_enabled(connections->timer, SD_EVENT_ONESHOT);
	connections->first = c;
	connections->count++;
}

static void connection_end(struct connection *c)
{
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
	c->all->count--;
	free(c);
}

void connections_notify(void *data, struct MHD_Connection *connection, void **state,
			enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		connection_begin(data, connection, state);
	else if (*state != NULL)
		connection_end(*state);
}

static void deadline_set(struct MHD_Connection *connection, bool busy, uint64_t after_ns)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct connection *c = info != NULL ? info->socket_context : NULL;

	if (c == NULL)
		return;
	c->busy = busy;
	c->deadline_ns = after_ns == 0 ? 0 : c->all->now_ns() + after_ns;
}

void connections_request(struct MHD_Connection *connection)
{
	deadline_set(connection, true, ANSWER_NS);
}

void connections_answered(struct MHD_Connection *connection)
{
	deadline_set(connection, false, IDLE_NS);
}

void connections_stream(struct MHD_Connection *connection)
{
	deadline_set(connection, true, 0);
}

void connections_peer(struct MHD_Connection *connection, char *out, size_t size)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info != NULL ? info->client_addr : NULL;

	snprintf(out, size, "unix");
	if (address != NULL && address->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr,
			  out, (socklen_t)size);
	else if (address != NULL && address->sa_family == AF_INET6)
		inet_ntop(AF_INET6,
			  &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, out,
			  (socklen_t)size);
}
