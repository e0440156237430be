/* SPDX-License-Identifier: MIT */
/* test_gateway_clients.c - who gets which frames, with clients that send nothing anywhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "gateway.h"
#include "json_document.h"
#include "stream.h"
#include "stream_client.h"

#define ALWAYS 0u               /* each snapshot */
#define NEVER 3600000000000000u /* none after the first */

static struct gateway_options options = {.bus = (char[]){"test-stream"}, .streams_max = 3};
static struct gateway gateway = {.options = &options};
static int woken, cut;

static void on_wake(struct stream_client *client)
{
	(void)client;
	woken++;
}

static void on_tick(struct stream_client *client, uint64_t now_ns)
{
	(void)client;
	(void)now_ns;
}

static void on_cut(struct stream_client *client)
{
	(void)client;
	cut++;
}

static const struct stream_transport transport = {WIRE_PLAIN, on_wake, on_tick, on_cut};

static void begin(void)
{
	cr_assert_geq(sd_event_new(&gateway.event), 0);
	cr_assert_eq(feed_new(gateway.event, options.bus, &gateway.feed), 0);
	cr_assert_eq(streams_new(&gateway, &gateway.streams), 0);
}

static void end(void)
{
	streams_free(gateway.streams);
	feed_free(gateway.feed);
	sd_event_unref(gateway.event);
}

TestSuite(stream, .init = begin, .fini = end);

/* A snapshot with a session in a state; NULL: without it. */
static void publish_of(uint64_t seq, uint64_t gap, const char *state, bool running)
{
	struct json_document made;
	struct shmbus_snapshot snapshot = {.seq = seq,
					   .time_unix_ns = seq,
					   .interval_ns = 1000000000,
					   .agent_running = running};

	if (state != NULL)
		json_document_make(&made,
				   "{'sessions':[{'id':'ab','incarnation':1,'state':'running'},"
				   "{'id':'abc','segment':'/s','incarnation':2,'state':'%s'}]}",
				   state);
	else
		json_document_make(&made, "{'sessions':[]}");
	snapshot.data = (const uint8_t *)made.bytes.data;
	snapshot.size = made.bytes.size;
	feed_take(gateway.feed, &snapshot, gap);
	json_document_free(&made);
}

static void publish(uint64_t seq, uint64_t gap, const char *state)
{
	publish_of(seq, gap, state, true);
}

static struct stream_query query_of(const char *session, uint64_t interval_ns, const char *last)
{
	struct stream_query query;
	char message[256];

	cr_assert_eq(stream_query_parse(gateway.feed, &query, session, NULL, last, message,
					sizeof message),
		     0, "%s", message);
	query.interval_ns = interval_ns;
	return query;
}

static struct stream_client *join(const char *session, uint64_t interval_ns, const char *last)
{
	struct stream_client *client = calloc(1, sizeof *client);
	struct stream_query query = query_of(session, interval_ns, last);

	cr_assert_not_null(client);
	client->transport = &transport;
	cr_assert_eq(stream_join(gateway.streams, client, &query), 0);
	return client;
}

static void part(struct stream_client *client)
{
	stream_part(client);
	free(client);
}

/* The next frame begins so. */
static void gets(struct stream_client *client, const char *expected)
{
	const char *data;
	size_t size;
	struct body body = BODY_EMPTY;
	bool last;

	cr_assert(!outbox_empty(&client->outbox), "nothing instead of %s", expected);
	do {
		size = outbox_next(&client->outbox, &data);
		body_bytes(&body, data, size);
		last = size == outbox_rest(&client->outbox);
		stream_taken(client, size);
	} while (!last);
	body_bytes(&body, "", 1);
	cr_assert(strncmp(body.data, expected, strlen(expected)) == 0, "%s instead of %s",
		  body.data, expected);
	body_free(&body);
}

static void gets_nothing(const struct stream_client *client)
{
	cr_assert(outbox_empty(&client->outbox));
}

static struct streams_stats stats(void)
{
	struct streams_stats out;

	streams_stats(gateway.streams, &out);
	return out;
}

Test(stream, the_newest_then_each)
{
	struct stream_client *client;

	publish(1, 0, "running");
	client = join(NULL, ALWAYS, NULL);
	gets(client, "{\"type\":\"bus\",\"seq\":1,\"gap\":0,");
	gets_nothing(client);
	publish(2, 0, "running");
	publish(5, 2, "running");
	gets(client, "{\"type\":\"bus\",\"seq\":2,\"gap\":0,");
	gets(client, "{\"type\":\"bus\",\"seq\":5,\"gap\":2,");
	gets_nothing(client);
	part(client);
	cr_assert_eq(stats().open, 0);
}

Test(stream, before_the_first_snapshot)
{
	struct stream_client *client = join(NULL, ALWAYS, NULL);

	gets(client, "{\"type\":\"status\",\"state\":\"waiting\",\"age_ns\":0,\"error\":\"");
	publish(1, 0, "running");
	gets(client, "{\"type\":\"bus\",\"seq\":1,\"gap\":0,");
	gets(client, "{\"type\":\"status\",\"state\":\"live\",");
	publish_of(2, 0, "running", false);
	gets(client, "{\"type\":\"bus\",\"seq\":2,\"gap\":0,");
	gets(client, "{\"type\":\"status\",\"state\":\"stale\",");
	gets_nothing(client);
	part(client);
}

Test(stream, written_once_for_all)
{
	struct stream_client *clients[3];

	publish(1, 0, "running");
	for (size_t i = 0; i < 3; i++)
		clients[i] = join(NULL, ALWAYS, NULL);
	publish(2, 0, "running");
	cr_assert_eq(stats().frames_total, 2);
	cr_assert_eq(clients[0]->outbox.entries[1].frame, clients[2]->outbox.entries[1].frame);
	for (size_t i = 0; i < 3; i++)
		part(clients[i]);
}

Test(stream, its_own_interval)
{
	struct stream_client *rare, *often;

	publish(1, 0, "running");
	rare = join(NULL, NEVER, NULL);
	gets(rare, "{\"type\":\"bus\",\"seq\":1,");
	publish(2, 0, "running");
	gets_nothing(rare);
	cr_assert_eq(stats().frames_total, 1); /* nobody is there for it */
	often = join(NULL, ALWAYS, NULL);
	publish(4, 1, "running");
	gets_nothing(rare);
	gets(often, "{\"type\":\"bus\",\"seq\":2,\"gap\":0,");
	gets(often, "{\"type\":\"bus\",\"seq\":4,\"gap\":1,");
	/* What the gateway did not see is missing to whoever waits for longer, too. */
	rare->next_ns = 0;
	publish(7, 2, "running");
	gets(rare, "{\"type\":\"bus\",\"seq\":7,\"gap\":3,");
	part(rare);
	part(often);
}

Test(stream, a_session_until_it_ends)
{
	struct stream_client *client, *rare, *late;

	publish(1, 0, "running");
	client = join("abc", ALWAYS, NULL);
	rare = join("/s", NEVER, NULL);
	gets(rare, "{\"type\":\"session\",\"seq\":1,\"gap\":0,");
	publish(2, 0, "stale");
	gets(client, "{\"type\":\"session\",\"seq\":1,\"gap\":0,\"bus\"");
	gets(client, "{\"type\":\"session\",\"seq\":2,\"gap\":0,\"bus\"");
	publish(3, 0, "lost");
	publish(4, 0, "lost");
	gets(client, "{\"type\":\"session\",\"seq\":3,\"gap\":0,\"final\":true,");
	gets(client, "{\"type\":\"end\",\"reason\":\"lost\"}");
	gets(rare, "{\"type\":\"session\",\"seq\":3,\"gap\":0,\"final\":true,");
	gets(rare, "{\"type\":\"end\",\"reason\":\"lost\"}");
	cr_assert(client->leaving && client->code == LEAVE_OVER);
	late = join("abc", ALWAYS, NULL);
	gets(late, "{\"type\":\"session\",\"seq\":3,\"gap\":0,\"final\":true,");
	gets(late, "{\"type\":\"end\",\"reason\":\"lost\"}");
	part(client);
	part(rare);
	part(late);
}

Test(stream, a_session_that_leaves)
{
	struct stream_client *client;

	publish(1, 0, "running");
	client = join("abc", ALWAYS, NULL);
	publish(2, 0, NULL);
	gets(client, "{\"type\":\"session\",\"seq\":1,\"gap\":0,\"bus\"");
	gets(client, "{\"type\":\"session\",\"seq\":2,\"gap\":0,\"final\":true,\"bus\":"
		     "\"test-stream\",\"time_unix_ns\":1,");
	gets(client, "{\"type\":\"end\",\"reason\":\"left\"}");
	part(client);
}

Test(stream, goes_on_where_it_was)
{
	struct stream_client *client, *again;

	publish(1, 0, "running");
	client = join(NULL, ALWAYS, NULL);
	publish(2, 0, "running");
	part(client);
	publish(3, 0, "running"); /* it may come back */
	publish(6, 2, "running");
	again = join(NULL, ALWAYS, "2");
	gets(again, "{\"type\":\"bus\",\"seq\":3,\"gap\":0,");
	gets(again, "{\"type\":\"bus\",\"seq\":6,\"gap\":2,");
	gets_nothing(again);
	publish(7, 0, "running");
	gets(again, "{\"type\":\"bus\",\"seq\":7,\"gap\":0,");
	part(again);
	again = join(NULL, ALWAYS, "0");
	gets(again, "{\"type\":\"bus\",\"seq\":1,\"gap\":0,");
	part(again);
}

Test(stream, came_back_too_late)
{
	struct stream_client *client;

	publish(50, 0, "running");
	client = join(NULL, ALWAYS, "40");
	gets(client, "{\"type\":\"bus\",\"seq\":50,\"gap\":9,");
	part(client);
	client = join(NULL, ALWAYS, "99"); /* of a bus before this one */
	gets(client, "{\"type\":\"bus\",\"seq\":50,\"gap\":0,");
	publish(3, 0, "running");
	gets(client, "{\"type\":\"bus\",\"seq\":3,\"gap\":0,");
	part(client);
	client = join(NULL, ALWAYS, "2");
	gets(client, "{\"type\":\"bus\",\"seq\":3,\"gap\":0,");
	part(client);
	client = join(NULL, ALWAYS, "two");
	gets(client, "{\"type\":\"bus\",\"seq\":3,\"gap\":0,");
	part(client);
}

Test(stream, had_all_to_the_end)
{
	struct stream_query query;
	struct stream_client *client;

	publish(1, 0, "running");
	client = join("abc", ALWAYS, NULL);
	publish(2, 0, "ended");
	part(client);
	query = query_of("abc", ALWAYS, "2");
	cr_assert(stream_is_over(gateway.streams, &query));
	query = query_of("abc", ALWAYS, "1");
	cr_assert_not(stream_is_over(gateway.streams, &query));
	client = join("abc", ALWAYS, "1");
	gets(client, "{\"type\":\"session\",\"seq\":2,\"gap\":0,\"final\":true,");
	gets(client, "{\"type\":\"end\",\"reason\":\"ended\"}");
	part(client);
}

Test(stream, a_slow_one_is_told_and_the_others_go_on)
{
	struct stream_client *slow, *fast;

	publish(1, 0, "running");
	slow = join(NULL, ALWAYS, NULL);
	fast = join(NULL, ALWAYS, NULL);
	gets(fast, "{\"type\":\"bus\",\"seq\":1,");
	for (uint64_t seq = 2; seq < 100; seq++) {
		char expected[64];

		publish(seq, 0, "running");
		snprintf(expected, sizeof expected, "{\"type\":\"bus\",\"seq\":%u,\"gap\":0,",
			 (unsigned int)seq);
		gets(fast, expected);
		gets_nothing(fast);
	}
	cr_assert(slow->leaving);
	cr_assert_eq(slow->code, LEAVE_SLOW);
	cr_assert_eq(slow->outbox.count, 1);
	gets(slow, "{\"type\":\"error\",\"reason\":\"this client is too slow");
	cr_assert_eq(stats().slow_total, 1);
	part(slow);
	part(fast);
}

Test(stream, as_many_as_are_allowed)
{
	struct stream_client *clients[3];
	char message[256];

	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(stream_admit(gateway.streams, message, sizeof message), 0);
		clients[i] = join(NULL, ALWAYS, NULL);
	}
	cr_assert_eq(stream_admit(gateway.streams, message, sizeof message), 503);
	part(clients[0]);
	cr_assert_eq(stream_admit(gateway.streams, message, sizeof message), 0);
	part(clients[1]);
	part(clients[2]);
	cr_assert_eq(stats().refused_total, 1);
	cr_assert_eq(stats().opened_total, 3);
}

Test(stream, another_topic)
{
	struct stream_client *client;
	struct stream_query query;

	publish(1, 0, "running");
	client = join(NULL, ALWAYS, NULL);
	gets(client, "{\"type\":\"bus\",\"seq\":1,");
	query = query_of("abc", ALWAYS, NULL);
	cr_assert_eq(stream_switch(client, &query), 0);
	gets(client, "{\"type\":\"session\",\"seq\":1,");
	publish(2, 0, "running");
	gets(client, "{\"type\":\"session\",\"seq\":2,");
	gets_nothing(client);
	part(client);
}

Test(stream, says_goodbye)
{
	struct stream_client *client = join(NULL, ALWAYS, NULL);
	char message[256];

	gets(client, "{\"type\":\"status\"");
	streams_stop(gateway.streams);
	streams_stop(gateway.streams);
	publish(1, 0, "running");
	gets(client, "{\"type\":\"end\",\"reason\":\"the gateway is stopping\"}");
	gets_nothing(client);
	cr_assert_eq(client->code, LEAVE_STOPPING);
	cr_assert_eq(stream_admit(gateway.streams, message, sizeof message), 503);
	streams_cut(gateway.streams);
	cr_assert_eq(cut, 1);
	part(client);
}

Test(stream, queries)
{
	static const char *const intervals[] = {"0.09", "61", "", "x", "1x", "nan", "inf", "-1"};
	struct stream_query query;
	char message[256];

	cr_assert_eq(
		stream_query_parse(gateway.feed, &query, "a", NULL, NULL, message, sizeof message),
		503);
	publish(1, 0, "running");
	for (size_t i = 0; i < sizeof intervals / sizeof intervals[0]; i++)
		cr_assert_eq(stream_query_parse(gateway.feed, &query, NULL, intervals[i], NULL,
						message, sizeof message),
			     400, "%s", intervals[i]);
	cr_assert_eq(
		stream_query_parse(gateway.feed, &query, "x", NULL, NULL, message, sizeof message),
		404);
	cr_assert_eq(
		stream_query_parse(gateway.feed, &query, "a", NULL, NULL, message, sizeof message),
		409);
	cr_assert_eq(stream_query_parse(gateway.feed, &query, "ab", "0.1", "18446744073709551616",
					message, sizeof message),
		     0);
	cr_assert_eq(query.interval_ns, 100000000);
	cr_assert_not(query.resumes);
	cr_assert_str_eq(query.topic.segment, "ab");
}

/* Listeners that come and go, each to another topic, leave no more behind than is allowed. */
Test(stream, topics_that_wait_are_few)
{
	struct topics topics = {0};

	for (uint64_t i = 0; i < 1000; i++) {
		struct topic_name name = {.incarnation = i};
		struct topic *topic = topic_take(&topics, &name);
		size_t count = 0;

		topic_wait(&topics, topic, ALWAYS, i);
		for (topic = topics.first; topic != NULL; topic = topic->next)
			count++;
		cr_assert_leq(count, TOPICS_WAITING_MAX);
		cr_assert_not_null(topic_find(&topics, &name));
	}
	topics_expire(&topics, 1000 + TOPIC_WAIT_NS);
	cr_assert_null(topics.first);
	topics_free(&topics);
}
