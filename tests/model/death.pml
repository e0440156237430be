/* SPDX-License-Identifier: MIT */
/*
 * death.pml - producers and agents that are killed at any step: every sample that was published is
 * aggregated, once. For Spin; test_death.py searches all executions, and those of each mutant.
 *
 *	spin -a death.pml && cc -DSAFETY -o pan pan.c && ./pan -m100000
 *
 * One producer, one ring of two slots, agents one after the other. The producer's stores go
 * through a buffer that may be emptied out of order, as on ARM; a release store waits for all
 * before it. A process that is killed has made the steps up to some point and none after it; what
 * its buffer holds still reaches the memory, before the kernel frees its lock.
 *
 * Mutants, each with -D: all must fail.
 *   NO_RELEASE            R1 in ring.h is relaxed
 *   NO_ACQUIRE            A1 in ring.h is relaxed
 *   LOCK_FREED_EARLY      the kernel frees the lock before the buffer is empty
 *   DRAIN_BEFORE_DEATH    the last drain comes before the look at the lock
 *   GIVE_BACK_FIRST       slots are given back before the commit
 *   ONE_COPY              the checkpoint overwrites the copy that counts
 *   EPOCH_FIRST           the epoch is raised before the copy is written
 *   START_AT_HEAD         a new agent reads from the head, not from the checkpoint's position
 *   UNLINK_FIRST          the segment is removed before the commit
 *   UNSETTLED             what was not committed is not forgotten at the start
 */
#define CAPACITY 2
#define SAMPLES  5
#define BUFFER   4
#define KILLS    2
#define OTHERS   1

/* The segment. A slot's tag is its phase alone; its value is the sample's number. */
byte value[CAPACITY];
bit tag[CAPACITY];
byte head;
bool linked = true;
bool lock_held = true;

/* The producer's stores that have not reached the memory, oldest first. */
byte buffered;
byte buffer_slot[BUFFER];
byte buffer_data[BUFFER];
bool buffer_tag[BUFFER];

byte published; /* tag stores that were executed */
bool producer_killed;

/* The checkpoint: store.h. */
byte copy_epoch[2];
byte copy_aggregated[2];
byte copy_position[2];
byte epoch = 1;

bool agent_killed;
byte others; /* commits for other sessions */

#define PHASE(position) (1 - ((position) / CAPACITY) % 2)
#define COUNTS(i)       (copy_epoch[i] != 0 && copy_epoch[i] <= epoch)

inline buffer_put(is_tag, slot, data)
{
	d_step {
		buffered < BUFFER;
		buffer_tag[buffered] = is_tag;
		buffer_slot[buffered] = slot;
		buffer_data[buffered] = data;
		buffered++
	}
}

/* One store reaches the memory, and the ones behind it move up. */
inline buffer_take(k)
{
	if
	:: buffer_tag[k] -> tag[buffer_slot[k]] = buffer_data[k]
	:: else -> value[buffer_slot[k]] = buffer_data[k]
	fi;
	n = k;
	do
	:: n + 1 < buffered ->
		buffer_tag[n] = buffer_tag[n + 1];
		buffer_slot[n] = buffer_slot[n + 1];
		buffer_data[n] = buffer_data[n + 1];
		n++
	:: else -> break
	od;
	buffered--;
	buffer_tag[buffered] = 0;
	buffer_slot[buffered] = 0;
	buffer_data[buffered] = 0;
	n = 0
}

/* No store to the same word stands before it. */
#define FIRST(k)                                                                                   \
	(!(k > 0 && buffer_tag[0] == buffer_tag[k] && buffer_slot[0] == buffer_slot[k]) &&         \
	 !(k > 1 && buffer_tag[1] == buffer_tag[k] && buffer_slot[1] == buffer_slot[k]) &&         \
	 !(k > 2 && buffer_tag[2] == buffer_tag[k] && buffer_slot[2] == buffer_slot[k]))

#ifdef NO_RELEASE
#define MAY_LEAVE(k) (k < buffered && FIRST(k))
#else
/* R1: a tag waits for all before it. A value may overtake tags. */
#define MAY_LEAVE(k) (k < buffered && (k == 0 || !buffer_tag[k]) && FIRST(k))
#endif

active proctype memory()
{
	byte n;
end:
	do
	:: d_step { MAY_LEAVE(0) -> buffer_take(0) }
	:: d_step { MAY_LEAVE(1) -> buffer_take(1) }
	:: d_step { MAY_LEAVE(2) -> buffer_take(2) }
	:: d_step { MAY_LEAVE(3) -> buffer_take(3) }
	od
}

active proctype producer()
{
	byte written, seen;

	{
		do
		:: written == SAMPLES -> break
		:: written < SAMPLES && written - seen < CAPACITY ->
			/* shmbus__ring_store() */
			buffer_put(0, written % CAPACITY, written);
			atomic {
				buffer_put(1, written % CAPACITY, PHASE(written));
				written++;
				published++
			}
		:: written < SAMPLES && written - seen == CAPACITY ->
			/* shmbus_ring_refresh(), A2 */
			seen = head
		od
	} unless { producer_killed };
	/* do_exit() or close(): other processors see the stores before they see the lock free. */
#ifndef LOCK_FREED_EARLY
	buffered == 0;
#endif
	lock_held = false
}

/* store.c: copies_settle(), copy_counting(); restore_session.c: the position. */
inline restore()
{
	d_step {
#ifndef UNSETTLED
		if
		:: copy_epoch[0] > epoch -> copy_epoch[0] = 0
		:: else
		fi;
		if
		:: copy_epoch[1] > epoch -> copy_epoch[1] = 0
		:: else
		fi;
#endif
		if
		:: COUNTS(1) && (!COUNTS(0) || copy_epoch[1] > copy_epoch[0]) -> last = 1
		:: else -> last = 0
		fi;
		if
		:: COUNTS(last) ->
			aggregated = copy_aggregated[last];
			position = copy_position[last]
#ifdef START_AT_HEAD
			; position = head
#endif
		:: else ->
			aggregated = 0;
			position = head
		fi;
		committed = position;
		dying = false;
		t = 0;
		v = 0;
		read = 0
	}
}

/* drain.c: drain_writer(), a ring's worth at most; ring.h: shmbus_ring_peek(). */
inline drain()
{
	read = 0;
	do
	:: read == CAPACITY -> break
	:: read < CAPACITY ->
#ifdef NO_ACQUIRE
		v = value[position % CAPACITY];
		t = tag[position % CAPACITY];
#else
		t = tag[position % CAPACITY];
#endif
		if
		:: t != PHASE(position) -> break
		:: else
		fi;
#ifndef NO_ACQUIRE
		v = value[position % CAPACITY];
#endif
		d_step {
			/* sample(): the next one, neither lost nor counted before */
			assert(v == aggregated);
			aggregated++;
			position++;
			read++;
			v = 0;
			t = 0
		}
	od
}

/* persist.c: cell_write() and what follows it; store_commit(). */
inline commit()
{
#ifndef ONE_COPY
	last = 1 - last;
#endif
#ifdef EPOCH_FIRST
	epoch = epoch + 1;
	copy_epoch[last] = epoch;
#else
	copy_epoch[last] = epoch + 1;
#endif
	copy_aggregated[last] = aggregated;
	copy_position[last] = position;
#ifndef EPOCH_FIRST
	epoch = epoch + 1;
#endif
	committed = position
}

/* reap.c: death_look() */
inline death_look()
{
	dying = !lock_held
}

/* drain.c: drain_give_back(), R2 */
inline give_back()
{
	head = position
}

active proctype agent()
{
	byte aggregated, position, committed, read, v, last;
	bit t;
	bool dying;

start:
	{
		restore();
		do
		:: !linked -> break
		:: linked ->
#ifdef DRAIN_BEFORE_DEATH
			drain();
			death_look();
#else
			death_look();
			drain();
#endif
			if
			:: dying || position != committed ->
#ifdef GIVE_BACK_FIRST
				give_back();
#endif
#ifdef UNLINK_FIRST
				if
				:: dying -> linked = false
				:: else
				fi;
#endif
				commit();
				give_back();
				/* reap.c: bury() */
				if
				:: dying -> linked = false
				:: else
				fi
			:: !dying && others < OTHERS ->
				/* another session is hungry: this one's cell is not written */
				atomic { epoch = epoch + 1; others++ }
			:: !dying -> skip /* not hungry, and no tick yet */
			fi
		od
	} unless {
		atomic { agent_killed -> agent_killed = false; goto start }
	};
	/* What the next agent would find is all that was published. */
	restore();
	assert(aggregated == published)
}

/* SIGKILL, whenever it likes. */
active proctype killer()
{
	byte kills;

	do
	:: atomic { kills < KILLS && !agent_killed -> agent_killed = true; kills++ }
	:: !producer_killed -> producer_killed = true
	:: break
	od
}
