/* SPDX-License-Identifier: MIT */
/* expose_own.c - what the gateway, the agent and the bus say of themselves. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <shmbus/types.h>

#include "expose_walk.h"

#define OWN(name_, kind_, unit_, help_)                                                            \
	{                                                                                          \
		.name = (name_), .unit = (unit_), .help = (help_), .kind = (kind_)                 \
	}
#define BY "bytes"
#define S "seconds"

static const struct family own[OWN_FAMILIES] = {
	[OWN_UP] = OWN("shmbus_up", FAMILY_GAUGE, "",
		       "Whether the agent of the bus publishes; where it does not, nothing else is "
		       "said of the bus."),
	[OWN_SNAPSHOT_STATE] =
		OWN("shmbus_snapshot_state", FAMILY_STATESET, "", "State of the newest snapshot."),
	[OWN_TARGET] = OWN("target", FAMILY_INFO, "", "What is scraped here."),
	[OWN_SNAPSHOT_TIME] = OWN("shmbus_snapshot_timestamp_seconds", FAMILY_GAUGE, S,
				  "When the newest snapshot was published, since 1970."),
	[OWN_SNAPSHOT_INTERVAL] = OWN("shmbus_snapshot_interval_seconds", FAMILY_GAUGE, S,
				      "Time between two snapshots."),
	[OWN_SERIES_LEFT_OUT] = OWN("shmbus_overflow_series", FAMILY_GAUGE, "",
				    "Series that are left out here because there are too many: see "
				    "--series."),
	[OWN_SESSIONS_LEFT_OUT] = OWN("shmbus_overflow_sessions", FAMILY_GAUGE, "",
				      "Sessions that are left out here because there are too many "
				      "series."),
	[OWN_AGENT] = OWN("shmbus_agent", FAMILY_INFO, "", "The agent of the bus."),
	[OWN_AGENT_START] = OWN("shmbus_agent_start_time_seconds", FAMILY_GAUGE, S,
				"When the agent started, since 1970."),
	[OWN_AGENT_CPU] = OWN("shmbus_agent_cpu_ratio", FAMILY_GAUGE, "ratio",
			      "Part of one core that the agent takes."),
	[OWN_AGENT_RSS] = OWN("shmbus_agent_resident_memory_bytes", FAMILY_GAUGE, BY,
			      "Resident memory of the agent."),
	[OWN_AGENT_MEMORY] = OWN("shmbus_agent_session_memory_bytes", FAMILY_GAUGE, BY,
				 "Memory that the agent holds for sessions."),
	[OWN_AGENT_DRAIN_LAG] =
		OWN("shmbus_agent_drain_lag_seconds", FAMILY_GAUGE, S,
		    "Longest time between two looks at the rings, since the snapshot "
		    "before."),
	[OWN_AGENT_DRAIN_PERIOD] = OWN("shmbus_agent_drain_period_seconds", FAMILY_GAUGE, S,
				       "Time between two looks at the rings, as the load has it."),
	[OWN_AGENT_PUBLISH] = OWN("shmbus_agent_publish_duration_seconds", FAMILY_GAUGE, S,
				  "What publishing the snapshot before took."),
	[OWN_AGENT_PUBLISH_BYTES] = OWN("shmbus_agent_publish_size_bytes", FAMILY_GAUGE, BY,
					"Size of the snapshot before."),
	[OWN_AGENT_PUBLISH_FAILURES] = OWN("shmbus_agent_publish_failures", FAMILY_COUNTER, "",
					   "Snapshots for which there was no room."),
	[OWN_AGENT_CHECKPOINT_BYTES] = OWN("shmbus_agent_checkpoint_size_bytes", FAMILY_GAUGE, BY,
					   "Size of the checkpoint."),
	[OWN_AGENT_CHECKPOINT_FAILURES] =
		OWN("shmbus_agent_checkpoint_failures", FAMILY_COUNTER, "",
		    "Times that there was no room in the checkpoint."),
	[OWN_AGENT_CLOCK_BACKWARD] = OWN("shmbus_agent_clock_backward", FAMILY_COUNTER, "",
					 "Durations below 0, counted as 0."),
	[OWN_AGENT_OVERRUNS] = OWN("shmbus_agent_overruns", FAMILY_COUNTER, "",
				   "Ticks left out because the one before was not done."),
	[OWN_AGENT_SCANS] = OWN("shmbus_agent_scans", FAMILY_COUNTER, "",
				"Times that all of /dev/shm was looked through."),
	[OWN_AGENT_EVENT_OVERFLOWS] = OWN("shmbus_agent_event_overflows", FAMILY_COUNTER, "",
					  "Times that the kernel lost events of /dev/shm."),
	[OWN_AGENT_LOG_LOST] = OWN("shmbus_agent_log_lost_lines", FAMILY_COUNTER, "",
				   "Lines of the agent's log that could not be written."),
	[OWN_AGENT_ENCODED] = OWN("shmbus_agent_encoded_sessions", FAMILY_GAUGE, "",
				  "Sessions that had changed since the snapshot before."),
	[OWN_REJECTED] = OWN("shmbus_rejected_segments", FAMILY_COUNTER, "",
			     "Segments that the agent refused, by reason."),
	[OWN_SAMPLES] = OWN("shmbus_samples", FAMILY_COUNTER, "", "Samples aggregated."),
	[OWN_DROPPED] = OWN("shmbus_dropped_samples", FAMILY_COUNTER, "",
			    "Samples that producers had to drop."),
	[OWN_OVERFLOW] = OWN("shmbus_unknown_samples", FAMILY_COUNTER, "",
			     "Samples of metrics beyond the agent's limit, or of no known metric."),
	[OWN_SESSIONS] = OWN("shmbus_sessions", FAMILY_GAUGE, "",
			     "Sessions that the agent knows, by state."),
	[OWN_SESSIONS_OPENED] =
		OWN("shmbus_sessions_opened", FAMILY_COUNTER, "", "Sessions ever admitted."),
	[OWN_SESSIONS_ENDED] =
		OWN("shmbus_sessions_ended", FAMILY_COUNTER, "", "Sessions that ever ended."),
	[OWN_SESSIONS_LOST] = OWN("shmbus_sessions_lost", FAMILY_COUNTER, "",
				  "Sessions whose process died, or whose segment was damaged."),
	[OWN_SESSIONS_DROPPED] = OWN("shmbus_sessions_dropped_samples", FAMILY_GAUGE, "",
				     "Samples dropped by the sessions that the agent knows now, by "
				     "cause."),
	[OWN_SESSION] = OWN("shmbus_session", FAMILY_INFO, "",
			    "A session, with the labels that its program gave it."),
	[OWN_SESSION_STATE] =
		OWN("shmbus_session_state", FAMILY_STATESET, "", "State of the session."),
	[OWN_SESSION_START] = OWN("shmbus_session_start_time_seconds", FAMILY_GAUGE, S,
				  "When the session was opened, since 1970."),
	[OWN_SESSION_AGE] = OWN("shmbus_session_age_seconds", FAMILY_GAUGE, S,
				"Time since the session's last sign of life."),
	[OWN_SESSION_CPU] = OWN("shmbus_session_cpu_ratio", FAMILY_GAUGE, "ratio",
				"Part of one core that the session's process takes."),
	[OWN_SESSION_SHM] = OWN("shmbus_session_segment_bytes", FAMILY_GAUGE, BY,
				"Size of the session's segment."),
	[OWN_SESSION_AGENT] = OWN("shmbus_session_agent_memory_bytes", FAMILY_GAUGE, BY,
				  "Memory that the agent holds for the session."),
	[OWN_SESSION_RSS] = OWN("shmbus_session_resident_memory_bytes", FAMILY_GAUGE, BY,
				"Resident memory of the session's process."),
	[OWN_SESSION_SAMPLES] = OWN("shmbus_session_samples", FAMILY_COUNTER, "",
				    "Samples aggregated, of the session."),
	[OWN_SESSION_DROPPED] = OWN("shmbus_session_dropped_samples", FAMILY_COUNTER, "",
				    "Samples dropped by the session, by cause."),
	[OWN_SESSION_OVERFLOW] = OWN("shmbus_session_unknown_samples", FAMILY_COUNTER, "",
				     "Samples of no known timer, of the session."),
	[OWN_WRITER_CAPACITY] = OWN("shmbus_writer_ring_capacity", FAMILY_GAUGE, "",
				    "Samples that a writer's ring holds."),
	[OWN_WRITER_USED] = OWN("shmbus_writer_ring_used", FAMILY_GAUGE, "",
				"Samples that wait in a writer's ring."),
	[OWN_WRITER_HIGH_WATER] = OWN("shmbus_writer_ring_high_water", FAMILY_GAUGE, "",
				      "The most samples that were ever found in a writer's ring."),
	[OWN_TIMER_SAMPLES] =
		OWN("shmbus_timer_samples", FAMILY_COUNTER, "", "Samples of a timer."),
	[OWN_TARGET_VIOLATIONS] = OWN("shmbus_target_violations", FAMILY_COUNTER, "",
				      "Samples above the target of a timer."),
	[OWN_TARGET_MET] =
		OWN("shmbus_target_met", FAMILY_GAUGE, "",
		    "Whether no more samples are above the target than its quantile allows."),
	[OWN_TARGET_LIMIT] =
		OWN("shmbus_target_limit", FAMILY_GAUGE, "",
		    "The largest sample that meets the target, in the timer's base unit."),
	[OWN_TARGET_QUANTILE] = OWN("shmbus_target_quantile", FAMILY_GAUGE, "",
				    "The part of the samples that shall meet the target."),
	[OWN_DEADLINE_MISSES] = OWN("shmbus_deadline_misses", FAMILY_COUNTER, "",
				    "Responses after the deadline of a timer."),
	[OWN_DEADLINE_RUN] = OWN("shmbus_deadline_miss_run_longest", FAMILY_GAUGE, "",
				 "Most misses of a deadline in a row."),
	[OWN_PERIOD] = OWN("shmbus_period_seconds", FAMILY_GAUGE, S, "The deadline of a timer."),
	[OWN_BUSY] = OWN("shmbus_busy_ratio", FAMILY_GAUGE, "ratio",
			 "B/Q: mean of the last samples, as a part of the period."),
	[OWN_WAIT] = OWN("shmbus_wait_ratio", FAMILY_GAUGE, "ratio",
			 "W/Q: mean of the last waits, as a part of the period."),
	[OWN_XRUNS] = OWN("shmbus_xruns", FAMILY_COUNTER, "", "Xruns that programs reported."),
};

static const struct labels no_labels;

bool walk_reserve(struct names *names)
{
	for (int i = 0; i < OWN_FAMILIES; i++)
		if (!names_reserve(names, own[i].name))
			return false;
	return true;
}

void walk_own_family(struct walk *walk, enum own_family family)
{
	walk_family(walk, &own[family]);
}

/* ---- the gateway ---- */

static void target_info(struct walk *walk)
{
	struct labels labels = {.count = 0};
	char host[256] = "";

	if (gethostname(host, sizeof host - 1) != 0)
		host[0] = '\0';
	labels_add(&labels, "service_name", "shmbus-gateway");
	labels_add(&labels, "service_version", SHMBUS_VERSION_STRING);
	labels_add(&labels, "host_name", host);
	labels_add(&labels, "bus", walk->exposition->bus);
	walk_own_family(walk, OWN_TARGET);
	walk_number(walk, &labels, 1);
}

static void walk_gateway(struct walk *walk)
{
	const struct exposition *exposition = walk->exposition;
	const msgpack_object *root =
		exposition->document != NULL ? &exposition->document->root : NULL;
	struct labels bus = {.count = 0};

	labels_add(&bus, "bus", exposition->bus);
	walk_own_family(walk, OWN_UP);
	walk_number(walk, &bus, exposition->state == FEED_LIVE);
	walk_own_family(walk, OWN_SNAPSHOT_STATE);
	for (int i = FEED_WAITING; i <= FEED_BROKEN; i++) {
		struct labels labels = {.count = 0};

		labels_add(&labels, own[OWN_SNAPSHOT_STATE].name,
			   feed_state_name((enum feed_state)i));
		walk_number(walk, &labels, i == (int)exposition->state);
	}
	target_info(walk);
	walk_own_family(walk, OWN_SNAPSHOT_TIME);
	walk_real(walk, &no_labels, walk_scaled(root, "time_unix_ns", 1e-9));
	walk_own_family(walk, OWN_SNAPSHOT_INTERVAL);
	walk_real(walk, &no_labels, walk_scaled(root, "interval_ns", 1e-9));
	walk_own_family(walk, OWN_SERIES_LEFT_OUT);
	walk_number(walk, &no_labels, walk->series_left_out);
	walk_own_family(walk, OWN_SESSIONS_LEFT_OUT);
	walk_number(walk, &no_labels, walk->sessions_left_out);
}

/* ---- numbers of maps ---- */

struct shown {
	enum own_family family;
	const char *key;
	double factor; /* 1: whole numbers stay whole */
};

static void show(struct walk *walk, const msgpack_object *map, const struct shown *list,
		 size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const msgpack_object *value = member(map, list[i].key);

		walk_own_family(walk, list[i].family);
		if (value == NULL)
			continue;
		if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && list[i].factor == 1)
			walk_number(walk, &no_labels, value->via.u64);
		else if (own[list[i].family].kind != FAMILY_COUNTER)
			walk_real(walk, &no_labels, walk_scaled(map, list[i].key, list[i].factor));
	}
}

/* ---- the agent ---- */

static void agent_info(struct walk *walk, const msgpack_object *agent)
{
	struct labels labels = {.count = 0};
	char version[40];

	labels_add(&labels, "version", member_text(agent, "version", version, sizeof version));
	walk_own_family(walk, OWN_AGENT);
	walk_number(walk, &labels, 1);
}

/* Each cause that there is, at 0 too: what is absent cannot rise. */
static void rejected(struct walk *walk, const msgpack_object *agent)
{
	static const char *const reasons[] = {"layout", "invalid",  "owner",
					      "limit",  "resource", "fault"};
	const msgpack_object *counts = member(agent, "rejected");

	walk_own_family(walk, OWN_REJECTED);
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
		struct labels labels = {.count = 0};

		labels_add(&labels, "reason", reasons[i]);
		walk_number(walk, &labels, member_u64(counts, reasons[i], 0));
	}
}

static void walk_agent(struct walk *walk)
{
	static const struct shown list[] = {
		{OWN_AGENT_START, "start_time_unix_ns", 1e-9},
		{OWN_AGENT_CPU, "cpu_ratio", 1},
		{OWN_AGENT_RSS, "rss_bytes", 1},
		{OWN_AGENT_MEMORY, "memory_bytes", 1},
		{OWN_AGENT_DRAIN_LAG, "drain_lag_ns", 1e-9},
		{OWN_AGENT_DRAIN_PERIOD, "drain_period_ns", 1e-9},
		{OWN_AGENT_PUBLISH, "publish_ns", 1e-9},
		{OWN_AGENT_PUBLISH_BYTES, "publish_bytes", 1},
		{OWN_AGENT_PUBLISH_FAILURES, "publish_failures", 1},
		{OWN_AGENT_CHECKPOINT_BYTES, "checkpoint_bytes", 1},
		{OWN_AGENT_CHECKPOINT_FAILURES, "checkpoint_failures", 1},
		{OWN_AGENT_CLOCK_BACKWARD, "clock_backward_total", 1},
		{OWN_AGENT_OVERRUNS, "overruns", 1},
		{OWN_AGENT_SCANS, "scans", 1},
		{OWN_AGENT_EVENT_OVERFLOWS, "event_overflows", 1},
		{OWN_AGENT_LOG_LOST, "log_lost", 1},
		{OWN_AGENT_ENCODED, "encoded_sessions", 1},
		{OWN_SAMPLES, "samples_total", 1},
	};
	const msgpack_object *agent = member(walk->root, "agent");

	agent_info(walk, agent);
	show(walk, agent, list, sizeof list / sizeof list[0]);
	rejected(walk, agent);
}

/* ---- the bus ---- */

struct tally {
	uint64_t states[4];
	uint64_t full, head;
};

static const char *const states[] = {"running", "stale", "ended", "lost"};

static void tally_session(struct tally *tally, const msgpack_object *session)
{
	const msgpack_object *writers = NULL;
	size_t count = member_array(session, "writers", &writers);
	char state[16];

	member_text(session, "state", state, sizeof state);
	for (int i = 0; i < 4; i++)
		tally->states[i] += strcmp(state, states[i]) == 0;
	if (member_u64(session, "dropped_total", 0) == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		const msgpack_object *dropped = member(&writers[i], "dropped");

		tally->full += member_u64(dropped, "full", 0);
		tally->head += member_u64(dropped, "head", 0);
	}
}

static void walk_tally(struct walk *walk)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(walk->root, "sessions", &sessions);
	struct tally tally = {.full = 0};

	for (size_t i = 0; i < count; i++)
		tally_session(&tally, &sessions[i]);
	walk_own_family(walk, OWN_SESSIONS);
	for (int i = 0; i < 4; i++)
		walk_number(walk, &(struct labels){{{"state", states[i]}}, 1}, tally.states[i]);
	walk_own_family(walk, OWN_SESSIONS_DROPPED);
	walk_number(walk, &(struct labels){{{"cause", "full"}}, 1}, tally.full);
	walk_number(walk, &(struct labels){{{"cause", "head"}}, 1}, tally.head);
}

void walk_own(struct walk *walk)
{
	static const struct shown list[] = {
		{OWN_DROPPED, "dropped_total", 1},
		{OWN_OVERFLOW, "overflow_total", 1},
		{OWN_SESSIONS_OPENED, "sessions_total", 1},
		{OWN_SESSIONS_ENDED, "sessions_ended", 1},
		{OWN_SESSIONS_LOST, "sessions_lost", 1},
	};

	walk_gateway(walk);
	if (walk->root == NULL)
		return;
	walk_agent(walk);
	show(walk, member(walk->root, "totals"), list, sizeof list / sizeof list[0]);
	walk_tally(walk);
}

/* ---- the way through ---- */

void expose_walk(const struct exposition *exposition, const struct expose_options *options,
		 struct writer *writer)
{
	struct walk walk = {
		.writer = writer,
		.exposition = exposition,
		.options = options,
		.root = exposition->state == FEED_LIVE && exposition->document != NULL
				? &exposition->document->root
				: NULL,
	};

	walk_collect(&walk);
	if (!walk.failed)
		walk_own(&walk);
	if (!walk.failed)
		walk_sessions(&walk);
	if (!walk.failed)
		walk_metrics(&walk);
	if (!walk.failed)
		walk_goals(&walk);
	writer->out->failed |= walk.failed;
	walk_free(&walk);
}
