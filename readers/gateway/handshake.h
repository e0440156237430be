/* SPDX-License-Identifier: MIT */
/* handshake.h - how an HTTP connection becomes a WebSocket (RFC 6455, section 4). */
#ifndef SHMBUS_GATEWAY_HANDSHAKE_H
#define SHMBUS_GATEWAY_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>

#define HANDSHAKE_ACCEPT_SIZE 29

/* What a Sec-WebSocket-Key is answered with. Returns false where it is none: 16 bytes in base64. */
bool handshake_accept(const char *key, char out[HANDSHAKE_ACCEPT_SIZE]);

/* Whether a header's value, a list with commas (NULL: it is not there), has a token in any case. */
bool handshake_has_token(const char *value, const char *token);

/*
 * Whether a page of that origin may connect: its host and port must be those of the Host header.
 * Browsers let any page open a WebSocket to anywhere and say only where the page is from. No
 * origin: no browser.
 */
bool handshake_origin_allowed(const char *origin, const char *host);

#endif /* SHMBUS_GATEWAY_HANDSHAKE_H */
