/* SPDX-License-Identifier: MIT */
/*
 * host.h - whether a Host header names this host.
 *
 * A page of somebody else's can have its own name point at our address; a browser then lets that
 * page read what we answer. Such a request has a foreign name in its Host header. An address is
 * none of somebody else's names, so addresses are always taken.
 */
#ifndef SHMBUS_GATEWAY_HOST_H
#define SHMBUS_GATEWAY_HOST_H

#include <stdbool.h>

/* `own`: the name of this host. `more`: names beside it, with commas, NULL for none; "*": any. */
bool host_allowed(const char *host, const char *own, const char *more);

#endif /* SHMBUS_GATEWAY_HOST_H */
