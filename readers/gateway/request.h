/* SPDX-License-Identifier: MIT */
/*
 * request.h - a request as its handler sees it, and the ways to answer it.
 *
 * server.c has checked the method, the Host header, sizes and limits before a handler is called,
 * with the whole body read. It adds the headers that every answer has. A handler runs on the
 * thread of the event loop and must not wait. It answers exactly once and returns what the answer
 * function returned.
 */
#ifndef SHMBUS_GATEWAY_REQUEST_H
#define SHMBUS_GATEWAY_REQUEST_H

#include <microhttpd.h>

#include "body.h"

struct gateway;

struct request {
	struct gateway *gateway;
	struct MHD_Connection *connection;
	const char *method; /* "GET" (HEAD too: the body is left out by itself), "POST" */
	const char *path;
	const char *rest; /* of a path that its route ends with a star: what the star stands for */
	bool local;       /* it came over a Unix socket */
	const char *body; /* of a POST, NUL after it */
	size_t body_size;
};

typedef enum MHD_Result (*request_handler)(struct request *request);

/* A header of the request (any case), or an argument of its query; NULL where it is not there.
 * An argument without "=" is "". */
const char *request_header(const struct request *request, const char *name);
const char *request_argument(const struct request *request, const char *name);

/*
 * A rendering: a body that many requests get. It is compressed once, where a request asks for it,
 * and known by its ETag, so that a request that has it already is told so (304).
 */
struct rendering;

/* Takes the body's bytes; `body` is empty afterwards. NULL without memory, or of a failed body. */
struct rendering *rendering_new(const char *content_type, struct body *body);
void rendering_free(struct rendering *rendering); /* NULL is allowed; answers go on */

enum MHD_Result answer_rendering(struct request *request, unsigned int status,
				 struct rendering *rendering);

/* A body for this request alone; takes its bytes. A failed body: 500. */
enum MHD_Result answer_body(struct request *request, unsigned int status, const char *content_type,
			    struct body *body);

/* {"error": text}. The text says what to do. */
__attribute__((format(printf, 3, 4))) enum MHD_Result
answer_error(struct request *request, unsigned int status, const char *format, ...);

/* Another response of libmicrohttpd's, whose reference it takes, with the headers that every
 * answer has: streams. */
enum MHD_Result answer_response(struct request *request, unsigned int status,
				struct MHD_Response *response);

/*
 * Connections that are suspended, or that have been upgraded, wake up by this: libmicrohttpd is
 * run again soon, from the event loop. Call it after MHD_resume_connection().
 */
void gateway_wake(struct gateway *gateway);

#endif /* SHMBUS_GATEWAY_REQUEST_H */
