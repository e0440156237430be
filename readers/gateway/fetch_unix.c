/* SPDX-License-Identifier: MIT */
/*
 * fetch_unix.c - connections to Unix sockets. libcurl takes a listener whose queue is full for one
 * that has accepted: connect(2) says EAGAIN then, and nothing tells when there is room. So it is
 * tried again now and then, until the time is over.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fetch_private.h"
#include "times.h"

#define AGAIN_US 20000u

static int connect_once(int fd, const struct sockaddr_un *address)
{
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
		return 0;
	return -errno;
}

static int on_time(sd_event_source *source, uint64_t time_us, void *data)
{
	struct fetch *fetch = data;
	int error = connect_once(fetch->unix_fd, &fetch->unix_address);
	struct fetch_result result = {.reached = error == 0};

	(void)time_us;
	if (error == -EAGAIN && monotonic_ns() < fetch->unix_deadline_ns) {
		sd_event_source_set_time_relative(source, AGAIN_US);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	result.error = error == -EAGAIN ? "Connection timed out: the listener's queue is full"
					: strerror(-error);
	fetch_end(fetch, &result);
	return 0;
}

int fetch_unix_start(struct fetch *fetch, const char *path, uint64_t timeout_ns)
{
	size_t length = strlen(path);

	if (length == 0 || length >= sizeof fetch->unix_address.sun_path)
		return -ENAMETOOLONG;
	fetch->unix_address.sun_family = AF_UNIX;
	memcpy(fetch->unix_address.sun_path, path, length + 1);
	fetch->unix_deadline_ns = fetch->start_ns + timeout_ns;
	fetch->unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fetch->unix_fd < 0)
		return -errno;
	return sd_event_add_time(fetch->event, &fetch->unix_timer, CLOCK_MONOTONIC, 0, 1, on_time,
				 fetch);
}

void fetch_unix_stop(struct fetch *fetch)
{
	sd_event_source_disable_unref(fetch->unix_timer);
	if (fetch->unix_fd >= 0)
		close(fetch->unix_fd);
}
