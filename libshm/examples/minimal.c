/* SPDX-License-Identifier: MIT */
#include <shmbus/producer.h>

int main(void)
{
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	struct shmbus_metric_options timer = {.name = "work", .kind = SHMBUS_TIMER};
	shmbus_metric work;

	shmbus_session_open(NULL, &session);        /* never fails the program: see below */
	shmbus_writer_open(session, NULL, &writer); /* one for each thread */
	shmbus_metric_define(session, &timer, &work);
	for (int i = 0; i < 1000; i++) {
		uint64_t start = shmbus_now();

		/* the work */
		shmbus_record(writer, work, start);
	}
	shmbus_session_close(session);
}
