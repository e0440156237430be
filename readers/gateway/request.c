/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <zlib.h>

#include "request_private.h"

#define GZIP_SIZE_MIN 512u /* less is not worth it */
#define ETAG_SIZE 48
#define POLICY                                                                                     \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "          \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct rendering {
	struct MHD_Response *plain;
	struct MHD_Response *compressed; /* made when it is first asked for */
	bool incompressible;
	const char *data; /* belongs to `plain` */
	size_t size;
	char type[96];
	char etag[ETAG_SIZE]; /* without quotes; with -gz of the compressed one */
};

const char *request_header(const struct request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *request_argument(const struct request *request, const char *name)
{
	const char *value = NULL;
	size_t size;

	if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, name,
					  strlen(name), &value, &size) == MHD_NO)
		return NULL;
	return value != NULL ? value : "";
}

/* ---- answers ---- */

static void headers_add(struct MHD_Response *response)
{
	MHD_add_response_header(response, "Content-Security-Policy", POLICY);
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
	MHD_add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
	MHD_add_response_header(response, "Server", "shmbus-gateway");
}

static enum MHD_Result queue(struct request *request, unsigned int status,
			     struct MHD_Response *response)
{
	struct exchange *exchange = exchange_of(request);

	exchange->answered = true;
	exchange->status = status;
	return MHD_queue_response(request->connection, status, response);
}

enum MHD_Result answer_response(struct request *request, unsigned int status,
				struct MHD_Response *response)
{
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	headers_add(response);
	result = queue(request, status, response);
	MHD_destroy_response(response);
	return result;
}

/* Takes the bytes; NULL without memory, with the bytes gone. */
static struct MHD_Response *response_of(const char *content_type, struct body *body)
{
	struct MHD_Response *response =
		body->failed ? NULL
			     : MHD_create_response_from_buffer(body->size, body->data,
							       MHD_RESPMEM_MUST_FREE);

	if (response == NULL) {
		body_free(body);
		return NULL;
	}
	*body = BODY_EMPTY;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	return response;
}

enum MHD_Result answer_body(struct request *request, unsigned int status, const char *content_type,
			    struct body *body)
{
	struct MHD_Response *response = response_of(content_type, body);

	if (response == NULL)
		return answer_error(request, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	return answer_response(request, status, response);
}

enum MHD_Result answer_error(struct request *request, unsigned int status, const char *format, ...)
{
	struct body body = BODY_EMPTY;
	struct MHD_Response *response;
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	body_text(&body, "{\"error\":");
	body_json_text(&body, text, strlen(text));
	body_text(&body, "}\n");
	response = response_of("application/json", &body);
	if (response == NULL)
		return MHD_NO; /* the connection ends */
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (status == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	return answer_response(request, status, response);
}

/* ---- renderings ---- */

/* None is like another, whichever process made it. */
static void etag_make(char etag[ETAG_SIZE])
{
	static uint64_t serial;
	static uint64_t start;

	if (start == 0) {
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		start = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	}
	snprintf(etag, ETAG_SIZE, "%" PRIx64 "-%" PRIx64, start, ++serial);
}

static void cached_headers(struct MHD_Response *response, const char *etag, const char *suffix)
{
	char quoted[ETAG_SIZE + 8];

	snprintf(quoted, sizeof quoted, "\"%s%s\"", etag, suffix);
	MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, quoted);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
	MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
	headers_add(response);
}

struct rendering *rendering_new(const char *content_type, struct body *body)
{
	struct rendering *rendering = calloc(1, sizeof *rendering);

	if (rendering == NULL) {
		body_free(body);
		return NULL;
	}
	rendering->data = body->data;
	rendering->size = body->size;
	rendering->plain = response_of(content_type, body);
	if (rendering->plain == NULL) {
		free(rendering);
		return NULL;
	}
	snprintf(rendering->type, sizeof rendering->type, "%s", content_type);
	etag_make(rendering->etag);
	cached_headers(rendering->plain, rendering->etag, "");
	return rendering;
}

void rendering_free(struct rendering *rendering)
{
	if (rendering == NULL)
		return;
	MHD_destroy_response(rendering->plain);
	if (rendering->compressed != NULL)
		MHD_destroy_response(rendering->compressed);
	free(rendering);
}

/* Fast rather than small: it is done while others wait. */
static bool gzip(struct body *out, const char *data, size_t size)
{
	z_stream stream = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
	uLong bound;
	int result;

	if (size > UINT32_MAX ||
	    deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	bound = deflateBound(&stream, (uLong)size);
	out->data = malloc(bound);
	out->capacity = out->data != NULL ? bound : 0;
	stream.next_out = (Bytef *)out->data;
	stream.avail_out = (uInt)out->capacity;
	result = out->data != NULL ? deflate(&stream, Z_FINISH) : Z_MEM_ERROR;
	out->size = stream.total_out;
	deflateEnd(&stream);
	return result == Z_STREAM_END && out->size < size;
}

static struct MHD_Response *compressed(struct rendering *rendering)
{
	struct body body = BODY_EMPTY;

	if (rendering->compressed != NULL || rendering->incompressible)
		return rendering->compressed;
	if (rendering->size >= GZIP_SIZE_MIN && gzip(&body, rendering->data, rendering->size))
		rendering->compressed = response_of(rendering->type, &body);
	body_free(&body);
	if (rendering->compressed == NULL) {
		rendering->incompressible = true;
		return NULL;
	}
	MHD_add_response_header(rendering->compressed, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	cached_headers(rendering->compressed, rendering->etag, "-gz");
	return rendering->compressed;
}

/* Whether gzip is in a list such as "br, gzip;q=0.5", and not with q=0. */
static bool takes_gzip(const char *accept)
{
	const char *at = accept != NULL ? strcasestr(accept, "gzip") : NULL;
	const char *quality;

	if (at == NULL)
		return false;
	quality = at + strlen("gzip");
	quality += strspn(quality, " \t");
	return *quality != ';' || strtod(quality + strcspn(quality, "=,") + 1, NULL) > 0;
}

/* Whether the client has this one, or its compressed form. */
static bool has_already(const struct request *request, const struct rendering *rendering)
{
	const char *known = request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
	const char *at;

	if (known == NULL)
		return false;
	if (strcmp(known, "*") == 0)
		return true;
	at = strstr(known, rendering->etag);
	if (at == NULL || at == known || at[-1] != '"')
		return false;
	at += strlen(rendering->etag);
	return *at == '"' || strncmp(at, "-gz\"", 4) == 0;
}

static enum MHD_Result answer_unchanged(struct request *request, const struct rendering *rendering)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	cached_headers(response, rendering->etag, "");
	result = queue(request, MHD_HTTP_NOT_MODIFIED, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result answer_rendering(struct request *request, unsigned int status,
				 struct rendering *rendering)
{
	struct MHD_Response *response = NULL;

	if (rendering == NULL)
		return answer_error(request, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory");
	if (status == MHD_HTTP_OK && has_already(request, rendering))
		return answer_unchanged(request, rendering);
	if (takes_gzip(request_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING)))
		response = compressed(rendering);
	return queue(request, status, response != NULL ? response : rendering->plain);
}
