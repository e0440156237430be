/* SPDX-License-Identifier: MIT */
/* ws_handshake.c - GET /api/v1/ws: a request that becomes a WebSocket, or why not. */
#include <string.h>

#include "connection.h"
#include "gateway.h"
#include "handshake.h"
#include "stream.h"
#include "ws.h"

/* The request is still there, and is looked at again: of what was found before the answer was sent
 * nothing had to be kept, for a connection that may have died meanwhile. */
static void on_upgrade(void *data, struct MHD_Connection *connection, void *state,
		       const char *early, size_t early_size, MHD_socket fd,
		       struct MHD_UpgradeResponseHandle *handle)
{
	struct request request = {.gateway = data, .connection = connection};
	struct ws_socket socket = {fd, handle, early, early_size};
	struct stream_query query;
	const char *refusal = NULL;
	char message[256];

	(void)state;
	connections_stream(connection);
	if (stream_query_parse(request.gateway->feed, &query, request_argument(&request, "session"),
			       request_argument(&request, "interval"), NULL, message,
			       sizeof message) != 0)
		refusal = "the session is gone";
	else if (stream_admit(request.gateway->streams, message, sizeof message) != 0)
		refusal = "there are too many streams, or the gateway is stopping";
	ws_open(request.gateway, &socket, &query, refusal);
}

static enum MHD_Result answer_upgrade_required(struct request *request, const char *text)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);

	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, "websocket");
	MHD_add_response_header(response, MHD_HTTP_HEADER_SEC_WEBSOCKET_VERSION, "13");
	return answer_response(request, MHD_HTTP_UPGRADE_REQUIRED, response);
}

static enum MHD_Result answer_upgrade(struct request *request, const char *accept)
{
	struct MHD_Response *response =
		MHD_create_response_for_upgrade(on_upgrade, request->gateway);

	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, "websocket");
	MHD_add_response_header(response, MHD_HTTP_HEADER_SEC_WEBSOCKET_ACCEPT, accept);
	return answer_response(request, MHD_HTTP_SWITCHING_PROTOCOLS, response);
}

enum MHD_Result handle_ws(struct request *request)
{
	const char *version = request_header(request, MHD_HTTP_HEADER_SEC_WEBSOCKET_VERSION);
	char accept[HANDSHAKE_ACCEPT_SIZE], message[256];
	struct stream_query query;
	unsigned int status;

	if (!handshake_has_token(request_header(request, MHD_HTTP_HEADER_UPGRADE), "websocket") ||
	    !handshake_has_token(request_header(request, MHD_HTTP_HEADER_CONNECTION), "upgrade"))
		return answer_upgrade_required(request,
					       "{\"error\":\"this is for WebSocket clients; "
					       "/api/v1/stream has the same for all others\"}\n");
	if (version == NULL || strcmp(version, "13") != 0)
		return answer_upgrade_required(request,
					       "{\"error\":\"WebSocket version 13 it is\"}\n");
	if (!handshake_accept(request_header(request, "Sec-WebSocket-Key"), accept))
		return answer_error(request, MHD_HTTP_BAD_REQUEST,
				    "Sec-WebSocket-Key is 16 bytes in base64");
	if (!handshake_origin_allowed(request_header(request, MHD_HTTP_HEADER_ORIGIN),
				      request_header(request, MHD_HTTP_HEADER_HOST)))
		return answer_error(request, MHD_HTTP_FORBIDDEN,
				    "a page from elsewhere may not listen here");
	status = stream_query_parse(
		request->gateway->feed, &query, request_argument(request, "session"),
		request_argument(request, "interval"), NULL, message, sizeof message);
	if (status == 0)
		status = stream_admit(request->gateway->streams, message, sizeof message);
	if (status != 0)
		return answer_error(request, status, "%s", message);
	return answer_upgrade(request, accept);
}
