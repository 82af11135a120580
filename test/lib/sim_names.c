/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/sim_names.h"

#include "test/lib/xmalloc.h"

/* The place of `name`, or where it belongs. */
static size_t find(const struct sim_names *names, struct str name, bool *ret_found)
{
	size_t low = 0, high = names->count;
	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct sim_entry *e = &names->entry[mid];
		int order = bytes_compare(bytes_of(e->name, e->len), str_bytes(name));
		if (order == 0) {
			*ret_found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_found = false;
	return low;
}

/* Makes the names the only ones that refer to their entries, copying those if they are shared. */
static void own(struct sim_names *names)
{
	struct sim_names old = *names;
	if (!old.refs || *old.refs == 1)
		return;
	*names =
	    (struct sim_names){xmalloc(old.count * sizeof(*old.entry)), old.count, old.count, NULL};
	for (size_t i = 0; i < old.count; i++)
		names->entry[i] = (struct sim_entry){
		    xstrdup(old.entry[i].name), old.entry[i].inode, old.entry[i].len};
	--*old.refs;
}

uint32_t sim_names_get(const struct sim_names *names, struct str name)
{
	bool found;
	size_t at = find(names, name, &found);
	return found ? names->entry[at].inode : 0;
}

void sim_names_put(struct sim_names *names, struct str name, uint32_t inode)
{
	bool found;
	own(names);
	size_t at = find(names, name, &found);
	if (found) {
		names->entry[at].inode = inode;
		return;
	}
	if (names->count == names->capacity) {
		names->capacity = names->capacity ? names->capacity * 2 : 8;
		names->entry = xrealloc(names->entry, names->capacity * sizeof(*names->entry));
	}
	memmove(
	    names->entry + at + 1, names->entry + at, (names->count - at) * sizeof(*names->entry));
	char *copy = xcalloc(1, name.len + 1);
	memcpy(copy, name.ptr, name.len);
	names->entry[at] = (struct sim_entry){copy, inode, (uint32_t)name.len};
	names->count++;
}

void sim_names_remove(struct sim_names *names, struct str name)
{
	bool found;
	size_t at = find(names, name, &found);
	if (!found)
		return;
	own(names);
	free(names->entry[at].name);
	names->count--;
	memmove(
	    names->entry + at, names->entry + at + 1, (names->count - at) * sizeof(*names->entry));
}

void sim_names_copy(struct sim_names *to, struct sim_names *from)
{
	if (from->count > 0 && !from->refs) {
		from->refs = xmalloc(sizeof(*from->refs));
		*from->refs = 1;
	}
	*to = *from;
	if (from->count > 0)
		++*to->refs;
	else
		*to = (struct sim_names){NULL, 0, 0, NULL};
}

void sim_names_release(struct sim_names *names)
{
	struct sim_names old = *names;
	*names = (struct sim_names){NULL, 0, 0, NULL};
	if (old.refs && --*old.refs > 0)
		return;
	for (size_t i = 0; i < old.count; i++)
		free(old.entry[i].name);
	free(old.entry);
	free(old.refs);
}
