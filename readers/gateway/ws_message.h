/* SPDX-License-Identifier: MIT */
/* ws_message.h - what a WebSocket's client says. */
#ifndef SHMBUS_GATEWAY_WS_MESSAGE_H
#define SHMBUS_GATEWAY_WS_MESSAGE_H

#include "stream_client.h"

#define WS_MESSAGE_MAX 4096u

/* {"session": an id or null, "interval": seconds}, both or one: what it wants to get from now on.
 * Other keys are left alone; what is no object ends the stream. */
void ws_message(struct stream_client *client, const char *text, size_t size);

#endif /* SHMBUS_GATEWAY_WS_MESSAGE_H */
