/* SPDX-License-Identifier: MIT */
/*
 * kill_point.h - the places at which tests kill the agent, so that the narrow ones are hit as often
 * as the wide ones. In the agent itself they are nothing; a test compiles its sources once more,
 * with SHMBUS_KILL_POINTS, and brings the function.
 */
#ifndef SHMBUS_AGENT_KILL_POINT_H
#define SHMBUS_AGENT_KILL_POINT_H

enum kill_point {
	KILL_FOLD,      /* a sample is folded, the ring's position is not moved on yet */
	KILL_WRITE,     /* a cell's copy is marked, and not written yet */
	KILL_SAVE,      /* between the cells of one session */
	KILL_COMMIT,    /* all is written, nothing counts */
	KILL_COMMITTED, /* all counts, nothing is given back */
	KILL_GIVE_BACK, /* one of a session's rings is given back */
	KILL_EXTEND,    /* the file is longer, the cell at its end is not used yet */
	KILL_FINISH,    /* a finished session's series are kept, its cells are not freed */
	KILL_UNLINK,    /* a finished session's segment is gone */
	KILL_POINTS,
};

#if defined(SHMBUS_KILL_POINTS)
void kill_point(enum kill_point point);
#else
static inline void kill_point(enum kill_point point)
{
	(void)point;
}
#endif

#endif /* SHMBUS_AGENT_KILL_POINT_H */
