/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "connection.h"
#include "host.h"
#include "listen.h"
#include "request_private.h"
#include "server.h"
#include "times.h"

#define RUNS_MAX 8
#define HEADERS_MAX 32768u /* bytes of a request without its body, and of an answer's headers */

struct daemon {
	struct server *server;
	struct listener listener;
	struct MHD_Daemon *mhd;
	sd_event_source *ready;
	sd_event_source *timer;
};

struct server {
	struct gateway *gateway;
	struct daemon daemons[OPTIONS_LISTEN_MAX];
	size_t count;
	sd_event_source *wake;
	struct connections *connections;
	char hostname[256];
};

/* ---- the event loop ---- */

static void daemon_run(struct daemon *daemon)
{
	MHD_UNSIGNED_LONG_LONG wait_ms = 0;
	enum MHD_Result waits = MHD_YES;

	/* Accepting, reading and answering are a run each; others have their turn in between. */
	for (int i = 0; i < RUNS_MAX && waits == MHD_YES && wait_ms == 0; i++) {
		MHD_run(daemon->mhd);
		waits = MHD_get_timeout(daemon->mhd, &wait_ms);
	}
	if (waits != MHD_YES) {
		sd_event_source_set_enabled(daemon->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(daemon->timer, wait_ms * 1000);
	sd_event_source_set_enabled(daemon->timer, SD_EVENT_ONESHOT);
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	daemon_run(data);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t time_us, void *data)
{
	(void)source;
	(void)time_us;
	daemon_run(data);
	return 0;
}

static int on_wake(sd_event_source *source, void *data)
{
	struct server *server = data;

	(void)source;
	for (size_t i = 0; i < server->count; i++)
		daemon_run(&server->daemons[i]);
	return 0;
}

void gateway_wake(struct gateway *gateway)
{
	if (gateway->server != NULL)
		sd_event_source_set_enabled(gateway->server->wake, SD_EVENT_ONESHOT);
}

/* ---- requests ---- */

static bool route_fits(const struct route *route, struct request *request)
{
	size_t length = strlen(route->path);

	if (route->path[length - 1] != '*')
		return strcmp(route->path, request->path) == 0;
	if (strncmp(route->path, request->path, length - 1) != 0)
		return false;
	request->rest = request->path + length - 1;
	return true;
}

static enum MHD_Result dispatch(struct request *request)
{
	bool path_known = false;

	for (const struct route *route = routes; route->path != NULL; route++) {
		if (!route_fits(route, request))
			continue;
		path_known = true;
		if (strcmp(route->method, request->method) == 0)
			return route->handler(request);
	}
	if (path_known)
		return answer_error(request, MHD_HTTP_METHOD_NOT_ALLOWED,
				    "%s is not allowed for %s", request->method, request->path);
	return answer_error(request, MHD_HTTP_NOT_FOUND,
			    "there is nothing at this path; try / or /metrics");
}

static enum MHD_Result request_handle(struct daemon *daemon, struct exchange *exchange)
{
	struct request *request = &exchange->request;
	const char *host = request_header(request, MHD_HTTP_HEADER_HOST);

	if (exchange->too_large || exchange->upload.failed)
		return answer_error(request, MHD_HTTP_CONTENT_TOO_LARGE,
				    "the body is larger than %u bytes", REQUEST_BODY_MAX);
	if (!request->local && host != NULL &&
	    !host_allowed(host, daemon->server->hostname, daemon->server->gateway->options->hosts))
		return answer_error(request, MHD_HTTP_MISDIRECTED_REQUEST,
				    "the Host header names another host; if it is a name of this "
				    "one, start shmbus-gateway with --hosts NAME");
	body_bytes(&exchange->upload, "", 1);
	if (exchange->upload.failed)
		return answer_error(request, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory");
	request->body = exchange->upload.data;
	request->body_size = exchange->upload.size - 1;
	return dispatch(request);
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	struct daemon *daemon = data;
	struct exchange *exchange = *state;

	(void)version;
	if (exchange == NULL) {
		exchange = calloc(1, sizeof *exchange);
		if (exchange == NULL)
			return MHD_NO;
		snprintf(exchange->path, sizeof exchange->path, "%s", url);
		exchange->start_ns = monotonic_ns();
		exchange->request = (struct request){
			.gateway = daemon->server->gateway,
			.connection = connection,
			/* libmicrohttpd leaves the body out itself. */
			.method = strcmp(method, "HEAD") == 0 ? "GET" : method,
			.path = exchange->path,
			.local = daemon->listener.local,
		};
		*state = exchange;
		return MHD_YES;
	}
	if (*upload_size != 0) {
		exchange->too_large |= exchange->upload.size + *upload_size > REQUEST_BODY_MAX;
		if (!exchange->too_large)
			body_bytes(&exchange->upload, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	if (exchange->answered)
		return MHD_YES;
	connections_request(connection);
	return request_handle(daemon, exchange);
}

static void access_log(const struct exchange *exchange, const char *method)
{
	double time_ms = (double)(monotonic_ns() - exchange->start_ns) * 1e-6;
	char address[64];

	connections_peer(exchange->request.connection, address, sizeof address);
	fprintf(stderr, "shmbus-gateway: %s %s %s %u %.3f ms\n", address, method, exchange->path,
		exchange->status, time_ms);
}

static void on_completed(void *data, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct daemon *daemon = data;
	struct exchange *exchange = *state;

	(void)code;
	connections_answered(connection);
	if (exchange == NULL)
		return;
	if (daemon->server->gateway->options->access_log)
		access_log(exchange, exchange->request.method);
	body_free(&exchange->upload);
	free(exchange);
	*state = NULL;
}

/* Paths are shown to people: what a terminal would obey is not in them. */
static size_t unescape(void *data, struct MHD_Connection *connection, char *text)
{
	size_t length = MHD_http_unescape(text);

	(void)data;
	(void)connection;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	return length;
}

/* ---- listening ---- */

__attribute__((format(printf, 2, 0))) static void on_message(void *data, const char *format,
							     va_list arguments)
{
	(void)data;
	(void)format;
	(void)arguments; /* what clients do wrong is no news */
}

static int daemon_start(struct daemon *daemon)
{
	struct server *server = daemon->server;
	const struct gateway_options *options = server->gateway->options;
	const union MHD_DaemonInfo *info;
	int error;

	daemon->mhd = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ITC |
			MHD_USE_ERROR_LOG,
		0, NULL, NULL, on_request, daemon, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
		MHD_OPTION_LISTEN_SOCKET, daemon->listener.fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)options->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		(unsigned int)(daemon->listener.local ? 0 : options->connections_address_max),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_MAX,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, on_completed, daemon,
		MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_NOTIFY_CONNECTION,
		connections_notify, server->connections, MHD_OPTION_END);
	if (daemon->mhd == NULL) {
		fprintf(stderr, "shmbus-gateway: cannot serve %s: no memory or no descriptors\n",
			daemon->listener.address);
		return -ENOMEM;
	}
	info = MHD_get_daemon_info(daemon->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	error = sd_event_add_io(server->gateway->event, &daemon->ready, info->epoll_fd, EPOLLIN,
				on_ready, daemon);
	if (error >= 0)
		error = sd_event_add_time_relative(server->gateway->event, &daemon->timer,
						   CLOCK_MONOTONIC, 0, 1, on_timer, daemon);
	return error < 0 ? error : 0;
}

static int server_add(struct server *server, const char *spec, int fd)
{
	struct daemon *daemon = &server->daemons[server->count];
	int error;

	daemon->server = server;
	error = spec != NULL ? listener_open(&daemon->listener, spec)
			     : listener_take(&daemon->listener, fd);
	if (error != 0)
		return error;
	server->count++;
	return daemon_start(daemon);
}

static int server_listen(struct server *server)
{
	const struct gateway_options *options = server->gateway->options;
	int handed_over = sd_listen_fds(1), error = 0;

	if (handed_over > OPTIONS_LISTEN_MAX)
		handed_over = OPTIONS_LISTEN_MAX;
	for (int i = 0; i < handed_over && error == 0; i++)
		error = server_add(server, NULL, SD_LISTEN_FDS_START + i);
	if (handed_over > 0)
		return error;
	for (size_t i = 0; i < options->listens && error == 0; i++)
		error = server_add(server, options->listen[i], -1);
	if (options->listens == 0)
		error = server_add(server, "127.0.0.1:9750", -1);
	return error;
}

int server_new(struct gateway *gateway, struct server **out)
{
	struct server *server = calloc(1, sizeof *server);
	int error;

	*out = NULL;
	if (server == NULL)
		return -ENOMEM;
	server->gateway = gateway;
	gethostname(server->hostname, sizeof server->hostname - 1);
	error = connections_new(gateway->event, gateway->options->timeout_ns, monotonic_ns,
				&server->connections);
	if (error == 0)
		error = sd_event_add_defer(gateway->event, &server->wake, on_wake, server);
	if (error >= 0)
		error = server_listen(server);
	if (error < 0) {
		server_free(server);
		return error;
	}
	*out = server;
	return 0;
}

void server_quiesce(struct server *server)
{
	for (size_t i = 0; i < server->count; i++) {
		MHD_socket fd = MHD_quiesce_daemon(server->daemons[i].mhd);

		if (fd != MHD_INVALID_SOCKET)
			close(fd);
		listener_close(&server->daemons[i].listener);
	}
}

unsigned int server_farewell(struct server *server)
{
	connections_farewell(server->connections);
	return connections_count(server->connections);
}

void server_free(struct server *server)
{
	if (server == NULL)
		return;
	for (size_t i = 0; i < server->count; i++) {
		struct daemon *daemon = &server->daemons[i];

		sd_event_source_disable_unref(daemon->ready);
		sd_event_source_disable_unref(daemon->timer);
		if (daemon->mhd != NULL)
			MHD_stop_daemon(daemon->mhd); /* closes the socket */
		else
			close(daemon->listener.fd);
		listener_close(&daemon->listener);
	}
	sd_event_source_disable_unref(server->wake);
	connections_free(server->connections);
	free(server);
}

const char *server_address(const struct server *server, size_t i)
{
	return i < server->count ? server->daemons[i].listener.address : NULL;
}
