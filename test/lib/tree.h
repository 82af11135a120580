/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A directory with everything below it, in memory: taken from a simulated disk or from the real one
 * and put on either. Reference directories (test/golden) are kept like this. Links keep their
 * target; directories without files are not kept. Failures fail the test.
 */
#include "test/lib/sim_disk.h"

struct tree_file {
	char *path;           /* below the tree's root */
	struct bytes content; /* heap; of a link its target */
	bool is_link;
};
struct tree {
	struct tree_file *file; /* in the order of their paths */
	size_t count;
};
/* Of a directory's inode. */
void tree_of_disk(const struct sim_disk *disk, uint32_t dir, struct tree *ret_tree);
void tree_of_path(const char *path, struct tree *ret_tree);
void tree_release(struct tree *t);
/* NULL: there is none. */
const struct tree_file *tree_find(const struct tree *t, const char *path);
/* Below `dir`, which exists; durable. */
void tree_to_disk(const struct tree *t, struct sim_disk *disk, uint32_t dir);
/* Replaces the directory `path`: files that are not in the tree are removed. */
void tree_to_path(const struct tree *t, const char *path);
