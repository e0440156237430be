/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "gateway.h"
#include "snapshot.h"

static bool wants_msgpack(const struct request *request)
{
	const char *accept = request_header(request, MHD_HTTP_HEADER_ACCEPT);

	return accept != NULL && strstr(accept, "msgpack") != NULL &&
	       strstr(accept, "application/json") == NULL;
}

enum MHD_Result handle_snapshot(struct request *request)
{
	const struct document *document = feed_document(request->gateway->feed);
	struct body body = BODY_EMPTY;

	if (document == NULL)
		return answer_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "%s: start shmbus-agent",
				    feed_error(request->gateway->feed));
	if (wants_msgpack(request)) {
		body_bytes(&body, document->snapshot.data, document->snapshot.size);
		return answer_body(request, MHD_HTTP_OK, "application/msgpack", &body);
	}
	body_json_value(&body, &document->root);
	body_text(&body, "\n");
	return answer_body(request, MHD_HTTP_OK, "application/json", &body);
}
