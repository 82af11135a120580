/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside the enumeration of cuts: what sim_cut.c and sim_cut_plan.c share. */
#include "test/lib/sim_cut.h"
#include "test/lib/sim_names.h"

enum { CUT_TEMPLATES = 64 };

struct cut_file {
	uint32_t inode;
	size_t size_unit;                  /* SIZE_MAX = its size is durable */
	size_t first_sector, sector_count; /* units */
	size_t options;  /* sizes it may have: the durable one, then those since the last sync */
	uint64_t *clean; /* per option: terms of what is not in doubt, and of the size */
	uint64_t *term;  /* [option][sector][LOST, KEPT, ZEROS] */
};
struct cut_template {
	uint32_t *names; /* the choices it was made for */
	struct sim_disk *disk;
	uint64_t hash; /* of its names */
};
struct sim_cut {
	const struct sim_disk *disk;
	struct sim_unit *unit;
	size_t count, name_count;
	size_t *live; /* units that are not the same kept and lost */
	size_t live_count;
	struct cut_file *file;
	size_t file_count;
	struct cut_template template[CUT_TEMPLATES];
	size_t template_count, template_next;
};
