/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/sim_names.h"

#include "test/lib/xmalloc.h"

/* The place of `name`, or where it belongs. */
static size_t find(const struct sim_names *names, struct str name, bool *ret_found)
{
	size_t low = 0, high = names->count;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = bytes_compare(str_bytes(str_of(names->entry[mid].name)),
		    str_bytes(name));
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

uint32_t sim_names_get(const struct sim_names *names, struct str name)
{
	bool found;
	size_t at = find(names, name, &found);
	return found ? names->entry[at].inode : 0;
}

void sim_names_put(struct sim_names *names, struct str name, uint32_t inode)
{
	bool found;
	size_t at = find(names, name, &found);
	if (found) {
		names->entry[at].inode = inode;
		return;
	}
	if (names->count == names->capacity) {
		names->capacity = names->capacity ? names->capacity * 2 : 8;
		names->entry = xrealloc(names->entry, names->capacity * sizeof(*names->entry));
	}
	memmove(names->entry + at + 1, names->entry + at,
	    (names->count - at) * sizeof(*names->entry));
	char *copy = xcalloc(1, name.len + 1);
	memcpy(copy, name.ptr, name.len);
	names->entry[at] = (struct sim_entry){copy, inode};
	names->count++;
}

void sim_names_remove(struct sim_names *names, struct str name)
{
	bool found;
	size_t at = find(names, name, &found);
	if (!found)
		return;
	free(names->entry[at].name);
	names->count--;
	memmove(names->entry + at, names->entry + at + 1,
	    (names->count - at) * sizeof(*names->entry));
}

void sim_names_copy(struct sim_names *to, const struct sim_names *from)
{
	*to = (struct sim_names){NULL, from->count, from->count};
	if (from->count == 0)
		return;
	to->entry = xmalloc(from->count * sizeof(*to->entry));
	for (size_t i = 0; i < from->count; i++)
		to->entry[i] = (struct sim_entry){xstrdup(from->entry[i].name),
		    from->entry[i].inode};
}

void sim_names_release(struct sim_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->entry[i].name);
	free(names->entry);
	*names = (struct sim_names){NULL, 0, 0};
}
