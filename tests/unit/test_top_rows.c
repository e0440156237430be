/* SPDX-License-Identifier: MIT */
#include <math.h>

#include <criterion/criterion.h>

#include "json_document.h"
#include "top_rows.h"

#define SESSION(id, state, cpu, drops, metrics)                                                    \
	"{'age_ns':5,'id':'" id "','service':'svc','segment':'s." id "','incarnation':1,"          \
	"'state':'" state "','cpu_ratio':" cpu ",'memory':{'process_rss_bytes':2048},"             \
	"'aggregated_total':10,'dropped_total':" drops ",'metrics':[" metrics "],"                 \
	"'writers':[{'id':0,'name':'','capacity':64,'used':1,'high_water':60,'aggregated':9,"      \
	"'dropped':{'full':" drops ",'head':0}}],'derived':[{'name':'ratio','value':0.5}]}"

#define CYCLE                                                                                      \
	"{'name':'cycle','kind':'timer','unit':'ns','count':4,'sum':40,'window':{'mean':900000},"  \
	"'period':{'period_ns':1000000,'quantum':48,'rate_hz':48000,'wait_ratio':0.1,"             \
	"'busy_ratio':0.9,'misses':2,'xruns':3}},"                                                 \
	"{'name':'cycle.wait','kind':'timer','unit':'ns','count':4,'window':{'mean':100000}}"
#define DEADLINE                                                                                   \
	"{'name':'deadline','kind':'timer','unit':'ns','count':4,'window':{'mean':9},"             \
	"'period':{'period_ns':10,'busy_ratio':1.5,'misses':1,'xruns':0}}"
#define OTHERS                                                                                     \
	"{'name':'hits','kind':'counter','unit':'1','value':7},"                                   \
	"{'name':'mode','kind':'stateset','unit':'1','value':'busy'},"                             \
	"{'name':'late','kind':'timer','unit':'ns','count':1,'mean':5,"                            \
	"'target':{'met':false},'quantiles':{'p50':5,'p99':5},'max':5}"

#define BUS(sessions) "{'time_unix_ns':2000000000,'sessions':[" sessions "]}"

static const struct top_wanted timers = {.filter = "", .open = TOP_TIMERS};
static const struct top_wanted all = {.filter = "", .open = TOP_ALL};

static struct json_document now;
static struct top_rows rows;

static void teardown(void)
{
	top_rows_free(&rows);
	json_document_free(&now);
}

TestSuite(top_rows, .fini = teardown);

static void make(const struct top_wanted *wanted)
{
	cr_assert_eq(top_rows_make(&rows, &now.document, wanted), 0);
}

/* The names of the rows, in order, with their kinds' first letters. */
static const char *names(void)
{
	static char text[512];

	text[0] = '\0';
	for (size_t i = 0; i < rows.count; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%c:%s",
			 i == 0 ? "" : " ", top_kind_titles[rows.rows[i].kind][0],
			 rows.rows[i].name);
	return text;
}

static const struct top_row *row(const char *name)
{
	for (size_t i = 0; i < rows.count; i++)
		if (strcmp(rows.rows[i].name, name) == 0)
			return &rows.rows[i];
	cr_assert_fail("no row %s: %s", name, names());
	return NULL;
}

static const char *texts(const struct top_row *row_shown)
{
	static char text[256];
	char slot[FORMAT_SIZE];

	text[0] = '\0';
	for (int i = 0; i < TOP_SLOTS; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i == 0 ? "" : "|",
			 top_slot_text(row_shown, i, slot));
	return text;
}

Test(top_rows, rows_of_a_session)
{

	json_document_make(&now, BUS(SESSION("a", "running", "0.5", "0", OTHERS "," CYCLE)));
	make(&timers);
	cr_assert_str_eq(names(), "S:a C:cycle T:late T:cycle.wait");
	cr_assert_eq(rows.rows[0].in_session, 3);
	make(&all);
	cr_assert_str_eq(names(), "S:a C:cycle T:late T:cycle.wait V:hits V:mode V:ratio W:#0");
	make(&(struct top_wanted){.filter = "", .open = TOP_CLOSED});
	cr_assert_str_eq(names(), "S:a");
}

Test(top_rows, slots)
{

	json_document_make(&now,
			   BUS(SESSION("a", "running", "0.5", "3", CYCLE "," DEADLINE "," OTHERS)));
	make(&all);
	/* A session has the largest B/Q and all errors of its cycles. */
	cr_assert_str_eq(texts(&rows.rows[0]), "running|50.0%|2.00KiB|3|5ns|150.0%|4");
	cr_assert_str_eq(texts(row("cycle")), "48|48000|100us|900us|10.0%|90.0%|3");
	cr_assert_str_eq(texts(row("deadline")), "-|-|-|9ns|-|150.0%|1");
	cr_assert_str_eq(texts(row("late")), "1|-|5ns|5ns|5ns|5ns|MISSED");
	cr_assert_str_eq(texts(row("cycle.wait")), "4|-|-|-|-|-|-");
	cr_assert_str_eq(texts(row("hits")), "counter|-|7||||");
	cr_assert_str_eq(texts(row("mode")), "states|-|-||||");
	cr_assert_str_eq(row("mode")->text, "busy");
	cr_assert_str_eq(texts(row("ratio")), "derived|-|0.50||||");
	cr_assert_str_eq(texts(row("#0")), "64|1|60|3|9||");
}

Test(top_rows, a_closed_session_still_sums_up)
{

	json_document_make(&now, BUS(SESSION("a", "running", "0.5", "0", CYCLE "," OTHERS)));
	make(&(struct top_wanted){.filter = "", .open = TOP_CLOSED});
	cr_assert_str_eq(texts(&rows.rows[0]), "running|50.0%|2.00KiB|0|5ns|90.0%|3");
	cr_assert_eq(rows.missed, 1);
	json_document_free(&now);
	json_document_make(&now, BUS(SESSION("a", "running", "0.5", "0", "")));
	make(&timers);
	cr_assert_str_eq(texts(&rows.rows[0]), "running|50.0%|2.00KiB|0|5ns|-|-");
}

Test(top_rows, trouble)
{

	json_document_make(&now,
			   BUS(SESSION("a", "lost", "0.5", "3", DEADLINE "," OTHERS) "," SESSION(
				   "b", "stale", "0.5", "0", CYCLE) "," SESSION("c", "running", "0",
										"0", "")));
	make(&all);
	cr_assert_eq(row("a")->trouble,
		     1 << SLOT_STATE | 1 << SLOT_DROPS | 1 << SLOT_ERRORS | 1 << SLOT_BUSY_RATIO);
	cr_assert_eq(row("late")->trouble, 1 << SLOT_TARGET);
	cr_assert_eq(row("#0")->trouble, 0); /* of b: sorted to the front */
	cr_assert_eq(row("#0")->concern, 1 << 2);
	cr_assert_eq(row("b")->concern, 1 << SLOT_STATE | 1 << SLOT_BUSY_RATIO);
	cr_assert_eq(row("c")->trouble | row("c")->concern, 0);
	cr_assert_eq(rows.drops.all, 3);
	cr_assert_eq(rows.states[TOP_LOST] + rows.states[TOP_STALE] + rows.states[TOP_RUNNING], 3);
}

Test(top_rows, order)
{
	static const struct {
		int sort;
		bool reverse;
		const char *wanted;
	} cases[] = {
		{TOP_BY_STATE, false, "S:b S:d S:a S:c"},
		{TOP_BY_STATE, true, "S:c S:a S:b S:d"},
		{TOP_BY_NAME, false, "S:a S:b S:c S:d"},
		{TOP_BY_NAME, true, "S:d S:c S:b S:a"},
		{1, false, "S:a S:d S:b S:c"},
		{1, true, "S:b S:d S:a S:c"},
		{SLOT_DROPS, false, "S:b S:c S:a S:d"},
	};

	/* c has no figure for its processor: it stays the last. */
	json_document_make(
		&now, BUS(SESSION("c", "ended", "null", "3", "") "," SESSION(
			      "b", "running", "0.1", "4",
			      "") "," SESSION("a", "lost", "0.9", "0",
					      "") "," SESSION("d", "running", "0.5", "0", "")));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		make(&(struct top_wanted){
			.filter = "", .sort = cases[i].sort, .reverse = cases[i].reverse});
		cr_assert_str_eq(names(), cases[i].wanted, "case %zu: %s", i, names());
	}
}

Test(top_rows, a_session_keeps_its_rows)
{

	json_document_make(&now, BUS(SESSION("b", "running", "0", "0",
					     CYCLE) "," SESSION("a", "running", "0", "0", OTHERS)));
	make(&(struct top_wanted){.filter = "", .sort = TOP_BY_NAME, .open = TOP_TIMERS});
	cr_assert_str_eq(names(), "S:a T:late S:b C:cycle T:cycle.wait");
}

Test(top_rows, filter)
{
	static const struct {
		const char *filter, *wanted;
		uint32_t filtered;
	} cases[] = {
		{"", "S:a T:late S:b C:cycle T:cycle.wait", 0},
		{"SVC", "S:a T:late S:b C:cycle T:cycle.wait", 0},
		{"b", "S:b C:cycle T:cycle.wait", 1},
		{"c?cle", "S:b C:cycle", 1},
		{"hit", "S:a V:hits", 1}, /* what is looked for is shown, open or not */
		{"[xyz]", "", 2},
	};

	json_document_make(&now, BUS(SESSION("a", "running", "0", "0",
					     OTHERS) "," SESSION("b", "running", "0", "0", CYCLE)));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		make(&(struct top_wanted){.filter = cases[i].filter, .open = TOP_TIMERS});
		cr_assert_str_eq(names(), cases[i].wanted, "case %zu: %s", i, names());
		cr_assert_eq(rows.filtered, cases[i].filtered);
	}
	cr_assert(top_filter_fits("Cy", "cycle"));
	cr_assert(top_filter_fits("C*E", "cycle"));
	cr_assert_not(top_filter_fits("C*C", "cycle"));
}

Test(top_rows, baseline_and_rate)
{
	struct json_document then;
	struct top_wanted wanted = {.filter = "", .open = TOP_ALL};

	json_document_make(&then, "{'time_unix_ns':1500000000,'sessions':[%s]}",
			   SESSION("a", "running", "0", "2",
				   "{'name':'hits','kind':'counter','unit':'1','value':4}," CYCLE));
	json_document_make(&now, BUS(SESSION("a", "running", "0", "5", CYCLE "," OTHERS)));
	wanted.before = &then.document;
	make(&wanted);
	cr_assert_str_eq(texts(row("hits")), "counter|6|7||||"); /* 3 in half a second */
	cr_assert_eq(rows.drops.all, 5);
	cr_assert_eq(rows.drops.now, 3);
	wanted.baseline = &then.document;
	make(&wanted);
	cr_assert_str_eq(texts(row("hits")), "counter|6|3||||");
	cr_assert_eq(row("a")->slots[SLOT_DROPS], 3);
	cr_assert_eq(row("a")->slots[SLOT_ERRORS], 0);
	cr_assert_eq(row("cycle")->trouble, 0);
	cr_assert_str_eq(texts(row("#0")), "64|1|60|3|0||");
	cr_assert_eq(rows.drops.all, 3);
	cr_assert_eq(rows.drops.now, 3);
	cr_assert_str_eq(rows.drops.name, "a");
	cr_assert_eq(rows.drops.sessions, 1);
	json_document_free(&then);
}

Test(top_rows, keys)
{
	uint64_t key;

	json_document_make(&now, BUS(SESSION("a", "running", "0", "0",
					     CYCLE) "," SESSION("b", "running", "0", "0", CYCLE)));
	make(&timers);
	key = rows.rows[4].key;
	for (size_t i = 0; i < rows.count; i++)
		for (size_t j = 0; j < i; j++)
			cr_assert_neq(rows.rows[i].key, rows.rows[j].key);
	make(&(struct top_wanted){.filter = "b", .open = TOP_ALL});
	cr_assert_eq(rows.rows[1].key, key); /* whatever else is shown */
}

Test(top_rows, what_is_no_document)
{
	static const char *const texts_bad[] = {
		"7",
		"{'sessions':7}",
		("{'sessions':[7,{},{'metrics':[7,{},{'kind':'timer','period':{'period_ns':1}}],"
		 "'writers':[{},{'id':99}],'derived':[{}]}]}"),
	};

	for (size_t i = 0; i < sizeof texts_bad / sizeof texts_bad[0]; i++) {
		if (i > 0)
			json_document_free(&now);
		json_document_make(&now, "%s", texts_bad[i]);
		make(&all);
		for (size_t r = 0; r < rows.count; r++)
			texts(&rows.rows[r]);
	}
	cr_assert_gt(rows.count, 3);
	top_rows_free(&rows);
}
