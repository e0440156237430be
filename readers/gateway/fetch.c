/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include <curl/curl.h>

#include <shmbus/types.h>

#include "fetch_private.h"
#include "times.h"

/* Nobody looks at what an answer says beyond its status: so much of it is waited for. */
#define ANSWER_MAX 65536u

static const char user_agent[] = "shmbus-gateway/" SHMBUS_VERSION_STRING;

struct fetcher {
	sd_event *event;
	CURLM *multi;
	sd_event_source *timer;
	struct fetch *first; /* of those under way */
};

/* ---- the event loop ---- */

/* Calls back for each that has ended. What it calls may start and cancel others. */
static void ended_take(struct fetcher *fetcher)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
		struct fetch *fetch = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetch);
		fetch_http_end(fetch, message->data.result);
	}
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct fetcher *fetcher = data;
	int running, what = 0;

	(void)source;
	what |= (events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0;
	what |= (events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0;
	what |= (events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0;
	curl_multi_socket_action(fetcher->multi, fd, what, &running);
	ended_take(fetcher);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t time_us, void *data)
{
	struct fetcher *fetcher = data;
	int running;

	(void)source;
	(void)time_us;
	curl_multi_socket_action(fetcher->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	ended_take(fetcher);
	return 0;
}

/* libcurl says what it waits for on a socket. */
static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
	struct fetcher *fetcher = data;
	sd_event_source *source = socket_data;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		sd_event_source_disable_unref(source);
		return 0;
	}
	events |= (what & CURL_POLL_IN) != 0 ? EPOLLIN : 0;
	events |= (what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0;
	if (source != NULL)
		return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
	if (sd_event_add_io(fetcher->event, &source, fd, events, on_socket, fetcher) < 0)
		return -1;
	curl_multi_assign(fetcher->multi, fd, source);
	return 0;
}

static int timer_wanted(CURLM *multi, long wait_ms, void *data)
{
	struct fetcher *fetcher = data;

	(void)multi;
	if (wait_ms < 0)
		return sd_event_source_set_enabled(fetcher->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
	sd_event_source_set_time_relative(fetcher->timer, (uint64_t)wait_ms * 1000);
	return sd_event_source_set_enabled(fetcher->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

/* ---- the fetcher ---- */

static int multi_make(struct fetcher *fetcher)
{
	fetcher->multi = curl_multi_init();
	if (fetcher->multi == NULL)
		return -ENOMEM;
	curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
	curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
	curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
	curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
	return 0;
}

int fetcher_new(sd_event *event, struct fetcher **out)
{
	struct fetcher *fetcher = calloc(1, sizeof *fetcher);
	int error;

	*out = NULL;
	if (fetcher == NULL)
		return -ENOMEM;
	fetcher->event = sd_event_ref(event);
	error = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
	if (error != 0)
		goto free_fetcher;
	error = sd_event_add_time(event, &fetcher->timer, CLOCK_MONOTONIC, 0, 1, on_timer, fetcher);
	if (error < 0)
		goto cleanup_global;
	sd_event_source_set_enabled(fetcher->timer, SD_EVENT_OFF);
	error = multi_make(fetcher);
	if (error < 0)
		goto free_timer;
	*out = fetcher;
	return 0;
free_timer:
	sd_event_source_disable_unref(fetcher->timer);
cleanup_global:
	curl_global_cleanup();
free_fetcher:
	sd_event_unref(fetcher->event);
	free(fetcher);
	return error;
}

void fetcher_free(struct fetcher *fetcher)
{
	if (fetcher == NULL)
		return;
	while (fetcher->first != NULL)
		fetch_cancel(fetcher->first);
	curl_multi_cleanup(fetcher->multi);
	sd_event_source_disable_unref(fetcher->timer);
	curl_global_cleanup();
	sd_event_unref(fetcher->event);
	free(fetcher);
}

/* ---- one fetch ---- */

static size_t on_answer(char *data, size_t size, size_t count, void *fetch_data)
{
	struct fetch *fetch = fetch_data;

	(void)data;
	fetch->answer_size += size * count;
	if (fetch->answer_size <= ANSWER_MAX)
		return size * count;
	fetch->enough = true;
	return 0; /* ends it */
}

/* The URL that libcurl is to have: of tcp://, any scheme with ports does. */
static CURLcode url_set(struct fetch *fetch, const char *url)
{
	char http[2048];

	if (!fetch->connection)
		return curl_easy_setopt(fetch->easy, CURLOPT_URL, url);
	if (strlen(url) >= sizeof http)
		return CURLE_URL_MALFORMAT;
	strcpy(http, "http://");
	strcat(http, url + strlen("tcp://"));
	curl_easy_setopt(fetch->easy, CURLOPT_CONNECT_ONLY, 1L);
	return curl_easy_setopt(fetch->easy, CURLOPT_URL, http);
}

static int post_set(struct fetch *fetch, const struct fetch_request *request)
{
	char type[128];

	if (request->post == NULL) {
		/* A probe shows that connections are accepted. */
		curl_easy_setopt(fetch->easy, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(fetch->easy, CURLOPT_FORBID_REUSE, 1L);
		return 0;
	}
	body_bytes(&fetch->post, request->post->data, request->post->size);
	snprintf(type, sizeof type, "Content-Type: %s", request->content_type);
	fetch->headers = curl_slist_append(NULL, type);
	if (fetch->headers == NULL || fetch->post.failed ||
	    curl_slist_append(fetch->headers, "Expect:") == NULL)
		return -ENOMEM;
	curl_easy_setopt(fetch->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->headers);
	curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)fetch->post.size);
	curl_easy_setopt(fetch->easy, CURLOPT_POSTFIELDS, fetch->post.data);
	return 0;
}

static void easy_set(struct fetch *fetch, uint64_t timeout_ns)
{
	CURL *easy = fetch->easy;
	long timeout_ms = (long)((timeout_ns + 999999) / 1000000);

	curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* A resolver that hangs is not waited for when the time is over. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, user_agent);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
}

static int http_start(struct fetch *fetch, const struct fetch_request *request)
{
	int error;

	fetch->easy = curl_easy_init();
	if (fetch->easy == NULL)
		return -ENOMEM;
	easy_set(fetch, request->timeout_ns);
	if (url_set(fetch, request->url) != CURLE_OK)
		return -EINVAL;
	error = post_set(fetch, request);
	if (error != 0)
		return error;
	if (curl_multi_add_handle(fetch->fetcher->multi, fetch->easy) != CURLM_OK)
		return -ENOMEM;
	fetch->added = true;
	return 0;
}

static bool scheme_is(const char *url, const char *scheme)
{
	return strncasecmp(url, scheme, strlen(scheme)) == 0;
}

int fetch_start(struct fetcher *fetcher, const struct fetch_request *request, struct fetch **out)
{
	struct fetch *fetch = calloc(1, sizeof *fetch);
	int error;

	*out = NULL;
	if (fetch == NULL)
		return -ENOMEM;
	fetch->fetcher = fetcher;
	fetch->event = fetcher->event;
	fetch->call = request->call;
	fetch->data = request->data;
	fetch->start_ns = monotonic_ns();
	fetch->unix_fd = -1;
	fetch->next = fetcher->first;
	if (fetch->next != NULL)
		fetch->next->before = &fetch->next;
	fetch->before = &fetcher->first;
	fetcher->first = fetch;
	fetch->connection = scheme_is(request->url, "tcp://");
	if (scheme_is(request->url, "unix://"))
		error = fetch_unix_start(fetch, request->url + strlen("unix://"),
					 request->timeout_ns);
	else
		error = http_start(fetch, request);
	if (error < 0) {
		fetch_cancel(fetch);
		return error;
	}
	*out = fetch;
	return 0;
}

void fetch_cancel(struct fetch *fetch)
{
	*fetch->before = fetch->next;
	if (fetch->next != NULL)
		fetch->next->before = fetch->before;
	fetch_unix_stop(fetch);
	if (fetch->added)
		curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
	curl_easy_cleanup(fetch->easy);
	curl_slist_free_all(fetch->headers);
	body_free(&fetch->post);
	free(fetch);
}

/* ---- the end of one ---- */

void fetch_end(struct fetch *fetch, struct fetch_result *result)
{
	fetch_call call = fetch->call;
	void *data = fetch->data;
	char error[FETCH_ERROR_SIZE];

	result->time_ns = monotonic_ns() - fetch->start_ns;
	snprintf(error, sizeof error, "%s", result->reached ? "" : result->error);
	result->error = error;
	fetch_cancel(fetch); /* who is called may start the next one in its place */
	call(result, data);
}

void fetch_http_end(struct fetch *fetch, CURLcode code)
{
	struct fetch_result result = {.reached = code == CURLE_OK};
	curl_off_t retry_after_s = 0;
	long status = 0;

	curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(fetch->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
	if (code == CURLE_WRITE_ERROR && fetch->enough)
		result.reached = true;
	result.status = fetch->connection ? 0 : (unsigned int)status;
	result.retry_after_s = retry_after_s > 0 ? (double)retry_after_s : 0;
	result.error = fetch->error[0] != '\0' ? fetch->error : curl_easy_strerror(code);
	fetch_end(fetch, &result);
}
