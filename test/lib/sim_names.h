/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Inside the simulated disk: directories as sorted arrays, and what sim_disk.c and sim_crash.c
 * share.
 */
#include "test/lib/sim_disk.h"

uint32_t sim_names_get(const struct sim_names *names, struct str name); /* 0 = none */
void sim_names_put(struct sim_names *names, struct str name, uint32_t inode); /* replaces */
void sim_names_remove(struct sim_names *names, struct str name);
/* The copy shares the entries until one of the two changes. */
void sim_names_copy(struct sim_names *to, struct sim_names *from);
void sim_names_release(struct sim_names *names);

void sim_name_op_release(struct sim_name_op *op);
/* Makes one change of names part of the durable state. */
void sim_name_op_commit(struct sim_disk *disk, const struct sim_name_op *op);
/* Counts used_bytes again, after content was put in place. */
void sim_disk_recount(struct sim_disk *disk);
/* Finds the first dirty sector at or after *sector. */
bool sim_next_dirty(const struct sim_inode *n, uint64_t *sector);
