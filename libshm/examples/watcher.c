/* SPDX-License-Identifier: MIT */
/* watcher.c - calls back for each new snapshot: its number, its size, and what was not seen. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <shmbus/producer.h>
#include <shmbus/snapshot.h>

static void on_snapshot(const struct shmbus_snapshot *snapshot, uint64_t gap, void *data)
{
	unsigned long *left = data;

	printf("snapshot %llu: %zu bytes of msgpack, %llu not seen before it\n",
	       (unsigned long long)snapshot->seq, snapshot->size, (unsigned long long)gap);
	fflush(stdout);
	(*left)--;
}

int main(int argc, char **argv)
{
	unsigned long left = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
	struct shmbus_snapshot_watch *watch;
	struct pollfd wait = {.events = POLLIN};
	int result, before = 0;

	result = shmbus_snapshot_watch_open(NULL, 0, on_snapshot, &left, &watch);
	if (result != 0) {
		fprintf(stderr, "%s\n", shmbus_strerror(result));
		return EXIT_FAILURE;
	}
	wait.fd = shmbus_snapshot_watch_fd(watch);
	while (left != 0) {
		poll(&wait, 1, -1); /* a program has other descriptors beside this one */
		result = shmbus_snapshot_watch_dispatch(watch);
		if (result < 0 && result != before)
			fprintf(stderr, "%s\n", shmbus_strerror(result));
		before = result;
	}
	shmbus_snapshot_watch_close(watch);
	return 0;
}
