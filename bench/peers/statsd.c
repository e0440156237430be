/* SPDX-License-Identifier: MIT */
/* statsd.c - a timer as statsd clients send it: one datagram on loopback for each. Nobody reads
 * them: the kernel drops what the receiver has no room for. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <errno.h>

#include "bench.h"
#include "peer.h"

static int receiver = -1, sender = -1;

static void statsd_close(void)
{
	if (receiver >= 0)
		close(receiver);
	if (sender >= 0)
		close(sender);
	receiver = sender = -1;
}

static int statsd_open(char *reason, size_t size)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);

	receiver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (receiver >= 0 && sender >= 0 &&
	    bind(receiver, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    getsockname(receiver, (struct sockaddr *)&address, &length) == 0 &&
	    connect(sender, (struct sockaddr *)&address, length) == 0)
		return 0;
	snprintf(reason, size, "no UDP on loopback: %s", strerror(errno));
	statsd_close();
	return -1;
}

static int statsd_run(uint32_t events, double *ns)
{
	uint64_t start = bench_now_ns();
	char text[64];

	for (uint32_t i = 0; i < events; i++) {
		int length = snprintf(text, sizeof(text), "bench.timer:%u|ms", i);

		if (send(sender, text, (size_t)length, 0) != length && errno != EAGAIN)
			return -1;
	}
	*ns = (double)(bench_now_ns() - start) / events;
	return 0;
}

const struct peer peer_statsd = {statsd_open, statsd_run, statsd_close};
