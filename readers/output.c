/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "output.h"

static int failure; /* -errno of the first write that failed */

static ssize_t write_all(void *cookie, const char *bytes, size_t size)
{
	struct pollfd room = {.fd = STDOUT_FILENO, .events = POLLOUT};
	size_t done = 0;

	(void)cookie;
	while (done < size) {
		ssize_t wrote = write(STDOUT_FILENO, bytes + done, size - done);

		if (wrote >= 0) {
			done += (size_t)wrote;
		} else if (errno == EAGAIN) {
			poll(&room, 1, -1);
		} else if (errno != EINTR) {
			if (failure == 0)
				failure = -errno;
			return 0; /* the stream's error */
		}
	}
	return (ssize_t)size;
}

void output_begin(void)
{
	cookie_io_functions_t functions = {.write = write_all};
	FILE *stream = fopencookie(NULL, "w", functions);

	if (stream == NULL)
		return; /* no memory: the old one does in all ordinary cases */
	setvbuf(stream, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, BUFSIZ);
	stdout = stream;
}

int output_end(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return failure != 0 ? failure : -EIO;
}
