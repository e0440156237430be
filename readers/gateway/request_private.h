/* SPDX-License-Identifier: MIT */
/* request_private.h - a request with what server.c keeps of it. Private to server.c, request.c. */
#ifndef SHMBUS_GATEWAY_REQUEST_PRIVATE_H
#define SHMBUS_GATEWAY_REQUEST_PRIVATE_H

#include "request.h"

#define REQUEST_BODY_MAX 65536u

struct exchange {
	struct request request;
	struct body upload;
	char path[256];
	bool too_large;
	bool answered;
	unsigned int status; /* of the answer */
	uint64_t start_ns;
};

static inline struct exchange *exchange_of(struct request *request)
{
	return (struct exchange *)request; /* its first member */
}

#endif /* SHMBUS_GATEWAY_REQUEST_PRIVATE_H */
