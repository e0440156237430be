/* SPDX-License-Identifier: MIT */
/* top_view.h - shmbus top on a terminal, with curses. */
#ifndef SHMBUS_READERS_TOP_VIEW_H
#define SHMBUS_READERS_TOP_VIEW_H

#include "top_keys.h"
#include "top_layout.h"

struct top_view {
	bool colours; /* where the terminal has them too */
	bool blocks;  /* what is no ASCII */
};

/* After screen_begin(): looks what the terminal has. */
void top_view_begin(struct top_view *view);

/* Draws all of it. Returns the rows of the table that had room. */
size_t top_view_draw(const struct top_view *view, const struct top_shown *shown,
		     struct top_state *state, const struct top_memory *memory,
		     const struct top_heat *heat);

#endif /* SHMBUS_READERS_TOP_VIEW_H */
