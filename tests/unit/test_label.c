/* SPDX-License-Identifier: MIT */
/* test_label.c - labels: set, replaced, removed, refused; never seen torn. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>

#include "seen.h"

static struct shmbus_session *session;
static struct shmbus_consumer *consumer;

static void setup(void)
{
	session = session_opened(1);
	consumer = seen(session);
}

static void teardown(void)
{
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
}

TestSuite(label, .init = setup, .fini = teardown);

/* The value of a key as a consumer sees it, NULL where there is none. */
static const char *value_of(const char *key)
{
	static struct shmbus_consumer_label labels[SHMBUS_LABELS_MAX];
	int count = shmbus_consumer_labels(consumer, labels);

	cr_assert_geq(count, 0);
	for (int i = 0; i < count; i++)
		if (strcmp(labels[i].key, key) == 0)
			return labels[i].value;
	return NULL;
}

static int count_seen(void)
{
	struct shmbus_consumer_label labels[SHMBUS_LABELS_MAX];

	return shmbus_consumer_labels(consumer, labels);
}

static void refused(const char *key, const char *value, int error)
{
	int count = count_seen();

	cr_assert_eq(shmbus_label_set(session, key, value), error, "%s",
		     key != NULL ? key : "NULL");
	cr_assert_not_null(strstr(shmbus_strerror(error), "label"), "%s", shmbus_strerror(error));
	cr_assert_eq(count_seen(), count);
}

Test(label, set_replace_remove)
{
	uint32_t changes = atomic_load(&consumer->live->changes);

	cr_assert_eq(shmbus_label_set(session, "source", "mic"), 0);
	cr_assert_gt(atomic_load(&consumer->live->changes), changes);
	cr_assert_eq(shmbus_label_set(session, "_m2", ""), 0);
	cr_assert_str_eq(value_of("source"), "mic");
	cr_assert_str_eq(value_of("_m2"), "");
	cr_assert_eq(shmbus_label_set(session, "source", "a much longer value \xe2\x82\xac"), 0);
	cr_assert_str_eq(value_of("source"), "a much longer value \xe2\x82\xac");
	cr_assert_eq(shmbus_label_set(session, "source", "x"), 0);
	cr_assert_str_eq(value_of("source"), "x", "nothing of the longer one is left");
	cr_assert_eq(count_seen(), 2);
	cr_assert_eq(shmbus_label_set(session, "source", NULL), 0);
	cr_assert_null(value_of("source"));
	cr_assert_eq(count_seen(), 1);
	cr_assert_eq(shmbus_label_set(session, "never_set", NULL), 0);
	cr_assert_eq(count_seen(), 1);
	cr_assert_eq(atomic_load(&consumer->live->labels_sequence) % 2, 0);
}

Test(label, keys)
{
	static const char *const bad[] = {NULL,  "",    "9",    "a b",      "a-b", "a.b",
					  "a\n", "a=b", "\x1b", "\xc3\xa4", "a\"", "a\xff"};
	char key[SHMBUS_LABEL_KEY_SIZE + 1];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		refused(bad[i], "v", -EINVAL);
		refused(bad[i], NULL, -EINVAL);
	}
	memset(key, 'k', sizeof key);
	key[SHMBUS_LABEL_KEY_SIZE] = '\0';
	refused(key, "v", -E2BIG);
	key[SHMBUS_LABEL_KEY_SIZE - 1] = '\0';
	cr_assert_eq(shmbus_label_set(session, key, "v"), 0);
	cr_assert_str_eq(value_of(key), "v");
}

Test(label, values)
{
	static const char *const bad[] = {"\n",   "a\tb", "\x1b[2J", "\x7f",
					  "\xff", "\xc3", "\xc2\x9b"};
	char value[SHMBUS_LABEL_VALUE_SIZE + 1];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refused("k", bad[i], -EINVAL);
	memset(value, 'v', sizeof value);
	value[SHMBUS_LABEL_VALUE_SIZE] = '\0';
	refused("k", value, -E2BIG);
	value[SHMBUS_LABEL_VALUE_SIZE - 1] = '\0';
	cr_assert_eq(shmbus_label_set(session, "k", value), 0);
	cr_assert_str_eq(value_of("k"), value);
	refused("k", "\n", -EINVAL);
	cr_assert_str_eq(value_of("k"), value, "a refused value changes nothing");
}

Test(label, as_many_as_there_may_be_and_one_more)
{
	char key[8];

	for (uint32_t i = 0; i < SHMBUS_LABELS_MAX; i++) {
		snprintf(key, sizeof key, "k%u", i);
		cr_assert_eq(shmbus_label_set(session, key, key), 0);
	}
	cr_assert_eq(count_seen(), (int)SHMBUS_LABELS_MAX);
	refused("more", "v", -ENOSPC);
	cr_assert_eq(shmbus_label_set(session, "k7", "new"), 0, "replacing needs no room");
	cr_assert_eq(shmbus_label_set(session, "k3", NULL), 0);
	cr_assert_eq(shmbus_label_set(session, "more", "v"), 0);
	cr_assert_eq(count_seen(), (int)SHMBUS_LABELS_MAX);
	cr_assert_str_eq(value_of("k7"), "new");
	cr_assert_str_eq(value_of("more"), "v");
	cr_assert_null(value_of("k3"));
	cr_assert_str_eq(value_of("k15"), "k15");
}

/* A producer that died while it changed a label leaves the sequence odd for ever. */
Test(label, odd_for_ever_is_an_answer_not_a_wait)
{
	struct shmbus_consumer_label labels[SHMBUS_LABELS_MAX];
	struct shmbus_header *live = (struct shmbus_header *)(uintptr_t)consumer->live;

	cr_assert_eq(mprotect(live, 4096, PROT_READ | PROT_WRITE), 0);
	atomic_fetch_add(&live->labels_sequence, 1);
	cr_assert_eq(shmbus_consumer_labels(consumer, labels), -EAGAIN);
	atomic_store(&live->labels_sequence, UINT32_MAX);
	cr_assert_eq(shmbus_consumer_labels(consumer, labels), -EAGAIN);
	atomic_store(&live->labels_sequence, UINT32_MAX - 1);
	cr_assert_eq(shmbus_label_set(session, "k", "v"), 0);
	cr_assert_eq(atomic_load(&live->labels_sequence), 0, "over the end of the sequence");
	cr_assert_str_eq(value_of("k"), "v");
}
