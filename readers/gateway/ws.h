/* SPDX-License-Identifier: MIT */
/* ws.h - a WebSocket's client, after its handshake. */
#ifndef SHMBUS_GATEWAY_WS_H
#define SHMBUS_GATEWAY_WS_H

#include "request.h"
#include "stream_client.h"

struct ws_socket {
	int fd;
	struct MHD_UpgradeResponseHandle *handle; /* closes it */
	const char *early;                        /* what came right behind the request; copied */
	size_t early_size;
};

/* Takes the socket, whatever happens. `refusal`: is said, and ends it; NULL: there is none. */
void ws_open(struct gateway *gateway, const struct ws_socket *socket,
	     const struct stream_query *query, const char *refusal);

#endif /* SHMBUS_GATEWAY_WS_H */
