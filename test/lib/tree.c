/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/tree.h"

#include "test/lib/test.h"
#include "test/lib/xmalloc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static void add(struct tree *t, const char *path, struct bytes content, bool is_link)
{
	if (t->count % 64 == 0)
		t->file = xrealloc(t->file, (t->count + 64) * sizeof(*t->file));
	uint8_t *copy = xmalloc(content.len + 1);
	memcpy(copy, content.len > 0 ? content.ptr : copy, content.len);
	t->file[t->count++] = (struct tree_file){
	    .path = strdup(path), .content = bytes_of(copy, content.len), .is_link = is_link};
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct tree_file *)a)->path, ((const struct tree_file *)b)->path);
}

static void sort(struct tree *t)
{
	if (t->count > 0)
		qsort(t->file, t->count, sizeof(*t->file), by_path);
}

static void join(char *buf, const char *dir, const char *name)
{
	int n = snprintf(buf, PATH_BYTES, "%s%s%s", dir, *dir && *name ? "/" : "", name);
	assert_true(n >= 0 && n < PATH_BYTES);
}

/* ---- taking ---------------------------------------------------------------------------------- */

static void take_disk(const struct sim_disk *disk, uint32_t dir, const char *below, struct tree *t)
{
	const struct sim_names *names = &disk->inode[dir].names;
	for (size_t i = 0; i < names->count; i++) {
		const struct sim_inode *n = &disk->inode[names->entry[i].inode];
		char path[PATH_BYTES];
		join(path, below, names->entry[i].name);
		if (n->kind == SIM_DIRECTORY) {
			take_disk(disk, names->entry[i].inode, path, t);
		} else if (n->kind == SIM_LINK) {
			add(t, path, bytes_of(n->target, strlen(n->target)), true);
		} else {
			uint8_t *b = xmalloc(n->cached->size_bytes + 1);
			size_t len = sim_content_read(n->cached, b, n->cached->size_bytes, 0);
			add(t, path, bytes_of(b, len), false);
			free(b);
		}
	}
}

void tree_of_disk(const struct sim_disk *disk, uint32_t dir, struct tree *ret_tree)
{
	*ret_tree = (struct tree){.count = 0};
	take_disk(disk, dir, "", ret_tree);
	sort(ret_tree);
}

static void take_file(const char *full, const char *path, size_t size, struct tree *t)
{
	uint8_t *b = xmalloc(size + 1);
	FILE *f = fopen(full, "rb");
	if (!f)
		fail_msg("%s cannot be read", full);
	assert_int_equal(fread(b, 1, size, f), size);
	fclose(f);
	add(t, path, bytes_of(b, size), false);
	free(b);
}

static void take_path(const char *root, const char *below, struct tree *t)
{
	char full[PATH_BYTES], path[PATH_BYTES], target[PATH_BYTES];
	join(full, root, below);
	DIR *dir = opendir(full);
	if (!dir)
		fail_msg("%s is missing: tests run at the top of the repository", full);
	for (struct dirent *e; (e = readdir(dir));) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		join(path, below, e->d_name);
		join(full, root, path);
		assert_int_equal(lstat(full, &st), 0);
		if (S_ISDIR(st.st_mode)) {
			take_path(root, path, t);
		} else if (S_ISLNK(st.st_mode)) {
			ssize_t n = readlink(full, target, sizeof(target));
			assert_true(n > 0 && n < PATH_BYTES);
			add(t, path, bytes_of(target, (size_t)n), true);
		} else {
			take_file(full, path, (size_t)st.st_size, t);
		}
	}
	closedir(dir);
}

void tree_of_path(const char *path, struct tree *ret_tree)
{
	*ret_tree = (struct tree){.count = 0};
	take_path(path, "", ret_tree);
	sort(ret_tree);
}

void tree_release(struct tree *t)
{
	for (size_t i = 0; i < t->count; i++) {
		free(t->file[i].path);
		free((void *)(uintptr_t)t->file[i].content.ptr);
	}
	free(t->file);
	*t = (struct tree){.count = 0};
}

const struct tree_file *tree_find(const struct tree *t, const char *path)
{
	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(t->file[i].path, path) == 0)
			return &t->file[i];
	}
	return NULL;
}

/* ---- putting --------------------------------------------------------------------------------- */

static void apply(struct sim_disk *disk, const struct sim_op *op)
{
	assert_int_equal(sim_disk_apply(disk, op), 0);
}

static uint32_t disk_directory(struct sim_disk *disk, uint32_t dir, const char *name)
{
	if (!sim_disk_lookup(disk, dir, str_of(name))) {
		apply(disk, &(struct sim_op){.kind = SIM_OP_MKDIR, .inode = dir, .name = name});
		apply(disk, &(struct sim_op){.kind = SIM_OP_SYNC, .inode = dir});
	}
	return sim_disk_lookup(disk, dir, str_of(name));
}

void tree_to_disk(const struct tree *t, struct sim_disk *disk, uint32_t root)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct tree_file *f = &t->file[i];
		char path[PATH_BYTES], *name = path;
		uint32_t dir = root;
		join(path, f->path, "");
		for (char *slash; (slash = strchr(name, '/')); name = slash + 1) {
			*slash = '\0';
			dir = disk_directory(disk, dir, name);
		}
		apply(disk, &(struct sim_op){.kind = f->is_link ? SIM_OP_SYMLINK : SIM_OP_CREATE,
		                .inode = dir,
		                .name = name,
		                .data = f->is_link ? f->content : (struct bytes){NULL, 0}});
		apply(disk, &(struct sim_op){.kind = SIM_OP_SYNC, .inode = dir});
		uint32_t inode = sim_disk_lookup(disk, dir, str_of(name));
		if (f->is_link || f->content.len == 0)
			continue;
		apply(disk,
		    &(struct sim_op){.kind = SIM_OP_WRITE, .inode = inode, .data = f->content});
		apply(disk, &(struct sim_op){.kind = SIM_OP_SYNC, .inode = inode});
	}
}

static void make_parents(char *full)
{
	for (char *slash = full; (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		(void)mkdir(full, 0777);
		*slash = '/';
	}
}

void tree_to_path(const struct tree *t, const char *root)
{
	char full[PATH_BYTES], target[PATH_BYTES];
	struct tree old = {.count = 0};
	if (access(root, F_OK) == 0)
		tree_of_path(root, &old);
	for (size_t i = 0; i < old.count; i++) {
		join(full, root, old.file[i].path);
		assert_int_equal(unlink(full), 0);
	}
	tree_release(&old);
	for (size_t i = 0; i < t->count; i++) {
		const struct tree_file *f = &t->file[i];
		join(full, root, f->path);
		make_parents(full);
		if (f->is_link) {
			int n = snprintf(target, sizeof(target), "%.*s", (int)f->content.len,
			    (const char *)f->content.ptr);
			assert_true(n > 0);
			assert_int_equal(symlink(target, full), 0);
			continue;
		}
		FILE *file = fopen(full, "wb");
		assert_non_null(file);
		assert_int_equal(fwrite(f->content.ptr, 1, f->content.len, file), f->content.len);
		assert_int_equal(fclose(file), 0);
	}
}
